/**
 * npm run docs:syscalls — writes the list of system calls in docs/limits.md, between its markers, from the table that
 * dispatches them (src/linux/syscalls/table.ts). test/docs-syscalls.test.ts checks that it is current.
 */

import * as numbers from '../src/linux/abi/syscall-numbers.ts';
import { nameOf, SYSCALLS } from '../src/linux/syscalls/table.ts';
import { rewriteLimits, withSection, wrapped } from './docs-section.ts';

/** The document with the list put in. Throws where it has no markers. */
export function withSyscalls(document: string): string {
  return withSection(document, 'docs:syscalls', list());
}

function list(): string {
  const entries = [...SYSCALLS].sort((a, b) => a.number - b.number);
  const there = new Set(entries.map(({ number }) => number));
  const missing = Object.values(numbers)
    .filter((number) => !there.has(number))
    .sort((a, b) => a - b);
  const full = entries.filter(({ support }) => support === 'full');
  const partial = entries.filter(({ support }) => support === 'partial');
  const byNote = Map.groupBy(partial, ({ note = '' }) => note);
  return [
    `Of ${there.size + missing.length} system calls ${full.length} are complete, ${partial.length} lack something:`,
    '',
    ...[...byNote].map(
      ([note, calls]) => `- ${calls.map(({ number }) => `\`${nameOf(number)}\``).join(', ')}: ${note}`,
    ),
    '',
    'Complete:',
    ...wrapped(full.map(({ number }) => nameOf(number))),
    '',
    'Not there (`ENOSYS`):',
    ...wrapped(missing.map(nameOf)),
    '',
  ].join('\n');
}

if (import.meta.main) rewriteLimits(withSyscalls);
