/** FPREM, FPREM1, FSCALE and FXTRACT: Intel SDM vol. 2. Exact; PC of the control word has no effect. */

import { PE, setInfinity, setZero, ZE } from './softfloat.ts';
import { fromInteger } from './softfloat-binary.ts';
import { DENORMAL, highWord, INFINITE, lowWord, NORMAL, normalize, type Parts, toBig, ZERO } from './softfloat-core.ts';
import { EXTENDED, type X87Arithmetic } from './softfloat-x87.ts';

/** What `remainder` returns besides a quotient: the remainder is not complete; there is none. */
export const PARTIAL = -1;
export const NO_QUOTIENT = -2;

/**
 * r = the remainder of a ÷ b, or a step towards it; `nearest`: of the quotient rounded to nearest (FPREM1) instead of
 * toward zero. Returns the quotient's lowest three bits, PARTIAL or NO_QUOTIENT.
 */
export function remainder(e: X87Arithmetic, r: Parts, a: Parts, b: Parts, nearest: boolean): number {
  if (e.nan(r, a, b)) return NO_QUOTIENT;
  if (a.kind === INFINITE || b.kind === ZERO) {
    e.invalid(r);
    return NO_QUOTIENT;
  }
  e.operands(a, b);
  r.copy(a);
  if (a.kind === ZERO || b.kind === INFINITE) {
    if (a.kind === DENORMAL) e.finish(r, EXTENDED);
    return 0;
  }
  const difference = a.exponent - b.exponent;
  // Less than half of b.
  if (difference < (nearest ? -1 : 0)) {
    e.finish(r, EXTENDED);
    return 0;
  }
  const divisor = toBig(b.high, b.low);
  let quotient = 0;
  let beyond = false;
  let rest: bigint;
  let exponent = b.exponent;
  const partial = difference >= 64;
  if (difference < 0) {
    // a's significand counts halves.
    const significand = toBig(a.high, a.low);
    beyond = significand > divisor;
    rest = beyond ? 2n * divisor - significand : significand;
    exponent--;
  } else {
    // Of a long way the SDM leaves between 32 and 63 bits to the processor.
    const bits = partial ? (difference & 31) | 32 : difference;
    const dividend = toBig(a.high, a.low) << BigInt(bits);
    const whole = dividend / divisor;
    rest = dividend - whole * divisor;
    exponent += difference - bits;
    quotient = Number(whole & 7n);
    beyond = nearest && !partial && 2n * rest + BigInt(quotient & 1) > divisor;
    if (beyond) rest = divisor - rest;
  }
  if (beyond) quotient++;
  if (rest === 0n) {
    setZero(r, a.negative);
  } else {
    r.set(NORMAL, a.negative !== beyond, exponent, highWord(rest), lowWord(rest));
    normalize(r);
    e.finish(r, EXTENDED);
  }
  return partial ? PARTIAL : quotient & 7;
}

/** r = a × 2^(b rounded toward zero) */
export function scale(e: X87Arithmetic, r: Parts, a: Parts, b: Parts): void {
  if (e.nan(r, a, b)) return;
  if (b.kind === INFINITE) {
    if (a.kind === (b.negative ? INFINITE : ZERO)) {
      e.invalid(r);
      return;
    }
    e.operands(a, b);
    if (a.kind === INFINITE || a.kind === ZERO) r.copy(a);
    else if (b.negative) setZero(r, a.negative);
    else setInfinity(r, a.negative);
    return;
  }
  e.operands(a, b);
  r.copy(a);
  if (a.kind === INFINITE || a.kind === ZERO) return;
  r.exponent += scaleOf(b);
  e.finish(r, EXTENDED);
  // Too far also for the adjusted exponent of an exception that is not masked (SDM vol. 1, 8.5.4 and 8.5.5).
  if (r.kind !== NORMAL || (r.exponent >= EXTENDED.min && r.exponent <= EXTENDED.max)) return;
  e.flags |= PE;
  e.roundedAway = r.exponent > 0;
  if (e.roundedAway) setInfinity(r, r.negative);
  else setZero(r, r.negative);
}

/** An integer as large as matters. */
function scaleOf(b: Parts): number {
  if (b.kind === ZERO || b.exponent < 0) return 0;
  const far = 0x2_0000;
  const magnitude = b.exponent > 16 ? far : b.high >>> (31 - b.exponent);
  return b.negative ? -magnitude : magnitude;
}

/** exponent = the exponent of a as a number, significand = a with the exponent 0. */
export function extract(e: X87Arithmetic, exponent: Parts, significand: Parts, a: Parts): void {
  if (e.nan(significand, a, a)) {
    exponent.copy(significand);
    return;
  }
  significand.copy(a);
  if (a.kind === INFINITE) {
    setInfinity(exponent, false);
  } else if (a.kind === ZERO) {
    e.flags |= ZE;
    setInfinity(exponent, true);
  } else {
    e.operands(a, a);
    fromInteger(exponent, a.exponent >> 31, a.exponent);
    significand.kind = NORMAL;
    significand.exponent = 0;
  }
}
