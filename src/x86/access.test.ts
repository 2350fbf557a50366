/** Which accesses of a block are checked together. */

import { describe, expect, it } from 'vitest';
import { NOTHING_KNOWN, RegionAccesses } from './access.ts';
import { decode, isDecodeError } from './decode.ts';
import type { Instruction, MemoryOperand } from './instruction.ts';
import { RBP, RBX, RCX, RSP } from './state.ts';

/** The local with the first checked byte's address. */
const LOCAL = 77;

function instructions(hex: string): Instruction[] {
  const bytes = Buffer.from(hex.replaceAll(' ', ''), 'hex');
  const list: Instruction[] = [];
  for (let at = 0; at < bytes.length; ) {
    const insn = decode(bytes, at, 0x1000 + at);
    if (isDecodeError(insn)) throw new Error(insn.error);
    list.push(insn);
    at += insn.length;
  }
  return list;
}

function at(base: number, disp: number): MemoryOperand {
  return { kind: 'mem', base, index: -1, scale: 1, disp, segment: 'none', addressSize: 8, size: 8 };
}

function planned(hex: string, mem: MemoryOperand, write: boolean) {
  const accesses = new RegionAccesses(() => false);
  accesses.begin(instructions(hex), new Map());
  accesses.instruction(0);
  const plan = accesses.plan(mem, 8, write);
  accesses.add(mem, plan, LOCAL);
  return { accesses, plan };
}

describe('accesses of a block', () => {
  it('through a register that stays', () => {
    // mov rax, [rbx]; mov rcx, [rbx+16]; mov rdx, [rbx-8]
    const { plan } = planned('488b03 488b4b10 488b53f8', at(RBX, 0), false);
    expect(plan).toEqual({ low: -8, high: 56, write: false });
  });

  it('ends where the register gets another value', () => {
    // mov rax, [rbx]; mov rbx, rcx; mov rdx, [rbx+8]
    expect(planned('488b03 4889cb 488b5308', at(RBX, 0), true).plan).toMatchObject({ low: 0, high: 8 });
  });

  it('of the stack that is pushed to', () => {
    // push rbx; push rbp; sub rsp, 16; mov [rsp+8], rax; call
    const { accesses, plan } = planned('53 55 4883ec10 4889442408 e800000000', at(RSP, -8), true);
    // With some room below.
    expect(plan).toEqual({ low: -40 - 128, high: 0, write: true });
    accesses.moved(RSP, accesses.valueOf(RSP), -8);
    expect(accesses.find(at(RSP, -8), 8, true)).toEqual({ local: LOCAL, offset: 128 + 24 });
    accesses.moved(RSP, accesses.valueOf(RSP), -24);
    expect(accesses.find(at(RSP, 0), 8, false)).toEqual({ local: LOCAL, offset: 128 + 8 });
    expect(accesses.find(at(RSP, -144), 8, true)).toBeNull();
    accesses.written(RSP);
    expect(accesses.find(at(RSP, 0), 8, false)).toBeNull();
  });

  it('through a register that gets the value of another', () => {
    // mov rax, [rbx]; lea rcx, [rbx+16]; mov rdx, [rcx+8]
    const { accesses, plan } = planned('488b03 488d4b10 488b5108', at(RBX, 0), false);
    expect(plan).toEqual({ low: 0, high: 64, write: false });
    accesses.moved(RCX, accesses.valueOf(RBX), 16);
    expect(accesses.find(at(RCX, 8), 8, false)).toEqual({ local: LOCAL, offset: 24 });
    accesses.written(RBX);
    expect(accesses.find(at(RCX, 8), 8, false)).not.toBeNull();
    expect(accesses.find(at(RBX, 0), 8, false)).toBeNull();
  });

  it('of a frame that a prologue makes', () => {
    const accesses = new RegionAccesses(() => false);
    // push rbp; mov rbp, rsp; sub rsp, 32
    accesses.begin(instructions('55 4889e5 4883ec20'), new Map([[RBP, { low: -32, high: 0, write: true }]]));
    accesses.instruction(0);
    expect(accesses.plan(at(RSP, -8), 8, true)).toEqual({ low: -40 - 128, high: 0, write: true });
  });

  it('of the stack that is popped from, with the return', () => {
    // pop rbx; pop rbp; add rax, rcx; pop r12 …; ret
    const pops = '415c'.repeat(6);
    expect(planned(`5b 5d 4801c8 ${pops} c3`, at(RSP, 0), false).plan).toEqual({ low: 0, high: 72, write: false });
  });

  it('is checked for writing where the same place is written later', () => {
    // add rax, [rbx]; mov [rbx], rax
    expect(planned('480303 488903', at(RBX, 0), false).plan).toEqual({ low: 0, high: 8, write: true });
  });

  it('is no wider than a page', () => {
    // mov rax, [rbx]; mov rcx, [rbx+0x1000]
    expect(planned('488b03 488b8b00100000', at(RBX, 0), false).plan).toMatchObject({ low: 0, high: 64 });
  });

  it('through a pointer to an object: with what else of that is probably loaded', () => {
    // mov rax, [rbx+24]
    const { accesses, plan } = planned('488b4318', at(RBX, 24), false);
    expect(plan).toEqual({ low: 0, high: 64, write: false });
    expect(accesses.isPointer(at(RBX, 24), plan)).toBe(true);
    expect(accesses.find(at(RBX, 8), 8, false)).toEqual({ local: LOCAL, offset: 8 });
    expect(accesses.find(at(RBX, 8), 8, true)).toBeNull();
    // Nothing else for a store, for what is far from where the register points to, and for an element.
    expect(planned('48894318', at(RBX, 24), true).plan).toEqual({ low: 24, high: 32, write: true });
    expect(planned('488b8300100000', at(RBX, 0x1000), false).plan).toMatchObject({ low: 0x1000, high: 0x1008 });
    const element = { ...at(RBX, 24), index: RCX };
    expect(planned('488b440b18', element, false).plan).toMatchObject({ low: 24, high: 32 });
  });

  it('at a constant address: with its page', () => {
    // mov rax, [0x12345678]
    const { accesses, plan } = planned('488b042578563412', at(-1, 0x1234_5678), false);
    expect(plan).toEqual({ low: 0x1234_5000, high: 0x1234_6000, write: false });
    expect(accesses.find(at(-1, 0x1234_5ff8), 8, false)).toEqual({ local: LOCAL, offset: 0xff8 });
    expect(accesses.find(at(-1, 0x1234_5ff9), 8, false)).toBeNull();
    expect(planned('488b0425f95f3412', at(-1, 0x1234_5ff9), false).plan).toMatchObject({ low: 0x1234_5ff9 });
  });

  it('is not asked for more than the page where the address is near one that was', () => {
    // mov rax, [rbx]
    const { accesses } = planned('488b03', at(RBX, 0), false);
    expect(accesses.isNarrow(at(RBX, 0), 0x1000, 0)).toBe(true);
    expect(accesses.isNarrow(at(RBX, 0), 0x4000_0000, 0)).toBe(false);
    expect(accesses.isNarrow(at(RSP, 0), 0, 0)).toBe(false);
    expect(accesses.isNarrow(at(RSP, 0), 0, 1 << RSP)).toBe(true);
  });
});

describe('accesses where paths meet', () => {
  it('are those of both, through registers that both left alone', () => {
    const { accesses } = planned('488b03', at(RBX, 0), false);
    const before = accesses.known;
    accesses.add(at(RSP, 0), { low: 0, high: 8, write: true }, LOCAL + 1);
    const one = accesses.known;
    accesses.known = before;
    accesses.written(RSP);
    accesses.meet(RegionAccesses.common(one, accesses.known));
    expect(accesses.find(at(RBX, 0), 8, false)).not.toBeNull();
    expect(accesses.find(at(RSP, 0), 8, false)).toBeNull();
    accesses.known = one;
    accesses.written(RBX);
    accesses.meet(RegionAccesses.common(before, accesses.known));
    expect(accesses.find(at(RBX, 0), 8, false)).toBeNull();
  });

  it('of a loop are those through registers that do not change in it', () => {
    const { accesses } = planned('488b03', at(RBX, 0), false);
    accesses.add(at(RSP, 0), { low: 0, high: 8, write: true }, LOCAL + 1);
    const head = RegionAccesses.inLoop(accesses.known, 1 << RSP);
    accesses.meet(head);
    expect(accesses.find(at(RBX, 0), 8, false)).not.toBeNull();
    expect(accesses.find(at(RSP, 0), 8, false)).toBeNull();
    accesses.written(RSP);
    expect(accesses.changedSince(head)).toBe(0);
    accesses.written(RBX);
    expect(accesses.changedSince(head)).toBe(1 << RBX);
    accesses.meet(NOTHING_KNOWN);
    expect(accesses.changedSince(head)).toBe(-1);
  });

  it('of a loop: a pointer from before it is not replaced by the address', () => {
    const accesses = new RegionAccesses(() => false);
    const range = { low: 0, high: 64, write: false };
    accesses.written(RBX);
    expect(accesses.isPointer(at(RBX, 0), range)).toBe(true);
    const before = accesses.known;
    accesses.meet(RegionAccesses.inLoop(before, 1 << RCX), true);
    expect(accesses.isPointer(at(RBX, 0), range)).toBe(false);
    expect(accesses.isPointer(at(RCX, 0), range)).toBe(true);
    const within = accesses.known;
    accesses.known = before;
    expect(accesses.isPointer(at(RBX, 0), range)).toBe(true);
    accesses.known = within;
    expect(accesses.isPointer(at(RBX, 0), range)).toBe(false);
  });
});
