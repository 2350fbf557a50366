/** Arithmetic across lanes in integers: ADDSUB, HADD, HSUB and the dot products, for softfloat-sse.ts. Intel SDM vol. 2. */

import type { FloatEnvironment, Format } from './softfloat-binary.ts';

/** The result's lanes; the operands' are a's and then b's. */
export type Horizontal = (e: FloatEnvironment, f: Format, lanes: readonly bigint[], imm: number) => bigint[];

/** Pairs of neighbours. */
function neighbours(combine: (e: FloatEnvironment, f: Format, x: bigint, y: bigint) => bigint): Horizontal {
  return (e, f, lanes) =>
    Array.from({ length: lanes.length / 2 }, (_, i) => combine(e, f, lanes[2 * i]!, lanes[2 * i + 1]!));
}

/** Products, sums of pairs of them, and so on: the exceptions of a step come before the next. */
function dot(e: FloatEnvironment, f: Format, lanes: readonly bigint[], imm: number): bigint[] {
  const count = lanes.length / 2;
  let sums = Array.from({ length: count }, (_, i) =>
    (imm >> (4 + i)) & 1 ? e.product(f, lanes[i]!, lanes[count + i]!) : 0n,
  );
  while (!e.settle() && sums.length > 1) {
    sums = sums.flatMap((sum, i) => (i % 2 === 0 ? e.sum(f, sum, sums[i + 1]!) : []));
  }
  return Array.from({ length: count }, (_, i) => ((imm >> i) & 1 ? sums[0]! : 0n));
}

export const HORIZONTAL: Readonly<Record<string, Horizontal>> = {
  hadd: neighbours((e, f, x, y) => e.sum(f, x, y)),
  hsub: neighbours((e, f, x, y) => e.difference(f, x, y)),
  addsub: (e, f, lanes) => {
    const count = lanes.length / 2;
    return Array.from({ length: count }, (_, i) =>
      i % 2 === 0 ? e.difference(f, lanes[i]!, lanes[count + i]!) : e.sum(f, lanes[i]!, lanes[count + i]!),
    );
  },
  dp: dot,
};
