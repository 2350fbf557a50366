/** What is called calm raises no flag that is not set: beside the exact arithmetic of softfloat-binary.ts. */

import { expect, test } from 'vitest';
import { Random } from '../../test/cpu/random.ts';
import { REGISTER_FILE } from '../lvm/layout.ts';
import { CALM_INEXACT, CALM_PRODUCT, MXCSR_PE } from './calm.ts';
import { helpersModule } from './module.ts';
import { BINARY32, BINARY64, FloatEnvironment } from './softfloat-binary.ts';
import { MXCSR_DEFAULT, OFF_MXCSR } from './state.ts';

const SEED = 20261128;
const CASES = 20_000;

const memory = new WebAssembly.Memory({ initial: 65536, maximum: 65536 });
const nothing = (): number => 0;
const env = { memory, resolve: nothing, record: nothing, heat: nothing };
type Calm = (a: number, b: number, result: number, what: number) => number;
const { calmF32, calmF64 } = new WebAssembly.Instance(new WebAssembly.Module(helpersModule()), { env })
  .exports as unknown as { calmF32: Calm; calmF64: Calm };
const registers = new DataView(memory.buffer, REGISTER_FILE);
const setMxcsr = (value: number): void => registers.setUint32(OFF_MXCSR, value, true);

const scratch = new DataView(new ArrayBuffer(8));

function toFloat(bits: bigint, width: number): number {
  if (width === 64) scratch.setBigUint64(0, bits);
  else scratch.setUint32(0, Number(bits));
  return width === 64 ? scratch.getFloat64(0) : scratch.getFloat32(0);
}

/** Zeros, the least, denormal and greatest, ordinary, infinities, NaNs. */
function operand(random: Random, width: number): bigint {
  const [fraction, exponents] = width === 64 ? [52n, 2047] : [23n, 255];
  const all = (1n << fraction) - 1n;
  const near = random.pick([0, 1, 2, exponents >> 1, exponents - 1, exponents]);
  const exponent = random.below(2) === 0 ? near : random.below(exponents + 1);
  const random64 = (BigInt(random.u32()) << 32n) | BigInt(random.u32());
  const significand = random.pick([0n, 1n, all, 1n << (fraction - 1n), random64 & all]);
  return (BigInt(random.below(2)) << BigInt(width - 1)) | (BigInt(exponent) << fraction) | significand;
}

for (const width of [32, 64]) {
  const format = width === 64 ? BINARY64 : BINARY32;
  const calm = width === 64 ? calmF64 : calmF32;
  test(`operations on ${width} bits`, () => {
    console.log('seed', SEED);
    const random = new Random(SEED);
    let calmCases = 0;
    for (let i = 0; i < CASES; i++) {
      const a = operand(random, width);
      const b = operand(random, width);
      const [x, y] = [toFloat(a, width), toFloat(b, width)];
      const check = (what: number, run: (e: FloatEnvironment) => bigint | number): void => {
        const e = new FloatEnvironment(MXCSR_DEFAULT);
        const result = run(e);
        const r = typeof result === 'number' ? y : toFloat(result, width);
        setMxcsr(MXCSR_DEFAULT | MXCSR_PE);
        if (calm(x, y, r, what) === 0) return;
        calmCases++;
        expect(e.flags & ~MXCSR_PE, `${a.toString(16)} ${b.toString(16)}`).toBe(0);
        if ((what & CALM_INEXACT) === 0) expect(e.flags).toBe(0);
        setMxcsr(MXCSR_DEFAULT);
        expect(calm(x, y, r, what)).toBe(what & CALM_INEXACT ? 0 : 1);
      };
      check(CALM_INEXACT, (e) => e.sum(format, a, b));
      check(CALM_INEXACT, (e) => e.difference(format, a, b));
      check(CALM_INEXACT | CALM_PRODUCT, (e) => e.product(format, a, b));
      check(CALM_INEXACT | CALM_PRODUCT, (e) => e.quotient(format, a, b));
      check(0, (e) => e.order(format, a, b, false));
    }
    expect(calmCases).toBeGreaterThan(CASES);
  });
}

test('ordinary values and zeros are calm', () => {
  setMxcsr(MXCSR_DEFAULT | MXCSR_PE);
  for (const calm of [calmF32, calmF64]) {
    for (const [a, b] of [[1.5, -2] as const, [0, 3] as const, [-0, 0] as const, [1e30, 1e-30] as const]) {
      expect(calm(a, b, Math.fround(a * b), CALM_INEXACT | CALM_PRODUCT)).toBe(1);
      expect(calm(a, b, 0, CALM_INEXACT)).toBe(1);
      expect(calm(a, b, b, 0)).toBe(1);
    }
    for (const odd of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
      expect(calm(odd, 1, 1, 0) + calm(1, odd, 1, 0) + calm(1, 1, odd, 0)).toBe(0);
    }
  }
});
