/**
 * Which registers are in locals where paths of a region meet, decided before it is lowered: those that may have been
 * written on the way there, and in a loop those that it uses, so that they are not loaded again each time.
 */

import { ALL_PARTS, KIND_ADD, KIND_INC, KIND_LOGIC, KIND_SUB, PART_OP, partsOf } from './flags.ts';
import type { Block } from './region.ts';
import { flagsSet, includes, NONE, type RegisterSet, union } from './register-state.ts';
import type { Structure } from './structure.ts';
import { noUsage, type UsageModel } from './usage.ts';

export interface Meeting {
  /** Each path makes these valid. */
  valid: RegisterSet;
  /** The part that may be newer than the register file. */
  dirty: RegisterSet;
}

interface BlockUse {
  readonly used: RegisterSet;
  readonly written: RegisterSet;
  /** It ends with a guest call: all registers are in the register file behind it. */
  readonly calls: boolean;
}

export class RegisterPlan {
  readonly #blocks: readonly BlockUse[];
  readonly #successors: readonly (readonly number[])[];
  readonly #structure: Structure;
  /** What was found to be written though it was not expected, by node. */
  readonly #more: RegisterSet[];
  /** General registers (masks; -1: anything) found to change in the loop of a header though that was not expected. */
  readonly #unstable = new Map<number, number>();
  #meetings: Meeting[] = [];

  constructor(
    blocks: readonly Block[],
    successors: readonly (readonly number[])[],
    structure: Structure,
    model: UsageModel,
  ) {
    this.#blocks = blocks.map((block) => useOf(block, model));
    this.#successors = successors;
    this.#structure = structure;
    this.#more = blocks.map(() => ({ ...NONE }));
    this.#plan();
  }

  at(node: number): Meeting {
    return this.#meetings[node]!;
  }

  /** These may be newer than the register file at the node. False: that was known. */
  learn(node: number, dirty: RegisterSet): boolean {
    if (includes(this.at(node).dirty, dirty)) return false;
    this.#more[node] = union(this.#more[node]!, dirty);
    this.#plan();
    return true;
  }

  #plan(): void {
    const { order, isLoop, reducible } = this.#structure;
    const count = this.#blocks.length;
    const nodes = [...Array(count).keys()].filter((n) => order[n]! >= 0).sort((a, b) => order[a]! - order[b]!);
    const dirty: RegisterSet[] = this.#more.map((more) => ({ ...more }));
    for (let changed = true; changed; ) {
      changed = false;
      for (const node of nodes) {
        const { written, calls } = this.#blocks[node]!;
        const out = calls ? NONE : union(dirty[node]!, written);
        for (const to of this.#successors[node]!) {
          if (includes(dirty[to]!, out)) continue;
          dirty[to] = union(dirty[to]!, out);
          changed = true;
        }
      }
    }
    if (!reducible) {
      // Each node is reached through one place.
      const all = dirty.reduce(union, { ...NONE });
      this.#meetings = dirty.map(() => ({ valid: all, dirty: all }));
      return;
    }
    this.#meetings = dirty.map((set, node) => {
      const valid = isLoop[node] ? union(set, this.#usedInLoop(node)) : set;
      return { valid, dirty: set };
    });
  }

  /** What the loop of a header uses; nothing when there is a call in it, behind which all must be loaded again. */
  #usedInLoop(header: number): RegisterSet {
    const blocks = this.#loop(header);
    return blocks.some(({ calls }) => calls) ? { ...NONE } : blocks.map(({ used }) => used).reduce(union);
  }

  /** The general registers (a mask) that are expected to change in the loop of a header; -1: anything may. */
  changing(header: number): number {
    const unstable = this.#unstable.get(header) ?? 0;
    const blocks = this.#loop(header);
    if (unstable === -1 || blocks.some(({ calls }) => calls)) return -1;
    return blocks.reduce((mask, { written }) => mask | (written.gpr & 0xffff), unstable);
  }

  /** These general registers (-1: anything) do change in the loop of the header. */
  learnChanging(header: number, registers: number): void {
    this.#unstable.set(header, (this.#unstable.get(header) ?? 0) | registers);
  }

  #loop(header: number): BlockUse[] {
    const { order } = this.#structure;
    const preds: number[][] = this.#blocks.map(() => []);
    this.#successors.forEach((list, from) => {
      for (const to of list) preds[to]!.push(from);
    });
    const seen = new Set([header]);
    const work = preds[header]!.filter((p) => order[p]! >= order[header]!);
    for (let node = work.pop(); node !== undefined; node = work.pop()) {
      if (seen.has(node) || order[node]! < 0) continue;
      seen.add(node);
      work.push(...preds[node]!);
    }
    return [...seen].map((node) => this.#blocks[node]!);
  }
}

/** What mnemonics are expected to write of the flags; a wrong guess costs a second lowering (`learn`). */
const PARTS = new Map<string, number>([
  ...['and', 'or', 'xor', 'test'].map((op) => [op, partsOf(KIND_LOGIC)] as const),
  ...['sub', 'cmp', 'neg', 'cmpxchg', 'scas', 'cmps'].map((op) => [op, partsOf(KIND_SUB)] as const),
  ...['inc', 'dec', 'shl', 'shr', 'sar', 'mul'].map((op) => [op, partsOf(KIND_INC)] as const),
  ...['rol', 'ror', 'bt', 'bts', 'btr', 'btc', 'clc', 'stc'].map((op) => [op, PART_OP] as const),
  ...['add', 'xadd'].map((op) => [op, partsOf(KIND_ADD)] as const),
]);

function useOf({ insns, callee }: Block, model: UsageModel): BlockUse {
  const usage = noUsage();
  let flagsUsed = 0;
  let parts = 0;
  for (const insn of insns) {
    model.expect(insn, usage);
    if ((insn.flagsWritten | insn.flagsUndefined) !== 0) parts |= PARTS.get(insn.op) ?? ALL_PARTS;
    else if (insn.flagsRead !== 0 && parts === 0) flagsUsed = flagsSet(ALL_PARTS).gpr;
  }
  const { flow } = insns.at(-1)!;
  return {
    used: { gpr: (usage.gprUsed & 0xffff) | flagsUsed, xmm: usage.xmmUsed & 0xffff },
    written: { gpr: (usage.gprWritten & 0xffff) | flagsSet(parts).gpr, xmm: usage.xmmWritten & 0xffff },
    calls: (flow === 'call' && callee === 0) || flow === 'call-indirect',
  };
}
