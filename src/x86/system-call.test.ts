/** System calls that the CPU's environment does in the middle of a run: what is behind them goes on as if the run had ended. */

import { describe, expect, it } from 'vitest';
import { AddressSpace } from '../lvm/address-space.ts';
import type { CpuEnvironment } from '../lvm/cpu.ts';
import { TranslatingCpu } from './cpu.ts';
import { Context, RAX, RDI, RSI, RSP } from './state.ts';

const CODE = 0x40_0000;
const STACK = 0x70_0000;
const ROUNDS = 50;
const EXIT = 60;

/** L: call f; dec ebx; jnz L; mov eax, EXIT; syscall. f: call g; add edi, 5; ret. g has two calls, and adds up their results. */
const PROGRAM: readonly (readonly [at: number, hex: string])[] = [
  [0x00, `bb${ROUNDS.toString(16)}000000 e816000000 ffcb 75f7 b83c000000 0f05`],
  [0x20, 'e80b000000 83c705 c3'],
  // mov eax, 39; syscall; add esi, eax; mov eax, 39; syscall; add esi, eax; ret
  [0x30, 'b827000000 0f05 01c6 b827000000 0f05 01c6 c3'],
];
/** The 5. */
const IMMEDIATE = CODE + 0x27;
/** Instructions of a round, of all, and how many had retired at the calls of the first round. */
const ROUND = 13;
const ALL = 1 + ROUNDS * ROUND + 2;
const FIRST = [5, 8] as const;
const CALLS = Array.from({ length: ROUNDS }, (_, i) => FIRST.map((count) => i * ROUND + count)).flat();

type Outcome = ReturnType<NonNullable<CpuEnvironment['systemCall']>>;

interface How {
  readonly often: number;
  readonly exact?: boolean;
  /** Of the next call; null: the CPU's environment knows nothing of calls. */
  readonly outcome: (() => Outcome) | null;
  /** How long a thread may run before another's turn. */
  readonly slice?: () => number;
  /** During each call. */
  readonly during?: (space: AddressSpace) => void;
}

/** Runs the program as a kernel would whose calls return how many instructions had retired. */
function run({ often, exact = false, outcome, slice = () => 1e9, during }: How) {
  const space = new AddressSpace(1);
  space.map(CODE, 0x1000, 7);
  space.map(STACK, 0x1000, 3);
  for (const [at, hex] of PROGRAM) space.poke(CODE + at, Buffer.from(hex.replaceAll(' ', ''), 'hex'));
  const context = new Context();
  context.rip = CODE;
  context.setNumber(RSP, STACK + 0x1000);
  let before = 0;
  const calls: number[] = [];
  /** Functions of WebAssembly below the calls. */
  const depths: number[] = [];
  const call = (): void => {
    during?.(space);
    calls.push(before + cpu.retired);
    context.setNumber(RAX, before + cpu.retired);
  };
  const systemCall = (): Outcome => {
    const { stack } = new Error();
    depths.push(stack!.split('\n').filter((line) => line.includes('wasm')).length);
    const now = context.getNumber(RAX) === EXIT ? 'undone' : outcome!();
    if (now !== 'undone') call();
    return now;
  };
  const cpu = new TranslatingCpu({ readTsc: () => 0n, ...(outcome === null ? {} : { systemCall }) }, undefined, often);
  /** Where another thread's turn came. */
  const turns: string[] = [];
  let left = slice();
  let runs = 0;
  for (;;) {
    const exit = cpu.run(space, context, left, exact);
    runs++;
    before += cpu.retired;
    left -= cpu.retired;
    if (exit.kind === 'fault') throw new Error(`fault ${exit.vector} at 0x${context.rip.toString(16)}`);
    if (exit.kind === 'syscall') {
      if (context.getNumber(RAX) === EXIT) break;
      before -= cpu.retired;
      call();
      before += cpu.retired;
    }
    if (exit.kind === 'budget') expect(left).toBeLessThanOrEqual(0);
    if (left > 0) continue;
    turns.push(`${before} ${context.rip.toString(16)}`);
    left = slice();
  }
  cpu.unload(space);
  const registers = Buffer.from(context.u8).toString('hex');
  return { state: { calls, turns, retired: before, registers }, context, depths, runs };
}

function random(seed: number): (below: number) => number {
  return (below) => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return (seed >>> 8) % below;
  };
}

/** Whatever comes, the same each time. */
function outcomes(seed: number): () => Outcome {
  const next = random(seed);
  return () => (['undone', 'done', 'leave'] as const)[next(3)]!;
}

function slices(seed: number, longest: number): () => number {
  const next = random(seed);
  return () => 1 + next(longest);
}

describe.each([0, 3, Number.POSITIVE_INFINITY])('interpreted %d times', (often) => {
  it('a call that is done goes on behind itself, with what it returns and exact counts', () => {
    const { state, context, runs } = run({ often, outcome: () => 'done' });
    expect(runs).toBe(1);
    expect(state.calls).toEqual(CALLS);
    expect(state.retired).toBe(ALL);
    expect(context.getNumber(RSI)).toBe(CALLS.reduce((sum, count) => sum + count));
    expect(context.getNumber(RDI)).toBe(5 * ROUNDS);
  });

  it('and its callers are still there', () => {
    const { depths } = run({ often, outcome: () => 'done' });
    // Of the second call of a round, which the first has not made come out of g, f and the loop.
    for (let i = 0; i < 2 * ROUNDS; i += 2) expect(depths[i + 1]).toBeGreaterThanOrEqual(4);
  });

  it.each(['undone', 'leave'] as const)('a run ends at each call: %s', (outcome) => {
    const { state, runs } = run({ often, outcome: () => outcome });
    expect(runs).toBe(2 * ROUNDS + 1);
    expect(state).toEqual(run({ often, outcome: null }).state);
  });

  it.each([false, true])('nobody can tell how a call was done, nor where runs ended (exact: %s)', (exact) => {
    for (let seed = 1; seed <= 6; seed++) {
      const longest = [3, 15, 100][seed % 3]!;
      const slice = () => slices(seed, longest);
      const { state } = run({ often: Number.POSITIVE_INFINITY, exact, outcome: null, slice: slice() });
      expect(state.calls).toEqual(CALLS);
      expect(state.turns.length).toBeGreaterThan(ALL / longest / 2);
      for (const outcome of [() => 'done' as const, () => 'leave' as const, outcomes(seed)]) {
        expect(run({ often, exact, outcome, slice: slice() }).state, `seed ${seed}`).toEqual(state);
      }
    }
  });

  it.each([false, true])('code that a call changes is not run as it was (exact: %s)', (exact) => {
    for (let seed = 1; seed <= 5; seed++) {
      const during = () => {
        let value = 0;
        return (space: AddressSpace) => {
          expect(space.write(IMMEDIATE, Uint8Array.of(value++))).toBe(true);
        };
      };
      const slice = () => slices(seed, 20);
      const { state, context } = run({ often, exact, outcome: null, slice: slice(), during: during() });
      // 1 + 3 + 5 + …: as it is when the instruction runs.
      expect(context.getNumber(RDI)).toBe(ROUNDS * ROUNDS);
      for (const outcome of [() => 'done' as const, outcomes(seed)]) {
        expect(run({ often, exact, outcome, slice: slice(), during: during() }).state).toEqual(state);
      }
    }
  });
});
