/** SSE4.1's packed integers, blends, extensions and insertions, and PCMPGTQ: Intel SDM vol. 1, 12.8 and 12.10, and vol. 2. */

import type { SimpleOp } from '../wasm/opcodes.ts';
import type { Operand } from './instruction.ts';
import { setVector, source } from './lower-sse-common.ts';
import { addSame, type Emit, multiplyEven, packed } from './lower-sse-int.ts';
import { bytesOf, shuffle } from './lower-sse-shuffle.ts';
import { asImmediate, type Lowering, type LoweringContext } from './lowering.ts';

const SAME = {
  pcmpeqq: 'i64x2Eq',
  pcmpgtq: 'i64x2GtS',
  packusdw: 'i16x8NarrowI32x4U',
  pminsb: 'i8x16MinS',
  pminsd: 'i32x4MinS',
  pminuw: 'i16x8MinU',
  pminud: 'i32x4MinU',
  pmaxsb: 'i8x16MaxS',
  pmaxsd: 'i32x4MaxS',
  pmaxuw: 'i16x8MaxU',
  pmaxud: 'i32x4MaxU',
  pmulld: 'i32x4Mul',
} as const;

/** Extensions of the source's low lanes, in steps of one size. */
const EXTEND: Record<string, readonly SimpleOp[]> = {
  pmovsxbw: ['i16x8ExtendLowI8x16S'],
  pmovsxbd: ['i16x8ExtendLowI8x16S', 'i32x4ExtendLowI16x8S'],
  pmovsxbq: ['i16x8ExtendLowI8x16S', 'i32x4ExtendLowI16x8S', 'i64x2ExtendLowI32x4S'],
  pmovsxwd: ['i32x4ExtendLowI16x8S'],
  pmovsxwq: ['i32x4ExtendLowI16x8S', 'i64x2ExtendLowI32x4S'],
  pmovsxdq: ['i64x2ExtendLowI32x4S'],
  pmovzxbw: ['i16x8ExtendLowI8x16U'],
  pmovzxbd: ['i16x8ExtendLowI8x16U', 'i32x4ExtendLowI16x8U'],
  pmovzxbq: ['i16x8ExtendLowI8x16U', 'i32x4ExtendLowI16x8U', 'i64x2ExtendLowI32x4U'],
  pmovzxwd: ['i32x4ExtendLowI16x8U'],
  pmovzxwq: ['i32x4ExtendLowI16x8U', 'i64x2ExtendLowI32x4U'],
  pmovzxdq: ['i64x2ExtendLowI32x4U'],
};

function extend(steps: readonly SimpleOp[]): Lowering {
  return (ctx, insn) => {
    const [to, from] = insn.operands as [Operand, Operand];
    ctx.code.localGet(source(ctx, from));
    for (const step of steps) ctx.code[step]();
    setVector(ctx, to);
  };
}

/** Lanes of the source where the immediate's bit is set, else of the destination. */
function blend(size: 2 | 4 | 8): Lowering {
  const lanes = 16 / size;
  return shuffle(true, (imm) =>
    Array.from({ length: lanes }, (_, i) => bytesOf(size, (imm >> i) & 1 ? i + lanes : i)).flat(),
  );
}

/** Lanes of the source where XMM0's top bit is set. */
function blendVariable(size: 1 | 4 | 8): Emit {
  return (ctx, a, b) => {
    const code = ctx.code;
    code.localGet(b).localGet(a);
    ctx.getXmm(0);
    code.i32Const(size * 8 - 1);
    if (size === 1) code.i8x16ShrS();
    else if (size === 4) code.i32x4ShrS();
    else code.i64x2ShrS();
    code.v128Bitselect();
  };
}

/** insertps: any lane of a register, or four bytes of memory, into any lane; lanes named by bits become zero. */
function insertSingle(ctx: LoweringContext, insn: Parameters<Lowering>[1]): void {
  const code = ctx.code;
  const [to, from, imm] = insn.operands as [Operand, Operand, Operand];
  const control = Number(asImmediate(imm));
  const b = source(ctx, from);
  const a = source(ctx, to);
  const lane = from.kind === 'mem' ? 0 : control >> 6;
  const target = (control >> 4) & 3;
  code.localGet(a).localGet(b);
  code.i8x16Shuffle([0, 1, 2, 3].flatMap((i) => bytesOf(4, i === target ? 4 + lane : i)));
  const zeros = control & 15;
  if (zeros !== 0) {
    const mask = (i: number): bigint => ((zeros >> i) & 1 ? 0n : 0xffff_ffffn);
    code.v128Const(mask(0) | (mask(1) << 32n), mask(2) | (mask(3) << 32n)).v128And();
  }
  setVector(ctx, to);
}

/** phminposuw: the smallest word, then the number of the first lane that has it. */
function minimumPosition(ctx: LoweringContext, _a: number, b: number): void {
  const code = ctx.code;
  const least = ctx.temp('v128');
  code.localGet(b).localSet(least);
  for (const distance of [8, 4, 2]) {
    const rotated = Array.from({ length: 16 }, (_, i) => (i + distance) & 15);
    code.localGet(least).localGet(least).localGet(least).i8x16Shuffle(rotated).i16x8MinU().localSet(least);
  }
  code.v128Const(0n, 0n).localGet(least).i16x8ExtractLaneU(0).i16x8ReplaceLane(0);
  code.localGet(b).localGet(least).i16x8Eq().i16x8Bitmask().i32Ctz().i16x8ReplaceLane(1);
}

/** mpsadbw: eight sums of four absolute differences, of a moving block of the destination and a fixed one of the source. */
function sumsOfDifferences(ctx: LoweringContext, insn: Parameters<Lowering>[1]): void {
  const code = ctx.code;
  const [to, from, imm] = insn.operands as [Operand, Operand, Operand];
  const control = Number(asImmediate(imm));
  const moving = ((control >> 2) & 1) * 4;
  const fixed = (control & 3) * 4;
  const b = source(ctx, from);
  const a = source(ctx, to);
  const [x, y] = [ctx.temp('v128'), ctx.temp('v128')];
  for (let i = 0; i < 4; i++) {
    code.localGet(a).localGet(a);
    code.i8x16Shuffle(Array.from({ length: 16 }, (_, lane) => (moving + i + lane) & 15)).localSet(x);
    code.localGet(b).localGet(b);
    code.i8x16Shuffle(new Array(16).fill(fixed + i)).localSet(y);
    code.localGet(x).localGet(y).i8x16MaxU().localGet(x).localGet(y).i8x16MinU().i8x16Sub();
    code.i16x8ExtendLowI8x16U();
    if (i > 0) code.i16x8Add();
  }
  setVector(ctx, to);
}

/** ptest: ZF where the AND is zero, CF where the AND with the destination's complement is. */
function test(ctx: LoweringContext, insn: Parameters<Lowering>[1]): void {
  const code = ctx.code;
  const [to, from] = insn.operands as [Operand, Operand];
  const b = source(ctx, from);
  const a = source(ctx, to);
  code.localGet(a).localGet(b).v128And().v128AnyTrue().i32Eqz().i32Const(6).i32Shl();
  code.localGet(b).localGet(a).v128Andnot().v128AnyTrue().i32Eqz().i32Or().i64ExtendI32U();
  ctx.setFlagsBits();
}

export function addSse4Lowerings(map: Map<string, Lowering>): void {
  addSame(map, SAME);
  for (const [op, steps] of Object.entries(EXTEND)) map.set(op, extend(steps));
  map.set('pmuldq', packed(multiplyEven(true)));
  map.set('pblendw', blend(2));
  map.set('blendps', blend(4));
  map.set('blendpd', blend(8));
  map.set('pblendvb', packed(blendVariable(1)));
  map.set('blendvps', packed(blendVariable(4)));
  map.set('blendvpd', packed(blendVariable(8)));
  map.set('insertps', insertSingle);
  map.set('phminposuw', packed(minimumPosition));
  map.set('mpsadbw', sumsOfDifferences);
  map.set('ptest', test);
}
