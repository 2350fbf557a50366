/** poll(2), select(2), epoll(7) and their timed forms. */

import { EBADF, EFAULT, EINTR, EINVAL } from '../abi/errno.ts';
import { O_CLOEXEC } from '../abi/fcntl.ts';
import { EPOLL_CTL_DEL, EpollFile } from '../epoll.ts';
import { POLLERR, POLLHUP, POLLIN, POLLNVAL, POLLOUT, POLLPRI, POLLRDNORM, POLLWRNORM } from '../open-file.ts';
import { BLOCKED, type Syscall, type SyscallResult } from '../syscall.ts';
import type { WaitQueue } from '../wait-queue.ts';
import { setTimespec, setTimeval, writeStruct } from './core.ts';
import {
  fileIn,
  hostOf,
  installNew,
  processOf,
  readView,
  TIME_MAX_US,
  timespecUs,
  writableBytes,
} from './fs-kernel.ts';
import { beginMask, endMask } from './signal-mask.ts';

const MAX_FDS = 1 << 16;

interface WaitMemo {
  /** Absolute, monotonic; null: for ever. */
  deadlineUs: number | null;
}

/** Waits on `queues` until `timeoutUs` after the call's first execution; null: for ever. `expired` is the result then. */
function waitUntil(
  call: Syscall,
  queues: readonly WaitQueue[],
  timeoutUs: number | null,
  expired: () => SyscallResult,
): SyscallResult {
  const deadlineUs = deadlineOf(call, timeoutUs);
  if (call.timedOut || (deadlineUs !== null && hostOf(call).monotonicUs() >= deadlineUs))
    return endMask(call, expired());
  // These calls are never restarted after a handler (signal(7)).
  if (call.interrupted) return endMask(call, -EINTR);
  return call.block({ queues, deadlineUs });
}

function deadlineOf(call: Syscall, timeoutUs: number | null): number | null {
  call.memo ??= { deadlineUs: timeoutUs === null ? null : hostOf(call).monotonicUs() + timeoutUs };
  return (call.memo as WaitMemo).deadlineUs;
}

/** ppoll(2), select(2) and pselect(2) say how much of their time was left (poll_select_finish in fs/select.c). */
function tellLeft(call: Syscall, result: SyscallResult, address: number, set: typeof setTimespec): SyscallResult {
  const memo = call.memo as WaitMemo | null;
  if (result !== BLOCKED && address !== 0 && memo !== null && memo.deadlineUs !== null) {
    const left = Math.max(0, memo.deadlineUs - hostOf(call).monotonicUs());
    writeStruct(call.space, address, 16, (view) => set(view, 0, left));
  }
  return result;
}

// ---- poll

function poll(call: Syscall, timeoutUs: number | null): SyscallResult {
  const count = call.int(1) >>> 0;
  if (count > MAX_FDS) return -EINVAL;
  const address = call.uint(0);
  const bytes = count === 0 ? new Uint8Array(0) : call.space.read(address, count * 8);
  if (bytes === null) return -EFAULT;
  const entries = new DataView(bytes.slice().buffer);
  const queues: WaitQueue[] = [];
  let ready = 0;
  for (let i = 0; i < count; i++) {
    const fd = entries.getInt32(i * 8, true);
    const events = entries.getUint16(i * 8 + 4, true);
    let mask = 0;
    if (fd >= 0) {
      const file = processOf(call).file(fd);
      if (file === undefined) mask = POLLNVAL;
      else {
        mask = file.poll() & (events | POLLERR | POLLHUP | POLLNVAL);
        queues.push(file.queue);
      }
    }
    entries.setUint16(i * 8 + 6, mask, true);
    if (mask !== 0) ready++;
  }
  const finish = () => (count === 0 || call.space.write(address, new Uint8Array(entries.buffer)) ? ready : -EFAULT);
  if (ready > 0) return endMask(call, finish());
  // With nothing ready a handler comes first, even before the end of the time.
  if (call.interrupted) return endMask(call, -EINTR);
  return waitUntil(call, queues, timeoutUs, finish);
}

export function sysPoll(call: Syscall): SyscallResult {
  const ms = call.int(2);
  return poll(call, ms < 0 ? null : ms * 1000);
}

export function sysPpoll(call: Syscall): SyscallResult {
  const timeoutUs = timespecUs(call, call.uint(2));
  if (timeoutUs !== null && timeoutUs < 0) return timeoutUs;
  const masked = beginMask(call, call.uint(3), call.uint(4));
  return masked < 0 ? masked : tellLeft(call, poll(call, timeoutUs), call.uint(2), setTimespec);
}

// ---- select

const READ_SET = POLLIN | POLLRDNORM | POLLHUP | POLLERR;
const WRITE_SET = POLLOUT | POLLWRNORM | POLLERR;

function select(call: Syscall, timeoutUs: number | null): SyscallResult {
  const count = call.int(0);
  if (count < 0) return -EINVAL;
  const bytes = Math.min(1024, Math.ceil(count / 64) * 8);
  const sets: (Uint8Array | null)[] = [];
  for (let i = 1; i <= 3; i++) {
    const address = call.uint(i);
    if (address === 0 || bytes === 0) {
      sets.push(null);
      continue;
    }
    const set = call.space.read(address, bytes);
    if (set === null) return -EFAULT;
    sets.push(set.slice());
  }
  const out = sets.map((set) => (set === null ? null : new Uint8Array(bytes)));
  const queues: WaitQueue[] = [];
  let ready = 0;
  for (let fd = 0; fd < Math.min(count, bytes * 8); fd++) {
    const bit = 1 << (fd & 7);
    if (!sets.some((set) => set !== null && (set[fd >> 3]! & bit) !== 0)) continue;
    const file = processOf(call).file(fd);
    if (file === undefined) return endMask(call, -EBADF);
    queues.push(file.queue);
    const mask = file.poll();
    [READ_SET, WRITE_SET, POLLPRI].forEach((wanted, i) => {
      if (sets[i] != null && (sets[i]![fd >> 3]! & bit) !== 0 && (mask & wanted) !== 0) {
        out[i]![fd >> 3]! |= bit;
        ready++;
      }
    });
  }
  const finish = (): number => {
    for (let i = 0; i < 3; i++) {
      const set = out[i];
      if (set != null && !call.space.write(call.uint(i + 1), set)) return -EFAULT;
    }
    return ready;
  };
  if (ready > 0) return endMask(call, finish());
  if (call.interrupted) return endMask(call, -EINTR);
  return waitUntil(call, queues, timeoutUs, finish);
}

export function sysSelect(call: Syscall): SyscallResult {
  const address = call.uint(4);
  let timeoutUs: number | null = null;
  if (address !== 0) {
    const view = readView(call, address, 16);
    if (view === null) return -EFAULT;
    const [seconds, us] = [Number(view.getBigInt64(0, true)), Number(view.getBigInt64(8, true))];
    if (seconds < 0 || us < 0) return -EINVAL;
    timeoutUs = Math.min(TIME_MAX_US, seconds * 1e6 + us);
  }
  return tellLeft(call, select(call, timeoutUs), address, setTimeval);
}

export function sysPselect6(call: Syscall): SyscallResult {
  const timeoutUs = timespecUs(call, call.uint(4));
  if (timeoutUs !== null && timeoutUs < 0) return timeoutUs;
  const address = call.uint(5);
  if (address !== 0) {
    // { const sigset_t *set; size_t size }
    const view = readView(call, address, 16);
    if (view === null) return -EFAULT;
    const masked = beginMask(call, Number(view.getBigUint64(0, true)), Number(view.getBigUint64(8, true)));
    if (masked < 0) return masked;
  }
  return tellLeft(call, select(call, timeoutUs), call.uint(4), setTimespec);
}

// ---- epoll

export function sysEpollCreate(call: Syscall): SyscallResult {
  return call.int(0) <= 0 ? -EINVAL : create(call, false);
}

export function sysEpollCreate1(call: Syscall): SyscallResult {
  const flags = call.int(0);
  return (flags & ~O_CLOEXEC) !== 0 ? -EINVAL : create(call, flags !== 0);
}

function create(call: Syscall, cloexec: boolean): number {
  const host = hostOf(call);
  const made = host.addFile((id) => new EpollFile(host, id, 2));
  return installNew(call, made, cloexec);
}

/** struct epoll_event is packed on x86-64: u32 events, u64 data. */
const EVENT_SIZE = 12;

export function sysEpollCtl(call: Syscall): SyscallResult {
  const op = call.int(1);
  let events = 0;
  let data = 0n;
  if (op !== EPOLL_CTL_DEL) {
    const view = readView(call, call.uint(3), EVENT_SIZE);
    if (view === null) return -EFAULT;
    events = view.getUint32(0, true);
    data = view.getBigUint64(4, true);
  }
  const epoll = fileIn(call, 0);
  const file = fileIn(call, 2);
  if (epoll === undefined || file === undefined) return -EBADF;
  if (!(epoll instanceof EpollFile)) return -EINVAL;
  return epoll.control(op, call.int(2), file, events, data);
}

function epollWait(call: Syscall, timeoutUs: number | null): SyscallResult {
  const max = call.int(2);
  if (max <= 0 || max > 0x7fff_ffff / EVENT_SIZE) return endMask(call, -EINVAL);
  const epoll = fileIn(call);
  if (epoll === undefined) return endMask(call, -EBADF);
  if (!(epoll instanceof EpollFile)) return endMask(call, -EINVAL);
  const address = call.uint(1);
  // Linux checks only the address range at first; a page that is not there loses no event here.
  if (writableBytes(call, address, EVENT_SIZE) < EVENT_SIZE) return endMask(call, -EFAULT);
  const events = epoll.collect(max);
  if (events.length === 0) return waitUntil(call, [epoll.queue], timeoutUs, () => 0);
  const view = new DataView(new ArrayBuffer(events.length * EVENT_SIZE));
  events.forEach((event, i) => {
    view.setUint32(i * EVENT_SIZE, event.events, true);
    view.setBigUint64(i * EVENT_SIZE + 4, event.data, true);
  });
  return endMask(call, call.space.write(address, new Uint8Array(view.buffer)) ? events.length : -EFAULT);
}

function epollTimeout(call: Syscall): number | null {
  const ms = call.int(3);
  return ms < 0 ? null : ms * 1000;
}

export function sysEpollWait(call: Syscall): SyscallResult {
  return epollWait(call, epollTimeout(call));
}

export function sysEpollPwait(call: Syscall): SyscallResult {
  const masked = beginMask(call, call.uint(4), call.uint(5));
  return masked < 0 ? masked : epollWait(call, epollTimeout(call));
}

export function sysEpollPwait2(call: Syscall): SyscallResult {
  const timeoutUs = timespecUs(call, call.uint(3));
  if (timeoutUs !== null && timeoutUs < 0) return timeoutUs;
  const masked = beginMask(call, call.uint(4), call.uint(5));
  return masked < 0 ? masked : epollWait(call, timeoutUs);
}
