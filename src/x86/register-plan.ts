/**
 * Which registers are in locals where paths of a region meet, decided before it is lowered: those that may have been
 * written on the way there, and in a loop those that it uses, so that they are not loaded again each time.
 *
 * An XMM register is there in one of four ways (vector-locals.ts): whole; as halves, each in a local; its low half, the
 * upper one being zero or in the register file. Code that uses it only as a scalar does not get it whole.
 */

import { ALL_PARTS, KIND_COMPARE, KIND_LOGIC, PART_OP, partsOf } from './flags.ts';
import type { Instruction } from './instruction.ts';
import type { Block, Region } from './region.ts';
import { anyXmm, flagsSet, KEPT_GPRS, NONE, type RegisterSet, type RegisterState } from './register-state.ts';
import type { Structure } from './structure.ts';
import { addUsage, noUsage, type Usage, type UsageModel } from './usage.ts';

/** General registers, and XMM registers however they are kept. */
interface Registers {
  readonly gpr: number;
  readonly xmm: number;
}

const NO_REGISTERS: Registers = { gpr: 0, xmm: 0 };
const NOTHING: RegisterState = { valid: NONE, dirty: NONE };

function add(a: Registers, b: Registers): Registers {
  return { gpr: a.gpr | b.gpr, xmm: a.xmm | b.xmm };
}

function includes(whole: Registers, part: Registers): boolean {
  return (part.gpr & ~whole.gpr) === 0 && (part.xmm & ~whole.xmm) === 0;
}

/** What an instruction does to upper halves. */
interface UpperEffect {
  readonly whole: number;
  readonly written: number;
  readonly zeroed: number;
  /** Register `to` becomes a copy of `from`; else -1. */
  readonly to: number;
  readonly from: number;
}

interface BlockUse {
  readonly used: Registers;
  readonly written: Registers;
  /** Parts of the flags (a mask of registers) that mean nothing behind it, for others were set. */
  readonly dropped: number;
  /** General registers written, rsp too. */
  readonly changed: number;
  /** XMM registers of which more than the low half is used or written. */
  readonly whole: number;
  readonly effects: readonly UpperEffect[];
  /** It ends with a guest call: all registers are in the register file behind it. */
  readonly calls: boolean;
}

/** All registers are in the register file behind the hub, too, and before it. */
const HUB_USE: BlockUse = {
  used: NO_REGISTERS,
  written: NO_REGISTERS,
  dropped: 0,
  changed: 0,
  whole: 0,
  effects: [],
  calls: true,
};

/** XMM registers of which the upper half may be in a v128, and is zero, on all paths. */
interface Uppers {
  whole: number;
  zero: number;
}

interface Loop {
  readonly used: Registers;
  readonly whole: number;
  /** XMM registers that become copies of others, and those others. */
  readonly copies: number;
  readonly copied: number;
  readonly calls: boolean;
  /** General registers that are written. */
  readonly changes: number;
}

export class RegisterPlan {
  readonly #blocks: BlockUse[];
  /** The hub's node; -1: none. */
  readonly #hub: number;
  readonly #successors: readonly (readonly number[])[];
  readonly #structure: Structure;
  /** XMM registers that are used as more than scalars anywhere. */
  readonly #whole: number;
  /** By header. */
  readonly #loops = new Map<number, Loop>();
  /** What was found though it was not expected, by node: to be written; upper halves that are not zero. */
  readonly #more: Registers[];
  readonly #notZero: number[];
  /** General registers (masks; -1: anything) found to change in the loop of a header though that was not expected. */
  readonly #unstable = new Map<number, number>();
  /** Those that were below 2^32 before the loop and are not in it. */
  readonly #wide = new Map<number, number>();
  #meetings: RegisterState[] = [];

  constructor(
    { blocks, hub }: Region,
    successors: readonly (readonly number[])[],
    structure: Structure,
    model: UsageModel,
  ) {
    this.#blocks = blocks.map((block) => useOf(block, model));
    this.#hub = hub !== null ? this.#blocks.push(HUB_USE) - 1 : -1;
    this.#whole = wholeOf(this.#blocks);
    this.#successors = successors;
    this.#structure = structure;
    this.#more = this.#blocks.map(() => NO_REGISTERS);
    this.#notZero = this.#blocks.map(() => 0);
    if (structure.reducible) {
      structure.isLoop.forEach((isLoop, node) => {
        if (isLoop) this.#loops.set(node, this.#loop(node));
      });
    }
    this.#plan();
  }

  /** What each path makes valid, and the part that may be newer than the register file. */
  at(node: number): RegisterState {
    return this.#meetings[node]!;
  }

  /** A path comes to the node with this. False: that was expected. */
  learn(node: number, { valid, dirty }: RegisterState): boolean {
    const planned = this.at(node).dirty;
    const more = { gpr: dirty.gpr, xmm: anyXmm(dirty) };
    const notZero = planned.zero & ~valid.zero;
    if (notZero === 0 && includes({ gpr: planned.gpr, xmm: anyXmm(planned) }, more)) return false;
    this.#more[node] = add(this.#more[node]!, more);
    this.#notZero[node]! |= notZero;
    this.#plan();
    return true;
  }

  #plan(): void {
    const { order, reducible } = this.#structure;
    const count = this.#blocks.length;
    const nodes = [...Array(count).keys()].filter((n) => order[n]! >= 0).sort((a, b) => order[a]! - order[b]!);
    const dirty = [...this.#more];
    for (let changed = true; changed; ) {
      changed = false;
      for (const node of nodes) {
        const { written, dropped, calls } = this.#blocks[node]!;
        const { gpr, xmm } = dirty[node]!;
        const out = calls ? NO_REGISTERS : add({ gpr: gpr & ~dropped, xmm }, written);
        for (const to of this.#successors[node]!) {
          if (includes(dirty[to]!, out)) continue;
          dirty[to] = add(dirty[to]!, out);
          changed = true;
        }
      }
    }
    if (!reducible) {
      // Each node is reached through one place.
      const { gpr, xmm } = dirty.reduce(add, NO_REGISTERS);
      const all: RegisterSet = { gpr, xmm, low: xmm & ~this.#whole, zero: 0 };
      this.#meetings = dirty.map(() => ({ valid: all, dirty: all }));
      return;
    }
    const uppers = this.#uppers(nodes);
    this.#meetings = dirty.map((set, node) =>
      node === this.#hub ? NOTHING : this.#meeting(set, uppers[node]!, this.#loops.get(node)),
    );
  }

  /** The general registers (a mask) that are expected to change in the loop of a header; -1: anything may. */
  changing(header: number): number {
    const unstable = this.#unstable.get(header) ?? 0;
    const { calls, changes } = this.#loops.get(header)!;
    return unstable === -1 || calls ? -1 : changes | unstable;
  }

  /** Which of the general registers that are below 2^32 before the loop are expected to stay so. */
  staysNarrow(header: number, registers: number): number {
    return this.#loops.get(header)!.calls ? 0 : registers & ~(this.#wide.get(header) ?? 0);
  }

  /** These general registers (-1: anything) do change in the loop of the header, and those do not stay below 2^32. */
  learnChanging(header: number, registers: number, wide: number): void {
    this.#unstable.set(header, (this.#unstable.get(header) ?? 0) | registers);
    this.#wide.set(header, (this.#wide.get(header) ?? 0) | wide);
  }

  /** Before each node. */
  #uppers(nodes: readonly number[]): Uppers[] {
    const { isLoop, isMerge, order } = this.#structure;
    const before = this.#blocks.map(
      (_, node): Uppers => ({ whole: 0, zero: order[node] === 0 ? 0 : 0xffff & ~this.#notZero[node]! }),
    );
    for (let changed = true; changed; ) {
      changed = false;
      for (const node of nodes) {
        const block = this.#blocks[node]!;
        const uppers = { ...before[node]! };
        if (isLoop[node] || isMerge[node]) {
          // As `meeting` has it.
          const kept = keptUppers(uppers, this.#loops.get(node));
          uppers.zero = kept.zero;
          uppers.whole = kept.whole;
        }
        for (const effect of block.effects) apply(uppers, effect);
        if (block.calls) uppers.whole = uppers.zero = 0;
        for (const to of this.#successors[node]!) {
          const at = before[to]!;
          const whole = at.whole | uppers.whole;
          const zero = at.zero & uppers.zero;
          if (whole === at.whole && zero === at.zero) continue;
          at.whole = whole;
          at.zero = zero;
          changed = true;
        }
      }
    }
    return before;
  }

  /** What the loop of a header uses. */
  #loop(header: number): Loop {
    const { order } = this.#structure;
    const preds: number[][] = this.#blocks.map(() => []);
    this.#successors.forEach((list, from) => {
      for (const to of list) preds[to]!.push(from);
    });
    const seen = new Set<number>();
    const work = [header, ...preds[header]!.filter((p) => order[p]! >= order[header]!)];
    let used = NO_REGISTERS;
    const blocks: BlockUse[] = [];
    for (let node = work.pop(); node !== undefined; node = work.pop()) {
      if (seen.has(node) || order[node]! < 0) continue;
      seen.add(node);
      const block = this.#blocks[node]!;
      blocks.push(block);
      used = add(used, block.used);
      if (node !== header) work.push(...preds[node]!);
    }
    let copies = 0;
    let copied = 0;
    for (const { effects } of blocks) {
      for (const { to, from } of effects) {
        if (to < 0) continue;
        copies |= 1 << to;
        copied |= 1 << from;
      }
    }
    const calls = blocks.some((block) => block.calls);
    const changes = blocks.reduce((mask, { changed }) => mask | changed, 0);
    return { used, whole: wholeOf(blocks), copies, copied, calls, changes };
  }

  #meeting(dirty: Registers, uppers: Uppers, loop: Loop | undefined): RegisterState {
    const kept = keptUppers(uppers, loop);
    const xmm = dirty.xmm & kept.whole;
    const low = dirty.xmm & ~(xmm & this.#whole & (loop === undefined ? -1 : loop.whole | ~loop.used.xmm));
    const zero = low & kept.zero;
    const valid: RegisterSet = { gpr: dirty.gpr, xmm, low, zero };
    // Behind a call all must be loaded again.
    if (loop !== undefined && !loop.calls) {
      const scalar = loop.used.xmm & ~loop.whole;
      valid.gpr |= loop.used.gpr;
      valid.xmm |= loop.whole | (loop.copied & scalar & ~zero);
      valid.low |= scalar;
    }
    return { valid, dirty: { gpr: dirty.gpr, xmm, low, zero } };
  }
}

/** XMM registers of which the blocks use more than the low half, or of a copy. */
function wholeOf(blocks: readonly BlockUse[]): number {
  let whole = blocks.reduce((all, block) => all | block.whole, 0);
  for (let before = -1; before !== whole; ) {
    before = whole;
    for (const { effects } of blocks) {
      for (const { to, from } of effects) if ((whole >> to) & 1) whole |= 1 << from;
    }
  }
  return whole;
}

/** Of the upper halves at a node: which are kept as zero, which in a v128. */
function keptUppers(uppers: Uppers, loop: Loop | undefined): Uppers {
  if (loop === undefined) return { zero: uppers.zero, whole: uppers.whole & ~uppers.zero };
  const scalar = loop.used.xmm & ~loop.whole & ~loop.copies;
  const zero = uppers.zero & ~loop.whole;
  return { zero, whole: (uppers.whole & ~scalar & ~zero) | loop.whole };
}

function apply(uppers: Uppers, { whole, written, zeroed, to, from }: UpperEffect): void {
  uppers.whole = (uppers.whole | whole) & ~zeroed;
  uppers.zero = (uppers.zero & ~written) | zeroed;
  if (to < 0) return;
  const bit = 1 << to;
  const isZero = ((uppers.zero >> from) & 1) !== 0;
  uppers.whole = isZero ? uppers.whole & ~bit : uppers.whole | bit;
  uppers.zero = isZero ? uppers.zero | bit : uppers.zero & ~bit;
}

function effectOf({ operands: [a, b] }: Instruction, usage: Usage): UpperEffect {
  const copies = usage.xmmCopied !== 0 && a?.kind === 'reg' && b?.kind === 'reg';
  return {
    whole: usage.xmmWhole,
    written: usage.xmmWhole & usage.xmmWritten,
    zeroed: usage.xmmZeroed & ~usage.xmmWhole,
    to: copies ? a.index : -1,
    from: copies ? b.index : -1,
  };
}

/** What mnemonics are expected to write of the flags; a wrong guess costs a second lowering (`learn`). */
const PARTS = new Map<string, number>([
  ...['and', 'or', 'xor', 'test'].map((op) => [op, partsOf(KIND_LOGIC)] as const),
  ...'add sub cmp neg inc dec xadd cmpxchg scas cmps shl shr sar mul'
    .split(' ')
    .map((op) => [op, partsOf(KIND_COMPARE)] as const),
  ...['rol', 'ror', 'bt', 'bts', 'btr', 'btc', 'clc', 'stc'].map((op) => [op, PART_OP] as const),
]);

/** Those of them that always set all flags. */
const ALWAYS = new Set('and or xor test add sub cmp neg inc dec xadd cmpxchg'.split(' '));

function useOf({ insns, callee, frame }: Block, model: UsageModel): BlockUse {
  const usage = noUsage();
  let flagsUsed = 0;
  let parts = 0;
  let dropped = 0;
  const effects: UpperEffect[] = [];
  for (const insn of insns) {
    const own = noUsage();
    model.expect(insn, own);
    addUsage(usage, own);
    if (own.xmmUsed !== 0) effects.push(effectOf(insn, own));
    if (ALWAYS.has(insn.op)) {
      parts = PARTS.get(insn.op)!;
      dropped = ALL_PARTS;
    } else if ((insn.flagsWritten | insn.flagsUndefined) !== 0) parts |= PARTS.get(insn.op) ?? ALL_PARTS;
    else if (insn.flagsRead !== 0 && parts === 0) flagsUsed = flagsSet(ALL_PARTS).gpr;
  }
  const { flow } = insns.at(-1)!;
  return {
    used: { gpr: (usage.gprUsed & KEPT_GPRS) | flagsUsed, xmm: usage.xmmUsed & 0xffff },
    written: { gpr: (usage.gprWritten & KEPT_GPRS) | flagsSet(parts).gpr, xmm: usage.xmmWritten & 0xffff },
    dropped: flagsSet(dropped & ~parts).gpr,
    changed: usage.gprWritten & 0xffff,
    whole: usage.xmmWhole,
    effects,
    calls: callee === 0 && (flow === 'jump-indirect' ? frame !== 0 : flow === 'call' || flow === 'call-indirect'),
  };
}
