/** What Node made of the sources is kept in a folder that nobody else can write, and nowhere if there is none. */

import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';

const root = mkdtempSync(join(tmpdir(), 'tardigrade-compiled-'));
afterAll(() => rmSync(root, { recursive: true }));

const BIN = join(import.meta.dirname, '../bin/tardigrade.js');

function version(cache: string): void {
  const { NODE_COMPILE_CACHE: _, ...env } = process.env;
  const output = execFileSync(process.execPath, [BIN, 'version'], { env: { ...env, TARDIGRADE_CACHE: cache } });
  expect(output.toString()).toMatch(/^tardigrade \d/);
}

test('kept for the next start', () => {
  const folder = join(root, 'kept');
  version(folder);
  expect(statSync(join(folder, 'node')).mode & 0o777).toBe(0o700);
  const kept = readdirSync(join(folder, 'node'), { recursive: true });
  expect(kept.length).toBeGreaterThan(5);
  version(folder);
});

test('not where others can write, and not when it is off', () => {
  const folder = join(root, 'open');
  mkdirSync(join(folder, 'node'), { recursive: true });
  chmodSync(join(folder, 'node'), 0o777);
  version(folder);
  expect(readdirSync(join(folder, 'node'))).toEqual([]);
  version('off');
  expect(existsSync('off')).toBe(false);
});
