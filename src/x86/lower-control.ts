/** Calls, returns, indirect jumps, the loop instructions, and RFLAGS as a value. */

import { REGISTER_FILE } from '../lvm/layout.ts';
import type { Access } from './access.ts';
import { EXIT_KIND_CHAIN, EXIT_KIND_RETURN, EXIT_KIND_SLOW } from './calling.ts';
import type { Instruction } from './instruction.ts';
import { asImmediate, type LoweringContext } from './lowering.ts';
import type { RegionContext } from './region-context.ts';
import {
  OFF_DF,
  OFF_RFLAGS_OTHER,
  R11,
  RCX,
  RSP,
  VECTOR_BP,
  VECTOR_DB,
  VECTOR_GP,
  VECTOR_OF,
  VECTOR_UD,
} from './state.ts';
import { registerHelper } from './support.ts';
import { FORMS } from './table.ts';

/** Of an error code that names a gate: the gate is one of the IDT (SDM vol. 3, 7.13). */
const GATE_IN_IDT = 2;

/** Checks that `size` bytes can be pushed and returns where; rsp is not changed. */
export function pushSlot(ctx: LoweringContext, size: number): Access {
  return ctx.checkedAt(RSP, -size, size, true);
}

/** rsp += delta */
export function moveStack(ctx: LoweringContext, delta: number): void {
  ctx.move(RSP, delta);
}

/** A call but for going to the target, which is in `next` then. */
export function lowerCall(ctx: LoweringContext, insn: Instruction): void {
  const code = ctx.code;
  const target = insn.operands[0]!;
  if (target.kind === 'target') {
    ctx.pushTarget(target);
  } else {
    ctx.getOperand(target, 8);
  }
  code.localSet(ctx.next);
  const slot = pushSlot(ctx, 8);
  if (target.kind !== 'target') canonicalTarget(ctx, ctx.next);
  code.localGet(slot.local);
  ctx.pushNextRip();
  code.i64Store(slot.offset);
  moveStack(ctx, -8);
}

/** A direct call of what is part of the region (inline.ts): its first block is next. */
export function lowerInlinedCall(ctx: RegionContext): void {
  const code = ctx.code;
  const slot = pushSlot(ctx, 8);
  code.localGet(slot.local);
  ctx.pushNextRip();
  code.i64Store(slot.offset);
  moveStack(ctx, -8);
}

/** A return in such a part; behind it control is at `returnTo`. A run does not stop here: it might have at the call. */
export function lowerInlinedReturn(ctx: RegionContext, insn: Instruction, returnTo: number): void {
  const code = ctx.code;
  loadReturnAddress(ctx, insn);
  code.localGet(ctx.next).i64Const(returnTo).i64Ne().ifRarely();
  const { state } = ctx;
  leaveForReturn(ctx, insn);
  code.end();
  ctx.state = state;
  popReturnAddress(ctx, insn);
}

function lowerReturn(ctx: LoweringContext, insn: Instruction): void {
  loadReturnAddress(ctx, insn);
  leaveForReturn(ctx, insn);
}

/** To the local `next`. */
function loadReturnAddress(ctx: LoweringContext, { size }: Instruction): void {
  ctx.loadAt(ctx.checkedAt(RSP, 0, size, false), size);
  ctx.code.localSet(ctx.next);
}

function popReturnAddress(ctx: LoweringContext, { size, operands }: Instruction): void {
  const operand = operands[0];
  const extra = operand?.kind === 'imm' ? Number(operand.value & 0xffffn) : 0;
  moveStack(ctx, size + extra);
}

function leaveForReturn(ctx: LoweringContext, insn: Instruction): void {
  canonicalTarget(ctx, ctx.next);
  popReturnAddress(ctx, insn);
  ctx.exitDynamic(EXIT_KIND_RETURN, 0);
}

/**
 * An address that is not canonical raises #GP at the branch (SDM vol. 2, JMP), before anything is changed. Normal code knows
 * only that one above 4 GiB or 0 can be none of the guest's.
 */
function canonicalTarget(ctx: LoweringContext, target: number): void {
  const code = ctx.code;
  if (ctx.careful) {
    // -2^47 … 2^47 - 1
    code
      .localGet(target)
      .i64Const(1n << 47n)
      .i64Add()
      .i64Const((1n << 48n) - 1n)
      .i64GtU()
      .if();
    ctx.exception(VECTOR_GP);
  } else {
    code.localGet(target).i64Const(1).i64Sub().i64Const(0xffff_fffe).i64GtU().ifRarely();
    ctx.exit(EXIT_KIND_SLOW, ctx.insn.rip, ctx.remaining);
  }
  code.end();
}

/** An indirect jump but for going to the target, which is in `next` then. */
export function lowerJumpToNext(ctx: LoweringContext, insn: Instruction): void {
  ctx.getOperand(insn.operands[0]!, 8);
  ctx.code.localSet(ctx.next);
  canonicalTarget(ctx, ctx.next);
}

function lowerJumpIndirect(ctx: LoweringContext, insn: Instruction): void {
  lowerJumpToNext(ctx, insn);
  ctx.noteTarget();
  ctx.exitDynamic(EXIT_KIND_CHAIN, 0);
}

/** loop, loope, loopne, jrcxz, jecxz: pushes the i32 condition of the branch. */
export function lowerLoop(ctx: LoweringContext, insn: Instruction): void {
  const code = ctx.code;
  const size = insn.addressSize;
  if (insn.op === 'jrcxz' || insn.op === 'jecxz') {
    ctx.getReg(RCX, size);
    code.i64Eqz();
    return;
  }
  ctx.getReg(RCX, size);
  code.i64Const(1).i64Sub();
  ctx.setReg(RCX, size);
  ctx.getReg(RCX, size);
  code.i64Eqz().i32Eqz();
  if (insn.op !== 'loop') {
    ctx.condition(insn.op === 'loope' ? 4 : 5);
    code.i32And();
  }
}

registerHelper('syscall', ({ systemCall }) => systemCall());

/**
 * SDM vol. 2, SYSCALL: rcx = rip, r11 = rflags. What is asked for may be done at once; else it is when the run was left. In
 * either case the run may stop behind it, so nobody can tell.
 */
function lowerSyscall(ctx: LoweringContext, insn: Instruction): void {
  ctx.pushNextRip();
  ctx.setReg(RCX, 8);
  pushRflags(ctx);
  ctx.setReg(R11, 8);
  ctx.callBehind('syscall');
  ctx.exit(EXIT_KIND_CHAIN, insn.rip + insn.length, ctx.remaining - 1);
}

/** What always leaves, and not to where the instruction says. */
export function lowerDeparture(ctx: LoweringContext, insn: Instruction): void {
  if (insn.flow === 'ret') lowerReturn(ctx, insn);
  else if (insn.flow === 'jump-indirect') lowerJumpIndirect(ctx, insn);
  else if (insn.flow === 'syscall') lowerSyscall(ctx, insn);
  else lowerTrap(ctx, insn);
}

/** What raises an exception whenever it is executed. */
function lowerTrap(ctx: LoweringContext, insn: Instruction): void {
  if (insn.op === 'int3') ctx.exception(VECTOR_BP, insn.rip + insn.length);
  else if (insn.op === 'int1') ctx.exception(VECTOR_DB, insn.rip + insn.length);
  else if (insn.op === 'int') lowerInterrupt(ctx, insn);
  else if (FORMS[insn.form]!.area === 'privileged') {
    // A far pointer (16:32) is read before its selector is refused.
    const [operand] = insn.operands;
    if (insn.op.endsWith('_far') && operand?.kind === 'mem') ctx.checked(operand, 6, false);
    ctx.exception(VECTOR_GP);
  } else ctx.exception(VECTOR_UD);
}

/** INT n: Linux lets programs use 3 and 4 (arch/x86/kernel/idt.c). The error code of the others is the gate's selector. */
function lowerInterrupt(ctx: LoweringContext, insn: Instruction): void {
  const vector = Number(asImmediate(insn.operands[0])) & 0xff;
  if (vector === VECTOR_BP || vector === VECTOR_OF) ctx.exception(vector, insn.rip + insn.length);
  else ctx.exception(VECTOR_GP, insn.rip, ctx.remaining, (vector << 3) | GATE_IN_IDT);
}

/** Pushes RFLAGS as an i64: arithmetic flags, DF, TF, AC, ID, bit 1 and IF. */
export function pushRflags(ctx: LoweringContext): void {
  const code = ctx.code;
  ctx.getFlagsBits();
  ctx.loadState32(OFF_DF);
  code.i32Const(10).i32Shl().i32Or();
  ctx.loadState32(OFF_RFLAGS_OTHER);
  code.i32Or().i32Const(0x202).i32Or().i64ExtendI32U();
}

/** Stores a constant to a u32 field of the register file. */
export function storeField(ctx: LoweringContext, offset: number, value: number): void {
  ctx.code.i32Const(REGISTER_FILE).i32Const(value).i32Store(offset);
}
