/**
 * The x87's arithmetic: the 80-bit format, its exceptions and its rounding. Intel SDM vol. 1, 4.2.2, 8.2 and 8.5; NaNs by
 * table 4-7. Nothing here knows of registers or a stack.
 *
 * An operation puts its result into `r` and adds to `flags` the exceptions met, masked or not. Whether the result may be
 * stored is the caller's question: see `PRE_COMPUTATION`.
 */

import {
  AWAY,
  addParts,
  compareWords,
  DENORMAL,
  DOWN,
  divideParts,
  INEXACT,
  INFINITE,
  INFINITE_EXPONENT,
  multiplyParts,
  NEAREST,
  NORMAL,
  normalize,
  Parts,
  QUIET_NAN,
  rootParts,
  roundParts,
  SIGNALING_NAN,
  shiftLeft,
  shiftRight,
  TRUNCATE,
  UNSUPPORTED,
  ZERO,
} from './softfloat-core.ts';
import { DE, IE, OE, PE, UE, ZE } from './x87-words.ts';

/** Unmasked, these leave the operands as they were and no result. */
export const PRE_COMPUTATION = IE | DE | ZE;

const QUIET_BIT = 0x4000_0000;
const TOP_BIT = 0x8000_0000 | 0;

export const BIAS = 16383;
export const MIN_EXPONENT = -16382;
export const MAX_EXPONENT = 16383;
/** What the exponent is changed by where overflow or underflow is not masked (SDM vol. 1, 8.5.4 and 8.5.5). */
export const EXPONENT_ADJUST = 24576;

/** A format in which a result is stored. `drop`: 64 less its bits of significand. */
export interface Range {
  readonly drop: number;
  readonly min: number;
  readonly max: number;
}

export const EXTENDED: Range = { drop: 0, min: MIN_EXPONENT, max: MAX_EXPONENT };
export const SINGLE: Range = { drop: 40, min: -126, max: 127 };
export const DOUBLE: Range = { drop: 11, min: -1022, max: 1023 };

/** Ranges by the control word's PC; 1 is reserved and works like 3. */
const PRECISIONS: readonly Range[] = [{ ...EXTENDED, drop: 40 }, EXTENDED, { ...EXTENDED, drop: 11 }, EXTENDED];

/** Takes an 80-bit number apart: sign and exponent, significand. */
export function unpack(p: Parts, signExponent: number, high: number, low: number): Parts {
  const negative = (signExponent & 0x8000) !== 0;
  const biased = signExponent & 0x7fff;
  if (biased === 0) {
    if ((high | low) === 0) return p.set(ZERO, negative, 0, 0, 0);
    p.set(DENORMAL, negative, MIN_EXPONENT, high | 0, low | 0);
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

/** The default NaN, "real indefinite". */
export function setIndefinite(r: Parts): Parts {
  return r.set(QUIET_NAN, true, 0, 0xc000_0000 | 0, 0);
}

export function setInfinity(r: Parts, negative: boolean): Parts {
  return r.set(INFINITE, negative, INFINITE_EXPONENT, TOP_BIT, 0);
}

export function setZero(r: Parts, negative: boolean): Parts {
  return r.set(ZERO, negative, 0, 0, 0);
}

export class X87Arithmetic {
  flags = 0;
  /** The last rounding went away from zero: C1. */
  roundedAway = false;
  rounding = NEAREST;
  /** Exceptions that are not masked. */
  unmasked = 0;
  #precision: Range = EXTENDED;
  readonly #scratch = new Parts();
  /** What the last rounding to an integer did. */
  #how = 0;

  /** Ready for an operation under a control word. */
  begin(controlWord: number): void {
    this.flags = 0;
    this.roundedAway = false;
    this.rounding = (controlWord >> 10) & 3;
    this.unmasked = ~controlWord & 63;
    this.#precision = PRECISIONS[(controlWord >> 8) & 3]!;
  }

  /** True when an exception was met that leaves no result. */
  get refused(): boolean {
    return (this.flags & this.unmasked & PRE_COMPUTATION) !== 0;
  }

  invalid(r: Parts): void {
    this.flags |= IE;
    setIndefinite(r);
  }

  /** Where an operand is no number, the result that comes of that; else false. Table 4-7. */
  nan(r: Parts, a: Parts, b: Parts): boolean {
    if (a.kind < QUIET_NAN && b.kind < QUIET_NAN) return false;
    if (a.kind === UNSUPPORTED || b.kind === UNSUPPORTED) {
      this.invalid(r);
      return true;
    }
    if (a.kind === SIGNALING_NAN || b.kind === SIGNALING_NAN) this.flags |= IE;
    r.copy(nanOf(a, b));
    r.kind = QUIET_NAN;
    r.high |= QUIET_BIT;
    return true;
  }

  /** Takes note of denormal operands. After the cases that come before them. */
  operands(a: Parts, b: Parts): void {
    if (a.kind === DENORMAL || b.kind === DENORMAL) this.flags |= DE;
  }

  // --- rounding ---

  /** Rounds the number `r` (not zero) to a format, with what overflow and underflow bring. */
  finish(r: Parts, range: Range): void {
    r.kind = NORMAL;
    if (r.exponent < range.min) {
      this.#finishTiny(r, range);
      return;
    }
    const how = roundParts(r, range.drop, 0, this.rounding);
    if (r.exponent > range.max) {
      this.#overflow(r, range, how);
    } else if (how !== 0) {
      this.flags |= PE;
      this.roundedAway = how > INEXACT;
    }
  }

  #overflow(r: Parts, range: Range, how: number): void {
    this.flags |= OE;
    if ((this.unmasked & OE) !== 0) {
      r.exponent -= EXPONENT_ADJUST;
      this.#inexact(how);
      return;
    }
    const infinite =
      this.rounding === NEAREST || (this.rounding !== TRUNCATE && (this.rounding === DOWN) === r.negative);
    this.#inexact(infinite ? INEXACT | AWAY : INEXACT);
    if (infinite) {
      setInfinity(r, r.negative);
      return;
    }
    r.set(NORMAL, r.negative, range.max, -1, -1);
    shiftRight(r, range.drop);
    r.extra = 0;
    shiftLeft(r, range.drop);
  }

  /** Below the smallest normal number, before rounding. Tininess is detected after it (SDM vol. 1, 4.9.1.5). */
  #finishTiny(r: Parts, range: Range): void {
    const unbounded = this.#scratch.copy(r);
    const how = roundParts(unbounded, range.drop, 0, this.rounding);
    const tiny = unbounded.exponent < range.min;
    if (tiny && (this.unmasked & UE) !== 0) {
      this.flags |= UE;
      r.copy(unbounded);
      r.exponent += EXPONENT_ADJUST;
      this.#inexact(how);
      return;
    }
    const denormal = roundParts(r, range.drop, range.min - r.exponent, this.rounding);
    if (denormal !== 0) this.flags |= tiny ? UE | PE : PE;
    this.roundedAway = denormal > INEXACT;
    r.exponent = range.min;
    if (r.high >= 0) r.kind = (r.high | r.low) === 0 ? ZERO : DENORMAL;
  }

  #inexact(how: number): void {
    if (how !== 0) this.flags |= PE;
    this.roundedAway = how > INEXACT;
  }

  // --- arithmetic ---

  add(r: Parts, a: Parts, b: Parts, subtract: boolean): void {
    if (this.nan(r, a, b)) return;
    const bNegative = b.negative !== subtract;
    if (a.kind === INFINITE && b.kind === INFINITE && a.negative !== bNegative) {
      this.invalid(r);
      return;
    }
    this.operands(a, b);
    if (a.kind === INFINITE || b.kind === INFINITE) {
      setInfinity(r, a.kind === INFINITE ? a.negative : bNegative);
      return;
    }
    if (a.kind === ZERO && b.kind === ZERO) {
      setZero(r, a.negative === bNegative ? bNegative : this.rounding === DOWN);
      return;
    }
    if (b.kind === ZERO) {
      r.copy(a);
    } else if (a.kind === ZERO) {
      r.copy(b);
      r.negative = bNegative;
    } else {
      addParts(r, a, b, subtract);
    }
    // Zeros of unlike sign, and what cancels, give a negative zero only when rounding down.
    if (r.kind === ZERO) r.negative = this.rounding === DOWN;
    else this.finish(r, this.#precision);
  }

  multiply(r: Parts, a: Parts, b: Parts): void {
    if (this.nan(r, a, b)) return;
    const negative = a.negative !== b.negative;
    if (a.kind === INFINITE || b.kind === INFINITE) {
      if (a.kind === ZERO || b.kind === ZERO) {
        this.invalid(r);
        return;
      }
      this.operands(a, b);
      setInfinity(r, negative);
      return;
    }
    this.operands(a, b);
    if (a.kind === ZERO || b.kind === ZERO) {
      setZero(r, negative);
      return;
    }
    multiplyParts(r, a, b);
    this.finish(r, this.#precision);
  }

  divide(r: Parts, a: Parts, b: Parts): void {
    if (this.nan(r, a, b)) return;
    const negative = a.negative !== b.negative;
    if (a.kind === b.kind && (a.kind === INFINITE || a.kind === ZERO)) {
      this.invalid(r);
      return;
    }
    if (a.kind === INFINITE) {
      this.operands(a, b);
      setInfinity(r, negative);
      return;
    }
    if (b.kind === ZERO) {
      this.flags |= ZE;
      setInfinity(r, negative);
      return;
    }
    this.operands(a, b);
    if (a.kind === ZERO || b.kind === INFINITE) {
      setZero(r, negative);
      return;
    }
    divideParts(r, a, b);
    this.finish(r, this.#precision);
  }

  squareRoot(r: Parts, a: Parts): void {
    if (this.nan(r, a, a)) return;
    if (a.kind === ZERO) {
      r.copy(a);
    } else if (a.negative) {
      this.invalid(r);
    } else if (a.kind === INFINITE) {
      r.copy(a);
    } else {
      this.operands(a, a);
      rootParts(r, a);
      this.finish(r, this.#precision);
    }
  }

  /** -1 less, 0 equal, 1 greater, 2 unordered; `quiet`: a quiet NaN is no exception. */
  compare(a: Parts, b: Parts, quiet: boolean): number {
    if (a.kind >= QUIET_NAN || b.kind >= QUIET_NAN) {
      if (!quiet || a.kind > QUIET_NAN || b.kind > QUIET_NAN) this.flags |= IE;
      return 2;
    }
    this.operands(a, b);
    if (a.kind === ZERO && b.kind === ZERO) return 0;
    if (a.kind === ZERO) return b.negative ? 1 : -1;
    if (b.kind === ZERO || a.negative !== b.negative) return a.negative ? -1 : 1;
    const order = compareMagnitudes(a, b);
    return a.negative ? -order : order;
  }

  // --- rounding to an integer ---

  /** FRNDINT. */
  roundToInteger(r: Parts, a: Parts): void {
    if (this.nan(r, a, a)) return;
    this.operands(a, a);
    r.copy(a);
    if (!(a.kind === NORMAL || a.kind === DENORMAL) || a.exponent >= 63) return;
    this.#inexact(roundParts(r, 0, 63 - a.exponent, this.rounding));
    r.exponent = 63;
    r.kind = NORMAL;
    normalize(r);
  }

  /** The magnitude of the finite `a` as an integer r.high:r.low; false where it has more than 64 bits. */
  toMagnitude(r: Parts, a: Parts, rounding = this.rounding): boolean {
    r.copy(a);
    if (a.kind === ZERO) return true;
    if (a.exponent > 63) return false;
    this.#how = roundParts(r, 0, 63 - a.exponent, rounding);
    return true;
  }

  /**
   * The integer nearest to `a`, of 16, 32 or 64 bits, in two's complement as r.high:r.low; the "integer indefinite" where
   * it does not fit or `a` is no number.
   */
  toInteger(r: Parts, a: Parts, bits: number, rounding = this.rounding): void {
    this.#how = 0;
    const high = bits === 64 ? TOP_BIT : 0;
    const low = bits === 64 ? 0 : 1 << (bits - 1);
    if (a.isFinite && this.toMagnitude(r, a, rounding)) {
      if (compareWords(r.high, r.low, high, low) < (r.negative ? 1 : 0)) {
        this.#inexact(this.#how);
        if (r.negative) negate(r);
        return;
      }
    }
    this.flags |= IE;
    r.set(ZERO, true, 0, high, low);
  }

  /** FBSTP: as `toInteger`, the result being a magnitude below 10^18; false: invalid. */
  toDecimal(r: Parts, a: Parts): boolean {
    this.#how = 0;
    if (a.isFinite && this.toMagnitude(r, a) && compareWords(r.high, r.low, DECIMAL_HIGH, DECIMAL_LOW) < 0) {
      this.#inexact(this.#how);
      return true;
    }
    this.flags |= IE;
    return false;
  }
}

/** 10^18 */
const DECIMAL_HIGH = 0x0de0_b6b3;
const DECIMAL_LOW = 0xa764_0000 | 0;

function negate(p: Parts): void {
  p.low = -p.low | 0;
  p.high = (~p.high + (p.low === 0 ? 1 : 0)) | 0;
}

/** Of numbers' magnitudes, infinities among them, neither being zero. */
export function compareMagnitudes(a: Parts, b: Parts): number {
  if (a.exponent !== b.exponent) return a.exponent < b.exponent ? -1 : 1;
  return compareWords(a.high, a.low, b.high, b.low);
}

/** Which of two operands, at least one being a NaN, the result is made of. */
function nanOf(a: Parts, b: Parts): Parts {
  if (a.kind < QUIET_NAN) return b;
  if (b.kind < QUIET_NAN) return a;
  if (a.kind !== b.kind) return a.kind === QUIET_NAN ? a : b;
  const order = compareWords(a.high, a.low, b.high, b.low);
  if (order !== 0) return order > 0 ? a : b;
  return a.negative ? b : a;
}
