/** The integer floating point of SSE against JavaScript's doubles, and what JavaScript does not have against the SDM. */

import { describe, expect, it } from 'vitest';
import { DE, IE, OE, PE, UE, ZE } from './softfloat.ts';
import { BINARY32, BINARY64, FloatEnvironment } from './softfloat-binary.ts';
import { approximateReciprocal, approximateRoot } from './sse-approximate.ts';

const VIEW = new DataView(new ArrayBuffer(8));

function bits(value: number): bigint {
  VIEW.setFloat64(0, value);
  return VIEW.getBigUint64(0);
}

function value(b: bigint): number {
  VIEW.setBigUint64(0, b);
  return VIEW.getFloat64(0);
}

const SEED = 20261124;
let state = SEED;
function random32(): number {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return (state ^ (state >>> 13)) >>> 0;
}

/** Any exponent, or near 1 so that sums cancel, or denormal. */
function double(): number {
  const kind = random32() % 4;
  let b = (BigInt(random32()) << 32n) | BigInt(random32());
  if (kind === 0) b = (b & 0x800f_ffff_ffff_ffffn) | (BigInt(1020 + (random32() % 8)) << 52n);
  if (kind === 1) b &= 0x800f_ffff_ffff_ffffn;
  const v = value(b);
  return Number.isNaN(v) ? 1 : v;
}

describe('rounding to nearest', () => {
  it('agrees with JavaScript', () => {
    console.log(`seed ${SEED}`);
    const e = new FloatEnvironment(0x1f80);
    for (let i = 0; i < 4000; i++) {
      const [x, y] = [double(), double()];
      const [a, b] = [bits(x), bits(y)];
      const check = (name: string, actual: bigint, expected: number) => {
        if (!Number.isNaN(expected)) expect(value(actual), `${x} ${name} ${y}`).toBe(expected);
        else expect(actual).toBe(0xfff8_0000_0000_0000n);
      };
      check('+', e.sum(BINARY64, a, b), x + y);
      check('-', e.difference(BINARY64, a, b), x - y);
      check('*', e.product(BINARY64, a, b), x * y);
      check('/', e.quotient(BINARY64, a, b), x / y);
      check('sqrt', e.root(BINARY64, b), Math.sqrt(y));
      VIEW.setFloat32(0, x);
      expect(Number(e.convert(BINARY64, BINARY32, a))).toBe(VIEW.getUint32(0));
    }
  });
});

describe('exceptions', () => {
  const flagsOf = (mxcsr: number, run: (e: FloatEnvironment) => bigint): [bigint, number] => {
    const e = new FloatEnvironment(mxcsr);
    const result = run(e);
    return [result, e.flags];
  };
  const one = bits(1);

  it('are those of SDM vol. 1, 4.9.1', () => {
    expect(flagsOf(0x1f80, (e) => e.quotient(BINARY64, one, 0n))).toEqual([bits(Infinity), ZE]);
    expect(flagsOf(0x1f80, (e) => e.quotient(BINARY64, 0n, 0n))).toEqual([0xfff8_0000_0000_0000n, IE]);
    expect(flagsOf(0x1f80, (e) => e.quotient(BINARY64, one, bits(3)))).toEqual([bits(1 / 3), PE]);
    expect(flagsOf(0x1f80, (e) => e.sum(BINARY64, one, 1n))).toEqual([one, DE | PE]);
    expect(flagsOf(0x1f80, (e) => e.product(BINARY64, bits(1e300), bits(1e300)))).toEqual([bits(Infinity), OE | PE]);
    expect(flagsOf(0x1f80, (e) => e.product(BINARY64, bits(1e-300), bits(1e-300)))).toEqual([0n, UE | PE]);
    expect(flagsOf(0x1f80, (e) => e.sum(BINARY64, 0x7ff0_0000_0000_0001n, one))).toEqual([0x7ff8_0000_0000_0001n, IE]);
  });

  it('follow the rounding mode, FTZ and DAZ', () => {
    // Round up, toward zero.
    expect(flagsOf(0x5f80, (e) => e.quotient(BINARY64, one, bits(3)))[0]).toBe(bits(1 / 3) + 1n);
    expect(flagsOf(0x7f80, (e) => e.product(BINARY64, bits(1e300), bits(1e300)))[0]).toBe(bits(Number.MAX_VALUE));
    expect(flagsOf(0x9f80, (e) => e.quotient(BINARY64, bits(2.5e-308), bits(2)))).toEqual([0n, UE | PE]);
    expect(flagsOf(0x1fc0, (e) => e.sum(BINARY64, 0n, 1n))).toEqual([0n, 0]);
  });
});

it('approximations have a relative error of at most 1.5 × 2^-12', () => {
  const single = new DataView(new ArrayBuffer(4));
  const float = (b: number): number => {
    single.setUint32(0, b);
    return single.getFloat32(0);
  };
  for (let b = 0x0100_0000; b < 0x7e00_0000; b += 99_991) {
    const x = float(b);
    expect(Math.abs(float(approximateReciprocal(b)) * x - 1)).toBeLessThan(1.5 / 4096);
    expect(Math.abs(float(approximateRoot(b)) * Math.sqrt(x) - 1)).toBeLessThan(1.5 / 4096);
  }
  // Read from an Intel processor.
  expect(approximateReciprocal(0x3f80_0000)).toBe(0x3f7f_f000);
  expect(approximateRoot(0x7eff_ffff)).toBe(0x1fb5_0800);
});
