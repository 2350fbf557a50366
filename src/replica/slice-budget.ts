/** How many guest instructions make a slice of about a millisecond on this host, with the code that runs now. */

const TARGET_MS = 1;
const BUDGET_MIN = 10_000;
const BUDGET_MAX = 20_000_000;
/** A slice shorter than this says little: the guest went to sleep. */
const MEASURED_MS = 0.1;

export class SliceBudget {
  #budget = 200_000;

  get next(): number {
    return this.#budget;
  }

  /** What a slice was. New code is slow (it is being translated), so one slice changes the budget by a factor of two only. */
  ran(instructions: number, ms: number): void {
    if (ms < MEASURED_MS) return;
    const fitting = (instructions / ms) * TARGET_MS;
    const next = Math.max(this.#budget / 2, Math.min(this.#budget * 2, fitting));
    this.#budget = Math.round(Math.max(BUDGET_MIN, Math.min(BUDGET_MAX, next)));
  }
}
