/** docs/limits.md says what src/linux/syscalls/table.ts does. */

import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { LIMITS } from '../bench/docs-section.ts';
import { withSyscalls } from '../bench/docs-syscalls.ts';
import { SYSCALLS } from '../src/linux/syscalls/table.ts';

test('the list of system calls is current (else: npm run docs:syscalls)', () => {
  const document = readFileSync(LIMITS, 'utf8');
  expect(withSyscalls(document)).toBe(document);
});

test('no system call is in the table twice', () => {
  const numbers = SYSCALLS.map(({ number }) => number);
  expect(numbers.length).toBe(new Set(numbers).size);
});
