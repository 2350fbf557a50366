/** FXSAVE images of contexts, and the state that a handler begins with. */

import { expect, test } from 'vitest';
import { fxrstor, fxsave, initializeFpu } from './fxsave.ts';
import { Context, OFF_FCW, OFF_FOP, OFF_FSW, OFF_FTW, OFF_MXCSR, OFF_ST, OFF_XMM } from './state.ts';

function spoiled(): Context {
  const context = new Context();
  for (let i = OFF_MXCSR; i < context.u8.length; i++) context.u8[i] = (i * 37) & 255;
  const view = new DataView(context.u8.buffer, context.u8.byteOffset);
  view.setUint16(OFF_FCW, 0x0f7f, true);
  // TOP 5, PE.
  view.setUint16(OFF_FSW, 0x2820, true);
  view.setUint16(OFF_FTW, 0xe7, true);
  view.setUint16(OFF_FOP, 0x123, true);
  context.u32[OFF_MXCSR >> 2] = 0x9fc0;
  return context;
}

test('an image holds ST(0) first, and everything comes back', () => {
  const context = spoiled();
  const image = fxsave(context);
  expect([...image.subarray(32, 42)]).toEqual([...context.u8.subarray(OFF_ST + 5 * 16, OFF_ST + 5 * 16 + 10)]);
  expect(image[4]).toBe(0xe7);
  const other = new Context();
  fxrstor(other, image);
  expect(fxsave(other)).toEqual(image);
  expect([...other.u8.subarray(OFF_XMM, OFF_XMM + 256)]).toEqual([...context.u8.subarray(OFF_XMM, OFF_XMM + 256)]);
});

test('what cannot be is made right: reserved bits, ES and B', () => {
  const context = spoiled();
  const image = fxsave(context);
  const view = new DataView(image.buffer);
  // Invalid is flagged and not masked; B and ES say otherwise.
  view.setUint16(0, 0xf33e, true);
  view.setUint16(2, 0x0001, true);
  view.setUint32(24, 0xffff_ffff, true);
  fxrstor(context, image);
  const registers = new DataView(context.u8.buffer, context.u8.byteOffset);
  expect(registers.getUint16(OFF_FCW, true)).toBe(0x137e);
  expect(registers.getUint16(OFF_FSW, true)).toBe(0x8081);
  expect(context.u32[OFF_MXCSR >> 2]).toBe(0xffff);
});

test('a handler begins as a program does', () => {
  const context = spoiled();
  initializeFpu(context);
  expect(fxsave(context)).toEqual(fxsave(new Context()));
});
