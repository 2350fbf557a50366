/** What of a stack frame is checked at once, and what becomes of its pages. */

import { describe, expect, it } from 'vitest';
import { AddressSpace } from '../lvm/address-space.ts';
import { TranslatingCpu } from './cpu.ts';
import { discover } from './region.ts';
import { stackFrames } from './stack-frame.ts';
import { Context, RAX, RBP, RCX, RSP } from './state.ts';

const CODE = 0x40_0000;
const STACK = 0x70_0000;

function spaceWith(hex: string): AddressSpace {
  const space = new AddressSpace(1);
  space.map(CODE, 0x1000, 5);
  space.map(STACK, 0x3000, 3);
  space.poke(CODE, Buffer.from(hex.replaceAll(' ', ''), 'hex'));
  return space;
}

const framesOf = (hex: string) => stackFrames(discover(spaceWith(hex), CODE, { size: 100 }))[0]!;

describe('a stack frame', () => {
  it('is what a function accesses below rbp', () => {
    // mov rax, [rbp-8]; mov [rbp-32], eax; mov rcx, [rbp+16]; cmp eax, [rbp-4]; je; syscall
    const frame = framesOf('488b45f8 8945e0 488b4d10 3b45fc 74f2 0f05');
    expect(frame.get(RBP)).toEqual({ low: -32, high: 0, write: true });
  });

  it('is none where rbp points to something else', () => {
    // mov rax, [rbp]; mov rcx, [rbp-8]; mov rdx, [rbp-16]; syscall
    expect(framesOf('488b4500 488b4df8 488b55f0 0f05').size).toBe(0);
  });

  it('is what is accessed through rsp where that stays', () => {
    // push rax; mov [rsp+64], rax; jmp next; mov rax, [rsp+8]; mov rcx, [rsp+32]; syscall
    const frame = framesOf('50 4889442440 eb00 488b442408 488b4c2420 0f05');
    expect(frame.get(RSP)).toEqual({ low: 8, high: 40, write: false });
  });

  it('is no wider than is likely to be of use', () => {
    expect(framesOf('488b45f8 488985f0f0ffff 0f05').size).toBe(0);
  });
});

describe('pages of a stack frame', () => {
  // L: mov [rbp-8], rax; mov rdx, [rbp-64]; dec ecx; jnz L; syscall
  const LOOP = '488945f8 488b55c0 ffc9 75f4 0f05';
  const run = (often: number, border: number): { dirty: number[]; registers: string } => {
    const space = spaceWith(LOOP);
    space.takeDirty();
    const context = new Context();
    context.rip = CODE;
    context.setNumber(RBP, border + 32);
    context.setNumber(RSP, STACK + 0x2800);
    context.setNumber(RAX, 7);
    context.setNumber(RCX, 20);
    const cpu = new TranslatingCpu({ readTsc: () => 0n }, undefined, often);
    expect(cpu.run(space, context, 1000, false)).toEqual({ kind: 'syscall' });
    cpu.unload(space);
    return { dirty: space.takeDirty(), registers: Buffer.from(context.u8).toString('hex') };
  };

  it('become ready together, so that the check does not fail again', () => {
    const border = STACK + 0x1000;
    const translated = run(0, border);
    expect(translated.dirty).toEqual([(border >>> 12) - 1, border >>> 12]);
    const interpreted = run(Number.POSITIVE_INFINITY, border);
    expect(interpreted.dirty).toEqual([border >>> 12]);
    expect(translated.registers).toBe(interpreted.registers);
  });

  it('that do not exist are not asked for', () => {
    // The frame would begin below what is mapped: each access is looked at by itself.
    const space = spaceWith('488945f8 488b5580 ffc9 75f4 0f05');
    const context = new Context();
    context.rip = CODE;
    context.setNumber(RBP, STACK + 32);
    context.setNumber(RCX, 3);
    const cpu = new TranslatingCpu({ readTsc: () => 0n }, undefined, 0);
    expect(cpu.run(space, context, 1000, false)).toMatchObject({ kind: 'fault', address: BigInt(STACK - 96) });
    cpu.unload(space);
    expect(context.rip).toBe(CODE + 4);
    expect(cpu.retired).toBe(1);
  });
});
