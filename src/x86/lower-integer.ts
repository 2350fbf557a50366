/**
 * Integer arithmetic, logic and data movement: Intel SDM vol. 2. Multiplication, division, shifts and bit instructions are
 * in lower-integer-wide.ts and lower-integer-bits.ts.
 */

import { REGISTER_FILE } from '../lvm/layout.ts';
import { constantCopy } from './access.ts';
import { KIND_ADC, KIND_ADD, KIND_DEC, KIND_INC, KIND_LOGIC, KIND_SBB, KIND_SUB, OTHER_FLAGS } from './flags.ts';
import type { Instruction, Operand } from './instruction.ts';
import { moveStack, pushRflags, pushSlot, storeField } from './lower-control.ts';
import { addBitLowerings } from './lower-integer-bits.ts';
import { addWideLowerings } from './lower-integer-wide.ts';
import { addSegmentLowerings } from './lower-segment.ts';
import { asImmediate, asRegister, type Lowering, type LoweringContext } from './lowering.ts';
import { ARITHMETIC_FLAGS, CF, OF, OFF_DF, OFF_GPR, OFF_RFLAGS_OTHER, RAX, RBP, RBX, RSP } from './state.ts';
import { registerHelper } from './support.ts';
import './cpuid.ts';

export const integerLowerings = new Map<string, Lowering>();

/** A destination that is read and then written: the value is in `value`, `write` stores an i64 local. */
export interface Place {
  readonly value: number;
  write(result: number): void;
}

/** Reads a destination operand; a memory one is checked for writing. */
export function openPlace(ctx: LoweringContext, operand: Operand, size: number, write = true): Place {
  if (operand.kind === 'mem') {
    const address = ctx.checked(operand, size, write);
    ctx.loadAt(address, size);
    return { value: ctx.toTemp('i64'), write: (result) => ctx.storeAt(address, size, result) };
  }
  const reg = asRegister(operand);
  ctx.getReg(reg.index, size, reg.high);
  return {
    value: ctx.toTemp('i64'),
    write: (result) => {
      ctx.code.localGet(result);
      ctx.setReg(reg.index, size, reg.high);
    },
  };
}

/** Writes an i64 local to a register or memory operand. */
function store(ctx: LoweringContext, operand: Operand, size: number, value: number): void {
  if (operand.kind === 'mem') {
    ctx.storeAt(ctx.checked(operand, size, true), size, value);
    return;
  }
  const reg = asRegister(operand);
  ctx.code.localGet(value);
  ctx.setReg(reg.index, size, reg.high);
}

/** Writes the destination; where that becomes a register's value plus a constant, accesses through it are known as well. */
function keepingTrack(ctx: LoweringContext, insn: Instruction, write: () => void): void {
  const copy = constantCopy(insn);
  const before = copy === null ? null : ctx.accesses.valueOf(copy.from);
  write();
  if (copy !== null && before !== null) ctx.accesses.moved(asRegister(insn.operands[0]).index, before, copy.by);
}

function binary(kind: number, emit: (ctx: LoweringContext) => void, write: boolean): Lowering {
  return (ctx, insn) => {
    const code = ctx.code;
    const size = insn.size;
    ctx.getOperand(insn.operands[1]!, size);
    const b = ctx.toTemp('i64');
    const place = openPlace(ctx, insn.operands[0]!, size, write);
    let carry = -1;
    if (kind === KIND_ADC || kind === KIND_SBB) {
      ctx.getCarry();
      carry = ctx.toTemp('i64');
    }
    code.localGet(place.value).localGet(b);
    emit(ctx);
    if (carry >= 0) {
      code.localGet(carry);
      if (kind === KIND_ADC) code.i64Add();
      else code.i64Sub();
    }
    if (kind !== KIND_LOGIC) ctx.truncate(size);
    const result = ctx.toTemp('i64');
    if (write) keepingTrack(ctx, insn, () => place.write(result));
    if (kind === KIND_LOGIC) ctx.setFlags(kind, size, result, -1, -1);
    else ctx.setFlags(kind, size, result, place.value, b);
  };
}

const add = (ctx: LoweringContext) => ctx.code.i64Add();
const sub = (ctx: LoweringContext) => ctx.code.i64Sub();
const and = (ctx: LoweringContext) => ctx.code.i64And();
integerLowerings.set('add', binary(KIND_ADD, add, true));
integerLowerings.set('adc', binary(KIND_ADC, add, true));
integerLowerings.set('sub', binary(KIND_SUB, sub, true));
integerLowerings.set('sbb', binary(KIND_SBB, sub, true));
integerLowerings.set('cmp', binary(KIND_SUB, sub, false));
integerLowerings.set('and', binary(KIND_LOGIC, and, true));
integerLowerings.set('test', binary(KIND_LOGIC, and, false));
integerLowerings.set(
  'or',
  binary(KIND_LOGIC, (ctx) => ctx.code.i64Or(), true),
);
integerLowerings.set('xor', (ctx, insn) => {
  const [a, b] = insn.operands;
  if (a?.kind === 'reg' && b?.kind === 'reg' && a.index === b.index && a.high === b.high) {
    const zero = ctx.temp('i64');
    ctx.code.i64Const(0).localTee(zero);
    ctx.setReg(a.index, insn.size, a.high);
    ctx.setFlags(KIND_LOGIC, insn.size, zero, -1, -1);
    return;
  }
  xor(ctx, insn);
});
const xor = binary(KIND_LOGIC, (ctx) => ctx.code.i64Xor(), true);

function increment(kind: number): Lowering {
  return (ctx, insn) => {
    const code = ctx.code;
    const place = openPlace(ctx, insn.operands[0]!, insn.size);
    let carry = -1;
    if (!ctx.flagsDead) {
      ctx.getCarry();
      carry = ctx.toTemp('i64');
    }
    code
      .localGet(place.value)
      .i64Const(kind === KIND_INC ? 1 : -1)
      .i64Add();
    ctx.truncate(insn.size);
    const result = ctx.toTemp('i64');
    place.write(result);
    ctx.setFlags(kind, insn.size, result, -1, carry);
  };
}
integerLowerings.set('inc', increment(KIND_INC));
integerLowerings.set('dec', increment(KIND_DEC));

integerLowerings.set('neg', (ctx, insn) => {
  const code = ctx.code;
  const place = openPlace(ctx, insn.operands[0]!, insn.size);
  const zero = ctx.temp('i64');
  code.i64Const(0).localTee(zero).localGet(place.value).i64Sub();
  ctx.truncate(insn.size);
  const result = ctx.toTemp('i64');
  place.write(result);
  ctx.setFlags(KIND_SUB, insn.size, result, zero, place.value);
});

integerLowerings.set('not', (ctx, insn) => {
  const place = openPlace(ctx, insn.operands[0]!, insn.size);
  ctx.code.localGet(place.value).i64Const(-1).i64Xor();
  place.write(ctx.toTemp('i64'));
});

integerLowerings.set('mov', (ctx, insn) => {
  ctx.getOperand(insn.operands[1]!, insn.size);
  const value = ctx.toTemp('i64');
  keepingTrack(ctx, insn, () => store(ctx, insn.operands[0]!, insn.size, value));
});

integerLowerings.set('movzx', (ctx, insn) => {
  ctx.getOperand(insn.operands[1]!);
  store(ctx, insn.operands[0]!, insn.size, ctx.toTemp('i64'));
});

function signExtending(ctx: LoweringContext, insn: Instruction): void {
  const source = insn.operands[1]!;
  ctx.getOperand(source);
  if (source.kind !== 'target') ctx.signExtend(source.size);
  store(ctx, insn.operands[0]!, insn.size, ctx.toTemp('i64'));
}
integerLowerings.set('movsx', signExtending);
integerLowerings.set('movsxd', signExtending);

integerLowerings.set('lea', (ctx, insn) => {
  const source = insn.operands[1]!;
  if (source.kind !== 'mem') throw new Error('lea');
  ctx.address(source, false);
  const reg = asRegister(insn.operands[0]);
  keepingTrack(ctx, insn, () => ctx.setReg(reg.index, insn.size));
});

integerLowerings.set('xchg', (ctx, insn) => {
  const [a, b] = insn.operands as [Operand, Operand];
  const reg = asRegister(b);
  ctx.getReg(reg.index, insn.size, reg.high);
  const value = ctx.toTemp('i64');
  const place = openPlace(ctx, a, insn.size);
  place.write(value);
  ctx.code.localGet(place.value);
  ctx.setReg(reg.index, insn.size, reg.high);
});

integerLowerings.set('xadd', (ctx, insn) => {
  const code = ctx.code;
  const reg = asRegister(insn.operands[1]);
  ctx.getReg(reg.index, insn.size, reg.high);
  const b = ctx.toTemp('i64');
  const place = openPlace(ctx, insn.operands[0]!, insn.size);
  code.localGet(place.value).localGet(b).i64Add();
  ctx.truncate(insn.size);
  const result = ctx.toTemp('i64');
  // The source first: with twice the same register the sum stays.
  code.localGet(place.value);
  ctx.setReg(reg.index, insn.size, reg.high);
  place.write(result);
  ctx.setFlags(KIND_ADD, insn.size, result, place.value, b);
});

integerLowerings.set('cmpxchg', (ctx, insn) => {
  const code = ctx.code;
  const size = insn.size;
  const reg = asRegister(insn.operands[1]);
  ctx.getReg(reg.index, size, reg.high);
  const source = ctx.toTemp('i64');
  const place = openPlace(ctx, insn.operands[0]!, size);
  ctx.getReg(RAX, size);
  const a = ctx.toTemp('i64');
  code.localGet(a).localGet(place.value).i64Sub();
  ctx.truncate(size);
  const result = ctx.toTemp('i64');
  code.localGet(a).localGet(place.value).i64Eq().if();
  place.write(source);
  code.else();
  code.localGet(place.value);
  ctx.setReg(RAX, size);
  code.end();
  ctx.setFlags(KIND_SUB, size, result, a, place.value);
});

integerLowerings.set('cmovcc', (ctx, insn) => {
  const code = ctx.code;
  const reg = asRegister(insn.operands[0]);
  ctx.getOperand(insn.operands[1]!, insn.size);
  ctx.getReg(reg.index, insn.size);
  ctx.condition(insn.cc);
  code.select();
  ctx.setReg(reg.index, insn.size);
});

integerLowerings.set('setcc', (ctx, insn) => {
  ctx.condition(insn.cc);
  ctx.code.i64ExtendI32U();
  store(ctx, insn.operands[0]!, 1, ctx.toTemp('i64'));
});

// --- stack ---

integerLowerings.set('push', (ctx, insn) => {
  const operand = insn.operands[0]!;
  ctx.getOperand(operand, insn.size);
  const value = ctx.toTemp('i64');
  const slot = pushSlot(ctx, insn.size);
  ctx.storeAt(slot, insn.size, value);
  moveStack(ctx, -insn.size);
});

integerLowerings.set('pop', (ctx, insn) => {
  const code = ctx.code;
  const size = insn.size;
  const operand = insn.operands[0]!;
  const slot = ctx.checkedAt(RSP, 0, size, false);
  ctx.loadAt(slot, size);
  const value = ctx.toTemp('i64');
  if (operand.kind === 'mem') {
    // The destination's address is computed with rsp incremented (SDM vol. 2, POP).
    ctx.address(operand);
    if (operand.base === RSP) code.i64Const(size).i64Add();
    const address = ctx.checkedAddress(size, true);
    ctx.storeAt(address, size, value);
    moveStack(ctx, size);
  } else {
    moveStack(ctx, size);
    code.localGet(value);
    ctx.setReg(asRegister(operand).index, size);
  }
});

integerLowerings.set('leave', (ctx, insn) => {
  const code = ctx.code;
  const slot = ctx.checkedAt(RBP, 0, insn.size, false);
  ctx.loadAt(slot, insn.size);
  const value = ctx.toTemp('i64');
  code.localGet(ctx.gpr(RBP)).i64Const(insn.size).i64Add().localSet(ctx.gpr(RSP, true));
  ctx.accesses.moved(RSP, ctx.accesses.valueOf(RBP), insn.size);
  code.localGet(value);
  ctx.setReg(RBP, insn.size);
});

integerLowerings.set('enter', (ctx, insn) => {
  const { code } = ctx;
  const size = insn.size;
  const frame = Number(asImmediate(insn.operands[0]) & 0xffffn);
  const level = Number(asImmediate(insn.operands[1]) & 31n);
  const below = (register: number, count: number): void => {
    code.localGet(ctx.gpr(register)).i64Const(count).i64Sub();
  };
  const slot = pushSlot(ctx, size);
  // A write at the final stack pointer must not fault either (SDM vol. 2, ENTER).
  const pushed = size * (level + 1);
  below(RSP, pushed + frame);
  ctx.checkedAddress(size, true);
  if (level === 0) {
    ctx.storeAt(slot, size, ctx.gpr(RBP));
  } else {
    // The frame pointers of the enclosing procedures, and this one's. All is checked before anything is written.
    below(RSP, pushed);
    ctx.checkedAddress(pushed, true);
    if (level > 1) {
      below(RBP, size * (level - 1));
      ctx.checkedAddress(size * (level - 1), false);
    }
    ctx.storeAt(slot, size, ctx.gpr(RBP));
    const value = ctx.temp('i64');
    for (let i = 1; i <= level; i++) {
      if (i < level) {
        below(RBP, size * i);
        code.i32WrapI64();
        ctx.loadAt({ local: ctx.toTemp('i32'), offset: 0 }, size);
      } else {
        below(RSP, size);
      }
      code.localSet(value);
      below(RSP, size * (i + 1));
      code.i32WrapI64();
      ctx.storeAt({ local: ctx.toTemp('i32'), offset: 0 }, size, value);
    }
  }
  below(RSP, size);
  ctx.setReg(RBP, size);
  moveStack(ctx, -pushed - frame);
});

// --- flags ---

integerLowerings.set('pushf', (ctx, insn) => {
  pushRflags(ctx);
  const value = ctx.toTemp('i64');
  const slot = pushSlot(ctx, insn.size);
  ctx.storeAt(slot, insn.size, value);
  moveStack(ctx, -insn.size);
});

integerLowerings.set('popf', (ctx, insn) => {
  const code = ctx.code;
  code.localGet(ctx.gpr(RSP));
  const slot = ctx.checkedAddress(insn.size, false);
  ctx.loadAt(slot, insn.size);
  const value = ctx.toTemp('i64');
  moveStack(ctx, insn.size);
  const bits = ctx.temp('i32');
  code.localGet(value).i32WrapI64().localSet(bits);
  code.i32Const(REGISTER_FILE).localGet(bits).i32Const(10).i32ShrU().i32Const(1).i32And().i32Store(OFF_DF);
  code.i32Const(REGISTER_FILE).localGet(bits).i32Const(OTHER_FLAGS).i32And().i32Store(OFF_RFLAGS_OTHER);
  code.localGet(value).i64Const(ARITHMETIC_FLAGS).i64And();
  ctx.setFlagsBits();
});

integerLowerings.set('lahf', (ctx) => {
  ctx.getFlagsBits();
  ctx.code.i32Const(2).i32Or().i64ExtendI32U();
  ctx.setReg(RAX, 1, true);
});

integerLowerings.set('sahf', (ctx) => {
  const code = ctx.code;
  ctx.getFlagsBits();
  code.i32Const(OF).i32And().i64ExtendI32U();
  ctx.getReg(RAX, 1, true);
  code
    .i64Const(ARITHMETIC_FLAGS & ~OF)
    .i64And()
    .i64Or();
  ctx.setFlagsBits();
});

/** Sets CF to what `emit` leaves on the stack (an i64 0 or 1), keeping the other flags. */
export function setCarry(ctx: LoweringContext, emit: () => void): void {
  emit();
  ctx.changeFlags(ctx.toTemp('i64'), -1);
}
integerLowerings.set('clc', (ctx) => setCarry(ctx, () => ctx.code.i64Const(0)));
integerLowerings.set('stc', (ctx) => setCarry(ctx, () => ctx.code.i64Const(1)));
integerLowerings.set('cmc', (ctx) => {
  ctx.getFlagsBits();
  ctx.code.i32Const(CF).i32Xor().i64ExtendI32U();
  ctx.setFlagsBits();
});
integerLowerings.set('cld', (ctx) => storeField(ctx, OFF_DF, 0));
integerLowerings.set('std', (ctx) => storeField(ctx, OFF_DF, 1));

// --- conversions ---

function extend(from: number, to: number): Lowering {
  return (ctx) => {
    ctx.getReg(RAX, from);
    ctx.signExtend(from);
    ctx.setReg(RAX, to);
  };
}
integerLowerings.set('cbw', extend(1, 2));
integerLowerings.set('cwde', extend(2, 4));
integerLowerings.set('cdqe', extend(4, 8));
function signFill(size: number): Lowering {
  return (ctx) => {
    ctx.getReg(RAX, size);
    ctx.signExtend(size);
    ctx.code.i64Const(63).i64ShrS();
    ctx.setReg(2, size);
  };
}
integerLowerings.set('cwd', signFill(2));
integerLowerings.set('cdq', signFill(4));
integerLowerings.set('cqo', signFill(8));

integerLowerings.set('xlat', (ctx, insn) => {
  const code = ctx.code;
  const mem = insn.operands[0]!;
  if (mem.kind !== 'mem') throw new Error('xlat');
  ctx.address({ ...mem, base: RBX, index: -1 });
  ctx.getReg(RAX, 1);
  code.i64Add();
  const address = ctx.checkedAddress(1, false);
  ctx.loadAt(address, 1);
  ctx.setReg(RAX, 1);
});

for (const op of ['nop', 'pause', 'endbr64', 'prefetch', 'fneni', 'fndisi', 'fnsetpm'])
  integerLowerings.set(op, () => undefined);

integerLowerings.set('cpuid', (ctx) => touchAndCall(ctx, 'cpuid'));
integerLowerings.set('rdtsc', (ctx) => touchAndCall(ctx, 'rdtsc'));

/** A helper that reads and writes rax, rcx, rdx, rbx. */
function touchAndCall(ctx: LoweringContext, name: string): void {
  for (const reg of [0, 1, 2, 3]) ctx.gpr(reg);
  ctx.callHelper(name);
}

registerHelper('rdtsc', (machine) => {
  const tsc = BigInt.asUintN(64, machine.environment.readTsc());
  machine.view.setBigUint64(REGISTER_FILE + OFF_GPR, tsc & 0xffff_ffffn, true);
  machine.view.setBigUint64(REGISTER_FILE + OFF_GPR + 16, tsc >> 32n, true);
  return 0;
});

addWideLowerings(integerLowerings);
addBitLowerings(integerLowerings, openPlace, setCarry);
addSegmentLowerings(integerLowerings, store);
