/**
 * A region becomes a WebAssembly function of REGION_TYPE. Where calls are nested too deep already it does nothing but give
 * back its address, to unwind to the dispatcher. V8 compiles a function when it is first called, and so it can be made to
 * (VirtualCpu.warm).
 *
 * Where a run may stop for its budget is part of what the guest is, not of how it was translated: before the target of a
 * taken branch that does not go forward, of a call or an indirect jump, and between the iterations of a REP instruction;
 * long overdue, also before that of a return (where it goes on, no region begins otherwise). So neither the shapes of regions nor
 * what is translated and what interpreted shows in a guest's state.
 * Only an exact run stops anywhere (it goes on one instruction at a time).
 *
 * Which registers are in locals where paths meet is planned before (register-plan.ts), from what instructions like these have
 * touched so far (usage.ts); where that was too little the region is lowered again. Control flow is structured (structure.ts);
 * irreducible graphs get a loop with br_table.
 */

import { REGISTER_FILE } from '../lvm/layout.ts';
import { Code, type FunctionBody } from '../wasm/code.ts';
import { type Known, NOTHING_KNOWN, RegionAccesses } from './access.ts';
import {
  DEPTH_LIMIT,
  EXIT_KIND_CHAIN,
  EXIT_KIND_FORWARD,
  EXIT_KIND_SLOW,
  PARAM_BUDGET,
  PARAM_DEPTH,
  PARAM_RSP,
  REGION_PARAMETERS,
} from './calling.ts';
import { type Instruction, isFarBranch } from './instruction.ts';
import {
  lowerCall,
  lowerDeparture,
  lowerInlinedCall,
  lowerInlinedReturn,
  lowerJumpToNext,
  lowerLoop,
} from './lower-control.ts';
import { integerLowerings } from './lower-integer.ts';
import { sseLowerings } from './lower-sse.ts';
import { stringLowerings } from './lower-string.ts';
import { x87Lowerings } from './lower-x87.ts';
import type { Lowering } from './lowering.ts';
import { countBlock, tellHot } from './profile.ts';
import { blockKey, type Region } from './region.ts';
import { type Preloads, RegionContext } from './region-context.ts';
import { RegisterPlan } from './register-plan.ts';
import { intersection, type RegisterSet } from './register-state.ts';
import { findRun, type Run } from './sse-run.ts';
import { type StackFrame, stackFrames } from './stack-frame.ts';
import { ARITHMETIC_FLAGS, OFF_NEXT, VECTOR_UD } from './state.ts';
import { type Structure, structureOf } from './structure.ts';
import { entryNode, successorsOf } from './successors.ts';
import { UsageModel } from './usage.ts';

/** By mnemonic. */
export const lowerings: ReadonlyMap<string, Lowering> = new Map([
  ...x87Lowerings,
  ...sseLowerings,
  ...stringLowerings,
  ...integerLowerings,
]);
/** True for a mnemonic of SSE. */
export const isVector = (op: string): boolean => sseLowerings.has(op);

/** The mnemonics that have a lowering; those that end a region are translated here. */
export const LOWERED: ReadonlySet<string> = new Set(lowerings.keys());

/** True for a mnemonic that can be translated; others raise #UD. */
export function isImplemented(insn: Instruction): boolean {
  return insn.flow !== 'next' || lowerings.has(insn.op);
}

export class Translator {
  readonly #code = new Code(0, REGION_PARAMETERS.length, 1 << 16);
  readonly #model = new UsageModel();

  /** The region's function. It calls itself by the name of its entry. `notes`: it notes what profile.ts has. */
  translate(region: Region, notes: boolean): FunctionBody {
    const code = this.#code;
    const targets = successorsOf(region);
    const structure = structureOf(targets, entryNode(region));
    const plan = new RegisterPlan(region, targets, structure, this.#model);
    const preloads: Preloads = new Map();
    for (;;) {
      code.reset();
      if (new RegionTranslator(code, this.#model, region, structure, plan, preloads, notes).run()) return code.body();
    }
  }

  /** A function that goes on in that of another entry of the same module, which has several. */
  alias(entry: number): FunctionBody {
    const code = this.#code;
    code.reset();
    code.localGet(PARAM_DEPTH).localGet(PARAM_BUDGET).localGet(PARAM_RSP).returnCallLater(entry).end();
    return code.body();
  }
}

interface Common {
  readonly valid: RegisterSet;
  readonly known: Known;
  readonly narrow: number;
}

class RegionTranslator {
  readonly #ctx: RegionContext;
  readonly #code: Code;
  readonly #notes: boolean;
  readonly #model: UsageModel;
  readonly #region: Region;
  readonly #structure: Structure;
  readonly #plan: RegisterPlan;
  readonly #stackFrames: readonly StackFrame[];
  /** Wasm block whose end is before a merge node, loop of a loop header. */
  readonly #forward = new Map<number, number>();
  readonly #backward = new Map<number, number>();
  /** Registers that all paths to a merge node so far have in locals, and accesses that all have checked. */
  readonly #common = new Map<number, Common>();
  #dispatch = -1;
  #pc = -1;
  /** What is known at the head of a loop, to be so on the ways back to it. */
  readonly #heads = new Map<number, Pick<Common, 'known' | 'narrow'>>();
  /** The plan was wrong. */
  #misjudged = false;

  constructor(
    code: Code,
    model: UsageModel,
    region: Region,
    structure: Structure,
    plan: RegisterPlan,
    preloads: Preloads,
    notes: boolean,
  ) {
    this.#notes = notes;
    this.#model = model;
    this.#code = code;
    this.#ctx = new RegionContext(code, region.entry, isVector, preloads, !region.hub?.isEntry, notes);
    this.#region = region;
    this.#stackFrames = stackFrames(region);
    this.#structure = structure;
    this.#plan = plan;
  }

  /** False: what was planned or preloaded does not suffice; now more is known. */
  run(): boolean {
    const ctx = this.#ctx;
    const code = this.#code;
    const hasEntries = this.#region.hub?.isEntry;
    const entry = entryNode(this.#region);
    code.localGet(PARAM_DEPTH).i32Const(DEPTH_LIMIT).i32GtU().ifRarely();
    // One with several entries is called through the table, which has told which one.
    if (!hasEntries) code.i32Const(REGISTER_FILE).i32Const(this.#region.entry).i32Store(OFF_NEXT);
    code.localGet(PARAM_BUDGET).localGet(PARAM_RSP).return();
    code.end();
    const start = code.length;
    if (hasEntries) ctx.loadNext();
    this.#arrive(entry);
    if (this.#structure.reducible) this.#tree(this.#structure, entry);
    else this.#dispatcher();
    code.unreachable();
    ctx.finish(start);
    return !this.#misjudged && !ctx.incomplete;
  }

  /** A path comes to a node where others do: what is planned for it is made so. */
  #arrive(node: number): void {
    const { isLoop, isMerge, reducible } = this.#structure;
    if (!isLoop[node] && !isMerge[node] && reducible) return;
    const ctx = this.#ctx;
    if (this.#plan.learn(node, ctx.state)) this.#misjudged = true;
    ctx.settle(this.#plan.at(node));
    const head = this.#heads.get(node);
    if (head !== undefined) {
      const changed = ctx.accesses.changedSince(head.known);
      const wide = head.narrow & ~ctx.narrow;
      if (changed !== 0 || wide !== 0) {
        this.#plan.learnChanging(node, changed, wide);
        this.#misjudged = true;
      }
      return;
    }
    const { valid, accesses, narrow } = ctx.state;
    const common = this.#common.get(node);
    this.#common.set(node, {
      valid: common === undefined ? valid : intersection(common.valid, valid),
      known: common === undefined ? accesses : RegionAccesses.common(common.known, accesses),
      narrow: common === undefined ? narrow : common.narrow & narrow,
    });
  }

  /** All paths to the node are behind us, those back to a loop's header aside. */
  #meet(node: number): void {
    const { valid, dirty } = this.#plan.at(node);
    if (!this.#structure.reducible) {
      this.#ctx.meet(valid, dirty, NOTHING_KNOWN, 0);
      return;
    }
    const common = this.#common.get(node)!;
    if (!this.#structure.isLoop[node]) {
      this.#ctx.meet(common.valid, dirty, common.known, common.narrow);
      return;
    }
    const changing = this.#plan.changing(node);
    const known = changing === -1 ? NOTHING_KNOWN : RegionAccesses.inLoop(common.known, changing);
    const narrow = this.#plan.staysNarrow(node, common.narrow);
    this.#heads.set(node, { known, narrow });
    this.#ctx.meet(valid, dirty, known, narrow, true);
  }

  // --- structured ---

  #tree(structure: Structure, node: number): void {
    const code = this.#code;
    const merges = structure.children[node]!.filter((child) => structure.isMerge[child]);
    const loop = structure.isLoop[node];
    if (loop) this.#backward.set(node, code.loop());
    if (loop || structure.isMerge[node]) this.#meet(node);
    this.#within(structure, node, merges, merges.length - 1);
    if (loop) code.end();
  }

  /** The node's code with the blocks of its merge children around: the last in order is the outermost. */
  #within(structure: Structure, node: number, merges: readonly number[], last: number): void {
    if (last < 0) {
      this.#block(node);
      return;
    }
    const merge = merges[last]!;
    this.#forward.set(merge, this.#code.block());
    this.#within(structure, node, merges, last - 1);
    this.#code.end();
    this.#tree(structure, merge);
  }

  /** Control goes from `from` to the address, inside the region or out of it; `branch`: by a branch taken. */
  #goto(from: number, rip: number, branch: boolean, frame = this.#region.blocks[from]!.frame): void {
    const ctx = this.#ctx;
    const to = this.#region.index.get(blockKey(frame, rip));
    const mayStop = branch && rip <= ctx.insn.rip;
    if (to === undefined) {
      ctx.returns = returnsOf(this.#region, frame);
      ctx.exit(mayStop ? EXIT_KIND_CHAIN : EXIT_KIND_FORWARD, rip, 0);
      return;
    }
    if (mayStop) ctx.checkBudget(rip);
    this.#reach(from, to);
  }

  #reach(from: number, to: number): void {
    if (this.#region.hub?.heads.has(to) && from !== this.#region.blocks.length) {
      this.#code.i64Const(this.#region.blocks[to]!.start).localSet(this.#ctx.next);
      this.#toHub(from);
      return;
    }
    const structure = this.#structure;
    this.#arrive(to);
    if (this.#dispatch >= 0) {
      this.#code.i32Const(to).localSet(this.#pc).brTo(this.#dispatch);
    } else if (structure.order[to]! <= structure.order[from]!) {
      this.#code.brTo(this.#backward.get(to)!);
    } else if (structure.isMerge[to]) {
      this.#code.brTo(this.#forward.get(to)!);
    } else {
      this.#tree(structure, to);
    }
  }

  // --- irreducible ---

  #dispatcher(): void {
    const code = this.#code;
    const count = this.#region.blocks.length;
    this.#pc = code.local('i32');
    this.#dispatch = code.loop();
    for (let i = 0; i <= count; i++) code.block();
    code.localGet(this.#pc).brTable([...Array(count).keys()], count);
    for (let i = 0; i < count; i++) {
      code.end();
      this.#meet(i);
      this.#block(i);
    }
    code.end().unreachable().end();
  }

  // --- the hub ---

  /** Control goes from the node to the address in the local `next`. */
  #toHub(from: number): void {
    this.#ctx.storeAll();
    this.#reach(from, this.#region.blocks.length);
  }

  /** Tells apart where the local `next` leads. */
  #hub(): void {
    const ctx = this.#ctx;
    const code = this.#code;
    const { hub, blocks } = this.#region;
    const { shift, buckets } = bucketsOf(hub!.targets, (node) => blocks[node]!.start);
    const other = code.block();
    for (const _ of buckets) code.block();
    ctx.pushNext();
    code
      .i32Const(shift)
      .i32ShrU()
      .i32Const(buckets.length - 1)
      .i32And();
    code.brTable([...buckets.keys()].slice(0, -1), buckets.length - 1);
    for (const nodes of buckets) {
      code.end();
      for (const node of nodes) {
        const { start } = blocks[node]!;
        ctx.pushNext().i32Const(start).i32Eq().ifMostly();
        const { state } = ctx;
        this.#reach(blocks.length, node);
        ctx.state = state;
        code.end();
      }
      code.brTo(other);
    }
    code.end();
    ctx.exitDynamic(EXIT_KIND_CHAIN, 0);
  }

  /**
   * Control goes into a function that is part of the region; if not `always`, only when `next` is its address: another one is
   * called, and the region left when it has returned.
   */
  #into(from: number, callee: number, always: boolean): void {
    const ctx = this.#ctx;
    const { entry } = this.#region.frames[callee]!;
    if (!always) {
      this.#code.localGet(ctx.next).i64Const(entry).i64Ne().ifRarely();
      ctx.returns = returnsOf(this.#region, callee);
      ctx.exitDynamic(EXIT_KIND_CHAIN, 0);
      this.#code.end();
    }
    ctx.checkBudget(entry);
    this.#goto(from, entry, false, callee);
  }

  // --- a block ---

  #block(node: number): void {
    if (node === this.#region.blocks.length) {
      this.#hub();
      return;
    }
    const ctx = this.#ctx;
    const code = this.#code;
    const block = this.#region.blocks[node]!;
    const count = block.insns.length;
    ctx.ended = false;
    ctx.returns = returnsOf(this.#region, block.frame);
    if (this.#notes) countBlock(code, block.start);
    if (this.#notes && block.start === this.#region.entry) tellHot(code, block.start);
    code.localGet(ctx.budget).i64Const(count).i64Sub().localSet(ctx.budget);
    let run: Run | null = null;
    ctx.accesses.begin(block.insns, this.#stackFrames[block.frame]!);
    ctx.blockDepth = code.depth;
    for (let i = 0; i < count; i++) {
      const insn = block.insns[i]!;
      ctx.begin(insn);
      ctx.preload();
      ctx.accesses.instruction(i);
      ctx.remaining = count - i;
      ctx.flagsDead = flagsDead(block.insns, i);
      if (run === null) {
        run = findRun(block.insns, i, isVector);
        if (run !== null) ctx.beginRun();
      }
      ctx.nanCovered = run?.covered.has(i) ?? false;
      const { touched } = ctx;
      this.#instruction(node, insn);
      this.#model.learn(insn, touched);
      if (run !== null && i === run.end - 1) {
        ctx.endRun();
        run = null;
      }
      if (ctx.ended) return;
    }
    if (block.insns.at(-1)!.flow === 'next') this.#goto(node, block.end, false);
  }

  #instruction(node: number, insn: Instruction): void {
    const ctx = this.#ctx;
    const code = this.#code;
    const next = insn.rip + insn.length;
    const target = insn.operands[0];
    if (isFarBranch(insn)) {
      // As good as never executed.
      ctx.exit(EXIT_KIND_SLOW, insn.rip, ctx.remaining);
      return;
    }
    switch (insn.flow) {
      case 'next': {
        const lower = lowerings.get(insn.op);
        if (lower !== undefined) {
          lower(ctx, insn);
        } else {
          ctx.exception(VECTOR_UD);
          ctx.ended = true;
        }
        return;
      }
      case 'jump':
        if (target?.kind === 'target') this.#goto(node, target.address, true);
        return;
      case 'branch': {
        if (target?.kind !== 'target') return;
        if (insn.op === 'jcc') ctx.condition(insn.cc);
        else lowerLoop(ctx, insn);
        code.if();
        const { state } = ctx;
        this.#goto(node, target.address, true);
        code.else();
        ctx.state = state;
        this.#goto(node, next, false);
        code.end();
        return;
      }
      case 'call':
      case 'call-indirect': {
        const { callee } = this.#region.blocks[node]!;
        const isDirect = insn.flow === 'call';
        if (callee !== 0) {
          if (isDirect) lowerInlinedCall(ctx);
          else lowerCall(ctx, insn);
          this.#into(node, callee, isDirect);
          return;
        }
        lowerCall(ctx, insn);
        if (!isDirect) ctx.noteTarget();
        ctx.call(target!, next);
        this.#goto(node, next, false);
        return;
      }
      case 'ret': {
        const { frame } = this.#region.blocks[node]!;
        const { caller, returnTo } = this.#region.frames[frame]!;
        if (frame === 0) {
          lowerDeparture(ctx, insn);
          return;
        }
        lowerInlinedReturn(ctx, insn, returnTo);
        this.#goto(node, returnTo, false, caller);
        return;
      }
      case 'jump-indirect': {
        const { hub, blocks, frames } = this.#region;
        const { frame } = blocks[node]!;
        if (frame === 0 && hub === null) {
          lowerDeparture(ctx, insn);
          return;
        }
        lowerJumpToNext(ctx, insn);
        const { callee } = blocks[node]!;
        if (callee !== 0) {
          this.#into(node, callee, false);
          return;
        }
        if (frame !== 0) {
          const { caller, returnTo } = frames[frame]!;
          ctx.call(target!, returnTo);
          this.#goto(node, returnTo, false, caller);
          return;
        }
        ctx.stopIfUsedUp();
        for (const to of hub!.expected.get(node) ?? []) {
          code.localGet(ctx.next).i64Const(blocks[to]!.start).i64Eq().if();
          const { state } = ctx;
          this.#reach(node, to);
          ctx.state = state;
          code.end();
        }
        this.#toHub(node);
        return;
      }
      default:
        lowerDeparture(ctx, insn);
    }
  }
}

/** Where the functions of a frame and of those around it return to. */
function returnsOf({ frames }: Region, frame: number): number[] {
  const returns: number[] = [];
  for (let f = frame; f !== 0; f = frames[f]!.caller) returns.push(frames[f]!.returnTo);
  return returns;
}

/** True when no instruction and no exit can see the flags that instruction `i` of the block sets. */
function flagsDead(insns: readonly Instruction[], i: number): boolean {
  let live = insns[i]!.flagsWritten | insns[i]!.flagsUndefined;
  if (live === 0) return false;
  // All six: a partial update keeps the others.
  live = ARITHMETIC_FLAGS;
  for (let j = i + 1; j < insns.length; j++) {
    const insn = insns[j]!;
    if (insn.flow !== 'next' || (insn.flagsRead & live) !== 0) return false;
    if (!PLAIN.has(insn.op) || insn.rep !== 'none') return false;
    if (insn.op !== 'lea' && insn.operands.some((operand) => operand.kind === 'mem')) return false;
    live &= ~(insn.flagsWritten | insn.flagsUndefined);
    if (live === 0) return true;
  }
  return false;
}

/** Instructions that with register operands never leave the region. inc and dec read CF. */
const PLAIN = new Set(
  'add sub adc sbb cmp and or xor test neg not mov movzx movsx movsxd lea imul shl shr sar bswap nop cdqe cwde cbw cdq cqo cwd setcc cmovcc xchg popcnt crc32'.split(
    ' ',
  ),
);

/** Numbers of nodes by bits of their addresses, from `shift` up: as few in one place as it gets. */
function bucketsOf(nodes: readonly number[], addressOf: (node: number) => number) {
  const size = 2 ** Math.ceil(Math.log2(nodes.length) + 1);
  let best: { shift: number; buckets: number[][] } | null = null;
  let least = Number.POSITIVE_INFINITY;
  for (let shift = 0; shift < 12; shift++) {
    const buckets: number[][] = Array.from({ length: size }, () => []);
    for (const node of nodes) buckets[(addressOf(node) >>> shift) & (size - 1)]!.push(node);
    const cost = buckets.reduce((sum, list) => sum + list.length ** 2, 0);
    if (cost >= least) continue;
    least = cost;
    best = { shift, buckets };
  }
  return best!;
}
