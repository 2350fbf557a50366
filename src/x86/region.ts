/**
 * Region discovery: the basic blocks reached from an entry point by direct branches, bounded in number of instructions.
 * Calls do not end a region: the block behind a call belongs to it.
 */

import type { AddressSpace } from '../lvm/address-space.ts';
import { PAGE_SIZE, USER_END } from '../lvm/layout.ts';
import { decode, isDecodeError } from './decode.ts';
import { type Instruction, isFar, isFarBranch } from './instruction.ts';

export interface Block {
  readonly start: number;
  readonly insns: readonly Instruction[];
  /** Address behind the last instruction. */
  readonly end: number;
  /** Number of the frame that it belongs to (inline.ts), and of the one that the call at its end goes to; 0: it calls. */
  readonly frame: number;
  readonly callee: number;
}

/** A function that is part of a region which calls it: its address, the frame of the call, and the address behind that. */
export interface Frame {
  readonly entry: number;
  readonly caller: number;
  readonly returnTo: number;
}

/** Frame 0: the region's own code. */
export const OWN: Frame = { entry: 0, caller: 0, returnTo: 0 };

/** The key of a block in a region's index. */
export function blockKey(frame: number, rip: number): number {
  return frame * 2 ** 32 + rip;
}

export function indexOf(blocks: readonly Block[]): ReadonlyMap<number, number> {
  return new Map(blocks.map(({ frame, start }, i) => [blockKey(frame, start), i]));
}

/** Where the indirect jumps of a region's own code come together and are told apart, by where they are known to go. */
export interface Hub {
  /** Numbers of the blocks that it leads to. */
  readonly targets: readonly number[];
  /** Those of them that direct jumps reach only through the hub, too: heads of loops that are entered elsewhere as well. */
  readonly heads: ReadonlySet<number>;
  /** By number of a block that ends with an indirect jump: targets to which it goes past the hub, the most frequent first. */
  readonly expected: ReadonlyMap<number, readonly number[]>;
  /** Control comes into the region there: at any of the targets. */
  readonly isEntry: boolean;
}

export interface Region {
  readonly entry: number;
  /** The entry's block first, then by address. Empty: the instruction at the entry cannot be fetched or decoded. */
  readonly blocks: readonly Block[];
  /** Block number by `blockKey`. */
  readonly index: ReadonlyMap<number, number>;
  readonly frames: readonly Frame[];
  readonly hub: Hub | null;
  /** Why there are no blocks. */
  readonly failure: FetchFailure | null;
}

export type FetchFailure =
  /** #PF with the fetch bit at `address` */
  { readonly kind: 'fetch'; readonly address: number } | { readonly kind: 'undefined' } | { readonly kind: 'too-long' };

/** Decodes the instruction at `rip` if it can be fetched. */
export function fetch(space: AddressSpace, rip: number): Instruction | FetchFailure {
  if (rip < 0 || rip >= USER_END || !space.isExecutable(rip)) return { kind: 'fetch', address: rip };
  const pageEnd = (Math.floor(rip / PAGE_SIZE) + 1) * PAGE_SIZE;
  const bytes = rip + 15 <= pageEnd || space.isExecutable(pageEnd) ? space.u8 : space.u8.subarray(0, pageEnd);
  const insn = decode(bytes, rip, rip);
  if (!isDecodeError(insn)) return insn;
  if (insn.error === 'truncated') return { kind: 'fetch', address: pageEnd };
  return { kind: insn.error === 'too-long' ? 'too-long' : 'undefined' };
}

export function isFailure(result: Instruction | FetchFailure): result is FetchFailure {
  return 'kind' in result;
}

const nowhere = (): boolean => false;

/** The longest that any region is, in instructions. */
export const REGION_LIMIT = 3000;
/**
 * Instructions of a straight line that count in full for a region's size, and what each one behind them counts: leaving a region in
 * the middle of a line that goes on for long costs much, and to optimise it costs little.
 */
const LINE = 16;
const IN_LINE = 1 / 32;

/** Where a region ends. */
export interface Limits {
  /** Instructions, but those in long straight lines count less. */
  readonly size: number;
  /** Another region begins at the address. */
  readonly isElsewhere?: (rip: number) => boolean;
  /** The block at the address is seldom executed. */
  readonly isSeldom?: (rip: number) => boolean;
}

/** Finds the region of `entry` and of `others`. */
export function discover(
  space: AddressSpace,
  entry: number,
  { size, isElsewhere = nowhere, isSeldom = nowhere }: Limits,
  others: Iterable<number> = [],
): Region {
  const insns = new Map<number, Instruction>();
  const leaders = new Set<number>([entry, ...others]);
  const work = [...leaders];
  let failure: FetchFailure | null = null;
  let counted = 0;
  for (let w = 0; w < work.length; w++) {
    let rip = work[w]!;
    let ended = false;
    let line = 0;
    while (!insns.has(rip) && counted < size && insns.size < REGION_LIMIT && (rip === entry || !isElsewhere(rip))) {
      const insn = fetch(space, rip);
      if (isFailure(insn)) {
        if (rip === entry) failure = insn;
        break;
      }
      insns.set(rip, insn);
      counted += line < LINE ? 1 : IN_LINE;
      line++;
      const next = rip + insn.length;
      if (insn.flow !== 'next') {
        const target = insn.operands[0];
        const jumps = (insn.flow === 'jump' || insn.flow === 'branch') && target?.kind === 'target';
        if (jumps && !isFar(target) && !isSeldom(target.address)) {
          leaders.add(target.address);
          work.push(target.address);
        }
        ended =
          isFarBranch(insn) ||
          (insn.flow !== 'branch' && insn.flow !== 'call' && insn.flow !== 'call-indirect') ||
          isSeldom(next);
        if (ended) break;
        line = 0;
        leaders.add(next);
      }
      rip = next;
    }
    // What another path has decoded already begins a block where this one joins it.
    if (!ended && insns.has(rip)) leaders.add(rip);
  }
  const starts = [...leaders].filter((rip) => insns.has(rip)).sort((a, b) => a - b);
  const blocks: Block[] = [];
  for (const start of starts) {
    const list: Instruction[] = [];
    let rip = start;
    for (;;) {
      const insn = insns.get(rip);
      if (insn === undefined) break;
      list.push(insn);
      rip += insn.length;
      if (insn.flow !== 'next' || leaders.has(rip)) break;
    }
    blocks.push({ start, insns: list, end: rip, frame: 0, callee: 0 });
  }
  blocks.sort((a, b) => (a.start === entry ? -1 : b.start === entry ? 1 : a.start - b.start));
  return { entry, blocks, index: indexOf(blocks), frames: [OWN], hub: null, failure };
}
