/** Clocks, sleeping, and timers that send signals. */

import { EFAULT, EINTR, EINVAL, EOPNOTSUPP, EPERM, ERESTARTSYS } from '../abi/errno.ts';
import { SIGALRM, SIGNAL_MAX } from '../abi/signal.ts';
import * as N from '../abi/syscall-numbers.ts';
import type { Process } from '../process.ts';
import type { Syscall, SyscallResult } from '../syscall.ts';
import { Thread } from '../thread.ts';
import { CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID, type PosixTimer } from '../timers.ts';
import { kernelOf, selfOf, setTimespec, setTimeval, threadOf, writeInt, writeStruct } from './core.ts';
import { full, looking, partial, type SyscallEntry } from './entry.ts';
import { readView, TIME_MAX_US, timespecUs } from './fs-kernel.ts';

const TIMER_ABSTIME = 1;
/** Real time, also coarse, alarm and TAI; monotonic, also raw, coarse and with suspend. */
const REALTIME = [0, 5, 8, 11];
const MONOTONIC = [1, 4, 6, 7, 9];
/** Of those the raw and coarse ones, which can only be read. */
const READ_ONLY = [4, 5, 6];

/** The time of a clock, µs; null: no such clock. */
function clockUs(call: Syscall, clock: number): number | null {
  if (REALTIME.includes(clock)) return kernelOf(call).sampleClock().realtimeUs;
  if (MONOTONIC.includes(clock)) return kernelOf(call).sampleClock().monotonicUs;
  return cpuClock(call, clock)?.cpuUs ?? null;
}

/**
 * Whose CPU time a clock tells. Besides the two for the caller there is one for each process and each thread of the
 * caller's (clock_getcpuclockid(3)): ~id << 3 | kind, with bit 2 for a thread.
 */
function cpuClock(call: Syscall, clock: number): Process | Thread | undefined {
  const self = selfOf(call);
  if (clock === CLOCK_PROCESS_CPUTIME_ID) return self;
  if (clock === CLOCK_THREAD_CPUTIME_ID) return threadOf(call);
  if (clock >= 0 || (clock & 3) === 3) return undefined;
  const id = ~(clock >> 3);
  if ((clock & 4) !== 0) return id === 0 ? threadOf(call) : self.members.get(id);
  return id === 0 ? self : kernelOf(call).processes.get(id);
}

function putTimespec(call: Syscall, address: number, us: number): SyscallResult {
  return writeStruct(call.space, address, 16, (view) => setTimespec(view, 0, us)) ? 0 : -EFAULT;
}

function sysClockGettime(call: Syscall): SyscallResult {
  const us = clockUs(call, call.int(0));
  return us === null ? -EINVAL : putTimespec(call, call.uint(1), us);
}

function sysClockGetres(call: Syscall): SyscallResult {
  if (clockUs(call, call.int(0)) === null) return -EINVAL;
  return call.uint(1) === 0 ? 0 : putTimespec(call, call.uint(1), 1);
}

function sysGettimeofday(call: Syscall): SyscallResult {
  const { realtimeUs } = kernelOf(call).sampleClock();
  const [time, zone] = [call.uint(0), call.uint(1)];
  if (time !== 0 && !writeStruct(call.space, time, 16, (view) => setTimeval(view, 0, realtimeUs))) return -EFAULT;
  return zone === 0 || call.space.write(zone, new Uint8Array(8)) ? 0 : -EFAULT;
}

function sysTime(call: Syscall): SyscallResult {
  const seconds = Math.floor(kernelOf(call).sampleClock().realtimeUs / 1e6);
  const address = call.uint(0);
  if (address === 0) return seconds;
  const put = writeStruct(call.space, address, 8, (view) => view.setBigInt64(0, BigInt(seconds), true));
  return put ? seconds : -EFAULT;
}

/** The time is the host's. */
const notPermitted = (): SyscallResult => -EPERM;

function sysClockSettime(call: Syscall): SyscallResult {
  return call.int(0) === 0 ? -EPERM : -EINVAL;
}

// ---- sleeping

/** Sleeps until `deadlineUs` (monotonic); a signal's handler ends it with the time left written to `left`, if given. */
function sleepUntil(call: Syscall, deadlineUs: number, left: number): SyscallResult {
  call.memo = { deadlineUs };
  if (call.timedOut || deadlineUs <= kernelOf(call).monotonicUs()) return 0;
  const result = call.block({ deadlineUs });
  if (result !== -ERESTARTSYS) return result;
  if (left !== 0) {
    const failed = putTimespec(call, left, Math.max(0, deadlineUs - kernelOf(call).sampleClock().monotonicUs));
    if (failed !== 0) return failed;
  }
  return -EINTR;
}

function sysNanosleep(call: Syscall): SyscallResult {
  const memo = call.memo as { deadlineUs: number } | null;
  if (memo !== null) return sleepUntil(call, memo.deadlineUs, call.uint(1));
  const us = timespecUs(call, call.uint(0));
  if (us === null) return -EFAULT;
  return us < 0 ? us : sleepUntil(call, kernelOf(call).sampleClock().monotonicUs + us, call.uint(1));
}

function sysClockNanosleep(call: Syscall): SyscallResult {
  const [clock, absolute] = [call.int(0), (call.int(1) & TIMER_ABSTIME) !== 0];
  const left = absolute ? 0 : call.uint(3);
  const memo = call.memo as { deadlineUs: number } | null;
  if (memo !== null) return sleepUntil(call, memo.deadlineUs, left);
  const realtime = REALTIME.includes(clock);
  if (READ_ONLY.includes(clock)) return -EOPNOTSUPP;
  if (!realtime && !MONOTONIC.includes(clock)) return -EINVAL;
  const us = timespecUs(call, call.uint(2));
  if (us === null) return -EFAULT;
  if (us < 0) return us;
  const { realtimeUs, monotonicUs } = kernelOf(call).sampleClock();
  return sleepUntil(call, monotonicUs + us - (absolute ? (realtime ? realtimeUs : monotonicUs) : 0), left);
}

// ---- interval timers

/** struct itimerval: interval, then value; µs. */
function readItimer(call: Syscall, address: number): [intervalUs: number, valueUs: number] | number {
  const view = readView(call, address, 32);
  if (view === null) return -EFAULT;
  const times = [0, 16].map((at) => {
    const [seconds, us] = [Number(view.getBigInt64(at, true)), Number(view.getBigInt64(at + 8, true))];
    return seconds < 0 || us < 0 || us > 999_999 ? -EINVAL : Math.min(TIME_MAX_US, seconds * 1e6 + us);
  }) as [number, number];
  return times[0] < 0 || times[1] < 0 ? -EINVAL : times;
}

function putItimer(call: Syscall, address: number, which: number): SyscallResult {
  const { valueUs, intervalUs } = selfOf(call).timers.getItimer(which);
  const put = writeStruct(call.space, address, 32, (view) => {
    setTimeval(view, 0, intervalUs);
    setTimeval(view, 16, valueUs);
  });
  return put ? 0 : -EFAULT;
}

function sysSetitimer(call: Syscall): SyscallResult {
  const which = call.int(0);
  if (which < 0 || which > 2) return -EINVAL;
  const times = call.uint(1) === 0 ? ([0, 0] as const) : readItimer(call, call.uint(1));
  if (typeof times === 'number') return times;
  kernelOf(call).sampleClock();
  if (call.uint(2) !== 0) {
    const failed = putItimer(call, call.uint(2), which);
    if (failed !== 0) return failed;
  }
  selfOf(call).timers.setItimer(which, times[1], times[0]);
  return 0;
}

function sysGetitimer(call: Syscall): SyscallResult {
  const which = call.int(0);
  if (which < 0 || which > 2) return -EINVAL;
  kernelOf(call).sampleClock();
  return putItimer(call, call.uint(1), which);
}

function sysAlarm(call: Syscall): SyscallResult {
  kernelOf(call).sampleClock();
  const { timers } = selfOf(call);
  const { valueUs } = timers.getItimer(0);
  timers.setItimer(0, (call.uint(0) % 0x1_0000_0000) * 1e6, 0);
  // Never 0 while an alarm was pending (alarm(2)).
  return valueUs === 0 ? 0 : Math.max(1, Math.round(valueUs / 1e6));
}

// ---- timer_create

const SIGEV_SIGNAL = 0;
const SIGEV_NONE = 1;
const SIGEV_THREAD_ID = 4;

/** The clock of a timer, and the thread whose CPU time it may be; or -errno. */
function timerClock(call: Syscall, clock: number): Pick<PosixTimer, 'clock' | 'thread'> | number {
  if (READ_ONLY.includes(clock)) return -EOPNOTSUPP;
  if (REALTIME.includes(clock) || MONOTONIC.includes(clock)) return { clock, thread: 0 };
  const owner = cpuClock(call, clock);
  if (owner === selfOf(call)) return { clock: CLOCK_PROCESS_CPUTIME_ID, thread: 0 };
  return owner instanceof Thread ? { clock: CLOCK_THREAD_CPUTIME_ID, thread: owner.tid } : -EINVAL;
}

function sysTimerCreate(call: Syscall): SyscallResult {
  const clock = timerClock(call, call.int(0));
  if (typeof clock === 'number') return clock;
  const { timers, members } = selfOf(call);
  let event: { signo: number; tid: number; value: string | null } = { signo: SIGALRM, tid: 0, value: null };
  if (call.uint(1) !== 0) {
    // struct sigevent: value, signo, notify, thread id.
    const view = readView(call, call.uint(1), 64);
    if (view === null) return -EFAULT;
    const notify = view.getInt32(12, true);
    const signo = view.getInt32(8, true);
    const tid = view.getInt32(16, true);
    if (![SIGEV_SIGNAL, SIGEV_NONE, SIGEV_THREAD_ID].includes(notify)) return -EINVAL;
    if (notify !== SIGEV_NONE && (signo < 1 || signo > SIGNAL_MAX)) return -EINVAL;
    if (notify === SIGEV_THREAD_ID && !members.has(tid)) return -EINVAL;
    event = {
      signo: notify === SIGEV_NONE ? 0 : signo,
      tid: notify === SIGEV_THREAD_ID ? tid : 0,
      value: view.getBigUint64(0, true).toString(16),
    };
  }
  const id = timers.create({ ...clock, ...event });
  if (writeInt(call.space, call.uint(2), id)) return 0;
  timers.delete(id);
  return -EFAULT;
}

function timerIn(call: Syscall): PosixTimer | undefined {
  return selfOf(call).timers.posix(call.int(0));
}

function putTimer(call: Syscall, address: number, timer: PosixTimer): SyscallResult {
  const { valueUs, intervalUs } = selfOf(call).timers.getPosix(timer);
  const put = writeStruct(call.space, address, 32, (view) => {
    setTimespec(view, 0, intervalUs);
    setTimespec(view, 16, valueUs);
  });
  return put ? 0 : -EFAULT;
}

function sysTimerSettime(call: Syscall): SyscallResult {
  const address = call.uint(2);
  if (address === 0) return -EINVAL;
  if (readView(call, address, 32) === null) return -EFAULT;
  const intervalUs = timespecUs(call, address)!;
  const valueUs = timespecUs(call, address + 16)!;
  const timer = timerIn(call);
  if (intervalUs < 0 || valueUs < 0 || timer === undefined) return -EINVAL;
  kernelOf(call).sampleClock();
  if (call.uint(3) !== 0) {
    const failed = putTimer(call, call.uint(3), timer);
    if (failed !== 0) return failed;
  }
  selfOf(call).timers.setPosix(timer, valueUs, intervalUs, (call.int(1) & TIMER_ABSTIME) !== 0);
  return 0;
}

function sysTimerGettime(call: Syscall): SyscallResult {
  const timer = timerIn(call);
  kernelOf(call).sampleClock();
  return timer === undefined ? -EINVAL : putTimer(call, call.uint(1), timer);
}

function sysTimerGetoverrun(call: Syscall): SyscallResult {
  return timerIn(call)?.overrun ?? -EINVAL;
}

function sysTimerDelete(call: Syscall): SyscallResult {
  return selfOf(call).timers.delete(call.int(0)) ? 0 : -EINVAL;
}

/** times(2): clock ticks of 10 ms; all of the time counts as user time. */
function sysTimes(call: Syscall): SyscallResult {
  const self = selfOf(call);
  const ticks = (us: number): bigint => BigInt(Math.floor(us / 10_000));
  const address = call.uint(0);
  if (address !== 0) {
    const put = writeStruct(call.space, address, 32, (view) => {
      view.setBigInt64(0, ticks(self.cpuUs), true);
      view.setBigInt64(16, ticks(self.childInstructions / 1000), true);
    });
    if (!put) return -EFAULT;
  }
  return Math.floor(kernelOf(call).sampleClock().monotonicUs / 10_000);
}

export const TIME_CALLS: readonly SyscallEntry[] = [
  looking(
    partial(N.SYS_clock_gettime, sysClockGettime, 'microseconds; CPU clocks count instructions, a thousand to 1 µs'),
  ),
  looking(full(N.SYS_clock_getres, sysClockGetres)),
  looking(full(N.SYS_gettimeofday, sysGettimeofday)),
  looking(full(N.SYS_time, sysTime)),
  partial(N.SYS_clock_settime, sysClockSettime, "-EPERM: the time is the host's"),
  partial(N.SYS_settimeofday, notPermitted, "-EPERM: the time is the host's"),
  partial(N.SYS_adjtimex, notPermitted, "-EPERM: the time is the host's"),
  partial(N.SYS_clock_adjtime, notPermitted, "-EPERM: the time is the host's"),
  full(N.SYS_nanosleep, sysNanosleep),
  partial(N.SYS_clock_nanosleep, sysClockNanosleep, 'no CPU clocks'),
  full(N.SYS_setitimer, sysSetitimer),
  looking(full(N.SYS_getitimer, sysGetitimer)),
  full(N.SYS_alarm, sysAlarm),
  partial(N.SYS_timer_create, sysTimerCreate, "no other processes' CPU clocks"),
  full(N.SYS_timer_settime, sysTimerSettime),
  looking(full(N.SYS_timer_gettime, sysTimerGettime)),
  looking(full(N.SYS_timer_getoverrun, sysTimerGetoverrun)),
  full(N.SYS_timer_delete, sysTimerDelete),
  looking(partial(N.SYS_times, sysTimes, 'no system time')),
];
