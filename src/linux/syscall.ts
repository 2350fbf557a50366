/**
 * What a system-call handler gets and gives. Handlers live in syscalls/, one file an area; syscalls/table.ts lists every
 * system call with its handler and its support level.
 *
 * A handler runs to its end at once. One that has to wait returns `call.block(…)`: the thread sleeps, and the handler is
 * executed again from its beginning when a queue it named is woken, the deadline passes or a signal comes. What it must
 * remember between executions (an absolute deadline, bytes already written) it keeps in `call.memo`, plain data that is
 * part of the thread's state. So a blocked call is fully described by the registers and the memo.
 */

import type { AddressSpace } from '../lvm/address-space.ts';
import type { WaitQueue } from './wait-queue.ts';

/** The thread sleeps; the handler will be executed again. */
export const BLOCKED: unique symbol = Symbol('blocked');
/** The handler has set the registers itself (rt_sigreturn, execve) or the thread is no more (exit). */
export const NO_RESULT: unique symbol = Symbol('no result');

/** The value for rax (a negative errno for failure), or one of the two symbols. */
export type SyscallResult = number | bigint | typeof BLOCKED | typeof NO_RESULT;

export type SyscallHandler = (call: Syscall) => SyscallResult;

export interface WaitFor {
  /** Queues of which any wakes the call. */
  readonly queues?: readonly WaitQueue[];
  /** Monotonic deadline; the handler sees `call.timedOut` then. */
  readonly deadlineUs?: number | null;
}

/** One execution of a system call. The same object may be used again for the next call: do not keep it. */
export interface Syscall {
  /** The kernel, process and thread; each area's handlers narrow them to the interface they need (socket-kernel, fs-kernel). */
  readonly kernel: unknown;
  readonly process: unknown;
  readonly thread: unknown;
  readonly space: AddressSpace;
  readonly number: number;

  /** Argument 0 … 5 as an unsigned 64-bit integer; exact below 2^53. For addresses and sizes. */
  uint(index: number): number;
  /** Argument as a signed 64-bit integer; exact within ±2^53. For offsets. */
  long(index: number): number;
  /** Argument's low half as a signed 32-bit integer. For descriptors, flags, ids. */
  int(index: number): number;
  /** Argument as an unsigned 64-bit bigint. For masks. */
  bits(index: number): bigint;

  /** A NUL-terminated string at the address in argument `index`, at most PATH_MAX bytes; or -errno. */
  path(index: number): string | number;

  /** Plain data kept across re-executions of this call; null at its first. */
  memo: unknown;
  /** True when the call is executed again because its deadline passed. */
  readonly timedOut: boolean;
  /** True when a signal with a handler is pending: a call that would block returns -EINTR or -ERESTARTSYS instead. */
  readonly interrupted: boolean;

  /**
   * Puts the thread to sleep. Returns BLOCKED, or -ERESTARTSYS at once when a signal is pending (the caller just returns
   * what it gets; callers that must give -EINTR instead check `interrupted` first).
   */
  block(wait: WaitFor): SyscallResult;
}
