/**
 * SSE and SSE2 floating-point arithmetic and comparison: Intel SDM vol. 1, 10.4.1 and 11.4.1, and vol. 2.
 *
 * WebAssembly leaves a NaN's sign and payload open, and V8's compilers differ: behind every operation whose result is a
 * NaN the bits are computed from the operands (SDM vol. 1, table 4-7): the first operand if it is a NaN, else the second,
 * quieted; else the default NaN.
 */

import { REGISTER_FILE } from '../lvm/layout.ts';
import { EXIT_KIND_SLOW } from './calling.ts';
import type { Instruction, Operand } from './instruction.ts';
import { lowSource, setVector, source, splat } from './lower-sse-common.ts';
import { type Calm, callSoft, floating, guardMxcsr, leaveUnlessCalm, OFF_SSE_RESULT } from './lower-sse-mxcsr.ts';
import { asImmediate, asRegister, type Lowering, type LoweringContext } from './lowering.ts';

export type FloatSize = 4 | 8;

export const QUIET: Record<FloatSize, bigint> = { 4: 0x0040_0000n, 8: 0x0008_0000_0000_0000n };
export const DEFAULT_NAN: Record<FloatSize, bigint> = { 4: 0xffc0_0000n, 8: 0xfff8_0000_0000_0000n };

/** Wasm instructions by operation: scalar single, double, packed single, double. */
const ARITHMETIC = {
  add: ['f32Add', 'f64Add', 'f32x4Add', 'f64x2Add'],
  sub: ['f32Sub', 'f64Sub', 'f32x4Sub', 'f64x2Sub'],
  mul: ['f32Mul', 'f64Mul', 'f32x4Mul', 'f64x2Mul'],
  div: ['f32Div', 'f64Div', 'f32x4Div', 'f64x2Div'],
  sqrt: ['f32Sqrt', 'f64Sqrt', 'f32x4Sqrt', 'f64x2Sqrt'],
} as const;
type Arithmetic = keyof typeof ARITHMETIC;

const CALM: Record<Arithmetic, Calm> = { add: 'sum', sub: 'sum', mul: 'product', div: 'product', sqrt: 'sum' };

/** Pushes the v128 local `upper` with its lowest `size` bytes replaced by those of the v128 on the stack. */
export function mergeLow(ctx: LoweringContext, size: number, upper: number): void {
  ctx.code.localGet(upper);
  ctx.code.i8x16Shuffle(Array.from({ length: 16 }, (_, i) => (i < size ? i : 16 + i)));
}

function isNan(ctx: LoweringContext, size: FloatSize, local: number): void {
  ctx.code.localGet(local).localGet(local);
  if (size === 4) ctx.code.f32Ne();
  else ctx.code.f64Ne();
}

function scalar(op: Arithmetic, size: FloatSize): Lowering {
  const type = size === 4 ? 'f32' : 'f64';
  const emit = ARITHMETIC[op][size === 4 ? 0 : 1];
  return (ctx, insn) => {
    const code = ctx.code;
    const [to, from] = insn.operands as [Operand, Operand];
    const { index } = asRegister(to);
    const b = lowSource(ctx, from, size);
    const a = op === 'sqrt' ? -1 : ctx.low(index, size);
    floating(ctx, { op: insn.op, a, b, operands: type, type, calm: CALM[op] }, () => {
      if (a >= 0) code.localGet(a);
      code.localGet(b)[emit]();
      if (ctx.nanCovered) return;
      const result = ctx.toTemp(type);
      isNan(ctx, size, result);
      code.ifRarely();
      if (ctx.inRun) {
        ctx.exit(EXIT_KIND_SLOW, insn.rip, ctx.remaining);
      } else {
        if (a >= 0) quieted(ctx, size, a);
        quieted(ctx, size, b);
        scalarBits(ctx, size, DEFAULT_NAN[size]);
        isNan(ctx, size, b);
        code.select();
        if (a >= 0) {
          isNan(ctx, size, a);
          code.select();
        }
        if (size === 4) code.f32ReinterpretI32();
        else code.f64ReinterpretI64();
        code.localSet(result);
      }
      code.end().localGet(result);
    });
    ctx.setLow(index, size);
  };
}

function scalarBits(ctx: LoweringContext, size: FloatSize, bits: bigint): void {
  if (size === 4) ctx.code.i32Const(Number(BigInt.asIntN(32, bits)));
  else ctx.code.i64Const(BigInt.asIntN(64, bits));
}

/** Pushes a float's bits as an integer, quiet bit set. */
function quieted(ctx: LoweringContext, size: FloatSize, local: number): void {
  ctx.code.localGet(local);
  if (size === 4) ctx.code.i32ReinterpretF32();
  else ctx.code.i64ReinterpretF64();
  scalarBits(ctx, size, QUIET[size]);
  if (size === 4) ctx.code.i32Or();
  else ctx.code.i64Or();
}

/** Pushes the mask of the lanes that are NaNs. */
export function notEqual(ctx: LoweringContext, size: FloatSize, local: number): void {
  ctx.code.localGet(local).localGet(local);
  if (size === 4) ctx.code.f32x4Ne();
  else ctx.code.f64x2Ne();
}

/** Pushes what an operation on the v128 locals `a` (-1: there is only `b`) and `b` gives in lanes whose result is a NaN. */
function pushNans(ctx: LoweringContext, size: FloatSize, a: number, b: number): void {
  const code = ctx.code;
  if (a >= 0) {
    code.localGet(a);
    splat(ctx, size, QUIET[size]);
    code.v128Or();
  }
  code.localGet(b);
  splat(ctx, size, QUIET[size]);
  code.v128Or();
  splat(ctx, size, DEFAULT_NAN[size]);
  notEqual(ctx, size, b);
  code.v128Bitselect();
  if (a >= 0) {
    notEqual(ctx, size, a);
    code.v128Bitselect();
  }
}

/** Replaces the packed result on the stack by one with the bits of its NaNs. In a run leaves where there are any. */
export function repairNans(ctx: LoweringContext, size: FloatSize, a: number, b: number): void {
  const code = ctx.code;
  const result = ctx.toTemp('v128');
  notEqual(ctx, size, result);
  const nans = ctx.temp('v128');
  code.localTee(nans).v128AnyTrue().ifRarely();
  if (ctx.inRun) {
    ctx.exit(EXIT_KIND_SLOW, ctx.insn.rip, ctx.remaining);
  } else {
    pushNans(ctx, size, a, b);
    code.localGet(result).localGet(nans).v128Bitselect().localSet(result);
  }
  code.end().localGet(result);
}

function packed(op: Arithmetic, size: FloatSize): Lowering {
  const emit = ARITHMETIC[op][size === 4 ? 2 : 3];
  return (ctx, insn) => {
    const code = ctx.code;
    const [to, from] = insn.operands as [Operand, Operand];
    const b = source(ctx, from);
    const a = source(ctx, to);
    floating(ctx, { op: insn.op, a, b, type: 'v128', calm: CALM[op] }, () => {
      if (op !== 'sqrt') code.localGet(a);
      code.localGet(b)[emit]();
      if (!ctx.nanCovered) repairNans(ctx, size, op === 'sqrt' ? -1 : a, b);
    });
    setVector(ctx, to);
  };
}

/** min: dst < src ? dst : src. max: dst > src ? dst : src. So the source where one is a NaN or both are zero. */
function pushExtreme(ctx: LoweringContext, op: 'min' | 'max', size: FloatSize): void {
  // pmin(x, y) is y < x ? y : x, pmax(x, y) is x < y ? y : x.
  if (size === 4) op === 'min' ? ctx.code.f32x4Pmin() : ctx.code.f32x4Pmax();
  else op === 'min' ? ctx.code.f64x2Pmin() : ctx.code.f64x2Pmax();
}

function packedExtreme(op: 'min' | 'max', size: FloatSize): Lowering {
  return (ctx, insn) => {
    const [to, from] = insn.operands as [Operand, Operand];
    const b = source(ctx, from);
    const a = source(ctx, to);
    floating(ctx, { op: insn.op, a, b, type: 'v128', calm: 'order' }, () => {
      ctx.code.localGet(b).localGet(a);
      pushExtreme(ctx, op, size);
    });
    setVector(ctx, to);
  };
}

function scalarExtreme(op: 'min' | 'max', size: FloatSize): Lowering {
  const type = size === 4 ? 'f32' : 'f64';
  return (ctx, insn) => {
    const code = ctx.code;
    const [to, from] = insn.operands as [Operand, Operand];
    const { index } = asRegister(to);
    const b = lowSource(ctx, from, size);
    const a = ctx.low(index, size);
    floating(ctx, { op: insn.op, a, b, operands: type, type, calm: 'order' }, () => {
      // There is no branch in this, other than in a selection of floats.
      for (const local of [b, a]) size === 4 ? code.localGet(local).f32x4Splat() : code.localGet(local).f64x2Splat();
      pushExtreme(ctx, op, size);
      if (size === 4) code.f32x4ExtractLane(0);
      else code.f64x2ExtractLane(0);
    });
    ctx.setLow(index, size);
  };
}

/** Pushes the mask of predicate 0 … 7: eq lt le unord neq nlt nle ord. */
function compareMask(ctx: LoweringContext, predicate: number, size: FloatSize, a: number, b: number): void {
  const code = ctx.code;
  if ((predicate & 3) === 3) {
    notEqual(ctx, size, a);
    notEqual(ctx, size, b);
    code.v128Or();
  } else {
    code.localGet(a).localGet(b);
    if ((predicate & 3) === 0) size === 4 ? code.f32x4Eq() : code.f64x2Eq();
    else if ((predicate & 3) === 1) size === 4 ? code.f32x4Lt() : code.f64x2Lt();
    else size === 4 ? code.f32x4Le() : code.f64x2Le();
  }
  if (predicate > 3) code.v128Not();
}

function compare(size: FloatSize, isScalar: boolean): Lowering {
  return (ctx, insn) => {
    const [to, from, imm] = insn.operands as [Operand, Operand, Operand];
    const predicate = Number(asImmediate(imm)) & 7;
    const b = source(ctx, from);
    const a = source(ctx, to);
    floating(ctx, { op: insn.op, imm: predicate, a, b, type: 'v128', calm: 'order' }, () => {
      compareMask(ctx, predicate, size, a, b);
      if (isScalar) mergeLow(ctx, size, a);
    });
    setVector(ctx, to);
  };
}

/** comis, ucomis: ZF, PF, CF are 000 for greater, 001 for less, 100 for equal, 111 for unordered; OF, SF, AF 0. */
function compareFlags(size: FloatSize): Lowering {
  const type = size === 4 ? 'f32' : 'f64';
  return (ctx, insn) => {
    const code = ctx.code;
    const [to, from] = insn.operands as [Operand, Operand];
    const b = lowSource(ctx, from, size);
    const a = lowSource(ctx, to, size);
    if (!ctx.careful) {
      guardMxcsr(ctx);
      leaveUnlessCalm(ctx, { op: insn.op, a, b, operands: type, calm: 'order' }, b);
      ctx.setFloatFlags(size, a, b);
      return;
    }
    floating(ctx, { op: insn.op, a, b, operands: type, type: 'i64' }, () => {
      const both = () => code.localGet(a).localGet(b);
      both();
      if (size === 4) code.f32Lt();
      else code.f64Lt();
      both();
      if (size === 4) code.f32Eq();
      else code.f64Eq();
      code.i32Const(6).i32Shl().i32Or();
      isNan(ctx, size, a);
      isNan(ctx, size, b);
      code.i32Or().i32Const(0x45).i32Mul().i32Or().i64ExtendI32U();
    });
    ctx.setFlagsBits();
  };
}

/** Approximations are always computed by the helper. */
function approximate(ctx: LoweringContext, insn: Instruction): void {
  const [to, from] = insn.operands as [Operand, Operand];
  const b = source(ctx, from);
  callSoft(ctx, insn.op, ['v128', source(ctx, to)], ['v128', b]);
  ctx.code.i32Const(REGISTER_FILE).v128Load(OFF_SSE_RESULT);
  setVector(ctx, to);
}

export function addFloatLowerings(map: Map<string, Lowering>): void {
  for (const size of [4, 8] as const) {
    const [s, p] = size === 4 ? ['ss', 'ps'] : ['sd', 'pd'];
    for (const op of Object.keys(ARITHMETIC) as Arithmetic[]) {
      map.set(op + s, scalar(op, size));
      map.set(op + p, packed(op, size));
    }
    for (const op of ['min', 'max'] as const) {
      map.set(op + s, scalarExtreme(op, size));
      map.set(op + p, packedExtreme(op, size));
    }
    map.set(`cmp${s}`, compare(size, true));
    map.set(`cmp${p}`, compare(size, false));
    map.set(`comi${s}`, compareFlags(size));
    map.set(`ucomi${s}`, compareFlags(size));
  }
  for (const op of ['rcpss', 'rcpps', 'rsqrtss', 'rsqrtps']) map.set(op, approximate);
}
