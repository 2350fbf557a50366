/**
 * Integer arithmetic, logic and data movement: Intel SDM vol. 2. Multiplication, division, shifts and bit instructions are
 * in lower-integer-wide.ts and lower-integer-bits.ts.
 */

import { REGISTER_FILE } from '../lvm/layout.ts';
import type { Code } from '../wasm/code.ts';
import { constantCopy } from './access.ts';
import {
  KIND_ADC,
  KIND_ADD,
  KIND_COMPARE,
  KIND_DEC,
  KIND_INC,
  KIND_LOGIC,
  KIND_SBB,
  KIND_SUB,
  OTHER_FLAGS,
} from './flags.ts';
import type { Instruction, MemoryOperand, Operand } from './instruction.ts';
import { moveStack, pushRflags, pushSlot, storeField } from './lower-control.ts';
import { addBitLowerings, setCarry } from './lower-integer-bits.ts';
import { addWideLowerings } from './lower-integer-wide.ts';
import { addSegmentLowerings } from './lower-segment.ts';
import { asImmediate, asRegister, type Lowering, type LoweringContext } from './lowering.ts';
import { openPlace, openPlace32, widened } from './place.ts';
import { ARITHMETIC_FLAGS, CF, OF, OFF_DF, OFF_GPR, OFF_RFLAGS_OTHER, RAX, RBP, RBX, RSP } from './state.ts';
import { registerHelper } from './support.ts';
import './cpuid.ts';

export const integerLowerings = new Map<string, Lowering>();

/** Writes an i64 local to a register or memory operand. */
function store(ctx: LoweringContext, operand: Operand, size: number, value: number, exact = false): void {
  if (operand.kind === 'mem') {
    ctx.storeAt(ctx.checked(operand, size, true), size, value);
    return;
  }
  const reg = asRegister(operand);
  ctx.code.localGet(value);
  ctx.setReg(reg.index, size, reg.high, exact);
}

/** Writes the destination; where that becomes a register's value plus a constant, accesses through it are known as well. */
function keepingTrack(ctx: LoweringContext, insn: Instruction, write: () => void): void {
  const copy = constantCopy(insn);
  const before = copy === null ? null : ctx.accesses.valueOf(copy.from);
  write();
  if (copy !== null && before !== null) ctx.accesses.moved(asRegister(insn.operands[0]).index, before, copy.by);
}

/** An operation on i32 and on i64. */
interface Operation {
  readonly i32: (code: Code) => Code;
  readonly i64: (code: Code) => Code;
}

/**
 * True for what is better done in i32: V8 has an operand as one, or the result needs to be truncated. Two values that are known
 * to be below 2^32 can be compared, and joined by bits, as i64.
 */
function isBetterAs32(ctx: LoweringContext, { operands }: Instruction, truncates: boolean): boolean {
  const registers = operands.flatMap((operand) => (operand.kind === 'reg' ? operand.index : []));
  return truncates || registers.some((index) => ctx.isFresh(index) || !ctx.isNarrow(index));
}

/** `binary` for 32 bits. */
function binary32(ctx: LoweringContext, insn: Instruction, kind: number, operation: Operation): void {
  const code = ctx.code;
  ctx.getOperand32(insn.operands[1]!);
  const b = ctx.toTemp('i32');
  const place = openPlace32(ctx, insn.operands[0]!);
  let carry = -1;
  if (kind === KIND_ADC || kind === KIND_SBB) {
    ctx.condition(2);
    carry = ctx.toTemp('i32');
  }
  operation.i32(code.localGet(place.value).localGet(b));
  if (carry >= 0) operation.i32(code.localGet(carry));
  const result = ctx.toTemp('i32');
  place.write(result);
  if (ctx.flagsDead) ctx.setFlags(kind, 4, -1, -1, -1);
  else if (kind === KIND_LOGIC) ctx.setFlags(kind, 4, widened(ctx, result), -1, -1);
  else ctx.setFlags(kind, 4, widened(ctx, result), widened(ctx, place.value), widened(ctx, b));
}

function binary(kind: number, operation: Operation, write: boolean): Lowering {
  return (ctx, insn) => {
    const code = ctx.code;
    const size = insn.size;
    if (size === 4 && write && isBetterAs32(ctx, insn, kind !== KIND_LOGIC)) {
      binary32(ctx, insn, kind, operation);
      return;
    }
    ctx.getOperand(insn.operands[1]!, size);
    const b = ctx.toTemp('i64');
    const place = openPlace(ctx, insn.operands[0]!, size, write);
    let carry = -1;
    if (kind === KIND_ADC || kind === KIND_SBB) {
      ctx.getCarry();
      carry = ctx.toTemp('i64');
    }
    operation.i64(code.localGet(place.value).localGet(b));
    if (carry >= 0) operation.i64(code.localGet(carry));
    if (kind !== KIND_LOGIC) ctx.truncate(size);
    const result = ctx.toTemp('i64');
    if (write) keepingTrack(ctx, insn, () => place.write(result, true));
    if (kind === KIND_LOGIC) ctx.setFlags(kind, size, result, -1, -1);
    else ctx.setFlags(kind, size, result, place.value, b);
  };
}

const add: Operation = { i32: (code) => code.i32Add(), i64: (code) => code.i64Add() };
const sub: Operation = { i32: (code) => code.i32Sub(), i64: (code) => code.i64Sub() };
const and: Operation = { i32: (code) => code.i32And(), i64: (code) => code.i64And() };
const or: Operation = { i32: (code) => code.i32Or(), i64: (code) => code.i64Or() };
const exclusiveOr: Operation = { i32: (code) => code.i32Xor(), i64: (code) => code.i64Xor() };
integerLowerings.set('add', binary(KIND_ADD, add, true));
integerLowerings.set('adc', binary(KIND_ADC, add, true));
integerLowerings.set('sub', binary(KIND_SUB, sub, true));
integerLowerings.set('sbb', binary(KIND_SBB, sub, true));
integerLowerings.set('cmp', binary(KIND_COMPARE, sub, false));
integerLowerings.set('and', binary(KIND_LOGIC, and, true));
integerLowerings.set('test', binary(KIND_LOGIC, and, false));
integerLowerings.set('or', binary(KIND_LOGIC, or, true));
integerLowerings.set('xor', (ctx, insn) => {
  const [a, b] = insn.operands;
  if (a?.kind === 'reg' && b?.kind === 'reg' && a.index === b.index && a.high === b.high) {
    const zero = ctx.temp('i64');
    ctx.code.i64Const(0).localTee(zero);
    ctx.setReg(a.index, insn.size, a.high, true);
    ctx.setFlags(KIND_LOGIC, insn.size, zero, -1, -1);
    return;
  }
  xor(ctx, insn);
});
const xor = binary(KIND_LOGIC, exclusiveOr, true);

function increment(kind: number): Lowering {
  return (ctx, insn) => {
    const code = ctx.code;
    const by = kind === KIND_INC ? 1 : -1;
    const is32 = insn.size === 4;
    const place = is32 ? openPlace32(ctx, insn.operands[0]!) : openPlace(ctx, insn.operands[0]!, insn.size);
    let carry = -1;
    if (!ctx.flagsDead) {
      ctx.getCarry();
      carry = ctx.toTemp('i64');
    }
    code.localGet(place.value);
    if (is32) code.i32Const(by).i32Add();
    else code.i64Const(by).i64Add();
    if (!is32) ctx.truncate(insn.size);
    const result = ctx.toTemp(is32 ? 'i32' : 'i64');
    place.write(result);
    ctx.setFlags(kind, insn.size, is32 ? widened(ctx, result) : result, -1, carry);
  };
}
integerLowerings.set('inc', increment(KIND_INC));
integerLowerings.set('dec', increment(KIND_DEC));

integerLowerings.set('neg', (ctx, insn) => {
  const code = ctx.code;
  if (insn.size === 4) {
    const place = openPlace32(ctx, insn.operands[0]!);
    code.i32Const(0).localGet(place.value).i32Sub();
    const result = ctx.toTemp('i32');
    place.write(result);
    code.i64Const(0);
    const zero = ctx.toTemp('i64');
    ctx.setFlags(KIND_COMPARE, 4, widened(ctx, result), zero, widened(ctx, place.value));
    return;
  }
  const place = openPlace(ctx, insn.operands[0]!, insn.size);
  const zero = ctx.temp('i64');
  code.i64Const(0).localTee(zero).localGet(place.value).i64Sub();
  ctx.truncate(insn.size);
  const result = ctx.toTemp('i64');
  place.write(result);
  ctx.setFlags(KIND_COMPARE, insn.size, result, zero, place.value);
});

integerLowerings.set('not', (ctx, insn) => {
  if (insn.size === 4) {
    const place = openPlace32(ctx, insn.operands[0]!);
    ctx.code.localGet(place.value).i32Const(-1).i32Xor();
    place.write(ctx.toTemp('i32'));
    return;
  }
  const place = openPlace(ctx, insn.operands[0]!, insn.size);
  ctx.code.localGet(place.value).i64Const(-1).i64Xor();
  place.write(ctx.toTemp('i64'));
});

integerLowerings.set('mov', (ctx, insn) => {
  const { size } = insn;
  const [to, from] = insn.operands as [Operand, Operand];
  if (size === 4 && to.kind === 'reg' && from.kind !== 'imm') {
    ctx.getOperand32(from);
    ctx.setReg32(to.index);
    return;
  }
  // A store takes only the low bytes.
  if (to.kind === 'mem' && from.kind === 'reg' && !from.high) {
    ctx.storeAt(ctx.checked(to, size, true), size, ctx.gpr(from.index));
    return;
  }
  ctx.getOperand(from, size);
  const value = ctx.toTemp('i64');
  keepingTrack(ctx, insn, () => store(ctx, to, size, value, true));
});

integerLowerings.set('movzx', (ctx, insn) => {
  ctx.getOperand(insn.operands[1]!);
  store(ctx, insn.operands[0]!, insn.size, ctx.toTemp('i64'), true);
});

function signExtending(ctx: LoweringContext, insn: Instruction): void {
  const source = insn.operands[1]!;
  if (source.kind === 'reg' && !source.high) {
    // What is above is not looked at.
    ctx.code.localGet(ctx.gpr(source.index));
  } else ctx.getOperand(source);
  if (source.kind !== 'target') ctx.signExtend(source.size);
  store(ctx, insn.operands[0]!, insn.size, ctx.toTemp('i64'));
}
integerLowerings.set('movsx', signExtending);
integerLowerings.set('movsxd', signExtending);

integerLowerings.set('lea', (ctx, insn) => {
  const source = insn.operands[1]!;
  if (source.kind !== 'mem') throw new Error('lea');
  if (insn.size === 4 && !ctx.careful) {
    lea32(ctx, source);
    ctx.setReg32(asRegister(insn.operands[0]).index);
    return;
  }
  ctx.address(source, false);
  const reg = asRegister(insn.operands[0]);
  keepingTrack(ctx, insn, () => ctx.setReg(reg.index, insn.size));
});

/** Pushes the low 32 bits of an effective address as an i32. */
function lea32(ctx: LoweringContext, { base, index, scale, disp }: MemoryOperand): void {
  const code = ctx.code.i32Const(disp | 0);
  if (base >= 0) {
    ctx.getReg32(base);
    code.i32Add();
  }
  if (index >= 0) {
    ctx.getReg32(index);
    code.i32Const(Math.log2(scale)).i32Shl().i32Add();
  }
}

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
  ctx.setFlags(KIND_COMPARE, size, result, a, place.value);
});

integerLowerings.set('cmovcc', (ctx, insn) => {
  const code = ctx.code;
  const reg = asRegister(insn.operands[0]);
  ctx.getOperand(insn.operands[1]!, insn.size);
  ctx.getReg(reg.index, insn.size);
  ctx.condition(insn.cc);
  code.select();
  ctx.setReg(reg.index, insn.size, false, true);
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
addBitLowerings(integerLowerings);
addSegmentLowerings(integerLowerings, store);
