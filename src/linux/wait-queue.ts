/**
 * Wait queues: who is to be woken when an object may have changed.
 *
 * They are not guest state. A blocked system call is re-executed from its beginning when it is woken — or after a restore
 * — and blocks again if its condition does not hold, so a checkpoint can land in the middle of a blocked call.
 */

/** Something that wants to hear of a change: a blocked thread, an epoll instance. */
export interface Waiter {
  /** The object of `queue` may have become ready. Called synchronously; must only mark, never run guest code. */
  notify(queue: WaitQueue): void;
  /** The object is no more: for waiters that would otherwise stay. */
  gone?(queue: WaitQueue): void;
}

export class WaitQueue {
  /** In the order in which they came, which is the order in which they are woken. */
  readonly #waiters = new Set<Waiter>();

  add(waiter: Waiter): void {
    this.#waiters.add(waiter);
  }

  remove(waiter: Waiter): void {
    this.#waiters.delete(waiter);
  }

  get size(): number {
    return this.#waiters.size;
  }

  /** Notifies every waiter. */
  wake(): void {
    if (this.#waiters.size === 0) return;
    for (const waiter of [...this.#waiters]) waiter.notify(this);
  }

  /** The object is no more. */
  end(): void {
    for (const waiter of [...this.#waiters]) waiter.gone?.(this);
  }
}
