/** Conversions between the x87's format and those in memory: Intel SDM vol. 1, 4.2 and 8.3.3. */

import {
  DENORMAL,
  highWord,
  lowWord,
  NORMAL,
  normalize,
  Parts,
  QUIET_NAN,
  SIGNALING_NAN,
  toBig,
  ZERO,
} from './softfloat-core.ts';
import { DOUBLE, SINGLE, setInfinity, type X87Arithmetic } from './softfloat-x87.ts';
import { DE } from './x87-words.ts';

const TOP_BIT = 0x8000_0000 | 0;
const QUIET_BIT = 0x4000_0000;

export function fromSingle(p: Parts, bits: number): Parts {
  const negative = bits < 0;
  const biased = (bits >>> 23) & 0xff;
  const high = (bits << 8) & 0x7fff_ffff;
  if (biased === 0) {
    if (high === 0) return p.set(ZERO, negative, 0, 0, 0);
    p.set(DENORMAL, negative, -126, high, 0);
    normalize(p);
    return p;
  }
  if (biased < 0xff) return p.set(NORMAL, negative, biased - 127, high | TOP_BIT, 0);
  return special(p, negative, high, 0);
}

export function fromDouble(p: Parts, upper: number, lower: number): Parts {
  const negative = upper < 0;
  const biased = (upper >>> 20) & 0x7ff;
  const high = ((upper << 11) | (lower >>> 21)) & 0x7fff_ffff;
  const low = lower << 11;
  if (biased === 0) {
    if ((high | low) === 0) return p.set(ZERO, negative, 0, 0, 0);
    p.set(DENORMAL, negative, -1022, high, low);
    normalize(p);
    return p;
  }
  if (biased < 0x7ff) return p.set(NORMAL, negative, biased - 1023, high | TOP_BIT, low);
  return special(p, negative, high, low);
}

function special(p: Parts, negative: boolean, high: number, low: number): Parts {
  if ((high | low) === 0) return setInfinity(p, negative);
  return p.set((high & QUIET_BIT) !== 0 ? QUIET_NAN : SIGNALING_NAN, negative, 0, high | TOP_BIT, low);
}

/** A two's complement integer. */
export function fromInteger(p: Parts, high: number, low: number): Parts {
  const negative = high < 0;
  p.set(NORMAL, negative, 63, high, low);
  if (negative) {
    p.low = -low | 0;
    p.high = (~high + (p.low === 0 ? 1 : 0)) | 0;
  }
  normalize(p);
  return p;
}

const packed = new Parts();

/** The number as a single; what is no number is for the caller to have looked at: `nan` of the arithmetic. */
export function toSingle(e: X87Arithmetic, a: Parts): number {
  const r = packed;
  if (!e.nan(r, a, a)) {
    r.copy(a);
    if (a.kind === NORMAL || a.kind === DENORMAL) e.finish(r, SINGLE);
  }
  const sign = r.negative ? TOP_BIT : 0;
  const fraction = (r.high >>> 8) & 0x7f_ffff;
  if (r.kind === NORMAL) return sign | ((r.exponent + 127) << 23) | fraction;
  if (r.kind === DENORMAL) return sign | (r.high >>> 8);
  return r.kind === ZERO ? sign : sign | 0x7f80_0000 | fraction;
}

/** The number as a double: `upper` and `lower` of the result are r.high and r.low. */
export function toDouble(e: X87Arithmetic, r: Parts, a: Parts): void {
  if (!e.nan(r, a, a)) {
    r.copy(a);
    if (a.kind === NORMAL || a.kind === DENORMAL) e.finish(r, DOUBLE);
  }
  const sign = r.negative ? TOP_BIT : 0;
  const fraction = (r.high >>> 11) & 0xf_ffff;
  const low = (r.high << 21) | (r.low >>> 11);
  if (r.kind === NORMAL) r.high = sign | ((r.exponent + 1023) << 20) | fraction;
  else if (r.kind === DENORMAL) r.high = sign | (r.high >>> 11);
  else if (r.kind === ZERO) r.high = sign;
  else r.high = sign | 0x7ff0_0000 | fraction;
  r.low = r.kind === ZERO ? 0 : low;
}

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

/** The ten bytes of a magnitude below 10^18. */
export function toDecimal(p: Parts): number[] {
  const bytes: number[] = [];
  let value = toBig(p.high, p.low);
  for (let i = 0; i < 9; i++) {
    const digits = Number(value % 100n);
    bytes.push(((digits / 10) << 4) | (digits % 10));
    value /= 100n;
  }
  bytes.push(p.negative ? 0x80 : 0);
  return bytes;
}
