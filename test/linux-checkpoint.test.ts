/**
 * A program that is moved again and again to a kernel restored from its backup's state does what it would have done: the
 * whole library OS survives a failover at any instruction, inside any system call. Every change was told to the ledger.
 */

import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, test } from 'vitest';
import { Machine, type MachineOptions, Replicated } from './support/machine.ts';
import { full } from './support/product.ts';
import { Random, seedFrom } from './support/random.ts';

const seed = seedFrom();
const folder = mkdtempSync(join(tmpdir(), 'tardigrade-checkpoint-'));
afterAll(() => rmSync(folder, { recursive: true }));

function compiled(source: string): string {
  const path = join(folder, basename(source, '.c'));
  const file = fileURLToPath(new URL(source, import.meta.url));
  execFileSync('gcc', ['-O1', '-static', '-pthread', '-o', path, file]);
  return path;
}

interface Ran {
  readonly stdout: string;
  readonly status: Machine['status'];
}

/** Runs with an epoch about every `step` instructions and a failover every few epochs. */
function moved(options: MachineOptions, step: number): Ran & { failovers: number } {
  const random = new Random(seed);
  const machine = new Machine(options);
  const replicated = new Replicated(machine);
  let failovers = 0;
  while (machine.run(1 + random.below(step), random.below(20) === 0)) {
    replicated.epoch();
    expect(replicated.audit(), `seed ${seed}`).toEqual([]);
    if (random.below(6) !== 0) continue;
    expect(replicated.inStep, `seed ${seed}, after ${machine.kernel.instructions} instructions`).toBe(true);
    replicated.failover();
    failovers++;
    if (machine.kernel.instructions > 1e9) throw new Error(`seed ${seed}: no end`);
  }
  return { stdout: machine.stdout, status: machine.status, failovers };
}

const PROGRAMS: readonly (readonly [name: string, options: MachineOptions, step: number])[] = [
  ['a pipeline', { program: '/bin/sh', args: ['-c', 'seq 300 | sort -rn | head -3; exit 3'] }, 25_000],
  [
    'sqlite3',
    {
      program: '/usr/bin/sqlite3',
      args: ['/tmp/t.db'],
      stdin:
        'create table t(a integer primary key, b text);\n' +
        'insert into t(b) values (1.5), (2), (3);\nselect sum(a), max(b), total(b) from t;\nselect count(*) from t;\n',
    },
    100_000,
  ],
  [
    'a shell with files, signals and jobs',
    {
      program: '/bin/sh',
      args: [
        '-c',
        'trap "echo caught" USR1; kill -USR1 $$; mkdir /tmp/d && cd /tmp/d && echo one > a && mv a b && cat b; ' +
          'sleep 0.05 & wait $!; echo $?; (exit 9) | cat; ls -l /tmp/d | wc -l',
      ],
    },
    25_000,
  ],
];

/** C programs: those of linux/ touch everything that the kernel has. */
const SOURCES: readonly (readonly [source: string, step: number, always: boolean])[] = [
  ['programs/threads.c', 60_000, true],
  ['linux/signals.c', 20_000, full],
  ['linux/interrupts.c', 15_000, full],
  ['linux/processes.c', 200_000, full],
  ['linux/threads.c', 100_000, full],
  ['linux/memory.c', 150_000, full],
];

function check(options: MachineOptions, step: number): void {
  const machine = new Machine(options);
  machine.finish();
  const { failovers, ...ran } = moved(options, step);
  expect(failovers).toBeGreaterThan(2);
  expect(ran).toEqual({ stdout: machine.stdout, status: machine.status });
}

describe('a machine that is moved', () => {
  for (const [name, options, step] of PROGRAMS) {
    test.skipIf(!existsSync(options.program))(name, { timeout: 300_000 }, () => check(options, step));
  }

  for (const [source, step, always] of SOURCES) {
    test.skipIf(!always || !existsSync('/usr/bin/gcc'))(source, { timeout: 300_000 }, () => {
      check({ program: compiled(source) }, step);
    });
  }
});
