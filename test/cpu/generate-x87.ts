/** Random x87 state: registers with every kind of encoding, control, status and tag word. */

import type { Random } from './random.ts';

const TOP = 1n << 63n;
/** Significands of special encodings, the unsupported ones too. */
const SPECIAL = [
  0n,
  1n,
  TOP,
  TOP | 1n,
  TOP >> 1n,
  (TOP >> 1n) - 1n,
  TOP - 1n,
  TOP | (TOP >> 1n),
  TOP | (TOP >> 1n) | 0x1234n,
  TOP | 0x1234n,
  (1n << 64n) - 1n,
  (1n << 64n) - (1n << 40n),
];
/** Exponents at which a shorter format or an integer ends. */
const BORDERS = [127, 128, -126, -127, -149, -150, 1023, 1024, -1022, -1023, -1074, -1075]
  .concat([14, 15, 16, 30, 31, 32, 59, 60, 61, 62, 63, 64, 65, -1, -2, 0, 1])
  .concat([-16382, -16381, 16383, 16382]);

/** A significand whose last bits are at or near the middle between two numbers of a shorter format. */
function halfway(random: Random): bigint {
  const bits = BigInt(random.pick([40, 11, 1, 1 + random.below(62)]));
  const half = 1n << (bits - 1n);
  const upper = (random.u64() >> bits) << bits;
  return TOP | upper | (half + BigInt(random.below(3) - 1)) | 0n;
}

function significand(random: Random): bigint {
  switch (random.below(4)) {
    case 0:
      return BigInt.asUintN(64, TOP | halfway(random));
    case 1:
      return TOP | (BigInt(random.below(65536)) << 47n);
    case 2:
      return random.oneIn(2) ? TOP : (1n << 64n) - BigInt(1 + random.below(3));
    default:
      return TOP | random.u64();
  }
}

/** Ten bytes of an 80-bit number at `at`; `special`: mostly zeros, denormals, infinities, NaNs and what is none of these. */
export function extended(random: Random, view: DataView, at: number, special = false): void {
  let exponent: number;
  let mantissa = significand(random);
  switch (special ? random.below(3) >> 1 : random.below(8)) {
    case 0:
      exponent = random.pick([0, 0, 32767, 32767, 1, 32766, 16383, random.below(32768)]);
      mantissa = random.pick(SPECIAL);
      break;
    case 1:
      exponent = random.oneIn(2) ? random.below(140) : 32766 - random.below(140);
      if (exponent === 0) mantissa &= TOP - 1n;
      break;
    case 2:
      exponent = Math.min(32766, Math.max(1, 16383 + random.pick(BORDERS)));
      break;
    case 3:
      exponent = 1 + random.below(32766);
      break;
    case 4:
    case 5:
      exponent = 16383 + random.below(140) - 70;
      break;
    default:
      exponent = 16383 + random.below(16) - 4;
  }
  view.setBigUint64(at, mantissa, true);
  view.setUint16(at + 8, exponent | (random.oneIn(2) ? 0x8000 : 0), true);
}

/** Sixteen bytes of decimal digits: eighteen and a sign wherever one begins to read. */
export function decimals(random: Random, view: DataView, at: number): void {
  for (let i = at; i < at + 16; i++) view.setUint8(i, (random.below(10) << 4) | random.below(10));
}

/** Sixteen bytes of an FXSAVE image, in which nearly always an MXCSR that can be loaded stands wherever the image begins. */
export function images(random: Random, view: DataView, at: number): void {
  extended(random, view, at);
  const reserved = random.oneIn(64) ? 1 << random.pick([16, 18, 31]) : 0;
  view.setUint32(at + 8, (random.oneIn(2) ? 0x1f80 : random.below(65536)) | reserved, true);
}

/** Control word, status word, tags and registers of an FXSAVE image; ES and B as the words say. */
export function x87State(random: Random, fx: DataView): void {
  let control = 0x037f;
  if (!random.oneIn(3)) {
    control = 0x40 | (random.u32() & 0x1f00) | 0x3f;
    if (random.oneIn(2)) control &= ~(random.oneIn(2) ? 1 << random.below(6) : random.below(64));
  }
  let status = (random.below(8) << 11) | (random.u32() & 0x4700);
  if (random.oneIn(3)) {
    status |= random.below(128);
    // Mostly none of them is pending.
    if (!random.oneIn(8)) status &= control | ~63;
  }
  if ((status & ~control & 63) !== 0) {
    status |= 0x8080;
    fx.setUint16(6, random.below(2048), true);
    fx.setUint32(8, random.u32(), true);
    fx.setUint32(16, random.u32(), true);
  }
  fx.setUint16(0, control, true);
  fx.setUint16(2, status, true);
  const top = (status >> 11) & 7;
  let tags = random.pick([0xff, random.below(256), 0, 0]);
  if (tags === 0) {
    // ST(0) … ST(depth - 1) are in use.
    const depth = random.below(8);
    for (let i = 0; i < depth; i++) tags |= 1 << ((top + i) & 7);
  }
  fx.setUint8(4, tags);
  const special = random.oneIn(4);
  for (let i = 0; i < 8; i++) {
    const at = 32 + 16 * i;
    extended(random, fx, at, special);
    if (i === 0 || special || !random.oneIn(3)) continue;
    // Near the one before, so that a difference cancels or a quotient is 1.
    const before = fx.getBigUint64(at - 16, true);
    fx.setBigUint64(at, random.oneIn(2) ? before : before ^ BigInt(random.below(8)), true);
    const exponent = (fx.getUint16(at - 8, true) & 0x7fff) + (random.oneIn(2) ? 0 : random.below(5) - 2);
    fx.setUint16(at + 8, (exponent & 0x7fff) | (random.oneIn(2) ? 0x8000 : 0), true);
  }
}
