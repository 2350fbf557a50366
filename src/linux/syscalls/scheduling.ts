/**
 * Scheduling as a program may ask for it: sched_*(2), nice values. There is one CPU and everybody has the same share of it;
 * what is set is kept and shown. Source: kernel/sched/syscalls.c, kernel/sys.c.
 */

import { EACCES, EFAULT, EINVAL, EPERM, ESRCH } from '../abi/errno.ts';
import * as N from '../abi/syscall-numbers.ts';
import { groupOf } from '../process-groups.ts';
import type { Syscall, SyscallResult } from '../syscall.ts';
import type { Thread } from '../thread.ts';
import { kernelOf, selfOf, setTimespec, threadOf, writeInt, writeStruct } from './core.ts';
import { full, partial, type SyscallEntry } from './entry.ts';
import { readView } from './fs-kernel.ts';

/** SCHED_FIFO and SCHED_RR, which are not to be had; SCHED_OTHER, SCHED_BATCH and SCHED_IDLE, which are. */
const REAL_TIME = [1, 2];
const FAIR = [0, 3, 5];
const RESET_ON_FORK = 0x4000_0000;
const REAL_TIME_MAX = 99;
/** What sched_rr_get_interval(2) says: EEVDF's base slice on a small machine. */
const SLICE_US = 3000;

/** The thread of a pid argument, 0 being the caller; or -errno. */
function threadIn(call: Syscall): Thread | number {
  const tid = call.int(0);
  if (tid < 0) return -EINVAL;
  return tid === 0 ? threadOf(call) : (kernelOf(call).threads.get(tid) ?? -ESRCH);
}

// ---- affinity: CPU 0

function sysSchedGetaffinity(call: Syscall): SyscallResult {
  const size = call.uint(1);
  if (size < 8 || size % 8 !== 0) return -EINVAL;
  if (typeof threadIn(call) === 'number') return -ESRCH;
  return writeStruct(call.space, call.uint(2), 8, (view) => view.setBigUint64(0, 1n, true)) ? 8 : -EFAULT;
}

function sysSchedSetaffinity(call: Syscall): SyscallResult {
  const mask = call.space.read(call.uint(2), Math.min(call.uint(1), 128));
  if (mask === null) return -EFAULT;
  if (typeof threadIn(call) === 'number') return -ESRCH;
  return mask.length > 0 && (mask[0]! & 1) !== 0 ? 0 : -EINVAL;
}

// ---- policies

function sysSchedGetparam(call: Syscall): SyscallResult {
  if (call.uint(1) === 0) return -EINVAL;
  const thread = threadIn(call);
  if (typeof thread === 'number') return thread;
  return writeInt(call.space, call.uint(1), 0) ? 0 : -EFAULT;
}

function sysSchedGetscheduler(call: Syscall): SyscallResult {
  const thread = threadIn(call);
  return typeof thread === 'number' ? thread : thread.policy;
}

function setPolicy(call: Syscall, address: number, wanted: number | null): SyscallResult {
  if (address === 0 || (wanted !== null && wanted < 0)) return -EINVAL;
  const view = readView(call, address, 4);
  if (view === null) return -EFAULT;
  const thread = threadIn(call);
  if (typeof thread === 'number') return thread;
  const policy = wanted === null ? thread.policy : wanted & ~RESET_ON_FORK;
  const priority = view.getInt32(0, true);
  if (REAL_TIME.includes(policy)) return priority >= 1 && priority <= REAL_TIME_MAX ? -EPERM : -EINVAL;
  if (!FAIR.includes(policy) || priority !== 0) return -EINVAL;
  thread.policy = policy;
  kernelOf(call).touch(thread);
  return 0;
}

function priorityRange(realTime: number): (call: Syscall) => SyscallResult {
  return (call) => {
    const policy = call.int(0);
    if (REAL_TIME.includes(policy)) return realTime;
    // SCHED_DEADLINE and SCHED_EXT have none either.
    return FAIR.includes(policy) || policy === 6 || policy === 7 ? 0 : -EINVAL;
  };
}

function sysSchedRrGetInterval(call: Syscall): SyscallResult {
  const thread = threadIn(call);
  if (typeof thread === 'number') return thread;
  return writeStruct(call.space, call.uint(1), 16, (view) => setTimespec(view, 0, SLICE_US)) ? 0 : -EFAULT;
}

function sysSchedYield(call: Syscall): SyscallResult {
  kernelOf(call).scheduler.yield(threadOf(call));
  return 0;
}

// ---- nice values

const PRIO_PROCESS = 0;
const PRIO_PGRP = 1;
const PRIO_USER = 2;

function threadsOf(call: Syscall): readonly Thread[] | number {
  const [which, who] = [call.int(0), call.int(1)];
  const kernel = kernelOf(call);
  const self = selfOf(call);
  switch (which) {
    case PRIO_PROCESS: {
      const thread = who === 0 ? threadOf(call) : kernel.threads.get(who);
      return thread === undefined ? [] : [thread];
    }
    case PRIO_PGRP:
      return groupOf(kernel, who === 0 ? self.pgid : who).flatMap(({ members }) => [...members.values()]);
    case PRIO_USER: {
      const uid = who === 0 ? self.ids.uid[0] : who >>> 0;
      return [...kernel.threads.values()].filter(({ process }) => process.ids.uid[0] === uid);
    }
    default:
      return -EINVAL;
  }
}

/** The raw call gives 20 - nice, so that it is never negative; of several the highest. */
function sysGetpriority(call: Syscall): SyscallResult {
  const threads = threadsOf(call);
  if (typeof threads === 'number') return threads;
  return threads.length === 0 ? -ESRCH : Math.max(...threads.map(({ nice }) => 20 - nice));
}

function sysSetpriority(call: Syscall): SyscallResult {
  const threads = threadsOf(call);
  if (typeof threads === 'number') return threads;
  if (threads.length === 0) return -ESRCH;
  const nice = Math.max(-20, Math.min(19, call.int(2)));
  const root = selfOf(call).ids.uid[1] === 0;
  let result = 0;
  for (const thread of threads) {
    if (nice < thread.nice && !root) {
      result = -EACCES;
      continue;
    }
    thread.nice = nice;
    kernelOf(call).touch(thread);
  }
  return result;
}

export const SCHEDULING_CALLS: readonly SyscallEntry[] = [
  full(N.SYS_sched_yield, sysSchedYield),
  full(N.SYS_sched_getaffinity, sysSchedGetaffinity),
  full(N.SYS_sched_setaffinity, sysSchedSetaffinity),
  full(N.SYS_sched_getparam, sysSchedGetparam),
  partial(N.SYS_sched_setparam, (call) => setPolicy(call, call.uint(1), null), 'kept, without effect'),
  full(N.SYS_sched_getscheduler, sysSchedGetscheduler),
  partial(
    N.SYS_sched_setscheduler,
    (call) => setPolicy(call, call.uint(2), call.int(1)),
    'kept, without effect; no real-time policies',
  ),
  full(N.SYS_sched_get_priority_max, priorityRange(REAL_TIME_MAX)),
  full(N.SYS_sched_get_priority_min, priorityRange(1)),
  full(N.SYS_sched_rr_get_interval, sysSchedRrGetInterval),
  full(N.SYS_getpriority, sysGetpriority),
  partial(N.SYS_setpriority, sysSetpriority, 'kept, without effect'),
  partial(N.SYS_ioprio_get, () => 0, 'accepted, without effect'),
  partial(N.SYS_ioprio_set, () => 0, 'accepted, without effect'),
];
