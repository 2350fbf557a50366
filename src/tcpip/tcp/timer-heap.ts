/**
 * The stack's timers: a binary heap of (time, connection). An entry is not removed when a timer moves; it is checked when
 * it comes up. What the heap gives depends only on the connections' timers, not on how it came to be, so that a restored
 * stack answers like the original.
 */

import { NEVER, type TcpConnection } from './connection.ts';

export class TimerHeap {
  readonly #at: number[] = [];
  readonly #connection: TcpConnection[] = [];

  /** Sees to it that there is an entry for `c` no later than its earliest timer. */
  schedule(c: TcpConnection): void {
    const at = c.timerAt;
    if (at >= c.heapAt) return;
    c.heapAt = at;
    this.#push(at, c);
  }

  /** When the next timer is due; NEVER where there is none. Exact. */
  get next(): number {
    while (this.#at.length > 0) {
      const at = this.#at[0]!;
      const c = this.#connection[0]!;
      if (c.heapAt === at && c.timerAt === at) return at;
      this.#pop();
      if (c.heapAt !== at) continue;
      c.heapAt = NEVER;
      this.schedule(c);
    }
    return NEVER;
  }

  /** The next connection with a timer due at `nowUs`, taken off; ties go by id. */
  take(nowUs: number): TcpConnection | null {
    if (this.next > nowUs) return null;
    const c = this.#connection[0]!;
    this.#pop();
    c.heapAt = NEVER;
    return c;
  }

  #less(i: number, j: number): boolean {
    const a = this.#at[i]!;
    const b = this.#at[j]!;
    return a < b || (a === b && this.#connection[i]!.id < this.#connection[j]!.id);
  }

  #swap(i: number, j: number): void {
    const at = this.#at[i]!;
    this.#at[i] = this.#at[j]!;
    this.#at[j] = at;
    const connection = this.#connection[i]!;
    this.#connection[i] = this.#connection[j]!;
    this.#connection[j] = connection;
  }

  #push(at: number, c: TcpConnection): void {
    let i = this.#at.push(at) - 1;
    this.#connection.push(c);
    while (i > 0) {
      const parent = (i - 1) >>> 1;
      if (!this.#less(i, parent)) break;
      this.#swap(i, parent);
      i = parent;
    }
  }

  #pop(): void {
    this.#swap(0, this.#at.length - 1);
    this.#at.pop();
    this.#connection.pop();
    let i = 0;
    for (;;) {
      let least = i;
      const left = 2 * i + 1;
      if (left < this.#at.length && this.#less(left, least)) least = left;
      if (left + 1 < this.#at.length && this.#less(left + 1, least)) least = left + 1;
      if (least === i) return;
      this.#swap(i, least);
      i = least;
    }
  }
}
