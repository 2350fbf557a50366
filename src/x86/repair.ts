/**
 * What happens where an access of an instruction fails its check: the page becomes accessible as it should (dirty, its
 * translated code dropped), or the instruction raises #PF.
 */

import { REGISTER_FILE, STATE_CODE, USER_END } from '../lvm/layout.ts';
import {
  EXIT_FAULT,
  EXIT_RESUME,
  OFF_EXIT,
  OFF_EXIT_ADDRESS,
  OFF_EXIT_ERROR,
  OFF_EXIT_VECTOR,
  VECTOR_PF,
  VECTOR_SS,
} from './state.ts';
import type { Machine } from './support.ts';

/** Page-fault error code (SDM vol. 3, 4.7): protection violation, write, user mode, instruction fetch. */
export const ERROR_PRESENT = 1;
export const ERROR_WRITE = 2;
export const ERROR_USER = 4;
export const ERROR_FETCH = 16;

export class Repair {
  /** The next instruction must be run by itself: it changes code. */
  alone = false;
  /** It is being run by itself: nothing on the wasm stack can become stale. */
  isAlone = false;
  readonly #machine: Machine;
  readonly #u32: Uint32Array;

  constructor(machine: Machine, u32: Uint32Array) {
    this.#machine = machine;
    this.#u32 = u32;
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
    if (full >= BigInt(USER_END)) {
      // Of an access over the border of what is canonical no byte is touched. Ten bytes, a number of the x87, are two
      // accesses: its significand's comes first.
      const first = size === 10 ? 8 : size;
      const end = BigInt.asUintN(64, full + BigInt(Math.max(0, first - 1)));
      return this.#pageFault(isCanonical(full) && !isCanonical(end) ? end : full, write);
    }
    const address = Number(full);
    if (!this.isAlone && write && this.#touchesCode(address, size)) {
      // Regions and records on the wasm stack may become stale: leave all of them before the store.
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
      // #GP(0), or #SS(0) for the stack segment: TranslatingCpu tells with the registers at hand.
      u32[OFF_EXIT_VECTOR >> 2] = VECTOR_SS;
      view.setBigUint64(REGISTER_FILE + OFF_EXIT_ADDRESS, address, true);
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
}

/** SDM vol. 1, 3.3.7.1. */
export function isCanonical(address: bigint): boolean {
  return address >> 47n === 0n || address >> 47n === 0x1ffffn;
}
