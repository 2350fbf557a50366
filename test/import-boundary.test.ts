/** The deterministic folders import no node:* I/O and read no clock or randomness (docs/decisions.md). */

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';

const FOLDERS = ['image', 'linux', 'tcpip', 'x86', 'wasm', 'checkpoint', 'record', 'replication', 'sim', 'trace'];
const FORBIDDEN: readonly RegExp[] = [
  /from '(node:[a-z_/]+)'/,
  /\bDate\s*[.(]/,
  /\bperformance\s*\./,
  /\bMath\.random\b/,
  /\bcrypto\s*\./,
  /\bset(Timeout|Interval|Immediate)\s*\(/,
  /\bprocess\.(env|argv|hrtime|stdout|nextTick)\b/,
];
/** Where a guest's process is no `process` at hand, this is the host's. */
const HOST_PID = /(?<![.\w])process\.pid\b/;
const GUEST_PROCESS = /\bimport\b[^;]*\bProcess\b[^;]*\bfrom '[./]*process\.ts'/;

function sources(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts') && !name.endsWith('.test.ts'))
    .map((name) => join(folder, name));
}

function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/(^|\s)\/\/.*$/gm, '$1');
}

test.each(FOLDERS)('src/%s is deterministic', (folder) => {
  const found: string[] = [];
  const files = sources(join(import.meta.dirname, '..', 'src', folder));
  expect(files.length).toBeGreaterThan(0);
  for (const file of files) {
    const text = withoutComments(readFileSync(file, 'utf8'));
    for (const pattern of GUEST_PROCESS.test(text) ? FORBIDDEN : [...FORBIDDEN, HOST_PID]) {
      const match = pattern.exec(text);
      if (match) found.push(`${file}: ${match[0]}`);
    }
  }
  expect(found).toEqual([]);
});
