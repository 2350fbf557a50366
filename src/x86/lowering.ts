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
import { type Access, NOTHING_KNOWN } from './access.ts';
import { EXIT_KIND_STOP, FUNC_HELPER } from './calling.ts';
import { FlagLowering } from './flag-lowering.ts';
import type { Instruction, MemoryOperand, Operand, RegisterOperand } from './instruction.ts';
import {
  EXIT_FAULT,
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

export type Lowering = (ctx: LoweringContext, insn: Instruction) => void;

export abstract class LoweringContext extends FlagLowering {
  /** This block has tested that MXCSR wants nothing special (lower-sse-mxcsr.ts). */
  mxcsrChecked = false;
  /** The instruction ended its block itself (an unconditional exit was emitted). */
  ended = false;
  /** In a run (sse-run.ts): the instruction to do again, and how many were left there. */
  #run: { readonly rip: number; readonly remaining: number } | null = null;
  /** In a run: a NaN result shows in a later one. */
  nanCovered = false;

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
      const wide = tracked && accesses.isNarrow(mem, range.low, this.narrow) ? -1 : this.temp('i64');
      this.address({ ...mem, disp: range.low });
      if (wide >= 0) code.localTee(wide);
      code.i32WrapI64().localSet(local);
      if (aligned) this.#checkAligned(access);
      this.#check(local, wide, length, range.write, aligned && length === size, length > size);
    }
    if (tracked) {
      accesses.add(mem, range, local);
      if (accesses.isPointer(mem, range)) this.isAddress(mem.base, local);
    }
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
   * `local`. Most accesses are in one page, which for a store of one operand its alignment shows. Loads do not ask: the state of a
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
      if (!several && (size & (size - 1)) === 0) code.i32Const(size - 1).i32And();
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

  /** Pushes a 32-bit integer operand as an i32. */
  getOperand32(operand: Operand): void {
    if (operand.kind === 'reg') this.getReg32(operand.index);
    else if (operand.kind === 'mem') this.load32At(this.checked(operand, 4, false));
    else {
      this.getOperand(operand, 4);
      this.code.i32WrapI64();
    }
  }

  load32At({ local, offset }: Access): void {
    this.code.localGet(local).i32Load(offset);
  }

  /** Stores the i32 local `value`. */
  store32At({ local, offset }: Access, value: number): void {
    this.code.localGet(local).localGet(value).i32Store(offset);
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

  /** An indirect jump goes to `next`: to be noted, if anyone wants to know. */
  noteTarget(): void {}

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
    this.#takeBack();
  }

  /**
   * Calls a helper that does something between the instruction, which is done, and the next: with all guest state in the
   * register file, also the budget, and rip at the next one. When it returns nonzero the run is left there, OFF_EXIT telling why.
   */
  callBehind(name: HelperName): void {
    const { code, insn } = this;
    this.writeBack();
    this.showBudget();
    code.i32Const(REGISTER_FILE);
    this.pushNextRip();
    code.i64Store(OFF_RIP).i32Const(helperId(name)).i32Const(0).call(FUNC_HELPER);
    const leaves = this.toTemp('i32');
    this.#takeBack();
    code.localGet(leaves).if();
    this.exit(EXIT_KIND_STOP, insn.rip + insn.length, this.remaining - 1);
    code.end();
  }

  /** Nothing that was in locals, or known, before a helper ran is so behind it. */
  #takeBack(): void {
    this.reload();
    this.flagOpKnown = -1;
    this.flagsChanged = 0;
    this.mxcsrChecked = false;
    this.narrow = 0;
    this.fresh = 0;
    this.accesses.meet(NOTHING_KNOWN);
  }
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
