/**
 * Flags as lowerings have them: set by what is kept of an operation (flags.ts), read as conditions, which mostly are comparisons of
 * its operands.
 */

import type { Code } from '../wasm/emitter.ts';
import { FUNC_FLAGS } from './calling.ts';
import {
  ALL_PARTS,
  CHANGED_CARRY,
  CHANGED_OVERFLOW,
  KIND_ADD,
  KIND_COMPARE,
  KIND_DEC,
  KIND_FLOAT,
  KIND_INC,
  KIND_LOGIC,
  KIND_SUB,
  PART_OP,
  PART_RESULT,
  partsOf,
} from './flags.ts';
import { RegisterLowering } from './register-lowering.ts';
import { FLAGS_BITS } from './state.ts';

/** log2 of an operand size of 1, 2, 4 or 8. */
export function log2(size: number): number {
  return size === 8 ? 3 : size >> 1;
}

export abstract class FlagLowering extends RegisterLowering {
  /** Flag operation known at translation time (kind × 4 + log2 size), or -1. */
  flagOpKnown = -1;
  /** CHANGED_… known to be set in the flag operation; with the operation known (`flagOpKnown`), all that are. */
  flagsChanged = 0;
  /** Nobody can see the flags that this instruction sets. */
  flagsDead = false;
  readonly flagOp: number;
  readonly flagResult: number;
  readonly flagA: number;
  readonly flagB: number;
  /** Operands of the last comparison of floats. */
  readonly #floats: { f32?: [number, number]; f64?: [number, number] } = {};

  constructor(code: Code, careful: boolean, isVector: (op: string) => boolean, budget = -1, rsp = -1) {
    super(code, careful, isVector, budget, rsp);
    this.flagResult = code.local('i64');
    this.flagA = code.local('i64');
    this.flagB = code.local('i64');
    this.flagOp = code.local('i32');
  }

  /** Parts of the flags (flags.ts). */
  protected abstract onFlags(read: number, write: number): void;

  /** All flags are set: these parts, and the others mean nothing. */
  protected onAllFlags(parts: number): void {
    this.onFlags(0, parts);
  }

  /** The flags are about to be written, perhaps. */
  keepFlags(): void {
    this.onFlags(ALL_PARTS, ALL_PARTS);
  }

  /** Records the operands of a flag-setting operation (i64 locals, zero-extended; -1: not needed). */
  setFlags(kind: number, size: number, result: number, a: number, b: number): void {
    const code = this.code;
    this.flagOpKnown = kind * 4 + log2(size);
    this.flagsChanged = 0;
    if (this.flagsDead) return;
    const parts = partsOf(kind);
    this.onAllFlags(parts);
    code.i32Const(this.flagOpKnown).localSet(this.flagOp);
    code.localGet(kind === KIND_COMPARE ? a : result).localSet(this.flagResult);
    if (a >= 0) code.localGet(a).localSet(this.flagA);
    if (b >= 0) code.localGet(b).localSet(this.flagB);
  }

  /** Records a comparison of floats (f32 or f64 locals), as UCOMISS and UCOMISD set the flags. */
  setFloatFlags(size: 4 | 8, a: number, b: number): void {
    const code = this.code;
    const type = size === 4 ? 'f32' : 'f64';
    this.#floats[type] ??= [code.local(type), code.local(type)];
    const [x, y] = this.#floats[type];
    code.localGet(a).localSet(x).localGet(b).localSet(y);
    this.flagOpKnown = KIND_FLOAT * 4 + log2(size);
    this.flagsChanged = 0;
    if (this.flagsDead) return;
    code.i32Const(this.flagOpKnown).localSet(this.flagOp);
    this.onAllFlags(partsOf(KIND_FLOAT));
    const bits = () => (size === 4 ? code.i32ReinterpretF32().i64ExtendI32U() : code.i64ReinterpretF64());
    code.localGet(x);
    bits().localSet(this.flagResult);
    code.localGet(y);
    bits().localSet(this.flagB);
  }

  /** A condition on the floats last compared; OF and SF are 0. */
  #fusedFloat(size: number, pair: number): void {
    const code = this.code;
    const [x, y] = this.#floats[size === 4 ? 'f32' : 'f64']!;
    const both = () => code.localGet(x).localGet(y);
    const wide = size === 8;
    if (pair === 1) (wide ? both().f64Ge() : both().f32Ge()).i32Eqz();
    else if (pair === 3) (wide ? both().f64Gt() : both().f32Gt()).i32Eqz();
    else if (pair === 2 || pair === 7) {
      wide ? both().f64Lt() : both().f32Lt();
      (wide ? both().f64Gt() : both().f32Gt()).i32Or().i32Eqz();
    } else if (pair === 5) {
      code.localGet(x).localGet(x);
      wide ? code.f64Ne() : code.f32Ne();
      code.localGet(y).localGet(y);
      (wide ? code.f64Ne() : code.f32Ne()).i32Or();
    } else code.i32Const(0);
  }

  /** Pops an i64: the arithmetic flags in their RFLAGS positions (state.ts CF, PF, AF, ZF, SF, OF). */
  setFlagsBits(): void {
    this.onAllFlags(PART_OP | PART_RESULT);
    this.code.localSet(this.flagResult).i32Const(FLAGS_BITS).localSet(this.flagOp);
    this.flagOpKnown = FLAGS_BITS;
    this.flagsChanged = 0;
  }

  /** Sets CF and, unless `overflow` is -1, OF from i64 locals of 0 or 1, and keeps the others. */
  changeFlags(carry: number, overflow: number): void {
    if (this.flagsDead) return;
    this.onFlags(PART_OP, PART_OP);
    const code = this.code;
    const mask = overflow < 0 ? CHANGED_CARRY : CHANGED_CARRY | CHANGED_OVERFLOW;
    code.localGet(this.flagOp);
    code
      .i32Const(~(mask * 3))
      .i32And()
      .i32Const(mask)
      .i32Or();
    code.localGet(carry).i32WrapI64().i32Const(9).i32Shl().i32Or();
    if (overflow >= 0) code.localGet(overflow).i32WrapI64().i32Const(11).i32Shl().i32Or();
    code.localSet(this.flagOp);
    this.flagsChanged |= mask;
  }

  /** Pushes the arithmetic flags as an i32 in their RFLAGS positions. */
  getFlagsBits(): void {
    const code = this.code;
    if (this.flagOpKnown < 0) this.onFlags(ALL_PARTS, 0);
    if (this.flagOpKnown === FLAGS_BITS && this.flagsChanged === 0) {
      code.localGet(this.flagResult).i32WrapI64();
      return;
    }
    if (this.flagOpKnown > 0 && this.flagsChanged === 0) code.i32Const(this.flagOpKnown);
    else code.localGet(this.flagOp);
    code.localGet(this.flagResult).localGet(this.flagA).localGet(this.flagB).call(FUNC_FLAGS);
  }

  /** Pushes CF as an i64 0 or 1. */
  getCarry(): void {
    this.condition(2);
    this.code.i64ExtendI32U();
  }

  /** Pushes condition `cc` (SDM vol. 2, appendix B.1) as an i32 0 or 1. */
  condition(cc: number): void {
    const code = this.code;
    const negate = (cc & 1) === 1;
    const op = this.flagOpKnown;
    const changed = this.flagsChanged & (CONDITION_FLAGS[cc >> 1] ?? 0);
    if (changed !== 0 && cc >> 1 < 2) {
      // CF or OF alone.
      code
        .localGet(this.flagOp)
        .i32Const(cc >> 1 === 1 ? 9 : 11)
        .i32ShrU()
        .i32Const(1)
        .i32And();
      if (negate) code.i32Eqz();
      return;
    }
    if (op > 0 && changed === 0 && this.#fused(op >> 2, 1 << (op & 3), cc >> 1)) {
      if (negate) code.i32Eqz();
      return;
    }
    this.getFlagsBits();
    switch (cc >> 1) {
      case 0:
        code.i32Const(11).i32ShrU().i32Const(1).i32And();
        break;
      case 1:
        code.i32Const(1).i32And();
        break;
      case 2:
        code.i32Const(6).i32ShrU().i32Const(1).i32And();
        break;
      case 3:
        code.i32Const(0x41).i32And().i32Const(0).i32Ne();
        break;
      case 4:
        code.i32Const(7).i32ShrU().i32Const(1).i32And();
        break;
      case 5:
        code.i32Const(2).i32ShrU().i32Const(1).i32And();
        break;
      default: {
        const bits = this.temp('i32');
        code.localTee(bits).i32Const(7).i32ShrU();
        code.localGet(bits).i32Const(11).i32ShrU().i32Xor();
        if (cc >> 1 === 7) code.localGet(bits).i32Const(6).i32ShrU().i32Or();
        code.i32Const(1).i32And();
      }
    }
    if (negate) code.i32Eqz();
  }

  /** The condition as a comparison of the operands; false where it must be taken from the bits. */
  #fused(kind: number, size: number, pair: number): boolean {
    const code = this.code;
    const { flagResult: r, flagB: b } = this;
    const a = kind === KIND_COMPARE ? r : this.flagA;
    const subtracts = kind === KIND_SUB || kind === KIND_COMPARE;
    if (kind === KIND_FLOAT) {
      this.#fusedFloat(size, pair);
      return true;
    }
    const signed = (local: number): void => {
      code.localGet(local);
      if (size === 4) code.i32WrapI64();
      else this.signExtend(size);
    };
    const signedLess = (orEqual: boolean): void => {
      if (size === 4) orEqual ? code.i32LeS() : code.i32LtS();
      else orEqual ? code.i64LeS() : code.i64LtS();
    };
    const zero = (): Code => (size === 4 ? code.i32Const(0) : code.i64Const(0));
    if (pair === 2) {
      if (kind === KIND_COMPARE) code.localGet(a).localGet(b).i64Eq();
      else code.localGet(r).i64Eqz();
      return true;
    }
    if (pair === 4) {
      if (kind === KIND_COMPARE) {
        if (size === 4) code.localGet(a).i32WrapI64().localGet(b).i32WrapI64().i32Sub();
        else code.localGet(a).localGet(b).i64Sub();
        if (size < 4) this.signExtend(size);
      } else signed(r);
      zero();
      signedLess(false);
      return true;
    }
    if (subtracts) {
      if (pair === 1) code.localGet(a).localGet(b).i64LtU();
      else if (pair === 3) code.localGet(a).localGet(b).i64LeU();
      else if (pair === 6 || pair === 7) {
        signed(a);
        signed(b);
        signedLess(pair === 7);
      } else return false;
      return true;
    }
    if (kind === KIND_LOGIC) {
      if (pair === 0 || pair === 1) code.i32Const(0);
      else if (pair === 3) code.localGet(r).i64Eqz();
      else if (pair === 6 || pair === 7) {
        signed(r);
        zero();
        signedLess(pair === 7);
      } else return false;
      return true;
    }
    if (kind === KIND_ADD && pair === 1) {
      code.localGet(r).localGet(b).i64LtU();
      return true;
    }
    if ((kind === KIND_INC || kind === KIND_DEC) && pair === 1) {
      code.localGet(b).i32WrapI64();
      return true;
    }
    return false;
  }
}

/** Which of CF and OF a condition looks at, by pairs of condition codes: O, B, Z, BE, S, P, L, LE. */
const CONDITION_FLAGS = [
  CHANGED_OVERFLOW,
  CHANGED_CARRY,
  0,
  CHANGED_CARRY,
  0,
  0,
  CHANGED_OVERFLOW,
  CHANGED_OVERFLOW,
] as const;
