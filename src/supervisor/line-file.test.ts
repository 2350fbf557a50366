import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { LineFile } from './line-file.ts';

const folder = mkdtempSync(join(tmpdir(), 'tardigrade-lines-'));
const path = join(folder, 'lines');

test('lines come in their order, and an older file is replaced', () => {
  for (const count of [20_000, 3]) {
    const file = new LineFile(path);
    for (let i = 0; i < count; i++) file.line(`line ${i}`);
    file.close();
    expect(readFileSync(path, 'utf8')).toBe(Array.from({ length: count }, (_, i) => `line ${i}\n`).join(''));
  }
  rmSync(folder, { recursive: true });
});

test('what can not be written is an error of the operator', () => {
  const code = expect.objectContaining({ code: 'TG_OUTPUT_FILE' });
  expect(() => new LineFile(join(folder, 'no', 'such'))).toThrow(code);
  if (!existsSync('/dev/full')) return;
  const file = new LineFile('/dev/full');
  file.line('one');
  expect(() => file.flush()).toThrow(code);
  file.close();
});

test('standard error that is non-blocking and full is waited for', { timeout: 30_000 }, async () => {
  const module = fileURLToPath(new URL('./line-file.ts', import.meta.url));
  const script = `const { LineFile } = await import(${JSON.stringify(module)});
    const file = new LineFile(null);
    for (let i = 0; i < 50_000; i++) file.line('line ' + i);
    file.close();`;
  // Node makes the pipes of its children's streams; whoever shares one may make it non-blocking.
  const nonBlocking =
    'import fcntl, os, sys; fcntl.fcntl(2, fcntl.F_SETFL, os.O_NONBLOCK | fcntl.fcntl(2, fcntl.F_GETFL))';
  const python = '/usr/bin/python3';
  const wrapped = `${nonBlocking}; os.execv(sys.argv[1], sys.argv[1:])`;
  const words = ['--input-type=module', '-e', script];
  const child = existsSync(python)
    ? spawn(python, ['-c', wrapped, process.execPath, ...words], { stdio: ['ignore', 'ignore', 'pipe'] })
    : spawn(process.execPath, words, { stdio: ['ignore', 'ignore', 'pipe'] });
  let text = '';
  for await (const bytes of child.stderr!) text += bytes;
  expect(text).toBe(Array.from({ length: 50_000 }, (_, i) => `line ${i}\n`).join(''));
});
