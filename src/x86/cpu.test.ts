/** The translating CPU on hand-assembled programs, and on programs of the host's gcc against the host itself. */

import { describe, expect, it } from 'vitest';
import { compileProgram, loadProgram } from '../../test/cpu/program.ts';
import { AddressSpace } from '../lvm/address-space.ts';
import { ENTRY_KIND } from '../lvm/cpu.ts';
import { KIND_HOT } from './code-group.ts';
import { TranslatingCpu } from './cpu.ts';
import { canonicalFlags, rflags } from './flags.ts';
import {
  Context,
  RAX,
  RBX,
  RCX,
  RDI,
  RDX,
  RSI,
  RSP,
  VECTOR_BP,
  VECTOR_DE,
  VECTOR_GP,
  VECTOR_OF,
  VECTOR_PF,
  VECTOR_UD,
} from './state.ts';

const CODE = 0x40_0000;
const DATA = 0x50_0000;
const STACK = 0x70_0000;

function machineWith(often: number, hex: string, codeProt = 5) {
  const space = new AddressSpace(1);
  space.map(CODE, 0x2000, codeProt);
  space.map(DATA, 0x3000, 3);
  space.map(STACK, 0x1000, 3);
  space.poke(
    CODE,
    Uint8Array.from(hex.replaceAll(/\s/g, '').match(/../g)!, (b) => Number.parseInt(b, 16)),
  );
  const context = new Context();
  context.rip = CODE;
  context.setNumber(RSP, STACK + 0x1000);
  const cpu = new TranslatingCpu({ readTsc: () => 0x1_2345_6789n }, undefined, often);
  return { space, context, cpu };
}

describe('code becomes hot', () => {
  it('where runs often stop, and where control often comes though they never do', () => {
    // mov ecx, 70000; L: call F; dec ecx; jnz L; syscall. F (0x20): jmp G. G (0x30): add rax, 1; ret
    const hex = `b970110100 e816000000 ffc9 75f7 0f05 ${'90'.repeat(16)} eb0e ${'90'.repeat(14)} 4883c001 c3`;
    const { space, context, cpu } = machineWith(0, hex);
    // A region of its own.
    cpu.warm(space, [CODE + 0x30]);
    cpu.takeTranslated(space);
    expect(cpu.run(space, context, 1_000_000, false)).toEqual({ kind: 'syscall' });
    expect(context.get(RAX)).toBe(70_000n);
    // Not by samples: for these it was too short.
    const entries = cpu.takeTranslated(space).filter((entry) => Math.floor(entry / ENTRY_KIND) === KIND_HOT);
    expect(entries.map((entry) => entry % ENTRY_KIND)).toContain(CODE + 0x30);
  });
});

describe.each([0, Number.POSITIVE_INFINITY])('hand-assembled, interpreted %d times', (often) => {
  const machine = (hex: string, codeProt?: number) => machineWith(often, hex, codeProt);

  it('counts exactly and stops at a system call', () => {
    // mov eax, 5; mov ecx, 3; L: add eax, ecx; dec ecx; jnz L; syscall
    const { space, context, cpu } = machine('b805000000 b903000000 01c8 ffc9 75fa 0f05');
    expect(cpu.run(space, context, 1000, false)).toEqual({ kind: 'syscall' });
    expect(context.get(RAX)).toBe(11n);
    expect(cpu.retired).toBe(2 + 9 + 1);
    expect(context.get(RCX)).toBe(BigInt(CODE + 18));
    expect(context.rip).toBe(CODE + 18);
  });

  it('knows what is below 2^32 only where it is so in each round', () => {
    // mov eax, 3; mov ecx, 2; L: lea edx, [rax + 1]; mov rbx, rax; add rbx, rax; mov esi, eax; xor esi, edx; shl rax, 31; dec ecx; jnz L
    const { space, context, cpu } = machine(
      'b803000000 b902000000 8d5001 4889c3 4801c3 89c6 31d6 48c1e01f ffc9 75eb 0f05',
    );
    expect(cpu.run(space, context, 1000, false)).toEqual({ kind: 'syscall' });
    expect(context.get(RAX)).toBe(3n << 62n);
    expect(context.get(RDX)).toBe(0x8000_0001n);
    expect(context.get(RBX)).toBe(3n << 32n);
    expect(context.get(RSI)).toBe(1n);
  });

  it('leaves registers as of the faulting instruction', () => {
    // mov ebx, 7; mov eax, [0x1234]; inc ebx
    const { space, context, cpu } = machine('bb07000000 8b042534120000 ffc3');
    expect(cpu.run(space, context, 1000, false)).toEqual({
      kind: 'fault',
      vector: VECTOR_PF,
      address: 0x1234n,
      error: 4,
    });
    expect(context.rip).toBe(CODE + 5);
    expect(context.get(RBX)).toBe(7n);
    expect(cpu.retired).toBe(1);
  });

  it('tells a write to a read-only page from one to nothing, and a fetch', () => {
    const { space, context, cpu } = machine('c6042500004000 01');
    expect(cpu.run(space, context, 10, false)).toMatchObject({ vector: VECTOR_PF, address: BigInt(CODE), error: 7 });
    context.rip = DATA;
    expect(cpu.run(space, context, 10, false)).toMatchObject({ vector: VECTOR_PF, address: BigInt(DATA), error: 0x15 });
    context.rip = 0x60_0000;
    expect(cpu.run(space, context, 10, true)).toMatchObject({ vector: VECTOR_PF, address: 0x60_0000n, error: 0x14 });
    expect(cpu.retired).toBe(0);
  });

  it('has all bits of an address that the instruction names', () => {
    // mov eax, [0x1_0050_0000]: DATA is at its low half; mov eax, [rip - 2^31].
    for (const [hex, address] of [
      ['a10000500001000000', 0x1_0050_0000n],
      ['8b0500000080', BigInt.asUintN(64, BigInt(CODE + 6) - (1n << 31n))],
    ] as const) {
      const { cpu, space, context } = machine(hex);
      expect(cpu.run(space, context, 10, false)).toMatchObject({ kind: 'fault', vector: VECTOR_PF, address, error: 4 });
    }
  });

  it('has all bits of a target beyond 4 GiB', () => {
    // nop, jmp; sahf, jz; nop, call: by -2^31, and by 2^31 - 1 from high up.
    for (const [hex, length] of [
      ['90 e9', 6],
      ['9e 0f84', 7],
      ['90 e8', 6],
    ] as const) {
      const down = machine(`${hex} 00000080`);
      // (ZF)
      down.context.setNumber(RAX, 0x4000);
      const address = BigInt.asUintN(64, BigInt(CODE + length) - (1n << 31n));
      const fault = { kind: 'fault', vector: VECTOR_PF, error: 0x14 };
      expect(down.cpu.run(down.space, down.context, 10, false)).toEqual({ ...fault, address });
      expect(down.cpu.retired).toBe(2);
      const up = machine('90');
      up.space.map(0xf000_0000, 0x1000, 7);
      up.space.poke(0xf000_0000, Buffer.from(`${hex.replaceAll(' ', '')}ffffff7f`, 'hex'));
      up.context.rip = 0xf000_0000;
      up.context.setNumber(RSP, STACK + 0x1000);
      up.context.setNumber(RAX, 0x4000);
      const above = BigInt(0xf000_0000 + length) + (1n << 31n) - 1n;
      expect(up.cpu.run(up.space, up.context, 10, false)).toEqual({ ...fault, address: above });
      expect(up.cpu.retired).toBe(2);
    }
  });

  it('raises #DE and #UD', () => {
    const de = machine('31c0 31d2 31db f7f3');
    expect(de.cpu.run(de.space, de.context, 10, false)).toMatchObject({ vector: VECTOR_DE });
    expect(de.context.rip).toBe(CODE + 6);
    const ud = machine('90 0f0b');
    expect(ud.cpu.run(ud.space, ud.context, 10, false)).toMatchObject({ vector: VECTOR_UD });
    expect(ud.context.rip).toBe(CODE + 1);
  });

  it('raises what INT asks for, where a program may', () => {
    for (const vector of [VECTOR_BP, VECTOR_OF]) {
      const { cpu, space, context } = machine(`90 cd0${vector}`);
      expect(cpu.run(space, context, 10, false)).toMatchObject({ kind: 'fault', vector, error: 0 });
      expect(context.rip).toBe(CODE + 3);
    }
    // The gate's selector: index, and that it is in the IDT.
    for (const n of [0, 1, 0x20, 0xff]) {
      const { cpu, space, context } = machine(`90 cd${n.toString(16).padStart(2, '0')}`);
      expect(cpu.run(space, context, 10, false)).toMatchObject({ vector: VECTOR_GP, address: 0n, error: n * 8 + 2 });
      expect(context.rip).toBe(CODE + 1);
    }
  });

  it('runs code that it has just written', () => {
    // mov byte [rip+1], 9 (the immediate of the next instruction); mov eax, 1; syscall
    const { space, context, cpu } = machine('c6050100000009 b801000000 0f05', 7);
    expect(cpu.run(space, context, 100, false)).toEqual({ kind: 'syscall' });
    expect(context.get(RAX)).toBe(9n);
    expect(cpu.retired).toBe(3);
    // Again, with the code translated and the byte changed from outside.
    context.rip = CODE + 7;
    space.poke(CODE + 8, Uint8Array.of(77));
    expect(cpu.run(space, context, 100, false)).toEqual({ kind: 'syscall' });
    expect(context.get(RAX)).toBe(77n);
  });

  it('interrupts REP MOVS at an exact iteration', () => {
    // rep movsb; syscall
    const { space, context, cpu } = machine('f3a4 0f05');
    context.setNumber(RSI, DATA);
    context.setNumber(RDI, DATA + 0x1100);
    context.setNumber(RCX, 5000);
    space.poke(
      DATA,
      Uint8Array.from({ length: 0x1100 }, (_, i) => i),
    );
    expect(cpu.run(space, context, 1234, true)).toEqual({ kind: 'budget' });
    expect(cpu.retired).toBe(1234);
    expect(context.get(RCX)).toBe(BigInt(5000 - 1234));
    expect(context.get(RDI)).toBe(BigInt(DATA + 0x1100 + 1234));
    expect(cpu.run(space, context, 1e6, false)).toEqual({ kind: 'syscall' });
    expect(cpu.retired).toBe(5000 - 1234 + 1);
  });

  it('gets on with REP STOS on a budget that is shorter than the block it is in', () => {
    // rep stosq; 20 times nop; syscall
    const { space, context, cpu } = machine(`f348ab ${'90'.repeat(20)} 0f05`);
    context.setNumber(RDI, DATA);
    context.setNumber(RCX, 100);
    let retired = 0;
    while (cpu.run(space, context, 4, false).kind === 'budget') {
      expect(cpu.retired).toBeGreaterThan(0);
      retired += cpu.retired;
    }
    expect(retired + cpu.retired).toBe(100 + 20 + 1);
  });

  it('shares translations between spaces and goes on where it was loaded', () => {
    const { space, context, cpu } = machine('48ffc0 ebfb');
    cpu.run(space, context, 5001, true);
    expect(context.get(RAX)).toBe(2501n);
    cpu.unload(space);
    const other = space.fork(2);
    cpu.run(other, context, 5000, true);
    expect(context.get(RAX)).toBe(5001n);
    expect(cpu.takeTranslated(space)).toEqual(often === 0 ? expect.arrayContaining([CODE]) : []);
  });
});

describe('more code than the interpreter has room for', () => {
  // (a record of 32 bytes for each instruction, in 8 MiB)
  const COUNT = 600_000;

  it.each([false, true])('runs, exactly: %s', (exact) => {
    const space = new AddressSpace(1);
    space.map(CODE, 0x10_0000, 5);
    // nop …; syscall
    space.poke(CODE, new Uint8Array(COUNT).fill(0x90));
    space.poke(CODE + COUNT, Uint8Array.of(0x0f, 0x05));
    const context = new Context();
    context.rip = CODE;
    const cpu = new TranslatingCpu({ readTsc: () => 0n }, undefined, Number.POSITIVE_INFINITY);
    let retired = 0;
    for (;;) {
      const exit = cpu.run(space, context, 123_457, exact);
      retired += cpu.retired;
      if (exit.kind === 'syscall') break;
      expect(exit).toEqual({ kind: 'budget' });
      expect(context.rip).toBe(CODE + retired);
    }
    expect(retired).toBe(COUNT + 1);
    // What was forgotten is decoded again.
    context.rip = CODE;
    expect(cpu.run(space, context, 1000, true)).toEqual({ kind: 'budget' });
    expect(context.rip).toBe(CODE + 1000);
  });

  it('goes on where a region could not make an access', () => {
    const space = new AddressSpace(1);
    space.map(CODE, 0x10_0000, 5);
    space.map(DATA, 0x1_0000, 3);
    // nop …, more than there is room for; L: mov [rdi], ecx; add rdi, 0x1000; dec ecx; jnz L; syscall
    const loop = Buffer.from('890f 4881c700100000 ffc9 75f3 0f05'.replaceAll(' ', ''), 'hex');
    const count = 300_000;
    space.poke(CODE, new Uint8Array(count).fill(0x90));
    space.poke(CODE + count, loop);
    const context = new Context();
    context.rip = CODE;
    context.setNumber(RDI, DATA);
    context.setNumber(RCX, 16);
    const cpu = new TranslatingCpu({ readTsc: () => 0n }, undefined, 1000);
    expect(cpu.run(space, context, 1e9, false)).toEqual({ kind: 'syscall' });
    expect(context.rip).toBe(CODE + count + loop.length);
    expect(cpu.retired).toBe(count + 16 * 4 + 1);
    for (let i = 0; i < 16; i++) expect(space.read(DATA + i * 0x1000, 1)).toEqual(Uint8Array.of(16 - i));
  });
});

/** Runs to the end with the budgets that `next` gives; the output, all retired instructions, the last registers. */
function runProgram(elf: Buffer, next: () => number, exact: boolean) {
  const { space, context } = loadProgram(elf);
  const cpu = new TranslatingCpu({ readTsc: () => 0n });
  let output = '';
  let retired = 0;
  for (;;) {
    const budget = next();
    const exit = cpu.run(space, context, budget, exact);
    retired += cpu.retired;
    if (exit.kind === 'fault') throw new Error(`fault ${exit.vector} at ${context.rip.toString(16)}`);
    if (exit.kind === 'budget') {
      if (exact) expect(cpu.retired).toBe(budget);
      continue;
    }
    if (context.getNumber(RAX) === 60) break;
    output += Buffer.from(space.read(context.getNumber(RSI), context.getNumber(RDX))!).toString();
    context.setNumber(RAX, context.getNumber(RDX));
  }
  canonicalFlags(context);
  return { output, retired, flags: rflags(context), registers: Buffer.from(context.u8).toString('hex') };
}

describe('compiled programs', () => {
  const program = compileProgram();
  it.skipIf(program === null)('agrees with the host, in one go and stopped at random counts', () => {
    const { elf, output } = program!;
    const whole = runProgram(elf, () => 1e9, false);
    expect(whole.output).toBe(output);
    let seed = 20240607;
    console.log(`seed ${seed}`);
    const random = (): number => {
      seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
      return seed >>> 8;
    };
    const stopped = runProgram(elf, () => (random() % 4 === 0 ? 1 + (random() % 7) : 1 + (random() % 20000)), true);
    expect(stopped).toEqual(whole);
  });
});
