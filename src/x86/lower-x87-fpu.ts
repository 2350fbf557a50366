/**
 * The x87's registers as the helpers see them: stack, tags, status word, exceptions. Intel SDM vol. 1, 8.1 and 8.6.
 *
 * A helper begins with `enter`, ends with `leave`. A pending exception has been reported before it is called.
 */

import { REGISTER_FILE } from '../lvm/layout.ts';
import { IE, PRE_COMPUTATION } from './softfloat.ts';
import { Parts } from './softfloat-core.ts';
import { signExponentOf, unpack, X87Arithmetic } from './softfloat-x87.ts';
import { OFF_FCW, OFF_FIP, OFF_FOP, OFF_FSW, OFF_FTW, OFF_ST } from './state.ts';
import type { Machine } from './support.ts';
import { FSW_B, FSW_C1, FSW_ES, FSW_FLAGS, FSW_SF, FSW_TOP, FSW_TOP_SHIFT } from './x87-words.ts';

const REGISTERS = REGISTER_FILE + OFF_ST;

export class Fpu {
  readonly arithmetic = new X87Arithmetic();
  machine!: Machine;
  view!: DataView;
  control = 0;
  status = 0;
  /** One bit a physical register: 1 is valid. */
  tags = 0;

  /** C1 is cleared, as nearly every instruction does. */
  enter(machine: Machine): void {
    this.machine = machine;
    const view = machine.view;
    this.view = view;
    this.control = view.getUint16(REGISTER_FILE + OFF_FCW, true);
    this.status = view.getUint16(REGISTER_FILE + OFF_FSW, true) & ~FSW_C1;
    this.tags = view.getUint16(REGISTER_FILE + OFF_FTW, true);
    this.arithmetic.begin(this.control);
  }

  leave(): 0 {
    this.view.setUint16(REGISTER_FILE + OFF_FSW, this.status, true);
    this.view.setUint16(REGISTER_FILE + OFF_FTW, this.tags, true);
    return 0;
  }

  // --- stack ---

  #physical(i: number): number {
    return ((this.status >> FSW_TOP_SHIFT) + i) & 7;
  }

  isEmpty(i: number): boolean {
    return ((this.tags >> this.#physical(i)) & 1) === 0;
  }

  /** Register ST(i) taken apart. */
  get(i: number, p: Parts): Parts {
    const at = REGISTERS + this.#physical(i) * 16;
    const view = this.view;
    return unpack(p, view.getUint16(at + 8, true), view.getInt32(at + 4, true), view.getInt32(at, true));
  }

  /** A result into ST(i), which becomes valid. */
  set(i: number, p: Parts): void {
    this.setRaw(i, signExponentOf(p), p.high, p.low);
  }

  setRaw(i: number, signExponent: number, high: number, low: number): void {
    const physical = this.#physical(i);
    const at = REGISTERS + physical * 16;
    const view = this.view;
    view.setInt32(at, low, true);
    view.setInt32(at + 4, high, true);
    view.setUint16(at + 8, signExponent, true);
    this.tags |= 1 << physical;
  }

  signExponent(i: number): number {
    return this.view.getUint16(REGISTERS + this.#physical(i) * 16 + 8, true);
  }

  /** Exchanges ST(0) and ST(i), both valid. */
  exchange(i: number): void {
    const a = REGISTERS + this.#physical(0) * 16;
    const b = REGISTERS + this.#physical(i) * 16;
    const { u8 } = this.machine.space;
    const content = u8.slice(a, a + 10);
    u8.copyWithin(a, b, b + 10);
    u8.set(content, b);
  }

  pop(): void {
    this.tags &= ~(1 << this.#physical(0));
    this.#turn(1);
  }

  /** Makes room; the new ST(0) is to be set. */
  push(): void {
    this.#turn(-1);
  }

  #turn(by: number): void {
    const top = (this.status >> FSW_TOP_SHIFT) + by;
    this.status = (this.status & ~FSW_TOP) | ((top << FSW_TOP_SHIFT) & FSW_TOP);
  }

  // --- exceptions ---

  /** An empty register where one is needed (underflow) or a full one (overflow). True: masked, go on with indefinite. */
  stackFault(overflow: boolean): boolean {
    if (overflow) this.status |= FSW_C1;
    this.#signal(IE | FSW_SF);
    return (this.control & IE) !== 0;
  }

  /**
   * Takes over the exceptions of the arithmetic. False: one of `preventing` is not masked, so there is no result; then
   * only these are reported.
   */
  commit(preventing = PRE_COMPUTATION): boolean {
    const { flags, unmasked, roundedAway } = this.arithmetic;
    if (flags === 0) return true;
    if ((flags & unmasked & preventing) !== 0) {
      this.#signal(flags & preventing);
      return false;
    }
    if (roundedAway) this.status |= FSW_C1;
    this.#signal(flags);
    return true;
  }

  #signal(flags: number): void {
    this.status |= flags;
    if ((flags & ~this.control & FSW_FLAGS) === 0) return;
    this.status |= FSW_ES | FSW_B;
    this.view.setUint16(REGISTER_FILE + OFF_FOP, this.#opcode(), true);
  }

  /** The eleven bits that FOP has: the low three of the first opcode byte, and the second (SDM vol. 1, 8.1.9). */
  #opcode(): number {
    const { space } = this.machine;
    let at = this.view.getUint32(REGISTER_FILE + OFF_FIP, true);
    while ((space.u8[at]! & 0xf8) !== 0xd8) at++;
    return ((space.u8[at]! & 7) << 8) | space.u8[at + 1]!;
  }
}

/** What the helpers work with; nothing in it outlives a helper. */
export const fpu = new Fpu();
export const A = new Parts();
export const B = new Parts();
export const R = new Parts();
