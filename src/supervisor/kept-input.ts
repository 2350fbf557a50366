/**
 * The operator's input on its way to the guest: kept until a primary says that every member has it, and sent again, from
 * where its state is, to each new primary. Numbers count from the service's first start (lvm/input-queue.ts).
 */

export class KeptInput<T> {
  #first = 0;
  readonly #kept: T[] = [];

  /** How many are kept. */
  get size(): number {
    return this.#kept.length;
  }

  /** The next input's number. */
  get next(): number {
    return this.#first + this.#kept.length;
  }

  add(input: T): void {
    this.#kept.push(input);
  }

  /** From number `from` on; nothing before it will be asked for again. */
  from(from: number): readonly T[] {
    return this.#kept.slice(Math.max(0, from - this.#first));
  }

  /** The first `taken` are safe. Returns those that are dropped. */
  drop(taken: number): T[] {
    const dropped = this.#kept.splice(0, Math.max(0, taken - this.#first));
    this.#first += dropped.length;
    return dropped;
  }
}
