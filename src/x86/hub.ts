/**
 * Indirect jumps to where the profile says that they go, within a region. In the loop of an interpreter or a state machine
 * they lead to code which ends with such jumps: as a region each piece of that would leave its function for the next one. All of
 * it is one region, in which the jumps meet in a hub; but where a jump mostly goes it goes past the hub, with registers in locals.
 */

import type { CodeSpace } from './code-group.ts';
import { endAtLoopHeads } from './loop-heads.ts';
import { seldomIn } from './profile.ts';
import { blockKey, discover, type Region } from './region.ts';
import { structureOf } from './structure.ts';
import { entryNode, successorsOf } from './successors.ts';

/** Instructions of such a loop. */
export const LOOP_LIMIT = 1500;
/** Which targets count: each one of so many jumps of the region at least, and how many at most. */
const LOOP_SELDOM = 200;
const LOOP_TARGETS = 64;
const SELDOM = 8;
const TARGETS = 4;
/** Where a jump goes past the hub: one of so many of its own. */
const EXPECTED = 4;
/** To find where the jumps go of what the jumps go to. */
const TRIES = 20;

/** The loop that the code at `entry` is part of, entered at all targets of its jumps as well; null where there is none. */
export function dispatchLoop(code: CodeSpace, entry: number): Region | null {
  if (code.isInLoop(entry)) return null;
  const region = discovered(code, entry, LOOP_LIMIT, LOOP_SELDOM, LOOP_TARGETS);
  if (region === null || !isLoop(region)) return null;
  if (jumpsOf(region).some((rip) => code.isInLoop(rip))) return null;
  const targets = new Set([0, ...region.hub!.targets]);
  return structured(code, { ...region, hub: { ...region.hub!, targets: [...targets], isEntry: true } });
}

/** The region at `entry`, in which indirect jumps may lead on. */
export function withTargets(code: CodeSpace, entry: number, size: number): Region {
  const region = discovered(code, entry, size, SELDOM, TARGETS);
  const whole = region === null ? null : structured(code, region);
  return whole ?? endAtLoopHeads(discover(code.space, entry, { size, isSeldom: seldomIn(code, entry) }));
}

/** The region at `entry`, of so many instructions, with a hub; null: it has no indirect jumps of which the targets are known. */
function discovered(code: CodeSpace, entry: number, size: number, seldom: number, most: number): Region | null {
  const limits = { size, isSeldom: seldomIn(code, entry) };
  let targets: readonly number[] = [];
  for (let tries = 0; tries < TRIES; tries++) {
    const region = discover(code.space, entry, limits, targets);
    const found = mostFrequent(code, region, seldom, most);
    if (found.length === targets.length && found.every((target) => targets.includes(target))) {
      const nodes = targets.flatMap((target) => region.index.get(blockKey(0, target)) ?? []);
      const hub = { targets: nodes, heads: new Set<number>(), expected: new Map(), isEntry: false };
      return nodes.length === 0 ? null : { ...region, hub };
    }
    targets = found;
  }
  return null;
}

/** Where the region's indirect jumps go, the most frequent first. */
function mostFrequent(code: CodeSpace, region: Region, seldom: number, most: number): number[] {
  const counts = new Map<number, number>();
  let all = 0;
  for (const rip of jumpsOf(region)) {
    for (const [target, count] of code.targetsOf(rip)) {
      counts.set(target, (counts.get(target) ?? 0) + count);
      all += count;
    }
  }
  const list = [...counts].filter(([, count]) => count * seldom >= all).sort((a, b) => b[1] - a[1] || a[0] - b[0]);
  return list.slice(0, most).map(([target]) => target);
}

/** Its indirect jumps. */
function jumpsOf({ blocks }: Region): number[] {
  return blocks.map(({ insns }) => insns.at(-1)!).flatMap(({ flow, rip }) => (flow === 'jump-indirect' ? rip : []));
}

/** There are several targets, and control comes from one to the entry. */
function isLoop(region: Region): boolean {
  const { targets } = region.hub!;
  const successors = successorsOf(region);
  const reached = new Set(targets);
  for (const node of reached) for (const next of successors[node]!) reached.add(next);
  return targets.length > 1 && reached.has(0);
}

/** The region so that it has a structure: to the heads of loops that are entered elsewhere, too, control goes through the hub. */
function structured(code: CodeSpace, region: Region): Region | null {
  const { hub, blocks } = region;
  const heads = new Set<number>();
  for (;;) {
    const whole = { ...region, hub: { ...hub!, targets: [...new Set([...hub!.targets, ...heads])], heads } };
    const { irregular } = structureOf(successorsOf(whole), entryNode(whole));
    if (irregular.length === 0) return withExpected(code, whole);
    if (irregular.includes(blocks.length)) return null;
    for (const node of irregular) heads.add(node);
  }
}

/** The region with jumps going past the hub where that leaves its structure as it is, the most frequent first. */
function withExpected(code: CodeSpace, region: Region): Region {
  const { blocks, index, hub } = region;
  const edges = blocks.flatMap(({ insns }, from) => {
    const { flow, rip } = insns.at(-1)!;
    if (flow !== 'jump-indirect') return [];
    const targets = code.targetsOf(rip);
    const all = [...targets.values()].reduce((sum, count) => sum + count, 0);
    return [...targets].flatMap(([target, count]) => {
      const to = index.get(blockKey(0, target));
      return to === undefined || !hub!.targets.includes(to) || hub!.heads.has(to) || count * EXPECTED < all
        ? []
        : { from, to, count };
    });
  });
  edges.sort((a, b) => b.count - a.count || a.from - b.from || a.to - b.to);
  let best = region;
  for (const { from, to } of edges) {
    const { expected } = best.hub!;
    const more = new Map([...expected, [from, [...(expected.get(from) ?? []), to]]]);
    const next = { ...best, hub: { ...best.hub!, expected: more } };
    if (structureOf(successorsOf(next), entryNode(next)).reducible) best = next;
  }
  return best;
}
