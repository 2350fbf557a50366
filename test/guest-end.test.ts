/**
 * How a program ends on two replicas: its status and signal are reported, and what is wrong with the program is not wrong
 * with the replicas.
 */

import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, test } from 'vitest';
import { CLI } from '../examples/redis/status.ts';

const folder = mkdtempSync(join(tmpdir(), 'tardigrade-end-'));
afterAll(() => rmSync(folder, { recursive: true }));

function run(options: readonly string[], ...command: string[]) {
  const args = [CLI, 'run', '--replicas', '2', ...options, '--', ...command];
  return spawnSync(process.execPath, args, { encoding: 'utf8', timeout: 100_000 });
}

test.skipIf(!existsSync('/usr/bin/gcc'))('a crash', { timeout: 120_000 }, () => {
  const program = join(folder, 'crash');
  execFileSync('gcc', ['-O1', '-o', program, fileURLToPath(new URL('./programs/crash.c', import.meta.url))]);
  const { status, stdout, stderr } = run([], program);
  const native = spawnSync(program, { encoding: 'utf8' });
  expect([status, stdout]).toEqual([139, native.stdout]);
  expect(native.signal).toBe('SIGSEGV');
  expect(stderr).toContain('tardigrade: the program was ended by SIGSEGV\n');
  // Everybody saw it the same: nobody was lost on the way.
  expect(stderr).not.toContain('is gone');
});

test('a status', { timeout: 120_000 }, () => {
  expect(run([], '/bin/sh', '-c', 'exit 7').status).toBe(7);
});

test.skipIf(!existsSync('/usr/bin/python3'))(
  'memory that is too small is the program\u2019s trouble',
  { timeout: 120_000 },
  () => {
    const script = "try:\n  x = bytearray(10**8)\nexcept MemoryError:\n  print('no memory')\n";
    const { status, stdout, stderr } = run(['--memory', '64M'], '/usr/bin/python3', '-c', script);
    expect([status, stdout]).toEqual([0, 'no memory\n']);
    expect(stderr).not.toContain('is gone');
  },
);
