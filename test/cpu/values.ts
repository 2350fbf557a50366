/**
 * Random values of every kind that operands have: integers and floats at and beside the borders of their formats, NaNs with
 * payloads, text; and a pool of them, because making each anew would be most of a case's time.
 */

import { MXCSR_DEFAULT } from '../../src/x86/state.ts';
import { decimals, extended, images } from './generate-x87.ts';
import type { Random } from './random.ts';

const F64 = [
  0x0000000000000000n,
  0x8000000000000000n,
  0x3ff0000000000000n,
  0xbff0000000000000n,
  0x7ff0000000000000n,
  0xfff0000000000000n,
  0x7ff8000000000000n,
  0xfff8000000000000n,
  0x7ff8000000001234n,
  0x7ff0000000000001n,
  0xfff4000000000000n,
  0x0000000000000001n,
  0x800fffffffffffffn,
  0x0010000000000000n,
  0x7fefffffffffffffn,
  0x41dfffffffc00000n,
  0x41e0000000000000n,
  0xc1e0000000000000n,
  0x43e0000000000000n,
  0xc3e0000000000000n,
  0x3fe0000000000000n,
  0x4004000000000000n,
  0x47efffffefffffffn,
  0x36a0000000000000n,
];
const F32 = [
  0x00000000, 0x80000000, 0x3f800000, 0xbf800000, 0x7f800000, 0xff800000, 0x7fc00000, 0xffc00000, 0x7fc01234,
  0x7f800001, 0xffa00000, 0x00000001, 0x807fffff, 0x00800000, 0x7f7fffff, 0x4effffff, 0x4f000000, 0xcf000000,
  0x5f000000, 0xdf000000, 0x3f000000, 0x40200000, 0x3fc00000,
];
const INTEGERS = [0n, 1n, 2n, 7n, 8n, 0x7fn, 0x80n, 0xffn, 0x7fffn, 0x8000n, 0xffffn, 0x7fffffffn, 0x80000000n]
  .concat([
    0xffffffffn,
    0x100000000n,
    0x7fffffffffffffffn,
    0x8000000000000000n,
    0xffffffffffffffffn,
    0xfffffffffffffffen,
  ])
  .concat([0xffffffff80000000n, 0xffffffffffffff80n]);

function double(random: Random): bigint {
  switch (random.below(4)) {
    case 0:
      return random.pick(F64);
    case 1:
      return random.u64();
    case 2:
      return BigInt.asUintN(64, bitsOf((random.below(2000) - 1000) / random.pick([1, 2, 3, 16])));
    default:
      return bitsOf((random.u32() / 65536 - 32768) * random.pick([1, 1e-5, 1e9, 1e300, 1e-300]));
  }
}

const SCRATCH = new DataView(new ArrayBuffer(8));

function bitsOf(value: number): bigint {
  SCRATCH.setFloat64(0, value);
  return SCRATCH.getBigUint64(0);
}

function single(random: Random): number {
  switch (random.below(3)) {
    case 0:
      return random.pick(F32);
    case 1:
      return random.u32();
    default:
      SCRATCH.setFloat32(0, (random.below(20000) - 10000) / random.pick([1, 2, 3, 16, 1e20, 1e-20]));
      return SCRATCH.getUint32(0);
  }
}

export function integer(random: Random): bigint {
  switch (random.below(5)) {
    case 0:
      return random.pick(INTEGERS);
    case 1:
      return BigInt(random.below(256));
    case 2:
      return BigInt.asUintN(64, BigInt(random.below(65536) - 32768));
    default:
      return random.u64();
  }
}

/** Text of few letters, words or bytes, with zeros here and there. */
function text(random: Random, view: DataView, at: number): void {
  const letters = Array.from({ length: 1 + random.below(4) }, () =>
    random.pick([1, 2, 0x41, 0x61, 0x7f, 0x80, 0xfe, 0xff]),
  );
  const wide = random.oneIn(3);
  const zeros = random.pick([4, 12, 1000]);
  for (let i = 0; i < 16; i++) {
    const zero = random.oneIn(zeros);
    view.setUint8(at + i, zero || (wide && i % 2 === 1 && !random.oneIn(8)) ? 0 : random.pick(letters));
    if (zero && wide) view.setUint8(at + (i ^ 1), 0);
  }
}

/** 16 bytes as one of: two doubles, four floats, random, text, integers. */
function vector(random: Random, view: DataView, at: number): void {
  const kind = random.below(7);
  if (kind === 6) {
    text(random, view, at);
    return;
  }
  for (let i = 0; i < 16; i += 8) {
    if (kind < 2) view.setBigUint64(at + i, double(random), true);
    else if (kind < 4) {
      view.setUint32(at + i, single(random), true);
      view.setUint32(at + i + 4, single(random), true);
    } else if (kind === 4) view.setBigUint64(at + i, random.u64(), true);
    else view.setBigUint64(at + i, integer(random), true);
  }
}

/** What a pool's entries, 16 bytes each, are made of. */
export type Kind = 'vector' | 'text' | 'extended' | 'decimals' | 'images' | 'mxcsr';

const FILL: Record<Kind, (random: Random, view: DataView, at: number) => void> = {
  vector,
  text,
  extended: (random, view, at) => (random.oneIn(2) ? extended : vector)(random, view, at),
  decimals,
  images,
  mxcsr: (random, view, at) => {
    for (let i = 0; i < 16; i += 4) {
      const plain = random.oneIn(16);
      view.setUint32(at + i, plain ? MXCSR_DEFAULT | random.below(64) : mxcsr(random), true);
    }
  },
};

const ENTRIES = 2048;
/** Entries made anew for each piece taken, whatever its length. */
const RENEWED = 6;

/** Values to take many of at a time. An entry is taken a few times, beside others and at another place each time. */
export class Pool {
  readonly #random: Random;
  readonly #fill: (random: Random, view: DataView, at: number) => void;
  readonly #bytes = new Uint8Array(ENTRIES * 16);
  readonly #view = new DataView(this.#bytes.buffer);

  constructor(random: Random, kind: Kind) {
    this.#random = random;
    this.#fill = FILL[kind];
    for (let i = 0; i < ENTRIES; i++) this.#fill(random, this.#view, i * 16);
  }

  /** Fills `target` from `at` to `end` (both multiples of 16). */
  take(target: Uint8Array, at: number, end: number): void {
    const random = this.#random;
    const start = random.below(ENTRIES - (end - at) / 16) * 16;
    for (let n = 0; n < RENEWED; n++) this.#fill(random, this.#view, start + random.below((end - at) / 16) * 16);
    target.set(this.#bytes.subarray(start, start + end - at), at);
  }
}

/** Any rounding, FTZ and DAZ; mostly masked exceptions; sticky flags. Not the default. */
export function mxcsr(random: Random): number {
  for (;;) {
    const masks = random.oneIn(2)
      ? 0x1f80
      : 0x1f80 & ~(1 << (7 + random.below(6))) & (random.oneIn(2) ? ~0 : random.u32());
    const sticky = random.oneIn(3) ? random.below(64) : 0;
    const value =
      masks | (random.below(4) << 13) | (random.oneIn(2) ? random.pick([0x40, 0x8000, 0x8040]) : 0) | sticky;
    if ((value & 0xffc0) !== 0x1f80) return value;
  }
}
