/** CPUID says what the instruction table has, and nothing else. */

import { expect, test } from 'vitest';
import { cpuid, FLAGS, HWCAP } from './cpuid.ts';
import { decode, isDecodeError } from './decode.ts';

/** An instruction of the feature, by [leaf, index of ecx or edx, bit]. */
const THERE: readonly (readonly [name: string, leaf: number, register: 2 | 3, bit: number, bytes: string])[] = [
  ['fpu', 1, 3, 0, 'd9e8'],
  ['tsc', 1, 3, 4, '0f31'],
  ['cx8', 1, 3, 8, '0fc70f'],
  ['cmov', 1, 3, 15, '0f44c1'],
  ['clflush', 1, 3, 19, '0fae38'],
  ['mmx', 1, 3, 23, '0ffcc1'],
  ['fxsr', 1, 3, 24, '0fae00'],
  ['sse', 1, 3, 25, '0f58c1'],
  ['sse2', 1, 3, 26, '660f58c1'],
  ['pni', 1, 2, 0, 'f20f7cc1'],
  ['ssse3', 1, 2, 9, '660f3800c1'],
  ['cx16', 1, 2, 13, '480fc70f'],
  ['sse4_1', 1, 2, 19, '660f3a40c1ff'],
  ['sse4_2', 1, 2, 20, 'f20f38f1c1'],
  ['popcnt', 1, 2, 23, 'f30fb8c1'],
  ['syscall', 0x8000_0001, 3, 11, '0f05'],
  ['lahf_lm', 0x8000_0001, 2, 0, '9f'],
  ['3dnowprefetch', 0x8000_0001, 2, 8, '0f0d08'],
];
const ABSENT: readonly (readonly [name: string, leaf: number, register: 2 | 3, bit: number, bytes: string])[] = [
  ['sep', 1, 3, 11, '0f34'],
  ['pclmulqdq', 1, 2, 1, '660f3a44c100'],
  ['monitor', 1, 2, 3, '0f01c8'],
  ['fma', 1, 2, 12, 'c4e2f198c1'],
  ['movbe', 1, 2, 22, '0f38f001'],
  ['aes', 1, 2, 25, '660f38dcc1'],
  ['xsave', 1, 2, 26, '0fae20'],
  ['avx', 1, 2, 28, 'c5f058c1'],
  ['rdrand', 1, 2, 30, '0fc7f0'],
  ['rdtscp', 0x8000_0001, 3, 27, '0f01f9'],
];

const decodes = (bytes: string) => !isDecodeError(decode(Uint8Array.from(Buffer.from(`${bytes}0000`, 'hex')), 0, 0));

test('what is reported can be decoded, and the reverse', () => {
  for (const [name, leaf, register, bit, bytes] of THERE) {
    expect([name, (cpuid(leaf)[register]! >>> bit) & 1, decodes(bytes), FLAGS.includes(name)]).toEqual([
      name,
      1,
      true,
      true,
    ]);
  }
  for (const [name, leaf, register, bit, bytes] of ABSENT) {
    expect([name, (cpuid(leaf)[register]! >>> bit) & 1, decodes(bytes), FLAGS.includes(name)]).toEqual([
      name,
      0,
      false,
      false,
    ]);
  }
});

test('leaves 1 and 80000001 have no other bits', () => {
  // NX and LM are no instructions.
  const bits = [...THERE, ['nx', 0x8000_0001, 3, 20, ''] as const, ['lm', 0x8000_0001, 3, 29, ''] as const];
  for (const leaf of [1, 0x8000_0001]) {
    for (const register of [2, 3]) {
      const expected = bits.reduce((sum, [, l, r, bit]) => (l === leaf && r === register ? sum + 2 ** bit : sum), 0);
      expect(cpuid(leaf)[register]).toBe(expected);
    }
  }
  expect(FLAGS.length).toBe(bits.length);
  expect(HWCAP).toBe(cpuid(1)[3]);
});

test('the names', () => {
  const text = (values: readonly number[]) =>
    Buffer.from(Uint32Array.from(values).buffer).toString('latin1').replace(/\0+$/, '');
  const [, b, c, d] = cpuid(0);
  expect(text([b!, d!, c!])).toBe('GenuineIntel');
  expect(text([2, 3, 4].flatMap((leaf) => cpuid(0x8000_0000 + leaf)))).toBe('Tardigrade virtual CPU');
});
