/**
 * The same guest gives the same state at the same instruction count whichever of V8's compilers made the machine code:
 * one process with Liftoff only, one with TurboFan only (replicas may be at different tiers at any time).
 */

import { execFile, execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { fileOptions } from '../examples/redis/packages.ts';
import { full, redisProgram } from './support/product.ts';

const execute = promisify(execFile);
const SCRIPT = fileURLToPath(new URL('./determinism/hash.ts', import.meta.url));
const BUDGETS = fileURLToPath(new URL('./determinism/budgets.ts', import.meta.url));
const MACHINE = fileURLToPath(new URL('./determinism/machine.ts', import.meta.url));
const redis = await redisProgram();
const SEED = Number(process.env.SEED ?? 20261124);

async function hashes(tier: string, ...args: readonly (string | number)[]): Promise<string[]> {
  const { stdout } = await execute(process.execPath, [tier, SCRIPT, ...args.map(String)], { maxBuffer: 1 << 24 });
  return stdout.trim().split('\n');
}

async function bothTiers(...args: readonly (string | number)[]): Promise<number> {
  const [liftoff, turbofan] = await Promise.all([hashes('--liftoff-only', ...args), hashes('--no-liftoff', ...args)]);
  expect(turbofan, `seed ${SEED}`).toEqual(liftoff);
  return liftoff.length;
}

test('random instructions with every MXCSR setting', { timeout: 300_000 }, async () => {
  console.log(`seed ${SEED}`);
  expect(await bothTiers('cases', SEED, full ? 20_000 : 1000)).toBe(full ? 200 : 10);
});

test.skipIf(!existsSync('/usr/bin/gcc'))('a long floating-point program', { timeout: 600_000 }, async () => {
  const folder = mkdtempSync(join(tmpdir(), 'tardigrade-determinism-'));
  try {
    const program = join(folder, 'mix');
    const source = fileURLToPath(new URL('./determinism/mix.c', import.meta.url));
    const flags = [
      '-O2',
      '-static',
      '-nostdlib',
      '-fno-stack-protector',
      '-fno-pie',
      '-no-pie',
      '-mno-avx',
      '-fno-math-errno',
    ];
    execFileSync('gcc', [...flags, '-o', program, source]);
    // Not a round number, so that stops fall anywhere in the code.
    expect(await bothTiers('program', program, 1_000_003, full ? 1000 : 30)).toBe(full ? 1000 : 30);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

/** A shell with a trap, pipes, processes, and a program that computes. */
const SCRIPT_TEXT = `trap "echo got" USR1; i=0; while [ $i -lt 30 ]; do i=$((i+1)); x="$x$i";
  case $x in *7) kill -USR1 $$;; esac; done; echo $x | sed s/1/one/g; printf "%d %s\\n" 12 $(echo sub)
  awk "BEGIN { for (i = 1; i < 200; i++) s += sqrt(i) * 1.1; print s }"`;

/** Hashes at the same random counts of runs that stop at others too, lose translations, or are of another tier. */
async function sameAtEveryCount(program: string, args: readonly string[], rootfs: string): Promise<string[]> {
  console.log(`seed ${SEED}`);
  const run = async (tier: readonly string[], how: string): Promise<string[]> => {
    const words = [...tier, BUDGETS, `${SEED}`, `${full ? 4000 : 200}`, how, program, ...args];
    const options = { maxBuffer: 1 << 26, env: { ...process.env, ROOTFS: rootfs } };
    const { stdout } = await execute(process.execPath, words, options);
    return stdout.trim().split('\n');
  };
  const runs = [run([], 'plain'), run(['--liftoff-only'], 'often'), run(['--no-liftoff'], 'losing')] as const;
  const [plain, often, losing] = await Promise.all(runs);
  expect(often, `seed ${SEED}`).toEqual(plain);
  expect(losing, `seed ${SEED}`).toEqual(plain);
  return plain;
}

test('a count means the same however a run is stopped: a shell', { timeout: 600_000 }, async () => {
  const lines = await sameAtEveryCount('/bin/sh', ['-c', SCRIPT_TEXT], '/');
  expect(lines.length).toBeGreaterThan(200);
  expect(lines.slice(-3)).toEqual([expect.stringMatching(/^one2.*2930$/), '12 sub', '2066.18']);
});

test.skipIf(!existsSync('/usr/bin/gcc'))(
  'a count means the same however a run is stopped: strings, faults, signals, processes',
  { timeout: 600_000 },
  async () => {
    const folder = mkdtempSync(join(tmpdir(), 'tardigrade-determinism-'));
    try {
      const program = join(folder, 'budgets');
      const source = fileURLToPath(new URL('./determinism/budgets.c', import.meta.url));
      execFileSync('gcc', ['-O2', '-static', '-o', program, source, '-lm']);
      const lines = await sameAtEveryCount('/budgets', [], folder);
      const native = execFileSync(program, { encoding: 'utf8' }).trim();
      expect(lines.at(-1)!.replace(/^\d+ /, '')).toBe(native);
    } finally {
      rmSync(folder, { recursive: true });
    }
  },
);

test.skipIf(redis === null)(
  'a whole machine: redis with a client, recorded and replayed',
  { timeout: 600_000 },
  async () => {
    const folder = mkdtempSync(join(tmpdir(), 'tardigrade-determinism-'));
    const log = join(folder, 'log');
    const { program, packages } = redis!;
    const files = fileOptions(packages).filter((option) => option !== '--file');
    const run = async (tier: readonly string[], mode: string): Promise<string[]> => {
      const words = [...tier, MACHINE, mode, log, program.path, ...program.args];
      const options = { maxBuffer: 1 << 24, env: { ...process.env, FILES: files.join('\n') } };
      const { stdout } = await execute(process.execPath, words, options);
      return stdout.trim().split('\n');
    };
    try {
      const recorded = await run([], 'record');
      expect(recorded.length).toBeGreaterThan(10);
      const [liftoff, turbofan] = await Promise.all([
        run(['--liftoff-only'], 'replay'),
        run(['--no-liftoff'], 'replay'),
      ]);
      expect(liftoff).toEqual(recorded);
      expect(turbofan).toEqual(recorded);
    } finally {
      rmSync(folder, { recursive: true });
    }
  },
);
