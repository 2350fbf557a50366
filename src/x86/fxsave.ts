/**
 * The FXSAVE image: Intel SDM vol. 1, 10.5.1, table 10-2. The instructions work on the register file in the guest's memory,
 * signal frames on a saved context.
 */

import {
  type Context,
  FCW_DEFAULT,
  MXCSR_DEFAULT,
  MXCSR_EXACT,
  OFF_FCW,
  OFF_FDP,
  OFF_FIP,
  OFF_FOP,
  OFF_FSW,
  OFF_FTW,
  OFF_MXCSR,
  OFF_XMM,
} from './state.ts';
import { setWords, stackOffset } from './x87-words.ts';

export const FXSAVE_SIZE = 512;
/** Which bits of MXCSR may be set. */
export const MXCSR_MASK = 0xffff;

const AT_FTW = 4;
const AT_FOP = 6;
const AT_FIP = 8;
const AT_FDP = 16;
const AT_MXCSR = 24;
const AT_MXCSR_MASK = 28;
const AT_ST = 32;
const AT_XMM = 160;

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.length);

/**
 * Writes the image of `registers` (a register file), all but the bytes that software may use. `wide`: with REX.W, pointers
 * of 64 bits; else 32 bits and a selector, which is 0.
 */
export function saveImage(registers: Uint8Array, image: Uint8Array, wide: boolean): void {
  const from = viewOf(registers);
  const to = viewOf(image);
  const status = from.getUint16(OFF_FSW, true);
  to.setUint16(0, from.getUint16(OFF_FCW, true), true);
  to.setUint16(2, status, true);
  to.setUint16(AT_FTW, from.getUint8(OFF_FTW), true);
  to.setUint16(AT_FOP, from.getUint16(OFF_FOP, true), true);
  for (const [at, offset] of POINTERS) {
    to.setUint32(at, from.getUint32(offset, true), true);
    to.setUint32(at + 4, wide ? from.getUint32(offset + 4, true) : 0, true);
  }
  to.setUint32(AT_MXCSR, from.getUint32(OFF_MXCSR, true) & MXCSR_MASK, true);
  to.setUint32(AT_MXCSR_MASK, MXCSR_MASK, true);
  for (let i = 0; i < 8; i++) {
    const at = stackOffset(status, i);
    image.set(registers.subarray(at, at + 10), AT_ST + i * 16);
    image.fill(0, AT_ST + i * 16 + 10, AT_ST + i * 16 + 16);
  }
  image.set(registers.subarray(OFF_XMM, OFF_XMM + 256), AT_XMM);
}

const POINTERS = [
  [AT_FIP, OFF_FIP],
  [AT_FDP, OFF_FDP],
] as const;

/** The MXCSR that an image holds. */
export function mxcsrOf(image: Uint8Array): number {
  return viewOf(image).getUint32(AT_MXCSR, true);
}

/** The other way. Reserved bits of MXCSR are dropped; whether its flags are followed stays. */
export function restoreImage(registers: Uint8Array, image: Uint8Array, wide: boolean): void {
  const from = viewOf(image);
  const to = viewOf(registers);
  const status = from.getUint16(2, true);
  setWords(to, 0, from.getUint16(0, true), status);
  to.setUint16(OFF_FTW, from.getUint8(AT_FTW), true);
  to.setUint16(OFF_FOP, from.getUint16(AT_FOP, true) & 0x7ff, true);
  for (const [at, offset] of POINTERS) {
    to.setUint32(offset, from.getUint32(at, true), true);
    to.setUint32(offset + 4, wide ? from.getUint32(at + 4, true) : 0, true);
  }
  const followed = to.getUint32(OFF_MXCSR, true) & MXCSR_EXACT;
  to.setUint32(OFF_MXCSR, (from.getUint32(AT_MXCSR, true) & MXCSR_MASK) | followed, true);
  for (let i = 0; i < 8; i++) {
    registers.set(image.subarray(AT_ST + i * 16, AT_ST + i * 16 + 10), stackOffset(status, i));
  }
  registers.set(image.subarray(AT_XMM, AT_XMM + 256), OFF_XMM);
}

export function fxsave(context: Context): Uint8Array {
  const image = new Uint8Array(FXSAVE_SIZE);
  saveImage(context.u8, image, true);
  return image;
}

/** Reserved bits of MXCSR are dropped, as the kernel does with a signal frame (arch/x86/kernel/fpu/signal.c). */
export function fxrstor(context: Context, image: Uint8Array): void {
  restoreImage(context.u8, image, true);
}

const INITIAL = new Uint8Array(FXSAVE_SIZE);
viewOf(INITIAL).setUint16(0, FCW_DEFAULT, true);
viewOf(INITIAL).setUint32(AT_MXCSR, MXCSR_DEFAULT, true);

/** The state that a program and every signal handler begin with (arch/x86/kernel/fpu/core.c, fpu__clear_user_states). */
export function initializeFpu(context: Context): void {
  restoreImage(context.u8, INITIAL, true);
}
