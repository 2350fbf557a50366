/**
 * What lowerings are written against when they make a region: guest registers are locals, loaded where they are first used
 * and stored where the region is left (register-state.ts). rsp and the budget go from region to region as parameters and
 * results, and are in the register file only for helpers and JavaScript. Exits with the same way and the same registers to
 * store share a _stub_; stubs with the same way share its end.
 */

import { JUMP_CACHE, JUMP_CACHE_ENTRIES, REGISTER_FILE } from '../lvm/layout.ts';
import type { Code } from '../wasm/emitter.ts';
import { type Known, NOTHING_KNOWN } from './access.ts';
import {
  EXIT_KIND_CHAIN,
  EXIT_KIND_FORWARD,
  EXIT_KIND_RETURN,
  EXIT_KIND_SLOW,
  EXIT_KIND_STOP,
  FUNC_LOOKUP,
  FUNC_NOTE_JUMP,
  FUNC_RESUME,
  PARAM_BUDGET,
  PARAM_DEPTH,
  PARAM_RSP,
  REGION_TYPE,
} from './calling.ts';
import { ALL_PARTS, PART_A, PART_B, PART_OP, PART_RESULT } from './flags.ts';
import type { Operand } from './instruction.ts';
import { LoweringContext } from './lowering.ts';
import {
  flagParts,
  flagsSet,
  KEPT_GPRS,
  NONE,
  type RegisterSet,
  type RegisterState,
  stateOf,
} from './register-state.ts';
import {
  EXIT_BUDGET,
  OFF_BUDGET,
  OFF_BUDGET_FLOORS,
  OFF_EXIT,
  OFF_FLAG_A,
  OFF_FLAG_B,
  OFF_FLAG_OP,
  OFF_FLAG_RESULT,
  OFF_GPR,
  OFF_NEXT,
  OFF_RIP,
  RSP,
} from './state.ts';
import { VectorLocals } from './vector-locals.ts';

/** What is known at the end of a block and holds in one that only it leads to. */
export interface PathState extends RegisterState {
  readonly flagOpKnown: number;
  readonly flagsChanged: number;
  readonly mxcsrChecked: boolean;
  readonly narrow: number;
  readonly fresh: number;
  readonly accesses: Known;
}

interface Stub {
  readonly dirty: RegisterSet;
  /** Number of its end. */
  readonly way: number;
}

/** `toSelf`: to the region's own entry, without a look-up. `returns`: of the context. */
interface Way {
  readonly kind: number;
  readonly toSelf: boolean;
  readonly returns: readonly number[];
}

/** Registers that must be loaded before an instruction because it writes them only perhaps; by its address. */
export type Preloads = Map<number, RegisterSet>;

export class RegionContext extends LoweringContext {
  /** An instruction turned out to need a preload: the region must be lowered again. */
  incomplete = false;
  /** Where the functions return to that are part of the region here (inline.ts), the innermost first. */
  returns: readonly number[] = [];
  readonly #entry: number;
  /** The entry, if it can be called without a look-up; else -1. */
  readonly #self: number;
  readonly #preloads: Preloads;
  /** General registers; XMM registers as exits see them, and as they are in a run. */
  #valid = 0;
  #dirty = 0;
  readonly #vectors: VectorLocals;
  readonly #runVectors: VectorLocals;
  #current: VectorLocals;
  readonly #notes: boolean;
  readonly #stubs: Stub[] = [];
  readonly #stubNumbers = new Map<string, number>();
  readonly #ways: Way[] = [];
  /** The short form of an exit for the interpreter: see `leave`. */
  readonly #packed: number;
  /** An entry of the jump cache. */
  readonly #cached: number;

  /** `notes`: where indirect jumps and calls go. `self`: the region can call itself without a look-up. */
  constructor(
    code: Code,
    entry: number,
    isVector: (op: string) => boolean,
    preloads: Preloads,
    self: boolean,
    notes: boolean,
  ) {
    super(code, false, isVector, PARAM_BUDGET, PARAM_RSP);
    this.#entry = entry;
    this.#preloads = preloads;
    this.#self = self ? entry : -1;
    this.#notes = notes;
    this.#packed = code.local('i32');
    this.#cached = code.local('i64');
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
      narrow: this.narrow,
      fresh: this.fresh,
      accesses: this.accesses.known,
    };
  }

  set state({ valid, dirty, flagOpKnown, flagsChanged, mxcsrChecked, narrow, fresh, accesses }: PathState) {
    this.#valid = valid.gpr;
    this.#dirty = dirty.gpr;
    this.#vectors.valid = { ...valid };
    this.#vectors.dirty = { ...dirty };
    this.flagOpKnown = flagOpKnown;
    this.flagsChanged = flagsChanged;
    this.mxcsrChecked = mxcsrChecked;
    this.narrow = narrow;
    this.fresh = fresh;
    this.accesses.known = accesses;
  }

  /** Where several paths meet: what is valid and perhaps newer than the register file; registers that are below 2^32. */
  meet(valid: RegisterSet, dirty: RegisterSet, known: Known, narrow: number, loop = false): void {
    this.accesses.meet(known, loop);
    const accesses = this.accesses.known;
    const flags = { flagOpKnown: -1, flagsChanged: 0, mxcsrChecked: false };
    this.state = { ...stateOf(valid, dirty), ...flags, narrow, fresh: 0, accesses };
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
    this.#on((1 << index) & KEPT_GPRS, read, write);
  }

  protected override onFlags(read: number, write: number): void {
    if (read !== 0) this.#on(flagsSet(read).gpr, true, false);
    if (write !== 0) this.#on(flagsSet(write).gpr, false, true);
  }

  protected override onAllFlags(parts: number): void {
    this.onFlags(0, parts);
    if (this.#isConditional) return;
    // What is left of older flags is not kept for exits.
    const others = flagsSet(ALL_PARTS & ~parts).gpr;
    this.#valid &= ~others;
    this.#dirty &= ~others;
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

  override writeBack(): void {
    this.#store(this.#dirtyNow);
    this.code
      .i32Const(REGISTER_FILE)
      .localGet(PARAM_RSP)
      .i64Store(OFF_GPR + 8 * RSP);
  }

  override showBudget(): void {
    this.code.i32Const(REGISTER_FILE).localGet(PARAM_BUDGET).i64Store(OFF_BUDGET);
  }

  override reload(): void {
    this.code
      .i32Const(REGISTER_FILE)
      .i64Load(OFF_GPR + 8 * RSP)
      .localSet(PARAM_RSP);
    if (this.code.depth !== this.blockDepth) {
      // The other path did not come here: what it has in locals is to be there on this one, too.
      this.#loadGpr(this.#valid);
      for (let i = 0; i < 16; i++) this.#vectors.load(i, this.#vectors.valid);
      return;
    }
    this.meet(NONE, NONE, NOTHING_KNOWN, 0);
  }

  // --- accesses ---

  protected override failedCheck(): void {
    this.exit(EXIT_KIND_SLOW, this.insn.rip, this.remaining);
  }

  protected override misaligned(): void {
    this.exit(EXIT_KIND_SLOW, this.insn.rip, this.remaining);
  }

  // --- calls ---

  /**
   * Calls the guest's function at `next`, that `target` names, the return address being on the stack: a wasm call, which gives back the guest address
   * where control goes on. If that is our return address the registers are taken back and the region goes on; otherwise
   * (longjmp, an exit, a stack switch) the address is passed on to our own caller. No guest state is on the wasm stack.
   */
  call(target: Operand, returnTo: number): void {
    this.stopIfUsedUp();
    this.#store(this.#dirtyNow);
    this.#pushParameters(1);
    this.#callRegion(target.kind === 'target' && target.address === this.#self);
    this.#takeReturn(returnTo);
    this.meet(NONE, NONE, NOTHING_KNOWN, 0);
  }

  /** What a region takes, `deeper` calls deeper. */
  #pushParameters(deeper: number): void {
    const code = this.code.localGet(PARAM_DEPTH);
    if (deeper > 0) code.i32Const(deeper).i32Add();
    code.localGet(PARAM_BUDGET).localGet(PARAM_RSP);
  }

  /** Calls the region at `next`, or this one. */
  #callRegion(self: boolean): void {
    if (self) {
      this.code.callLater(this.#entry);
      return;
    }
    this.#pushSlot();
    this.code.callIndirect(REGION_TYPE);
  }

  /** A region has returned. Where that is not to `returnTo` this one returns, too. */
  #takeReturn(returnTo: number): void {
    const code = this.code;
    code.localSet(PARAM_RSP).localSet(PARAM_BUDGET);
    code.i32Const(REGISTER_FILE).i32Load(OFF_NEXT).i32Const(returnTo).i32Ne().ifRarely();
    code.localGet(PARAM_BUDGET).localGet(PARAM_RSP).return();
    code.end();
  }

  // --- indirect jumps ---

  /** The local `next` from the register file, where it is when a region is called through the table. */
  loadNext(): void {
    this.code.i32Const(REGISTER_FILE).i64Load32U(OFF_NEXT).localSet(this.next);
  }

  pushNext(): Code {
    return this.code.localGet(this.next).i32WrapI64();
  }

  /** Puts all registers into the register file, whose are newer then. */
  storeAll(): void {
    this.#store(this.#dirtyNow);
    this.meet(NONE, NONE, NOTHING_KNOWN, 0);
  }

  override noteTarget(): void {
    if (this.#notes) this.pushNext().i32Const(this.insn.rip).call(FUNC_NOTE_JUMP);
  }

  // --- exits ---

  /** Stops where the budget is used up, before control goes to `next`. */
  stopIfUsedUp(): void {
    this.#ifUsedUp();
    this.exitDynamic(EXIT_KIND_STOP, 0);
    this.code.end();
  }

  /** Stops where the budget is used up, before control goes to `rip`. */
  checkBudget(rip: number): void {
    this.#ifUsedUp();
    this.exit(EXIT_KIND_STOP, rip, 0);
    this.code.end();
  }

  /** Opens an `if` for what stops the run. */
  #ifUsedUp(): void {
    this.code.localGet(PARAM_BUDGET).i64Const(0).i64LeS().ifRarely();
    this.code.i32Const(REGISTER_FILE).i32Const(EXIT_BUDGET).i32Store(OFF_EXIT);
  }

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
    this.#toStub(kind, (kind === EXIT_KIND_CHAIN || kind === EXIT_KIND_FORWARD) && rip === this.#self);
  }

  override exitDynamic(kind: number, remaining: number): void {
    if (remaining > 0) this.#giveBack(remaining);
    this.#toStub(kind);
  }

  #giveBack(instructions: number): void {
    this.code.localGet(this.budget).i64Const(instructions).i64Add().localSet(this.budget);
  }

  /** Stubs stand around the region's code, the first one innermost: their number is not known yet. */
  #toStub(kind: number, toSelf = false): void {
    const dirty = this.#dirtyNow;
    const returns = kind === EXIT_KIND_RETURN || kind === EXIT_KIND_STOP ? [] : this.returns;
    const key = `${kind} ${toSelf} ${returns} ${dirty.gpr} ${dirty.xmm} ${dirty.low} ${dirty.zero}`;
    let stub = this.#stubNumbers.get(key);
    if (stub === undefined) {
      let way = this.#ways.findIndex((known) => {
        return known.kind === kind && known.toSelf === toSelf && `${known.returns}` === `${returns}`;
      });
      if (way < 0) way = this.#ways.push({ kind, toSelf, returns }) - 1;
      stub = this.#stubs.push({ dirty, way }) - 1;
      this.#stubNumbers.set(key, stub);
    }
    this.code.br(this.code.depth + stub);
  }

  /** Ends the function: opens the blocks of the stubs at `start`, where the region's code begins, and writes the stubs. */
  finish(start: number): void {
    const code = this.code;
    const count = this.#stubs.length;
    code.openBlocks(start, count + this.#ways.length);
    this.#stubs.forEach(({ dirty, way }, i) => {
      code.end();
      this.#store(dirty);
      // The ends stand behind all stubs.
      code.br(count - 1 - i + way);
    });
    for (const way of this.#ways) {
      code.end();
      this.#way(way);
    }
    code.end();
  }

  /** How an exit goes on, all registers but rsp being stored. */
  #way({ kind, toSelf, returns }: Way): void {
    const code = this.code;
    if (kind === EXIT_KIND_STOP) {
      this.#stop();
      return;
    }
    if (kind === EXIT_KIND_SLOW || kind === EXIT_KIND_FAR_SLOW) {
      if (kind === EXIT_KIND_SLOW) this.#unpack();
      else this.#storeNext();
      if (returns.length === 0) {
        this.#pushParameters(0);
        code.returnCall(FUNC_RESUME);
        return;
      }
      this.#pushParameters(1);
      code.call(FUNC_RESUME);
      this.#returnThrough(returns);
      return;
    }
    if (kind === EXIT_KIND_CHAIN) this.#ifUsedUp();
    else {
      code.localGet(PARAM_BUDGET).i32Const(REGISTER_FILE);
      code
        .i64Load(OFF_BUDGET_FLOORS + 8 * kind)
        .i64LeS()
        .ifRarely();
      code.i32Const(REGISTER_FILE).i32Const(EXIT_BUDGET).i32Store(OFF_EXIT);
    }
    this.#stop();
    code.end();
    if (kind === EXIT_KIND_RETURN) {
      this.#storeNext();
      code.localGet(PARAM_BUDGET).localGet(PARAM_RSP).return();
      return;
    }
    if (returns.length > 0) {
      this.#pushParameters(1);
      this.#callRegion(toSelf);
      this.#returnThrough(returns);
      return;
    }
    this.#goOn(toSelf);
  }

  /** Tail-calls the region at `next`, or this one. */
  #goOn(self: boolean): void {
    const code = this.code;
    this.#pushParameters(0);
    if (self) {
      code.returnCallLater(this.#entry);
      return;
    }
    this.#pushSlot();
    code.returnCallIndirect(REGION_TYPE);
  }

  /**
   * What was left in the middle of a function that is part of the region has been called instead: when it has returned, and those
   * around it have, the region is left for what called the outermost.
   */
  #returnThrough(returns: readonly number[]): void {
    const code = this.code;
    returns.forEach((returnTo, i) => {
      if (i > 0) {
        this.#pushParameters(1);
        this.#callRegion(false);
      }
      this.#takeReturn(returnTo);
      code.i64Const(returnTo).localSet(this.next);
    });
    this.#goOn(false);
  }

  /** The short form of an exit (`leave`): counts what is not executed, and stores where to go on. */
  #unpack(): void {
    const code = this.code;
    code.localGet(PARAM_BUDGET).localGet(this.#packed).i32Const(511).i32And().i64ExtendI32U().i64Add();
    code.localSet(PARAM_BUDGET);
    code.i32Const(REGISTER_FILE);
    code.localGet(this.#packed).i32Const(9).i32ShrS().i32Const(this.#entry).i32Add().i32Store(OFF_NEXT);
  }

  /** Leaves for JavaScript, which is told why. */
  #stop(): void {
    const code = this.code;
    code.i32Const(REGISTER_FILE).localGet(this.next).i64Store(OFF_RIP);
    code.i32Const(REGISTER_FILE).i32Const(0).i32Store(OFF_NEXT);
    code.localGet(PARAM_BUDGET).localGet(PARAM_RSP).return();
  }

  #storeNext(): void {
    this.code.i32Const(REGISTER_FILE).localGet(this.next).i64Store32(OFF_NEXT);
  }

  /** Pushes the table slot for `next`, and stores that: what FUNC_LOOKUP does, in place where the jump cache knows. */
  #pushSlot(): void {
    const code = this.code;
    const rip = this.#packed;
    this.#storeNext();
    code.localGet(this.next).i32WrapI64().localTee(rip).localGet(rip).i32Const(16).i32ShrU().i32Xor();
    code
      .i32Const(JUMP_CACHE_ENTRIES - 1)
      .i32And()
      .i32Const(3)
      .i32Shl();
    code.i64Load(JUMP_CACHE, 3).localTee(this.#cached);
    code.i32WrapI64().localGet(rip).i32Eq().ifMostly('i32');
    code.localGet(this.#cached).i64Const(32).i64ShrU().i32WrapI64();
    code.else();
    code.localGet(rip).call(FUNC_LOOKUP).end();
  }
}

/** EXIT_KIND_SLOW for what is too far away to be one number. */
const EXIT_KIND_FAR_SLOW = EXIT_KIND_STOP + 1;
