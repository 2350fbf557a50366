/**
 * Exact binary floating point in 32-bit halves: numbers taken apart, and their sum, product, quotient, root and rounding,
 * with no regard to a format, an exception or a control word. softfloat-x87.ts puts those around it.
 *
 * Why halves: a 64-bit BigInt is an allocation. Roots, which are rare, use BigInt.
 */

export const ZERO = 0;
export const NORMAL = 1;
/** A number other than zero from a format's denormal encodings; normalized here like any other. */
export const DENORMAL = 2;
export const INFINITE = 3;
export const QUIET_NAN = 4;
export const SIGNALING_NAN = 5;
/** An encoding that is no number (SDM vol. 1, 8.2.2). */
export const UNSUPPORTED = 6;

export type Kind = 0 | 1 | 2 | 3 | 4 | 5 | 6;

/** The exponent of an infinity: above all others. */
export const INFINITE_EXPONENT = 1 << 20;

/** Rounding modes, as in the control word and MXCSR. */
export const NEAREST = 0;
export const DOWN = 1;
export const UP = 2;
export const TRUNCATE = 3;

/** What a rounding did. */
export const INEXACT = 1;
/** The magnitude became larger. */
export const AWAY = 2;

/**
 * A number: ± high:low:extra ÷ 2^95 × 2^exponent with the top bit of `high` set, if `kind` is NORMAL or DENORMAL. The
 * three words are int32. `extra` holds what is beyond 64 bits, its lowest bit standing for everything further down; it is
 * zero in an operand. Of a NaN high:low is the significand as the 80-bit format has it.
 */
export class Parts {
  kind: Kind = ZERO;
  negative = false;
  exponent = 0;
  high = 0;
  low = 0;
  extra = 0;

  set(kind: Kind, negative: boolean, exponent: number, high: number, low: number, extra = 0): this {
    this.kind = kind;
    this.negative = negative;
    this.exponent = exponent;
    this.high = high;
    this.low = low;
    this.extra = extra;
    return this;
  }

  copy(from: Parts): this {
    return this.set(from.kind, from.negative, from.exponent, from.high, from.low, from.extra);
  }

  get isFinite(): boolean {
    return this.kind <= DENORMAL;
  }
}

const TWO_32 = 4294967296;

// --- words ---

/** The upper word of a 32 × 32 bit unsigned product. */
export function mulHigh(a: number, b: number): number {
  const al = a & 0xffff;
  const ah = a >>> 16;
  const bl = b & 0xffff;
  const bh = b >>> 16;
  const low = Math.imul(al, bl);
  // Neither sum reaches 2^32.
  const middle = Math.imul(ah, bl) + (low >>> 16);
  const second = Math.imul(al, bh) + (middle & 0xffff);
  return (Math.imul(ah, bh) + (middle >>> 16) + (second >>> 16)) | 0;
}

/** high:low as an unsigned integer. */
export function toBig(high: number, low: number): bigint {
  return (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0);
}

export function highWord(value: bigint): number {
  return Number((value >> 32n) & 0xffff_ffffn) | 0;
}

export function lowWord(value: bigint): number {
  return Number(value & 0xffff_ffffn) | 0;
}

/** -1, 0, 1 as the unsigned ah:al is below, equal to or above bh:bl. */
export function compareWords(ah: number, al: number, bh: number, bl: number): number {
  if (ah !== bh) return ah >>> 0 < bh >>> 0 ? -1 : 1;
  if (al !== bl) return al >>> 0 < bl >>> 0 ? -1 : 1;
  return 0;
}

// --- shifts of high:low:extra ---

/** Right by n ≥ 0; bits that fall out are remembered in the lowest bit of `extra`. */
export function shiftRight(p: Parts, n: number): void {
  if (n === 0) return;
  let { high, low, extra } = p;
  let count = Math.min(n, 96);
  while (count >= 32) {
    extra = low | (extra !== 0 ? 1 : 0);
    low = high;
    high = 0;
    count -= 32;
  }
  if (count > 0) {
    const lost = extra << (32 - count) !== 0 ? 1 : 0;
    extra = (low << (32 - count)) | (extra >>> count) | lost;
    low = (high << (32 - count)) | (low >>> count);
    high >>>= count;
  }
  p.high = high | 0;
  p.low = low | 0;
  p.extra = extra | 0;
}

/** Left by 0 ≤ n < 64; the value must fit. */
export function shiftLeft(p: Parts, n: number): void {
  let { high, low, extra } = p;
  let count = n;
  if (count >= 32) {
    high = low;
    low = extra;
    extra = 0;
    count -= 32;
  }
  if (count > 0) {
    high = (high << count) | (low >>> (32 - count));
    low = (low << count) | (extra >>> (32 - count));
    extra <<= count;
  }
  p.high = high;
  p.low = low;
  p.extra = extra;
}

/** Makes the top bit 1; a value of zero becomes kind ZERO. */
export function normalize(p: Parts): void {
  if ((p.high | p.low | p.extra) === 0) {
    p.kind = ZERO;
    return;
  }
  while (p.high === 0) {
    p.high = p.low;
    p.low = p.extra;
    p.extra = 0;
    p.exponent -= 32;
  }
  const n = Math.clz32(p.high);
  shiftLeft(p, n);
  p.exponent -= n;
}

// --- arithmetic on numbers other than zero ---

const shifted = new Parts();

/** r = a + b, or a - b; the sign of a sum of zero is for the caller. `r` may be an operand. */
export function addParts(r: Parts, a: Parts, b: Parts, subtract: boolean): void {
  let bNegative = b.negative !== subtract;
  let x = a;
  let y = b;
  let xNegative = a.negative;
  if (a.exponent < b.exponent) {
    x = b;
    y = a;
    xNegative = bNegative;
    bNegative = a.negative;
  }
  shifted.copy(y);
  shiftRight(shifted, x.exponent - y.exponent);
  if (xNegative === bNegative) {
    const low = (x.low >>> 0) + (shifted.low >>> 0);
    const high = (x.high >>> 0) + (shifted.high >>> 0) + (low > 0xffff_ffff ? 1 : 0);
    r.set(NORMAL, xNegative, x.exponent, high | 0, low | 0, shifted.extra);
    if (high > 0xffff_ffff) {
      shiftRight(r, 1);
      r.high |= 0x8000_0000;
      r.exponent++;
    }
    return;
  }
  let order = compareWords(x.high, x.low, shifted.high, shifted.low);
  if (order === 0 && shifted.extra !== 0) order = -1;
  if (order === 0) {
    r.set(ZERO, false, 0, 0, 0);
    return;
  }
  const above = order > 0;
  const [h1, l1, e1] = above ? [x.high, x.low, 0] : [shifted.high, shifted.low, shifted.extra];
  const [h2, l2, e2] = above ? [shifted.high, shifted.low, shifted.extra] : [x.high, x.low, 0];
  const extra = (e1 >>> 0) - (e2 >>> 0);
  const low = (l1 >>> 0) - (l2 >>> 0) - (extra < 0 ? 1 : 0);
  const high = (h1 >>> 0) - (h2 >>> 0) - (low < 0 ? 1 : 0);
  r.set(NORMAL, above ? xNegative : bNegative, x.exponent, high | 0, low | 0, extra | 0);
  normalize(r);
}

/** r = a × b */
export function multiplyParts(r: Parts, a: Parts, b: Parts): void {
  const { high: ah, low: al } = a;
  const { high: bh, low: bl } = b;
  const p0 = Math.imul(al, bl);
  const s1 = (mulHigh(al, bl) >>> 0) + (Math.imul(al, bh) >>> 0) + (Math.imul(ah, bl) >>> 0);
  const s2 = (mulHigh(al, bh) >>> 0) + (mulHigh(ah, bl) >>> 0) + (Math.imul(ah, bh) >>> 0) + Math.floor(s1 / TWO_32);
  const s3 = (mulHigh(ah, bh) >>> 0) + Math.floor(s2 / TWO_32);
  r.set(NORMAL, a.negative !== b.negative, a.exponent + b.exponent + 1, s3 | 0, s2 | 0, s1 | 0 | (p0 !== 0 ? 1 : 0));
  if (r.high >= 0) {
    shiftLeft(r, 1);
    r.exponent--;
  }
}

/** The remainder of a long division: high × 2^32 + low, below the divisor. */
const rest = { high: 0, low: 0 };

/** The next 32 bits of the quotient of `rest` by vh:vl (normalized), `next` being the dividend's next word. */
function quotientDigit(next: number, vh: number, vl: number): number {
  const { high: h, low: l } = rest;
  // Right to within one: the operands of the division are to 2^-53, and so is it.
  const dividend = ((h >>> 0) * TWO_32 + (l >>> 0)) * TWO_32 + (next >>> 0);
  let q = Math.min(0xffff_ffff, Math.floor(dividend / ((vh >>> 0) * TWO_32 + (vl >>> 0)))) | 0;
  const middle = (Math.imul(q, vh) >>> 0) + (mulHigh(q, vl) >>> 0);
  const upper = (mulHigh(q, vh) >>> 0) + (middle > 0xffff_ffff ? 1 : 0);
  let low = (next >>> 0) - (Math.imul(q, vl) >>> 0);
  let high = (l >>> 0) - (middle >>> 0) - (low < 0 ? 1 : 0);
  const top = (h >>> 0) - upper - (high < 0 ? 1 : 0);
  low |= 0;
  high |= 0;
  if (top < 0) {
    q--;
    low = (low >>> 0) + (vl >>> 0);
    high = (high + vh + (low > 0xffff_ffff ? 1 : 0)) | 0;
  } else if (top > 0 || compareWords(high, low, vh, vl) >= 0) {
    q++;
    low = (low >>> 0) - (vl >>> 0);
    high = (high - vh - (low < 0 ? 1 : 0)) | 0;
  }
  rest.high = high;
  rest.low = low | 0;
  return q | 0;
}

/** r = a ÷ b */
export function divideParts(r: Parts, a: Parts, b: Parts): void {
  const { high: vh, low: vl } = b;
  // Of a dividend from half the divisor to it the first word of the quotient has its top bit.
  const halve = compareWords(a.high, a.low, vh, vl) >= 0;
  rest.high = halve ? a.high >>> 1 : a.high;
  rest.low = halve ? (a.high << 31) | (a.low >>> 1) : a.low;
  const high = quotientDigit(halve ? a.low << 31 : 0, vh, vl);
  const low = quotientDigit(0, vh, vl);
  const extra = quotientDigit(0, vh, vl) | ((rest.high | rest.low) !== 0 ? 1 : 0);
  r.set(NORMAL, a.negative !== b.negative, a.exponent - b.exponent - (halve ? 0 : 1), high, low, extra);
}

/** r = √a, a positive. */
export function rootParts(r: Parts, a: Parts): void {
  const odd = a.exponent & 1;
  // The root of a 128-bit integer has 64 bits. Newton's step makes 52 right bits all but the last.
  const square = toBig(a.high, a.low) << (odd ? 64n : 63n);
  const near = BigInt(Math.sqrt(Number(square)));
  let root = (near + square / near) >> 1n;
  while (root * root > square) root--;
  const left = square - root * root;
  // What is left exceeds the root where the next bit is 1.
  const extra = (left > root ? 0x8000_0000 : 0) | (left !== 0n ? 1 : 0);
  r.set(NORMAL, false, (a.exponent - odd) / 2, highWord(root), lowWord(root), extra);
}

export function bitLength(value: bigint): number {
  let length = 0;
  let v = value;
  while (v >= 0x1_0000_0000n) {
    v >>= 32n;
    length += 32;
  }
  return length + 32 - Math.clz32(Number(v));
}

// --- rounding ---

/**
 * Rounds to a multiple of 2^(drop + shift) units of the 64-bit significand, having shifted it right by `shift` (which makes
 * it denormal). A carry out of the significand goes to the exponent. Returns INEXACT and AWAY bits.
 */
export function roundParts(p: Parts, drop: number, shift: number, mode: number): number {
  shiftRight(p, drop + shift);
  if (p.extra === 0) {
    shiftLeft(p, drop);
    return 0;
  }
  const away = roundsAway(p, mode);
  p.extra = 0;
  if (away) {
    p.low = (p.low + 1) | 0;
    if (p.low === 0) p.high = (p.high + 1) | 0;
  }
  shiftLeft(p, drop);
  if (!away) return INEXACT;
  if ((p.high | p.low) === 0) {
    p.high = 0x8000_0000 | 0;
    p.exponent++;
  }
  return INEXACT | AWAY;
}

/** `extra` is not zero. */
function roundsAway(p: Parts, mode: number): boolean {
  if (mode === NEAREST) return p.extra < 0 && ((p.extra & 0x7fff_ffff) !== 0 || (p.low & 1) === 1);
  return mode !== TRUNCATE && (mode === DOWN) === p.negative;
}
