/**
 * A guest thread: registers, signal mask, and what it sleeps for.
 *
 * A thread that sleeps is inside a system call (`call`), which is executed again from its beginning when something wakes
 * it, or after a restore. So there is nothing to save of a sleep but its deadline and the call's memo.
 */

import type { Part, Plain } from '../checkpoint/ledger.ts';
import { Context } from '../x86/state.ts';
import { SS_DISABLE, UNBLOCKABLE } from './abi/signal.ts';
import type { Process } from './process.ts';
import type { Scheduler } from './scheduler.ts';
import { type SavedSignals, SignalQueue } from './signal-queue.ts';
import type { Waiter, WaitQueue } from './wait-queue.ts';

/** sigaltstack(2). */
export interface AltStack {
  readonly sp: number;
  readonly size: number;
  /** SS_DISABLE or SS_AUTODISARM or 0. */
  readonly flags: number;
}

export const NO_ALT_STACK: AltStack = { sp: 0, size: 0, flags: SS_DISABLE };

/** PR_SET_TIMERSLACK's default. */
export const DEFAULT_SLACK_NS = 50_000;

interface SavedThread {
  readonly pid: number;
  readonly context: Uint8Array;
  readonly name: string;
  readonly mask: string;
  readonly savedMask: string | null;
  readonly pending: SavedSignals;
  readonly alt: readonly [number, number, number];
  readonly clearTid: number;
  readonly robustList: number;
  readonly instructions: number;
  readonly call: number;
  readonly memo: Plain;
  readonly order: number;
  readonly attributes: readonly [policy: number, nice: number, slackNs: number];
}

export class Thread implements Part, Waiter {
  readonly tid: number;
  readonly process: Process;
  readonly context: Context;
  readonly scheduler: Scheduler;
  /** comm: at most 15 bytes. */
  name: string;
  /** Blocked signals: bit signo - 1. */
  mask = 0n;
  /** The mask to go back to, while a call such as ppoll(2) has put a temporary one in force. */
  savedMask: bigint | null = null;
  readonly pending = new SignalQueue();
  alt = NO_ALT_STACK;
  /** CLONE_CHILD_CLEARTID: where zero is written, and a futex woken, when the thread ends; 0: nowhere. */
  clearTid = 0;
  /** set_robust_list(2); 0: none. */
  robustList = 0;
  /** sched_setscheduler(2), setpriority(2), PR_SET_TIMERSLACK: kept and shown. */
  policy = 0;
  nice = 0;
  slackNs = DEFAULT_SLACK_NS;
  /** Guest instructions that it has retired. */
  instructions = 0;

  /** Number of the system call that it is in; -1: it runs its own code. */
  call = -1;
  /** Of that call, kept across its executions. */
  memo: unknown = null;
  /** While it sleeps: monotonic µs at which it is woken. Calls keep theirs in the memo. */
  deadlineUs: number | null = null;
  /** Set by the deadline: the next execution of the call sees it. */
  timedOut = false;
  /** When it last went to sleep, among all threads: a restore executes calls again in this order. */
  order = 0;
  /** It waits for a queue or its deadline; false: it is in the run queue, or its process is stopped. */
  asleep = false;
  dead = false;
  /** Where it is enqueued while it sleeps. */
  readonly #queues: WaitQueue[] = [];

  constructor(process: Process, tid: number, scheduler: Scheduler, context = new Context()) {
    this.process = process;
    this.tid = tid;
    this.scheduler = scheduler;
    this.context = context;
    this.name = process.name;
  }

  get key(): string {
    return `thread/${this.tid}`;
  }

  /** Virtual, as `Process.cpuUs`. */
  get cpuUs(): number {
    return Math.floor(this.instructions / 1000);
  }

  save(): Plain {
    const saved: SavedThread = {
      pid: this.process.pid,
      // Whoever captures has unloaded the contexts of the spaces: this is the thread's own buffer.
      context: this.context.u8,
      name: this.name,
      mask: this.mask.toString(16),
      savedMask: this.savedMask?.toString(16) ?? null,
      pending: this.pending.save(),
      alt: [this.alt.sp, this.alt.size, this.alt.flags],
      clearTid: this.clearTid,
      robustList: this.robustList,
      instructions: this.instructions,
      call: this.call,
      memo: this.memo,
      order: this.order,
      attributes: [this.policy, this.nice, this.slackNs],
    };
    return saved;
  }

  static pidOf(state: Plain): number {
    return (state as SavedThread).pid;
  }

  static restore(process: Process, tid: number, scheduler: Scheduler, state: Plain): Thread {
    const saved = state as SavedThread;
    const thread = new Thread(process, tid, scheduler, new Context(saved.context));
    thread.name = saved.name;
    thread.mask = BigInt(`0x${saved.mask}`);
    thread.savedMask = saved.savedMask === null ? null : BigInt(`0x${saved.savedMask}`);
    thread.pending.restore(saved.pending);
    thread.alt = { sp: saved.alt[0], size: saved.alt[1], flags: saved.alt[2] };
    thread.clearTid = saved.clearTid;
    thread.robustList = saved.robustList;
    thread.instructions = saved.instructions;
    thread.call = saved.call;
    thread.memo = saved.memo;
    thread.order = saved.order;
    [thread.policy, thread.nice, thread.slackNs] = saved.attributes;
    return thread;
  }

  /** What a new thread has from the one that makes it (clone(2)), also across processes. */
  inherit(parent: Thread): void {
    this.name = parent.name;
    this.mask = parent.mask;
    this.policy = parent.policy;
    this.nice = parent.nice;
    this.slackNs = parent.slackNs;
  }

  /** A queue that it waits for has changed. */
  notify(): void {
    this.scheduler.wake(this);
  }

  /** Enters the queues: for the scheduler. */
  enqueue(queues: readonly WaitQueue[]): void {
    for (const queue of queues) {
      queue.add(this);
      this.#queues.push(queue);
    }
  }

  /** Leaves the queues: for the scheduler. */
  dequeue(): void {
    for (const queue of this.#queues) queue.remove(this);
    this.#queues.length = 0;
  }

  /** For ppoll(2) and the like: see syscalls/signal-mask.ts. */
  setTemporaryMask(mask: bigint): void {
    this.savedMask ??= this.mask;
    this.mask = mask & ~UNBLOCKABLE;
  }

  restoreMask(): void {
    if (this.savedMask === null) return;
    this.mask = this.savedMask;
    this.savedMask = null;
  }
}
