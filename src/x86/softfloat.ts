/**
 * Floating-point arithmetic as SSE and the x87 both do it: special values, exceptions, overflow and underflow. Intel SDM
 * vol. 1, 4.8 and 4.9. What they do differently — which NaN comes of two, what a denormal means — is softfloat-binary.ts
 * and softfloat-x87.ts.
 *
 * An operation puts its result into `r` and adds to `flags` the exceptions met, masked or not. Whether the result may be
 * stored is the caller's question.
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

/** Exception flags of MXCSR and of the x87's status word. */
export const IE = 1;
export const DE = 2;
export const ZE = 4;
export const OE = 8;
export const UE = 16;
export const PE = 32;
/** Met before anything is computed: unmasked, these leave no result. */
export const PRE_COMPUTATION = IE | DE | ZE;

const QUIET_BIT = 0x4000_0000;
const TOP_BIT = 0x8000_0000 | 0;

/** A format in which a result is stored. `drop`: 64 less its bits of significand. */
export interface Range {
  readonly drop: number;
  readonly min: number;
  readonly max: number;
}

/** The default NaN, "real indefinite". */
export function setIndefinite(r: Parts): Parts {
  return r.set(QUIET_NAN, true, 0, TOP_BIT | QUIET_BIT, 0);
}

export function setInfinity(r: Parts, negative: boolean): Parts {
  return r.set(INFINITE, negative, INFINITE_EXPONENT, TOP_BIT, 0);
}

export function setZero(r: Parts, negative: boolean): Parts {
  return r.set(ZERO, negative, 0, 0, 0);
}

export abstract class Arithmetic {
  flags = 0;
  /** The last rounding went away from zero. */
  roundedAway = false;
  rounding = NEAREST;
  /** Exceptions that are not masked. */
  unmasked = 0;
  /** How the results of addition, subtraction, multiplication, division and the square root are rounded. */
  abstract range: Range;
  /** Results too small for a normal number become zero. */
  flushToZero = false;
  /** What an unmasked overflow takes from the exponent, and an unmasked underflow adds. */
  protected readonly exponentAdjust: number = 0;
  readonly #scratch = new Parts();

  /** Of two operands, at least one being a NaN, that of which the result is made. Table 4-7. */
  protected abstract chooseNan(a: Parts, b: Parts): Parts;

  invalid(r: Parts): void {
    this.flags |= IE;
    setIndefinite(r);
  }

  /** Where an operand is no number, the result that comes of that; else false. */
  nan(r: Parts, a: Parts, b: Parts): boolean {
    if (a.kind < QUIET_NAN && b.kind < QUIET_NAN) return false;
    if (a.kind === UNSUPPORTED || b.kind === UNSUPPORTED) {
      this.invalid(r);
      return true;
    }
    if (a.kind === SIGNALING_NAN || b.kind === SIGNALING_NAN) this.flags |= IE;
    r.copy(this.chooseNan(a, b));
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
      r.exponent -= this.exponentAdjust;
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
      r.exponent += this.exponentAdjust;
      this.#inexact(how);
      return;
    }
    if (tiny && this.flushToZero) {
      this.flags |= UE | PE;
      setZero(r, r.negative);
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
    else this.finish(r, this.range);
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
    this.finish(r, this.range);
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
    this.finish(r, this.range);
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
      this.finish(r, this.range);
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

  /**
   * |a| rounded to an integer r.high:r.low that is below high:low, or equal to it where a is negative and `inclusive`. False:
   * it is not, or a is no number: invalid.
   */
  toMagnitude(r: Parts, a: Parts, high: number, low: number, inclusive: boolean, rounding = this.rounding): boolean {
    if (a.isFinite && a.exponent < 64) {
      r.copy(a);
      const how = a.kind === ZERO ? 0 : roundParts(r, 0, 63 - a.exponent, rounding);
      if (compareWords(r.high, r.low, high, low) < (inclusive && r.negative ? 1 : 0)) {
        this.#inexact(how);
        return true;
      }
    }
    this.flags |= IE;
    return false;
  }

  /** An integer of 16, 32 or 64 bits in two's complement as r.high:r.low; "integer indefinite" where that is invalid. */
  toInteger(r: Parts, a: Parts, bits: number, rounding = this.rounding): void {
    const high = bits === 64 ? TOP_BIT : 0;
    const low = bits === 64 ? 0 : 1 << (bits - 1);
    if (!this.toMagnitude(r, a, high, low, true, rounding)) r.set(ZERO, true, 0, high, low);
    else if (r.negative) negate(r);
  }
}

/** Two's complement of high:low. */
export function negate(p: Parts): void {
  p.low = -p.low | 0;
  p.high = (~p.high + (p.low === 0 ? 1 : 0)) | 0;
}

/** Of numbers' magnitudes, infinities among them, neither being zero. */
export function compareMagnitudes(a: Parts, b: Parts): number {
  if (a.exponent !== b.exponent) return a.exponent < b.exponent ? -1 : 1;
  return compareWords(a.high, a.low, b.high, b.low);
}
