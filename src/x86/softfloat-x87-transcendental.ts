/**
 * The x87's transcendental functions in BigInt fixed point: Intel SDM vol. 1, 8.3.8 … 8.3.10, and vol. 2. The SDM promises
 * an error below 1 ulp; these are computed to about 2^-150 and rounded once, so they are right but for ties nobody meets.
 * Processors of Intel and AMD differ in the last bit; every host gives these.
 *
 * Near zero a function is its argument times a series that is near a constant, so that the smallest results are as exact as
 * the others. A result counts as inexact although it may happen to be exact, as in processors.
 */

import { PE, setInfinity, setZero, UE, ZE } from './softfloat.ts';
import { bitLength, DENORMAL, highWord, INFINITE, lowWord, NORMAL, type Parts, toBig, ZERO } from './softfloat-core.ts';
import { EXTENDED, type X87Arithmetic } from './softfloat-x87.ts';

const TOP_BIT = 0x8000_0000 | 0;

/** Fixed point: integers in units of 2^-160. */
const BITS = 160;
const SHIFT = BigInt(BITS);
const ONE = 1n << SHIFT;
/** π, ln 2 and 1 ÷ ln 2. */
const PI = 0x3_243f_6a88_85a3_08d3_1319_8a2e_0370_7344_a409_3822n;
const LN2 = 0xb172_17f7_d1cf_79ab_c9e3_b398_03f2_f6af_40f3_4326n;
const LOG2E = (ONE << SHIFT) / LN2;
/** π of FSIN and the like, in units of 2^-66 (SDM vol. 1, 8.3.8): the arguments are reduced by it, as if it were exact. */
const REDUCTION_PI = 0xc_90fd_aa22_168c_234cn;
const REDUCTION_BITS = 66;

/** ± significand × 2^exponent, or near that. */
interface Real {
  readonly negative: boolean;
  readonly significand: bigint;
  readonly exponent: number;
  /** Exactly that. */
  readonly exact?: boolean;
}

// --- to and from numbers ---

function significandOf(p: Parts): bigint {
  return toBig(p.high, p.low);
}

/** r = the number, which is not zero, rounded. */
function put(e: X87Arithmetic, r: Parts, { negative, significand, exponent, exact = false }: Real): void {
  const length = bitLength(significand);
  const words = length > 96 ? significand >> BigInt(length - 96) : significand << BigInt(96 - length);
  const upper = words >> 32n;
  const extra = lowWord(words) | (exact ? 0 : 1);
  r.set(NORMAL, negative, exponent + length - 1, highWord(upper), lowWord(upper), extra);
  e.finish(r, EXTENDED);
  e.flags |= r.kind === DENORMAL ? UE | PE : PE;
}

/** The fixed-point number. */
function fixed(value: bigint): Real {
  return { negative: value < 0n, significand: value < 0n ? -value : value, exponent: -BITS };
}

/** significand × 2^exponent as fixed point. */
function toFixed(significand: bigint, exponent: number): bigint {
  const shift = exponent + BITS;
  return shift >= 0 ? significand << BigInt(shift) : significand >> BigInt(-shift);
}

/** (significand × 2^exponent)² as fixed point. */
function squared(significand: bigint, exponent: number): bigint {
  return exponent < -2 * BITS ? 0n : toFixed(significand * significand, 2 * exponent);
}

// --- series ---

/** Σ (±1)^k z^k ÷ (d1 × d2 × … dk), z ≥ 0; `alternate`: the signs alternate. */
function powerSeries(z: bigint, alternate: boolean, divisor: (k: number) => number): bigint {
  let sum = ONE;
  let term = ONE;
  for (let k = 1; ; k++) {
    term = ((term * z) >> SHIFT) / BigInt(divisor(k));
    if (term === 0n) return sum;
    sum += alternate && (k & 1) === 1 ? -term : term;
  }
}

/** sin x ÷ x, of z = x². */
function sineSeries(z: bigint): bigint {
  return powerSeries(z, true, (k) => 2 * k * (2 * k + 1));
}

/** cos x, of z = x². */
function cosineSeries(z: bigint): bigint {
  return powerSeries(z, true, (k) => (2 * k - 1) * 2 * k);
}

/** (e^x - 1) ÷ x, of |x|. */
function exponentialSeries(x: bigint, negative: boolean): bigint {
  return powerSeries(x, negative, (k) => k + 1);
}

/** artanh x ÷ x = 1 + z ÷ 3 + z² ÷ 5 …, of z = x²; with alternating signs arctan x ÷ x. */
function inverseSeries(z: bigint, alternate: boolean): bigint {
  let sum = ONE;
  let power = ONE;
  for (let k = 1; ; k++) {
    power = (power * z) >> SHIFT;
    if (power === 0n) return sum;
    const term = power / BigInt(2 * k + 1);
    sum += alternate && (k & 1) === 1 ? -term : term;
  }
}

/** Below 1, where the function is less than its argument. */
function belowOne(series: bigint): bigint {
  return series < ONE ? series : ONE - 1n;
}

// --- FSIN, FCOS, FSINCOS, FPTAN ---

/** x = quadrant × π/2 + rest, |rest| ≤ π/4. `rest` is zero only where x is. */
interface Reduced {
  readonly quadrant: number;
  readonly rest: Real;
}

/** The largest exponent of an argument: |x| < 2^63. */
const LAST_EXPONENT = 62;

function reduce(x: Parts): Reduced {
  const significand = significandOf(x);
  const exponent = x.exponent - 63;
  if (x.exponent < -1) return { quadrant: 0, rest: { negative: x.negative, significand, exponent } };
  // In units of 2^-67 π/2 is REDUCTION_PI.
  const unit = -(REDUCTION_BITS + 1);
  const value = significand << BigInt(exponent - unit);
  const count = (2n * value + REDUCTION_PI) / (2n * REDUCTION_PI);
  const rest = value - count * REDUCTION_PI;
  const quadrant = Number(count & 3n);
  return {
    quadrant: x.negative ? -quadrant & 3 : quadrant,
    rest: { negative: rest < 0n !== x.negative, significand: rest < 0n ? -rest : rest, exponent: unit },
  };
}

function sineOf({ negative, significand, exponent }: Real): Real {
  const series = belowOne(sineSeries(squared(significand, exponent)));
  return { negative, significand: significand * series, exponent: exponent - BITS };
}

function cosineOf({ significand, exponent }: Real): Real {
  return fixed(belowOne(cosineSeries(squared(significand, exponent))));
}

function negated(x: Real): Real {
  return { ...x, negative: !x.negative };
}

/** sin (rest + quadrant × π/2) */
function sineIn({ quadrant, rest }: Reduced): Real {
  const value = (quadrant & 1) === 0 ? sineOf(rest) : cosineOf(rest);
  return quadrant < 2 ? value : negated(value);
}

function quotient(a: Real, b: Real): Real {
  const shift = Math.max(0, BITS + bitLength(b.significand) - bitLength(a.significand));
  return {
    negative: a.negative !== b.negative,
    significand: (a.significand << BigInt(shift)) / b.significand,
    exponent: a.exponent - b.exponent - shift,
  };
}

/** A function of an angle in ST(0). False: the angle is too large, and nothing happens but that C2 tells so. */
type OfAngle = (e: X87Arithmetic, results: readonly Parts[], x: Parts) => boolean;

/** `zero` sets the results for an argument of zero, `compute` for others. */
function ofAngle(
  zero: (results: readonly Parts[], negative: boolean) => void,
  compute: (x: Reduced) => readonly Real[],
): OfAngle {
  return (e, results, x) => {
    const first = results[0]!;
    if (e.nan(first, x, x)) {
      for (const r of results) r.copy(first);
    } else if (x.kind === INFINITE) {
      for (const r of results) e.invalid(r);
    } else if (x.kind === ZERO) {
      zero(results, x.negative);
    } else {
      if (x.exponent > LAST_EXPONENT) return false;
      e.operands(x, x);
      compute(reduce(x)).forEach((value, i) => {
        put(e, results[i]!, value);
      });
    }
    return true;
  };
}

export function setOne(r: Parts): void {
  r.set(NORMAL, false, 0, TOP_BIT, 0);
}

const nextQuadrant = (x: Reduced): Reduced => ({ ...x, quadrant: (x.quadrant + 1) & 3 });

export const sine = ofAngle(
  ([r], negative) => setZero(r!, negative),
  (x) => [sineIn(x)],
);

export const cosine = ofAngle(
  ([r]) => setOne(r!),
  (x) => [sineIn(nextQuadrant(x))],
);

/** Sine and cosine. */
export const sineCosine = ofAngle(
  ([s, c], negative) => {
    setZero(s!, negative);
    setOne(c!);
  },
  (x) => [sineIn(x), sineIn(nextQuadrant(x))],
);

export const tangent = ofAngle(
  ([r], negative) => setZero(r!, negative),
  (x) => [quotient(sineIn(x), sineIn(nextQuadrant(x)))],
);

// --- FPATAN ---

/** arctan (j ÷ 16), fixed point, for j = 0 … 16. */
const arctangents: bigint[] = [];

/** Euler's series: with q = x² ÷ (1 + x²), arctan x = (q ÷ x) (1 + 2/3 q (1 + 4/5 q (1 + …))). */
function arctangentOfSixteenths(j: number): bigint {
  const known = arctangents[j];
  if (known !== undefined) return known;
  const square = BigInt(j * j);
  let term = (BigInt(16 * j) << SHIFT) / (256n + square);
  let sum = 0n;
  for (let n = 2n; term !== 0n; n += 2n) {
    sum += term;
    term = (term * n * square) / ((n + 1n) * (256n + square));
  }
  arctangents[j] = sum;
  return sum;
}

/** arctan (p ÷ q × 2^exponent) of 64-bit significands p and q; the quotient is at most 1. */
function arctangentOf(p: bigint, q: bigint, exponent: number): Real {
  // A sixteenth near the quotient, and what is left: tan (a - b) = (tan a - tan b) ÷ (1 + tan a × tan b).
  const far = exponent < -8;
  const n = far ? p : p << BigInt(Math.max(0, exponent));
  const d = far ? q : q << BigInt(Math.max(0, -exponent));
  const j = far ? 0 : Number((32n * n + d) / (2n * d));
  if (j === 0) {
    const ratio = quotient(
      { negative: false, significand: p, exponent },
      { negative: false, significand: q, exponent: 0 },
    );
    const series = belowOne(inverseSeries(squared(ratio.significand, ratio.exponent), true));
    return { negative: false, significand: ratio.significand * series, exponent: ratio.exponent - BITS };
  }
  const left = ((16n * n - BigInt(j) * d) << SHIFT) / (16n * d + BigInt(j) * n);
  const series = inverseSeries((left * left) >> SHIFT, true);
  return fixed(arctangentOfSixteenths(j) + ((left * series) >> SHIFT));
}

/** r = the angle of the point (x, y). */
export function arctangent(e: X87Arithmetic, r: Parts, x: Parts, y: Parts): void {
  if (e.nan(r, x, y)) return;
  e.operands(x, y);
  const yOverX = y.kind === ZERO || x.kind === INFINITE;
  const xOverY = x.kind === ZERO || y.kind === INFINITE;
  let angle: Real | null;
  if (yOverX && y.kind !== INFINITE) {
    // On the axis of x.
    angle = x.negative ? fixed(PI) : null;
  } else if (xOverY && x.kind !== INFINITE) {
    angle = fixed(PI >> 1n);
  } else if (yOverX) {
    angle = fixed(x.negative ? (PI >> 1n) + (PI >> 2n) : PI >> 2n);
  } else {
    angle = angleOf(x, y);
  }
  if (angle === null) setZero(r, y.negative);
  else put(e, r, { ...angle, negative: y.negative });
}

/** Of (x, |y|), both finite and not zero. */
function angleOf(x: Parts, y: Parts): Real {
  const [mx, my] = [significandOf(x), significandOf(y)];
  const steep = y.exponent > x.exponent || (y.exponent === x.exponent && my > mx);
  const angle = steep ? arctangentOf(mx, my, x.exponent - y.exponent) : arctangentOf(my, mx, y.exponent - x.exponent);
  if (!steep && !x.negative) return angle;
  const value = toFixed(angle.significand, angle.exponent);
  if (!steep) return fixed(PI - value);
  return fixed((PI >> 1n) + (x.negative ? value : -value));
}

// --- F2XM1 ---

/** r = 2^x - 1, for |x| ≤ 1; beyond, where the SDM promises nothing, x. */
export function powerOfTwo(e: X87Arithmetic, r: Parts, x: Parts): void {
  if (e.nan(r, x, x)) return;
  r.copy(x);
  if (x.kind === ZERO) return;
  if (x.kind === INFINITE) {
    if (x.negative) setOne(r);
    r.negative = x.negative;
    return;
  }
  e.operands(x, x);
  if (x.exponent >= 0) {
    e.flags |= PE;
    if (x.negative && x.exponent === 0 && x.high === TOP_BIT && x.low === 0) r.exponent = -1;
    return;
  }
  const significand = significandOf(x);
  const y = (toFixed(significand, x.exponent - 63) * LN2) >> SHIFT;
  const series = exponentialSeries(y, x.negative);
  put(e, r, { negative: x.negative, significand: significand * LN2 * series, exponent: x.exponent - 63 - 2 * BITS });
}

// --- FYL2X, FYL2XP1 ---

/** log2 (1 + n ÷ d), n of either sign, not zero, n ÷ d between √½ - 1 and √2 - 1. */
function logarithmNear1(n: bigint, d: bigint): Real {
  // ln (1 + f) = 2 artanh (f ÷ (2 + f))
  const half = quotient(
    { negative: n < 0n, significand: n < 0n ? -n : n, exponent: 0 },
    { negative: false, significand: 2n * d + n, exponent: 0 },
  );
  const series = inverseSeries(squared(half.significand, half.exponent), false);
  return {
    negative: half.negative,
    significand: half.significand * series * LOG2E,
    exponent: half.exponent + 1 - 2 * BITS,
  };
}

/** log2 of an integer whose top bit counts 2^exponent. */
function logarithm(value: bigint, exponent: number): Real {
  const one = 1n << BigInt(bitLength(value) - 1);
  // Between √½ and √2.
  const above = value * value > 2n * one * one;
  const whole = BigInt(above ? exponent + 1 : exponent);
  const unit = above ? 2n * one : one;
  if (value === unit) {
    return { negative: whole < 0n, significand: whole < 0n ? -whole : whole, exponent: 0, exact: true };
  }
  const rest = logarithmNear1(value - unit, unit);
  if (whole === 0n) return rest;
  const fraction = toFixed(rest.significand, rest.exponent);
  return fixed(whole * ONE + (rest.negative ? -fraction : fraction));
}

/** log2 (1 + x) for x > -1, x not zero. */
function logarithmPlus1(x: Parts): Real {
  const significand = significandOf(x);
  // So small that it is x ÷ ln 2; so large that it is log2 x.
  if (x.exponent < -BITS) {
    return { negative: x.negative, significand: significand * LOG2E, exponent: x.exponent - 63 - BITS };
  }
  if (x.exponent > BITS) return logarithm(significand, x.exponent);
  const signed = x.negative ? -significand : significand;
  const scale = Math.max(0, 63 - x.exponent);
  const one = 1n << BigInt(scale);
  if (x.exponent < -2) return logarithmNear1(signed, one);
  const sum = one + (signed << BigInt(scale + x.exponent - 63));
  return logarithm(sum, bitLength(sum) - 1 - scale);
}

/** r = y × an infinity */
function timesInfinity(e: X87Arithmetic, r: Parts, y: Parts, negative: boolean): void {
  if (y.kind === ZERO) {
    e.invalid(r);
    return;
  }
  e.operands(y, y);
  setInfinity(r, y.negative !== negative);
}

/** r = y × a finite number, which may be zero. */
function timesReal(e: X87Arithmetic, r: Parts, y: Parts, factor: Real): void {
  const negative = y.negative !== factor.negative;
  if (y.kind === INFINITE) {
    if (factor.significand === 0n) e.invalid(r);
    else setInfinity(r, negative);
  } else if (y.kind === ZERO || factor.significand === 0n) {
    setZero(r, negative);
  } else {
    const significand = significandOf(y) * factor.significand;
    put(e, r, { ...factor, negative, significand, exponent: factor.exponent + y.exponent - 63 });
  }
}

/** r = y × log2 x */
export function yLog2(e: X87Arithmetic, r: Parts, x: Parts, y: Parts): void {
  if (e.nan(r, x, y)) return;
  if (x.kind === ZERO && (y.kind === NORMAL || y.kind === DENORMAL)) {
    e.flags |= ZE;
    setInfinity(r, !y.negative);
  } else if (x.kind === ZERO) {
    timesInfinity(e, r, y, true);
  } else if (x.negative) {
    e.invalid(r);
  } else if (x.kind === INFINITE) {
    timesInfinity(e, r, y, false);
  } else {
    e.operands(x, y);
    timesReal(e, r, y, logarithm(significandOf(x), x.exponent));
  }
}

/** r = y × log2 (x + 1), for |x| ≤ 1 - √½; beyond, the SDM promises nothing. */
export function yLog2Plus1(e: X87Arithmetic, r: Parts, x: Parts, y: Parts): void {
  if (e.nan(r, x, y)) return;
  if (x.kind === ZERO) {
    e.operands(x, y);
    timesReal(e, r, y, { negative: x.negative, significand: 0n, exponent: 0 });
  } else if (x.negative && x.exponent >= 0) {
    e.invalid(r);
  } else if (x.kind === INFINITE) {
    timesInfinity(e, r, y, false);
  } else {
    e.operands(x, y);
    timesReal(e, r, y, logarithmPlus1(x));
  }
}
