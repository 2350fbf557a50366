/**
 * How many guest instructions make a slice of about a millisecond on this host, with the code that runs now. Code that is
 * new must be translated, which takes a thousand times as long as running it once: so the budget falls at once and grows
 * step by step.
 */

const TARGET_MS = 1;
const BUDGET_MIN = 500;
const BUDGET_MAX = 20_000_000;
/** A shorter time says little. */
const MEASURED_MS = 0.1;

export class SliceBudget {
  #budget = BUDGET_MIN;

  get next(): number {
    return this.#budget;
  }

  /** What a slice has used of its budget, and how long it took. */
  ran(used: number, ms: number): void {
    if (ms < TARGET_MS && used < this.#budget / 2) return;
    const fitting = Math.min(this.#budget * 2, (used / Math.max(ms, MEASURED_MS)) * TARGET_MS);
    this.#budget = Math.round(Math.max(BUDGET_MIN, Math.min(BUDGET_MAX, fitting)));
  }
}
