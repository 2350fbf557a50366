/**
 * Which thread runs next. All guest threads share the one virtual CPU; a thread runs until it sleeps or its slice, a fixed
 * number of guest instructions, is used up, so threads interleave the same way on every replica.
 *
 * The run queue is rebuilt after a restore: threads that were running or about to, then those in a system call, which is
 * executed again, in the order in which they went to sleep.
 */

import { assert } from '../lvm/assert.ts';
import type { WaitFor } from './syscall.ts';
import type { Thread } from './thread.ts';

/** Guest instructions that a thread may run while others wait for the CPU. */
const SLICE = 200_000;

export class Scheduler {
  /** The thread that runs is the first one; it goes to the end when its slice is over. */
  #queue: Thread[] = [];
  /** Threads that sleep with a deadline. */
  readonly #deadlines = new Set<Thread>();
  #sleeps = 0;
  #sliceLeft = SLICE;

  /** A new thread, or one that is restored. */
  add(thread: Thread): void {
    thread.asleep = false;
    this.#queue.push(thread);
  }

  /** The thread is no more. */
  remove(thread: Thread): void {
    thread.dequeue();
    thread.asleep = false;
    thread.dead = true;
    this.#deadlines.delete(thread);
    this.#drop(thread);
  }

  #drop(thread: Thread): void {
    const at = this.#queue.indexOf(thread);
    if (at < 0) return;
    this.#queue.splice(at, 1);
    if (at === 0) this.#sliceLeft = SLICE;
  }

  /** The thread to run now; null: none can. Threads of stopped processes stay in the queue and do not run. */
  next(): Thread | null {
    const first = this.#queue[0];
    if (first === undefined) return null;
    if (!first.process.stopped) return first;
    const at = this.#queue.findIndex((thread) => !thread.process.stopped);
    if (at < 0) return null;
    this.#queue.unshift(...this.#queue.splice(at, 1));
    this.#sliceLeft = SLICE;
    return this.#queue[0]!;
  }

  /**
   * Instructions that the thread given by `next` may run before another's turn; Infinity when nobody else waits. What it
   * runs then does not count: else where a slice ends would depend on where runs end.
   */
  get slice(): number {
    return this.#queue.length > 1 ? this.#sliceLeft : Number.POSITIVE_INFINITY;
  }

  /** The thread has run so many instructions of its slice. */
  ran(thread: Thread, instructions: number): void {
    if (this.#queue[0] !== thread) return;
    this.#sliceLeft -= instructions;
    if (this.#sliceLeft <= 0) this.yield(thread);
  }

  /** Others first (sched_yield(2)). */
  yield(thread: Thread): void {
    this.#sliceLeft = SLICE;
    if (this.#queue[0] !== thread || this.#queue.length === 1) return;
    this.#queue.push(this.#queue.shift()!);
  }

  /** The thread's call waits. */
  sleep(thread: Thread, { queues = [], deadlineUs = null }: WaitFor): void {
    assert(!thread.asleep && !thread.dead, 'only a running thread goes to sleep');
    this.#drop(thread);
    thread.asleep = true;
    thread.order = ++this.#sleeps;
    thread.deadlineUs = deadlineUs;
    thread.enqueue(queues);
    if (deadlineUs !== null) this.#deadlines.add(thread);
  }

  /** The call is to be executed again. */
  wake(thread: Thread): void {
    if (!thread.asleep) return;
    thread.asleep = false;
    thread.dequeue();
    this.#deadlines.delete(thread);
    this.#queue.push(thread);
  }

  /** Wakes the threads whose deadline has passed, those first that are due first. */
  expire(nowUs: number): void {
    if (this.#deadlines.size === 0) return;
    const due = [...this.#deadlines].filter((thread) => thread.deadlineUs! <= nowUs);
    due.sort((a, b) => a.deadlineUs! - b.deadlineUs! || a.order - b.order);
    for (const thread of due) {
      thread.timedOut = true;
      this.wake(thread);
    }
  }

  /** The first deadline of a sleeping thread, monotonic µs. */
  get deadlineUs(): number | null {
    let first: number | null = null;
    for (const { deadlineUs } of this.#deadlines) if (first === null || deadlineUs! < first) first = deadlineUs;
    return first;
  }

  /** State: slices go on where they were. */
  save(): { sleeps: number; sliceLeft: number; queue: number[] } {
    return { sleeps: this.#sleeps, sliceLeft: this.#sliceLeft, queue: this.#queue.map(({ tid }) => tid) };
  }

  restore(state: ReturnType<Scheduler['save']>, threads: Iterable<Thread>): void {
    this.#sleeps = state.sleeps;
    this.#sliceLeft = state.sliceLeft;
    const position = new Map(state.queue.map((tid, i) => [tid, i - state.queue.length]));
    const rank = (thread: Thread): number => position.get(thread.tid) ?? thread.order;
    for (const thread of [...threads].sort((a, b) => rank(a) - rank(b))) this.add(thread);
  }
}
