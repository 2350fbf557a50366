/** What the x87 loads and stores: Intel SDM vol. 1, 4.2, 4.7 and 8.3.3. */

import { DE } from './softfloat.ts';
import {
  DENORMAL,
  highWord,
  lowWord,
  NORMAL,
  normalize,
  type Parts,
  SIGNALING_NAN,
  toBig,
  ZERO,
} from './softfloat-core.ts';
import type { X87Arithmetic } from './softfloat-x87.ts';

/** 10^18 */
const DECIMAL_HIGH = 0x0de0_b6b3;
const DECIMAL_LOW = 0xa764_0000 | 0;

/** A register's content as it is loaded from a shorter format: a signaling NaN is invalid, a denormal is reported. */
export function loaded(e: X87Arithmetic, p: Parts): void {
  if (p.kind === DENORMAL) {
    e.flags |= DE;
    p.kind = NORMAL;
  } else if (p.kind === SIGNALING_NAN) {
    e.nan(p, p, p);
  }
}

/** Eighteen decimal digits, two a byte, and a sign byte: `at(i)` is byte i. */
export function fromDecimal(p: Parts, at: (i: number) => number): Parts {
  let value = 0n;
  for (let i = 8; i >= 0; i--) {
    const byte = at(i);
    value = value * 100n + BigInt((byte >> 4) * 10 + (byte & 15));
  }
  const negative = (at(9) & 0x80) !== 0;
  p.set(NORMAL, negative, 63, highWord(value), lowWord(value));
  normalize(p);
  return p;
}

/** FBSTP: ten bytes as r.low, r.high and, the last two, r.exponent. */
export function toDecimal(e: X87Arithmetic, r: Parts, a: Parts): void {
  if (!e.toMagnitude(r, a, DECIMAL_HIGH, DECIMAL_LOW, false)) {
    r.set(ZERO, true, 0xffff, 0xc000_0000 | 0, 0);
    return;
  }
  // Digits of four bits: the decimal number read as a hexadecimal one.
  const digits = BigInt(`0x${toBig(r.high, r.low)}`);
  r.exponent = Number(digits >> 64n) | (r.negative ? 0x8000 : 0);
  r.high = highWord(digits);
  r.low = lowWord(digits);
}
