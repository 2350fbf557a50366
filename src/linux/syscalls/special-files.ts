/** pipe(2), eventfd(2), timerfd_create(2), signalfd(2), inotify(7). */

import { EBADF, EFAULT, EINVAL } from '../abi/errno.ts';
import { AT_FDCWD, O_CLOEXEC, O_DIRECT, O_NONBLOCK, O_RDWR } from '../abi/fcntl.ts';
import { EventFile } from '../eventfd.ts';
import { InotifyFile } from '../inotify.ts';
import { PipeFile } from '../pipe.ts';
import { SignalFile } from '../signalfd.ts';
import type { Syscall, SyscallResult } from '../syscall.ts';
import { TimerFile } from '../timerfd.ts';
import { discard, fileIn, hostOf, installNew, nodeAt, processOf, readView, timespecUs } from './fs-kernel.ts';

export function sysPipe(call: Syscall): SyscallResult {
  return pipe(call, 0);
}

export function sysPipe2(call: Syscall): SyscallResult {
  const flags = call.int(1);
  // Packet mode (O_DIRECT) is not there.
  if ((flags & ~(O_CLOEXEC | O_NONBLOCK)) !== 0 || (flags & O_DIRECT) !== 0) return -EINVAL;
  return pipe(call, flags);
}

function pipe(call: Syscall, flags: number): SyscallResult {
  const process = processOf(call);
  const address = call.uint(0);
  if (call.space.resolve(address, 8, true) !== -1) return -EFAULT;
  const [read, write] = PipeFile.pair(hostOf(call), flags & O_NONBLOCK);
  const cloexec = (flags & O_CLOEXEC) !== 0;
  const first = process.install(read, cloexec);
  const second = first < 0 ? first : process.install(write, cloexec);
  if (second < 0) {
    if (first >= 0) process.closeFd(first);
    else discard(call, read);
    discard(call, write);
    return second;
  }
  const bytes = new Uint8Array(8);
  const view = new DataView(bytes.buffer);
  view.setInt32(0, first, true);
  view.setInt32(4, second, true);
  call.space.write(address, bytes);
  return 0;
}

// ---- eventfd

export function sysEventfd(call: Syscall): SyscallResult {
  return eventfd(call, 0);
}

export function sysEventfd2(call: Syscall): SyscallResult {
  return eventfd(call, call.int(1));
}

function eventfd(call: Syscall, flags: number): SyscallResult {
  const EFD_SEMAPHORE = 1;
  if ((flags & ~(EFD_SEMAPHORE | O_CLOEXEC | O_NONBLOCK)) !== 0) return -EINVAL;
  const host = hostOf(call);
  const count = BigInt(call.int(0) >>> 0);
  const made = host.addFile(
    (id) => new EventFile(host, id, O_RDWR | (flags & O_NONBLOCK), count, (flags & EFD_SEMAPHORE) !== 0),
  );
  return installNew(call, made, (flags & O_CLOEXEC) !== 0);
}

// ---- timerfd

const CLOCKS = [0, 1, 7, 8, 9];
const TFD_TIMER_ABSTIME = 1;
const TFD_TIMER_CANCEL_ON_SET = 2;

export function sysTimerfdCreate(call: Syscall): SyscallResult {
  const [clock, flags] = [call.int(0), call.int(1)];
  if ((flags & ~(O_CLOEXEC | O_NONBLOCK)) !== 0 || !CLOCKS.includes(clock)) return -EINVAL;
  const host = hostOf(call);
  const made = host.addFile((id) => new TimerFile(host, id, O_RDWR | (flags & O_NONBLOCK), clock));
  return installNew(call, made, (flags & O_CLOEXEC) !== 0);
}

/** struct itimerspec: interval, then value. */
function putTimes(call: Syscall, address: number, timer: TimerFile): number {
  const { valueUs, intervalUs } = timer.get();
  const view = new DataView(new ArrayBuffer(32));
  [intervalUs, valueUs].forEach((us, i) => {
    view.setBigInt64(i * 16, BigInt(Math.floor(us / 1e6)), true);
    view.setBigInt64(i * 16 + 8, BigInt((us % 1e6) * 1000), true);
  });
  return call.space.write(address, new Uint8Array(view.buffer)) ? 0 : -EFAULT;
}

function timerIn(call: Syscall): TimerFile | number {
  const file = fileIn(call);
  if (file === undefined) return -EBADF;
  return file instanceof TimerFile ? file : -EINVAL;
}

export function sysTimerfdSettime(call: Syscall): SyscallResult {
  const flags = call.int(1);
  if ((flags & ~(TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET)) !== 0) return -EINVAL;
  const timer = timerIn(call);
  if (typeof timer === 'number') return timer;
  const address = call.uint(2);
  if (readView(call, address, 32) === null) return -EFAULT;
  const intervalUs = timespecUs(call, address)!;
  const valueUs = timespecUs(call, address + 16)!;
  if (intervalUs < 0) return intervalUs;
  if (valueUs < 0) return valueUs;
  if (call.uint(3) !== 0) {
    const failed = putTimes(call, call.uint(3), timer);
    if (failed !== 0) return failed;
  }
  timer.set(valueUs, intervalUs, (flags & TFD_TIMER_ABSTIME) !== 0);
  return 0;
}

export function sysTimerfdGettime(call: Syscall): SyscallResult {
  const timer = timerIn(call);
  return typeof timer === 'number' ? timer : putTimes(call, call.uint(1), timer);
}

// ---- signalfd

export function sysSignalfd(call: Syscall): SyscallResult {
  return signalfd(call, 0);
}

export function sysSignalfd4(call: Syscall): SyscallResult {
  return signalfd(call, call.int(3));
}

function signalfd(call: Syscall, flags: number): SyscallResult {
  if (call.uint(2) !== 8 || (flags & ~(O_CLOEXEC | O_NONBLOCK)) !== 0) return -EINVAL;
  const view = readView(call, call.uint(1), 8);
  if (view === null) return -EFAULT;
  const mask = view.getBigUint64(0, true);
  if (call.int(0) !== -1) {
    const file = fileIn(call);
    if (file === undefined) return -EBADF;
    if (!(file instanceof SignalFile)) return -EINVAL;
    file.setMask(mask);
    return call.int(0);
  }
  const host = hostOf(call);
  const made = host.addFile((id) => new SignalFile(host, id, O_RDWR | (flags & O_NONBLOCK), mask));
  return installNew(call, made, (flags & O_CLOEXEC) !== 0);
}

// ---- inotify (partial: no event comes)

export function sysInotifyInit(call: Syscall): SyscallResult {
  return inotify(call, 0);
}

export function sysInotifyInit1(call: Syscall): SyscallResult {
  return inotify(call, call.int(0));
}

function inotify(call: Syscall, flags: number): SyscallResult {
  if ((flags & ~(O_CLOEXEC | O_NONBLOCK)) !== 0) return -EINVAL;
  const host = hostOf(call);
  const made = host.addFile((id) => new InotifyFile(host, id, flags & O_NONBLOCK));
  return installNew(call, made, (flags & O_CLOEXEC) !== 0);
}

const IN_DONT_FOLLOW = 0x0200_0000;

export function sysInotifyAddWatch(call: Syscall): SyscallResult {
  const file = fileIn(call);
  if (file === undefined) return -EBADF;
  if (!(file instanceof InotifyFile) || call.int(2) === 0) return -EINVAL;
  const node = nodeAt(call, AT_FDCWD, 1, 0, (call.int(2) & IN_DONT_FOLLOW) === 0);
  return typeof node === 'number' ? node : file.addWatch(node.ino);
}

export function sysInotifyRmWatch(call: Syscall): SyscallResult {
  const file = fileIn(call);
  if (file === undefined) return -EBADF;
  return file instanceof InotifyFile ? file.removeWatch(call.int(1)) : -EINVAL;
}
