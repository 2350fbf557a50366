/** Signals that wait to be delivered, of a thread or of a process (signal(7), "Queueing and delivery semantics"). */

import { SIGBUS, SIGFPE, SIGILL, SIGRTMIN, SIGSEGV, SIGSYS, SIGTRAP, signalBit } from './abi/signal.ts';
import type { SignalInfo } from './signalfd.ts';

/** [signo, code, pid, uid, status, value, address, timer, overrun] */
export type SavedSignals = readonly (readonly [
  number,
  number,
  number,
  number,
  number | null,
  string | null,
  string | null,
  number | null,
  number | null,
])[];

/** Signals that come before all others (next_signal in kernel/signal.c). */
const SYNCHRONOUS = [SIGSEGV, SIGBUS, SIGILL, SIGTRAP, SIGFPE, SIGSYS].reduce(
  (set, signo) => set | signalBit(signo),
  0n,
);

/** More queued real-time signals than this are refused (RLIMIT_SIGPENDING). */
const LIMIT = 4096;
/** DELAYTIMER_MAX. */
const OVERRUN_MAX = 0x7fff_ffff;

export class SignalQueue {
  /** In the order in which they came. */
  #signals: SignalInfo[] = [];
  /** Bits of those. */
  #set = 0n;

  get set(): bigint {
    return this.#set;
  }

  /** False where there are too many. A standard signal that is pending already is not queued again. */
  add(info: SignalInfo): boolean {
    const bit = signalBit(info.signo);
    if (info.signo < SIGRTMIN && (this.#set & bit) !== 0n) return true;
    if (this.#signals.length >= LIMIT) return false;
    this.#signals.push(info);
    this.#set |= bit;
    return true;
  }

  /** Takes what `peek` shows. */
  take(mask: bigint): SignalInfo | null {
    const first = this.peek(mask);
    if (first !== null) this.#remove((info) => info === first);
    return first;
  }

  /** The next signal in `mask`: of those that a CPU raises, else of all, the lowest-numbered that came first. */
  peek(mask: bigint): SignalInfo | null {
    let wanted = this.#set & mask;
    if (wanted === 0n) return null;
    if ((wanted & SYNCHRONOUS) !== 0n) wanted &= SYNCHRONOUS;
    let best: SignalInfo | null = null;
    for (const info of this.#signals) {
      if ((wanted & signalBit(info.signo)) !== 0n && (best === null || info.signo < best.signo)) best = info;
    }
    return best;
  }

  /** Whether the timer's signal is pending. */
  hasTimer(timer: number): boolean {
    return this.#signals.some((info) => info.timer === timer);
  }

  /**
   * A timer went off `times` times more while its signal is pending: that says so, instead of another (timer_getoverrun(2)).
   * How often in all; 0: none is pending.
   */
  overrun(timer: number, times: number): number {
    const at = this.#signals.findIndex((info) => info.timer === timer);
    if (at < 0) return 0;
    const info = this.#signals[at]!;
    const overrun = Math.min(OVERRUN_MAX, (info.overrun ?? 0) + times);
    this.#signals[at] = { ...info, overrun };
    return overrun;
  }

  /** Forgets the signals in `mask`. */
  discard(mask: bigint): boolean {
    if ((this.#set & mask) === 0n) return false;
    this.#remove(({ signo }) => (mask & signalBit(signo)) !== 0n);
    return true;
  }

  #remove(which: (info: SignalInfo) => boolean): void {
    this.#signals = this.#signals.filter((info) => !which(info));
    this.#set = this.#signals.reduce((set, { signo }) => set | signalBit(signo), 0n);
  }

  save(): SavedSignals {
    return this.#signals.map(({ signo, code, pid, uid, status, value, address, timer, overrun }) => [
      signo,
      code,
      pid,
      uid,
      status ?? null,
      value?.toString() ?? null,
      address?.toString() ?? null,
      timer ?? null,
      overrun ?? null,
    ]);
  }

  restore(saved: SavedSignals): void {
    for (const [signo, code, pid, uid, status, value, address, timer, overrun] of saved) {
      this.add({
        signo,
        code,
        pid,
        uid,
        ...(status === null ? {} : { status }),
        ...(value === null ? {} : { value: BigInt(value) }),
        ...(address === null ? {} : { address: BigInt(address) }),
        ...(timer === null ? {} : { timer }),
        ...(overrun === null ? {} : { overrun }),
      });
    }
  }
}
