/**
 * Floating-point arithmetic across lanes: SSE3's ADDSUB, HADD and HSUB, SSE4.1's dot products. Intel SDM vol. 1, 12.3 and
 * 12.8, and vol. 2. NaNs as in lower-sse-float.ts.
 */

import { EXIT_KIND_SLOW } from './calling.ts';
import type { Operand } from './instruction.ts';
import { setVector, source } from './lower-sse-common.ts';
import { type FloatSize, notEqual, repairNans } from './lower-sse-float.ts';
import { floating } from './lower-sse-mxcsr.ts';
import { bytesOf } from './lower-sse-shuffle.ts';
import { asImmediate, type Lowering, type LoweringContext } from './lowering.ts';

const SIGN: Record<FloatSize, bigint> = { 4: 0x8000_0000n, 8: 0x8000_0000_0000_0000n };

/** A constant of lanes of all ones or zeros: bit i is that of lane i. */
function laneMask(
  size: FloatSize,
  bits: number,
  lane = size === 4 ? 0xffff_ffffn : 0xffff_ffff_ffff_ffffn,
): [bigint, bigint] {
  const of = (i: number): bigint => ((bits >> i) & 1 ? lane : 0n);
  return size === 8 ? [of(0), of(1)] : [of(0) | (of(1) << 32n), of(2) | (of(3) << 32n)];
}

/** Adds the two vectors on the stack. */
function add(ctx: LoweringContext, size: FloatSize): void {
  if (size === 4) ctx.code.f32x4Add();
  else ctx.code.f64x2Add();
}

/** addsubps, addsubpd: even lanes are differences, odd ones sums. */
function addSubtract(size: FloatSize): Lowering {
  return (ctx, insn) => {
    const [to, from] = insn.operands as [Operand, Operand];
    const b = source(ctx, from);
    const a = source(ctx, to);
    floating(ctx, { op: insn.op, a, b, type: 'v128' }, () => {
      const signs = laneMask(size, 0b0101, SIGN[size]);
      ctx.code
        .localGet(a)
        .localGet(b)
        .v128Const(...signs)
        .v128Xor();
      add(ctx, size);
      repairNans(ctx, size, a, b);
    });
    setVector(ctx, to);
  };
}

/** A new local with lanes of two vectors, numbered through. */
function lanesOf(ctx: LoweringContext, size: FloatSize, a: number, b: number, lanes: readonly number[]): number {
  ctx.code
    .localGet(a)
    .localGet(b)
    .i8x16Shuffle(lanes.flatMap((lane) => bytesOf(size, lane)));
  return ctx.toTemp('v128');
}

/** haddps and so on: neighbouring lanes of the destination, then of the source. */
function horizontal(subtract: boolean, size: FloatSize): Lowering {
  const even = Array.from({ length: 16 / size }, (_, i) => 2 * i);
  const odd = even.map((lane) => lane + 1);
  return (ctx, insn) => {
    const code = ctx.code;
    const [to, from] = insn.operands as [Operand, Operand];
    const b = source(ctx, from);
    const a = source(ctx, to);
    floating(ctx, { op: insn.op, a, b, type: 'v128' }, () => {
      const x = lanesOf(ctx, size, a, b, even);
      const y = lanesOf(ctx, size, a, b, odd);
      code.localGet(x).localGet(y);
      if (!subtract) add(ctx, size);
      else if (size === 4) code.f32x4Sub();
      else code.f64x2Sub();
      repairNans(ctx, size, x, y);
    });
    setVector(ctx, to);
  };
}

/**
 * Pushes the dot product of the lanes chosen by `bits` in all lanes; `exact`: with the bits of NaNs. Pairs of products are
 * added first (SDM vol. 2, DPPS).
 */
function pushDot(ctx: LoweringContext, size: FloatSize, a: number, b: number, bits: number, exact: boolean): void {
  const code = ctx.code;
  const repair = (x: number, y: number): void => {
    if (exact) repairNans(ctx, size, x, y);
  };
  code.localGet(a).localGet(b);
  if (size === 4) code.f32x4Mul();
  else code.f64x2Mul();
  repair(a, b);
  code.v128Const(...laneMask(size, bits)).v128And();
  let sums = ctx.toTemp('v128');
  const steps =
    size === 4
      ? [
          [0, 2, 0, 2],
          [0, 0, 0, 0],
        ]
      : [[0, 0]];
  for (const step of steps) {
    const x = lanesOf(ctx, size, sums, sums, step);
    const y = lanesOf(
      ctx,
      size,
      sums,
      sums,
      step.map((lane) => lane + 1),
    );
    code.localGet(x).localGet(y);
    add(ctx, size);
    repair(x, y);
    sums = ctx.toTemp('v128');
  }
  code.localGet(sums);
}

/** dpps, dppd: the upper four bits of the immediate choose the products, the lower ones where the sum goes. */
function dot(size: FloatSize): Lowering {
  return (ctx, insn) => {
    const code = ctx.code;
    const [to, from, imm] = insn.operands as [Operand, Operand, Operand];
    const control = Number(asImmediate(imm));
    const b = source(ctx, from);
    const a = source(ctx, to);
    floating(ctx, { op: insn.op, imm: control, a, b, type: 'v128' }, () => {
      pushDot(ctx, size, a, b, control >> 4, false);
      const result = ctx.toTemp('v128');
      // A NaN on the way shows in the sum.
      notEqual(ctx, size, result);
      code.v128AnyTrue().if();
      if (ctx.inRun) {
        ctx.exit(EXIT_KIND_SLOW, insn.rip, ctx.remaining);
      } else {
        pushDot(ctx, size, a, b, control >> 4, true);
        code.localSet(result);
      }
      code
        .end()
        .localGet(result)
        .v128Const(...laneMask(size, control & 15))
        .v128And();
    });
    setVector(ctx, to);
  };
}

export function addHorizontalLowerings(map: Map<string, Lowering>): void {
  for (const size of [4, 8] as const) {
    const type = size === 4 ? 'ps' : 'pd';
    map.set(`addsub${type}`, addSubtract(size));
    map.set(`hadd${type}`, horizontal(false, size));
    map.set(`hsub${type}`, horizontal(true, size));
    map.set(`dp${type}`, dot(size));
  }
}
