/** docs/limits.md says which instructions the table has, and the translator has a lowering for all of them. */

import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { withInstructions } from '../bench/docs-instructions.ts';
import { LIMITS } from '../bench/docs-section.ts';
import { FORMS } from '../src/x86/table.ts';
import { LOWERED } from '../src/x86/translate.ts';

test('the list of instructions is current (else: npm run docs:instructions)', () => {
  const document = readFileSync(LIMITS, 'utf8');
  expect(withInstructions(document)).toBe(document);
});

/** What the decoder calls an instruction of a form, by its operand size. */
const BY_SIZE: Readonly<Record<string, readonly string[]>> = {
  cbw: ['cbw', 'cwde', 'cdqe'],
  cwd: ['cwd', 'cdq', 'cqo'],
};

test('every form of the table is translated, and nothing else is', () => {
  const ops = FORMS.filter(({ flow }) => flow === 'next').flatMap(({ op, opW }) => {
    return BY_SIZE[op] ?? (opW === null ? [op] : [op, opW]);
  });
  expect([...new Set(ops)].filter((op) => !LOWERED.has(op))).toEqual([]);
  // `nop` is 90 too, an exchange with itself.
  expect([...LOWERED].filter((op) => !ops.includes(op))).toEqual([]);
});

test('no form is in the table twice', () => {
  const keys = FORMS.map(({ opcode, prefix, digit, modrm, mod }) => `${opcode} ${prefix} ${digit} ${modrm} ${mod}`);
  expect(keys.filter((key, i) => keys.indexOf(key) !== i)).toEqual([]);
});
