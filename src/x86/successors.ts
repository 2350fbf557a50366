/** Which blocks of a region control goes to from each. */

import { type Block, blockKey, type Region } from './region.ts';

/** By number of a block: the numbers of those behind it in the region. */
export function successorsOf(region: Region): number[][] {
  return region.blocks.map((block) => successors(region, block));
}

function successors(region: Region, { insns, end, frame, callee }: Block): number[] {
  const result: number[] = [];
  const { flow, operands } = insns.at(-1)!;
  const add = (rip: number, inFrame = frame): void => {
    const to = region.index.get(blockKey(inFrame, rip));
    if (to !== undefined) result.push(to);
  };
  const target = operands[0];
  if ((flow === 'jump' || flow === 'branch') && target?.kind === 'target') add(target.address);
  if (flow === 'call' && callee !== 0 && target?.kind === 'target') add(target.address, callee);
  else if (flow === 'next' || flow === 'branch' || flow === 'call' || flow === 'call-indirect') add(end);
  const { caller, returnTo } = region.frames[frame]!;
  if (flow === 'ret' && frame !== 0) add(returnTo, caller);
  return result;
}
