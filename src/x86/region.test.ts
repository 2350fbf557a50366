/** Where regions end. */

import { describe, expect, it } from 'vitest';
import { AddressSpace } from '../lvm/address-space.ts';
import { discover, REGION_LIMIT } from './region.ts';

const CODE = 0x40_0000;

function spaceWith(code: Uint8Array): AddressSpace {
  const space = new AddressSpace(1);
  space.map(CODE, 0x4000, 5);
  space.poke(CODE, code);
  return space;
}

function sizeOf(code: Uint8Array, size: number, isSeldom?: (rip: number) => boolean): number {
  const { blocks } = discover(spaceWith(code), CODE, { size, ...(isSeldom === undefined ? {} : { isSeldom }) });
  return blocks.reduce((sum, { insns }) => sum + insns.length, 0);
}

describe('a region', () => {
  // nop …; ret
  const line = (count: number): Uint8Array => new Uint8Array(count + 1).fill(0x90).fill(0xc3, count);

  it('has a long straight line whole, as far as there is room for any', () => {
    expect(sizeOf(line(2500), 100)).toBe(2501);
    expect(sizeOf(line(5000), 200)).toBe(REGION_LIMIT);
  });

  it('has as many instructions as it may where there are branches', () => {
    // jz +0, again and again
    const branches = Uint8Array.from({ length: 0x1000 }, (_, i) => (i % 2 === 0 ? 0x74 : 0));
    expect(sizeOf(branches, 100)).toBe(100);
  });

  it('ends where code is seldom executed', () => {
    // jz +1; nop; ret
    const code = Uint8Array.of(0x74, 0x01, 0x90, 0xc3);
    expect(sizeOf(code, 100)).toBe(3);
    expect(sizeOf(code, 100, (rip) => rip === CODE + 2)).toBe(2);
    expect(sizeOf(code, 100, (rip) => rip === CODE + 2 || rip === CODE + 3)).toBe(1);
  });
});
