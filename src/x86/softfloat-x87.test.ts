/** The x87's arithmetic: what the SDM says of special cases. test/cpu compares everything with the host's processor. */

import { describe, expect, it } from 'vitest';
import { DE, IE, OE, PE, UE, ZE } from './softfloat.ts';
import { fromDouble, toDouble, toSingle } from './softfloat-binary.ts';
import { Parts } from './softfloat-core.ts';
import { signExponentOf, unpack, X87Arithmetic } from './softfloat-x87.ts';
import { fromDecimal, loaded, toDecimal } from './softfloat-x87-convert.ts';
import { extract, NO_QUOTIENT, PARTIAL, remainder, scale } from './softfloat-x87-scale.ts';

const e = new X87Arithmetic();

/** Sign with exponent, significand: 3fff.8000000000000000 is 1. */
function number(text: string): Parts {
  const [signExponent, significand] = text.split('.') as [string, string];
  const word = (from: number) => Number.parseInt(significand.slice(from, from + 8), 16) | 0;
  return unpack(new Parts(), Number.parseInt(signExponent, 16), word(0), word(8));
}

function text(p: Parts): string {
  const hex = (value: number, digits: number) => (value >>> 0).toString(16).padStart(digits, '0');
  return `${hex(signExponentOf(p), 4)}.${hex(p.high, 8)}${hex(p.low, 8)}`;
}

/** A double. */
function double(value: number): Parts {
  const view = new DataView(new ArrayBuffer(8));
  view.setFloat64(0, value);
  return fromDouble(new Parts(), view.getInt32(0), view.getInt32(4));
}

/** The result and the flags under a control word. */
function run(control: number, compute: (r: Parts) => unknown): [string, number] {
  const r = new Parts();
  e.begin(control);
  compute(r);
  return [text(r), e.flags];
}

const DEFAULT = 0x037f;
const ONE = number('3fff.8000000000000000');
const TINY = number('0001.8000000000000000');
const DENORMAL = number('0000.0000000000000001');
const LARGEST = number('7ffe.ffffffffffffffff');
const INFINITY = number('7fff.8000000000000000');
const INDEFINITE = 'ffff.c000000000000000';

describe('NaNs: SDM vol. 1, table 4-7', () => {
  const quiet = number('7fff.c000000000001234');
  const larger = number('ffff.c000000000001235');
  const signaling = number('7fff.b000000000000000');

  it('the larger significand, the quiet one, the positive one', () => {
    expect(run(DEFAULT, (r) => e.add(r, quiet, larger, false))).toEqual(['ffff.c000000000001235', 0]);
    expect(run(DEFAULT, (r) => e.multiply(r, larger, quiet))).toEqual(['ffff.c000000000001235', 0]);
    expect(run(DEFAULT, (r) => e.add(r, signaling, quiet, false))).toEqual(['7fff.c000000000001234', IE]);
    expect(run(DEFAULT, (r) => e.divide(r, ONE, signaling))).toEqual(['7fff.f000000000000000', IE]);
    const negative = number('ffff.c000000000001234');
    expect(run(DEFAULT, (r) => e.add(r, negative, quiet, true))).toEqual(['7fff.c000000000001234', 0]);
  });

  it('encodings that are no numbers are invalid', () => {
    for (const unsupported of ['3fff.7fffffffffffffff', '7fff.0000000000000000', '7fff.4000000000000000']) {
      expect(run(DEFAULT, (r) => e.add(r, quiet, number(unsupported), false))).toEqual([INDEFINITE, IE]);
    }
  });
});

describe('invalid operations and division by zero: 8.5.1, 8.5.3', () => {
  const zero = number('0000.0000000000000000');

  it('give the indefinite, or an infinity', () => {
    expect(run(DEFAULT, (r) => e.add(r, INFINITY, INFINITY, true))).toEqual([INDEFINITE, IE]);
    expect(run(DEFAULT, (r) => e.multiply(r, INFINITY, zero))).toEqual([INDEFINITE, IE]);
    expect(run(DEFAULT, (r) => e.divide(r, zero, zero))).toEqual([INDEFINITE, IE]);
    expect(run(DEFAULT, (r) => e.squareRoot(r, double(-1)))).toEqual([INDEFINITE, IE]);
    expect(run(DEFAULT, (r) => e.divide(r, double(-2), zero))).toEqual(['ffff.8000000000000000', ZE]);
  });

  it('a zero difference is negative only when rounding down', () => {
    expect(run(DEFAULT, (r) => e.add(r, ONE, ONE, true))).toEqual(['0000.0000000000000000', 0]);
    expect(run(DEFAULT | 0x0400, (r) => e.add(r, ONE, ONE, true))).toEqual(['8000.0000000000000000', 0]);
  });
});

describe('rounding and precision control: 8.1.5', () => {
  const three = double(3);

  it('rounds to 24, 53 or 64 bits', () => {
    expect(run(0x007f, (r) => e.divide(r, ONE, three))).toEqual(['3ffd.aaaaab0000000000', PE]);
    expect(run(0x027f, (r) => e.divide(r, ONE, three))).toEqual(['3ffd.aaaaaaaaaaaaa800', PE]);
    expect(run(0x037f, (r) => e.divide(r, ONE, three))).toEqual(['3ffd.aaaaaaaaaaaaaaab', PE]);
    expect(e.roundedAway).toBe(true);
    expect(run(0x0f7f, (r) => e.divide(r, ONE, three))).toEqual(['3ffd.aaaaaaaaaaaaaaaa', PE]);
    expect(e.roundedAway).toBe(false);
  });

  it('precision control does not concern loads and FRNDINT', () => {
    expect(run(0x007f, (r) => e.roundToInteger(r, number('403d.ffffffffffffffff')))).toEqual([
      '403e.8000000000000000',
      PE,
    ]);
  });
});

describe('overflow and underflow: 8.5.4, 8.5.5', () => {
  it('masked', () => {
    expect(run(DEFAULT, (r) => e.multiply(r, LARGEST, LARGEST))).toEqual(['7fff.8000000000000000', OE | PE]);
    expect(run(DEFAULT | 0x0c00, (r) => e.multiply(r, LARGEST, LARGEST))).toEqual(['7ffe.ffffffffffffffff', OE | PE]);
    // With 24 bits the largest number is one of 24 bits.
    expect(run(0x0c7f, (r) => e.multiply(r, LARGEST, LARGEST))).toEqual(['7ffe.ffffff0000000000', OE | PE]);
    expect(run(DEFAULT, (r) => e.divide(r, TINY, double(2)))).toEqual(['0000.4000000000000000', 0]);
    expect(run(DEFAULT, (r) => e.divide(r, TINY, double(3)))).toEqual(['0000.2aaaaaaaaaaaaaab', UE | PE]);
    expect(run(DEFAULT, (r) => e.add(r, ONE, DENORMAL, false))).toEqual(['3fff.8000000000000000', DE | PE]);
  });

  it('unmasked: the exponent is changed by 24576', () => {
    expect(run(0x0377, (r) => e.multiply(r, LARGEST, LARGEST))).toEqual(['5ffe.fffffffffffffffe', OE | PE]);
    expect(run(0x036f, (r) => e.divide(r, TINY, double(2)))).toEqual(['6000.8000000000000000', UE]);
  });

  it('a pseudo-denormal is the normal number', () => {
    expect(run(DEFAULT, (r) => e.multiply(r, number('0000.8000000000000000'), ONE))).toEqual([
      '0001.8000000000000000',
      DE,
    ]);
  });
});

describe('shorter formats', () => {
  const bits = (compute: (r: Parts) => void) => {
    const r = new Parts();
    e.begin(DEFAULT);
    compute(r);
    return [r.high >>> 0, r.low >>> 0, e.flags];
  };

  it('are stored rounded', () => {
    const third = number('3ffd.aaaaaaaaaaaaaaab');
    expect(bits((r) => toDouble(e, r, third))).toEqual([0x3fd5_5555, 0x5555_5555, PE]);
    expect(bits((r) => toSingle(e, r, third)).slice(1)).toEqual([0x3eaa_aaab, PE]);
    expect(bits((r) => toSingle(e, r, LARGEST)).slice(1)).toEqual([0x7f80_0000, OE | PE]);
    // 2^-149 is the least single; half of it is a tie that goes to zero.
    expect(bits((r) => toSingle(e, r, number('3f6a.8000000000000000'))).slice(1)).toEqual([1, 0]);
    expect(bits((r) => toSingle(e, r, number('3f69.8000000000000000'))).slice(1)).toEqual([0, UE | PE]);
  });

  it('are loaded exactly, a signaling NaN as a quiet one', () => {
    const load = (p: Parts) =>
      run(DEFAULT, (r) => {
        loaded(e, p);
        r.copy(p);
      });
    expect(load(double(-0))).toEqual(['8000.0000000000000000', 0]);
    expect(load(double(5e-324))).toEqual(['3bcd.8000000000000000', DE]);
    expect(load(fromDouble(new Parts(), 0x7ff0_0000, 1))).toEqual(['7fff.c000000000000800', IE]);
  });

  it('integers', () => {
    const integer = (value: Parts, size: number) => bits((r) => e.toInteger(r, value, size));
    expect(integer(double(2.5), 32).slice(1)).toEqual([2, PE]);
    expect(integer(double(-2147483648.5), 32).slice(1)).toEqual([0x8000_0000, PE]);
    expect(integer(double(2147483648), 32)[2]).toBe(IE);
    expect(integer(double(-32768), 16).slice(1)).toEqual([0xffff_8000, 0]);
    expect(integer(double(2 ** 63), 64)).toEqual([0x8000_0000, 0, IE]);
    expect(integer(double(-(2 ** 63)), 64)).toEqual([0x8000_0000, 0, 0]);
  });

  it('decimals', () => {
    const digits = [0x78, 0x56, 0x34, 0x12, 0x90, 0x78, 0x56, 0x34, 0x12, 0x80];
    const p = fromDecimal(new Parts(), (i) => digits[i]!);
    e.begin(DEFAULT);
    expect(text(p)).toBe('c037.db4da5d31879a700');
    const r = new Parts();
    toDecimal(e, r, p);
    expect([r.exponent, r.high >>> 0, r.low >>> 0]).toEqual([0x8012, 0x3456_7890, 0x1234_5678]);
    toDecimal(e, r, double(1e18));
    expect([r.exponent, r.high >>> 0, r.low >>> 0]).toEqual([0xffff, 0xc000_0000, 0]);
    expect(e.flags).toBe(IE);
  });
});

describe('remainder, scale, extract', () => {
  it('FPREM truncates the quotient, FPREM1 rounds it', () => {
    const r = new Parts();
    e.begin(DEFAULT);
    expect(remainder(e, r, double(11), double(4), false)).toBe(2);
    expect(text(r)).toBe(text(double(3)));
    expect(remainder(e, r, double(11), double(4), true)).toBe(3);
    expect(text(r)).toBe(text(double(-1)));
    // Half way: the even quotient.
    expect(remainder(e, r, double(-10), double(4), true)).toBe(2);
    expect(text(r)).toBe(text(double(-2)));
    expect(remainder(e, r, INFINITY, ONE, false)).toBe(NO_QUOTIENT);
    expect(e.flags).toBe(IE);
  });

  it('a long way is gone in steps', () => {
    e.begin(DEFAULT);
    let a = double(1e300);
    const b = double(7);
    let steps = 0;
    for (;;) {
      const r = new Parts();
      steps++;
      const quotient = remainder(e, r, a, b, false);
      a = r;
      if (quotient !== PARTIAL) break;
    }
    expect(steps).toBeGreaterThan(10);
    expect(text(a)).toBe(text(double(Number(BigInt(1e300) % 7n))));
  });

  it('FSCALE and FXTRACT', () => {
    expect(run(DEFAULT, (r) => scale(e, r, double(1.5), double(-3.9)))[0]).toBe(text(double(1.5 / 8)));
    expect(run(DEFAULT, (r) => scale(e, r, ONE, double(1e9)))).toEqual(['7fff.8000000000000000', OE | PE]);
    expect(run(DEFAULT, (r) => scale(e, r, ONE, number('ffff.8000000000000000')))).toEqual([
      '0000.0000000000000000',
      0,
    ]);
    const exponent = new Parts();
    expect(run(DEFAULT, (r) => extract(e, exponent, r, DENORMAL))).toEqual(['3fff.8000000000000000', DE]);
    expect(text(exponent)).toBe(text(double(-16445)));
  });
});
