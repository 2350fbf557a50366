/**
 * Exact binary floating point in 32-bit halves: numbers taken apart, and their sum, product, quotient, root and rounding,
 * with no regard to a format, an exception or a control word. softfloat-x87.ts puts those around it.
 *
 * Why halves: a 64-bit BigInt is an allocation. Division and roots, which are rare, use BigInt.
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
  const s2 =
    (mulHigh(al, bh) >>> 0) + (mulHigh(ah, bl) >>> 0) + (Math.imul(ah, bh) >>> 0) + Math.floor(s1 / 4294967296);
  const s3 = (mulHigh(ah, bh) >>> 0) + Math.floor(s2 / 4294967296);
  r.set(NORMAL, a.negative !== b.negative, a.exponent + b.exponent + 1, s3 | 0, s2 | 0, s1 | 0 | (p0 !== 0 ? 1 : 0));
  if (r.high >= 0) {
    shiftLeft(r, 1);
    r.exponent--;
  }
}

/** r = a ÷ b */
export function divideParts(r: Parts, a: Parts, b: Parts): void {
  const divisor = toBig(b.high, b.low);
  let exponent = a.exponent - b.exponent;
  let shift = 95n;
  if (compareWords(a.high, a.low, b.high, b.low) < 0) {
    exponent--;
    shift = 96n;
  }
  // 96 bits of quotient, the first of which is 1.
  const dividend = toBig(a.high, a.low) << shift;
  const quotient = dividend / divisor;
  const rest = quotient * divisor !== dividend ? 1 : 0;
  const upper = quotient >> 32n;
  r.set(NORMAL, a.negative !== b.negative, exponent, highWord(upper), lowWord(upper), lowWord(quotient) | rest);
}

/** r = √a, a positive. */
export function rootParts(r: Parts, a: Parts): void {
  const odd = a.exponent & 1;
  // The root of a 128-bit integer has 64 bits; 64 more give 96.
  const square = toBig(a.high, a.low) << (odd ? 128n : 127n);
  const root = squareRoot(square);
  const rest = root * root !== square ? 1 : 0;
  const upper = root >> 32n;
  r.set(NORMAL, false, (a.exponent - odd) / 2, highWord(upper), lowWord(upper), lowWord(root) | rest);
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

/** The integer square root, by Newton's method from above. */
export function squareRoot(n: bigint): bigint {
  // The root of the upper 52 bits is a start with as many bits right.
  const shift = BigInt(Math.max(0, (bitLength(n) - 52) & ~1));
  let x = BigInt(Math.ceil(Math.sqrt(Number(n >> shift) + 1))) << (shift >> 1n);
  for (;;) {
    const next = (x + n / x) >> 1n;
    if (next >= x) return x;
    x = next;
  }
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
