/**
 * Packed integer arithmetic, comparison, logic and shifts on XMM and MMX registers: Intel SDM vol. 1, 9.4, 10.4.4 and
 * 11.4.2, and vol. 2.
 */

import type { SimpleOp } from '../wasm/opcodes.ts';
import type { Instruction, Operand } from './instruction.ts';
import { checkPending, enterMmx, isMmx, setVector, source, usesMmx } from './lower-sse-common.ts';
import { asImmediate, type Lowering, type LoweringContext } from './lowering.ts';

/** Pushes the result for the locals of destination and source; of MMX registers only the low half counts. */
export type Emit = (ctx: LoweringContext, a: number, b: number, mmx: boolean) => void;

export function packed(emit: Emit): Lowering {
  return (ctx, insn) => {
    const [to, from] = insn.operands as [Operand, Operand];
    const mmx = usesMmx(insn);
    if (mmx) checkPending(ctx);
    const b = source(ctx, from);
    const a = source(ctx, to);
    if (mmx) enterMmx(ctx);
    emit(ctx, a, b, mmx);
    setVector(ctx, to);
  };
}

/** Wasm instructions that do the same. */
const SAME = {
  paddb: 'i8x16Add',
  paddw: 'i16x8Add',
  paddd: 'i32x4Add',
  paddq: 'i64x2Add',
  psubb: 'i8x16Sub',
  psubw: 'i16x8Sub',
  psubd: 'i32x4Sub',
  psubq: 'i64x2Sub',
  paddsb: 'i8x16AddSatS',
  paddsw: 'i16x8AddSatS',
  paddusb: 'i8x16AddSatU',
  paddusw: 'i16x8AddSatU',
  psubsb: 'i8x16SubSatS',
  psubsw: 'i16x8SubSatS',
  psubusb: 'i8x16SubSatU',
  psubusw: 'i16x8SubSatU',
  pminub: 'i8x16MinU',
  pmaxub: 'i8x16MaxU',
  pminsw: 'i16x8MinS',
  pmaxsw: 'i16x8MaxS',
  pavgb: 'i8x16AvgrU',
  pavgw: 'i16x8AvgrU',
  pmullw: 'i16x8Mul',
  pmaddwd: 'i32x4DotI16x8S',
  pcmpeqb: 'i8x16Eq',
  pcmpeqw: 'i16x8Eq',
  pcmpeqd: 'i32x4Eq',
  pcmpgtb: 'i8x16GtS',
  pcmpgtw: 'i16x8GtS',
  pcmpgtd: 'i32x4GtS',
  pand: 'v128And',
  andps: 'v128And',
  andpd: 'v128And',
  por: 'v128Or',
  orps: 'v128Or',
  orpd: 'v128Or',
} as const;

const xorDifferent = packed((ctx, a, b) => ctx.code.localGet(a).localGet(b).v128Xor());

/** The idioms for zero do not depend on the register's value. */
function exclusiveOr(ctx: LoweringContext, insn: Instruction): void {
  const [to, from] = insn.operands;
  const same = to?.kind === 'reg' && from?.kind === 'reg' && to.index === from.index;
  if (same && to.file === 'xmm') ctx.clearXmm(to.index);
  else xorDifferent(ctx, insn);
}

/** The upper words of the products. */
function multiplyHigh(signed: boolean): Emit {
  return (ctx, a, b) => {
    const code = ctx.code;
    code.localGet(a).localGet(b);
    if (signed) code.i32x4ExtmulLowI16x8S();
    else code.i32x4ExtmulLowI16x8U();
    code.localGet(a).localGet(b);
    if (signed) code.i32x4ExtmulHighI16x8S();
    else code.i32x4ExtmulHighI16x8U();
    code.i8x16Shuffle([2, 3, 6, 7, 10, 11, 14, 15, 18, 19, 22, 23, 26, 27, 30, 31]);
  };
}

/** The products of the even doublewords. */
export function multiplyEven(signed: boolean): Emit {
  const even = [0, 1, 2, 3, 8, 9, 10, 11, 0, 1, 2, 3, 8, 9, 10, 11];
  return (ctx, a, b) => {
    const code = ctx.code;
    code.localGet(a).localGet(a).i8x16Shuffle(even);
    code.localGet(b).localGet(b).i8x16Shuffle(even);
    if (signed) code.i64x2ExtmulLowI32x4S();
    else code.i64x2ExtmulLowI32x4U();
  };
}

/** Sums of the absolute differences of eight bytes each. */
function sumDifferences(ctx: LoweringContext, a: number, b: number): void {
  const code = ctx.code;
  code.localGet(a).localGet(b).i8x16MaxU().localGet(a).localGet(b).i8x16MinU().i8x16Sub();
  code.i16x8ExtaddPairwiseI8x16U().i32x4ExtaddPairwiseI16x8U();
  const sums = ctx.toTemp('v128');
  code.localGet(sums).i32Const(32).i64x2ShrU();
  code.localGet(sums).v128Const(0xffff_ffffn, 0xffff_ffffn).v128And().i64x2Add();
}

type Direction = 'll' | 'rl' | 'ra';

function emitShift(ctx: LoweringContext, direction: Direction, bits: number): void {
  const code = ctx.code;
  if (bits === 16) {
    if (direction === 'll') code.i16x8Shl();
    else if (direction === 'rl') code.i16x8ShrU();
    else code.i16x8ShrS();
  } else if (bits === 32) {
    if (direction === 'll') code.i32x4Shl();
    else if (direction === 'rl') code.i32x4ShrU();
    else code.i32x4ShrS();
  } else if (direction === 'll') code.i64x2Shl();
  else code.i64x2ShrU();
}

/** Counts are not taken modulo the width: larger ones shift everything out. */
function shift(direction: Direction, bits: number): Lowering {
  return (ctx, insn) => {
    const code = ctx.code;
    const [to, by] = insn.operands as [Operand, Operand];
    const mmx = isMmx(to);
    if (mmx) checkPending(ctx);
    if (by.kind === 'imm') {
      if (mmx) enterMmx(ctx);
      let count = Number(asImmediate(by));
      if (direction === 'ra') count = Math.min(count, bits - 1);
      if (count >= bits) {
        code.v128Const(0n, 0n);
      } else {
        code.localGet(source(ctx, to)).i32Const(count);
        emitShift(ctx, direction, bits);
      }
      setVector(ctx, to);
      return;
    }
    code.localGet(source(ctx, by)).i64x2ExtractLane(0);
    const count = ctx.toTemp('i64');
    const value = source(ctx, to);
    if (mmx) enterMmx(ctx);
    code.localGet(value);
    if (direction === 'ra') {
      code.localGet(count).i64Const(bits - 1);
      code.localGet(count).i64Const(bits).i64LtU().select().i32WrapI64();
      emitShift(ctx, direction, bits);
    } else {
      code.localGet(count).i32WrapI64();
      emitShift(ctx, direction, bits);
      code.v128Const(0n, 0n).localGet(count).i64Const(bits).i64LtU().select();
    }
    setVector(ctx, to);
  };
}

/** Mnemonics for which there is a WebAssembly instruction of two operands. */
export function addSame(map: Map<string, Lowering>, same: Readonly<Record<string, SimpleOp>>): void {
  for (const [op, name] of Object.entries(same)) {
    map.set(
      op,
      packed((ctx, a, b) => ctx.code.localGet(a).localGet(b)[name]()),
    );
  }
}

export function addPackedLowerings(map: Map<string, Lowering>): void {
  addSame(map, SAME);
  for (const op of ['pxor', 'xorps', 'xorpd']) map.set(op, exclusiveOr);
  // The complement is of the destination.
  for (const op of ['pandn', 'andnps', 'andnpd']) {
    map.set(
      op,
      packed((ctx, a, b) => ctx.code.localGet(b).localGet(a).v128Andnot()),
    );
  }
  map.set('pmulhw', packed(multiplyHigh(true)));
  map.set('pmulhuw', packed(multiplyHigh(false)));
  map.set('pmuludq', packed(multiplyEven(false)));
  map.set('psadbw', packed(sumDifferences));
  for (const [letter, bits] of [
    ['w', 16],
    ['d', 32],
    ['q', 64],
  ] as const) {
    map.set(`psll${letter}`, shift('ll', bits));
    map.set(`psrl${letter}`, shift('rl', bits));
    if (bits !== 64) map.set(`psra${letter}`, shift('ra', bits));
  }
}
