import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { openImage } from '../lvm/node-image.ts';
import { MountError, parseMount } from './mounts.ts';

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'tg-image-'));
  mkdirSync(join(folder, 'root/etc'), { recursive: true });
  mkdirSync(join(folder, 'extra/sub'), { recursive: true });
  writeFileSync(join(folder, 'root/etc/conf'), 'from the root');
  writeFileSync(join(folder, 'extra/conf'), 'put over it');
  writeFileSync(join(folder, 'extra/sub/x'), 'x');
  symlinkSync('conf', join(folder, 'root/etc/link'));
});

afterEach(() => rmSync(folder, { recursive: true, force: true }));

test('files, directories, links, what is not there', () => {
  const image = openImage(join(folder, 'root'));
  expect(image.lookup('/', true)).toMatchObject({ type: 'directory', names: ['etc'] });
  expect(image.lookup('/etc', false)?.names).toBeUndefined();
  expect(image.lookup('/etc/link', false)).toMatchObject({ type: 'symlink', target: 'conf' });
  expect(image.lookup('/etc/none', false)).toBeNull();
  expect(image.lookup('/etc/conf/below', false)).toBeNull();
  const stat = image.lookup('/etc/conf', false)!;
  expect(stat).toMatchObject({ type: 'file', size: 13 });
  expect(stat.blob).toBeUndefined();
  const { blob } = image.lookup('/etc/conf', true)!;
  expect(blob).toMatch(/^[0-9a-f]{64}$/);
  expect(new TextDecoder().decode(image.read(blob!, 5, 3))).toBe('the');
});

test('extra files lie over the root, and their parents are there', () => {
  const image = openImage(join(folder, 'root'), [
    `${join(folder, 'extra/conf')}:/etc/conf`,
    `${join(folder, 'extra/sub')}:/srv/data/sub`,
  ]);
  const { blob } = image.lookup('/etc/conf', true)!;
  expect(new TextDecoder().decode(image.read(blob!, 0, 99))).toBe('put over it');
  expect(image.lookup('/', true)?.names).toEqual(['etc', 'srv']);
  expect(image.lookup('/etc', true)?.names).toEqual(['conf', 'link']);
  expect(image.lookup('/srv', true)).toMatchObject({ type: 'directory', names: ['data'] });
  expect(image.lookup('/srv/data/sub/x', false)?.size).toBe(1);
  expect(image.lookup('/srv/other', false)).toBeNull();
});

test('a blob that this replica never had is an operator error', () => {
  const image = openImage(join(folder, 'root'));
  expect(() => image.read('00'.repeat(32), 0, 1)).toThrow(/no file with the content/);
});

test('mounts that make no sense', () => {
  for (const text of ['/a:relative', '/a:/', '/a:/x/../y', ':/x']) {
    expect(() => parseMount(text, (path) => path)).toThrow(MountError);
  }
  expect(parseMount('/host/f', (path) => path)).toEqual({ host: '/host/f', guest: '/host/f' });
});
