/**
 * What lowerings are written against when they make a region: guest registers are locals, loaded where they are first used
 * and stored where the region is left (register-state.ts). Exits with the same way and the same registers to store share a
 * _stub_; stubs with the same way share its end.
 */

import { JUMP_CACHE, JUMP_CACHE_ENTRIES, REGISTER_FILE } from '../lvm/layout.ts';
import type { Code } from '../wasm/emitter.ts';
import { type Known, NOTHING_KNOWN } from './access.ts';
import { PART_A, PART_B, PART_OP, PART_RESULT } from './flags.ts';
import {
  EXIT_KIND_CALL,
  EXIT_KIND_RETURN,
  EXIT_KIND_SLOW,
  EXIT_KIND_STOP,
  FUNC_LOOKUP,
  FUNC_RESUME,
  LoweringContext,
  REGION_TYPE,
  SLOT_INTERPRET,
} from './lowering.ts';
import { flagParts, flagsSet, NONE, type RegisterSet, type RegisterState, stateOf } from './register-state.ts';
import {
  EXIT_BUDGET,
  EXIT_FETCH,
  OFF_BUDGET,
  OFF_BUDGET_FLOORS,
  OFF_EXIT,
  OFF_FLAG_A,
  OFF_FLAG_B,
  OFF_FLAG_OP,
  OFF_FLAG_RESULT,
  OFF_GPR,
  OFF_RIP,
} from './state.ts';
import { VectorLocals } from './vector-locals.ts';

/** What is known at the end of a block and holds in one that only it leads to. */
export interface PathState extends RegisterState {
  readonly flagOpKnown: number;
  readonly flagsChanged: number;
  readonly mxcsrChecked: boolean;
  readonly accesses: Known;
}

interface Stub {
  readonly kind: number;
  readonly dirty: RegisterSet;
}

/** Registers that must be loaded before an instruction because it writes them only perhaps; by its address. */
export type Preloads = Map<number, RegisterSet>;

export class RegionContext extends LoweringContext {
  /** An instruction turned out to need a preload: the region must be lowered again. */
  incomplete = false;
  readonly #entry: number;
  readonly #preloads: Preloads;
  /** General registers; XMM registers as exits see them, and as they are in a run. */
  #valid = 0;
  #dirty = 0;
  readonly #vectors: VectorLocals;
  readonly #runVectors: VectorLocals;
  #current: VectorLocals;
  readonly #stubs: Stub[] = [];
  readonly #stubNumbers = new Map<string, number>();
  /** The short form of an exit for the interpreter: see `leave`. */
  readonly #packed: number;

  constructor(code: Code, entry: number, isVector: (op: string) => boolean, preloads: Preloads) {
    super(code, false, isVector);
    this.#entry = entry;
    this.#preloads = preloads;
    this.#packed = code.local('i32');
    const isConditional = (): boolean => this.#isConditional;
    this.#vectors = new VectorLocals(code, null, isConditional);
    this.#runVectors = new VectorLocals(code, this.#vectors, isConditional);
    this.#current = this.#vectors;
  }

  // --- registers ---

  get #dirtyNow(): RegisterSet {
    return { ...this.#vectors.dirty, gpr: this.#dirty };
  }

  get #validNow(): RegisterSet {
    return { ...this.#vectors.valid, gpr: this.#valid };
  }

  get state(): PathState {
    return {
      valid: this.#validNow,
      dirty: this.#dirtyNow,
      flagOpKnown: this.flagOpKnown,
      flagsChanged: this.flagsChanged,
      mxcsrChecked: this.mxcsrChecked,
      accesses: this.accesses.known,
    };
  }

  set state({ valid, dirty, flagOpKnown, flagsChanged, mxcsrChecked, accesses }: PathState) {
    this.#valid = valid.gpr;
    this.#dirty = dirty.gpr;
    this.#vectors.valid = { ...valid };
    this.#vectors.dirty = { ...dirty };
    this.flagOpKnown = flagOpKnown;
    this.flagsChanged = flagsChanged;
    this.mxcsrChecked = mxcsrChecked;
    this.accesses.known = accesses;
  }

  /** Where several paths meet: what is valid and perhaps newer than the register file. */
  meet(valid: RegisterSet, dirty: RegisterSet, known: Known): void {
    this.accesses.meet(known);
    const accesses = this.accesses.known;
    this.state = { ...stateOf(valid, dirty), flagOpKnown: -1, flagsChanged: 0, mxcsrChecked: false, accesses };
  }

  /** Makes the registers be where they are planned to be on all paths that meet where this one goes. */
  settle({ valid, dirty }: RegisterState): void {
    // It ends here, perhaps inside of a branch.
    this.blockDepth = this.code.depth;
    this.#ensureGpr(valid.gpr);
    const vectors = this.#vectors;
    for (let i = 0; i < 16; i++) {
      const is = (set: number): boolean => ((set >> i) & 1) !== 0;
      if (is(dirty.zero)) {
        vectors.settleOnlyLow(i);
      } else if (is(dirty.low & dirty.xmm)) {
        vectors.settleHalves(i);
      } else if (is(dirty.low)) {
        vectors.settleLow(i);
        if (is(valid.xmm)) vectors.upper(i);
      } else {
        if (is(valid.xmm)) vectors.whole(i);
        if (is(valid.low)) vectors.low(i);
      }
    }
  }

  #ensureGpr(registers: number): void {
    this.#loadGpr(registers & ~this.#valid);
    this.#valid |= registers;
  }

  /** Before an instruction is lowered. */
  preload(): void {
    const needed = this.#preloads.get(this.insn.rip);
    if (needed === undefined) return;
    this.#ensureGpr(needed.gpr);
    for (let i = 0; i < 16; i++) if ((needed.xmm >> i) & 1) this.#vectors.preload(i);
  }

  get #isConditional(): boolean {
    return this.code.depth !== this.blockDepth;
  }

  /** On the path past this one these must have their old values where this one writes them. */
  #require(gpr: number, xmm: number): void {
    const needed = this.#preloads.get(this.insn.rip) ?? { ...NONE };
    needed.gpr |= gpr;
    needed.xmm |= xmm;
    this.#preloads.set(this.insn.rip, needed);
    this.incomplete = true;
  }

  protected override onGpr(index: number, read: boolean, write: boolean): void {
    this.#on(1 << index, read, write);
  }

  protected override onFlags(read: number, write: number): void {
    if (read !== 0) this.#on(flagsSet(read).gpr, true, false);
    if (write !== 0) this.#on(flagsSet(write).gpr, false, true);
  }

  #on(register: number, read: boolean, write: boolean): void {
    const missing = register & ~this.#valid;
    const conditional = this.#isConditional;
    if (missing !== 0 && conditional && write) this.#require(register, 0);
    if (missing !== 0 && read) this.#loadGpr(missing);
    if ((read && !conditional) || write) this.#valid |= register;
    if (write) this.#dirty |= register;
  }

  protected override wholeXmm(index: number): number {
    return this.#current.whole(index);
  }

  protected override setWholeXmm(index: number): void {
    if (this.#isConditional && !this.inRun && !this.#vectors.isPreloaded(index)) this.#require(0, 1 << index);
    this.#current.setWhole(index);
  }

  protected override pushLowHalf(index: number): void {
    this.#current.pushLowHalf(index);
  }

  protected override lowXmm(index: number): number {
    return this.#current.low(index);
  }

  protected override setLowXmm(index: number): void {
    if (this.#isConditional) super.setLowXmm(index);
    else this.#current.setLow(index);
  }

  protected override setLowOnlyXmm(index: number): void {
    if (this.#isConditional) super.setLowOnlyXmm(index);
    else this.#current.setLowOnly(index);
  }

  protected override setZeroXmm(index: number): void {
    if (this.#isConditional) super.setZeroXmm(index);
    else this.#current.clear(index);
  }

  protected override setCopyXmm(to: number, from: number, scalar: boolean): void {
    if (this.#isConditional) super.setCopyXmm(to, from, scalar);
    else this.#current.copy(to, from, scalar);
  }

  override beginRun(): void {
    super.beginRun();
    this.#current = this.#runVectors;
  }

  override endRun(): void {
    super.endRun();
    this.#runVectors.flush();
    this.#current = this.#vectors;
  }

  #loadGpr(gpr: number): void {
    const code = this.code;
    for (let i = 0; i < 16; i++) {
      if ((gpr >> i) & 1)
        code
          .i32Const(REGISTER_FILE)
          .i64Load(OFF_GPR + 8 * i)
          .localSet(this.gprLocal(i));
    }
    const parts = flagParts({ ...NONE, gpr });
    if (parts & PART_OP) code.i32Const(REGISTER_FILE).i32Load(OFF_FLAG_OP).localSet(this.flagOp);
    if (parts & PART_RESULT) code.i32Const(REGISTER_FILE).i64Load(OFF_FLAG_RESULT).localSet(this.flagResult);
    if (parts & PART_A) code.i32Const(REGISTER_FILE).i64Load(OFF_FLAG_A).localSet(this.flagA);
    if (parts & PART_B) code.i32Const(REGISTER_FILE).i64Load(OFF_FLAG_B).localSet(this.flagB);
  }

  #store(dirty: RegisterSet): void {
    const code = this.code;
    for (let i = 0; i < 16; i++) {
      if ((dirty.gpr >> i) & 1)
        code
          .i32Const(REGISTER_FILE)
          .localGet(this.gprLocal(i))
          .i64Store(OFF_GPR + 8 * i);
      this.#vectors.store(i, dirty);
    }
    const parts = flagParts(dirty);
    if (parts & PART_OP) code.i32Const(REGISTER_FILE).localGet(this.flagOp).i32Store(OFF_FLAG_OP);
    if (parts & PART_RESULT) code.i32Const(REGISTER_FILE).localGet(this.flagResult).i64Store(OFF_FLAG_RESULT);
    if (parts & PART_A) code.i32Const(REGISTER_FILE).localGet(this.flagA).i64Store(OFF_FLAG_A);
    if (parts & PART_B) code.i32Const(REGISTER_FILE).localGet(this.flagB).i64Store(OFF_FLAG_B);
  }

  #storeBudget(): void {
    this.code.i32Const(REGISTER_FILE).localGet(this.budget).i64Store(OFF_BUDGET);
  }

  loadBudget(): void {
    this.code.i32Const(REGISTER_FILE).i64Load(OFF_BUDGET).localSet(this.budget);
  }

  override writeBack(): void {
    this.#store(this.#dirtyNow);
    this.#storeBudget();
  }

  override reload(): void {
    this.loadBudget();
    if (this.code.depth !== this.blockDepth) {
      // The other path did not come here: what it has in locals is to be there on this one, too.
      this.#loadGpr(this.#valid);
      for (let i = 0; i < 16; i++) this.#vectors.load(i, this.#vectors.valid);
      return;
    }
    this.meet(NONE, NONE, NOTHING_KNOWN);
  }

  // --- accesses ---

  protected override failedCheck(): void {
    this.exit(EXIT_KIND_SLOW, this.insn.rip, this.remaining);
  }

  protected override misaligned(): void {
    this.exit(EXIT_KIND_SLOW, this.insn.rip, this.remaining);
  }

  // --- exits ---

  /**
   * Most exits are for the interpreter, and few are ever taken: where to go on and how many instructions are not executed
   * is one number there.
   */
  protected override leave(kind: number, rip: number, remaining: number): void {
    const distance = rip - this.#entry;
    if (kind === EXIT_KIND_SLOW && distance === (distance << 9) >> 9 && remaining < 1 << 9) {
      this.code.i32Const((distance << 9) | remaining).localSet(this.#packed);
    } else {
      this.code.i64Const(rip).localSet(this.next);
      if (kind === EXIT_KIND_SLOW) kind = EXIT_KIND_FAR_SLOW;
      if (remaining > 0) this.#giveBack(remaining);
    }
    this.#toStub(kind);
  }

  override exitDynamic(kind: number, remaining: number): void {
    if (remaining > 0) this.#giveBack(remaining);
    this.#toStub(kind);
  }

  #giveBack(instructions: number): void {
    this.code.localGet(this.budget).i64Const(instructions).i64Add().localSet(this.budget);
  }

  /** Stubs stand around the region's code, the first one innermost: their number is not known yet. */
  #toStub(kind: number): void {
    const dirty = this.#dirtyNow;
    const key = `${kind} ${dirty.gpr} ${dirty.xmm} ${dirty.low} ${dirty.zero}`;
    let stub = this.#stubNumbers.get(key);
    if (stub === undefined) {
      stub = this.#stubs.push({ kind, dirty }) - 1;
      this.#stubNumbers.set(key, stub);
    }
    this.code.br(this.code.depth + stub);
  }

  /** Ends the function: opens the blocks of the stubs at `start`, where the region's code begins, and writes the stubs. */
  finish(start: number): void {
    const code = this.code;
    const kinds = [...new Set(this.#stubs.map(({ kind }) => kind))];
    const count = this.#stubs.length;
    code.openBlocks(start, count + kinds.length);
    this.#stubs.forEach(({ kind, dirty }, i) => {
      code.end();
      this.#store(dirty);
      // The ends stand behind all stubs, in the order of `kinds`.
      code.br(count - 1 - i + kinds.indexOf(kind));
    });
    for (const kind of kinds) {
      code.end();
      this.#way(kind);
    }
    code.end();
  }

  /** How an exit goes on, all registers being stored. */
  #way(kind: number): void {
    const code = this.code;
    if (kind === EXIT_KIND_SLOW) {
      code.localGet(this.budget).localGet(this.#packed).i32Const(511).i32And().i64ExtendI32U().i64Add();
      code.localSet(this.budget);
      this.#storeBudget();
      code.localGet(this.depthParam);
      code.localGet(this.#packed).i32Const(9).i32ShrS().i32Const(this.#entry).i32Add().returnCall(FUNC_RESUME);
      return;
    }
    this.#storeBudget();
    if (kind === EXIT_KIND_FAR_SLOW) {
      code.localGet(this.depthParam).localGet(this.next).i32WrapI64().returnCall(FUNC_RESUME);
      return;
    }
    if (kind === EXIT_KIND_STOP) {
      this.#storeRip();
      code.i32Const(0).return();
      return;
    }
    code.localGet(this.budget).i32Const(0);
    code
      .i64Load(REGISTER_FILE + OFF_BUDGET_FLOORS + 8 * kind)
      .i64LeS()
      .ifRarely();
    this.#stop(EXIT_BUDGET);
    code.end();
    // One above 4 GiB does not come here (lower-control.ts). At address 0 there is nothing to fetch.
    code.localGet(this.next).i64Eqz().ifRarely();
    this.#stop(EXIT_FETCH);
    code.end();
    const rip = this.#packed;
    code.localGet(this.next).i32WrapI64().localSet(rip);
    if (kind === EXIT_KIND_RETURN || kind === EXIT_KIND_CALL) {
      code.localGet(rip).return();
      return;
    }
    code.localGet(this.depthParam).localGet(rip);
    this.pushSlot(rip);
    code.returnCallIndirect(REGION_TYPE);
  }

  #storeRip(): void {
    this.code.i32Const(REGISTER_FILE).localGet(this.next).i64Store(OFF_RIP);
  }

  #stop(reason: number): void {
    this.#storeRip();
    this.code.i32Const(REGISTER_FILE).i32Const(reason).i32Store(OFF_EXIT).i32Const(0).return();
  }

  /** What FUNC_LOOKUP does, in place where the jump cache knows. */
  override pushSlot(rip: number): void {
    const code = this.code;
    const entry = code.local('i32');
    code.localGet(rip).localGet(rip).i32Const(16).i32ShrU().i32Xor();
    code
      .i32Const(JUMP_CACHE_ENTRIES - 1)
      .i32And()
      .i32Const(3)
      .i32Shl()
      .localTee(entry);
    code.i32Load(JUMP_CACHE, 2).localGet(rip).i32Eq().ifMostly('i32');
    code
      .i32Const(SLOT_INTERPRET)
      .localGet(entry)
      .i32Load(JUMP_CACHE + 4, 2)
      .localTee(entry);
    code.localGet(entry).i32Const(0).i32LtS().select();
    code.else();
    code.localGet(rip).call(FUNC_LOOKUP).end();
  }
}

/** EXIT_KIND_SLOW for what is too far away to be one number. */
const EXIT_KIND_FAR_SLOW = EXIT_KIND_STOP + 1;
