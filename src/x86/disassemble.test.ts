/** Text of instructions, beside iced-x86's over a whole library, where the two do not differ in taste. */

import { existsSync, readFileSync } from 'node:fs';
import { Decoder, DecoderOptions, Formatter, FormatterSyntax, MemorySizeOptions } from 'iced-x86';
import { expect, test } from 'vitest';
import { decode, isDecodeError } from './decode.ts';
import { disassemble } from './disassemble.ts';
import { FORMS } from './table.ts';

const LIBC = '/lib/x86_64-linux-gnu/libc.so.6';
const BASE = 0x40_0000;
/** iced shows other names (tzcnt, which runs as bsf here), hides operands, or shows what has none here. */
const OTHERWISE = new Set(['nop', 'imul', 'bsf', 'bsr', 'prefetch', 'ret']);

function text(...bytes: number[]): string {
  const insn = decode(Uint8Array.from([...bytes, ...Array<number>(15).fill(0)]), 0, BASE);
  if (isDecodeError(insn)) throw new Error(insn.error);
  return disassemble(insn);
}

test('prefixes, strings, conditions, what iced writes otherwise', () => {
  expect(text(0xf3, 0x48, 0xab)).toBe('rep stosq');
  expect(text(0xf2, 0xae)).toBe('repne scasb');
  expect(text(0xf3, 0xa6)).toBe('repe cmpsb');
  expect(text(0xf0, 0x48, 0x0f, 0xb1, 0x17)).toBe('lock cmpxchg qword ptr [rdi], rdx');
  expect(text(0x64, 0x48, 0x8b, 0x04, 0x25, 0x28, 0, 0, 0)).toBe('mov rax, qword ptr fs:[0x28]');
  expect(text(0x0f, 0x8f, 0x10, 0, 0, 0)).toBe('jg 0x400016');
  expect(text(0x48, 0x69, 0xd2, 0xff, 0xff, 0xff, 0xff)).toBe('imul rdx, rdx, 0xffffffffffffffff');
  expect(text(0xde, 0xc9)).toBe('fmulp st(1), st(0)');
  expect(text(0x88, 0xe0)).toBe('mov al, ah');
});

test.skipIf(!existsSync(LIBC))('libc, by linear sweep', () => {
  const formatter = new Formatter(FormatterSyntax.Intel);
  formatter.hexPrefix = '0x';
  formatter.hexSuffix = '';
  formatter.uppercaseHex = false;
  formatter.addLeadingZeroToHexNumbers = false;
  formatter.smallHexNumbersInDecimal = false;
  formatter.branchLeadingZeros = false;
  formatter.spaceAfterOperandSeparator = true;
  formatter.memorySizeOptions = MemorySizeOptions.Always;
  formatter.showBranchSize = false;
  formatter.ripRelativeAddresses = false;
  formatter.signedImmediateOperands = false;
  const bytes = readFileSync(LIBC);
  let compared = 0;
  for (let at = 0x26000; at < bytes.length - 15 && compared < 100_000; ) {
    const ours = decode(bytes, at, BASE + at);
    const decoder = new Decoder(64, bytes.subarray(at, at + 15), DecoderOptions.None);
    decoder.ip = BigInt(BASE + at);
    const theirs = decoder.decode();
    if (!isDecodeError(ours) && !OTHERWISE.has(ours.op) && !['x87', 'string'].includes(FORMS[ours.form]!.area)) {
      expect(disassemble(ours), `at 0x${at.toString(16)}`).toBe(formatter.format(theirs));
      compared++;
    }
    at += theirs.length || 1;
    theirs.free();
    decoder.free();
  }
  formatter.free();
  expect(compared).toBe(100_000);
});
