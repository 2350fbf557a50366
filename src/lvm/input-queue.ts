/**
 * Inputs that must not be lost: numbered from the service's first start. How many were taken is part of the state, so
 * that whoever sends them can send again what a lost primary took but its successor's state does not have.
 */

import { assert } from './assert.ts';

export class InputQueue<T> {
  readonly #waiting: T[] = [];
  #taken: number;

  /** `taken`: how many the state has had already. */
  constructor(taken = 0) {
    this.#taken = taken;
  }

  get taken(): number {
    return this.#taken;
  }

  /** Number of the next input that is not here yet. */
  get expected(): number {
    return this.#taken + this.#waiting.length;
  }

  /** How many wait. */
  get length(): number {
    return this.#waiting.length;
  }

  /** Inputs from number `from` on; those that are here already, or were taken, are passed over. */
  add(from: number, inputs: readonly T[]): void {
    assert(from <= this.expected, 'inputs come without gaps');
    this.#waiting.push(...inputs.slice(this.expected - from));
  }

  take(): T | undefined {
    const input = this.#waiting.shift();
    if (input !== undefined) this.#taken += 1;
    return input;
  }
}
