/** fcntl(2), flock(2), dup(2), ioctl(2). */

import { EAGAIN, EBADF, EBUSY, EFAULT, EINVAL, EPERM } from '../abi/errno.ts';
import * as F from '../abi/fcntl.ts';
import { NodeFile } from '../fs/file-host.ts';
import { Inode } from '../fs/inode.ts';
import { acquire, conflict, LOCK_MAX, release } from '../fs/locks.ts';
import { RegularFile } from '../fs/regular-file.ts';
import type { OpenFile } from '../open-file.ts';
import { PipeFile } from '../pipe.ts';
import type { Syscall, SyscallResult } from '../syscall.ts';
import { anyFile, canRead, canWrite, fileIn, hostOf, processOf, readView } from './fs-kernel.ts';

const SETTABLE = F.O_APPEND | F.O_NONBLOCK | F.O_ASYNC | F.O_DIRECT | F.O_NOATIME;

function setFlags(call: Syscall, file: OpenFile, flags: number): void {
  if (file.flags === flags) return;
  file.flags = flags;
  hostOf(call).ledger.touch(file);
}

export function sysFcntl(call: Syscall): SyscallResult {
  const fd = call.int(0);
  const command = call.int(1);
  const argument = call.int(2);
  const process = processOf(call);
  const file = anyFile(call);
  if (file === undefined) return -EBADF;
  const path = (file.flags & F.O_PATH) !== 0;
  switch (command) {
    case F.F_DUPFD:
    case F.F_DUPFD_CLOEXEC:
      if (argument < 0) return -EINVAL;
      return process.install(file, command === F.F_DUPFD_CLOEXEC, argument);
    case F.F_GETFD:
      return process.cloexec(fd) ? F.FD_CLOEXEC : 0;
    case F.F_SETFD:
      process.setCloexec(fd, (argument & F.FD_CLOEXEC) !== 0);
      return 0;
    case F.F_GETFL:
      return file.flags | (file instanceof RegularFile ? F.O_LARGEFILE : 0);
    default:
      if (path) return -EBADF;
  }
  switch (command) {
    case F.F_SETFL:
      setFlags(call, file, (file.flags & ~SETTABLE) | (argument & SETTABLE));
      return 0;
    case F.F_GETLK:
    case F.F_OFD_GETLK:
      return getLock(call, file, command === F.F_OFD_GETLK);
    case F.F_SETLK:
    case F.F_SETLKW:
      return setLock(call, file, false, command === F.F_SETLKW);
    case F.F_OFD_SETLK:
    case F.F_OFD_SETLKW:
      return setLock(call, file, true, command === F.F_OFD_SETLKW);
    // Who gets SIGIO is not kept: O_ASYNC never sends one here.
    case F.F_SETOWN:
    case F.F_SETSIG:
    case F.F_SETOWN_EX:
      return 0;
    case F.F_GETOWN:
    case F.F_GETSIG:
      return 0;
    case F.F_GETPIPE_SZ:
      return file instanceof PipeFile ? file.pipe.capacity : -EBADF;
    case F.F_SETPIPE_SZ:
      return file instanceof PipeFile ? file.resize(argument) : -EBADF;
    case F.F_GET_SEALS:
      return file instanceof RegularFile && file.inode.seals >= 0 ? file.inode.seals : -EINVAL;
    case F.F_ADD_SEALS:
      return addSeals(file, argument);
    case F.F_GETLEASE:
      return F.F_UNLCK;
    case F.F_SETLEASE:
      return argument === F.F_UNLCK ? -EAGAIN : -EINVAL;
    default:
      return -EINVAL;
  }
}

function addSeals(file: OpenFile, seals: number): number {
  if (!(file instanceof RegularFile) || file.inode.seals < 0) return -EINVAL;
  if (!canWrite(file)) return -EPERM;
  if ((seals & ~0x3f) !== 0) return -EINVAL;
  if ((file.inode.seals & F.F_SEAL_SEAL) !== 0) return -EPERM;
  if ((seals & F.F_SEAL_WRITE) !== 0 && [...file.inode.viewers].some((map) => map.mayWrite(file.inode))) return -EBUSY;
  file.inode.seals |= seals;
  file.inode.touch();
  return 0;
}

// ---- locks

/** struct flock: type i16, whence i16, start i64 at 8, len i64 at 16, pid i32 at 24. */
const FLOCK_SIZE = 32;

interface Range {
  readonly type: number;
  readonly start: number;
  readonly end: number;
  readonly pid: number;
}

function range(call: Syscall, file: OpenFile): Range | number {
  const view = readView(call, call.uint(2), FLOCK_SIZE);
  if (view === null) return -EFAULT;
  const whence = view.getInt16(2, true);
  let start = Number(view.getBigInt64(8, true));
  const length = Number(view.getBigInt64(16, true));
  if (whence === F.SEEK_CUR) start += file instanceof RegularFile ? file.offset : 0;
  else if (whence === F.SEEK_END) start += file.stat().size;
  else if (whence !== F.SEEK_SET) return -EINVAL;
  let end = length === 0 ? LOCK_MAX : start + length;
  if (length < 0) [start, end] = [start + length, start];
  if (start < 0) return -EINVAL;
  return { type: view.getInt16(0, true), start, end: Math.min(end, LOCK_MAX), pid: view.getInt32(24, true) };
}

function lockable(file: OpenFile): Inode | null {
  return file instanceof NodeFile && file.node instanceof Inode ? file.node : null;
}

function ownerOf(call: Syscall, file: OpenFile, ofd: boolean): string {
  return ofd ? `f${file.id}` : `p${processOf(call).pid}`;
}

function getLock(call: Syscall, file: OpenFile, ofd: boolean): number {
  const wanted = range(call, file);
  if (typeof wanted === 'number') return wanted;
  if (wanted.type !== F.F_RDLCK && wanted.type !== F.F_WRLCK) return -EINVAL;
  if (ofd && wanted.pid !== 0) return -EINVAL;
  const inode = lockable(file);
  const { start, end } = wanted;
  const owner = ownerOf(call, file, ofd);
  const other = conflict(inode?.locks ?? [], { owner, exclusive: wanted.type === F.F_WRLCK, start, end });
  const address = call.uint(2);
  const out = new DataView(new ArrayBuffer(FLOCK_SIZE));
  if (other === null) {
    out.setInt16(0, F.F_UNLCK, true);
    return call.space.write(address, new Uint8Array(out.buffer, 0, 2)) ? 0 : -EFAULT;
  }
  out.setInt16(0, other.exclusive ? F.F_WRLCK : F.F_RDLCK, true);
  out.setInt16(2, F.SEEK_SET, true);
  out.setBigInt64(8, BigInt(other.start), true);
  out.setBigInt64(16, BigInt(other.end === LOCK_MAX ? 0 : other.end - other.start), true);
  out.setInt32(24, other.owner.startsWith('p') ? Number(other.owner.slice(1)) : -1, true);
  return call.space.write(address, new Uint8Array(out.buffer)) ? 0 : -EFAULT;
}

function setLock(call: Syscall, file: OpenFile, ofd: boolean, waits: boolean): SyscallResult {
  const wanted = range(call, file);
  if (typeof wanted === 'number') return wanted;
  if (ofd && wanted.pid !== 0) return -EINVAL;
  const inode = lockable(file);
  if (inode === null) return -EBADF;
  const owner = ownerOf(call, file, ofd);
  const { start, end, type } = wanted;
  if (type === F.F_UNLCK) {
    inode.locks = release(inode.locks, owner, start, end);
  } else {
    const exclusive = type === F.F_WRLCK;
    if (!exclusive && type !== F.F_RDLCK) return -EINVAL;
    if (exclusive ? !canWrite(file) : !canRead(file)) return -EBADF;
    const lock = { owner, exclusive, start, end };
    if (conflict(inode.locks, lock) !== null) return waits ? call.block({ queues: [inode.lockQueue] }) : -EAGAIN;
    inode.locks = acquire(inode.locks, lock);
  }
  inode.touch();
  inode.lockQueue.wake();
  return 0;
}

/** A process closed any descriptor of a file: its POSIX locks on it are gone (fcntl(2)). The descriptor table calls it. */
export function dropPosixLocks(file: OpenFile, pid: number): void {
  const inode = lockable(file);
  if (inode === null || inode.locks.length === 0) return;
  dropOwner(inode, `p${pid}`);
}

/** The last reference to a description is gone: its OFD and flock locks with it. The kernel calls it. */
export function dropFileLocks(file: OpenFile): void {
  const inode = lockable(file);
  if (inode !== null && inode.locks.length + inode.flocks.length > 0) dropOwner(inode, `f${file.id}`);
}

function dropOwner(inode: Inode, owner: string): void {
  const locks = inode.locks.filter((lock) => lock.owner !== owner);
  const flocks = inode.flocks.filter((lock) => lock.owner !== owner);
  if (locks.length === inode.locks.length && flocks.length === inode.flocks.length) return;
  inode.locks = locks;
  inode.flocks = flocks;
  inode.touch();
  inode.lockQueue.wake();
}

export function sysFlock(call: Syscall): SyscallResult {
  const file = fileIn(call);
  if (file === undefined) return -EBADF;
  const operation = call.int(1);
  const kind = operation & ~F.LOCK_NB;
  if (![F.LOCK_SH, F.LOCK_EX, F.LOCK_UN].includes(kind)) return -EINVAL;
  const inode = lockable(file);
  if (inode === null) return 0;
  const owner = `f${file.id}`;
  // Converting gives the old lock up first (flock(2)): it is not atomic.
  const others = inode.flocks.filter((lock) => lock.owner !== owner);
  const lock = { owner, exclusive: kind === F.LOCK_EX, start: 0, end: LOCK_MAX };
  const blocked = kind !== F.LOCK_UN && conflict(others, lock) !== null;
  const before = inode.flocks;
  inode.flocks = kind === F.LOCK_UN || blocked ? others : [...others, lock];
  if (inode.flocks.length !== before.length || !blocked) {
    inode.touch();
    inode.lockQueue.wake();
  }
  if (!blocked) return 0;
  return (operation & F.LOCK_NB) !== 0 ? -EAGAIN : call.block({ queues: [inode.lockQueue] });
}

// ---- dup

export function sysDup(call: Syscall): SyscallResult {
  const file = anyFile(call);
  return file === undefined ? -EBADF : processOf(call).install(file, false);
}

export function sysDup2(call: Syscall): SyscallResult {
  const file = anyFile(call);
  if (file === undefined) return -EBADF;
  const to = call.int(1);
  if (to === call.int(0)) return to;
  return processOf(call).installAt(to, file, false);
}

export function sysDup3(call: Syscall): SyscallResult {
  const flags = call.int(2);
  if ((flags & ~F.O_CLOEXEC) !== 0 || call.int(0) === call.int(1)) return -EINVAL;
  const file = anyFile(call);
  if (file === undefined) return -EBADF;
  return processOf(call).installAt(call.int(1), file, flags !== 0);
}

// ---- ioctl

export function sysIoctl(call: Syscall): SyscallResult {
  const file = fileIn(call);
  if (file === undefined) return -EBADF;
  const request = call.int(1) >>> 0;
  const argument = call.uint(2);
  switch (request) {
    case F.FIOCLEX:
    case F.FIONCLEX:
      processOf(call).setCloexec(call.int(0), request === F.FIOCLEX);
      return 0;
    case F.FIONBIO:
    case F.FIOASYNC: {
      const view = readView(call, argument, 4);
      if (view === null) return -EFAULT;
      const bit = request === F.FIONBIO ? F.O_NONBLOCK : F.O_ASYNC;
      setFlags(call, file, view.getInt32(0, true) !== 0 ? file.flags | bit : file.flags & ~bit);
      return 0;
    }
    default:
      return file.ioctl(request, argument, call.space);
  }
}
