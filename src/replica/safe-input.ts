/**
 * Which of the operator's input is safe: taken in an epoch that every member holds. What is not safe the supervisor keeps,
 * to send it to the next primary again.
 */

import type { Taken } from '../lvm/node-lvm.ts';

export class SafeInput {
  readonly #tell: (taken: Taken) => void;
  /** Of epochs on their way: only those that took something. */
  #captured: { readonly epoch: number; readonly taken: Taken }[] = [];
  #last: Taken = { stdin: 0, signals: 0 };

  constructor(tell: (taken: Taken) => void) {
    this.#tell = tell;
  }

  /** The state of `epoch` has taken so much. */
  captured(epoch: number, taken: Taken): void {
    if (taken.stdin === this.#last.stdin && taken.signals === this.#last.signals) return;
    this.#last = taken;
    this.#captured.push({ epoch, taken });
  }

  /** Every epoch up to this one is safe. */
  committed(epoch: number): void {
    let taken: Taken | null = null;
    while (this.#captured.length > 0 && this.#captured[0]!.epoch <= epoch) taken = this.#captured.shift()!.taken;
    if (taken !== null) this.#tell(taken);
  }
}
