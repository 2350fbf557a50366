/** What the x87 loads and stores: Intel SDM vol. 1, 4.2, 4.7 and 8.3.3. */

import { DE } from './softfloat.ts';
import { DENORMAL, highWord, lowWord, NORMAL, normalize, type Parts, SIGNALING_NAN, toBig } from './softfloat-core.ts';
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

/** FBSTP's answer to what is no number of eighteen digits. */
const INDEFINITE = [0, 0, 0, 0, 0, 0, 0, 0xc0, 0xff, 0xff];

/** The ten bytes of FBSTP; `r` is used. */
export function toDecimal(e: X87Arithmetic, r: Parts, a: Parts): readonly number[] {
  if (!e.toMagnitude(r, a, DECIMAL_HIGH, DECIMAL_LOW, false)) return INDEFINITE;
  const bytes: number[] = [];
  let value = toBig(r.high, r.low);
  for (let i = 0; i < 9; i++) {
    const digits = Number(value % 100n);
    bytes.push(((digits / 10) << 4) | (digits % 10));
    value /= 100n;
  }
  bytes.push(r.negative ? 0x80 : 0);
  return bytes;
}
