/** The arithmetic in 32-bit halves beside exact integers. */

import { expect, test } from 'vitest';
import { Random } from '../../test/cpu/random.ts';
import {
  addParts,
  bitLength,
  divideParts,
  multiplyParts,
  NORMAL,
  Parts,
  rootParts,
  roundParts,
  shiftRight,
  toBig,
  ZERO,
} from './softfloat-core.ts';

const SEED = 20261125;
const CASES = 4000;

/** The 96 bits, as an integer. */
function words(p: Parts): bigint {
  return (toBig(p.high, p.low) << 32n) | BigInt(p.extra >>> 0);
}

/** What `p` must be of the exact value ± numerator ÷ denominator × 2^exponent: its first 96 bits, the last being sticky. */
function expectParts(p: Parts, negative: boolean, numerator: bigint, denominator: bigint, exponent: number): void {
  const shift = 200n + BigInt(bitLength(denominator));
  const scaled = numerator << shift;
  const quotient = scaled / denominator;
  const length = bitLength(quotient);
  const cut = BigInt(length - 96);
  let top = quotient >> cut;
  if ((top << cut) * denominator !== scaled) top |= 1n;
  expect(p.kind).toBe(NORMAL);
  expect(p.negative).toBe(negative);
  expect(p.exponent).toBe(exponent + length - 1 - Number(shift));
  // Of the lowest bits only counts whether there are any.
  expect(words(p) >> 6n).toBe(top >> 6n);
  expect((words(p) & 63n) !== 0n).toBe((top & 63n) !== 0n);
}

/** Significands of all lengths of zeros and ones, exponents near and far. */
function operand(random: Random): Parts {
  let high = random.u32() | 0x8000_0000;
  let low = random.u32() | 0;
  switch (random.below(4)) {
    case 0:
      low = random.pick([0, 1, -1, -2, 0x8000_0000 | 0]);
      high = random.pick([0x8000_0000, 0x8000_0001, 0xffff_ffff, 0xffff_fffe]) | 0;
      break;
    case 1:
      low = 0;
      high = (high >> random.below(31)) | 0;
      break;
    default:
  }
  return new Parts().set(NORMAL, random.oneIn(2), random.below(3) === 0 ? random.below(140) - 70 : 0, high, low);
}

const random = new Random(SEED);
const pairs = Array.from({ length: CASES }, () => [operand(random), operand(random)] as const);
const significand = (p: Parts) => toBig(p.high, p.low);
/** The value in units of 2^-200. */
const fixed = (p: Parts) => (p.negative ? -1n : 1n) * (significand(p) << BigInt(p.exponent + 137));

test('sums and differences', () => {
  console.log(`seed ${SEED}`);
  const r = new Parts();
  for (const [a, b] of pairs) {
    for (const subtract of [false, true]) {
      const sum = subtract ? fixed(a) - fixed(b) : fixed(a) + fixed(b);
      addParts(r, a, b, subtract);
      if (sum === 0n) expect(r.kind).toBe(ZERO);
      else expectParts(r, sum < 0n, sum < 0n ? -sum : sum, 1n, -200);
    }
  }
});

test('products, quotients and roots', () => {
  const r = new Parts();
  for (const [a, b] of pairs) {
    const negative = a.negative !== b.negative;
    multiplyParts(r, a, b);
    expectParts(r, negative, significand(a) * significand(b), 1n, a.exponent + b.exponent - 126);
    divideParts(r, a, b);
    expectParts(r, negative, significand(a), significand(b), a.exponent - b.exponent);
    rootParts(r, a);
    // root² ≤ a < (root + 1)², of the first 65 bits; what is below them counts as a whole.
    const root = words(r) >> 31n;
    const square = significand(a) << BigInt(65 + a.exponent - 2 * r.exponent);
    expect(root * root <= square && square < (root + 1n) ** 2n).toBe(true);
    expect((r.extra & 0x7fff_ffff) !== 0).toBe(root * root !== square);
  }
});

test('rounding in every mode', () => {
  const p = new Parts();
  for (const [a] of pairs) {
    const extra = random.pick([0, 1, 0x8000_0000, 0x8000_0001, 0x7fff_ffff, random.u32()]) | 0;
    const drop = random.pick([0, 11, 40]);
    const shift = random.oneIn(2) ? 0 : random.below(70);
    for (const mode of [0, 1, 2, 3]) {
      p.copy(a).extra = extra;
      const value = words(p);
      const unit = 1n << BigInt(32 + drop + shift);
      const rest = value % unit;
      const away =
        mode === 0
          ? 2n * rest > unit || (2n * rest === unit && (value / unit) % 2n === 1n)
          : rest !== 0n && mode === (a.negative ? 1 : 2);
      const rounded = value / unit + (away ? 1n : 0n);
      const how = roundParts(p, drop, shift, mode);
      expect(how).toBe(rest === 0n ? 0 : away ? 3 : 1);
      expect(significand(p) << BigInt(p.exponent - a.exponent)).toBe(rounded << BigInt(drop));
    }
  }
});

test('bits shifted out leave a trace', () => {
  for (const n of [0, 1, 31, 32, 33, 64, 95, 96, 97, 20000]) {
    const p = new Parts().set(NORMAL, false, 0, 0x8000_0000 | 0, 0, 0);
    shiftRight(p, n);
    expect(words(p)).toBe(n < 96 ? 1n << BigInt(95 - n) : 1n);
  }
});
