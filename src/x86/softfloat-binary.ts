/**
 * IEEE 754 binary32 and binary64 in integers, as SSE does it: Intel SDM vol. 1, 11.5.2 (exception conditions) and 10.2.3
 * (MXCSR); as the x87 loads and stores it. Slow beside WebAssembly's arithmetic: for MXCSR settings that that does not have.
 */

import { Arithmetic, DE, negate, PE, PRE_COMPUTATION, type Range, setInfinity } from './softfloat.ts';
import {
  DENORMAL,
  highWord,
  lowWord,
  NORMAL,
  normalize,
  Parts,
  QUIET_NAN,
  SIGNALING_NAN,
  TRUNCATE,
  toBig,
  ZERO,
} from './softfloat-core.ts';

const TOP_BIT = 0x8000_0000 | 0;
const QUIET_BIT = 0x4000_0000;

const SINGLE: Range = { drop: 40, min: -126, max: 127 };
const DOUBLE: Range = { drop: 11, min: -1022, max: 1023 };

// --- encodings: a number's words, and the number taken apart ---

export function fromSingle(p: Parts, bits: number): Parts {
  const negative = bits < 0;
  const biased = (bits >>> 23) & 0xff;
  const high = (bits << 8) & 0x7fff_ffff;
  if (biased > 0 && biased < 0xff) return p.set(NORMAL, negative, biased - 127, high | TOP_BIT, 0);
  return special(p, negative, biased === 0 ? SINGLE.min : SINGLE.max, high, 0);
}

export function fromDouble(p: Parts, upper: number, lower: number): Parts {
  const negative = upper < 0;
  const biased = (upper >>> 20) & 0x7ff;
  const high = ((upper << 11) | (lower >>> 21)) & 0x7fff_ffff;
  const low = lower << 11;
  if (biased > 0 && biased < 0x7ff) return p.set(NORMAL, negative, biased - 1023, high | TOP_BIT, low);
  return special(p, negative, biased === 0 ? DOUBLE.min : DOUBLE.max, high, low);
}

/** Zeros and denormals (exponent below zero), infinities and NaNs. */
function special(p: Parts, negative: boolean, exponent: number, high: number, low: number): Parts {
  if (exponent < 0) {
    p.set(DENORMAL, negative, exponent, high, low);
    normalize(p);
    return p.kind === ZERO ? p.set(ZERO, negative, 0, 0, 0) : p;
  }
  if ((high | low) === 0) return setInfinity(p, negative);
  return p.set((high & QUIET_BIT) !== 0 ? QUIET_NAN : SIGNALING_NAN, negative, 0, high | TOP_BIT, low);
}

/** A two's complement integer. */
export function fromInteger(p: Parts, high: number, low: number): Parts {
  p.set(NORMAL, high < 0, 63, high, low);
  if (p.negative) negate(p);
  normalize(p);
  return p;
}

/** The number rounded to a single, whose bits are r.low. */
export function toSingle(e: Arithmetic, r: Parts, a: Parts): void {
  toRange(e, r, a, SINGLE);
  packSingle(r);
}

/** The number rounded to a double, whose words are r.high and r.low. */
export function toDouble(e: Arithmetic, r: Parts, a: Parts): void {
  toRange(e, r, a, DOUBLE);
  packDouble(r);
}

function toRange(e: Arithmetic, r: Parts, a: Parts, range: Range): void {
  if (e.nan(r, a, a)) return;
  r.copy(a);
  if (a.kind === NORMAL || a.kind === DENORMAL) e.finish(r, range);
}

function packSingle(r: Parts): void {
  const sign = r.negative ? TOP_BIT : 0;
  const fraction = (r.high >>> 8) & 0x7f_ffff;
  if (r.kind === NORMAL) r.low = sign | ((r.exponent + 127) << 23) | fraction;
  else if (r.kind === DENORMAL) r.low = sign | (r.high >>> 8);
  else r.low = r.kind === ZERO ? sign : sign | 0x7f80_0000 | fraction;
}

function packDouble(r: Parts): void {
  const sign = r.negative ? TOP_BIT : 0;
  const fraction = (r.high >>> 11) & 0xf_ffff;
  const low = (r.high << 21) | (r.low >>> 11);
  if (r.kind === NORMAL) r.high = sign | ((r.exponent + 1023) << 20) | fraction;
  else if (r.kind === DENORMAL) r.high = sign | (r.high >>> 11);
  else r.high = r.kind === ZERO ? sign : sign | 0x7ff0_0000 | fraction;
  r.low = r.kind === ZERO ? 0 : low;
}

// --- SSE ---

export interface Format {
  readonly width: bigint;
  readonly range: Range;
}

export const BINARY32: Format = { width: 32n, range: SINGLE };
export const BINARY64: Format = { width: 64n, range: DOUBLE };

/** Operands and results are bits. */
export class FloatEnvironment extends Arithmetic {
  override range: Range = DOUBLE;
  readonly denormalsAreZero: boolean;
  /** The flags of the steps before. */
  #settled = 0;
  readonly #a = new Parts();
  readonly #b = new Parts();
  readonly #r = new Parts();

  constructor(mxcsr: number) {
    super();
    this.rounding = (mxcsr >> 13) & 3;
    this.flushToZero = (mxcsr & 0x8000) !== 0;
    this.denormalsAreZero = (mxcsr & 0x40) !== 0;
    this.unmasked = ~(mxcsr >> 7) & 63;
  }

  /**
   * Ends a step of an instruction: true where it raises an exception. Unmasked ones of operands come before anything is
   * computed, those of results after.
   */
  settle(): boolean {
    if ((this.flags & ~this.#settled & this.unmasked & PRE_COMPUTATION) !== 0)
      this.flags &= this.#settled | PRE_COMPUTATION;
    this.#settled = this.flags;
    return (this.flags & this.unmasked) !== 0;
  }

  /** The first that is one. */
  protected override chooseNan(a: Parts, b: Parts): Parts {
    return a.kind >= QUIET_NAN ? a : b;
  }

  /** The operand as the instruction sees it. */
  #unpack(f: Format, p: Parts, bits: bigint): Parts {
    if (f === BINARY32) fromSingle(p, lowWord(bits));
    else fromDouble(p, highWord(bits), lowWord(bits));
    if (this.denormalsAreZero && p.kind === DENORMAL) p.set(ZERO, p.negative, 0, 0, 0);
    return p;
  }

  #pack(f: Format): bigint {
    const r = this.#r;
    if (f === BINARY64) {
      packDouble(r);
      return toBig(r.high, r.low);
    }
    packSingle(r);
    return toBig(0, r.low);
  }

  #binary(f: Format, x: bigint, y: bigint, run: (r: Parts, a: Parts, b: Parts) => void): bigint {
    this.range = f.range;
    run(this.#r, this.#unpack(f, this.#a, x), this.#unpack(f, this.#b, y));
    return this.#pack(f);
  }

  sum(f: Format, x: bigint, y: bigint): bigint {
    return this.#binary(f, x, y, (r, a, b) => this.add(r, a, b, false));
  }

  difference(f: Format, x: bigint, y: bigint): bigint {
    return this.#binary(f, x, y, (r, a, b) => this.add(r, a, b, true));
  }

  product(f: Format, x: bigint, y: bigint): bigint {
    return this.#binary(f, x, y, (r, a, b) => this.multiply(r, a, b));
  }

  quotient(f: Format, x: bigint, y: bigint): bigint {
    return this.#binary(f, x, y, (r, a, b) => this.divide(r, a, b));
  }

  root(f: Format, x: bigint): bigint {
    return this.#binary(f, x, x, (r, a) => this.squareRoot(r, a));
  }

  /** -1 less, 0 equal, 1 greater, 2 unordered; `quiet`: a quiet NaN is no exception. */
  order(f: Format, x: bigint, y: bigint, quiet: boolean): number {
    return this.compare(this.#unpack(f, this.#a, x), this.#unpack(f, this.#b, y), quiet);
  }

  /** minss, maxss and so on. */
  extreme(f: Format, x: bigint, y: bigint, minimum: boolean): bigint {
    const first = this.order(f, x, y, false) === (minimum ? -1 : 1);
    const { kind, negative } = first ? this.#a : this.#b;
    // A denormal that counts as zero.
    if (kind === ZERO) return negative ? 1n << (f.width - 1n) : 0n;
    return first ? x : y;
  }

  fromInteger(f: Format, value: bigint): bigint {
    const r = fromInteger(this.#r, highWord(value), lowWord(value));
    if (r.kind === ZERO) r.negative = false;
    else this.finish(r, f.range);
    return this.#pack(f);
  }

  /** A signed integer of `bits` bits as its two's complement. */
  integerOf(f: Format, x: bigint, bits: number, truncate: boolean): bigint {
    const r = this.#r;
    this.toInteger(r, this.#unpack(f, this.#a, x), bits, truncate ? TRUNCATE : this.rounding);
    return BigInt.asUintN(bits, toBig(r.high, r.low));
  }

  /** ROUNDPS and so on; `control` is their immediate. A denormal operand is no exception. */
  toIntegral(f: Format, x: bigint, control: number): bigint {
    const { rounding, flags } = this;
    if ((control & 4) === 0) this.rounding = control & 3;
    this.roundToInteger(this.#r, this.#unpack(f, this.#a, x));
    this.rounding = rounding;
    this.flags = flags | (this.flags & ~((control & 8) !== 0 ? DE | PE : DE));
    return this.#pack(f);
  }

  /** Between the formats. */
  convert(from: Format, to: Format, x: bigint): bigint {
    const a = this.#unpack(from, this.#a, x);
    if (a.kind === DENORMAL) this.flags |= DE;
    toRange(this, this.#r, a, to.range);
    return this.#pack(to);
  }
}
