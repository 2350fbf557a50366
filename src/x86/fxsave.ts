/**
 * The FXSAVE image of a saved context and back, as signal frames carry it. Source: SDM vol. 1, 10.5.1, table 10-2
 * (64-bit layout with REX.W).
 */

import {
  type Context,
  OFF_FCW,
  OFF_FDP,
  OFF_FIP,
  OFF_FOP,
  OFF_FSW,
  OFF_FTW,
  OFF_MXCSR,
  OFF_ST,
  OFF_XMM,
} from './state.ts';

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

/** Where ST(i) stands among the physical registers. */
function stackOffset(statusWord: number, i: number): number {
  return OFF_ST + (((statusWord >> 11) + i) & 7) * 16;
}

export function fxsave(context: Context): Uint8Array {
  const from = viewOf(context.u8);
  const image = new Uint8Array(FXSAVE_SIZE);
  const to = viewOf(image);
  const status = from.getUint16(OFF_FSW, true);
  to.setUint16(0, from.getUint16(OFF_FCW, true), true);
  to.setUint16(2, status, true);
  to.setUint8(AT_FTW, from.getUint16(OFF_FTW, true));
  to.setUint16(AT_FOP, from.getUint16(OFF_FOP, true), true);
  to.setBigUint64(AT_FIP, from.getBigUint64(OFF_FIP, true), true);
  to.setBigUint64(AT_FDP, from.getBigUint64(OFF_FDP, true), true);
  to.setUint32(AT_MXCSR, from.getUint32(OFF_MXCSR, true), true);
  to.setUint32(AT_MXCSR_MASK, MXCSR_MASK, true);
  for (let i = 0; i < 8; i++) {
    const at = stackOffset(status, i);
    image.set(context.u8.subarray(at, at + 10), AT_ST + i * 16);
  }
  image.set(context.u8.subarray(OFF_XMM, OFF_XMM + 256), AT_XMM);
  return image;
}

/** Reserved bits of MXCSR are dropped, as the kernel does with a signal frame (arch/x86/kernel/fpu/signal.c). */
export function fxrstor(context: Context, image: Uint8Array): void {
  const from = viewOf(image);
  const to = viewOf(context.u8);
  const status = from.getUint16(2, true);
  to.setUint16(OFF_FCW, from.getUint16(0, true), true);
  to.setUint16(OFF_FSW, status, true);
  to.setUint16(OFF_FTW, from.getUint8(AT_FTW), true);
  to.setUint16(OFF_FOP, from.getUint16(AT_FOP, true) & 0x7ff, true);
  to.setBigUint64(OFF_FIP, from.getBigUint64(AT_FIP, true), true);
  to.setBigUint64(OFF_FDP, from.getBigUint64(AT_FDP, true), true);
  to.setUint32(OFF_MXCSR, from.getUint32(AT_MXCSR, true) & MXCSR_MASK, true);
  for (let i = 0; i < 8; i++) {
    context.u8.set(image.subarray(AT_ST + i * 16, AT_ST + i * 16 + 10), stackOffset(status, i));
  }
  context.u8.set(image.subarray(AT_XMM, AT_XMM + 256), OFF_XMM);
}
