/** futex(2), and the lists of robust ones: set_robust_list(2). */

import { EAGAIN, EFAULT, EINTR, EINVAL, ENOSYS, ERESTARTSYS, ESRCH, ETIMEDOUT } from '../abi/errno.ts';
import * as F from '../abi/futex.ts';
import * as N from '../abi/syscall-numbers.ts';
import { type FutexMemo, MATCH_ANY } from '../futex.ts';
import type { Syscall, SyscallResult } from '../syscall.ts';
import { kernelOf, threadOf, writeStruct } from './core.ts';
import { full, partial, type SyscallEntry } from './entry.ts';
import { readView, timespecUs } from './fs-kernel.ts';

function sysFutex(call: Syscall): SyscallResult {
  const address = call.uint(0);
  const op = call.int(1) & ~(F.FUTEX_PRIVATE_FLAG | F.FUTEX_CLOCK_REALTIME);
  if (address % 4 !== 0) return -EINVAL;
  // The key of a shared one is that of the page, which must be there; a private one's is the address alone.
  const shared = (call.int(1) & F.FUTEX_PRIVATE_FLAG) === 0;
  if (shared && call.space.read(address, 4) === null) return -EFAULT;
  const { futexes } = kernelOf(call);
  switch (op) {
    case F.FUTEX_WAIT:
      return wait(call, address, MATCH_ANY);
    case F.FUTEX_WAIT_BITSET:
      return call.int(5) === 0 ? -EINVAL : wait(call, address, call.int(5));
    case F.FUTEX_WAKE:
      return futexes.wake(call.space, address, Math.max(1, call.int(2)));
    case F.FUTEX_WAKE_BITSET:
      return call.int(5) === 0 ? -EINVAL : futexes.wake(call.space, address, Math.max(1, call.int(2)), call.int(5));
    case F.FUTEX_REQUEUE:
    case F.FUTEX_CMP_REQUEUE:
      return requeue(call, address, op === F.FUTEX_CMP_REQUEUE);
    case F.FUTEX_WAKE_OP:
      return wakeOp(call, address);
    default:
      return -ENOSYS;
  }
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

function wait(call: Syscall, address: number, bitset: number): SyscallResult {
  const { futexes } = kernelOf(call);
  const thread = threadOf(call);
  const memo = call.memo as FutexMemo | null;
  if (memo === null) {
    const deadlineUs = deadline(call);
    if (deadlineUs !== null && deadlineUs < 0) return deadlineUs;
    const word = readView(call, address, 4);
    if (word === null) return -EFAULT;
    if (word.getInt32(0, true) !== call.int(2)) return -EAGAIN;
    if (call.interrupted) return deadlineUs === null ? -ERESTARTSYS : -EINTR;
    futexes.add(thread, call.space, address, bitset, deadlineUs);
    return call.block({ deadlineUs });
  }
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

function requeue(call: Syscall, from: number, compare: boolean): SyscallResult {
  const [wakes, moves, to] = [call.int(2), call.int(3), call.uint(4)];
  if (wakes < 0 || moves < 0 || to % 4 !== 0) return -EINVAL;
  if (compare) {
    const word = readView(call, from, 4);
    if (word === null) return -EFAULT;
    if (word.getInt32(0, true) !== call.int(5)) return -EAGAIN;
  }
  const { futexes } = kernelOf(call);
  const woken = futexes.wake(call.space, from, wakes);
  return woken + futexes.requeue(call.space, from, to, moves);
}

/** FUTEX_WAKE_OP: changes the second word, wakes at the first, and at the second if its old value compares. */
function wakeOp(call: Syscall, first: number): SyscallResult {
  const second = call.uint(4);
  if (second % 4 !== 0) return -EINVAL;
  const code = call.int(5);
  const view = readView(call, second, 4);
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
  if (!call.space.write(second, word)) return -EFAULT;
  const { futexes } = kernelOf(call);
  const woken = futexes.wake(call.space, first, Math.max(1, call.int(2)));
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
  return holds ? woken + futexes.wake(call.space, second, Math.max(1, call.int(3))) : woken;
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
