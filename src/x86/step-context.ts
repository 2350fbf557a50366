/**
 * What lowerings are written against when they make a step function: one that runs one instruction of a shape from
 * its record. All guest state is in the register file before and after; a failed check is repaired in place (`fix`).
 */

import { REGISTER_FILE } from '../lvm/layout.ts';
import type { Code } from '../wasm/emitter.ts';
import type { Access } from './access.ts';
import { EXIT_KIND_CHAIN, EXIT_KIND_FORWARD, EXIT_KIND_STOP, FUNC_FIX } from './calling.ts';
import {
  type ImmediateOperand,
  type Instruction,
  isFar,
  type MemoryOperand,
  type TargetOperand,
} from './instruction.ts';
import { LoweringContext } from './lowering.ts';
import { REC_DISP, REC_GPR, REC_IMM, REC_NEXT, REC_RIP, REC_XMM, WAY_UNDONE } from './record.ts';
import { directionOf, FIRST_PARAMETER, isAbsolute, isRecorded, PARAMETERS } from './shape.ts';
import {
  OFF_BUDGET,
  OFF_EXIT_ADDRESS,
  OFF_FLAG_A,
  OFF_FLAG_B,
  OFF_FLAG_OP,
  OFF_FLAG_RESULT,
  OFF_FS_BASE,
  OFF_GPR,
  OFF_GS_BASE,
  OFF_RIP,
  OFF_XMM,
  VECTOR_GP,
} from './state.ts';
import type { HelperName } from './support.ts';
import { addUsage, covers, noUsage, type Usage } from './usage.ts';

/** What a step function takes from the register file and gives back. */
export interface StepUsage {
  /** `…Used`: to be loaded. */
  readonly registers: Usage;
  flagsRead: boolean;
  flagsWritten: boolean;
  budget: boolean;
}

export function noStepUsage(): StepUsage {
  return { registers: noUsage(), flagsRead: false, flagsWritten: false, budget: false };
}

/** Adds `more` to `to`; false when there was nothing to add. */
export function addStepUsage(to: StepUsage, more: StepUsage): boolean {
  const isNew =
    !covers(to.registers, more.registers) ||
    (more.flagsRead && !to.flagsRead) ||
    (more.flagsWritten && !to.flagsWritten) ||
    (more.budget && !to.budget);
  addUsage(to.registers, more.registers);
  to.flagsRead ||= more.flagsRead;
  to.flagsWritten ||= more.flagsWritten;
  to.budget ||= more.budget;
  return isNew;
}

export class StepContext extends LoweringContext {
  readonly #expected: StepUsage;
  readonly #seen = noStepUsage();
  readonly #anyImmediate: boolean;
  #callsHelper = false;
  /** The wasm block whose end is the exit path. */
  exitBlock = 0;
  readonly exitKind: number;
  /** The function's first parameter. */
  readonly #record = 0;
  /** The locals of XMM registers; beyond 16 those that the record names. */
  readonly #xmm: number[] = new Array(32).fill(-1);

  /** `anyImmediate`: the immediate is in the record. */
  constructor(code: Code, expected: StepUsage, insn: Instruction, anyImmediate: boolean) {
    super(code, true, () => false);
    this.exitKind = code.local('i32');
    this.#expected = expected;
    this.#anyImmediate = anyImmediate;
    this.begin(insn);
    this.remaining = 1;
  }

  /** What was touched; what was not expected must be expected the next time. */
  get seen(): StepUsage {
    const { registers } = this.#seen;
    if (this.#callsHelper) {
      // Before the call everything is stored, also what is written only behind it.
      registers.gprUsed |= registers.gprWritten;
      registers.xmmUsed |= registers.xmmWritten;
      this.#seen.flagsRead = true;
    }
    return this.#seen;
  }

  /** In conditional code a value that is written may also stay. */
  get #isConditional(): boolean {
    return this.code.depth > this.blockDepth;
  }

  protected override onGpr(index: number, read: boolean, write: boolean): void {
    const { registers } = this.#seen;
    if (read || this.#isConditional) registers.gprUsed |= 1 << index;
    if (write) registers.gprWritten |= 1 << index;
  }

  #xmmLocal(index: number): number {
    if (this.#xmm[index] === -1) this.#xmm[index] = this.code.local('v128');
    return this.#xmm[index]!;
  }

  protected override wholeXmm(index: number): number {
    this.#seen.registers.xmmUsed |= 1 << index;
    return this.#xmmLocal(index);
  }

  protected override setWholeXmm(index: number): void {
    const { registers } = this.#seen;
    if (this.#isConditional) registers.xmmUsed |= 1 << index;
    registers.xmmWritten |= 1 << index;
    this.code.localSet(this.#xmmLocal(index));
  }

  protected override onFlags(read: number, write: number): void {
    // What an instruction has set itself it need not load.
    if ((read !== 0 && !this.#seen.flagsWritten) || this.#isConditional) this.#seen.flagsRead = true;
    if (write !== 0) this.#seen.flagsWritten = true;
  }

  override get budget(): number {
    this.#seen.budget = true;
    return super.budget;
  }

  // --- the record ---

  #field32(offset: number): Code {
    return this.code.localGet(this.#record).i64Load32U(offset);
  }

  override pushRip(): void {
    this.#field32(REC_RIP);
  }

  override pushNextRip(): void {
    this.#field32(REC_NEXT);
  }

  override pushTarget(target: TargetOperand): void {
    if (isFar(target)) super.pushTarget(target);
    else this.#field32(REC_DISP);
  }

  override pushImmediate(operand: ImmediateOperand, size: number): void {
    if (!this.#anyImmediate) {
      super.pushImmediate(operand, size);
      return;
    }
    this.code.localGet(this.#record).i64Load(REC_IMM);
    this.truncate(size);
  }

  override address(mem: MemoryOperand, segment = true): void {
    const code = this.code;
    let any = false;
    const add = (): void => {
      if (any) code.i64Add();
      any = true;
    };
    if (mem.base >= 0) {
      code.localGet(this.gpr(mem.base));
      add();
    }
    if (mem.index >= 0) {
      code.localGet(this.gpr(mem.index));
      if (mem.scale > 1) code.i64Const(mem.scale === 2 ? 1 : mem.scale === 4 ? 2 : 3).i64Shl();
      add();
    }
    if (!isRecorded(mem)) {
      code.i64Const(mem.disp);
      add();
    } else if (isAbsolute(mem) && mem.disp >= 0) {
      this.#field32(REC_DISP);
      add();
    } else if (mem.disp !== 0) {
      code.localGet(this.#record).i64Load32S(REC_DISP);
      add();
    }
    if (mem.addressSize === 4) this.truncate(4);
    if (segment && mem.segment !== 'none') {
      code
        .i32Const(REGISTER_FILE)
        .i64Load(mem.segment === 'fs' ? OFF_FS_BASE : OFF_GS_BASE)
        .i64Add();
    }
  }

  // --- memory ---

  override checked(mem: MemoryOperand, size: number, write: boolean): Access {
    this.address(mem);
    return this.checkedAddress(size, write);
  }

  override checkedAt(register: number, offset: number, size: number, write: boolean): Access {
    this.code.localGet(this.gpr(register));
    if (offset !== 0) this.code.i64Const(offset).i64Add();
    return this.checkedAddress(size, write);
  }

  override checkedAligned(mem: MemoryOperand, write: boolean): Access {
    const code = this.code;
    this.address(mem);
    const wide = this.toTemp('i64');
    code.localGet(wide).i32WrapI64().i32Const(15).i32And().if();
    this.misaligned();
    code.end();
    code.localGet(wide);
    return this.checkedAddress(16, write);
  }

  protected override misaligned(): void {
    this.exception(VECTOR_GP);
  }

  protected override failedCheck(local: number, wide: number, size: number, write: boolean): void {
    const code = this.code.i32Const(REGISTER_FILE);
    if (wide >= 0) code.localGet(wide);
    else code.localGet(local).i64ExtendI32U();
    code.i64Store(OFF_EXIT_ADDRESS);
    code.i32Const(size | (write ? 0x1_0000 : 0)).call(FUNC_FIX);
    code.if();
    this.exit(EXIT_KIND_STOP, this.insn.rip, this.remaining);
    code.end();
  }

  override callHelper(name: HelperName, arg = -1): void {
    this.#callsHelper = true;
    super.callHelper(name, arg);
  }

  override callBehind(name: HelperName): void {
    this.#callsHelper = true;
    super.callBehind(name);
  }

  override showBudget(): void {
    // It is in the register file.
  }

  // --- leaving ---

  /** To the instruction itself or the next one. */
  protected override leave(kind: number, rip: number, remaining: number): void {
    if (kind === EXIT_KIND_STOP && rip === this.insn.rip && remaining === 1) {
      // Nothing has happened yet.
      this.code.i32Const(WAY_UNDONE).return();
      return;
    }
    if (rip === this.insn.rip) this.pushRip();
    else if (rip === this.insn.rip + this.insn.length) this.pushNextRip();
    else throw new Error('a step goes nowhere else');
    this.code.localSet(this.next);
    this.exitDynamic(kind, remaining);
  }

  override exitDynamic(kind: number, remaining: number): void {
    const code = this.code;
    if (remaining > 0) code.localGet(this.budget).i64Const(remaining).i64Add().localSet(this.budget);
    code.i32Const(kind).localSet(this.exitKind).brTo(this.exitBlock);
  }

  /** Takes a direct branch. */
  jump(target: TargetOperand): void {
    this.pushTarget(target);
    this.code.localSet(this.next);
    this.exitDynamic(directionOf(this.insn, target.address) === 'back' ? EXIT_KIND_CHAIN : EXIT_KIND_FORWARD, 0);
  }

  /** What stands at the end of `exitBlock`: how to go on, plus 1. */
  exitPath(): void {
    const code = this.code;
    this.writeBack();
    code.i32Const(REGISTER_FILE).localGet(this.next).i64Store(OFF_RIP);
    code.localGet(this.exitKind).i32Const(1).i32Add();
  }

  override writeBack(): void {
    const { registers, flagsWritten, budget } = this.#expected;
    this.#each(registers.gprWritten, registers.xmmWritten, (isXmm, push, local, offset) => {
      push();
      this.code.localGet(local);
      if (isXmm) this.code.v128Store(offset);
      else this.code.i64Store(offset);
    });
    const code = this.code;
    if (flagsWritten) {
      code.i32Const(REGISTER_FILE).localGet(this.flagOp).i32Store(OFF_FLAG_OP);
      code.i32Const(REGISTER_FILE).localGet(this.flagResult).i64Store(OFF_FLAG_RESULT);
      code.i32Const(REGISTER_FILE).localGet(this.flagA).i64Store(OFF_FLAG_A);
      code.i32Const(REGISTER_FILE).localGet(this.flagB).i64Store(OFF_FLAG_B);
    }
    if (budget) code.i32Const(REGISTER_FILE).localGet(super.budget).i64Store(OFF_BUDGET);
  }

  override reload(): void {
    const { registers, flagsRead, budget } = this.#expected;
    this.#each(registers.gprUsed, registers.xmmUsed, (isXmm, push, local, offset) => {
      push();
      if (isXmm) this.code.v128Load(offset);
      else this.code.i64Load(offset);
      this.code.localSet(local);
    });
    const code = this.code;
    if (flagsRead) {
      code.i32Const(REGISTER_FILE).i32Load(OFF_FLAG_OP).localSet(this.flagOp);
      code.i32Const(REGISTER_FILE).i64Load(OFF_FLAG_RESULT).localSet(this.flagResult);
      code.i32Const(REGISTER_FILE).i64Load(OFF_FLAG_A).localSet(this.flagA);
      code.i32Const(REGISTER_FILE).i64Load(OFF_FLAG_B).localSet(this.flagB);
    }
    if (budget) code.i32Const(REGISTER_FILE).i64Load(OFF_BUDGET).localSet(super.budget);
  }

  /** Every register of the masks: `push` pushes where in the register file it is, less the offset. */
  #each(gprs: number, xmms: number, emit: (isXmm: boolean, push: () => void, local: number, offset: number) => void) {
    for (let i = 0; i < FIRST_PARAMETER + PARAMETERS; i++) {
      const parameter = i - FIRST_PARAMETER;
      const fromRecord = (field: number) => () => this.code.localGet(this.#record).i32Load8U(field + parameter);
      const fixed = () => this.code.i32Const(REGISTER_FILE);
      if ((gprs >> i) & 1) {
        if (parameter >= 0) emit(false, fromRecord(REC_GPR), this.gprLocal(i), REGISTER_FILE + OFF_GPR);
        else emit(false, fixed, this.gprLocal(i), OFF_GPR + 8 * i);
      }
      if ((xmms >> i) & 1) {
        if (parameter >= 0) emit(true, fromRecord(REC_XMM), this.#xmmLocal(i), REGISTER_FILE + OFF_XMM);
        else emit(true, fixed, this.#xmmLocal(i), OFF_XMM + 16 * i);
      }
    }
  }
}
