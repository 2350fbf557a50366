/** Figures for status: percentiles of the last few thousand values. Bounded, and cheap to add to. */

export interface Percentiles {
  readonly p50: number | null;
  readonly p99: number | null;
  readonly max: number | null;
}

const KEPT = 4096;

/** A ring of the last values. */
export class Meter {
  readonly #values = new Float64Array(KEPT);
  #count = 0;

  /** Values added so far, also those that are forgotten. */
  get count(): number {
    return this.#count;
  }

  add(value: number): void {
    this.#values[this.#count++ % KEPT] = value;
  }

  percentiles(): Percentiles | null {
    const count = Math.min(this.#count, KEPT);
    if (count === 0) return null;
    const sorted = this.#values.slice(0, count).sort();
    const at = (q: number): number => Math.round(sorted[Math.min(count - 1, Math.floor(count * q))]!);
    return { p50: at(0.5), p99: at(0.99), max: at(1) };
  }
}
