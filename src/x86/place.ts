/** Destinations that are read and then written, in registers and memory. */

import type { Operand } from './instruction.ts';
import { asRegister, type LoweringContext } from './lowering.ts';

/** A destination that is read and then written: the value is in `value`, `write` stores an i64 local. */
export interface Place {
  readonly value: number;
  /** `exact`: of a 4-byte result the upper half is zero. */
  write(result: number, exact?: boolean): void;
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
    write: (result, exact = false) => {
      ctx.code.localGet(result);
      ctx.setReg(reg.index, size, reg.high, exact);
    },
  };
}

/** As `openPlace` for 32 bits, in i32 locals. */
export function openPlace32(ctx: LoweringContext, operand: Operand): Place {
  if (operand.kind === 'mem') {
    const address = ctx.checked(operand, 4, true);
    ctx.load32At(address);
    return { value: ctx.toTemp('i32'), write: (result) => ctx.store32At(address, result) };
  }
  const { index } = asRegister(operand);
  ctx.getReg32(index);
  return {
    value: ctx.toTemp('i32'),
    write: (result) => {
      ctx.code.localGet(result);
      ctx.setReg32(index);
    },
  };
}

/** An i32 local's value as an i64 local; for V8 the same machine register. */
export function widened(ctx: LoweringContext, local: number): number {
  ctx.code.localGet(local).i64ExtendI32U();
  return ctx.toTemp('i64');
}
