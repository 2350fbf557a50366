/** Indirect jumps within a region: which regions there are, and that the guest cannot tell. */

import { describe, expect, it } from 'vitest';
import { AddressSpace } from '../lvm/address-space.ts';
import { ENTRY_KIND } from '../lvm/cpu.ts';
import { type CodeSpace, KIND_HOT, KIND_LOOP } from './code-group.ts';
import { TranslatingCpu } from './cpu.ts';
import { canonicalFlags } from './flags.ts';
import { dispatchLoop, withTargets } from './hub.ts';
import { Context, R8, R9, RBX, RCX, RDI, RSI, RSP } from './state.ts';

const CODE = 0x40_0000;
const DATA = 0x50_0000;
const STACK = 0x70_0000;

/** movzx edx, byte [rsi]; inc rsi; jmp [rbx + rdx * 8] */
const NEXT = '0fb616 48ffc6 ff24d3';
/** An interpreter of which rsi is the program counter, rbx the table of handlers, ecx the rounds left. */
const PARTS = {
  start: NEXT,
  // add rax, 3; test al, 8; jnz h2
  h0: `4883c003 a808 751b ${NEXT}`,
  // sub rax, 1; call fn
  h1: `4883e801 e83c000000 ${NEXT}`,
  // test al, 1; jz h0
  h2: 'a801 74d9',
  // xor rax, 5
  mid: `4883f005 ${NEXT}`,
  // dec ecx; jz end; mov rsi, rdi; test al, 2; jnz mid
  h3: `ffc9 741c 4889fe a802 75e8 ${NEXT}`,
  // lea rax, [rax + rax * 2 + 1]; cmp al, 16; ja mid; jmp r8
  h4: '488d444001 3c10 77d6 41ffe0',
  // syscall
  end: '0f05',
  // imul rax, rax, 3; test al, 4; jz R; jmp r9; R: ret
  fn: '486bc003 a804 7403 41ffe1 c3',
  // not rax; ret
  fn2: '48f7d0 c3',
};
const bytes = Object.values(PARTS).map((hex) => Buffer.from(hex.replaceAll(' ', ''), 'hex'));
const at = Object.fromEntries(
  Object.keys(PARTS).map((name, i) => [name, CODE + bytes.slice(0, i).reduce((sum, part) => sum + part.length, 0)]),
) as Record<keyof typeof PARTS, number>;
const HANDLERS = [at.h0, at.h1, at.h2, at.h3, at.h4];
const PROGRAM = [0, 1, 2, 4, 0, 0, 2, 1, 4, 1, 2, 0, 3];

function machine(often: number, code = Buffer.concat(bytes)) {
  const space = new AddressSpace(1);
  space.map(CODE, 0x1000, 7);
  space.map(DATA, 0x1000, 3);
  space.map(STACK, 0x2000, 3);
  space.poke(CODE, code);
  space.poke(DATA, Uint8Array.from(PROGRAM));
  HANDLERS.forEach((handler, i) => {
    space.view.setUint32(DATA + 0x100 + 8 * i, handler, true);
  });
  const context = new Context();
  context.rip = CODE;
  context.setNumber(RSP, STACK + 0x1800);
  context.setNumber(RSI, DATA);
  context.setNumber(RDI, DATA);
  context.setNumber(RBX, DATA + 0x100);
  context.setNumber(RCX, 5000);
  context.setNumber(R8, at.h3);
  context.setNumber(R9, at.fn2);
  return { space, context, cpu: new TranslatingCpu({ readTsc: () => 0n }, undefined, often) };
}

/** A space in which jumps are known to go to the handlers, or to those given. */
function known(space: AddressSpace, targets: readonly (readonly [number, number])[]): CodeSpace {
  return {
    space,
    hasBytes: () => true,
    isReached: () => true,
    targetsOf: () => new Map(targets),
    isInLoop: () => false,
    countOf: () => 0,
  };
}

const allHandlers = HANDLERS.map((handler) => [handler, 100] as const);

describe('a dispatch loop', () => {
  it('has all handlers, and is entered at each', () => {
    const { blocks, hub } = dispatchLoop(known(machine(0).space, allHandlers), at.h1)!;
    const targets = hub!.targets.map((node) => blocks[node]!.start);
    expect(hub!.isEntry).toBe(true);
    expect(targets).toEqual(expect.arrayContaining(HANDLERS));
    // h0 and h2 go to each other: both are entered through the hub only.
    expect([...hub!.heads].map((node) => blocks[node]!.start)).toEqual(expect.arrayContaining([at.h0]));
  });

  it('leaves out what is seldom', () => {
    const targets = [...allHandlers.slice(0, 4), [at.h4, 1] as const];
    const { blocks } = dispatchLoop(known(machine(0).space, targets), at.h1)!;
    expect(blocks.map(({ start }) => start)).toContain(at.h3);
    expect(blocks.map(({ start }) => start)).not.toContain(at.h4);
  });

  it('is none where control does not come back', () => {
    const { space } = machine(0);
    expect(dispatchLoop(known(space, []), at.h1)).toBeNull();
    expect(dispatchLoop(known(space, [[at.end, 100]]), at.h1)).toBeNull();
    expect(dispatchLoop(known(space, allHandlers), at.start)).toBeNull();
    expect(withTargets(known(space, allHandlers.slice(2, 4)), at.start, 150).hub).toMatchObject({ isEntry: false });
  });
});

interface Course {
  /** Instructions from one stop to the next, at most. */
  readonly step: number;
  /** The stops after which code is made hot, and changed. */
  readonly hotAt: number;
  readonly changeAt: number;
}

/** Runs to the end, each time a little further; what there was to see at each stop. */
function stops(often: number, { step, hotAt, changeAt }: Course): { lines: string[]; translated: number[] } {
  const { space, context, cpu } = machine(often);
  const lines: string[] = [];
  for (let budget = 1; ; budget = (budget * 7) % step) {
    const exit = cpu.run(space, context, budget, budget % 2 === 0);
    cpu.unload(space);
    canonicalFlags(context);
    lines.push(`${exit.kind} ${cpu.retired} ${Buffer.from(context.u8).toString('base64')}`);
    if (exit.kind !== 'budget') break;
    if (Number.isFinite(often) && lines.length === hotAt) {
      const entries = HANDLERS.filter((_, i) => i !== 2);
      cpu.warm(
        space,
        entries.map((entry) => entry + KIND_HOT * ENTRY_KIND),
      );
    }
    if (lines.length === changeAt) {
      // Another handler: what was translated of it is wrong now. (add rax, 3 → 7)
      space.poke(at.h0 + 3, Uint8Array.of(7));
    }
  }
  return { lines, translated: cpu.takeTranslated(space) };
}

describe('in a loop or not', () => {
  it.each([
    { step: 101, hotAt: 200, changeAt: 400 },
    { step: 1009, hotAt: 200, changeAt: 400 },
    { step: 10007, hotAt: 15, changeAt: 30 },
  ])('the guest sees the same, stopped within $step instructions', (course) => {
    const interpreted = stops(Number.POSITIVE_INFINITY, course);
    const { lines, translated } = stops(3, course);
    expect(interpreted.lines.length).toBeGreaterThan(course.changeAt);
    expect(lines).toEqual(interpreted.lines);
    expect(translated.map((entry) => Math.floor(entry / ENTRY_KIND))).toContain(KIND_LOOP);
  });
});
