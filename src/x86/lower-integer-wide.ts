/** Multiplication, division and the double-width compare-and-exchange. Intel SDM vol. 2. */

import { FUNC_DIVLU, FUNC_MULHU } from './calling.ts';
import { KIND_IMUL, KIND_RESULT } from './flags.ts';
import type { Instruction } from './instruction.ts';
import { asRegister, type Lowering, type LoweringContext } from './lowering.ts';
import { widened } from './place.ts';
import { CF, OF, RAX, RBX, RCX, RDX, VECTOR_DE, ZF } from './state.ts';

/** Pushes the upper half of the signed 64 × 64 product. */
function mulHighSigned(ctx: LoweringContext, a: number, b: number): void {
  const code = ctx.code;
  code.localGet(a).localGet(b).call(FUNC_MULHU);
  code.localGet(a).i64Const(63).i64ShrS().localGet(b).i64And().i64Sub();
  code.localGet(b).i64Const(63).i64ShrS().localGet(a).i64And().i64Sub();
}

/** imul r, r/m and imul r, r/m, imm */
function imulTruncated(ctx: LoweringContext, insn: Instruction): void {
  const code = ctx.code;
  const size = insn.size;
  const operands = insn.operands;
  if (size === 4) {
    imulTruncated32(ctx, insn);
    return;
  }
  ctx.getOperand(operands[operands.length - 1]!, size);
  ctx.signExtend(size);
  const b = ctx.toTemp('i64');
  ctx.getOperand(operands[operands.length - 2]!, size);
  ctx.signExtend(size);
  const a = ctx.toTemp('i64');
  code.localGet(a).localGet(b).i64Mul();
  ctx.truncate(size);
  const result = ctx.toTemp('i64');
  ctx.setFlags(KIND_IMUL, size, result, a, b);
  code.localGet(result);
  ctx.setReg(asRegister(operands[0]).index, size);
}

function imulTruncated32(ctx: LoweringContext, { operands }: Instruction): void {
  const code = ctx.code;
  ctx.getOperand32(operands[operands.length - 1]!);
  const b = ctx.toTemp('i32');
  ctx.getOperand32(operands[operands.length - 2]!);
  const a = ctx.toTemp('i32');
  code.localGet(a).localGet(b).i32Mul();
  const result = ctx.toTemp('i32');
  const signed = (local: number): number => {
    code.localGet(local).i64ExtendI32S();
    return ctx.toTemp('i64');
  };
  if (ctx.flagsDead) ctx.setFlags(KIND_IMUL, 4, -1, -1, -1);
  else ctx.setFlags(KIND_IMUL, 4, widened(ctx, result), signed(a), signed(b));
  code.localGet(result);
  ctx.setReg32(asRegister(operands[0]).index);
}

/** Pops an i32 0 or 1: CF and OF. */
function setOverflow(ctx: LoweringContext, size: number, result: number): void {
  const code = ctx.code;
  code
    .i64ExtendI32U()
    .i64Const(CF | OF)
    .i64Mul();
  const bits = ctx.toTemp('i64');
  ctx.setFlags(KIND_RESULT, size, result, -1, bits);
}

/** mul and one-operand imul: AX, DX:AX, EDX:EAX, RDX:RAX = rAX × r/m */
function multiply(signed: boolean): Lowering {
  return (ctx, insn) => {
    if (insn.operands.length > 1) {
      imulTruncated(ctx, insn);
      return;
    }
    const code = ctx.code;
    const size = insn.size;
    ctx.getOperand(insn.operands[0]!, size);
    if (signed) ctx.signExtend(size);
    const b = ctx.toTemp('i64');
    ctx.getReg(RAX, size);
    if (signed) ctx.signExtend(size);
    const a = ctx.toTemp('i64');
    code.localGet(a).localGet(b).i64Mul();
    const low = ctx.toTemp('i64');
    if (size === 8) {
      if (signed) mulHighSigned(ctx, a, b);
      else code.localGet(a).localGet(b).call(FUNC_MULHU);
    } else {
      code
        .localGet(low)
        .i64Const(size * 8)
        .i64ShrU();
      ctx.truncate(size);
    }
    const high = ctx.toTemp('i64');
    code.localGet(low);
    ctx.truncate(size);
    const result = ctx.toTemp('i64');
    code.localGet(high);
    if (signed) {
      code.localGet(result);
      ctx.signExtend(size);
      code.i64Const(63).i64ShrS();
      ctx.truncate(size);
      code.i64Ne();
    } else {
      code.i64Eqz().i32Eqz();
    }
    setOverflow(ctx, size, result);
    if (size === 1) {
      code.localGet(low);
      ctx.setReg(RAX, 2);
    } else {
      code.localGet(result);
      ctx.setReg(RAX, size);
      code.localGet(high);
      ctx.setReg(RDX, size);
    }
  };
}

function divideError(ctx: LoweringContext): void {
  ctx.code.if();
  ctx.exception(VECTOR_DE);
  ctx.code.end();
}

function divide(signed: boolean): Lowering {
  return (ctx, insn) => {
    const code = ctx.code;
    const size = insn.size;
    ctx.getOperand(insn.operands[0]!, size);
    if (signed) ctx.signExtend(size);
    const divisor = ctx.toTemp('i64');
    code.localGet(divisor).i64Eqz();
    divideError(ctx);
    if (size === 8) {
      divide64(ctx, signed, divisor);
      return;
    }
    // The dividend fits 64 bits.
    if (size === 1) {
      ctx.getReg(RAX, 2);
    } else {
      ctx.getReg(RDX, size);
      code.i64Const(size * 8).i64Shl();
      ctx.getReg(RAX, size);
      code.i64Or();
    }
    if (signed) ctx.signExtend(size * 2);
    const dividend = ctx.toTemp('i64');
    const quotient = ctx.temp('i64');
    const remainder = ctx.temp('i64');
    if (signed) {
      // The wasm instruction traps on -2^63 / -1: divide by 1 and negate.
      const minus = ctx.temp('i32');
      code.localGet(divisor).i64Const(-1).i64Eq().localSet(minus);
      code.i64Const(1).localGet(divisor).localGet(minus).select().localSet(divisor);
      code.localGet(dividend).localGet(divisor).i64DivS().localSet(quotient);
      code.localGet(dividend).localGet(divisor).i64RemS().localSet(remainder);
      code.i64Const(0).localGet(quotient).i64Sub().localGet(quotient).localGet(minus).select().localSet(quotient);
      code.localGet(quotient);
      ctx.signExtend(size);
      code.localGet(quotient).i64Ne();
    } else {
      code.localGet(dividend).localGet(divisor).i64DivU().localSet(quotient);
      code.localGet(dividend).localGet(divisor).i64RemU().localSet(remainder);
      code
        .localGet(quotient)
        .i64Const(size * 8)
        .i64ShrU()
        .i64Eqz()
        .i32Eqz();
    }
    divideError(ctx);
    code.localGet(quotient);
    ctx.setReg(RAX, size);
    code.localGet(remainder);
    if (size === 1) ctx.setReg(RAX, 1, true);
    else ctx.setReg(RDX, size);
  };
}

function divide64(ctx: LoweringContext, signed: boolean, divisor: number): void {
  const code = ctx.code;
  const low = ctx.gpr(RAX, true);
  const high = ctx.gpr(RDX, true);
  const quotient = ctx.temp('i64');
  if (signed) code.localGet(high).localGet(low).i64Const(63).i64ShrS().i64Eq();
  else code.localGet(high).i64Eqz();
  code.if();
  if (signed) {
    code
      .localGet(divisor)
      .i64Const(-1)
      .i64Eq()
      .localGet(low)
      .i64Const(-(1n << 63n))
      .i64Eq()
      .i32And();
    divideError(ctx);
    code.localGet(low).localGet(divisor).i64DivS().localSet(quotient);
    code.localGet(low).localGet(divisor).i64RemS().localSet(high);
  } else {
    code.localGet(low).localGet(divisor).i64DivU().localSet(quotient);
    code.localGet(low).localGet(divisor).i64RemU().localSet(high);
  }
  code.localGet(quotient).localSet(low);
  code.else();
  if (signed) divideLongSigned(ctx, divisor);
  else divideLong(ctx, divisor);
  code.end();
}

/** rdx:rax by a divisor, unsigned, of any size. */
function divideLong(ctx: LoweringContext, divisor: number): void {
  const code = ctx.code;
  const [low, high] = [ctx.gpr(RAX, true), ctx.gpr(RDX, true)];
  code.localGet(high).localGet(divisor).i64GeU();
  divideError(ctx);
  code.localGet(high).localGet(low).localGet(divisor).call(FUNC_DIVLU);
  const quotient = ctx.toTemp('i64');
  code.localGet(low).localGet(quotient).localGet(divisor).i64Mul().i64Sub().localSet(high);
  code.localGet(quotient).localSet(low);
}

/** The same of the absolute values, and what the signs make of it. */
function divideLongSigned(ctx: LoweringContext, divisor: number): void {
  const code = ctx.code;
  const [low, high] = [ctx.gpr(RAX, true), ctx.gpr(RDX, true)];
  /** All ones where the value is negative. */
  const sign = (local: number): number => {
    code.localGet(local).i64Const(63).i64ShrS();
    return ctx.toTemp('i64');
  };
  /** Negates the value on the stack where `by` is all ones. */
  const negateBy = (by: number): number => {
    code.localGet(by).i64Xor().localGet(by).i64Sub();
    return ctx.toTemp('i64');
  };
  const negative = sign(high);
  const divisorNegative = sign(divisor);
  code.localGet(low);
  const absoluteLow = negateBy(negative);
  // With a carry from the low half where that is zero.
  code.localGet(high).localGet(negative).i64Xor();
  code.localGet(absoluteLow).i64Eqz().i64ExtendI32U().localGet(negative).i64And().i64Add();
  const absoluteHigh = ctx.toTemp('i64');
  code.localGet(divisor);
  const absoluteDivisor = negateBy(divisorNegative);
  code.localGet(absoluteHigh).localGet(absoluteDivisor).i64GeU();
  divideError(ctx);
  code.localGet(absoluteHigh).localGet(absoluteLow).localGet(absoluteDivisor).call(FUNC_DIVLU);
  const quotient = ctx.toTemp('i64');
  code.localGet(negative).localGet(divisorNegative).i64Xor();
  const quotientNegative = ctx.toTemp('i64');
  // At most 2^63 - 1, or 2^63 where it will be negative.
  code
    .localGet(quotient)
    .i64Const((1n << 63n) - 1n)
    .localGet(quotientNegative)
    .i64Sub()
    .i64GtU();
  divideError(ctx);
  code.localGet(absoluteLow).localGet(quotient).localGet(absoluteDivisor).i64Mul().i64Sub();
  code.localGet(negateBy(negative)).localSet(high);
  code.localGet(quotient);
  code.localGet(negateBy(quotientNegative)).localSet(low);
}

/** cmpxchg8b and cmpxchg16b: only ZF changes; the destination is written in both cases. */
function exchangeDouble(size: number): Lowering {
  return (ctx, insn) => {
    const code = ctx.code;
    const half = size / 2;
    const operand = insn.operands[0]!;
    if (operand.kind !== 'mem') throw new Error('cmpxchg8b');
    const address = size === 16 ? ctx.checkedAligned(operand, true) : ctx.checked(operand, size, true);
    ctx.loadAt(address, half);
    const low = ctx.toTemp('i64');
    const second = { ...address, offset: address.offset + half };
    ctx.loadAt(second, half);
    const high = ctx.toTemp('i64');
    ctx.getFlagsBits();
    code.i64ExtendI32U().i64Const(~ZF).i64And();
    const bits = ctx.toTemp('i64');
    ctx.getReg(RAX, half);
    code.localGet(low).i64Eq();
    ctx.getReg(RDX, half);
    code.localGet(high).i64Eq().i32And().if();
    ctx.storeAt(address, half, ctx.gpr(RBX));
    ctx.storeAt(second, half, ctx.gpr(RCX));
    code.localGet(bits).i64Const(ZF).i64Or().localSet(bits);
    code.else();
    code.localGet(low);
    ctx.setReg(RAX, half);
    code.localGet(high);
    ctx.setReg(RDX, half);
    code.end();
    code.localGet(bits);
    ctx.setFlagsBits();
  };
}

export function addWideLowerings(map: Map<string, Lowering>): void {
  map.set('mul', multiply(false));
  map.set('imul', multiply(true));
  map.set('div', divide(false));
  map.set('idiv', divide(true));
  map.set('cmpxchg8b', exchangeDouble(8));
  map.set('cmpxchg16b', exchangeDouble(16));
}
