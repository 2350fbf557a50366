/**
 * IEEE 754 binary32 and binary64 in integers, as SSE does it: Intel SDM vol. 1, chapter 4.8 and sections 11.5.2 (exception
 * conditions) and 10.2.3 (MXCSR). Exact and slow: for MXCSR settings that WebAssembly's arithmetic does not have.
 *
 * Every function takes operands as bits and adds to `flags` of its environment the exceptions met, masked or not.
 */

export interface Format {
  readonly width: bigint;
  readonly fractionBits: number;
  readonly bias: number;
  readonly sign: bigint;
  readonly infinity: bigint;
  readonly quiet: bigint;
  readonly fraction: bigint;
}

export const BINARY32: Format = format(32n, 23, 127);
export const BINARY64: Format = format(64n, 52, 1023);

function format(width: bigint, fractionBits: number, bias: number): Format {
  const fraction = (1n << BigInt(fractionBits)) - 1n;
  const sign = 1n << (width - 1n);
  return { width, fractionBits, bias, sign, infinity: sign - 1n - fraction, quiet: (fraction + 1n) >> 1n, fraction };
}

/** MXCSR exception flags; the masks are the same seven bits higher. */
export const IE = 1;
export const DE = 2;
export const ZE = 4;
export const OE = 8;
export const UE = 16;
export const PE = 32;
export const PRE_COMPUTATION = IE | DE | ZE;

/** MXCSR.RC */
const NEAREST = 0;
const DOWN = 1;
const UP = 2;
const ZERO = 3;

export class FloatEnvironment {
  flags = 0;
  readonly rounding: number;
  readonly flushToZero: boolean;
  readonly denormalsAreZero: boolean;
  /** Exceptions that are not masked. */
  readonly unmasked: number;

  constructor(mxcsr: number) {
    this.rounding = (mxcsr >> 13) & 3;
    this.flushToZero = (mxcsr & 0x8000) !== 0;
    this.denormalsAreZero = (mxcsr & 0x40) !== 0;
    this.unmasked = ~(mxcsr >> 7) & 63;
  }

  // --- classes ---

  isNan(f: Format, bits: bigint): boolean {
    return (bits & ~f.sign) > f.infinity;
  }

  isSignaling(f: Format, bits: bigint): boolean {
    return this.isNan(f, bits) && (bits & f.quiet) === 0n;
  }

  isDenormal(f: Format, bits: bigint): boolean {
    const magnitude = bits & ~f.sign;
    return magnitude !== 0n && magnitude <= f.fraction;
  }

  /** The operand as the instruction sees it: denormals are zero, or an exception. */
  operand(f: Format, bits: bigint): bigint {
    if (!this.isDenormal(f, bits)) return bits;
    if (this.denormalsAreZero) return bits & f.sign;
    this.flags |= DE;
    return bits;
  }

  #flushed(f: Format, bits: bigint): bigint {
    return this.denormalsAreZero && this.isDenormal(f, bits) ? bits & f.sign : bits;
  }

  /** The NaN that an operation on these gives, or -1. Table 4-7. */
  #nan(f: Format, a: bigint, b: bigint): bigint {
    if (!this.isNan(f, a) && !this.isNan(f, b)) return -1n;
    if (this.isSignaling(f, a) || this.isSignaling(f, b)) this.flags |= IE;
    return (this.isNan(f, a) ? a : b) | f.quiet;
  }

  invalid(f: Format): bigint {
    this.flags |= IE;
    return f.sign | f.infinity | f.quiet;
  }

  // --- rounding ---

  /** significand × 2^exponent (plus a little if `sticky`) rounded to the format. significand > 0 unless exact zero. */
  round(f: Format, negative: boolean, significand: bigint, exponent: number, sticky = false): bigint {
    const sign = negative ? f.sign : 0n;
    if (significand === 0n) return sign;
    const precision = f.fractionBits + 1;
    const minimum = 1 - f.bias - f.fractionBits;
    const top = exponent + bitLength(significand) - 1;
    const normal = top - f.fractionBits;
    // Tiny: below the smallest normal number although rounded as if the exponent had no bounds (SDM vol. 1, 4.9.1.5).
    let r = this.#roundAt(negative, significand, exponent, sticky, normal);
    const tiny = normal + bitLength(r.value) - precision < minimum;
    if (tiny) {
      if (this.unmasked & UE) {
        this.flags |= UE;
        if (r.inexact) this.flags |= PE;
        return sign;
      }
      if (this.flushToZero) {
        this.flags |= UE | PE;
        return sign;
      }
    }
    const lowest = Math.max(normal, minimum);
    if (lowest !== normal) r = this.#roundAt(negative, significand, exponent, sticky, lowest);
    if (r.inexact) this.flags |= tiny ? UE | PE : PE;
    let { value } = r;
    let e = lowest;
    if (bitLength(value) > precision) {
      value >>= 1n;
      e++;
    }
    if (bitLength(value) < precision) return sign | value;
    const biased = e + f.fractionBits + f.bias;
    if (biased > 2 * f.bias) {
      this.flags |= OE;
      if (!(this.unmasked & OE) || r.inexact) this.flags |= PE;
      const infinite =
        this.rounding === NEAREST || (this.rounding === UP && !negative) || (this.rounding === DOWN && negative);
      return sign | (infinite ? f.infinity : f.infinity - 1n);
    }
    return sign | (BigInt(biased) << BigInt(f.fractionBits)) | (value & f.fraction);
  }

  /** significand × 2^exponent as a multiple of 2^lowest. */
  #roundAt(negative: boolean, significand: bigint, exponent: number, sticky: boolean, lowest: number) {
    if (exponent >= lowest) return { value: significand << BigInt(exponent - lowest), inexact: sticky };
    const shift = BigInt(lowest - exponent);
    let value = significand >> shift;
    const rest = significand & ((1n << shift) - 1n);
    const inexact = rest !== 0n || sticky;
    const half = 1n << (shift - 1n);
    let up = false;
    if (this.rounding === NEAREST) {
      up = rest > half || (rest === half && (sticky || (value & 1n) === 1n));
    } else if (this.rounding !== ZERO) {
      up = inexact && (this.rounding === DOWN) === negative;
    }
    if (up) value++;
    return { value, inexact };
  }

  /** [significand, exponent] of a finite number's magnitude. */
  #parts(f: Format, bits: bigint): [bigint, number] {
    const magnitude = bits & ~f.sign;
    const biased = Number(magnitude >> BigInt(f.fractionBits));
    const fraction = magnitude & f.fraction;
    if (biased === 0) return [fraction, 1 - f.bias - f.fractionBits];
    return [fraction | (f.fraction + 1n), biased - f.bias - f.fractionBits];
  }

  // --- arithmetic ---

  add(f: Format, x: bigint, y: bigint): bigint {
    const nan = this.#nan(f, x, y);
    if (nan >= 0n) return nan;
    const infinite = (v: bigint) => (v & ~f.sign) === f.infinity;
    if (infinite(x) && infinite(y)) return x === y ? x : this.invalid(f);
    const a = this.operand(f, x);
    const b = this.operand(f, y);
    if (infinite(a)) return a;
    if (infinite(b)) return b;
    const [sa, ea] = this.#parts(f, a);
    const [sb, eb] = this.#parts(f, b);
    const e = Math.min(ea, eb);
    const signed = (v: bigint, s: bigint, k: number) => ((v & f.sign) !== 0n ? -s : s) << BigInt(k - e);
    const sum = signed(a, sa, ea) + signed(b, sb, eb);
    if (sum === 0n) {
      // Zeros of like sign keep it; else the zero is negative only when rounding down.
      if (sa === 0n && sb === 0n && (a & f.sign) === (b & f.sign)) return a;
      return this.rounding === DOWN ? f.sign : 0n;
    }
    return this.round(f, sum < 0n, sum < 0n ? -sum : sum, e);
  }

  sub(f: Format, a: bigint, b: bigint): bigint {
    return this.add(f, a, this.isNan(f, b) ? b : b ^ f.sign);
  }

  mul(f: Format, x: bigint, y: bigint): bigint {
    const nan = this.#nan(f, x, y);
    if (nan >= 0n) return nan;
    const sign = (x ^ y) & f.sign;
    const magnitude = (v: bigint) => this.#flushed(f, v) & ~f.sign;
    const infinite = magnitude(x) === f.infinity || magnitude(y) === f.infinity;
    if (infinite && (magnitude(x) === 0n || magnitude(y) === 0n)) return this.invalid(f);
    const a = this.operand(f, x);
    const b = this.operand(f, y);
    if (infinite) return sign | f.infinity;
    const [sa, ea] = this.#parts(f, a);
    const [sb, eb] = this.#parts(f, b);
    return this.round(f, sign !== 0n, sa * sb, ea + eb);
  }

  div(f: Format, x: bigint, y: bigint): bigint {
    const nan = this.#nan(f, x, y);
    if (nan >= 0n) return nan;
    const sign = (x ^ y) & f.sign;
    const mx = this.#flushed(f, x) & ~f.sign;
    const my = this.#flushed(f, y) & ~f.sign;
    if ((mx === f.infinity && my === f.infinity) || (mx === 0n && my === 0n)) return this.invalid(f);
    if (my === 0n && mx !== f.infinity) {
      this.flags |= ZE;
      return sign | f.infinity;
    }
    const a = this.operand(f, x);
    const b = this.operand(f, y);
    if (mx === f.infinity) return sign | f.infinity;
    if (my === f.infinity) return sign;
    const [sa, ea] = this.#parts(f, a);
    const [sb, eb] = this.#parts(f, b);
    // At least two bits more than the format has.
    const shift = BigInt(Math.max(0, f.fractionBits + 4 + bitLength(sb) - bitLength(sa)));
    const n = sa << shift;
    return this.round(f, sign !== 0n, n / sb, ea - eb - Number(shift), n % sb !== 0n);
  }

  sqrt(f: Format, x: bigint): bigint {
    const nan = this.#nan(f, x, x);
    if (nan >= 0n) return nan;
    const flushed = this.#flushed(f, x);
    if ((flushed & ~f.sign) === 0n) return flushed;
    if ((x & f.sign) !== 0n) return this.invalid(f);
    if (x === f.infinity) return x;
    const a = this.operand(f, x);
    let [s, e] = this.#parts(f, a);
    let shift = Math.max(0, 2 * (f.fractionBits + 4) - bitLength(s));
    if ((e - shift) & 1) shift++;
    s <<= BigInt(shift);
    e -= shift;
    const root = squareRoot(s);
    return this.round(f, false, root, e / 2, root * root !== s);
  }

  // --- comparison ---

  /** -1 less, 0 equal, 1 greater, 2 unordered; `quiet`: a quiet NaN is no exception. */
  compare(f: Format, x: bigint, y: bigint, quiet: boolean): number {
    if (this.isNan(f, x) || this.isNan(f, y)) {
      if (!quiet || this.isSignaling(f, x) || this.isSignaling(f, y)) this.flags |= IE;
      return 2;
    }
    const a = this.operand(f, x);
    const b = this.operand(f, y);
    const order = (v: bigint) => ((v & f.sign) !== 0n ? -(v & ~f.sign) : v);
    return order(a) < order(b) ? -1 : order(a) > order(b) ? 1 : 0;
  }

  /** minss, maxss and so on. */
  extreme(f: Format, x: bigint, y: bigint, minimum: boolean): bigint {
    const order = this.compare(f, x, y, false);
    return this.#flushed(f, order === (minimum ? -1 : 1) ? x : y);
  }

  // --- conversion ---

  fromInteger(f: Format, value: bigint): bigint {
    return this.round(f, value < 0n, value < 0n ? -value : value, 0);
  }

  /** A signed integer of `bits` bits as its two's complement. */
  toInteger(f: Format, x: bigint, bits: number, truncate: boolean): bigint {
    const indefinite = 1n << BigInt(bits - 1);
    const a = this.#flushed(f, x);
    if ((a & ~f.sign) >= f.infinity) {
      this.flags |= IE;
      return indefinite;
    }
    const [s, e] = this.#parts(f, a);
    const negative = (a & f.sign) !== 0n;
    const environment = truncate ? TRUNCATING : this;
    const { value, inexact } = environment.#roundAt(negative, s, e, false, 0);
    if (negative ? value > indefinite : value >= indefinite) {
      this.flags |= IE;
      return indefinite;
    }
    if (inexact) this.flags |= PE;
    return BigInt.asUintN(bits, negative ? -value : value);
  }

  /** Between the formats. */
  convert(from: Format, to: Format, x: bigint): bigint {
    const sign = (x & from.sign) !== 0n ? to.sign : 0n;
    if (this.isNan(from, x)) {
      if (this.isSignaling(from, x)) this.flags |= IE;
      const shift = BigInt(to.fractionBits - from.fractionBits);
      const fraction = x & from.fraction;
      return sign | to.infinity | to.quiet | (shift >= 0n ? fraction << shift : fraction >> -shift);
    }
    const a = this.operand(from, x);
    if ((a & ~from.sign) === from.infinity) return sign | to.infinity;
    const [s, e] = this.#parts(from, a);
    return this.round(to, sign !== 0n, s, e);
  }
}

/** Round toward zero. */
const TRUNCATING = new FloatEnvironment(0x7f80);

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
function squareRoot(n: bigint): bigint {
  let x = 1n << BigInt((bitLength(n) + 1) >> 1);
  for (;;) {
    const next = (x + n / x) >> 1n;
    if (next >= x) return x;
    x = next;
  }
}
