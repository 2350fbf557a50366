/**
 * The C and C++ programs of test/programs/suite, compiled with and without optimisation: under `tardigrade run` each prints
 * what it prints natively and ends alike.
 */

import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, test } from 'vitest';
import { inMachine, natively } from './support/beside-native.ts';
import { full } from './support/product.ts';

interface Library {
  readonly name: string;
  readonly source: string;
  readonly flags: readonly string[];
}

interface Program {
  readonly source: string;
  readonly flags?: readonly string[];
  readonly args?: readonly string[];
  readonly libraries?: readonly Library[];
}

const PROGRAMS: readonly Program[] = [
  { source: 'long-double.c', flags: ['-lm'] },
  { source: 'rounding.c', flags: ['-lm'] },
  { source: 'numbers.c', flags: ['-lm', '-latomic'] },
  { source: 'calls.c' },
  { source: 'jumps.c' },
  { source: 'faults.c', flags: ['-lm'] },
  { source: 'alarms.c', flags: ['-lm', '-pthread'] },
  { source: 'deep.c', flags: ['-pthread'] },
  { source: 'self-modifying.c', args: [full ? '10' : '1'] },
  { source: 'pthreads.c', flags: ['-pthread'] },
  { source: 'text.c' },
  {
    source: 'libraries.c',
    flags: ['-rdynamic', '-pthread'],
    libraries: [
      { name: 'library-a.so', source: 'library-a.c', flags: [] },
      { name: 'library-b.so', source: 'library-a.c', flags: ['-DVARIANT=2'] },
      { name: 'library-stack.so', source: 'library-stack.c', flags: [] },
    ],
  },
  // The signal handler throws.
  { source: 'exceptions.cc', flags: ['-std=c++17', '-fnon-call-exceptions', '-pthread'] },
];

const folder = mkdtempSync(join(tmpdir(), 'tardigrade-suite-'));
afterAll(() => rmSync(folder, { recursive: true }));

const sourceOf = (name: string) => fileURLToPath(new URL(`./programs/suite/${name}`, import.meta.url));
const compilerOf = (source: string) => (source.endsWith('.cc') ? '/usr/bin/g++' : '/usr/bin/gcc');
for (const compiler of ['/usr/bin/gcc', '/usr/bin/g++']) {
  if (!existsSync(compiler)) console.log(`test/programs/suite: what ${compiler} compiles is skipped: it is not there`);
}

function compiled({ source, flags = [], libraries = [] }: Program, level: string): string {
  const place = join(folder, source + level);
  mkdirSync(place);
  // -w: the programs do what compilers warn of.
  const compile = (name: string, from: string, more: readonly string[]) =>
    execFileSync(compilerOf(from), ['-w', level, '-o', join(place, name), sourceOf(from), ...more], { stdio: 'pipe' });
  for (const library of libraries) compile(library.name, library.source, ['-shared', '-fPIC', ...library.flags]);
  compile('program', source, flags);
  return join(place, 'program');
}

describe('programs of our own beside a native run', () => {
  for (const program of PROGRAMS) {
    for (const level of ['-O0', '-O2']) {
      const skip = !existsSync(compilerOf(program.source));
      test.skipIf(skip)(`${program.source} ${level}`, { timeout: 240_000 }, async () => {
        const command = [compiled(program, level), ...(program.args ?? [])];
        const native = await natively(command);
        const ours = await inMachine(command);
        expect(ours).toEqual(native);
        expect(native.status).toBe(0);
      });
    }
  }
});
