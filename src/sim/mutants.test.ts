/** `npm run sim:mutants` takes minutes and is not run with every change: here is what would make it useless. */

import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { MUTANTS } from './mutants.ts';

test.each(MUTANTS)('$name: its text is in the source', ({ file, find, replace }) => {
  expect(readFileSync(new URL(`../${file}`, import.meta.url), 'utf8')).toContain(find);
  expect(replace).not.toBe(find);
});
