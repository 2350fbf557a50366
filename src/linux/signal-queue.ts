/** Signals that wait to be delivered, of a thread or of a process (signal(7), "Queueing and delivery semantics"). */

import { SIGRTMIN, signalBit } from './abi/signal.ts';
import type { SignalInfo } from './signalfd.ts';

/** [signo, code, pid, uid, status, value, address, timer] */
export type SavedSignals = readonly (readonly [
  number,
  number,
  number,
  number,
  number | null,
  string | null,
  string | null,
  number | null,
])[];

/** More queued real-time signals than this are refused (RLIMIT_SIGPENDING). */
const LIMIT = 4096;

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

  /** Takes the first of the lowest-numbered signal in `mask`. */
  take(mask: bigint): SignalInfo | null {
    if ((this.#set & mask) === 0n) return null;
    let best: SignalInfo | null = null;
    for (const info of this.#signals) {
      if ((mask & signalBit(info.signo)) === 0n) continue;
      if (best === null || info.signo < best.signo) best = info;
    }
    if (best !== null) this.#remove((info) => info === best);
    return best;
  }

  /** The lowest-numbered one in `mask`, left where it is. */
  peek(mask: bigint): SignalInfo | null {
    let best: SignalInfo | null = null;
    for (const info of this.#signals) {
      if ((mask & signalBit(info.signo)) !== 0n && (best === null || info.signo < best.signo)) best = info;
    }
    return best;
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
    return this.#signals.map(({ signo, code, pid, uid, status, value, address, timer }) => [
      signo,
      code,
      pid,
      uid,
      status ?? null,
      value?.toString() ?? null,
      address?.toString() ?? null,
      timer ?? null,
    ]);
  }

  restore(saved: SavedSignals): void {
    for (const [signo, code, pid, uid, status, value, address, timer] of saved) {
      this.add({
        signo,
        code,
        pid,
        uid,
        ...(status === null ? {} : { status }),
        ...(value === null ? {} : { value: BigInt(value) }),
        ...(address === null ? {} : { address: BigInt(address) }),
        ...(timer === null ? {} : { timer }),
      });
    }
  }
}
