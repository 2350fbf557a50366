/** Shifts, rotations, bit tests, scans and counts, byte swap, CRC-32C. Intel SDM vol. 2. */

import { FUNC_CRC32C } from './calling.ts';
import { KIND_LOGIC, KIND_RESULT } from './flags.ts';
import type { Instruction, Operand } from './instruction.ts';
import { asImmediate, asRegister, type Lowering, type LoweringContext } from './lowering.ts';
import { openPlace, openPlace32, widened } from './place.ts';
import { OFF_FS_BASE, OFF_GS_BASE } from './state.ts';

/** Sets CF to what `emit` leaves on the stack (an i64 0 or 1), keeping the other flags. */
export function setCarry(ctx: LoweringContext, emit: () => void): void {
  emit();
  ctx.changeFlags(ctx.toTemp('i64'), -1);
}

/** Pushes the count into a local masked to 5 or 6 bits; `known` when immediate. */
function shiftCount(ctx: LoweringContext, insn: Instruction): { local: number; known: number } {
  const operand = insn.operands.at(-1)!;
  const mask = insn.size === 8 ? 63 : 31;
  if (operand.kind === 'imm') {
    const known = Number(asImmediate(operand) & BigInt(mask));
    ctx.code.i64Const(known);
    return { local: ctx.toTemp('i64'), known };
  }
  ctx.getOperand(operand, 1);
  ctx.code.i64Const(mask).i64And();
  return { local: ctx.toTemp('i64'), known: -1 };
}

/** Emits the flag update; for a count in a register only when it is not 0. */
function whenCounted(ctx: LoweringContext, count: { local: number; known: number }, emit: () => void): void {
  if (count.known === 0 || ctx.flagsDead) return;
  if (count.known > 0) {
    emit();
    return;
  }
  ctx.code.localGet(count.local).i64Eqz().i32Eqz().if();
  emit();
  ctx.code.end();
  ctx.flagOpKnown = -1;
  ctx.flagsChanged = 0;
}

/** Pushes bit `size * 8 - 1` of a local as 0 or 1. */
function topBit(ctx: LoweringContext, local: number, size: number, below = 0): void {
  ctx.code
    .localGet(local)
    .i64Const(size * 8 - 1 - below)
    .i64ShrU()
    .i64Const(1)
    .i64And();
}

/** Pops carry and overflow (i64 0 or 1 in locals) into KIND_RESULT flags. */
function resultFlags(ctx: LoweringContext, size: number, result: number, carry: number, overflow: number): void {
  const code = ctx.code;
  code.localGet(overflow).i64Const(11).i64Shl().localGet(carry).i64Or();
  ctx.setFlags(KIND_RESULT, size, result, -1, ctx.toTemp('i64'));
}

/** The value shifted or rotated, in an i32 local. */
function shifted32(
  ctx: LoweringContext,
  op: 'shl' | 'shr' | 'sar' | 'rol' | 'ror',
  value: number,
  count: { local: number; known: number },
): number {
  const code = ctx.code.localGet(value);
  if (count.known >= 0) code.i32Const(count.known);
  else code.localGet(count.local).i32WrapI64();
  if (op === 'shl') code.i32Shl();
  else if (op === 'shr') code.i32ShrU();
  else if (op === 'sar') code.i32ShrS();
  else if (op === 'rol') code.i32Rotl();
  else code.i32Rotr();
  return ctx.toTemp('i32');
}

/** The value of another size shifted, in an i64 local; for SAR `value` is sign-extended. */
function shifted64(
  ctx: LoweringContext,
  op: 'shl' | 'shr' | 'sar',
  value: number,
  count: { local: number },
  size: number,
): number {
  const code = ctx.code;
  if (op === 'sar') {
    code.localGet(value);
    ctx.signExtend(size);
    code.localSet(value);
  }
  code.localGet(value).localGet(count.local);
  if (op === 'shl') code.i64Shl();
  else if (op === 'shr') code.i64ShrU();
  else code.i64ShrS();
  if (op !== 'shr') ctx.truncate(size);
  return ctx.toTemp('i64');
}

function shift(op: 'shl' | 'shr' | 'sar'): Lowering {
  return (ctx, insn) => {
    const code = ctx.code;
    const size = insn.size;
    const is32 = size === 4;
    const count = shiftCount(ctx, insn);
    const place = is32 ? openPlace32(ctx, insn.operands[0]!) : openPlace(ctx, insn.operands[0]!, size);
    const shifted = is32 ? shifted32(ctx, op, place.value, count) : shifted64(ctx, op, place.value, count, size);
    whenCounted(ctx, count, () => {
      const value = is32 ? widened(ctx, place.value) : place.value;
      const result = is32 ? widened(ctx, shifted) : shifted;
      const carry = ctx.temp('i64');
      const overflow = ctx.temp('i64');
      if (op === 'shl') {
        if (size === 8) code.localGet(value).i64Const(64).localGet(count.local).i64Sub().i64ShrU();
        else
          code
            .localGet(value)
            .localGet(count.local)
            .i64Shl()
            .i64Const(size * 8)
            .i64ShrU();
        code.i64Const(1).i64And().localSet(carry);
        topBit(ctx, result, size);
        code.localGet(carry).i64Xor().localSet(overflow);
      } else {
        code.localGet(value).localGet(count.local).i64Const(1).i64Sub();
        if (op === 'shr') code.i64ShrU();
        else code.i64ShrS();
        code.i64Const(1).i64And().localSet(carry);
        if (op === 'shr') topBit(ctx, value, size);
        else code.i64Const(0);
        code.localSet(overflow);
      }
      resultFlags(ctx, size, result, carry, overflow);
    });
    place.write(shifted);
  };
}

function shiftDouble(left: boolean): Lowering {
  return (ctx, insn) => {
    const code = ctx.code;
    const size = insn.size;
    const bits = size * 8;
    const count = shiftCount(ctx, insn);
    const c = count.local;
    const source = asRegister(insn.operands[1]);
    ctx.getReg(source.index, size);
    const other = ctx.toTemp('i64');
    const place = openPlace(ctx, insn.operands[0]!, size);
    const value = place.value;
    const carry = ctx.temp('i64');
    if (size === 8) {
      // other >> (64 - c), also for c = 0
      code.localGet(value).localGet(c);
      if (left) code.i64Shl().localGet(other).i64Const(1).i64ShrU().i64Const(63).localGet(c).i64Sub().i64ShrU();
      else code.i64ShrU().localGet(other).i64Const(1).i64Shl().i64Const(63).localGet(c).i64Sub().i64Shl();
      code.i64Or();
    } else if (size === 4) {
      // The two as 64 bits.
      if (left) {
        code.localGet(value).i64Const(32).i64Shl().localGet(other).i64Or().localGet(c).i64Shl().i64Const(32).i64ShrU();
      } else {
        code.localGet(other).i64Const(32).i64Shl().localGet(value).i64Or().localGet(c).i64ShrU();
        ctx.truncate(4);
      }
    } else {
      // Counts above 16 are undefined; processors rotate the destination in again.
      const wide = (): void => {
        code
          .localGet(value)
          .i64Const(32)
          .i64Shl()
          .localGet(other)
          .i64Const(16)
          .i64Shl()
          .i64Or()
          .localGet(value)
          .i64Or();
      };
      wide();
      code.localGet(c);
      if (left) code.i64Shl().i64Const(32).i64ShrU();
      else code.i64ShrU();
      ctx.truncate(2);
    }
    const result = ctx.toTemp('i64');
    whenCounted(ctx, count, () => {
      const overflow = ctx.temp('i64');
      code.localGet(value);
      if (left) code.i64Const(bits).localGet(c).i64Sub();
      else code.localGet(c).i64Const(1).i64Sub();
      code.i64ShrU().i64Const(1).i64And().localSet(carry);
      topBit(ctx, result, size);
      topBit(ctx, value, size);
      code.i64Xor().localSet(overflow);
      resultFlags(ctx, size, result, carry, overflow);
    });
    place.write(result);
  };
}

function rotate(left: boolean): Lowering {
  return (ctx, insn) => {
    const code = ctx.code;
    const size = insn.size;
    const bits = size * 8;
    const count = shiftCount(ctx, insn);
    const place = size === 4 ? openPlace32(ctx, insn.operands[0]!) : openPlace(ctx, insn.operands[0]!, size);
    const value = place.value;
    let rotated = -1;
    if (size === 8) {
      code.localGet(value).localGet(count.local);
      if (left) code.i64Rotl();
      else code.i64Rotr();
    } else if (size === 4) {
      rotated = shifted32(ctx, left ? 'rol' : 'ror', value, count);
      code.localGet(rotated).i64ExtendI32U();
    } else {
      // Shift the value twice side by side.
      const c = ctx.temp('i64');
      code
        .localGet(count.local)
        .i64Const(bits - 1)
        .i64And()
        .localSet(c);
      code.localGet(value).i64Const(bits).i64Shl().localGet(value).i64Or().localGet(c);
      if (left) code.i64Shl().i64Const(bits).i64ShrU();
      else code.i64ShrU();
      ctx.truncate(size);
    }
    const result = ctx.toTemp('i64');
    whenCounted(ctx, count, () => {
      const carry = ctx.temp('i64');
      const overflow = ctx.temp('i64');
      if (left) code.localGet(result).i64Const(1).i64And().localSet(carry);
      else {
        topBit(ctx, result, size);
        code.localSet(carry);
      }
      topBit(ctx, result, size);
      if (left) code.localGet(carry);
      else topBit(ctx, result, size, 1);
      code.i64Xor().localSet(overflow);
      ctx.changeFlags(carry, overflow);
    });
    place.write(size === 4 ? rotated : result);
  };
}

/** rcl, rcr: bit by bit; nobody uses them in loops. */
function rotateCarry(left: boolean): Lowering {
  return (ctx, insn) => {
    const code = ctx.code;
    const size = insn.size;
    const count = shiftCount(ctx, insn);
    const place = openPlace(ctx, insn.operands[0]!, size);
    const value = place.value;
    const carry = ctx.temp('i64');
    const out = ctx.temp('i64');
    const left_ = ctx.temp('i64');
    ctx.getCarry();
    code.localSet(carry);
    code.localGet(count.local);
    if (size < 4) code.i64Const(size * 8 + 1).i64RemU();
    code.localTee(left_).i64Eqz().i32Eqz().if();
    const loop = code.loop();
    if (left) {
      topBit(ctx, value, size);
      code.localSet(out);
      code.localGet(value).i64Const(1).i64Shl().localGet(carry).i64Or();
      ctx.truncate(size);
      code.localSet(value);
    } else {
      code.localGet(value).i64Const(1).i64And().localSet(out);
      code
        .localGet(value)
        .i64Const(1)
        .i64ShrU()
        .localGet(carry)
        .i64Const(size * 8 - 1)
        .i64Shl()
        .i64Or();
      code.localSet(value);
    }
    code.localGet(out).localSet(carry);
    code.localGet(left_).i64Const(1).i64Sub().localTee(left_).i64Eqz().i32Eqz().brIfTo(loop);
    code.end();
    const overflow = ctx.temp('i64');
    topBit(ctx, value, size);
    if (left) code.localGet(carry);
    else topBit(ctx, value, size, 1);
    code.i64Xor().localSet(overflow);
    ctx.changeFlags(carry, overflow);
    code.end();
    ctx.flagOpKnown = -1;
    ctx.flagsChanged = 0;
    place.write(value);
  };
}

function bitTest(op: 'bt' | 'bts' | 'btr' | 'btc'): Lowering {
  return (ctx, insn) => {
    const code = ctx.code;
    const size = insn.size;
    const [base, offset] = insn.operands as [Operand, Operand];
    const bit = ctx.temp('i64');
    let value: number;
    let write: (result: number) => void;
    ctx.getOperand(offset, offset.kind === 'imm' ? 1 : size);
    if (base.kind === 'mem' && offset.kind === 'reg') {
      // The bit string reaches beyond the operand: address + size × (offset ÷ bits), rounded down.
      ctx.signExtend(size);
      code
        .localTee(bit)
        .i64Const(size === 8 ? 6 : size === 4 ? 5 : 4)
        .i64ShrS();
      code.i64Const(size).i64Mul();
      ctx.address(base, false);
      code.i64Add();
      if (base.addressSize === 4) ctx.truncate(4);
      if (base.segment !== 'none') {
        ctx.loadState64(base.segment === 'fs' ? OFF_FS_BASE : OFF_GS_BASE);
        code.i64Add();
      }
      const address = ctx.checkedAddress(size, op !== 'bt');
      ctx.loadAt(address, size);
      value = ctx.toTemp('i64');
      write = (result) => ctx.storeAt(address, size, result);
    } else {
      code.localSet(bit);
      const place = openPlace(ctx, base, size, op !== 'bt');
      value = place.value;
      write = (result) => place.write(result);
    }
    code
      .localGet(bit)
      .i64Const(size * 8 - 1)
      .i64And()
      .localSet(bit);
    setCarry(ctx, () => code.localGet(value).localGet(bit).i64ShrU().i64Const(1).i64And());
    if (op === 'bt') return;
    code.localGet(value).i64Const(1).localGet(bit).i64Shl();
    if (op === 'bts') code.i64Or();
    else if (op === 'btc') code.i64Xor();
    else code.i64Const(-1).i64Xor().i64And();
    write(ctx.toTemp('i64'));
  };
}

function scan(forward: boolean): Lowering {
  return (ctx, insn) => {
    const code = ctx.code;
    ctx.getOperand(insn.operands[1]!, insn.size);
    const value = ctx.toTemp('i64');
    // With a source of 0 the destination keeps its value.
    code.localGet(value).i64Eqz().i32Eqz().if();
    if (forward) code.localGet(value).i64Ctz();
    else code.i64Const(63).localGet(value).i64Clz().i64Sub();
    ctx.setReg(asRegister(insn.operands[0]).index, insn.size);
    code.end();
    ctx.setFlags(KIND_LOGIC, insn.size, value, -1, -1);
  };
}

function byteSwap(ctx: LoweringContext, insn: Instruction): void {
  const code = ctx.code;
  const index = asRegister(insn.operands[0]).index;
  if (insn.size === 2) {
    // Undefined; processors give 0.
    code.i64Const(0);
    ctx.setReg(index, 2);
    return;
  }
  if (insn.size === 4) {
    // The odd bytes and the even ones, each two where they belong.
    ctx.getReg32(index);
    const v = ctx.toTemp('i32');
    code.localGet(v).i32Const(0x00ff00ff).i32And().i32Const(8).i32Rotr();
    code.localGet(v).i32Const(0xff00ff00).i32And().i32Const(8).i32Rotl().i32Or();
    ctx.setReg32(index);
    return;
  }
  ctx.getReg(index, 8);
  const v = ctx.toTemp('i64');
  const swap = (mask: bigint, bits: number): void => {
    code.localGet(v).i64Const(mask).i64And().i64Const(bits).i64Shl();
    code.localGet(v).i64Const(bits).i64ShrU().i64Const(mask).i64And().i64Or().localSet(v);
  };
  swap(0x00ff00ff00ff00ffn, 8);
  swap(0x0000ffff0000ffffn, 16);
  code.localGet(v).i64Const(32).i64Rotl();
  ctx.setReg(index, 8);
}

/** Every flag but ZF is cleared. */
function populationCount(ctx: LoweringContext, insn: Instruction): void {
  const code = ctx.code;
  ctx.getOperand(insn.operands[1]!, insn.size);
  const value = ctx.toTemp('i64');
  code.localGet(value).i64Popcnt();
  ctx.setReg(asRegister(insn.operands[0]).index, insn.size);
  if (ctx.flagsDead) return;
  code.localGet(value).i64Eqz().i64ExtendI32U().i64Const(6).i64Shl();
  ctx.setFlagsBits();
}

/**
 * A CRC takes in 64 bits in one step; fewer, with as many zeros before them, which change nothing when the CRC is 0: what
 * of the old one they do not meet is only shifted.
 */
function crc32(ctx: LoweringContext, insn: Instruction): void {
  const code = ctx.code;
  const [to, from] = insn.operands as [Operand, Operand];
  const { index } = asRegister(to);
  const size = from.kind === 'target' ? 8 : from.size;
  const bits = size * 8;
  ctx.getOperand(from, size);
  ctx.getReg(index, 4);
  const crc = ctx.toTemp('i64');
  code.localGet(crc).i64Xor();
  if (bits < 64) code.i64Const(64 - bits).i64Shl();
  code.call(FUNC_CRC32C);
  if (bits < 32) code.localGet(crc).i64Const(bits).i64ShrU().i64Xor();
  ctx.setReg(index, 8);
}

export function addBitLowerings(map: Map<string, Lowering>): void {
  for (const op of ['shl', 'shr', 'sar'] as const) map.set(op, shift(op));
  map.set('shld', shiftDouble(true));
  map.set('shrd', shiftDouble(false));
  map.set('rol', rotate(true));
  map.set('ror', rotate(false));
  map.set('rcl', rotateCarry(true));
  map.set('rcr', rotateCarry(false));
  for (const op of ['bt', 'bts', 'btr', 'btc'] as const) map.set(op, bitTest(op));
  map.set('bsf', scan(true));
  map.set('bsr', scan(false));
  map.set('bswap', byteSwap);
  map.set('popcnt', populationCount);
  map.set('crc32', crc32);
}
