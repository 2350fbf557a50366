/** Regions that begin in the middle of a loop. */

import { expect, it } from 'vitest';
import { AddressSpace } from '../lvm/address-space.ts';
import { endAtLoopHeads } from './loop-heads.ts';
import { discover } from './region.ts';
import { structureOf } from './structure.ts';
import { successorsOf } from './successors.ts';

const CODE = 0x40_0000;

/*
 * Two loops, the inner one entered at its condition and left in two ways:
 *   0: nop  (outer head)
 *   1: jmp 8
 *   3: dec rax; jz d  (inner head)
 *   8: dec rcx; jnz 3
 *   d: dec rdx; jnz 0
 *  12: ret
 */
const NEST = '90 eb05 48ffc8 7405 48ffc9 75f6 48ffca 75ee c3';

function regionAt(offset: number) {
  const space = new AddressSpace(1);
  space.map(CODE, 0x1000, 5);
  space.poke(CODE, Buffer.from(NEST.replaceAll(' ', ''), 'hex'));
  return discover(space, CODE + offset, { size: 100 });
}

it('ends at the head of the loop that it began in', () => {
  const region = regionAt(3);
  expect(structureOf(successorsOf(region)).reducible).toBe(false);
  const ended = endAtLoopHeads(region);
  expect(structureOf(successorsOf(ended)).reducible).toBe(true);
  expect(ended.blocks.map(({ start }) => start - CODE)).toEqual([3, 8, 0xd, 0x12]);
});

it('stays as it is where it has a structure', () => {
  const region = regionAt(0);
  expect(endAtLoopHeads(region)).toBe(region);
});
