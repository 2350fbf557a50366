/** Seeded choices for tests with real processes: what is done is repeatable, when it lands is not. */

/** mulberry32. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** 0 … n−1. */
  below(n: number): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let x = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    x = (x + Math.imul(x ^ (x >>> 7), 61 | x)) ^ x;
    return Math.floor((((x ^ (x >>> 14)) >>> 0) / 2 ** 32) * n);
  }

  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)]!;
  }
}

/** SEED of the environment, or a new one; print it. */
export function seedFrom(env: NodeJS.ProcessEnv = process.env): number {
  return env.SEED === undefined ? Date.now() % 2 ** 31 : Number(env.SEED);
}
