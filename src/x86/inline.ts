/**
 * Calls of small functions become part of the region that makes them: the callee's blocks once more, as a _frame_ of
 * their own, a call into it being a jump and its return one back. The return address goes to the guest's stack as ever, and where
 * it is another at the return the region is left. So it is at a call through a pointer that is not to the function to which the
 * profile says such calls go. An indirect jump of the callee's (a PLT's stub) is a call for its caller, or goes on in one more frame.
 *
 * What is seldom executed of a function need not be there: control going there is a call, and the region is left when that has
 * returned (region-context.ts), which costs little only where it is seldom.
 */

import type { CodeSpace } from './code-group.ts';
import { seldomIn } from './profile.ts';
import { type Block, discover, type Frame, indexOf, OWN, type Region } from './region.ts';
import { structureOf } from './structure.ts';
import { successorsOf } from './successors.ts';

/** Instructions of a callee, and how deep callees may be in each other. */
const CALLEE_LIMIT = 200;
const DEPTH_LIMIT = 5;
/** Leaving a callee by anything but a return must be as seldom as one in so many calls. */
const CALLEE_SELDOM = 16;
/** Calls through a pointer that are known, and how many of them may go to another function: one in so many. */
const KNOWN_CALLS = 64;
const OTHER_CALLS = 16;

/** The region with calls of functions that have been reached made part of it, as far as `limit` instructions go. */
export function inlineCalls(code: CodeSpace, region: Region, limit: number): Region {
  const callees = new Map<number, Region | null>();
  const calleeAt = (entry: number): Region | null => {
    if (!callees.has(entry)) callees.set(entry, code.isReached(entry) ? wholeFunction(code, entry) : null);
    return callees.get(entry)!;
  };
  const frames: Frame[] = [OWN];
  const blocks: Block[] = [];
  const queue = [{ region, frame: 0, depth: 0 }];
  let count = sizeOf(region);
  for (const { region: part, frame, depth } of queue) {
    for (const block of part.blocks) {
      const isJump = block.insns.at(-1)!.flow === 'jump-indirect';
      const entry = depth < DEPTH_LIMIT && !(isJump && frame === 0) ? calleeOf(code, part, block) : null;
      const callee = entry === null ? null : calleeAt(entry);
      if (callee === null || count + sizeOf(callee) > limit) {
        blocks.push({ ...block, frame });
        continue;
      }
      count += sizeOf(callee);
      // What is jumped to returns to where what jumps would have.
      const call = isJump ? frames[frame]! : { caller: frame, returnTo: block.end };
      const number = frames.push({ ...call, entry: callee.entry }) - 1;
      blocks.push({ ...block, frame, callee: number });
      queue.push({ region: callee, frame: number, depth: isJump ? depth : depth + 1 });
    }
  }
  if (frames.length === 1) return region;
  return { ...region, blocks, frames, index: indexOf(blocks) };
}

function sizeOf(region: Region): number {
  return region.blocks.reduce((sum, { insns }) => sum + insns.length, 0);
}

/** The function that the block's last instruction calls, if it can be made part of the region. */
function calleeOf(code: CodeSpace, region: Region, { insns, end }: Block): number | null {
  const { flow, operands, rip } = insns.at(-1)!;
  const target = operands[0];
  if (flow === 'jump-indirect') return mostlyCalled(code.targetsOf(rip));
  // What is behind the call must be there, too.
  if (region.index.get(end) === undefined) return null;
  if (flow === 'call-indirect') return mostlyCalled(code.targetsOf(rip));
  return flow === 'call' && target?.kind === 'target' ? target.address : null;
}

/** Where nearly all of the calls went. */
function mostlyCalled(targets: ReadonlyMap<number, number>): number | null {
  let all = 0;
  let most: readonly [number, number] = [0, 0];
  for (const target of targets) {
    all += target[1];
    if (target[1] > most[1]) most = target;
  }
  const [address, count] = most;
  return count >= KNOWN_CALLS && (all - count) * OTHER_CALLS <= all ? address : null;
}

/** A function from which nothing leads away but returns, and what has hardly ever been executed. */
function wholeFunction(code: CodeSpace, entry: number): Region | null {
  const isSeldom = seldomIn(code, entry, CALLEE_SELDOM);
  const region = discover(code.space, entry, { size: CALLEE_LIMIT, isSeldom });
  const has = (rip: number): boolean => region.index.has(rip) || isSeldom(rip);
  const isWhole = (block: Block): boolean => {
    const { flow, operands, size } = block.insns.at(-1)!;
    const target = operands[0];
    const goesOn = has(block.end);
    const jumps = target?.kind === 'target' && has(target.address);
    if (flow === 'ret') return size === 8;
    // A call that returns to the caller.
    if (flow === 'jump-indirect') return true;
    if (flow === 'jump') return jumps;
    if (flow === 'branch') return jumps && goesOn;
    return (flow === 'next' || flow === 'call' || flow === 'call-indirect') && goesOn;
  };
  const returns = region.blocks.some(({ insns }) => ['ret', 'jump-indirect'].includes(insns.at(-1)!.flow));
  if (!returns || !region.blocks.every(isWhole)) return null;
  return structureOf(successorsOf(region)).reducible ? region : null;
}
