/**
 * What the virtual CPU says of itself: CPUID, and the same for the library OS to show (AT_HWCAP, /proc/cpuinfo). Intel SDM
 * vol. 2, CPUID.
 *
 * It is x86-64-v2: everything in the instruction table is reported, nothing else is. Family and model are those of Nehalem,
 * the processor that had just this (and neither AES nor AVX): C libraries choose by them among the routines that would run.
 */

import { REGISTER_FILE } from '../lvm/layout.ts';
import { OFF_GPR } from './state.ts';
import { registerHelper } from './support.ts';

export const VENDOR = 'GenuineIntel';
export const MODEL_NAME = 'Tardigrade virtual CPU';
export const FAMILY = 6;
export const MODEL = 26;
export const STEPPING = 5;
export const MAX_LEAF = 1;
const MAX_EXTENDED_LEAF = 0x8000_0008;

/** Features by [leaf, register] and bit, with Linux's names (arch/x86/include/asm/cpufeatures.h). */
const FEATURES: readonly (readonly [leaf: number, register: 'ecx' | 'edx', bits: Readonly<Record<string, number>>])[] =
  [
    [1, 'edx', { fpu: 0, tsc: 4, cx8: 8, cmov: 15, clflush: 19, mmx: 23, fxsr: 24, sse: 25, sse2: 26 }],
    [1, 'ecx', { pni: 0, ssse3: 9, cx16: 13, sse4_1: 19, sse4_2: 20, popcnt: 23 }],
    [0x8000_0001, 'edx', { syscall: 11, nx: 20, lm: 29 }],
    [0x8000_0001, 'ecx', { lahf_lm: 0, '3dnowprefetch': 8 }],
  ];

/** The names in Linux's order. */
export const FLAGS: readonly string[] = ['edx', 'ecx'].flatMap((register) =>
  FEATURES.filter(([, r]) => r === register).flatMap(([, , bits]) => Object.keys(bits)),
);

function features(leaf: number, register: 'ecx' | 'edx'): number {
  let value = 0;
  for (const [l, r, bits] of FEATURES) {
    if (l === leaf && r === register) for (const bit of Object.values(bits)) value |= 1 << bit;
  }
  return value >>> 0;
}

/** CPUID 1, EDX: what AT_HWCAP shows. */
export const HWCAP = features(1, 'edx');

/** Characters as little-endian words. */
function words(text: string, count: number): number[] {
  const bytes = new DataView(new ArrayBuffer(4 * count));
  for (let i = 0; i < text.length; i++) bytes.setUint8(i, text.charCodeAt(i));
  return Array.from({ length: count }, (_, i) => bytes.getUint32(4 * i, true));
}

const [VENDOR_B, VENDOR_D, VENDOR_C] = words(VENDOR, 3) as [number, number, number];
const NAME = words(MODEL_NAME, 12);

/** eax, ebx, ecx, edx of a leaf; zeros beyond the last. */
export function cpuid(leaf: number): readonly number[] {
  switch (leaf) {
    case 0:
      return [MAX_LEAF, VENDOR_B, VENDOR_C, VENDOR_D];
    case 1: {
      const signature = (FAMILY << 8) | ((MODEL >> 4) << 16) | ((MODEL & 15) << 4) | STEPPING;
      // ebx: one logical processor, lines of 64 bytes for CLFLUSH.
      return [signature, 0x0001_0800, features(1, 'ecx'), features(1, 'edx')];
    }
    case 0x8000_0000:
      return [MAX_EXTENDED_LEAF, 0, 0, 0];
    case 0x8000_0001:
      return [0, 0, features(leaf, 'ecx'), features(leaf, 'edx')];
    case 0x8000_0002:
    case 0x8000_0003:
    case 0x8000_0004:
      return NAME.slice((leaf - 0x8000_0002) * 4).slice(0, 4);
    case 0x8000_0008:
      // 40 bits of physical address, 48 of linear.
      return [0x0000_3028, 0, 0, 0];
    default:
      return [0, 0, 0, 0];
  }
}

registerHelper('cpuid', ({ view }) => {
  const [a, b, c, d] = cpuid(view.getUint32(REGISTER_FILE + OFF_GPR, true));
  // In the encoding's order: rax, rcx, rdx, rbx.
  [a, c, d, b].forEach((value, reg) => {
    view.setBigUint64(REGISTER_FILE + OFF_GPR + 8 * reg, BigInt(value!), true);
  });
  return 0;
});
