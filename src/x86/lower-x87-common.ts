/**
 * What the x87's lowerings are made of: operands, and WebAssembly for the register stack. Registers are addressed by their
 * physical number, a local; ST(i) is that of TOP + i (SDM vol. 1, 8.1.2).
 */

import { REGISTER_FILE } from '../lvm/layout.ts';
import type { Instruction, MemoryOperand, Operand } from './instruction.ts';
import { checkPending } from './lower-sse-common.ts';
import type { Lowering, LoweringContext } from './lowering.ts';
import { OFF_FDP, OFF_FIP, OFF_FSW, OFF_FTW, OFF_ST } from './state.ts';
import { FSW_C1, FSW_TOP, FSW_TOP_SHIFT } from './x87-words.ts';

// --- instructions ---

/** Every instruction but those of control: reports a pending exception. */
export function begin(ctx: LoweringContext): void {
  checkPending(ctx);
  ctx.code.i32Const(REGISTER_FILE).i64Const(BigInt(ctx.insn.rip)).i64Store(OFF_FIP);
}

/**
 * `ctx.checked`, and the data pointer: the operand's address in its segment (SDM vol. 1, 8.1.8). FIP and FDP are set by
 * all instructions, FOP only where an exception is not masked.
 */
export function checkedOperand(ctx: LoweringContext, operand: MemoryOperand, write: boolean): number {
  const code = ctx.code;
  const address = ctx.checked(operand, operand.size, write);
  code.i32Const(REGISTER_FILE);
  if (operand.segment === 'none') code.localGet(address).i64ExtendI32U();
  else ctx.address(operand, false);
  code.i64Store(OFF_FDP);
  return address;
}

/** Calls a helper with a constant. */
export function callWith(ctx: LoweringContext, helper: string, value: number): void {
  const arg = ctx.temp('i32');
  ctx.code.i32Const(value).localSet(arg);
  ctx.callHelper(helper, arg);
}

export function stackIndex(operand: Operand): number {
  if (operand.kind !== 'reg' || operand.file !== 'st') throw new Error('operand');
  return operand.index;
}

/** The memory operand of an instruction that has only that. */
export function memory(insn: Instruction): MemoryOperand {
  const operand = insn.operands[0];
  if (operand?.kind !== 'mem') throw new Error('operand');
  return operand;
}

/** An instruction that is its helper. */
export function helper(name: string): Lowering {
  return (ctx) => {
    begin(ctx);
    ctx.callHelper(name);
  };
}

// --- code for the stack ---

/** The status word, as a local. */
export function readStatus(ctx: LoweringContext): number {
  ctx.code.i32Const(REGISTER_FILE).i32Load16U(OFF_FSW);
  return ctx.toTemp('i32');
}

/** The number of the physical register that is ST(i), as a local. */
export function physical(ctx: LoweringContext, status: number, i: number): number {
  const code = ctx.code.localGet(status).i32Const(FSW_TOP_SHIFT).i32ShrU();
  if (i !== 0) code.i32Const(i).i32Add();
  code.i32Const(7).i32And();
  return ctx.toTemp('i32');
}

/** Pushes an i32: the tag of a physical register, 1 when it is valid. */
export function pushTag(ctx: LoweringContext, register: number): void {
  ctx.code.i32Const(REGISTER_FILE).i32Load16U(OFF_FTW).localGet(register).i32ShrU().i32Const(1).i32And();
}

/** Pushes the offset of a physical register, to which OFF_ST + REGISTER_FILE is to be added. */
export function pushOffset(ctx: LoweringContext, register: number): void {
  ctx.code.localGet(register).i32Const(4).i32Shl();
}

export const ST = REGISTER_FILE + OFF_ST;

/** Copies the i64 and i32 locals into a physical register. */
export function writeRegister(ctx: LoweringContext, register: number, significand: number, signExponent: number): void {
  pushOffset(ctx, register);
  ctx.code.localGet(significand).i64Store(ST);
  pushOffset(ctx, register);
  ctx.code.localGet(signExponent).i32Store16(ST + 8);
}

/** A physical register's content as locals: significand (i64), sign and exponent (i32). */
export function readRegister(ctx: LoweringContext, register: number): [number, number] {
  pushOffset(ctx, register);
  ctx.code.i64Load(ST);
  const significand = ctx.toTemp('i64');
  pushOffset(ctx, register);
  ctx.code.i32Load16U(ST + 8);
  return [significand, ctx.toTemp('i32')];
}

/** Clears C1 and makes TOP the local `top` (-1: leaves it). */
export function writeStatus(ctx: LoweringContext, status: number, top = -1): void {
  const code = ctx.code;
  code.i32Const(REGISTER_FILE).localGet(status);
  code.i32Const(0xffff & ~(top >= 0 ? FSW_C1 | FSW_TOP : FSW_C1)).i32And();
  if (top >= 0) code.localGet(top).i32Const(FSW_TOP_SHIFT).i32Shl().i32Or();
  code.i32Store16(OFF_FSW);
}

/** Marks a physical register valid or empty. */
export function writeTag(ctx: LoweringContext, register: number, valid: boolean): void {
  const code = ctx.code;
  code.i32Const(REGISTER_FILE).i32Const(REGISTER_FILE).i32Load16U(OFF_FTW);
  code.i32Const(1).localGet(register).i32Shl();
  if (valid) code.i32Or();
  else code.i32Const(-1).i32Xor().i32And();
  code.i32Store16(OFF_FTW);
}

/** Drops ST(0), which is physical register `top`. */
export function pop(ctx: LoweringContext, status: number, top: number): void {
  writeTag(ctx, top, false);
  writeStatus(ctx, status, physical(ctx, status, 1));
}
