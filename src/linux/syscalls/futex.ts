/** futex(2), and the lists of robust ones: set_robust_list(2). */

import { EAGAIN, EFAULT, EINTR, EINVAL, ENOSYS, ERESTARTSYS, ESRCH, ETIMEDOUT } from '../abi/errno.ts';
import * as F from '../abi/futex.ts';
import * as N from '../abi/syscall-numbers.ts';
import { type FutexMemo, MATCH_ANY, privateKey } from '../futex.ts';
import { BLOCKED, type Syscall, type SyscallResult } from '../syscall.ts';
import { kernelOf, selfOf, threadOf, writeStruct } from './core.ts';
import { full, partial, type SyscallEntry } from './entry.ts';
import { readView, timespecUs } from './fs-kernel.ts';

function sysFutex(call: Syscall): SyscallResult {
  // It waits already: what its arguments point to may be gone.
  if (call.memo !== null) return goOnWaiting(call, call.memo as FutexMemo);
  const op = call.int(1) & ~(F.FUTEX_PRIVATE_FLAG | F.FUTEX_CLOCK_REALTIME);
  const key = keyOf(call, call.uint(0));
  if (typeof key === 'number') return key;
  const { futexes } = kernelOf(call);
  switch (op) {
    case F.FUTEX_WAIT:
      return wait(call, key, MATCH_ANY);
    case F.FUTEX_WAIT_BITSET:
      return call.int(5) === 0 ? -EINVAL : wait(call, key, call.int(5));
    case F.FUTEX_WAKE:
      return futexes.wake(key, Math.max(1, call.int(2)));
    case F.FUTEX_WAKE_BITSET:
      return call.int(5) === 0 ? -EINVAL : futexes.wake(key, Math.max(1, call.int(2)), call.int(5));
    case F.FUTEX_REQUEUE:
    case F.FUTEX_CMP_REQUEUE:
      return requeue(call, key, op === F.FUTEX_CMP_REQUEUE);
    case F.FUTEX_WAKE_OP:
      return wakeOp(call, key);
    default:
      return -ENOSYS;
  }
}

/** Where threads wait for the word at the address; or -errno. */
function keyOf(call: Syscall, address: number): string | number {
  if (address % 4 !== 0) return -EINVAL;
  if ((call.int(1) & F.FUTEX_PRIVATE_FLAG) !== 0) return privateKey(call.space, address);
  // The key is that of the page, which must be there.
  return call.space.read(address, 4) === null ? -EFAULT : selfOf(call).mm.futexKey(address);
}

/** When to give up, monotonic µs: FUTEX_WAIT's time-out is relative, FUTEX_WAIT_BITSET's is a point in time. */
function deadline(call: Syscall): number | null {
  const us = timespecUs(call, call.uint(3));
  if (us === null || us < 0) return us;
  const kernel = kernelOf(call);
  const op = call.int(1);
  if ((op & 0x7f) === F.FUTEX_WAIT) return kernel.monotonicUs() + us;
  if ((op & F.FUTEX_CLOCK_REALTIME) === 0) return us;
  return Math.max(0, us - kernel.realtimeUs() + kernel.monotonicUs());
}

function wait(call: Syscall, key: string, bitset: number): SyscallResult {
  const { futexes } = kernelOf(call);
  const thread = threadOf(call);
  const deadlineUs = deadline(call);
  if (deadlineUs !== null && deadlineUs < 0) return deadlineUs;
  const word = readView(call, call.uint(0), 4);
  if (word === null) return -EFAULT;
  if (word.getInt32(0, true) !== call.int(2)) return -EAGAIN;
  if (call.interrupted) return deadlineUs === null ? -ERESTARTSYS : -EINTR;
  if (thread.dead) return BLOCKED;
  futexes.add(thread, key, bitset, deadlineUs);
  return call.block({ deadlineUs });
}

function goOnWaiting(call: Syscall, memo: FutexMemo): SyscallResult {
  const { futexes } = kernelOf(call);
  const thread = threadOf(call);
  if (memo.woken) return 0;
  if (call.timedOut) {
    futexes.forget(thread);
    return -ETIMEDOUT;
  }
  if (call.interrupted) {
    futexes.forget(thread);
    return memo.deadlineUs === null ? -ERESTARTSYS : -EINTR;
  }
  return call.block({ deadlineUs: memo.deadlineUs });
}

function requeue(call: Syscall, from: string, compare: boolean): SyscallResult {
  const [wakes, moves] = [call.int(2), call.int(3)];
  if (wakes < 0 || moves < 0) return -EINVAL;
  const to = keyOf(call, call.uint(4));
  if (typeof to === 'number') return to;
  if (compare) {
    const word = readView(call, call.uint(0), 4);
    if (word === null) return -EFAULT;
    if (word.getInt32(0, true) !== call.int(5)) return -EAGAIN;
  }
  const { futexes } = kernelOf(call);
  return futexes.wake(from, wakes) + futexes.requeue(from, to, moves);
}

/** FUTEX_WAKE_OP: changes the second word, wakes at the first, and at the second if its old value compares. */
function wakeOp(call: Syscall, first: string): SyscallResult {
  const second = keyOf(call, call.uint(4));
  if (typeof second === 'number') return second;
  const code = call.int(5);
  const view = readView(call, call.uint(4), 4);
  if (view === null) return -EFAULT;
  const old = view.getInt32(0, true);
  // Sign-extended 12-bit operands (include/uapi/linux/futex.h, FUTEX_OP).
  let operand = (code << 8) >> 20;
  const comparand = (code << 20) >> 20;
  if (((code >>> 28) & 8) !== 0) operand = 1 << (operand & 31);
  let value: number;
  switch ((code >>> 28) & 7) {
    case 0:
      value = operand;
      break;
    case 1:
      value = (old + operand) | 0;
      break;
    case 2:
      value = old | operand;
      break;
    case 3:
      value = old & ~operand;
      break;
    case 4:
      value = old ^ operand;
      break;
    default:
      return -ENOSYS;
  }
  const word = new Uint8Array(4);
  new DataView(word.buffer).setInt32(0, value, true);
  if (!call.space.write(call.uint(4), word)) return -EFAULT;
  const { futexes } = kernelOf(call);
  const woken = futexes.wake(first, Math.max(1, call.int(2)));
  const compare = (code >>> 24) & 15;
  const holds = [
    old === comparand,
    old !== comparand,
    old < comparand,
    old <= comparand,
    old > comparand,
    old >= comparand,
  ][compare];
  if (holds === undefined) return -ENOSYS;
  return holds ? woken + futexes.wake(second, Math.max(1, call.int(3))) : woken;
}

// ---- robust lists

const ROBUST_LIST_HEAD_SIZE = 24;

function sysSetRobustList(call: Syscall): SyscallResult {
  if (call.uint(1) !== ROBUST_LIST_HEAD_SIZE) return -EINVAL;
  threadOf(call).robustList = call.uint(0);
  return 0;
}

function sysGetRobustList(call: Syscall): SyscallResult {
  const tid = call.int(0);
  const thread = tid === 0 ? threadOf(call) : kernelOf(call).threads.get(tid);
  if (thread === undefined) return -ESRCH;
  const put = (address: number, value: number) =>
    writeStruct(call.space, address, 8, (view) => view.setBigUint64(0, BigInt(value), true));
  return put(call.uint(1), thread.robustList) && put(call.uint(2), ROBUST_LIST_HEAD_SIZE) ? 0 : -EFAULT;
}

export const FUTEX_CALLS: readonly SyscallEntry[] = [
  partial(N.SYS_futex, sysFutex, 'no priority inheritance (FUTEX_LOCK_PI and its kin)'),
  full(N.SYS_set_robust_list, sysSetRobustList),
  full(N.SYS_get_robust_list, sysGetRobustList),
];
