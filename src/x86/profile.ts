/**
 * What cold regions note while they run, for the hot regions that are made later: where indirect jumps go, and how often each
 * block is executed. Hints only: entries are shared by what has the same hash, may be old, and do not belong to the guest's state.
 */

import { BLOCK_COUNTS, BLOCK_COUNTS_ENTRIES, JUMP_TARGETS, JUMP_TARGETS_SIZE } from '../lvm/layout.ts';
import type { Code } from '../wasm/emitter.ts';
import { FUNC_HOT } from './calling.ts';
import type { CodeSpace } from './code-group.ts';

/** Of an entry: { the jump's address: u32, target: u32, how often: u32, nothing: u32 }. */
const ENTRY_SIZE = 16;
const OFF_JUMP = 0;
const OFF_TARGET = 4;
const OFF_COUNT = 8;
/** Bits of a target's hash: which of a jump's entries it is noted in. */
const TARGET_BITS = 6;
const GOLDEN_RATIO = 0x9e37_79b1;
const JUMP_SHIFT = 32 - Math.log2(JUMP_TARGETS_SIZE / ENTRY_SIZE) + TARGET_BITS;

/** (target, jump): the indirect jump goes there. */
export function noteJump(f: Code): Code {
  const [target, jump] = [0, 1];
  const entry = f.local('i32');
  f.localGet(jump).i32Const(GOLDEN_RATIO).i32Mul().i32Const(JUMP_SHIFT).i32ShrU();
  f.i32Const(ENTRY_SIZE << TARGET_BITS).i32Mul();
  f.localGet(target)
    .i32Const(GOLDEN_RATIO)
    .i32Mul()
    .i32Const(32 - TARGET_BITS)
    .i32ShrU();
  f.i32Const(ENTRY_SIZE).i32Mul().i32Add().i32Const(JUMP_TARGETS).i32Add().localSet(entry);
  f.localGet(entry).i32Load(OFF_JUMP).localGet(jump).i32Eq();
  f.localGet(entry).i32Load(OFF_TARGET).localGet(target).i32Eq().i32And().i32Eqz().if();
  f.localGet(entry).localGet(jump).i32Store(OFF_JUMP);
  f.localGet(entry).localGet(target).i32Store(OFF_TARGET);
  f.localGet(entry).i32Const(0).i32Store(OFF_COUNT);
  f.end();
  f.localGet(entry).localGet(entry).i32Load(OFF_COUNT).i32Const(1).i32Add().i32Store(OFF_COUNT);
  return f.end();
}

/** How often the jump at `rip` has gone to each target that is noted. */
export function targetsOf(view: DataView, rip: number): Map<number, number> {
  const targets = new Map<number, number>();
  const first = JUMP_TARGETS + (Math.imul(rip, GOLDEN_RATIO) >>> JUMP_SHIFT) * (ENTRY_SIZE << TARGET_BITS);
  for (let at = first; at < first + (ENTRY_SIZE << TARGET_BITS); at += ENTRY_SIZE) {
    if (view.getUint32(at + OFF_JUMP, true) !== rip) continue;
    targets.set(view.getUint32(at + OFF_TARGET, true), view.getUint32(at + OFF_COUNT, true));
  }
  return targets;
}

/** The address of a block's count (u32). */
export function countAt(rip: number): number {
  return BLOCK_COUNTS + (((rip ^ (rip >>> 16)) & (BLOCK_COUNTS_ENTRIES - 1)) << 2);
}

/** The block at `rip` is executed. */
export function countBlock(f: Code, rip: number): void {
  const at = countAt(rip);
  f.i32Const(0).i32Const(0).i32Load(at).i32Const(1).i32Add().i32Store(at);
}

/** Executions of a cold region's first block after which it is hot, and again so many: where a run never stops nothing else tells. */
const OFTEN = 1 << 16;

/** Behind `countBlock` of a region's first block. */
export function tellHot(f: Code, rip: number): void {
  f.i32Const(0)
    .i32Load(countAt(rip))
    .i32Const(OFTEN - 1)
    .i32And()
    .i32Eqz()
    .ifRarely();
  f.i32Const(rip).call(FUNC_HOT).end();
}

/** How often the block at `rip` has been executed. */
export function countOf(view: DataView, rip: number): number {
  return view.getUint32(countAt(rip), true);
}

/** What is executed more seldom than one in so many times that control comes to a region is not part of it. */
const SELDOM = 64;

/** Tells which blocks are seldom executed, as far as that can be known of a region that begins at `entry`. */
export function seldomIn(code: CodeSpace, entry: number, seldom = SELDOM): (rip: number) => boolean {
  const often = code.countOf(entry);
  return (rip) => code.countOf(rip) * seldom < often;
}
