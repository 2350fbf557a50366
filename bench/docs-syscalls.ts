/**
 * npm run docs:syscalls — writes the list of system calls in docs/limits.md, between its markers, from the table that
 * dispatches them (src/linux/syscalls/table.ts). test/docs-syscalls.test.ts checks that it is current.
 */

import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import * as numbers from '../src/linux/abi/syscall-numbers.ts';
import { nameOf, SYSCALLS } from '../src/linux/syscalls/table.ts';

const BEGIN = '<!-- npm run docs:syscalls -->';
const END = '<!-- end of the list -->';
const WIDTH = 120;
export const LIMITS = fileURLToPath(new URL('../docs/limits.md', import.meta.url));

/** The document with the list put in. Throws where it has no markers. */
export function withSyscalls(document: string): string {
  const [begin, end] = [document.indexOf(BEGIN), document.indexOf(END)];
  if (begin < 0 || end < begin) throw new Error(`docs/limits.md has no lines '${BEGIN}' and '${END}'`);
  return `${document.slice(0, begin + BEGIN.length)}\n\n${list()}\n${document.slice(end)}`;
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

function wrapped(names: readonly string[]): string[] {
  const lines: string[] = [];
  let line = '';
  for (const [i, name] of names.entries()) {
    const word = `${name}${i < names.length - 1 ? ',' : '.'}`;
    if (line !== '' && line.length + 1 + word.length > WIDTH) {
      lines.push(line);
      line = '';
    }
    line = line === '' ? word : `${line} ${word}`;
  }
  return line === '' ? lines : [...lines, line];
}

if (import.meta.main) writeFileSync(LIMITS, withSyscalls(readFileSync(LIMITS, 'utf8')));
