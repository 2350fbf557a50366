/**
 * What an instruction family is written against: `LoweringContext` emits WebAssembly for guest instructions. A region
 * (region-context.ts) and a step function (step-context.ts) differ in where registers are kept and how they are left.
 *
 * Guest registers are wasm locals: i64 for general registers, v128 for XMM. `getReg`/`getXmm` push, `setReg`/`setXmm` pop.
 * Scalar floats are had by `low` and `setLow`: a region need not have the whole register for them.
 * A lowering must do every access that may fault (`checked`, `exception`) before it sets any register or flag: a failed check
 * leaves the region, and the instruction is run again from its beginning by its step function (step-context.ts).
 *
 *     sseLowerings.set('pxor', (ctx, insn) => {
 *       ctx.getXmm(dst); ctx.pushXmmOperand(src); ctx.code.v128Xor(); ctx.setXmm(dst);
 *     });
 */

import { PAGE_MASK, PAGE_SIZE, PAGE_STATE, REGISTER_FILE, STATE_EDGE, STATE_NO_READ } from '../lvm/layout.ts';
import type { Code, ValueType } from '../wasm/emitter.ts';
import { type Access, NOTHING_KNOWN, RegionAccesses } from './access.ts';
import {
  ALL_PARTS,
  CHANGED_CARRY,
  CHANGED_OVERFLOW,
  KIND_ADD,
  KIND_DEC,
  KIND_FLOAT,
  KIND_INC,
  KIND_LOGIC,
  KIND_SUB,
  PART_OP,
  PART_RESULT,
  partsOf,
} from './flags.ts';
import type {
  ImmediateOperand,
  Instruction,
  MemoryOperand,
  Operand,
  RegisterOperand,
  TargetOperand,
} from './instruction.ts';
import {
  EXIT_FAULT,
  FLAGS_BITS,
  OFF_AHEAD,
  OFF_AHEAD_SIZE,
  OFF_EXIT,
  OFF_EXIT_ADDRESS,
  OFF_EXIT_ERROR,
  OFF_EXIT_VECTOR,
  OFF_FS_BASE,
  OFF_GS_BASE,
  OFF_RIP,
} from './state.ts';
import { type HelperName, helperId } from './support.ts';
import { noUsage } from './usage.ts';

export type Lowering = (ctx: LoweringContext, insn: Instruction) => void;

/** A region's function: (depth, rip) → next rip or 0. The type of every function of translated code. */
export const REGION_TYPE = 0;

/** Slots of the table: nothing to fetch; no region yet. */
export const SLOT_UNFETCHABLE = 0;
export const SLOT_INTERPRET = 1;

/** Function indices of a module: imports, then its own. See module.ts. */
export const FUNC_FIX = 0;
export const FUNC_HELPER = 1;
export const FUNC_RESUME = 2;
export const FUNC_LOOKUP = 3;
export const FUNC_FLAGS = 4;
export const FUNC_MULHU = 5;
export const FUNC_CRC32C = 6;
export const FIRST_FUNCTION = 7;

/**
 * How an exit goes on: return `next` behind a return or a call; tail-call its region, behind a branch or where a
 * run may not stop (translate.ts); interpret from the instruction that failed a check; return 0.
 */
export const EXIT_KIND_RETURN = 0;
export const EXIT_KIND_CALL = 1;
export const EXIT_KIND_CHAIN = 2;
export const EXIT_KIND_FORWARD = 3;
export const EXIT_KIND_SLOW = 4;
export const EXIT_KIND_STOP = 5;

/** log2 of an operand size of 1, 2, 4 or 8. */
export function log2(size: number): number {
  return size === 8 ? 3 : size >> 1;
}

export abstract class LoweringContext {
  readonly code: Code;
  /** One instruction, with everything that it may come to: a failed check is repaired in place (step-context.ts). */
  readonly careful: boolean;
  /** What the instruction being lowered has touched so far. */
  touched = noUsage();
  /** The instruction being lowered, and how many of its block's instructions, itself included, are not executed. */
  insn!: Instruction;
  remaining = 0;
  /** Flag operation known at translation time (kind × 4 + log2 size), or -1. */
  flagOpKnown = -1;
  /** CHANGED_… known to be set in the flag operation; with the operation known (`flagOpKnown`), all that are. */
  flagsChanged = 0;
  /** Nobody can see the flags that this instruction sets. */
  flagsDead = false;
  /** This block has tested that MXCSR wants nothing special (lower-sse-mxcsr.ts). */
  mxcsrChecked = false;
  /** The instruction ended its block itself (an unconditional exit was emitted). */
  ended = false;

  /** The checked memory accesses, and `code.depth` of the block's straight-line code. */
  readonly accesses: RegionAccesses;
  blockDepth = 0;
  /** In a run (sse-run.ts): the instruction to do again, and how many were left there. */
  #run: { readonly rip: number; readonly remaining: number } | null = null;
  /** In a run: a NaN result shows in a later one. */
  nanCovered = false;

  /** The locals of registers; beyond 16 those that a step function finds in its record. */
  readonly #gpr: number[] = new Array(32).fill(-1);
  /** Operands of the last comparison of floats. */
  readonly #floats: { f32?: [number, number]; f64?: [number, number] } = {};
  readonly #temps: { readonly [T in ValueType]: Temporaries } = {
    i32: { locals: [], used: 0 },
    i64: { locals: [], used: 0 },
    f32: { locals: [], used: 0 },
    f64: { locals: [], used: 0 },
    v128: { locals: [], used: 0 },
    funcref: { locals: [], used: 0 },
  };
  readonly depthParam = 0;
  readonly #budget: number;
  readonly next: number;
  readonly flagOp: number;
  readonly flagResult: number;
  readonly flagA: number;
  readonly flagB: number;

  constructor(code: Code, careful: boolean, isVector: (op: string) => boolean) {
    this.accesses = new RegionAccesses(isVector);
    this.code = code;
    this.careful = careful;
    this.#budget = code.local('i64');
    this.next = code.local('i64');
    this.flagResult = code.local('i64');
    this.flagA = code.local('i64');
    this.flagB = code.local('i64');
    this.flagOp = code.local('i32');
  }

  // --- where registers are kept: before a register or the flags are read or written ---

  protected abstract onGpr(index: number, read: boolean, write: boolean): void;
  /** Parts of the flags (flags.ts). */
  protected abstract onFlags(read: number, write: number): void;

  /** Stores what is newer in locals than in the register file, and the budget. */
  abstract writeBack(): void;

  /** The register file is newer than the locals. */
  abstract reload(): void;

  /** Pushes the table slot for the address in an i32 local. */
  pushSlot(rip: number): void {
    this.code.localGet(rip).call(FUNC_LOOKUP);
  }

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

  /** From here on XMM registers are written beside those that an exit sees; it goes to this instruction. */
  beginRun(): void {
    this.#run = { rip: this.insn.rip, remaining: this.remaining };
  }

  endRun(): void {
    this.#run = null;
  }

  get inRun(): boolean {
    return this.#run !== null;
  }

  /** Pushes a general register's low `size` bytes, zero-extended to i64. */
  getReg(index: number, size: number, high = false): void {
    const code = this.code;
    code.localGet(this.gpr(index));
    if (high) code.i64Const(8).i64ShrU().i64Const(0xff).i64And();
    else this.truncate(size);
  }

  /** Pops an i64 into a general register: 8 bytes; 4 zero-extended; 2 and 1 merged. Upper bits may be anything. */
  setReg(index: number, size: number, high = false): void {
    const code = this.code;
    const local = this.#useGpr(index, size < 4, true);
    if (size === 8) {
      code.localSet(local);
    } else if (size === 4) {
      code.i64Const(0xffff_ffff).i64And().localSet(local);
      if (code.depth === this.blockDepth) this.accesses.narrowed(index);
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

  // --- memory ---

  /** Pushes an effective address (i64), with the segment's base unless `segment` is false (LEA). */
  address(mem: MemoryOperand, segment = true): void {
    const code = this.code;
    let any = false;
    if (mem.base >= 0) {
      code.localGet(this.gpr(mem.base));
      any = true;
    }
    if (mem.index >= 0) {
      code.localGet(this.gpr(mem.index));
      if (mem.scale > 1) code.i64Const(mem.scale === 2 ? 1 : mem.scale === 4 ? 2 : 3).i64Shl();
      if (any) code.i64Add();
      any = true;
    }
    if (mem.disp !== 0 || !any) {
      code.i64Const(mem.disp);
      if (any) code.i64Add();
    }
    if (mem.addressSize === 4) this.truncate(4);
    if (segment && mem.segment !== 'none') {
      code
        .i32Const(REGISTER_FILE)
        .i64Load(mem.segment === 'fs' ? OFF_FS_BASE : OFF_GS_BASE)
        .i64Add();
    }
  }

  /**
   * Emits the check of an access of `size` bytes (1 … 512) and returns where it is, for use with any wasm load or store.
   * `write` also makes it readable (read-modify-write).
   */
  checked(mem: MemoryOperand, size: number, write: boolean): Access {
    return this.#accessed(mem, size, write, false);
  }

  /** As `checked`, for `size` bytes at a constant offset of a register, which no operand names: the stack. */
  checkedAt(register: number, offset: number, size: number, write: boolean): Access {
    const mem = { base: register, index: -1, scale: 1, disp: offset, segment: 'none', addressSize: 8 } as const;
    return this.checked({ kind: 'mem', ...mem, size }, size, write);
  }

  /** As `checked` for 16 bytes that must be aligned: #GP where they are not (SDM vol. 1, 4.1.1). */
  checkedAligned(mem: MemoryOperand, write: boolean): Access {
    return this.#accessed(mem, 16, write, !isConstant(mem) || mem.disp % 16 !== 0);
  }

  /** As `checked`, for the i64 address on the stack. */
  checkedAddress(size: number, write: boolean): Access {
    const wide = this.temp('i64');
    const local = this.temp('i32');
    this.code.localTee(wide).i32WrapI64().localSet(local);
    this.#check(local, wide, size, write, false);
    return { local, offset: 0 };
  }

  /** The address as an i32 local. */
  addressOf({ local, offset }: Access): number {
    if (offset === 0) return local;
    this.code.localGet(local).i32Const(offset).i32Add();
    return this.toTemp('i32');
  }

  /** register += by */
  move(register: number, by: number): void {
    const before = this.accesses.valueOf(register);
    const local = this.gpr(register, true);
    this.code.localGet(local).i64Const(by).i64Add().localSet(local);
    this.accesses.moved(register, before, by);
  }

  /** An access that was checked with an earlier one, or is checked with what follows. */
  #accessed(mem: MemoryOperand, size: number, write: boolean, aligned: boolean): Access {
    const { code, accesses } = this;
    // With an address-size prefix the sum wraps. In conditional code and loops of a lowering nothing holds.
    const tracked = mem.addressSize === 8 && code.depth === this.blockDepth && !this.careful;
    const known = tracked ? accesses.find(mem, size, write) : null;
    if (known !== null) {
      if (aligned) this.#checkAligned(known);
      return known;
    }
    const range = tracked ? accesses.plan(mem, size, write) : { low: mem.disp, high: mem.disp + size, write };
    const length = range.high - range.low;
    const local = tracked ? code.local('i32') : this.temp('i32');
    const access = { local, offset: mem.disp - range.low };
    if (isConstant(mem) && range.low >= 0) {
      // Only the page state can fail.
      code.i32Const(range.low).localSet(local);
      this.#check(local, -1, length, range.write, (range.low & PAGE_MASK) + length <= PAGE_SIZE, length > size);
      if (aligned) this.#checkAligned(access);
    } else {
      const wide = tracked && accesses.isNarrow(mem, range.low) ? -1 : this.temp('i64');
      this.address({ ...mem, disp: range.low });
      if (wide >= 0) code.localTee(wide);
      code.i32WrapI64().localSet(local);
      if (aligned) this.#checkAligned(access);
      this.#check(local, wide, length, range.write, aligned && length === size, length > size);
    }
    if (tracked) accesses.add(mem, range, local);
    return access;
  }

  #checkAligned({ local, offset }: Access): void {
    const code = this.code.localGet(local);
    if (offset % 16 !== 0) code.i32Const(offset).i32Add();
    code.i32Const(15).i32And().ifRarely();
    this.misaligned();
    code.end();
  }

  /**
   * Tests that the pages of an access of up to PAGE_SIZE bytes are as they must be; `wide` -1: the address is no wider than
   * `local`. Most accesses are in one page, which for stores of one operand its alignment shows. Loads do not ask: the state of a
   * page tells whether the next can be read, too. `inPage`: the access is known to be in one. `several`: it is several in one.
   */
  #check(local: number, wide: number, size: number, write: boolean, inPage: boolean, several = false): void {
    const code = this.code;
    const isWide = (): void => {
      if (wide >= 0) code.localGet(wide).i64Const(32).i64ShrU().i64Or();
      code.i64Const(0).i64Ne();
    };
    if (wide >= 0 && !this.careful) {
      code.localGet(local).i64ExtendI32U().localGet(wide).i64Ne().ifRarely();
      this.failedCheck(local, wide, size, write);
      code.end();
      wide = -1;
    }
    const state = (offset: number): void => {
      code.localGet(local);
      if (offset > 0) code.i32Const(offset).i32Add();
      code.i32Const(12).i32ShrU().i64Load8U(PAGE_STATE);
    };
    const bad = write ? 0xff & ~STATE_EDGE : STATE_NO_READ;
    /** Both pages, or one. */
    const states = (both: boolean): void => {
      state(0);
      if (both) {
        state(size - 1);
        code.i64Or();
      }
      code.i64Const(bad).i64And();
      isWide();
      code.ifRarely();
      if (several && write) this.#prepareAhead(local, size);
      this.failedCheck(local, wide, size, write);
      code.end();
    };
    if (size === 1 || inPage) {
      states(false);
    } else if (write) {
      code.localGet(local);
      if ((size & (size - 1)) === 0) code.i32Const(size - 1).i32And();
      else
        code
          .i32Const(PAGE_MASK)
          .i32And()
          .i32Const(PAGE_SIZE - size)
          .i32GtU();
      code.ifRarely();
      states(true);
      code.end();
      states(false);
    } else {
      state(0);
      code.i64Const(bad | STATE_EDGE).i64And();
      isWide();
      code.ifRarely();
      states(true);
      code.end();
    }
  }

  /**
   * All pages of several accesses are to be made ready for stores when the interpreter does the first of them; which would
   * otherwise make ready only what it needs, and the check would fail again.
   */
  #prepareAhead(local: number, size: number): void {
    const code = this.code.i32Const(REGISTER_FILE).localGet(local).i32Store(OFF_AHEAD);
    code.i32Const(REGISTER_FILE).i32Const(size).i32Store(OFF_AHEAD_SIZE);
  }

  /** The pages are not, or the address is not aligned as it must be. */
  protected abstract failedCheck(local: number, wide: number, size: number, write: boolean): void;
  protected abstract misaligned(): void;

  /** Pushes `size` (1, 2, 4, 8) checked bytes as a zero-extended i64. */
  loadAt({ local, offset }: Access, size: number): void {
    const code = this.code.localGet(local);
    if (size === 8) code.i64Load(offset);
    else if (size === 4) code.i64Load32U(offset);
    else if (size === 2) code.i64Load16U(offset);
    else code.i64Load8U(offset);
  }

  /** Stores the low `size` bytes of the i64 local `value`. */
  storeAt({ local, offset }: Access, size: number, value: number): void {
    const code = this.code.localGet(local).localGet(value);
    if (size === 8) code.i64Store(offset);
    else if (size === 4) code.i64Store32(offset);
    else if (size === 2) code.i64Store16(offset);
    else code.i64Store8(offset);
  }

  /** Pushes an integer operand (register, memory or immediate) zero-extended to i64. */
  getOperand(operand: Operand, size = operandSize(operand)): void {
    if (operand.kind === 'reg') this.getReg(operand.index, size, operand.high);
    else if (operand.kind === 'mem') this.loadAt(this.checked(operand, size, false), size);
    else if (operand.kind === 'imm') this.pushImmediate(operand, size);
    else throw new Error('operand');
  }

  /** Pushes an XMM register, or 16 bytes of memory (4 or 8, zero-extended, for a scalar memory operand). */
  pushXmmOperand(operand: Operand): void {
    if (operand.kind === 'reg') {
      this.getXmm(operand.index);
      return;
    }
    if (operand.kind !== 'mem') throw new Error('operand');
    const { local, offset } = this.checked(operand, operand.size, false);
    const code = this.code.localGet(local);
    if (operand.size === 16) code.v128Load(offset);
    else if (operand.size === 8) code.v128Load64Zero(offset);
    else code.v128Load32Zero(offset);
  }

  // --- register file ---

  /** Pushes the u32 (u64) field of the register file at `offset` (OFF_MXCSR, OFF_FCW …). */
  loadState32(offset: number): void {
    this.code.i32Const(REGISTER_FILE).i32Load(offset);
  }

  loadState64(offset: number): void {
    this.code.i32Const(REGISTER_FILE).i64Load(offset);
  }

  /** Stores a local to the register file. */
  storeState32(offset: number, local: number): void {
    this.code.i32Const(REGISTER_FILE).localGet(local).i32Store(offset);
  }

  storeState64(offset: number, local: number): void {
    this.code.i32Const(REGISTER_FILE).localGet(local).i64Store(offset);
  }

  // --- flags ---

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
    this.onFlags(0, parts);
    code.i32Const(this.flagOpKnown).localSet(this.flagOp);
    if (parts & PART_RESULT) code.localGet(result).localSet(this.flagResult);
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
    this.onFlags(0, partsOf(KIND_FLOAT));
    const bits = () => (size === 4 ? code.i32ReinterpretF32().i64ExtendI32U() : code.i64ReinterpretF64());
    code.localGet(x);
    bits().localSet(this.flagA);
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
    this.onFlags(0, PART_OP | PART_RESULT);
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
    const { flagResult: r, flagA: a, flagB: b } = this;
    if (kind === KIND_FLOAT) {
      this.#fusedFloat(size, pair);
      return true;
    }
    const signed = (local: number): void => {
      code.localGet(local);
      this.signExtend(size);
    };
    if (pair === 2) {
      if (kind === KIND_SUB) code.localGet(a).localGet(b).i64Eq();
      else code.localGet(r).i64Eqz();
      return true;
    }
    if (pair === 4) {
      if (kind === KIND_SUB) {
        code.localGet(a).localGet(b).i64Sub();
        this.signExtend(size);
      } else signed(r);
      code.i64Const(0).i64LtS();
      return true;
    }
    if (kind === KIND_SUB) {
      if (pair === 1) code.localGet(a).localGet(b).i64LtU();
      else if (pair === 3) code.localGet(a).localGet(b).i64LeU();
      else if (pair === 6 || pair === 7) {
        signed(a);
        signed(b);
        if (pair === 6) code.i64LtS();
        else code.i64LeS();
      } else return false;
      return true;
    }
    if (kind === KIND_LOGIC) {
      if (pair === 0 || pair === 1) code.i32Const(0);
      else if (pair === 3) code.localGet(r).i64Eqz();
      else if (pair === 6 || pair === 7) {
        signed(r);
        code.i64Const(0);
        if (pair === 6) code.i64LtS();
        else code.i64LeS();
      } else return false;
      return true;
    }
    if (kind === KIND_ADD && pair === 1) {
      code.localGet(r).localGet(a).i64LtU();
      return true;
    }
    if ((kind === KIND_INC || kind === KIND_DEC) && pair === 1) {
      code.localGet(b).i32WrapI64();
      return true;
    }
    return false;
  }

  // --- leaving ---

  /**
   * Leaves: `kind` EXIT_KIND_…; `remaining` instructions of the block were not executed. In a run (only EXIT_KIND_SLOW
   * happens there) to its beginning.
   */
  exit(kind: number, rip: number, remaining: number): void {
    const run = this.#run;
    if (run === null) this.leave(kind, rip, remaining);
    else this.leave(kind, run.rip, run.remaining);
  }

  protected abstract leave(kind: number, rip: number, remaining: number): void;

  /** As `exit`, the address already being in the local `next`. */
  abstract exitDynamic(kind: number, remaining: number): void;

  /**
   * Raises an exception at this instruction (a fault): code after it is unreachable, so put it in an `if` when
   * conditional. Nothing of the instruction may have been committed.
   */
  exception(vector: number, rip = this.insn.rip, remaining = this.remaining, error = 0): void {
    const code = this.code;
    code.i32Const(REGISTER_FILE).i32Const(EXIT_FAULT).i32Store(OFF_EXIT);
    code.i32Const(REGISTER_FILE).i32Const(vector).i32Store(OFF_EXIT_VECTOR);
    code.i32Const(REGISTER_FILE).i64Const(0).i64Store(OFF_EXIT_ADDRESS);
    code.i32Const(REGISTER_FILE).i32Const(error).i32Store(OFF_EXIT_ERROR);
    this.exit(EXIT_KIND_STOP, rip, remaining);
  }

  /** Leaves for JavaScript with a reason (EXIT_SYSCALL …), rip behind the instruction. */
  stop(reason: number): void {
    this.code.i32Const(REGISTER_FILE).i32Const(reason).i32Store(OFF_EXIT);
    this.exit(EXIT_KIND_STOP, this.insn.rip + this.insn.length, this.remaining - 1);
  }

  /**
   * Calls a helper of support.ts with all guest state in the register file (rip at this instruction), then takes it
   * back. The helper gets the i32 local `arg` (-1: 0). When it returns nonzero it has raised an exception
   * (`raise(machine, vector)`), having changed nothing. Registers touched only by the helper are visible afterwards.
   */
  callHelper(name: HelperName, arg = -1): void {
    const code = this.code;
    this.writeBack();
    code.i32Const(REGISTER_FILE);
    this.pushRip();
    code.i64Store(OFF_RIP).i32Const(helperId(name));
    if (arg >= 0) code.localGet(arg);
    else code.i32Const(0);
    code.call(FUNC_HELPER);
    code.ifRarely();
    this.exit(EXIT_KIND_STOP, this.insn.rip, this.remaining);
    code.end();
    this.reload();
    this.flagOpKnown = -1;
    this.flagsChanged = 0;
    this.mxcsrChecked = false;
    this.accesses.meet(NOTHING_KNOWN);
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

/** Locals of a type for values inside an instruction. */
interface Temporaries {
  readonly locals: number[];
  used: number;
}

/** The address is known and below 4 GiB. */
function isConstant(mem: MemoryOperand): boolean {
  return mem.base < 0 && mem.index < 0 && mem.segment === 'none' && mem.disp >= 0 && mem.disp <= 0xffff_ffff;
}

export function operandSize(operand: Operand): number {
  return operand.kind === 'target' ? 8 : operand.size;
}

/** Asserts that an operand is a register. */
export function asRegister(operand: Operand | undefined): RegisterOperand {
  if (operand?.kind !== 'reg') throw new Error('register operand expected');
  return operand;
}

/** The immediate's value. */
export function asImmediate(operand: Operand | undefined): bigint {
  if (operand?.kind !== 'imm') throw new Error('immediate operand expected');
  return operand.value;
}
