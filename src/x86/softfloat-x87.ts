/**
 * The x87's arithmetic: the 80-bit format, its NaNs and its control word. Intel SDM vol. 1, 4.2.2, 8.1.5, 8.2 and 8.5.
 * Nothing here knows of registers or a stack.
 */

import { Arithmetic, type Range } from './softfloat.ts';
import {
  compareWords,
  DENORMAL,
  INFINITE,
  INFINITE_EXPONENT,
  NORMAL,
  normalize,
  type Parts,
  QUIET_NAN,
  SIGNALING_NAN,
  UNSUPPORTED,
  ZERO,
} from './softfloat-core.ts';

const QUIET_BIT = 0x4000_0000;
const BIAS = 16383;

export const EXTENDED: Range = { drop: 0, min: -16382, max: 16383 };

/** Ranges by the control word's PC; 1 is reserved and works like 3. */
const PRECISIONS: readonly Range[] = [{ ...EXTENDED, drop: 40 }, EXTENDED, { ...EXTENDED, drop: 11 }, EXTENDED];

/** Takes an 80-bit number apart: sign and exponent, significand. */
export function unpack(p: Parts, signExponent: number, high: number, low: number): Parts {
  const negative = (signExponent & 0x8000) !== 0;
  const biased = signExponent & 0x7fff;
  if (biased === 0) {
    if ((high | low) === 0) return p.set(ZERO, negative, 0, 0, 0);
    p.set(DENORMAL, negative, EXTENDED.min, high | 0, low | 0);
    // A pseudo-denormal, with its top bit set, has its exponent already.
    normalize(p);
    return p;
  }
  if (high >= 0) return p.set(UNSUPPORTED, negative, 0, high, low);
  if (biased < 0x7fff) return p.set(NORMAL, negative, biased - BIAS, high, low);
  if (((high & 0x7fff_ffff) | low) === 0) return p.set(INFINITE, negative, INFINITE_EXPONENT, high, low);
  return p.set((high & QUIET_BIT) !== 0 ? QUIET_NAN : SIGNALING_NAN, negative, 0, high, low);
}

/** The sign and exponent word of a result; its significand is high:low, as made by this file's functions. */
export function signExponentOf(p: Parts): number {
  const sign = p.negative ? 0x8000 : 0;
  switch (p.kind) {
    case ZERO:
      return sign;
    case NORMAL:
      return sign | (p.exponent + BIAS);
    case DENORMAL:
      return sign;
    default:
      return sign | 0x7fff;
  }
}

export class X87Arithmetic extends Arithmetic {
  /** The 80-bit format with the precision of the control word. */
  override range: Range = EXTENDED;
  /** SDM vol. 1, 8.5.4 and 8.5.5. */
  protected override readonly exponentAdjust = 24576;

  /** Ready for an operation under a control word. */
  begin(controlWord: number): void {
    this.flags = 0;
    this.roundedAway = false;
    this.rounding = (controlWord >> 10) & 3;
    this.unmasked = ~controlWord & 63;
    this.range = PRECISIONS[(controlWord >> 8) & 3]!;
  }

  /** The quiet one of a signaling and a quiet NaN, else that with the larger significand, else the positive one. */
  protected override chooseNan(a: Parts, b: Parts): Parts {
    if (a.kind < QUIET_NAN) return b;
    if (b.kind < QUIET_NAN) return a;
    if (a.kind !== b.kind) return a.kind === QUIET_NAN ? a : b;
    const order = compareWords(a.high, a.low, b.high, b.low);
    if (order !== 0) return order > 0 ? a : b;
    return a.negative ? b : a;
  }
}
