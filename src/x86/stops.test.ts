/**
 * Where a run stops that may stop at the first convenient place does not depend on how the guest was translated: what is
 * translated already, at which addresses regions begin, which pages are clean or hold code, what ran before.
 */

import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { compileProgram, loadProgram } from '../../test/cpu/program.ts';
import type { AddressSpace } from '../lvm/address-space.ts';
import { TranslatingCpu } from './cpu.ts';
import { fetch, isFailure } from './region.ts';
import { type Context, RAX, RDX } from './state.ts';
import { Translations } from './translations.ts';

interface How {
  /** Before the first run. */
  readonly prepare?: (cpu: TranslatingCpu, space: AddressSpace, context: Context) => void;
  /** Between two runs. */
  readonly between?: (cpu: TranslatingCpu, space: AddressSpace) => void;
  readonly codeProt?: number;
  readonly translations?: Translations;
  /** How many times code is interpreted. */
  readonly often?: number;
}

/** One line a run: its instructions, where it stopped, and a hash of all registers. */
function stops(
  elf: Buffer,
  budgets: () => number,
  { prepare, between, codeProt = 0, translations, often }: How = {},
): string[] {
  const { space, context } = loadProgram(elf, codeProt);
  const cpu = new TranslatingCpu({ readTsc: () => 0n }, translations, often);
  prepare?.(cpu, space, context);
  const lines: string[] = [];
  for (;;) {
    const exit = cpu.run(space, context, budgets(), false);
    cpu.unload(space);
    const registers = createHash('sha256').update(context.u8).digest('hex').slice(0, 16);
    lines.push(`${exit.kind} ${cpu.retired} ${context.rip.toString(16)} ${registers}`);
    if (exit.kind === 'fault') throw new Error(lines.at(-1));
    if (exit.kind === 'syscall') {
      if (context.getNumber(RAX) === 60) return lines;
      context.setNumber(RAX, context.getNumber(RDX));
    }
    between?.(cpu, space);
  }
}

/** The addresses of all instructions of the program, as far as a linear sweep finds them. */
function allInstructions(space: AddressSpace): number[] {
  const list: number[] = [];
  for (const { page, count } of space.mappings()) {
    for (let rip = page * 4096; rip < (page + count) * 4096; ) {
      if (!space.isExecutable(rip)) break;
      const insn = fetch(space, rip);
      if (isFailure(insn)) rip++;
      else {
        list.push(rip);
        rip += insn.length;
      }
    }
  }
  return list;
}

const program = compileProgram();

function random(seed: number): () => number {
  return () => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return seed >>> 8;
  };
}

describe.skipIf(program === null)('stops at the same places', () => {
  const SEED = 20261125;
  const budgets = (): (() => number) => {
    const next = random(SEED);
    return () => 1 + (next() % 3000);
  };
  const elf = program?.elf ?? Buffer.alloc(0);
  const expected = program === null ? [] : stops(elf, budgets());

  it('many times', () => {
    console.log(`seed ${SEED}`);
    expect(expected.length).toBeGreaterThan(500);
  });

  it.each([0, 1, 5, Number.POSITIVE_INFINITY])('interpreted %d times', (often) => {
    expect(stops(elf, budgets(), { often })).toEqual(expected);
  });

  it('with a region at every instruction', () => {
    const got = stops(elf, budgets(), {
      prepare: (cpu, space) => cpu.warm(space, allInstructions(space)),
    });
    expect(got).toEqual(expected);
  });

  it('with pages that become clean at any time', () => {
    const next = random(SEED + 1);
    const got = stops(elf, budgets(), {
      between: (_cpu, space) => {
        if (next() % 3 === 0) space.takeDirty();
      },
      often: 3,
    });
    expect(got).toEqual(expected);
  });

  it('with translations that are lost at any time', () => {
    const next = random(SEED + 2);
    const got = stops(elf, budgets(), {
      between: (cpu, space) => {
        if (next() % 20 === 0) cpu.drop(space);
      },
      often: 3,
    });
    expect(got).toEqual(expected);
  });

  it('with code that may be written', () => {
    expect(stops(elf, budgets(), { codeProt: 2, often: 3 })).toEqual(expected);
  });

  it('with modules that are linked into fewer all the time', () => {
    for (const codeProt of [0, 2]) {
      const translations = new Translations(null, 5);
      expect(stops(elf, budgets(), { translations, codeProt, often: 0 })).toEqual(expected);
      expect(translations.figures.groups).toBeGreaterThan(30);
    }
  });
});
