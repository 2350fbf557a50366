/**
 * A region that begins in the middle of a loop, whether because the guest was found there or because the loop is entered at its
 * condition, has no structure: the loop could be entered at its head as well. It ends at that head: what begins there has the
 * whole loop, and control stays in it from then on.
 */

import { blockKey, indexOf, type Region } from './region.ts';
import { structureOf } from './structure.ts';
import { successorsOf } from './successors.ts';

/** The region, or if that has no structure what of it is reached without coming to the head of a loop that it began in. */
export function endAtLoopHeads(region: Region): Region {
  if (region.blocks.length === 0) return region;
  const targets = successorsOf(region);
  if (structureOf(targets).reducible) return region;
  const heads = new Set<number>();
  region.blocks.forEach(({ insns, frame }, node) => {
    const { flow, operands, rip } = insns.at(-1)!;
    const target = operands[0];
    if ((flow !== 'jump' && flow !== 'branch') || target?.kind !== 'target' || target.address > rip) return;
    const head = region.index.get(blockKey(frame, target.address));
    if (head === undefined || head === 0) return;
    if (reached(targets, new Set([head])).has(node)) heads.add(head);
  });
  const left = reached(targets, heads);
  const blocks = region.blocks.filter((_, node) => left.has(node));
  return { ...region, blocks, index: indexOf(blocks) };
}

/** The nodes that are reached from node 0 on ways without `without`. */
function reached(targets: readonly (readonly number[])[], without: ReadonlySet<number>): ReadonlySet<number> {
  const seen = new Set([0]);
  for (const node of seen) for (const to of targets[node]!) if (!without.has(to)) seen.add(to);
  return seen;
}
