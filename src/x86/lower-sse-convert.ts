/**
 * Conversions of SSE and SSE2: Intel SDM vol. 1, 10.4.2, 11.4.1.6 and 4.9.1.6, and vol. 2.
 *
 * What does not fit an integer becomes the "integer indefinite", the most negative integer. WebAssembly's saturating
 * truncation gives that for what is too small already.
 */

import type { Operand } from './instruction.ts';
import { checkPending, enterMmx, isMmx, lowSource, setVector, source, splat, usesMmx } from './lower-sse-common.ts';
import { type FloatSize, mergeLow, QUIET } from './lower-sse-float.ts';
import { floating } from './lower-sse-mxcsr.ts';
import { asRegister, type Lowering, type LoweringContext } from './lowering.ts';

const TWO_31 = 2 ** 31;
const TWO_63 = 2 ** 63;
const F32_TWO_31 = 0x4f00_0000n;
const F64_TWO_31 = 0x41e0_0000_0000_0000n;
const INDEFINITE_32 = 0x8000_0000n;

/** cvtsi2ss, cvtsi2sd */
function fromInteger(to: FloatSize): Lowering {
  return (ctx, insn) => {
    const code = ctx.code;
    const [dst, src] = insn.operands as [Operand, Operand];
    const wide = src.kind !== 'target' && src.size === 8;
    ctx.getOperand(src);
    const b = ctx.toTemp('i64');
    const op = `cvts${wide ? 'q' : 'i'}2s${to === 4 ? 's' : 'd'}`;
    const calm = to === 8 && !wide ? 'always' : 'inexact';
    floating(ctx, { op, a: -1, b, operands: 'i64', type: to === 4 ? 'f32' : 'f64', calm }, () => {
      code.localGet(b);
      if (!wide) code.i32WrapI64();
      if (to === 8) wide ? code.f64ConvertI64S() : code.f64ConvertI32S();
      else wide ? code.f32ConvertI64S() : code.f32ConvertI32S();
    });
    ctx.setLow(asRegister(dst).index, to);
  };
}

/** cvtss2si, cvttss2si, cvtsd2si, cvttsd2si */
function toInteger(from: FloatSize, truncate: boolean): Lowering {
  const type = from === 4 ? 'f32' : 'f64';
  return (ctx, insn) => {
    const code = ctx.code;
    const [dst, src] = insn.operands as [Operand, Operand];
    const { index, size } = asRegister(dst);
    const b = lowSource(ctx, src, from);
    const op = `cvt${truncate ? 't' : ''}s${from === 4 ? 's' : 'd'}2s${size === 8 ? 'q' : 'i'}`;
    floating(ctx, { op, a: -1, b, operands: type, type: 'i64', calm: 'integer' }, () => {
      code.localGet(b);
      if (!truncate) from === 4 ? code.f32Nearest() : code.f64Nearest();
      const value = ctx.toTemp(type);
      const limit = size === 8 ? TWO_63 : TWO_31;
      code.localGet(value);
      if (size === 8) from === 4 ? code.i64TruncSatF32S() : code.i64TruncSatF64S();
      else from === 4 ? code.i32TruncSatF32S() : code.i32TruncSatF64S();
      if (size === 8) code.i64Const(-0x8000_0000_0000_0000n);
      else code.i32Const(-0x8000_0000);
      // False for a NaN.
      code.localGet(value);
      if (from === 4) code.f32Const(limit).f32Lt();
      else code.f64Const(limit).f64Lt();
      code.select();
      if (size === 4) code.i64ExtendI32U();
    });
    ctx.setReg(index, size);
  };
}

/** cvtps2dq, cvttps2dq, cvtps2pi, cvttps2pi */
function packedSingleToInteger(truncate: boolean): Lowering {
  return (ctx, insn) => {
    const code = ctx.code;
    const [dst, src] = insn.operands as [Operand, Operand];
    const mmx = isMmx(dst);
    if (mmx) checkPending(ctx);
    const b = source(ctx, src);
    // #XM comes after the transition.
    if (mmx) enterMmx(ctx);
    floating(ctx, { op: insn.op, a: -1, b, type: 'v128' }, () => {
      code.localGet(b);
      if (!truncate) code.f32x4Nearest();
      const value = ctx.toTemp('v128');
      code.localGet(value).i32x4TruncSatF32x4S();
      splat(ctx, 4, INDEFINITE_32);
      code.localGet(value);
      splat(ctx, 4, F32_TWO_31);
      code.f32x4Lt().v128Bitselect();
    });
    setVector(ctx, dst);
  };
}

/** cvtpd2dq, cvttpd2dq, cvtpd2pi, cvttpd2pi: the upper half becomes zero. */
function packedDoubleToInteger(truncate: boolean): Lowering {
  return (ctx, insn) => {
    const code = ctx.code;
    const [dst, src] = insn.operands as [Operand, Operand];
    const mmx = isMmx(dst);
    if (mmx) checkPending(ctx);
    const b = source(ctx, src);
    if (mmx) enterMmx(ctx);
    floating(ctx, { op: insn.op, a: -1, b, type: 'v128' }, () => {
      code.localGet(b);
      if (!truncate) code.f64x2Nearest();
      const value = ctx.toTemp('v128');
      code.localGet(value).i32x4TruncSatF64x2SZero();
      code.v128Const(INDEFINITE_32 | (INDEFINITE_32 << 32n), 0n);
      code.localGet(value);
      splat(ctx, 8, F64_TWO_31);
      code.f64x2Lt();
      const fits = ctx.toTemp('v128');
      code.localGet(fits).localGet(fits).i8x16Shuffle([0, 1, 2, 3, 8, 9, 10, 11, 0, 1, 2, 3, 8, 9, 10, 11]);
      code.v128Bitselect();
    });
    setVector(ctx, dst);
  };
}

/** cvtdq2ps, cvtdq2pd, cvtpi2ps, cvtpi2pd */
function packedFromInteger(to: FloatSize, fromMmx: boolean): Lowering {
  return (ctx, insn) => {
    const code = ctx.code;
    const [dst, src] = insn.operands as [Operand, Operand];
    // With a memory operand this has nothing to do with MMX (the SDM says so of CVTPI2PD; processors do so of both).
    const mmx = fromMmx && usesMmx(insn);
    if (mmx) checkPending(ctx);
    const b = source(ctx, src);
    const a = source(ctx, dst);
    if (mmx) enterMmx(ctx);
    floating(ctx, { op: insn.op, a, b, type: 'v128', calm: to === 4 ? 'inexact' : 'always' }, () => {
      code.localGet(b);
      if (to === 4) code.f32x4ConvertI32x4S();
      else code.f64x2ConvertLowI32x4S();
      if (fromMmx && to === 4) mergeLow(ctx, 8, a);
    });
    setVector(ctx, dst);
  };
}

/** Pushes the double (single) for the single (double) NaN, quiet. */
function convertedNan(ctx: LoweringContext, from: FloatSize, local: number): void {
  const code = ctx.code;
  if (from === 4) {
    code.localGet(local).i32ReinterpretF32().i64ExtendI32U();
    const bits = ctx.toTemp('i64');
    code.localGet(bits).i64Const(0x8000_0000).i64And().i64Const(32).i64Shl();
    code.localGet(bits).i64Const(0x7f_ffff).i64And().i64Const(29).i64Shl().i64Or();
    code.i64Const(0x7ff8_0000_0000_0000n).i64Or().f64ReinterpretI64();
  } else {
    code.localGet(local).i64ReinterpretF64();
    const bits = ctx.toTemp('i64');
    code.localGet(bits).i64Const(32).i64ShrU().i64Const(0x8000_0000).i64And();
    code.localGet(bits).i64Const(29).i64ShrU().i64Const(0x3f_ffff).i64And().i64Or();
    code.i64Const(0x7fc0_0000).i64Or().i32WrapI64().f32ReinterpretI32();
  }
}

/** cvtss2sd, cvtsd2ss */
function scalarToScalar(from: FloatSize): Lowering {
  const [type, result] = from === 4 ? (['f32', 'f64'] as const) : (['f64', 'f32'] as const);
  return (ctx, insn) => {
    const code = ctx.code;
    const [dst, src] = insn.operands as [Operand, Operand];
    const b = lowSource(ctx, src, from);
    // (what becomes too small for a float does not show in its operand)
    const calm = from === 4 ? { calm: 'order' as const } : {};
    floating(ctx, { op: insn.op, a: -1, b, operands: type, type: result, ...calm }, () => {
      code.localGet(b);
      if (from === 4) code.f64PromoteF32();
      else code.f32DemoteF64();
      const out = ctx.toTemp(result);
      code.localGet(b).localGet(b);
      if (from === 4) code.f32Ne();
      else code.f64Ne();
      code.ifRarely();
      convertedNan(ctx, from, b);
      code.localSet(out).end().localGet(out);
    });
    ctx.setLow(asRegister(dst).index, from === 4 ? 8 : 4);
  };
}

/** cvtps2pd */
function packedToDouble(ctx: LoweringContext, insn: Parameters<Lowering>[1]): void {
  const code = ctx.code;
  const [dst, src] = insn.operands as [Operand, Operand];
  const b = source(ctx, src);
  floating(ctx, { op: insn.op, a: -1, b, type: 'v128' }, () => {
    code.localGet(b).f64x2PromoteLowF32x4();
    const result = ctx.temp('v128');
    const nans = ctx.temp('v128');
    code.localTee(result).localGet(result).f64x2Ne().localTee(nans).v128AnyTrue().if();
    // The bits of both lanes: sign, and fraction shifted by 29.
    code.localGet(b).i64x2ExtendLowI32x4U();
    const bits = ctx.toTemp('v128');
    code.localGet(bits).i32Const(32).i64x2Shl();
    splat(ctx, 8, 0x8000_0000_0000_0000n);
    code.v128And();
    code.localGet(bits);
    splat(ctx, 8, 0x7f_ffffn);
    code.v128And().i32Const(29).i64x2Shl().v128Or();
    splat(ctx, 8, 0x7ff8_0000_0000_0000n);
    code.v128Or().localGet(result).localGet(nans).v128Bitselect().localSet(result).end();
    code.localGet(result);
  });
  setVector(ctx, dst);
}

/** cvtpd2ps: the upper half becomes zero. */
function packedToSingle(ctx: LoweringContext, insn: Parameters<Lowering>[1]): void {
  const code = ctx.code;
  const [dst, src] = insn.operands as [Operand, Operand];
  const b = source(ctx, src);
  floating(ctx, { op: insn.op, a: -1, b, type: 'v128' }, () => {
    code.localGet(b).f32x4DemoteF64x2Zero();
    const result = ctx.toTemp('v128');
    const nans = ctx.temp('v128');
    code.localGet(b).localGet(b).f64x2Ne().localTee(nans).v128AnyTrue().if();
    code.localGet(b).i32Const(32).i64x2ShrU();
    splat(ctx, 8, 0x8000_0000n);
    code.v128And();
    code.localGet(b).i32Const(29).i64x2ShrU();
    splat(ctx, 8, 0x3f_ffffn);
    code.v128And().v128Or();
    splat(ctx, 8, 0x7f80_0000n | QUIET[4]);
    code.v128Or();
    const bits = ctx.toTemp('v128');
    const low = [0, 1, 2, 3, 8, 9, 10, 11, 16, 16, 16, 16, 16, 16, 16, 16];
    code.localGet(bits).v128Const(0n, 0n).i8x16Shuffle(low);
    code.localGet(result);
    code.localGet(nans).v128Const(0n, 0n).i8x16Shuffle(low);
    code.v128Bitselect().localSet(result).end();
    code.localGet(result);
  });
  setVector(ctx, dst);
}

export function addConvertLowerings(map: Map<string, Lowering>): void {
  map.set('cvtsi2ss', fromInteger(4));
  map.set('cvtsi2sd', fromInteger(8));
  for (const t of ['', 't']) {
    const truncate = t === 't';
    map.set(`cvt${t}ss2si`, toInteger(4, truncate));
    map.set(`cvt${t}sd2si`, toInteger(8, truncate));
    for (const to of ['dq', 'pi']) {
      map.set(`cvt${t}ps2${to}`, packedSingleToInteger(truncate));
      map.set(`cvt${t}pd2${to}`, packedDoubleToInteger(truncate));
    }
  }
  map.set('cvtdq2ps', packedFromInteger(4, false));
  map.set('cvtdq2pd', packedFromInteger(8, false));
  map.set('cvtpi2ps', packedFromInteger(4, true));
  map.set('cvtpi2pd', packedFromInteger(8, true));
  map.set('cvtss2sd', scalarToScalar(4));
  map.set('cvtsd2ss', scalarToScalar(8));
  map.set('cvtps2pd', packedToDouble);
  map.set('cvtpd2ps', packedToSingle);
}
