/**
 * What the code of a function in a region accesses of its stack frame, to be checked at once: through rbp as a frame pointer, or
 * through rsp where it does not move. A guess, which costs time where it is wrong: a check of more than is accessed may fail for
 * a page that need not be ready.
 */

import type { Range } from './access.ts';
import type { MemoryOperand } from './instruction.ts';
import type { Block, Region } from './region.ts';
import { RBP, RSP } from './state.ts';

/** Bytes of a frame that are checked at once. */
const FRAME_SPAN = 1024;
/** Where a caller's part begins above rbp: behind the saved rbp and the return address. */
const ABOVE_RBP = 16;

/** By base register: what of the frame the function's blocks access through it. */
export type StackFrame = ReadonlyMap<number, Range>;

const NO_FRAME: StackFrame = new Map();

/** The stack frame of each frame number of the region. */
export function stackFrames(region: Region): readonly StackFrame[] {
  return region.frames.map((_, number) => {
    const blocks = region.blocks.filter(({ frame }) => frame === number);
    const ranges = new Map<number, Range>();
    const pointers = accesses(blocks, RBP);
    if (pointers.every(({ mem }) => mem.disp < 0 || mem.disp >= ABOVE_RBP)) {
      add(
        ranges,
        RBP,
        pointers.filter(({ mem }) => mem.disp < 0),
      );
    }
    add(ranges, RSP, accesses(blocks.filter(isStill), RSP));
    return ranges.size === 0 ? NO_FRAME : ranges;
  });
}

/** True for a block in which rsp stays what it is, calls aside. */
export function isStill({ insns }: Pick<Block, 'insns'>): boolean {
  return insns.every(({ op, operands }) => {
    const to = operands[0];
    const writes = to?.kind === 'reg' && to.file === 'gpr' && to.index === RSP;
    return op !== 'push' && op !== 'pop' && op !== 'leave' && op !== 'enter' && !writes;
  });
}

interface StackAccess {
  readonly mem: MemoryOperand;
  readonly write: boolean;
}

function accesses(blocks: readonly Block[], base: number): StackAccess[] {
  const list: StackAccess[] = [];
  for (const { insns } of blocks) {
    for (const { op, operands } of insns) {
      operands.forEach((mem, i) => {
        if (mem.kind !== 'mem' || mem.base !== base || mem.index >= 0 || op === 'lea' || op === 'nop') return;
        if (mem.segment !== 'none' || mem.size === 0) return;
        list.push({ mem, write: i === 0 && op !== 'cmp' && op !== 'test' && operands.length > 1 });
      });
    }
  }
  return list;
}

function add(ranges: Map<number, Range>, base: number, list: readonly StackAccess[]): void {
  if (list.length < 2) return;
  const low = Math.min(...list.map(({ mem }) => mem.disp));
  const high = Math.max(...list.map(({ mem }) => mem.disp + mem.size));
  if (high - low > FRAME_SPAN) return;
  ranges.set(base, { low, high, write: list.some(({ write }) => write) });
}
