/**
 * Operands of the SSE, SSE2 and MMX lowerings. A value is a v128 local; an MMX register's is in its low half, the upper
 * half being zero. MMX register i is the significand of the x87's physical register R i (SDM vol. 1, 9.2).
 */

import { REGISTER_FILE } from '../lvm/layout.ts';
import type { Instruction, Operand } from './instruction.ts';
import type { LoweringContext } from './lowering.ts';
import { OFF_FSW, OFF_FTW, OFF_ST, VECTOR_MF } from './state.ts';

/** FSW: an unmasked x87 exception is pending. */
const FSW_ES = 0x80;
const FSW_TOP = 0x3800;

/** All bytes of a v128 constant from 16 numbers. */
export function v128Bytes(bytes: ArrayLike<number>): [bigint, bigint] {
  let low = 0n;
  let high = 0n;
  for (let i = 7; i >= 0; i--) {
    low = (low << 8n) | BigInt(bytes[i]!);
    high = (high << 8n) | BigInt(bytes[i + 8]!);
  }
  return [low, high];
}

/** Pushes a v128 with `bits` (of `size` bytes) in every lane. */
export function splat(ctx: LoweringContext, size: 4 | 8, bits: bigint): void {
  const lane = size === 4 ? bits | (bits << 32n) : bits;
  ctx.code.v128Const(lane, lane);
}

export function isMmx(operand: Operand | undefined): boolean {
  return operand?.kind === 'reg' && operand.file === 'mmx';
}

/** True for an instruction on MMX registers: they share mnemonics with SSE2. */
export function usesMmx(insn: Instruction): boolean {
  for (const operand of insn.operands) if (isMmx(operand)) return true;
  return false;
}

/**
 * The operand's value as a v128 local that the lowering must not change. Scalar memory operands are zero-extended; one of
 * 16 bytes must be aligned unless `unaligned`.
 */
export function source(ctx: LoweringContext, operand: Operand, unaligned = false): number {
  const code = ctx.code;
  if (operand.kind === 'mem') {
    const aligned = operand.size === 16 && !unaligned;
    const at = aligned ? ctx.checkedAligned(operand, false) : ctx.checked(operand, operand.size, false);
    code.localGet(at.local);
    if (operand.size === 16) code.v128Load(at.offset);
    else if (operand.size === 8) code.v128Load64Zero(at.offset);
    else if (operand.size === 4) code.v128Load32Zero(at.offset);
    else code.v128Const(0n, 0n).v128Load16Lane(0, at.offset);
    return ctx.toTemp('v128');
  }
  if (operand.kind !== 'reg') throw new Error('operand');
  if (operand.file === 'xmm') return ctx.xmm(operand.index);
  if (operand.file !== 'mmx') throw new Error('operand');
  code.i32Const(REGISTER_FILE).v128Load64Zero(OFF_ST + 16 * operand.index);
  return ctx.toTemp('v128');
}

/** Pushes a v128 with the low half of `source`; the upper half may be anything. */
export function pushLowHalf(ctx: LoweringContext, operand: Operand): void {
  if (operand.kind === 'reg' && operand.file === 'xmm') ctx.getLowHalf(operand.index);
  else ctx.code.localGet(source(ctx, operand));
}

/** The low float of an XMM register or a scalar in memory, as an f32 or f64 local that the lowering must not change. */
export function lowSource(ctx: LoweringContext, operand: Operand, size: 4 | 8): number {
  if (operand.kind === 'mem') {
    const at = ctx.checked(operand, size, false);
    ctx.code.localGet(at.local);
    if (size === 4) ctx.code.f32Load(at.offset);
    else ctx.code.f64Load(at.offset);
    return ctx.toTemp(size === 4 ? 'f32' : 'f64');
  }
  if (operand.kind !== 'reg' || operand.file !== 'xmm') throw new Error('operand');
  return ctx.low(operand.index, size);
}

/** Pops a v128 into a register operand; an MMX register takes the low half. */
export function setVector(ctx: LoweringContext, operand: Operand): void {
  if (operand.kind !== 'reg') throw new Error('operand');
  if (operand.file === 'xmm') {
    ctx.setXmm(operand.index);
    return;
  }
  ctx.code.i64x2ExtractLane(0);
  setMmx(ctx, operand.index);
}

/** Pops an i64 into an MMX register; the rest of the x87 register becomes ones (SDM vol. 1, 9.5.2). */
export function setMmx(ctx: LoweringContext, index: number): void {
  const code = ctx.code;
  const value = ctx.toTemp('i64');
  ctx.storeState64(OFF_ST + 16 * index, value);
  code
    .i32Const(REGISTER_FILE)
    .i32Const(0xffff)
    .i32Store16(OFF_ST + 16 * index + 8);
}

/** Every MMX instruction first reports a pending x87 exception. */
export function checkPending(ctx: LoweringContext): void {
  const code = ctx.code;
  code.i32Const(REGISTER_FILE).i32Load16U(OFF_FSW).i32Const(FSW_ES).i32And().if();
  ctx.exception(VECTOR_MF);
  code.end();
}

/** Every MMX instruction but EMMS sets TOP to 0 and marks all registers valid (SDM vol. 1, 9.5.1). After the last check. */
export function enterMmx(ctx: LoweringContext): void {
  const code = ctx.code;
  code
    .i32Const(REGISTER_FILE)
    .i32Const(REGISTER_FILE)
    .i32Load16U(OFF_FSW)
    .i32Const(0xffff & ~FSW_TOP)
    .i32And();
  code.i32Store16(OFF_FSW);
  code.i32Const(REGISTER_FILE).i32Const(0xff).i32Store16(OFF_FTW);
}
