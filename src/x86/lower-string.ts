/**
 * String instructions: movs, stos, lods, scas, cmps, with and without REP. Intel SDM vol. 2, "REP/REPE/REPZ/REPNE/REPNZ".
 *
 * Every iteration counts as one instruction and is an instruction boundary: rcx, rsi and rdi are as of it when a fault or
 * the end of the budget interrupts. A run may stop between two iterations (translate.ts).
 */

import { REGISTER_FILE } from '../lvm/layout.ts';
import { EXIT_KIND_CHAIN } from './calling.ts';
import { KIND_COMPARE } from './flags.ts';
import type { Instruction, MemoryOperand } from './instruction.ts';
import type { Lowering, LoweringContext } from './lowering.ts';
import { OFF_DF, RAX, RCX, RDI, RSI } from './state.ts';

export const stringLowerings = new Map<string, Lowering>();

/** Adds ±size to rsi or rdi; `step` is an i64 local. */
function advance(ctx: LoweringContext, insn: Instruction, reg: number, step: number): void {
  ctx.getReg(reg, insn.addressSize);
  ctx.code.localGet(step).i64Add();
  ctx.setReg(reg, insn.addressSize);
}

function memory(insn: Instruction, base: number): MemoryOperand {
  for (const operand of insn.operands) if (operand.kind === 'mem' && operand.base === base) return operand;
  throw new Error('string operand');
}

/** One element, registers advanced. */
function element(ctx: LoweringContext, insn: Instruction, step: number): void {
  const code = ctx.code;
  const size = insn.size;
  switch (insn.op) {
    case 'movs': {
      const from = ctx.checked(memory(insn, RSI), size, false);
      const to = ctx.checked(memory(insn, RDI), size, true);
      ctx.loadAt(from, size);
      ctx.storeAt(to, size, ctx.toTemp('i64'));
      advance(ctx, insn, RSI, step);
      advance(ctx, insn, RDI, step);
      return;
    }
    case 'stos': {
      const to = ctx.checked(memory(insn, RDI), size, true);
      ctx.storeAt(to, size, ctx.gpr(RAX));
      advance(ctx, insn, RDI, step);
      return;
    }
    case 'lods': {
      const from = ctx.checked(memory(insn, RSI), size, false);
      ctx.loadAt(from, size);
      ctx.setReg(RAX, size);
      advance(ctx, insn, RSI, step);
      return;
    }
    default: {
      // scas: rAX - [rdi]; cmps: [rsi] - [rdi]
      // [rdi] is read first: which of two faults is raised shows it.
      ctx.loadAt(ctx.checked(memory(insn, RDI), size, false), size);
      const b = ctx.toTemp('i64');
      if (insn.op === 'scas') ctx.getReg(RAX, size);
      else ctx.loadAt(ctx.checked(memory(insn, RSI), size, false), size);
      const a = ctx.toTemp('i64');
      code.localGet(a).localGet(b).i64Sub();
      ctx.truncate(size);
      const result = ctx.toTemp('i64');
      ctx.setFlags(KIND_COMPARE, size, result, a, b);
      if (insn.op === 'cmps') advance(ctx, insn, RSI, step);
      advance(ctx, insn, RDI, step);
    }
  }
}

/** Pushes the budget that is left at this instruction. */
function left(ctx: LoweringContext): void {
  ctx.code.localGet(ctx.budget).i64Const(ctx.remaining).i64Add();
}

/**
 * As many elements as lie in the pages that rsi and rdi are in and in the budget, by one wasm instruction. Leaves an `if`
 * open where they are done; its `else` is for what is not worth it.
 */
function bulk(ctx: LoweringContext, insn: Instruction): void {
  const code = ctx.code;
  const size = insn.size;
  const shift = size === 8 ? 3 : size >> 1;
  const n = ctx.temp('i64');
  const t = ctx.temp('i64');
  const isMove = insn.op === 'movs';
  // n = min(rcx, budget, room)
  const room = (reg: number): void => {
    code.i64Const(4096).localGet(ctx.gpr(reg)).i64Const(4095).i64And().i64Sub().i64Const(shift).i64ShrU();
  };
  const minimum = (): void => {
    // (unsigned minimum of n and t)
    code.localGet(n).localGet(t).localGet(n).localGet(t).i64LtU().select().localSet(n);
  };
  code.localGet(ctx.gpr(RCX)).localSet(n);
  // It may be used up already: a block is not left in its middle.
  left(ctx);
  code.localTee(t).i64Const(0).localGet(t).i64Const(0).i64GtS().select().localSet(t);
  minimum();
  room(RDI);
  code.localSet(t);
  minimum();
  if (isMove) {
    room(RSI);
    code.localSet(t);
    minimum();
  }
  // Worth it for more than 4, upwards, and (moves) without the destination in the source's way.
  code.localGet(n).i64Const(4).i64GtU();
  code.i32Const(REGISTER_FILE).i32Load(OFF_DF).i32Eqz().i32And();
  if (isMove) {
    code.localGet(ctx.gpr(RDI)).localGet(ctx.gpr(RSI)).i64Sub().localGet(n).i64Const(shift).i64Shl().i64GeU().i32And();
  }
  code.if();
  const from = isMove ? ctx.addressOf(ctx.checked(memory(insn, RSI), 1, false)) : -1;
  const to = ctx.addressOf(ctx.checked(memory(insn, RDI), 1, true));
  code.localGet(n).i64Const(shift).i64Shl().localSet(t);
  if (isMove) {
    code.localGet(to).localGet(from).localGet(t).i32WrapI64().memoryCopy();
  } else {
    code.localGet(to).localGet(ctx.gpr(RAX)).i32WrapI64().localGet(t).i32WrapI64().memoryFill();
  }
  if (isMove) code.localGet(ctx.gpr(RSI, true)).localGet(t).i64Add().localSet(ctx.gpr(RSI));
  code.localGet(ctx.gpr(RDI, true)).localGet(t).i64Add().localSet(ctx.gpr(RDI));
  code.localGet(ctx.gpr(RCX, true)).localGet(n).i64Sub().localSet(ctx.gpr(RCX));
  code.localGet(ctx.budget).localGet(n).i64Sub().localSet(ctx.budget);
}

function lower(ctx: LoweringContext, insn: Instruction): void {
  const code = ctx.code;
  const step = ctx.temp('i64');
  code.i64Const(-insn.size).i64Const(insn.size).i32Const(REGISTER_FILE).i32Load(OFF_DF).select().localSet(step);
  if (insn.rep === 'none') {
    element(ctx, insn, step);
    return;
  }
  const compares = insn.op === 'scas' || insn.op === 'cmps';
  ctx.flagsDead = false;
  // Each iteration writes what the next one's exits must store.
  const bases = insn.operands.flatMap((operand) => (operand.kind === 'mem' ? [operand.base] : []));
  for (const register of [RCX, ...bases, ...(insn.op === 'lods' ? [RAX] : [])]) ctx.gpr(register, true);
  if (compares) ctx.keepFlags();
  const done = code.block();
  ctx.getReg(RCX, insn.addressSize);
  code.i64Eqz().brIfTo(done);
  const countDown = (): void => {
    ctx.getReg(RCX, insn.addressSize);
    code.i64Const(1).i64Sub();
    ctx.setReg(RCX, insn.addressSize);
  };
  /** Leaves the loop where the comparison says so. */
  const stopOnCompare = (): void => {
    if (!compares) return;
    ctx.condition(insn.rep === 'rep' ? 5 : 4);
    code.brIfTo(done);
  };
  // The block has counted one for this instruction; from here every iteration counts for itself.
  const remaining = ctx.remaining;
  code.localGet(ctx.budget).i64Const(1).i64Add().localSet(ctx.budget);
  ctx.remaining = remaining - 1;
  const one = (): void => {
    element(ctx, insn, step);
    countDown();
    code.localGet(ctx.budget).i64Const(1).i64Sub().localSet(ctx.budget);
  };
  const loop = code.loop();
  const plain = insn.operands.every((operand) => operand.kind !== 'mem' || operand.segment === 'none');
  const inBulk = insn.op === 'movs' || (insn.op === 'stos' && insn.size === 1);
  if (inBulk && plain && insn.addressSize === 8) {
    bulk(ctx, insn);
    code.else();
    one();
    code.end();
  } else {
    one();
  }
  stopOnCompare();
  ctx.getReg(RCX, insn.addressSize);
  code.i64Eqz().brIfTo(done);
  // What the block has counted ahead for the instructions behind this one is not used up yet.
  left(ctx);
  code.i64Const(0).i64GtS().brIfTo(loop);
  ctx.exit(EXIT_KIND_CHAIN, insn.rip, ctx.remaining);
  code.end();
  code.end();
  ctx.remaining = remaining;
  ctx.flagOpKnown = -1;
  ctx.flagsChanged = 0;
}

for (const op of ['movs', 'stos', 'lods', 'scas', 'cmps']) stringLowerings.set(op, lower);
