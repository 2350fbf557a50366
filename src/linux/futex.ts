/**
 * Futexes: threads that sleep until another wakes them at an address (futex(2)).
 *
 * Unlike other waits, who has been woken is state and cannot be found out again by executing the call a second time. So a
 * waiting thread's memo says where it waits, since when, and whether it was woken; the table here is made from the memos.
 */

import type { AddressSpace } from '../lvm/address-space.ts';
import { FUTEX_OWNER_DIED, FUTEX_TID_MASK, FUTEX_WAITERS } from './abi/futex.ts';
import type { Kernel } from './kernel.ts';
import type { Thread } from './thread.ts';

/** What a thread in futex(2) remembers. Plain data. */
export interface FutexMemo {
  readonly kind: 'futex';
  /** Where it waits: `MemoryMap.futexKey`, or that of a private futex. */
  key: string;
  readonly bitset: number;
  /** Position among all waiters that ever were. */
  order: number;
  readonly deadlineUs: number | null;
  woken: boolean;
}

const ROBUST_LIST_LIMIT = 2048;
export const MATCH_ANY = 0xffff_ffff;

/** FUTEX_PRIVATE_FLAG: of the process alone, also in memory that it shares. */
export function privateKey(space: AddressSpace, address: number): string {
  return `${space.id}:${address}`;
}

export class FutexTable {
  readonly #kernel: Kernel;
  /** Waiters in the order in which they came, by key. */
  readonly #waiters = new Map<string, Thread[]>();

  constructor(kernel: Kernel) {
    this.#kernel = kernel;
  }

  /** The thread begins to wait; it goes to sleep after this. */
  add(thread: Thread, key: string, bitset: number, deadlineUs: number | null): void {
    const memo: FutexMemo = { kind: 'futex', key, bitset, order: this.#kernel.nextOrder(), deadlineUs, woken: false };
    thread.memo = memo;
    this.#enter(thread, memo);
  }

  #enter(thread: Thread, { key }: FutexMemo): void {
    const waiters = this.#waiters.get(key);
    if (waiters === undefined) this.#waiters.set(key, [thread]);
    else waiters.push(thread);
  }

  /** The thread waits no more: woken, timed out, interrupted or dead. */
  forget(thread: Thread): void {
    const memo = thread.memo as FutexMemo | null;
    if (memo?.kind !== 'futex' || memo.woken) return;
    const waiters = this.#waiters.get(memo.key);
    const at = waiters?.indexOf(thread) ?? -1;
    if (at < 0) return;
    waiters!.splice(at, 1);
    if (waiters!.length === 0) this.#waiters.delete(memo.key);
  }

  /** Wakes at most `count` threads that wait there; how many there were. */
  wake(key: string, count: number, bitset = MATCH_ANY): number {
    let woken = 0;
    for (const thread of [...(this.#waiters.get(key) ?? [])]) {
      if (woken >= count) break;
      const memo = thread.memo as FutexMemo;
      if ((memo.bitset & bitset) === 0) continue;
      this.forget(thread);
      memo.woken = true;
      this.#kernel.ledger.touch(thread);
      this.#kernel.scheduler.wake(thread);
      woken++;
    }
    return woken;
  }

  /** Makes at most `count` of the threads that wait at `from` wait at `to`; how many there were. */
  requeue(from: string, to: string, count: number): number {
    const waiters = (this.#waiters.get(from) ?? []).slice(0, Math.max(0, count));
    if (from === to) return waiters.length;
    for (const thread of waiters) {
      const memo = thread.memo as FutexMemo;
      this.forget(thread);
      memo.key = to;
      memo.order = this.#kernel.nextOrder();
      this.#enter(thread, memo);
      this.#kernel.ledger.touch(thread);
    }
    return waiters.length;
  }

  /** After a restore. */
  restore(threads: Iterable<Thread>): void {
    const waiting = [...threads].flatMap((thread) => {
      const memo = thread.memo as FutexMemo | null;
      return memo?.kind === 'futex' && !memo.woken ? [{ thread, memo }] : [];
    });
    waiting.sort((a, b) => a.memo.order - b.memo.order);
    for (const { thread, memo } of waiting) this.#enter(thread, memo);
  }
}

/**
 * The thread ends: locks that it holds are marked, and one waiter each is woken (get_robust_list(2); kernel/futex/core.c,
 * exit_robust_list). The list is the guest's: nothing in it is trusted.
 */
export function releaseRobustList(kernel: Kernel, thread: Thread): void {
  const { robustList: head, process } = thread;
  const { space } = process;
  if (head === 0) return;
  const word = (address: number): number | null => {
    const bytes = space.read(address, 8);
    if (bytes === null) return null;
    return Number(new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0, true));
  };
  const first = word(head);
  const offsetBytes = space.read(head + 8, 8);
  const pending = word(head + 16);
  if (first === null || offsetBytes === null || pending === null) return;
  const offset = Number(new DataView(offsetBytes.buffer, offsetBytes.byteOffset, 8).getBigInt64(0, true));
  let entry = first;
  for (let n = 0; n < ROBUST_LIST_LIMIT && clear(entry) !== head && entry !== 0; n++) {
    const next = word(clear(entry));
    if (clear(entry) !== clear(pending)) ownerDied(kernel, thread, clear(entry) + offset);
    if (next === null) return;
    entry = next;
  }
  if (pending !== 0) ownerDied(kernel, thread, clear(pending) + offset);
}

/** Bit 0 of an entry tells a priority-inheriting lock. */
function clear(entry: number): number {
  return entry - (entry % 2);
}

function ownerDied(kernel: Kernel, thread: Thread, address: number): void {
  const { space } = thread.process;
  if (address % 4 !== 0) return;
  const bytes = space.read(address, 4);
  if (bytes === null) return;
  const value = new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0, true);
  if ((value & FUTEX_TID_MASK) !== thread.tid) return;
  const word = new Uint8Array(4);
  new DataView(word.buffer).setUint32(0, ((value & FUTEX_WAITERS) | FUTEX_OWNER_DIED) >>> 0, true);
  if (space.write(address, word) && (value & FUTEX_WAITERS) !== 0)
    kernel.futexes.wake(thread.process.mm.futexKey(address), 1);
}
