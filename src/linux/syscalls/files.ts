/** open(2), close(2), stat(2) and their kin; truncation; attributes of files. */

import {
  EACCES,
  EBADF,
  EFAULT,
  EINTR,
  EINVAL,
  EISDIR,
  ENODEV,
  ENOSYS,
  EOPNOTSUPP,
  EPERM,
  ESPIPE,
} from '../abi/errno.ts';
import * as F from '../abi/fcntl.ts';
import {
  encodeStat,
  encodeStatfs,
  encodeStatx,
  OVERLAYFS_SUPER_MAGIC,
  PROC_SUPER_MAGIC,
  S_IFMT,
  SYSFS_MAGIC,
  TMPFS_MAGIC,
} from '../abi/stat.ts';
import { Inode } from '../fs/inode.ts';
import { DEV_DEV, DEV_PROC, DEV_ROOT, DEV_SHM, DEV_SYS, type Node } from '../fs/node.ts';
import { openMemfd, openPath } from '../fs/open.ts';
import { RegularFile } from '../fs/regular-file.ts';
import type { Stat } from '../open-file.ts';
import { PipeFile } from '../pipe.ts';
import type { Syscall, SyscallResult } from '../syscall.ts';
import {
  anyFile,
  canWrite,
  fileIn,
  hostOf,
  installNew,
  nodeAt,
  nodeOf,
  processOf,
  readView,
  startOf,
} from './fs-kernel.ts';

// ---- open and close

export function sysOpen(call: Syscall): SyscallResult {
  return openAt(call, F.AT_FDCWD, 0, call.int(1), call.int(2));
}

export function sysOpenat(call: Syscall): SyscallResult {
  return openAt(call, call.int(0), 1, call.int(2), call.int(3));
}

export function sysCreat(call: Syscall): SyscallResult {
  return openAt(call, F.AT_FDCWD, 0, F.O_CREAT | F.O_WRONLY | F.O_TRUNC, call.int(1));
}

/** openat2(2) without RESOLVE_* restrictions; those are -EINVAL, which callers take as "not supported". */
export function sysOpenat2(call: Syscall): SyscallResult {
  const size = call.uint(3);
  if (size < 24) return -EINVAL;
  const view = readView(call, call.uint(2), 24);
  if (view === null) return -EFAULT;
  if (view.getBigUint64(16, true) !== 0n) return -ENOSYS;
  const flags = view.getBigUint64(0, true);
  if (flags > 0x7fff_ffffn) return -EINVAL;
  return openAt(call, call.int(0), 1, Number(flags), Number(view.getBigUint64(8, true)));
}

interface OpenMemo {
  /** The FIFO's description, already made: it holds a descriptor while the call waits for the other end. */
  fd: number;
}

function openAt(call: Syscall, dirfd: number, pathIndex: number, flags: number, mode: number): SyscallResult {
  const process = processOf(call);
  const memo = call.memo as OpenMemo | null;
  if (memo !== null) return waitForPeer(call, memo.fd);
  const path = call.path(pathIndex);
  if (typeof path === 'number') return path;
  const start = startOf(call, dirfd, path);
  if (typeof start === 'number') return start;
  const file = openPath(hostOf(call), process.fs, start, path, flags, mode);
  if (typeof file === 'number') return file;
  const fd = installNew(call, file, (flags & F.O_CLOEXEC) !== 0);
  if (fd < 0) return fd;
  if (
    file instanceof PipeFile &&
    file.fifo !== null &&
    (flags & F.O_NONBLOCK) === 0 &&
    (flags & F.O_ACCMODE) !== F.O_RDWR
  ) {
    call.memo = { fd } satisfies OpenMemo;
    return waitForPeer(call, fd);
  }
  return fd;
}

/** fifo(7): opening one end waits until the other is open. */
function waitForPeer(call: Syscall, fd: number): SyscallResult {
  const process = processOf(call);
  const file = process.file(fd);
  if (!(file instanceof PipeFile)) return fd;
  if ((file.readable ? file.pipe.writers : file.pipe.readers) > 0) return fd;
  if (call.interrupted) {
    process.closeFd(fd);
    return -EINTR;
  }
  return call.block({ queues: [file.pipe.openQueue] });
}

export function sysClose(call: Syscall): SyscallResult {
  return processOf(call).closeFd(call.int(0));
}

const CLOSE_RANGE_UNSHARE = 2;
const CLOSE_RANGE_CLOEXEC = 4;

export function sysCloseRange(call: Syscall): SyscallResult {
  const [first, last, flags] = [call.int(0) >>> 0, call.int(1) >>> 0, call.int(2)];
  if ((flags & ~(CLOSE_RANGE_UNSHARE | CLOSE_RANGE_CLOEXEC)) !== 0 || first > last) return -EINVAL;
  const process = processOf(call);
  for (const fd of process.fds()) {
    if (fd < first || fd > last) continue;
    if ((flags & CLOSE_RANGE_CLOEXEC) !== 0) process.setCloexec(fd, true);
    else process.closeFd(fd);
  }
  return 0;
}

export function sysMemfdCreate(call: Syscall): SyscallResult {
  const name = call.path(0);
  if (typeof name === 'number') return name;
  const flags = call.int(1);
  // MFD_CLOEXEC 1, MFD_ALLOW_SEALING 2, MFD_NOEXEC_SEAL 8, MFD_EXEC 16; no huge pages.
  if ((flags & ~0x1b) !== 0 || name.length > 249) return -EINVAL;
  const file = openMemfd(hostOf(call), name, (flags & 2) !== 0 ? 0 : F.F_SEAL_SEAL);
  return installNew(call, file, (flags & 1) !== 0);
}

// ---- stat

function putStat(call: Syscall, node: Node | number, address: number): number {
  if (typeof node === 'number') return node;
  return call.space.write(address, encodeStat(node.stat())) ? 0 : -EFAULT;
}

export function sysStat(call: Syscall): SyscallResult {
  return putStat(call, nodeAt(call, F.AT_FDCWD, 0, 0, true), call.uint(1));
}

export function sysLstat(call: Syscall): SyscallResult {
  return putStat(call, nodeAt(call, F.AT_FDCWD, 0, 0, false), call.uint(1));
}

export function sysFstat(call: Syscall): SyscallResult {
  const file = anyFile(call);
  if (file === undefined) return -EBADF;
  return call.space.write(call.uint(1), encodeStat(file.stat())) ? 0 : -EFAULT;
}

const AT_STAT_FLAGS = F.AT_SYMLINK_NOFOLLOW | F.AT_NO_AUTOMOUNT | F.AT_EMPTY_PATH;

export function sysNewfstatat(call: Syscall): SyscallResult {
  const flags = call.int(3);
  if ((flags & ~AT_STAT_FLAGS) !== 0) return -EINVAL;
  return putStat(call, nodeAt(call, call.int(0), 1, flags, (flags & F.AT_SYMLINK_NOFOLLOW) === 0), call.uint(2));
}

export function sysStatx(call: Syscall): SyscallResult {
  const flags = call.int(2);
  // AT_STATX_SYNC_TYPE (0x6000) changes nothing here; both of its bits together are invalid.
  if ((flags & ~(AT_STAT_FLAGS | 0x6000)) !== 0 || (flags & 0x6000) === 0x6000) return -EINVAL;
  if ((call.int(3) & 0x8000_0000) !== 0) return -EINVAL;
  const node = nodeAt(call, call.int(0), 1, flags, (flags & F.AT_SYMLINK_NOFOLLOW) === 0);
  if (typeof node === 'number') return node;
  return call.space.write(call.uint(4), encodeStatx(node.stat())) ? 0 : -EFAULT;
}

/** Everybody is root: only executing needs a bit (access(2)). */
function access(node: Node | number, mode: number): number {
  if (typeof node === 'number') return node;
  if ((mode & ~7) !== 0) return -EINVAL;
  if ((mode & F.X_OK) !== 0 && !node.isDirectory && (node.mode & 0o111) === 0) return -EACCES;
  if ((mode & F.W_OK) !== 0 && (node.dev === DEV_PROC || node.dev === DEV_SYS) && (node.mode & 0o222) === 0)
    return -EACCES;
  return 0;
}

export function sysAccess(call: Syscall): SyscallResult {
  return access(nodeAt(call, F.AT_FDCWD, 0, 0, true), call.int(1));
}

export function sysFaccessat(call: Syscall): SyscallResult {
  return access(nodeAt(call, call.int(0), 1, 0, true), call.int(2));
}

export function sysFaccessat2(call: Syscall): SyscallResult {
  const flags = call.int(3);
  if ((flags & ~(F.AT_EACCESS | F.AT_SYMLINK_NOFOLLOW | F.AT_EMPTY_PATH)) !== 0) return -EINVAL;
  return access(nodeAt(call, call.int(0), 1, flags, (flags & F.AT_SYMLINK_NOFOLLOW) === 0), call.int(2));
}

function magicOf(stat: Stat): number {
  switch (stat.dev) {
    case DEV_PROC:
      return PROC_SUPER_MAGIC;
    case DEV_SYS:
      return SYSFS_MAGIC;
    case DEV_ROOT:
      return OVERLAYFS_SUPER_MAGIC;
    case DEV_DEV:
    case DEV_SHM:
      return TMPFS_MAGIC;
    default:
      // PIPEFS_MAGIC
      return 0x5049_5045;
  }
}

export function sysStatfs(call: Syscall): SyscallResult {
  const node = nodeAt(call, F.AT_FDCWD, 0, 0, true);
  if (typeof node === 'number') return node;
  return call.space.write(call.uint(1), encodeStatfs(magicOf(node.stat()))) ? 0 : -EFAULT;
}

export function sysFstatfs(call: Syscall): SyscallResult {
  const file = anyFile(call);
  if (file === undefined) return -EBADF;
  return call.space.write(call.uint(1), encodeStatfs(magicOf(file.stat()))) ? 0 : -EFAULT;
}

// ---- size

export function sysTruncate(call: Syscall): SyscallResult {
  const node = nodeAt(call, F.AT_FDCWD, 0, 0, true);
  if (typeof node === 'number') return node;
  const length = call.long(1);
  if (length < 0) return -EINVAL;
  if (node.isDirectory) return -EISDIR;
  if (!(node instanceof Inode) || !node.isFile) return -EINVAL;
  node.truncate(length);
  return 0;
}

export function sysFtruncate(call: Syscall): SyscallResult {
  const file = fileIn(call);
  return file === undefined ? -EBADF : file.truncate(call.long(1));
}

export function sysFallocate(call: Syscall): SyscallResult {
  const file = fileIn(call);
  if (file === undefined || !canWrite(file)) return -EBADF;
  const [mode, offset, length] = [call.int(1), call.long(2), call.long(3)];
  if (offset < 0 || length <= 0) return -EINVAL;
  if (!(file instanceof RegularFile)) return file.stat().mode >>> 12 === 1 ? -ESPIPE : -ENODEV;
  const keep = (mode & F.FALLOC_FL_KEEP_SIZE) !== 0;
  const punch = (mode & F.FALLOC_FL_PUNCH_HOLE) !== 0;
  const zero = (mode & F.FALLOC_FL_ZERO_RANGE) !== 0;
  if ((mode & ~(F.FALLOC_FL_KEEP_SIZE | F.FALLOC_FL_PUNCH_HOLE | F.FALLOC_FL_ZERO_RANGE)) !== 0) return -EOPNOTSUPP;
  if (punch && (!keep || zero)) return -EOPNOTSUPP;
  const { inode } = file;
  if (inode.seals > 0) {
    if ((punch || zero) && (inode.seals & (F.F_SEAL_WRITE | F.F_SEAL_FUTURE_WRITE)) !== 0) return -EPERM;
    if (!keep && offset + length > inode.size && (inode.seals & F.F_SEAL_GROW) !== 0) return -EPERM;
  }
  if (punch || zero) inode.zeroRange(offset, offset + length);
  // Space is not reserved: chunks come when they are written.
  if (!keep && offset + length > inode.size) inode.truncate(offset + length);
  return 0;
}

// ---- mode, owner, times

function change(node: Node | number, what: (inode: Inode) => void): number {
  if (typeof node === 'number') return node;
  if (!(node instanceof Inode)) return node.dev === DEV_PROC || node.dev === DEV_SYS ? -EPERM : 0;
  what(node);
  node.changed();
  return 0;
}

function ofFile(call: Syscall): Node | number {
  const file = fileIn(call);
  return file === undefined ? -EBADF : nodeOf(file);
}

const setMode = (mode: number) => (inode: Inode) => {
  inode.mode = (inode.mode & S_IFMT) | (mode & 0o7777);
};

export function sysChmod(call: Syscall): SyscallResult {
  return change(nodeAt(call, F.AT_FDCWD, 0, 0, true), setMode(call.int(1)));
}

export function sysFchmod(call: Syscall): SyscallResult {
  return change(ofFile(call), setMode(call.int(1)));
}

export function sysFchmodat(call: Syscall): SyscallResult {
  return change(nodeAt(call, call.int(0), 1, 0, true), setMode(call.int(2)));
}

export function sysFchmodat2(call: Syscall): SyscallResult {
  const flags = call.int(3);
  if ((flags & ~(F.AT_SYMLINK_NOFOLLOW | F.AT_EMPTY_PATH)) !== 0) return -EINVAL;
  const node = nodeAt(call, call.int(0), 1, flags, (flags & F.AT_SYMLINK_NOFOLLOW) === 0);
  if (typeof node !== 'number' && node.isSymlink) return -EOPNOTSUPP;
  return change(node, setMode(call.int(2)));
}

/** -1 leaves one as it is; a change of owner takes set-id bits away (chown(2)). */
const setOwner = (uid: number, gid: number) => (inode: Inode) => {
  if (uid !== -1) inode.uid = uid >>> 0;
  if (gid !== -1) inode.gid = gid >>> 0;
  if (inode.isFile && (inode.mode & 0o111) !== 0) inode.mode &= ~0o6000;
};

export function sysChown(call: Syscall): SyscallResult {
  return change(nodeAt(call, F.AT_FDCWD, 0, 0, true), setOwner(call.int(1), call.int(2)));
}

export function sysLchown(call: Syscall): SyscallResult {
  return change(nodeAt(call, F.AT_FDCWD, 0, 0, false), setOwner(call.int(1), call.int(2)));
}

export function sysFchown(call: Syscall): SyscallResult {
  return change(ofFile(call), setOwner(call.int(1), call.int(2)));
}

export function sysFchownat(call: Syscall): SyscallResult {
  const flags = call.int(4);
  if ((flags & ~(F.AT_SYMLINK_NOFOLLOW | F.AT_EMPTY_PATH)) !== 0) return -EINVAL;
  const node = nodeAt(call, call.int(0), 1, flags, (flags & F.AT_SYMLINK_NOFOLLOW) === 0);
  return change(node, setOwner(call.int(2), call.int(3)));
}

const UTIME_NOW = 0x3fff_ffff;
const UTIME_OMIT = 0x3fff_fffe;

/** Two times in µs; null: leave. `unit`: what the second half counts, in ns. */
function times(call: Syscall, address: number, unit: 1 | 1000): (number | null)[] | number {
  const now = hostOf(call).realtimeUs();
  if (address === 0) return [now, now];
  const view = readView(call, address, 32);
  if (view === null) return -EFAULT;
  const out: (number | null)[] = [];
  for (const at of [0, 16]) {
    const seconds = Number(view.getBigInt64(at, true));
    const part = Number(view.getBigInt64(at + 8, true));
    if (unit === 1 && part === UTIME_NOW) out.push(now);
    else if (unit === 1 && part === UTIME_OMIT) out.push(null);
    else if (part < 0 || part * unit > 999_999_999) return -EINVAL;
    else out.push(seconds * 1e6 + Math.floor((part * unit) / 1000));
  }
  return out;
}

function setTimes(node: Node | number, when: (number | null)[] | number): number {
  if (typeof when === 'number') return when;
  return change(node, (inode) => {
    if (when[0] !== null) inode.atimeUs = when[0]!;
    if (when[1] !== null) inode.mtimeUs = when[1]!;
  });
}

export function sysUtimensat(call: Syscall): SyscallResult {
  const flags = call.int(3);
  if ((flags & ~(F.AT_SYMLINK_NOFOLLOW | F.AT_EMPTY_PATH)) !== 0) return -EINVAL;
  // A null path means the descriptor itself: futimens(3).
  const node =
    call.uint(1) === 0 ? ofFile(call) : nodeAt(call, call.int(0), 1, flags, (flags & F.AT_SYMLINK_NOFOLLOW) === 0);
  return setTimes(node, times(call, call.uint(2), 1));
}

export function sysFutimesat(call: Syscall): SyscallResult {
  const node = call.uint(1) === 0 ? ofFile(call) : nodeAt(call, call.int(0), 1, 0, true);
  return setTimes(node, times(call, call.uint(2), 1000));
}

export function sysUtimes(call: Syscall): SyscallResult {
  return setTimes(nodeAt(call, F.AT_FDCWD, 0, 0, true), times(call, call.uint(1), 1000));
}

/** utime(2): struct utimbuf, two times in seconds. */
export function sysUtime(call: Syscall): SyscallResult {
  const node = nodeAt(call, F.AT_FDCWD, 0, 0, true);
  const address = call.uint(1);
  if (address === 0) return setTimes(node, times(call, 0, 1));
  const view = readView(call, address, 16);
  if (view === null) return -EFAULT;
  return setTimes(node, [Number(view.getBigInt64(0, true)) * 1e6, Number(view.getBigInt64(8, true)) * 1e6]);
}

export function sysUmask(call: Syscall): SyscallResult {
  const { fs } = processOf(call);
  const before = fs.umask;
  fs.umask = call.int(0) & 0o777;
  touchProcess(call);
  return before;
}

/** The process's saved state holds its `fs`. */
export function touchProcess(call: Syscall): void {
  hostOf(call).ledger.touch(call.process as never);
}

export const noXattr = (): SyscallResult => -EOPNOTSUPP;
export const notPermitted = (): SyscallResult => -EPERM;

/** mknod(2), mknodat(2). */
function mknod(call: Syscall, dirfd: number, at: number): SyscallResult {
  const path = call.path(at);
  if (typeof path === 'number') return path;
  const start = startOf(call, dirfd, path);
  if (typeof start === 'number') return start;
  const made = hostOf(call).vfs.mknod(processOf(call).fs, start, path, call.int(at + 1), call.int(at + 2) >>> 0);
  return typeof made === 'number' ? made : 0;
}

export function sysMknod(call: Syscall): SyscallResult {
  return mknod(call, F.AT_FDCWD, 0);
}

export function sysMknodat(call: Syscall): SyscallResult {
  return mknod(call, call.int(0), 1);
}
