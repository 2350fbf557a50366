/**
 * What the x87's lowerings are made of: operands, and WebAssembly for the register stack. Registers are addressed by their
 * physical number, a local; ST(i) is that of TOP + i (SDM vol. 1, 8.1.2).
 */

import { REGISTER_FILE } from '../lvm/layout.ts';
import { EXIT_KIND_SLOW, FUNC_HELPER } from './calling.ts';
import type { Instruction, MemoryOperand, Operand } from './instruction.ts';
import type { Lowering, LoweringContext } from './lowering.ts';
import { OFF_FDP, OFF_FIP, OFF_FSW, OFF_ST, VECTOR_MF } from './state.ts';
import { helperId } from './support.ts';
import { FSW_C1, FSW_ES, FSW_TOP, FSW_TOP_SHIFT } from './x87-words.ts';

// --- instructions ---

/**
 * Reports a pending exception: what all but the FN… instructions begin with. Returns a local with the status word and, in
 * its upper half, the tags, which stand beside it.
 */
export function wait(ctx: LoweringContext): number {
  const code = ctx.code;
  const stack = ctx.temp('i32');
  code.i32Const(REGISTER_FILE).i32Load(OFF_FSW).localTee(stack).i32Const(FSW_ES).i32And().ifRarely();
  if (ctx.careful) ctx.exception(VECTOR_MF);
  else ctx.exit(EXIT_KIND_SLOW, ctx.insn.rip, ctx.remaining);
  code.end();
  return stack;
}

/** Begins an instruction that is none of control; returns as `wait`. */
export function begin(ctx: LoweringContext): number {
  const stack = wait(ctx);
  ctx.code.i32Const(REGISTER_FILE);
  ctx.pushRip();
  ctx.code.i64Store(OFF_FIP);
  return stack;
}

/**
 * `ctx.checked` as the address's i32 local, and the data pointer: the operand's address in its segment (SDM vol. 1, 8.1.8). FIP and FDP are set by
 * all instructions, FOP only where an exception is not masked.
 */
export function checkedOperand(ctx: LoweringContext, operand: MemoryOperand, write: boolean): number {
  const code = ctx.code;
  const address = ctx.addressOf(ctx.checked(operand, operand.size, write));
  code.i32Const(REGISTER_FILE);
  if (operand.segment === 'none') code.localGet(address).i64ExtendI32U();
  else ctx.address(operand, false);
  code.i64Store(OFF_FDP);
  return address;
}

/**
 * Calls a helper that sees nothing of the machine but the x87 and memory that has been checked, with the i32 local `arg`
 * (-1: 0), and pushes what it returns. No register goes to the register file and back, as with `ctx.callHelper`.
 */
export function callX87(ctx: LoweringContext, name: string, arg = -1): void {
  const code = ctx.code.i32Const(helperId(name));
  if (arg >= 0) code.localGet(arg);
  else code.i32Const(0);
  code.call(FUNC_HELPER);
}

/** As `callX87`, for what returns nothing. */
export function runX87(ctx: LoweringContext, name: string, arg = -1): void {
  callX87(ctx, name, arg);
  ctx.code.drop();
}

/** A constant as the argument of a helper. */
export function constantArg(ctx: LoweringContext, value: number): number {
  ctx.code.i32Const(value);
  return ctx.toTemp('i32');
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
    runX87(ctx, name);
  };
}

// --- code for the stack; `stack` is what `wait` returns ---

const TAGS_SHIFT = 16;

/** The number of the physical register that is ST(i), as a local. */
export function physical(ctx: LoweringContext, stack: number, i: number): number {
  const code = ctx.code.localGet(stack).i32Const(FSW_TOP_SHIFT).i32ShrU();
  if (i !== 0) code.i32Const(i).i32Add();
  code.i32Const(7).i32And();
  return ctx.toTemp('i32');
}

/** Pushes an i32: the tag of a physical register, 1 when it is valid. */
export function pushTag(ctx: LoweringContext, stack: number, register: number): void {
  ctx.code.localGet(stack).i32Const(TAGS_SHIFT).i32ShrU().localGet(register).i32ShrU().i32Const(1).i32And();
}

/** Pushes the offset of a physical register, to which ST is to be added. */
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

/** Physical registers, as locals. */
export interface StackChange {
  readonly top?: number;
  readonly valid?: number;
  readonly empty?: readonly number[];
}

/** Clears C1; makes a register the top, valid or empty. */
export function writeStack(ctx: LoweringContext, stack: number, { top, valid, empty = [] }: StackChange = {}): void {
  const code = ctx.code.i32Const(REGISTER_FILE).localGet(stack);
  code.i32Const(~(top === undefined ? FSW_C1 : FSW_C1 | FSW_TOP)).i32And();
  if (top !== undefined) code.localGet(top).i32Const(FSW_TOP_SHIFT).i32Shl().i32Or();
  if (valid !== undefined)
    code
      .i32Const(1 << TAGS_SHIFT)
      .localGet(valid)
      .i32Shl()
      .i32Or();
  for (const register of empty)
    code
      .i32Const(~(1 << TAGS_SHIFT))
      .localGet(register)
      .i32Rotl()
      .i32And();
  code.i32Store(OFF_FSW);
}

/** As `writeStack`, ST(0) being dropped. */
export function pop(ctx: LoweringContext, stack: number, { valid, empty = [] }: StackChange = {}): void {
  const change = { top: physical(ctx, stack, 1), empty: [...empty, physical(ctx, stack, 0)] };
  writeStack(ctx, stack, valid === undefined ? change : { ...change, valid });
}
