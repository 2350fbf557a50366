/** Runs a guest in slices of about a millisecond, and knows whether it has anything to do and until when it sleeps. */

import type { NodeLvm } from '../lvm/node-lvm.ts';
import type { Machine } from './machine.ts';
import { SliceBudget } from './slice-budget.ts';

/** Standard input that the guest was given and did not read; more waits outside. */
const UNREAD_MAX = 256 << 10;

export class GuestRunner {
  readonly #machine: Machine;
  readonly #lvm: NodeLvm;
  readonly #budget = new SliceBudget();
  #busy = true;
  #ended = false;
  /** Monotonic µs of the guest's clock; null: only an input wakes it. */
  #deadlineUs: number | null = null;

  constructor(machine: Machine, lvm: NodeLvm) {
    this.#machine = machine;
    this.#lvm = lvm;
  }

  /** There is more to run at once. */
  get busy(): boolean {
    return this.#busy;
  }

  /** The first process has ended: there is nothing more to run, ever. */
  get ended(): boolean {
    return this.#ended;
  }

  get hasWork(): boolean {
    if (this.#ended) return false;
    return this.#busy || this.#lvm.pending || this.sleepMs <= 0;
  }

  /** Until the guest wants to run by itself; Infinity: never. */
  get sleepMs(): number {
    if (this.#deadlineUs === null || this.#ended) return Number.POSITIVE_INFINITY;
    return (this.#deadlineUs - this.#lvm.clock().monotonicUs) / 1000;
  }

  /** One slice. */
  run(): void {
    const machine = this.#machine;
    const startMs = performance.now();
    const before = machine.instructions;
    const budget = this.#budget.next;
    const result = machine.run(budget);
    // System calls are of the budget, too.
    const used = Math.max(machine.instructions - before, result.kind === 'budget' ? budget : 0);
    this.#budget.ran(used, performance.now() - startMs);
    this.#busy = result.kind === 'budget';
    this.#deadlineUs = result.kind === 'wait' ? result.deadlineUs : null;
    this.#ended = result.kind === 'exit';
    this.#lvm.stdinHeld = machine.consoleInput.available >= UNREAD_MAX;
  }
}
