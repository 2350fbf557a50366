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

const hasGcc = existsSync('/usr/bin/gcc');

function compile(name: string): string {
  const program = join(folder, name);
  execFileSync('gcc', ['-O1', '-o', program, fileURLToPath(new URL(`./programs/${name}.c`, import.meta.url))]);
  return program;
}

test.skipIf(!hasGcc)('a crash', { timeout: 120_000 }, () => {
  const program = compile('crash');
  const { status, stdout, stderr } = run([], program);
  const native = spawnSync(program, { encoding: 'utf8' });
  expect([status, stdout]).toEqual([139, native.stdout]);
  expect(native.signal).toBe('SIGSEGV');
  expect(stderr).toContain('tardigrade: the program was ended by SIGSEGV\n');
  // mov DWORD PTR ds:0x10, 1
  expect(stderr).toMatch(/TG_GUEST_CRASHED: .*signal 11, address 0x10, .*code there c7 04 25 10 00 00 00 01/);
  // Everybody saw it the same: nobody was lost on the way.
  expect(stderr).not.toContain('is gone');
});

test('a status', { timeout: 120_000 }, () => {
  expect(run([], '/bin/sh', '-c', 'exit 7').status).toBe(7);
});

test.skipIf(!hasGcc)('memory that is too small is the program’s trouble', { timeout: 120_000 }, () => {
  const program = compile('greedy');
  expect(run([], program)).toMatchObject({ status: 0, stdout: 'have it\n' });
  const { status, stdout, stderr } = run(['--memory', '64M'], program);
  expect([status, stdout]).toEqual([0, 'Cannot allocate memory\n']);
  expect(stderr).not.toContain('is gone');
});
