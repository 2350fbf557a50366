/**
 * Registers as lowerings have them: locals, temporaries, and what stands in the instruction. Where registers are kept is for
 * regions and step functions to say.
 */

import type { Code, ValueType } from '../wasm/emitter.ts';
import { RegionAccesses } from './access.ts';
import type { ImmediateOperand, Instruction, TargetOperand } from './instruction.ts';
import { RSP } from './state.ts';
import { noUsage } from './usage.ts';
export abstract class RegisterLowering {
  readonly code: Code;
  /** One instruction, with everything that it may come to: a failed check is repaired in place (step-context.ts). */
  readonly careful: boolean;
  /** What the instruction being lowered has touched so far. */
  touched = noUsage();
  /** The instruction being lowered, and how many of its block's instructions, itself included, are not executed. */
  insn!: Instruction;
  remaining = 0;

  /** The checked memory accesses, and `code.depth` of the block's straight-line code. */
  readonly accesses: RegionAccesses;
  blockDepth = 0;
  /**
   * General registers (masks) whose values are below 2^32, and those of them that V8 has as an i32: an operation of 32 bits made
   * them since paths last met.
   */
  narrow = 0;
  fresh = 0;

  /** The locals of registers; beyond 16 those that a step function finds in its record. */
  readonly #gpr: number[] = new Array(32).fill(-1);
  readonly #temps: { readonly [T in ValueType]: Temporaries } = {
    i32: { locals: [], used: 0 },
    i64: { locals: [], used: 0 },
    f32: { locals: [], used: 0 },
    f64: { locals: [], used: 0 },
    v128: { locals: [], used: 0 },
    funcref: { locals: [], used: 0 },
  };
  readonly #budget: number;
  readonly next: number;

  /** `budget`, `rsp`: the parameters that they are; -1: they have locals like others. */
  constructor(code: Code, careful: boolean, isVector: (op: string) => boolean, budget = -1, rsp = -1) {
    this.accesses = new RegionAccesses(isVector);
    this.code = code;
    this.careful = careful;
    this.#budget = budget < 0 ? code.local('i64') : budget;
    this.#gpr[RSP] = rsp;
    this.next = code.local('i64');
  }

  // --- where registers are kept: before a register is read or written ---

  protected abstract onGpr(index: number, read: boolean, write: boolean): void;

  /** Stores what is newer in locals than in the register file. */
  abstract writeBack(): void;

  /** The register file is newer than the locals. */
  abstract reload(): void;
  /** Makes the register file have the budget as it is now. */
  abstract showBudget(): void;

  /** The local with the instructions that are left. */
  get budget(): number {
    return this.#budget;
  }

  /** Locals of registers, whatever is in them. */
  protected gprLocal(index: number): number {
    if (this.#gpr[index] === -1) this.#gpr[index] = this.code.local('i64');
    return this.#gpr[index]!;
  }

  /** Starts an instruction: temporaries are free again. */
  begin(insn: Instruction): void {
    this.insn = insn;
    this.touched = noUsage();
    const { i32, i64, f32, f64, v128, funcref } = this.#temps;
    i32.used = i64.used = f32.used = f64.used = v128.used = funcref.used = 0;
  }

  /** A local that is free until the end of the instruction. Its value is undefined. */
  temp(type: ValueType): number {
    const temps = this.#temps[type];
    const { locals } = temps;
    if (temps.used === locals.length) locals.push(this.code.local(type));
    return locals[temps.used++]!;
  }

  /** Pops a value into a new temporary. */
  toTemp(type: ValueType): number {
    const local = this.temp(type);
    this.code.localSet(local);
    return local;
  }

  // --- what a step function finds in its record ---

  /** Pushes the instruction's address, the next one's, that of a direct branch (i64). */
  pushRip(): void {
    this.code.i64Const(this.insn.rip);
  }

  pushNextRip(): void {
    this.code.i64Const(this.insn.rip + this.insn.length);
  }

  pushTarget(target: TargetOperand): void {
    this.code.i64Const(target.address);
  }

  /** Pushes an immediate zero-extended to i64 from `size` bytes. */
  pushImmediate(operand: ImmediateOperand, size: number): void {
    this.code.i64Const(BigInt.asUintN(size * 8, operand.value));
  }

  // --- registers ---

  /** The local of a general register, to be read or (`write`) read and written. */
  gpr(index: number, write = false): number {
    return this.#useGpr(index, true, write);
  }

  #useGpr(index: number, read: boolean, write: boolean): number {
    const bit = 1 << index;
    this.touched.gprUsed |= bit;
    if (write) {
      this.touched.gprWritten |= bit;
      this.accesses.written(index);
      this.narrow &= ~bit;
      this.fresh &= ~bit;
    }
    this.onGpr(index, read, write);
    return this.gprLocal(index);
  }

  /** The local of an XMM register, to be read. */
  xmm(index: number): number {
    this.touched.xmmUsed |= 1 << index;
    this.touched.xmmWhole |= 1 << index;
    return this.wholeXmm(index);
  }

  getXmm(index: number): void {
    this.code.localGet(this.xmm(index));
  }

  setXmm(index: number): void {
    this.#writes(index);
    this.touched.xmmWhole |= 1 << index;
    this.setWholeXmm(index);
  }

  #writes(index: number): void {
    this.touched.xmmUsed |= 1 << index;
    this.touched.xmmWritten |= 1 << index;
  }

  /** Pushes a v128 with the low half of an XMM register; the upper half may be anything. */
  getLowHalf(index: number): void {
    this.touched.xmmUsed |= 1 << index;
    this.pushLowHalf(index);
  }

  /** The local (f64, f32) with the lowest 8 or 4 bytes of an XMM register, to be read. */
  low(index: number, size: 4 | 8): number {
    if (size === 8) {
      this.touched.xmmUsed |= 1 << index;
      return this.lowXmm(index);
    }
    this.code.localGet(this.xmm(index)).f32x4ExtractLane(0);
    return this.toTemp('f32');
  }

  /** Pops an f64 or f32 into the lowest 8 or 4 bytes; the others stay. */
  setLow(index: number, size: 4 | 8): void {
    if (size === 8) {
      this.#writes(index);
      this.setLowXmm(index);
      return;
    }
    const value = this.toTemp('f32');
    this.code.localGet(this.xmm(index)).localGet(value).f32x4ReplaceLane(0);
    this.setXmm(index);
  }

  /** Pops an f64 into the lowest 8 bytes; the others become zero. */
  setLowOnly(index: number): void {
    this.#writes(index);
    this.touched.xmmZeroed |= 1 << index;
    this.setLowOnlyXmm(index);
  }

  clearXmm(index: number): void {
    this.#writes(index);
    this.touched.xmmZeroed |= 1 << index;
    this.setZeroXmm(index);
  }

  /** `scalar`: its low half is probably all that is used. */
  copyXmm(to: number, from: number, scalar: boolean): void {
    this.#writes(to);
    this.touched.xmmUsed |= 1 << from;
    this.touched.xmmCopied |= 1 << to;
    this.setCopyXmm(to, from, scalar);
  }

  // --- where XMM registers are ---

  protected abstract wholeXmm(index: number): number;
  protected abstract setWholeXmm(index: number): void;

  protected pushLowHalf(index: number): void {
    this.code.localGet(this.wholeXmm(index));
  }

  protected lowXmm(index: number): number {
    this.code.localGet(this.wholeXmm(index)).f64x2ExtractLane(0);
    return this.toTemp('f64');
  }

  protected setLowXmm(index: number): void {
    const value = this.toTemp('f64');
    this.code.localGet(this.wholeXmm(index)).localGet(value).f64x2ReplaceLane(0);
    this.setWholeXmm(index);
  }

  protected setLowOnlyXmm(index: number): void {
    const value = this.toTemp('f64');
    this.code.v128Const(0n, 0n).localGet(value).f64x2ReplaceLane(0);
    this.setWholeXmm(index);
  }

  protected setZeroXmm(index: number): void {
    this.code.v128Const(0n, 0n);
    this.setWholeXmm(index);
  }

  protected setCopyXmm(to: number, from: number, _scalar: boolean): void {
    this.code.localGet(this.wholeXmm(from));
    this.setWholeXmm(to);
  }

  /** Pushes a general register's low `size` bytes, zero-extended to i64. */
  getReg(index: number, size: number, high = false): void {
    const code = this.code;
    code.localGet(this.gpr(index));
    if (high) code.i64Const(8).i64ShrU().i64Const(0xff).i64And();
    else if (size !== 4 || !this.isNarrow(index)) this.truncate(size);
  }

  /** Pushes a general register's low 32 bits as an i32. */
  getReg32(index: number): void {
    this.code.localGet(this.gpr(index)).i32WrapI64();
  }

  /** Pops an i32 into a general register, zero-extended. */
  setReg32(index: number): void {
    const wasNarrow = this.isNarrow(index);
    const local = this.#useGpr(index, false, true);
    this.code.i64ExtendI32U().localSet(local);
    this.#narrowed(index, wasNarrow, true);
  }

  /** A general register's value is known to be that of the i32 local: with the same value in both V8 needs one machine register. */
  protected isAddress(index: number, local: number): void {
    if (this.isFresh(index)) return;
    this.code.localGet(local).i64ExtendI32U().localSet(this.gprLocal(index));
    this.#narrowed(index, true, true);
  }

  isNarrow(index: number): boolean {
    return ((this.narrow >> index) & 1) !== 0;
  }

  isFresh(index: number): boolean {
    return ((this.fresh >> index) & 1) !== 0;
  }

  /** A general register now has a value below 2^32; on the other path, where this one is conditional, the one that it had. */
  #narrowed(index: number, wasNarrow: boolean, fresh: boolean): void {
    if (this.careful) return;
    const always = this.code.depth === this.blockDepth;
    if (always || wasNarrow) this.narrow |= 1 << index;
    if (always && fresh) this.fresh |= 1 << index;
  }

  /**
   * Pops an i64 into a general register: 8 bytes; 4 zero-extended; 2 and 1 merged. Upper bits may be anything, but with `exact` are
   * zero beyond 4 bytes.
   */
  setReg(index: number, size: number, high = false, exact = false): void {
    const code = this.code;
    const wasNarrow = this.isNarrow(index);
    const local = this.#useGpr(index, size < 4, true);
    if (size === 4) this.#narrowed(index, wasNarrow, false);
    else if (size < 4 && wasNarrow) this.narrow |= 1 << index;
    if (size === 8) {
      code.localSet(local);
    } else if (size === 4) {
      if (!exact) this.truncate(4);
      code.localSet(local);
    } else if (high) {
      code.i64Const(0xff).i64And().i64Const(8).i64Shl();
      code.localGet(local).i64Const(-0xff01).i64And().i64Or().localSet(local);
    } else {
      const mask = size === 1 ? 0xff : 0xffff;
      code.i64Const(mask).i64And();
      code
        .localGet(local)
        .i64Const(-mask - 1)
        .i64And()
        .i64Or()
        .localSet(local);
    }
  }

  /** Zero-extends the i64 on the stack from `size` bytes. */
  truncate(size: number): void {
    if (size < 8) this.code.i64Const(size === 4 ? 0xffff_ffff : size === 2 ? 0xffff : 0xff).i64And();
  }

  /** Sign-extends the i64 on the stack from `size` bytes. */
  signExtend(size: number): void {
    if (size === 4) this.code.i64Extend32S();
    else if (size === 2) this.code.i64Extend16S();
    else if (size === 1) this.code.i64Extend8S();
  }
}

/** Locals of a type for values inside an instruction. */
interface Temporaries {
  readonly locals: number[];
  used: number;
}
