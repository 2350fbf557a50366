import { describe, expect, test } from 'vitest';
import { EAGAIN, EFAULT, EINVAL, ETIMEDOUT } from './abi/errno.ts';
import * as F from './abi/futex.ts';
import {
  SYS_clone,
  SYS_exit,
  SYS_fork,
  SYS_futex,
  SYS_mmap,
  SYS_munmap,
  SYS_set_robust_list,
} from './abi/syscall-numbers.ts';
import { TestKernel } from './test-kernel.ts';
import type { Thread } from './thread.ts';

const PRIVATE = F.FUTEX_PRIVATE_FLAG;
/** CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD */
const THREAD = 0x10f00;

function withThreads(count: number): { host: TestKernel; threads: Thread[] } {
  const host = new TestKernel();
  const threads = Array.from({ length: count }, () => host.kernel.threads.get(host.call(SYS_clone, THREAD)!)!);
  return { host, threads };
}

describe('futex', () => {
  test('wakes in the order of waiting, at most as many as asked', () => {
    const { host, threads } = withThreads(3);
    const word = host.put(0, 5);
    for (const thread of threads) expect(host.callIn(thread, SYS_futex, word, F.FUTEX_WAIT | PRIVATE, 5)).toBeNull();
    expect(host.call(SYS_futex, word, F.FUTEX_WAIT | PRIVATE, 6)).toBe(-EAGAIN);
    expect(host.call(SYS_futex, word, F.FUTEX_WAKE | PRIVATE, 2)).toBe(2);
    host.later(0);
    expect(threads.map((thread) => host.result(thread))).toEqual([0, 0, null]);
    expect(host.call(SYS_futex, word, F.FUTEX_WAKE | PRIVATE, 9)).toBe(1);
    expect(host.call(SYS_futex, word, F.FUTEX_WAKE | PRIVATE, 9)).toBe(0);
  });

  test('a bitset chooses among the waiters', () => {
    const { host, threads } = withThreads(2);
    const word = host.put(0, 0);
    host.callIn(threads[0]!, SYS_futex, word, F.FUTEX_WAIT_BITSET | PRIVATE, 0, 0, 0, 1);
    host.callIn(threads[1]!, SYS_futex, word, F.FUTEX_WAIT_BITSET | PRIVATE, 0, 0, 0, 2);
    expect(host.call(SYS_futex, word, F.FUTEX_WAKE_BITSET | PRIVATE, 9, 0, 0, 2)).toBe(1);
    host.later(0);
    expect(threads.map((thread) => host.result(thread))).toEqual([null, 0]);
  });

  test('a requeued waiter waits at the other word, behind those that are there', () => {
    const { host, threads } = withThreads(3);
    const [from, to] = [host.put(0, 0), host.put(1, 0)];
    host.callIn(threads[0]!, SYS_futex, from, F.FUTEX_WAIT | PRIVATE, 0);
    host.callIn(threads[1]!, SYS_futex, from, F.FUTEX_WAIT | PRIVATE, 0);
    host.callIn(threads[2]!, SYS_futex, to, F.FUTEX_WAIT | PRIVATE, 0);
    expect(host.call(SYS_futex, from, F.FUTEX_CMP_REQUEUE | PRIVATE, 1, 9, to, 1)).toBe(-EAGAIN);
    expect(host.call(SYS_futex, from, F.FUTEX_CMP_REQUEUE | PRIVATE, 1, 9, to, 0)).toBe(2);
    expect(host.call(SYS_futex, to, F.FUTEX_WAKE | PRIVATE, 1)).toBe(1);
    host.later(0);
    expect(threads.map((thread) => host.result(thread))).toEqual([0, null, 0]);
  });

  test('gives up when its time has come; the waiter is forgotten', () => {
    const { host, threads } = withThreads(1);
    const word = host.put(0, 0);
    host.callIn(threads[0]!, SYS_futex, word, F.FUTEX_WAIT | PRIVATE, 0, host.put(1, 0, 5_000_000));
    host.later(4999);
    expect(host.result(threads[0]!)).toBeNull();
    host.later(1);
    expect(host.result(threads[0]!)).toBe(-ETIMEDOUT);
    expect(host.call(SYS_futex, word, F.FUTEX_WAKE | PRIVATE, 1)).toBe(0);
  });

  test('waiting ends well where the memory is gone by then', () => {
    const { host, threads } = withThreads(1);
    const word = host.call(SYS_mmap, 0, 4096, 3, 0x22, -1, 0)!;
    host.callIn(threads[0]!, SYS_futex, word, F.FUTEX_WAIT, 0, host.put(1, 0, 5_000_000));
    expect(host.call(SYS_munmap, word, 4096)).toBe(0);
    host.later(5000);
    expect(host.result(threads[0]!)).toBe(-ETIMEDOUT);
  });

  test('of shared memory it is the same for a process and its child; a private one is not', () => {
    const host = new TestKernel();
    const word = host.call(SYS_mmap, 0, 4096, 3, 0x21, -1, 0)!;
    const child = host.kernel.threads.get(host.call(SYS_fork)!)!;
    host.callIn(child, SYS_futex, word, F.FUTEX_WAIT, 0);
    expect(host.call(SYS_futex, word, F.FUTEX_WAKE | PRIVATE, 1)).toBe(0);
    expect(host.call(SYS_futex, word, F.FUTEX_WAKE, 1)).toBe(1);
    host.later(0);
    expect(host.result(child)).toBe(0);
  });

  test('bad addresses', () => {
    const host = new TestKernel();
    expect(host.call(SYS_futex, 0x1002, F.FUTEX_WAKE | PRIVATE, 1)).toBe(-EINVAL);
    expect(host.call(SYS_futex, 0x1000, F.FUTEX_WAKE | PRIVATE, 1)).toBe(0);
    expect(host.call(SYS_futex, 0x1000, F.FUTEX_WAKE, 1)).toBe(-EFAULT);
    expect(host.call(SYS_futex, 0x1000, F.FUTEX_WAIT | PRIVATE, 0)).toBe(-EFAULT);
  });

  test('a robust list is marked and woken when its owner ends, however broken it is', () => {
    const { host, threads } = withThreads(2);
    const [owner, waiter] = threads as [Thread, Thread];
    // A lock with waiters: { next, word at +8 }.
    const lock = host.put(0, 0, F.FUTEX_WAITERS + owner.tid);
    // Head: entry, offset of the word, nothing pending; the entry points to itself for ever.
    const head = host.put(1, lock, 8, 0);
    host.init.space.view.setBigUint64(lock, BigInt(lock), true);
    host.callIn(waiter, SYS_futex, lock + 8, F.FUTEX_WAIT, F.FUTEX_WAITERS + owner.tid);
    expect(host.callIn(owner, SYS_set_robust_list, head, 24)).toBe(0);
    host.callIn(owner, SYS_exit, 0);
    expect(host.result(waiter)).toBe(0);
    expect(host.word(lock + 8)).toBe(BigInt(F.FUTEX_WAITERS + F.FUTEX_OWNER_DIED));
  });
});
