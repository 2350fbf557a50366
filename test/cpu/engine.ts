/** The virtual CPU under test, and it beside the host's: batches of cases in, differences out. */

import { TranslatingCpu } from '../../src/x86/cpu.ts';
import { arithmeticFlags } from '../../src/x86/flags.ts';
import { ARITHMETIC_FLAGS } from '../../src/x86/state.ts';
import { FORMS, type Form } from '../../src/x86/table.ts';
import { CODE, type CpuCase, type CpuResult, Results } from './case.ts';
import { areEqual, compareResults, mayLackStickyFlags, whyNotComparable } from './compare.ts';
import { whyNotCompared } from './generate.ts';
import { GuestCpu, VECTOR_ENDLESS } from './guest.ts';
import type { NativeCpu } from './native.ts';
import { StickyCpu } from './sticky-cpu.ts';
import { UndefinedCpu } from './undefined-cpu.ts';

/** `often`: how many times code is interpreted before it is translated. */
export function newGuestCpu(often = 3): GuestCpu {
  return new GuestCpu(newCpu(often), 1, arithmeticFlags);
}

function newCpu(often?: number): TranslatingCpu {
  return new TranslatingCpu({ readTsc: () => 0n }, undefined, often);
}

/** The differences that are left when the sticky flags of MXCSR are set always. */
function withStickyFlags(c: CpuCase, expected: CpuResult): string[] {
  const guest = new GuestCpu(new StickyCpu(newCpu()), 1, arithmeticFlags);
  const texts = compareResults(c, expected, guest.run(c, 1));
  guest.close();
  return texts;
}

/** The case jumps into the middle of an instruction, and undefined flags from there on can be what differs. */
function dependsOnUndefinedFlags(c: CpuCase, texts: readonly string[], native: CpuResult, result: CpuResult): boolean {
  const begins = new Set(c.boundaries.map(([at]) => CODE + c.place + at));
  const cpu = new UndefinedCpu(newCpu(), (rip) => begins.has(rip));
  const guest = new GuestCpu(cpu, 1, arithmeticFlags);
  guest.run(c, 1);
  guest.close();
  const onlyFlags = texts.length === 1 && texts[0]!.startsWith('flags:');
  return cpu.leavesOpen(onlyFlags ? (native.rflags ^ result.rflags) & ARITHMETIC_FLAGS : 0);
}

/**
 * True where the host, asked again, agrees: when it was interrupted in between. AMD's processors save the pointers of the x87 only while an
 * exception is pending, so that a switch to another process loses them.
 */
function agreesAgain(host: NativeCpu, c: CpuCase, result: CpuResult): boolean {
  return compareResults(c, host.run([c]).get(0), result).length === 0;
}

/** The forms that are compared. */
export const COMPARED: readonly Form[] = FORMS.filter((form) => whyNotCompared(form) === null);

export interface Difference {
  readonly case: CpuCase;
  readonly texts: readonly string[];
}

export interface BatchResult {
  readonly compared: number;
  /** They run out of their budget: jumps into themselves and the like. */
  readonly endless: number;
  readonly differences: readonly Difference[];
  /** Differences that docs/limits.md has: what they are. */
  readonly known: readonly string[];
  /** Why some were not compared. */
  readonly notComparable: readonly string[];
  /** The host's. */
  readonly results: Results;
}

/** Runs cases on both; with `step` the virtual CPU in exact slices of so many instructions. `often`: of newGuestCpu. */
export function compareBatch(host: NativeCpu, cases: readonly CpuCase[], step = 0, often?: number): BatchResult {
  const expected = host.run(cases);
  const actual = new Results(cases.length);
  const guest = newGuestCpu(often);
  const differences: Difference[] = [];
  const known: string[] = [];
  const notComparable: string[] = [];
  let endless = 0;
  for (const [i, c] of cases.entries()) {
    try {
      guest.runInto(actual, i, c, step);
    } catch (error) {
      differences.push({ case: c, texts: [`translator: ${error instanceof Error ? error.stack : error}`] });
      continue;
    }
    if (areEqual(c, expected, actual, i)) continue;
    const result: CpuResult = actual.get(i);
    if (result.vector === VECTOR_ENDLESS) {
      endless++;
      continue;
    }
    const native = expected.get(i);
    const why = whyNotComparable(c, native, result);
    if (why !== null) {
      notComparable.push(why);
      continue;
    }
    const texts = compareResults(c, native, result);
    if (texts.length === 0) continue;
    if (mayLackStickyFlags(c, texts, native, result) && withStickyFlags(c, native).length === 0) {
      known.push('sticky flags of MXCSR, after FXRSTOR has loaded its default settings');
    } else if (dependsOnUndefinedFlags(c, texts, native, result)) {
      notComparable.push('undefined flags of what was jumped into the middle of');
    } else if (agreesAgain(host, c, result)) {
      notComparable.push('the host does it otherwise the second time');
    } else {
      differences.push({ case: c, texts });
    }
  }
  guest.close();
  const compared = cases.length - endless - notComparable.length;
  return { compared, endless, differences, known, notComparable, results: expected };
}
