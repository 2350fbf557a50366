/** Lists in docs/limits.md that are made from tables: a list stands between two marker lines. */

import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const END = '<!-- end of the list -->';
const WIDTH = 120;
export const LIMITS = fileURLToPath(new URL('../docs/limits.md', import.meta.url));

/** The document with the list put in that `npm run COMMAND` makes. Throws where it has no markers for it. */
export function withSection(document: string, command: string, list: string): string {
  const begin = `<!-- npm run ${command} -->`;
  const from = document.indexOf(begin);
  const to = document.indexOf(END, from);
  if (from < 0 || to < from) throw new Error(`docs/limits.md has no lines '${begin}' and '${END}'`);
  return `${document.slice(0, from + begin.length)}\n\n${list}\n${document.slice(to)}`;
}

/** Names with commas between them, in lines. */
export function wrapped(names: readonly string[]): string[] {
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

/** Writes docs/limits.md anew. */
export function rewriteLimits(change: (document: string) => string): void {
  writeFileSync(LIMITS, change(readFileSync(LIMITS, 'utf8')));
}
