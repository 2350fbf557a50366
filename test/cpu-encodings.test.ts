/**
 * Every opcode of the four maps with every mandatory prefix, LOCK, REX.W and ModRM byte: what the decoder does not take, the
 * host's CPU does not either (#UD), unless it belongs to an extension beyond x86-64-v2; what only the decoder takes would
 * show as a difference of what is done. iced says what an encoding is, so that nothing is executed that harms the harness.
 */

import { CpuidFeature, Decoder, DecoderOptions, Instruction as IcedInstruction, Mnemonic } from 'iced-x86';
import { expect, test } from 'vitest';
import { decode, isDecodeError } from '../src/x86/decode.ts';
import { FORMS } from '../src/x86/table.ts';
import { CODE, type CpuCase, TAIL_ABSENT, TAIL_SIZE, WINDOW, WINDOW_SIZE } from './cpu/case.ts';
import { compareBatch } from './cpu/engine.ts';
import { NativeCpu } from './cpu/native.ts';

const MAPS = [[], [0x0f], [0x0f, 0x38], [0x0f, 0x3a]];
const PREFIXES = [[], [0x66], [0xf2], [0xf3], [0xf0], [0x48]];
/** Registers, and memory at [rbx]; all registers where they tell instructions apart. */
const MODRM = Array.from({ length: 256 }, (_, i) => i).filter((i) => i >= 0xc0 || (i & 0xc7) === 3);
const FEW = MODRM.filter((i) => (i & 7) === 3);
const GROUPS = new Set([0xd8, 0xd9, 0xda, 0xdb, 0xdc, 0xdd, 0xde, 0xdf, 0x100, 0x101, 0x11e, 0x1ae, 0x1c7]);
/** Begin an instruction of their own: prefixes, VEX, EVEX. */
const NO_OPCODE = new Set([0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf0, 0xf2, 0xf3, 0x62, 0xc4, 0xc5, 0x0f]);
const isPrefix = (map: number, opcode: number): boolean =>
  (map === 0 && (NO_OPCODE.has(opcode) || (opcode & 0xf0) === 0x40)) ||
  (map === 1 && (opcode === 0x38 || opcode === 0x3a));

interface Encoding {
  readonly bytes: Uint8Array;
  readonly theirs: string | null;
}

const { encodings, count, missing } = collect();

/** Encodings that the decoder or iced does not take; those that only iced takes, by mnemonic, with the extension. */
function collect() {
  const encodings: Encoding[] = [];
  const missing = new Map<string, string>();
  const iced = new IcedInstruction();
  let count = 0;
  for (const [map, lead] of MAPS.entries()) {
    for (let opcode = 0; opcode < 256; opcode++) {
      if (isPrefix(map, opcode)) continue;
      for (const prefix of PREFIXES) {
        for (const modrm of GROUPS.has((map << 8) | opcode) ? MODRM : FEW) {
          const bytes = Uint8Array.from([...prefix, ...lead, opcode, modrm, 0, 0, 0, 0, 0, 0, 0, 0, 0x0f, 0x0b]);
          count++;
          const decoder = new Decoder(64, bytes, DecoderOptions.AMD);
          decoder.decodeOut(iced);
          decoder.free();
          const ours = decode(bytes, 0, CODE);
          if (!iced.isInvalid && isDecodeError(ours)) {
            const features = [...iced.cpuidFeatures()].map((f) => CpuidFeature[f]!).join('+');
            missing.set(Mnemonic[iced.mnemonic]!.toLowerCase(), features);
          } else if (iced.isInvalid) {
            encodings.push({ bytes, theirs: isDecodeError(ours) ? null : FORMS[ours.form]!.text });
          }
        }
      }
    }
  }
  return { encodings, count, missing };
}

/** Instructions of x86-64-v2 that are not in the table: undocumented ones; LOCK MOV CR0, AMD's CR8. */
const LEFT_OUT = 'fstpnce mov reservednop'.split(' ');
/** Of what has no CPUID bit, or one that x86-64-v2 has. SEP: of 32-bit mode. */
const BASELINE =
  /^(X64|INTEL\d+\w*|FPU\w*|MMX|SSE|SSE2|SSE3|SSSE3|SSE4_1|SSE4_2|POPCNT|CMPXCHG16B|CX8|FXSR|MULTIBYTENOP|CMOV)$/;

test('what iced decodes and we do not belongs to extensions beyond x86-64-v2', () => {
  console.log(`${count} encodings, ${encodings.length} that iced does not take`);
  const baseline = [...missing].filter(([, feature]) => BASELINE.test(feature)).map(([mnemonic]) => mnemonic);
  expect(baseline.sort()).toEqual(LEFT_OUT);
});

test.skipIf(!NativeCpu.available)(
  'what is no instruction is none to the host either',
  () => {
    const fx = new Uint8Array(512);
    new DataView(fx.buffer).setUint16(0, 0x37f, true);
    new DataView(fx.buffer).setUint32(24, 0x1f80, true);
    const cases = encodings.map(({ bytes }): CpuCase => {
      const gpr = new BigUint64Array(16).fill(BigInt(WINDOW + 512));
      const window = new Uint8Array(WINDOW_SIZE + TAIL_SIZE);
      return { gpr, rflags: 0, fx, code: bytes, place: 0, tail: TAIL_ABSENT, window, boundaries: [[0, 0]], forms: [] };
    });
    const native = new NativeCpu();
    const found = new Set<string>();
    // KVM answers VMCALL with any prefix.
    const isHypercall = ({ code }: CpuCase): boolean => Buffer.from(code).includes(Buffer.from('0f01c1', 'hex'));
    for (let i = 0; i < cases.length; i += 4000) {
      for (const { case: c, texts } of compareBatch(native, cases.slice(i, i + 4000)).differences) {
        if (isHypercall(c)) continue;
        const what = encodings.find(({ bytes }) => bytes === c.code)!.theirs;
        found.add(`${Buffer.from(c.code.subarray(0, 6)).toString('hex')} ${what}: ${texts.slice(0, 2).join(', ')}`);
      }
    }
    native.close();
    expect([...found].slice(0, 60)).toEqual([]);
  },
  300_000,
);
