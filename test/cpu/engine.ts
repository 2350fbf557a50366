/** The virtual CPU under test, and it beside the host's: batches of cases in, differences out. */

import { TranslatingCpu } from '../../src/x86/cpu.ts';
import { arithmeticFlags } from '../../src/x86/flags.ts';
import { FORMS, type Form } from '../../src/x86/table.ts';
import { type CpuCase, type CpuResult, Results } from './case.ts';
import { areEqual, compareResults, whyNotComparable } from './compare.ts';
import { whyNotCompared } from './generate.ts';
import { GuestCpu, VECTOR_ENDLESS } from './guest.ts';
import type { NativeCpu } from './native.ts';

/** `often`: how many times code is interpreted before it is translated. */
export function newGuestCpu(often = 3): GuestCpu {
  return new GuestCpu(new TranslatingCpu({ readTsc: () => 0n }, undefined, often), 1, arithmeticFlags);
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
  /** Why some were not compared. */
  readonly notComparable: readonly string[];
  /** The host's. */
  readonly results: Results;
}

/** Runs cases on both; with `step` the virtual CPU in exact slices of so many instructions. `often`: of newGuestCpu. */
export function compareBatch(native: NativeCpu, cases: readonly CpuCase[], step = 0, often?: number): BatchResult {
  const expected = native.run(cases);
  const actual = new Results(cases.length);
  const guest = newGuestCpu(often);
  const differences: Difference[] = [];
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
    const why = whyNotComparable(c, expected.get(i), result);
    if (why !== null) {
      notComparable.push(why);
      continue;
    }
    const texts = compareResults(c, expected.get(i), result);
    if (texts.length > 0) differences.push({ case: c, texts });
  }
  guest.close();
  const compared = cases.length - endless - notComparable.length;
  return { compared, endless, differences, notComparable, results: expected };
}
