/**
 * Careful code: code by the basic block, enterable at every instruction, in which a failed page check is repaired in place
 * (`fix`) instead of leaving. It runs from the instruction at which normal code gave up until a region begins or the
 * function ends, and at the end of an exact run, the very end one instruction at a time.
 */

import { REGISTER_FILE, STATE_CODE, USER_END } from '../lvm/layout.ts';
import { type CodeGroup, KIND_CAREFUL } from './code-group.ts';
import { DEPTH_LIMIT } from './lower-control.ts';
import { discover } from './region.ts';
import type { RegionFunction, SpaceCode } from './space-code.ts';
import {
  EXIT_CALLED,
  EXIT_FAULT,
  EXIT_FETCH,
  EXIT_NONE,
  EXIT_RESUME,
  EXIT_RETURNED,
  OFF_EXIT,
  OFF_EXIT_ADDRESS,
  OFF_EXIT_ERROR,
  OFF_EXIT_VECTOR,
  OFF_RIP,
  VECTOR_GP,
  VECTOR_PF,
} from './state.ts';
import type { Machine } from './support.ts';
import type { Translations } from './translations.ts';

/** Instructions that are made careful together. */
const LIMIT = 40;
/** Careful blocks run one after the other before a region is translated for the place where they have come to. */
const BLOCKS_MAX = 64;
/** Instructions that code was made for one by one; each has a module. */
const SINGLES_MAX = 1024;
/** Guest calls that a nested call from JavaScript counts for: its frames are larger than those of regions. */
const JS_DEPTH = 4;

/** Page-fault error code (SDM vol. 3, 4.7): protection violation, write, user mode, instruction fetch. */
export const ERROR_PRESENT = 1;
export const ERROR_WRITE = 2;
export const ERROR_USER = 4;
export const ERROR_FETCH = 16;

/** A way into a careful block. */
interface Entry {
  readonly group: CodeGroup;
  readonly run: RegionFunction;
  /** The instruction of the group to begin with: the function's first argument. */
  readonly index: number;
  /** Instructions from there to the block's end. */
  readonly length: number;
  /** Address behind the block: where a call at its end returns to. */
  readonly end: number;
}

export class CarefulCode {
  /** The next instruction must be run by itself. */
  alone = false;
  readonly #machine: Machine;
  readonly #u32: Uint32Array;
  readonly #code: SpaceCode;
  readonly #translations: Translations;
  /** By the address of the instruction: blocks, and single instructions. */
  readonly #blocks = new Map<number, Entry>();
  readonly #singles = new Map<number, Entry>();
  /** The code that runs has one instruction: it may drop translated code. */
  #inSingle = false;

  constructor(machine: Machine, u32: Uint32Array, code: SpaceCode, translations: Translations) {
    this.#machine = machine;
    this.#u32 = u32;
    this.#code = code;
    this.#translations = translations;
  }

  /**
   * Runs at least one instruction (one iteration of a REP instruction) and, if nothing else ends it, at most `limit`.
   * Returns the next rip, or 0.
   */
  step(rip: number, limit: number): number {
    if (!this.alone && limit > 1) {
      const block = this.#block(rip);
      if (block !== undefined && block.length <= limit) {
        this.#inSingle = false;
        return block.run(block.index, rip) >>> 0;
      }
    }
    this.alone = false;
    const single = this.#single(rip);
    if (single === undefined) return this.#unfetchable();
    this.#inSingle = true;
    return single.run(0, rip) >>> 0;
  }

  /**
   * Import `slow`: the instruction at rip failed a check in normal code. Goes on with careful code in the place of the
   * region that gave up, until it returns or comes to where a region begins. Returns the next rip or 0; OFF_EXIT tells
   * whether it is for the region's caller (EXIT_RETURNED) or to be jumped to.
   */
  slow(depth: number): number {
    const u32 = this.#u32;
    const code = this.#code;
    let rip = u32[OFF_RIP >> 2]!;
    for (let n = 0; n < BLOCKS_MAX; n++) {
      const block = this.#block(rip);
      if (block === undefined) return this.#unfetchable();
      this.#inSingle = false;
      u32[OFF_EXIT >> 2] = EXIT_NONE;
      rip = block.run(block.index, rip) >>> 0;
      if (rip === 0 || u32[OFF_EXIT >> 2] === EXIT_RETURNED) return rip;
      if (u32[OFF_EXIT >> 2] === EXIT_CALLED) {
        if (depth < DEPTH_LIMIT) {
          const slot = code.resolve(rip);
          if (slot === 0) return this.#unfetchable();
          rip = code.call(slot, depth + JS_DEPTH, rip);
        }
        if (rip !== block.end) {
          if (rip !== 0) u32[OFF_EXIT >> 2] = EXIT_RETURNED;
          return rip;
        }
      }
      if (code.isReached(rip)) break;
    }
    u32[OFF_EXIT >> 2] = EXIT_NONE;
    return rip;
  }

  /**
   * Import `fix`: makes an access possible or raises #PF. `access`: size | write << 16; the address is in
   * OFF_EXIT_ADDRESS. Returns 0, or 1 to leave.
   */
  fix(access: number): number {
    const { space, view } = this.#machine;
    const full = view.getBigUint64(REGISTER_FILE + OFF_EXIT_ADDRESS, true);
    const size = access & 0xffff;
    const write = access >>> 16 !== 0;
    if (full >= BigInt(USER_END)) return this.#pageFault(full, write);
    const address = Number(full);
    if (!this.#inSingle && write && this.#touchesCode(address, size)) {
      // Regions on the wasm stack and the rest of this block may become stale: leave all of them before the store.
      this.alone = true;
      this.#u32[OFF_EXIT >> 2] = EXIT_RESUME;
      return 1;
    }
    const failed = space.resolve(address, size, write);
    return failed === -1 ? 0 : this.#pageFault(BigInt(failed), write);
  }

  #pageFault(address: bigint, write: boolean): number {
    const { space, view } = this.#machine;
    const u32 = this.#u32;
    u32[OFF_EXIT >> 2] = EXIT_FAULT;
    u32[OFF_EXIT_ERROR >> 2] = 0;
    if (!isCanonical(address)) {
      u32[OFF_EXIT_VECTOR >> 2] = VECTOR_GP;
      view.setBigUint64(REGISTER_FILE + OFF_EXIT_ADDRESS, 0n, true);
      return 1;
    }
    const present = address < BigInt(USER_END) && space.isPresent(Number(address));
    u32[OFF_EXIT_VECTOR >> 2] = VECTOR_PF;
    u32[OFF_EXIT_ERROR >> 2] = ERROR_USER | (write ? ERROR_WRITE : 0) | (present ? ERROR_PRESENT : 0);
    view.setBigUint64(REGISTER_FILE + OFF_EXIT_ADDRESS, address, true);
    return 1;
  }

  #touchesCode(address: number, size: number): boolean {
    const pages = this.#machine.space.state;
    return ((pages[address >>> 12]! | pages[(address + size - 1) >>> 12]!) & STATE_CODE) !== 0;
  }

  #unfetchable(): number {
    this.#u32[OFF_EXIT >> 2] = EXIT_FETCH;
    return 0;
  }

  /** The careful block with the instruction at rip; undefined when it cannot be fetched. */
  #block(rip: number): Entry | undefined {
    if (!this.#blocks.has(rip)) this.warm(rip);
    return this.#blocks.get(rip);
  }

  /** `moved`: what is entered is so already, and its functions are others now. */
  #enter(group: CodeGroup | null, moved = false): void {
    if (group === null) return;
    const run = this.#code.load(group);
    const { starts, spans } = group.pieces[0]!;
    let index = 0;
    for (let block = 0; block < spans.length; block += 2) {
      const end = spans[block + 1]!;
      // The next block begins with its own first instruction.
      let behind = index + 1;
      while (behind < starts.length && starts[behind] !== spans[block + 2]) behind++;
      for (; index < behind; index++) {
        const start = starts[index]!;
        const known = this.#blocks.get(start);
        if (moved ? known?.group !== group : known !== undefined) continue;
        this.#blocks.set(start, { group, run: run[0]!, index, length: behind - index, end });
      }
    }
  }

  /** Makes the instruction at rip careful, with what comes next. */
  warm(rip: number): void {
    const { space } = this.#machine;
    this.#enter(this.#translations.careful(this.#code, rip, () => discover(space, rip, LIMIT).blocks));
  }

  #single(rip: number): Entry | undefined {
    let entry = this.#singles.get(rip);
    if (entry !== undefined) return entry;
    if (this.#singles.size >= SINGLES_MAX) {
      for (const { group } of this.#singles.values()) this.#code.unload(group);
      this.#singles.clear();
    }
    const block = discover(this.#machine.space, rip, 1).blocks[0];
    if (block === undefined) return undefined;
    const group = this.#translations.single(this.#machine.space, block);
    entry = { group, run: this.#code.load(group)[0]!, index: 0, length: 1, end: block.end };
    this.#singles.set(rip, entry);
    return entry;
  }

  /** After SpaceCode.move. */
  move(moved: ReadonlySet<CodeGroup>): void {
    for (const group of moved) if (group.kind === KIND_CAREFUL && this.#code.isLoaded(group)) this.#enter(group, true);
  }

  /** Code on the pages has changed. */
  dropPages(first: number, count: number): void {
    for (const entries of [this.#blocks, this.#singles]) {
      for (const [rip, { group }] of entries) {
        if (!group.pages.some((page) => page >= first && page < first + count)) continue;
        this.#code.unload(group);
        entries.delete(rip);
      }
    }
  }
}

/** SDM vol. 1, 3.3.7.1. */
export function isCanonical(address: bigint): boolean {
  return address >> 47n === 0n || address >> 47n === 0x1ffffn;
}
