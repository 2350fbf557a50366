/**
 * System calls that are executed in the middle of a run show in nothing: the guest's state at every count, where runs end, what
 * a trace has of the calls, when a signal comes. Beside a CPU that ends its run at each of them.
 */

import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { stateHash } from '../src/checkpoint/hash.ts';
import type { CpuEnvironment } from '../src/lvm/cpu.ts';
import { GuestTools } from '../src/trace/guest-tools.ts';
import { TranslatingCpu } from '../src/x86/cpu.ts';
import { Machine, type MachineOptions } from './support/machine.ts';
import { Random, seedFrom } from './support/random.ts';

const seed = seedFrom();
const RUNS = 120;

describe.skipIf(!existsSync('/usr/bin/gcc'))('calls in place', () => {
  const folder = mkdtempSync(join(tmpdir(), 'tardigrade-calls-'));
  /** A root of its own: what others do with the host's files is not to be in the states. */
  const program = { program: '/calls', rootfs: folder };
  /** Instructions of all. */
  let total = 0;
  beforeAll(() => {
    const source = fileURLToPath(new URL('./determinism/calls.c', import.meta.url));
    execFileSync('gcc', ['-O1', '-static', '-pthread', '-o', join(folder, 'calls'), source]);
    const whole = machine(true);
    whole.finish();
    total = whole.kernel.instructions;
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  /** `inPlace` false: by a CPU whose environment does nothing at a call. */
  function machine(inPlace: boolean, options: Partial<MachineOptions> = {}): Machine {
    if (inPlace) return new Machine({ ...program, ...options });
    const environment: CpuEnvironment = { readTsc: () => 0n };
    return new Machine({ ...program, ...options, cpu: new TranslatingCpu(environment, undefined, options.often) });
  }

  /** Count and hash of the state at the end of each run, and the output. */
  function ends(machine: Machine, longest: number, exact: boolean): string[] {
    const random = new Random(seed);
    const found: string[] = [];
    while (machine.run(1 + random.below(longest), exact)) {
      const { spaces, ledger, instructions } = machine.kernel;
      for (const space of spaces.values()) machine.cpu.unload(space);
      const parts = new Map(ledger.all().map(({ key, bytes }) => [key, bytes!]));
      found.push(`${instructions} ${stateHash(spaces, parts)}`);
    }
    return [...found, machine.stdout];
  }

  test('signals come in time; code that is written over is not run as it was', () => {
    for (const often of [0, undefined, Number.POSITIVE_INFINITY]) {
      const guest = machine(true, often === undefined ? {} : { often });
      expect(guest.finish()).toEqual({ code: 0, signal: null });
      expect(guest.kernel.instructions).toBe(total);
      expect(guest.stdout.split('\n')).toEqual([
        ...Array(5).fill('timer 0: early 0, late 0, many calls 1'),
        ...Array(5).fill('timer 1: early 0, late 0, many calls 1'),
        'threads: 6000',
        'shared: 40',
        'code: 0 wrong',
        '',
      ]);
    }
  });

  test.each([true, false])('the same states and ends of runs (exact: %s)', { timeout: 240_000 }, (exact) => {
    const longest = Math.ceil((2 * total) / RUNS);
    const expected = ends(machine(false), longest, exact);
    expect(expected.length).toBeGreaterThan(RUNS / 3);
    for (const often of [0, 200, Number.POSITIVE_INFINITY]) {
      expect(ends(machine(true, { often }), longest, exact), `seed ${seed}, often ${often}`).toEqual(expected);
    }
  });

  test('a trace has the same lines', () => {
    const trace = (inPlace: boolean): string[] => {
      const lines: string[] = [];
      const tools = new GuestTools({ trace: ['syscalls'], write: (line) => lines.push(line), profile: false });
      machine(inPlace, { tools }).finish();
      return lines;
    };
    const lines = trace(true);
    expect(lines.filter((line) => line.includes('clock_gettime(')).length).toBeGreaterThan(6000);
    expect(lines).toEqual(trace(false));
  });
});
