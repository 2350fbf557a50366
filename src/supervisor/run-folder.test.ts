import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { makeRunFolder, removeRunFolder, runFolders, runRoot } from './run-folder.ts';

let base: string;
let root: string;
beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), 'tg-folders-'));
  root = join(base, 'tardigrade');
});
afterEach(() => rmSync(base, { recursive: true }));

test('a service has a folder with a name that says what it runs', () => {
  expect(runFolders(root)).toEqual([]);
  const one = makeRunFolder('/usr/bin/redis-server', root);
  const two = makeRunFolder('/opt/a program/"x"', root);
  expect(one.id).toMatch(/^redis-server-[0-9a-f]{4}$/);
  expect(two.id).toMatch(/^-x--[0-9a-f]{4}$/);
  expect(runFolders(root).map(({ id }) => id)).toEqual([two.id, one.id].sort());
  removeRunFolder(one);
  expect(runFolders(root)).toEqual([two]);
});

test('what a dead process left is cleared away, what is not ours is let be', () => {
  const dead = join(root, 'dead-0000');
  mkdirSync(dead, { recursive: true, mode: 0o700 });
  chmodSync(root, 0o700);
  // pid_max is at most 2^22.
  writeFileSync(join(dead, 'pid'), String(2 ** 22 + 1));
  const foreign = join(root, 'foreign');
  mkdirSync(foreign);
  expect(runFolders(root)).toEqual([]);
  expect([existsSync(dead), existsSync(foreign)]).toEqual([false, true]);
});

test('a folder that others may use, or that is none, is refused', () => {
  mkdirSync(root, { mode: 0o777 });
  chmodSync(root, 0o777);
  expect(() => makeRunFolder('/bin/cat', root)).toThrow(expect.objectContaining({ code: 'TG_RUN_FOLDER' }));
  rmSync(root, { recursive: true });
  symlinkSync('/', root);
  expect(() => makeRunFolder('/bin/cat', root)).toThrow(expect.objectContaining({ code: 'TG_RUN_FOLDER' }));
});

test('the folder is this user’s, and short enough for sockets', () => {
  expect(runRoot({ XDG_RUNTIME_DIR: '/run/user/1000' })).toBe('/run/user/1000/tardigrade');
  const fallback = runRoot({});
  expect(runRoot({ XDG_RUNTIME_DIR: `/${'x'.repeat(80)}` })).toBe(fallback);
  expect(runRoot({ XDG_RUNTIME_DIR: 'relative' })).toBe(fallback);
});
