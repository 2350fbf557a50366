/** Calls that become part of a region: which, and that the guest cannot tell. */

import { describe, expect, it, vi } from 'vitest';
import { AddressSpace } from '../lvm/address-space.ts';
import { ENTRY_KIND } from '../lvm/cpu.ts';
import { type CodeSpace, KIND_HOT } from './code-group.ts';
import { TranslatingCpu } from './cpu.ts';
import { canonicalFlags } from './flags.ts';
import { inlineCalls } from './inline.ts';
import { countAt, targetsOf } from './profile.ts';
import { discover } from './region.ts';
import { SpaceCode } from './space-code.ts';
import { Context, RCX, RSP } from './state.ts';

const CODE = 0x40_0000;
const CALLEE = CODE + 0x40;
const STACK = 0x70_0000;

/** `main` at CODE, `callee` behind it. */
function spaceWith(main: string, callee: string): AddressSpace {
  const space = new AddressSpace(1);
  space.map(CODE, 0x1000, 5);
  space.map(STACK, 0x2000, 3);
  space.poke(CODE, Buffer.from(main.replaceAll(' ', ''), 'hex'));
  space.poke(CALLEE, Buffer.from(callee.replaceAll(' ', ''), 'hex'));
  return space;
}

// mov ecx, 1000; L: call CALLEE (0x40); add rax, 1; dec ecx; jnz L; syscall
const MAIN = 'b9e8030000 e836000000 4883c001 ffc9 75f3 0f05';

function inlined(main: string, callee: string, limit = 150, targets: readonly (readonly [number, number])[] = []) {
  const space = spaceWith(main, callee);
  const code: CodeSpace = {
    space,
    hasBytes: () => true,
    isReached: () => true,
    targetsOf: () => new Map(targets),
    isInLoop: () => false,
    countOf: () => 0,
  };
  return inlineCalls(code, discover(space, CODE, { size: 150 }), limit);
}

describe('a call becomes part of a region', () => {
  it('when the function is whole', () => {
    // add rax, rcx; ret
    const { frames, blocks } = inlined(MAIN, '4801c8 c3');
    expect(frames.slice(1)).toEqual([{ entry: CALLEE, caller: 0, returnTo: CODE + 10 }]);
    expect(blocks.filter(({ frame }) => frame === 1).map(({ start }) => start)).toEqual([CALLEE]);
  });

  it('also of one that ends with the call of another', () => {
    // jmp rax
    expect(inlined(MAIN, 'ffe0').frames).toHaveLength(2);
  });

  it('also of a function that calls itself, some times over', () => {
    // test ecx, ecx; je R; call CALLEE; R: ret
    const { frames } = inlined(MAIN, '85c9 7405 e8f7ffffff c3');
    expect(frames.slice(1).map(({ caller }) => caller)).toEqual([0, 1, 2, 3, 4]);
  });

  it.each([
    ['jumps away', '4801c8 e9f0000000'],
    ['makes a system call', '0f05 c3'],
    ['never returns', 'ebfe'],
    // test ecx, ecx; je B; A: dec rax; B: dec rdx; jz C; dec rsi; jnz A; C: ret
    ['has loops that are entered at two places', '85c9 7403 48ffc8 48ffca 7405 48ffce 75f3 c3'],
  ])('but not one that %s', (_what, callee) => {
    expect(inlined(MAIN, callee).frames).toHaveLength(1);
  });

  it('through a pointer that nearly always is to one function', () => {
    // call rdx; syscall
    const frames = (targets: [number, number][]) => inlined('ffd2 0f05', '4801c8 c3', 150, targets).frames.slice(1);
    const frame = { entry: CALLEE, caller: 0, returnTo: CODE + 2 };
    expect(frames([[CALLEE, 1000]])).toEqual([frame]);
    expect(
      frames([
        [CALLEE, 1000],
        [CODE, 10],
      ]),
    ).toEqual([frame]);
    expect(
      frames([
        [CALLEE, 1000],
        [CODE, 200],
      ]),
    ).toEqual([]);
    expect(frames([[CALLEE, 10]])).toEqual([]);
  });

  it('and what it jumps to, as a frame that returns to the same place', () => {
    // call CALLEE; syscall. jmp rdx; (at 2) add rax, rcx; ret
    const { frames } = inlined('e83b000000 0f05', 'ffe2 4801c8 c3', 150, [[CALLEE + 2, 1000]]);
    expect(frames.slice(1)).toEqual([
      { entry: CALLEE, caller: 0, returnTo: CODE + 5 },
      { entry: CALLEE + 2, caller: 0, returnTo: CODE + 5 },
    ]);
  });

  it('as far as there is room', () => {
    const main = 'e83b000000 e836000000 e831000000 0f05';
    expect(inlined(main, '4801c8 c3').frames).toHaveLength(4);
    // 4 instructions of its own and twice 2
    expect(inlined(main, '4801c8 c3', 9).frames).toHaveLength(3);
  });
});

// test cl, 0x3f; jz B; A: add rax, 2; ret; B: add rdx, 1; jmp A
const SELDOM = 'f6c13f 7405 4883c002 c3 4883c201 ebf5';
// test cl, 0x3f; jz B; A: add rax, 2; ret; B: sub ecx, 1; call CALLEE; add ecx, 1; jmp A
const SELDOM_ITSELF = 'f6c13f 7405 4883c002 c3 83e901 e8eeffffff 83c101 ebee';
const OFTEN = [CODE + 5, CODE + 10, CALLEE, CALLEE + 5];

/** About to run MAIN; `hot`: in one region with the function, of which only these blocks are executed often (none: all). */
function prepared(callee: string, hot: boolean, often: readonly number[] = []) {
  const space = spaceWith(MAIN, callee);
  const context = new Context();
  context.rip = CODE;
  context.setNumber(RSP, STACK + 0x1800);
  const cpu = new TranslatingCpu({ readTsc: () => 0n }, undefined, hot ? 0 : Number.POSITIVE_INFINITY);
  if (hot) {
    const entries = [CODE + 5, CALLEE];
    for (const rip of often) space.view.setUint32(countAt(rip), 1_000_000, true);
    cpu.warm(space, entries);
    cpu.warm(
      space,
      entries.map((entry) => entry + KIND_HOT * ENTRY_KIND),
    );
    expect(cpu.tierAt(space, CODE + 5)).toBe('hot');
  }
  return { cpu, space, context };
}

/** Runs to the end, stopping now and then: what can be seen at each stop. */
function states(cpu: TranslatingCpu, space: AddressSpace, context: Context): string[] {
  const lines: string[] = [];
  for (let budget = 1; lines.length < 400; budget = (budget * 7) % 101) {
    const exit = cpu.run(space, context, budget, budget % 2 === 0);
    cpu.unload(space);
    canonicalFlags(context);
    lines.push(`${exit.kind} ${cpu.retired} ${Buffer.from(context.u8).toString('base64')}`);
    if (exit.kind !== 'budget') break;
  }
  return lines;
}

describe('a function of which a part is seldom executed', () => {
  it.each([SELDOM, SELDOM_ITSELF])('comes back to its caller without JavaScript', (callee) => {
    const { cpu, space, context } = prepared(callee, true, OFTEN);
    context.rip = CODE + 5;
    context.setNumber(RCX, 1000);
    const call = vi.spyOn(SpaceCode.prototype, 'call');
    expect(cpu.run(space, context, 100_000, false).kind).toBe('syscall');
    // The seldom part is executed 15 times.
    expect(call.mock.calls.length).toBeLessThan(5);
    call.mockRestore();
  });
});

describe('in a region or not', () => {
  it.each([
    ['a function', '4801c8 c3'],
    ['one that pops its argument', '56 50 488b542410 58 4883c408 c3'],
    ['one that returns elsewhere', '48832c2400 f6c101 7405 4883042404 c3'],
    ['one that returns where nothing is', 'f6c17f 7508 48c70424 00000080 c3'],
    ['one that returns to what is no address', 'f6c17f 7505 48c12424 18 c3'],
    ['one that reads far below the stack', '488b842400e0ffff c3'],
    // lea rax, [rip + 3]; jmp rax; nop; add rdx, 2; ret
    ['one that goes on elsewhere', '488d0503000000 ffe0 90 4883c202 c3'],
    ['one that goes on where nothing is', '31c0 f6c17f 7507 b800000080 ffe0 c3'],
    ['one that calls itself', '85c9 7405 e8f7ffffff c3'],
    ['one of which a part is seldom executed', SELDOM, OFTEN],
    ['one that calls itself seldom', SELDOM_ITSELF, OFTEN],
  ])('%s does the same', (_what, callee, often: readonly number[] = []) => {
    const run = (hot: boolean): string[] => {
      const { cpu, space, context } = prepared(callee, hot, often);
      return states(cpu, space, context);
    };
    const expected = run(false);
    expect(expected.length).toBeGreaterThan(1);
    expect(run(true)).toEqual(expected);
  });
});

// mov ecx, 1000; L: lea rdx, [rip + F]; test cl, 0x1f; jnz C; lea rdx, [rip + G]; C: call rdx; add rax, 1; dec ecx; jnz L; syscall
const THROUGH_POINTER = 'b9e8030000 488d1534000000 f6c11f 7507 488d1570000000 ffd2 4883c001 ffc9 75e3 0f05';

describe('a function that is called through a pointer', () => {
  it.each([
    ['it', '4801c8 c3'],
    // F: lea rsi, [rip + 2]; jmp rsi; H: add rax, 3; ret
    ['one that goes on through a pointer', '488d3502000000 ffe6 4883c003 c3'],
    // … to H, but seldom to I: add rax, 5; ret. F: lea rsi, [H]; test cl, 0xf; jnz J; lea rsi, [I]; J: jmp rsi
    ['one that goes on at several places', '488d350e000000 f6c10f 7507 488d3507000000 ffe6 4883c003 c3 4883c005 c3'],
  ])('%s does the same as part of a region', (_what, callee) => {
    const run = (hot: boolean): string[] => {
      const space = spaceWith(THROUGH_POINTER, callee);
      // G: sub rax, 7; ret
      space.poke(CODE + 0x88, Buffer.from('4883e807c3', 'hex'));
      const cpu = new TranslatingCpu({ readTsc: () => 0n }, undefined, hot ? 0 : Number.POSITIVE_INFINITY);
      const start = (): Context => {
        const context = new Context();
        context.rip = CODE;
        context.setNumber(RSP, STACK + 0x1800);
        return context;
      };
      if (hot) {
        // The profile.
        expect(cpu.run(space, start(), 100_000, false).kind).toBe('syscall');
        cpu.unload(space);
        expect(targetsOf(space.view, CODE + 0x18).get(CALLEE)).toBeGreaterThan(900);
        const entries = [CODE + 5, CODE + 0x1a];
        cpu.warm(
          space,
          entries.map((entry) => entry + KIND_HOT * ENTRY_KIND),
        );
      }
      return states(cpu, space, start());
    };
    const expected = run(false);
    expect(expected.length).toBeGreaterThan(1);
    expect(run(true)).toEqual(expected);
  });
});
