/** The graph of a region's blocks, and where control comes into it. */

import { isFarBranch } from './instruction.ts';
import { type Block, blockKey, type Region } from './region.ts';

/** By number of a block: the numbers of those behind it in the region. The last node is the hub, if there is one. */
export function successorsOf(region: Region): number[][] {
  const lists = region.blocks.map((block, node) => successors(region, block, node));
  if (region.hub !== null) lists.push([...region.hub.targets]);
  return lists;
}

/** The node that control comes to first. */
export function entryNode({ hub, blocks }: Region): number {
  return hub?.isEntry ? blocks.length : 0;
}

function successors(region: Region, { insns, end, frame, callee }: Block, node: number): number[] {
  const { hub, blocks } = region;
  const result: number[] = [];
  const { flow, operands } = insns.at(-1)!;
  const add = (rip: number, inFrame = frame): void => {
    const to = region.index.get(blockKey(inFrame, rip));
    if (to !== undefined) result.push(hub?.heads.has(to) ? blocks.length : to);
  };
  const target = operands[0];
  if (isFarBranch(insns.at(-1)!)) return [];
  if ((flow === 'jump' || flow === 'branch') && target?.kind === 'target') add(target.address);
  if (callee !== 0) {
    add(region.frames[callee]!.entry, callee);
    return result;
  }
  if (flow === 'next' || flow === 'branch' || flow === 'call' || flow === 'call-indirect') add(end);
  const { caller, returnTo } = region.frames[frame]!;
  if ((flow === 'ret' || flow === 'jump-indirect') && frame !== 0) add(returnTo, caller);
  else if (flow === 'jump-indirect' && hub !== null) result.push(...(hub.expected.get(node) ?? []), blocks.length);
  return result;
}
