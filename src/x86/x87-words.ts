/** The x87's control and status word: Intel SDM vol. 1, 8.1.3 and 8.1.5. */

import { OFF_FCW, OFF_FSW, OFF_ST } from './state.ts';

/** The exception flags of softfloat.ts; their masks are the same bits of the control word. */
export const FSW_FLAGS = 0x3f;
/** With IE: it was the stack, C1 telling which way. */
export const FSW_SF = 0x40;
/** An exception that is not masked is pending; B is the same. */
export const FSW_ES = 0x80;
export const FSW_B = 0x8000;
export const FSW_C0 = 0x100;
export const FSW_C1 = 0x200;
export const FSW_C2 = 0x400;
export const FSW_C3 = 0x4000;
export const FSW_TOP_SHIFT = 11;
export const FSW_TOP = 0x3800;

/** Bits of the control word that can be set, and the one that always is. */
export const FCW_WRITABLE = 0x1f3f;
export const FCW_ONE = 0x40;

/** Sets both words of a register file as they can be: ES and B follow from the flags and the masks. */
export function setWords(registers: DataView, base: number, control: number, status: number): void {
  const fcw = (control & FCW_WRITABLE) | FCW_ONE;
  const clear = status & ~(FSW_ES | FSW_B);
  const pending = (status & ~fcw & FSW_FLAGS) !== 0;
  registers.setUint16(base + OFF_FCW, fcw, true);
  registers.setUint16(base + OFF_FSW, pending ? clear | FSW_ES | FSW_B : clear, true);
}

/** Offset in a register file of ST(i), of the status word given. */
export function stackOffset(status: number, i: number): number {
  return OFF_ST + (((status >> FSW_TOP_SHIFT) + i) & 7) * 16;
}
