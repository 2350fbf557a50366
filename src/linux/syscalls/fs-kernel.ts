/** What the file calls need of the kernel and the calling process, in one place; and argument helpers that they share. */

import { PAGE_SIZE, PROT_WRITE, USER_END } from '../../lvm/layout.ts';
import { EBADF, EFAULT, EINVAL, ENOTDIR } from '../abi/errno.ts';
import { AT_EMPTY_PATH, AT_FDCWD, IOV_MAX, MAX_RW_COUNT, O_ACCMODE, O_PATH, O_RDONLY, O_WRONLY } from '../abi/fcntl.ts';
import type { ConsoleHost } from '../console.ts';
import { DirectoryFile } from '../fs/directory-file.ts';
import { DescriptionNode, NodeFile } from '../fs/file-host.ts';
import type { ProcessFs } from '../fs/fs-context.ts';
import type { Node } from '../fs/node.ts';
import type { OpenHost } from '../fs/open.ts';
import type { OpenFile } from '../open-file.ts';
import type { Syscall } from '../syscall.ts';

/** The process as the file calls see it. */
export interface FsProcess {
  readonly pid: number;
  readonly fs: ProcessFs;
  /** The description behind a descriptor. */
  file(fd: number): OpenFile | undefined;
  /** The lowest free descriptor ≥ `min` for `file`, which gains a reference; -EMFILE, -EINVAL. */
  install(file: OpenFile, cloexec: boolean, min?: number): number;
  /** dup2(2): closes what was there. -EBADF: beyond RLIMIT_NOFILE. */
  installAt(fd: number, file: OpenFile, cloexec: boolean): number;
  /** 0 or -EBADF. */
  closeFd(fd: number): number;
  cloexec(fd: number): boolean;
  setCloexec(fd: number, on: boolean): void;
  /** Open descriptors, ascending. */
  fds(): number[];
}

export function hostOf(call: Syscall): OpenHost & ConsoleHost {
  return call.kernel as unknown as OpenHost;
}

export function processOf(call: Syscall): FsProcess {
  return call.process as unknown as FsProcess;
}

/** The description in argument `index`, also one opened with O_PATH. */
export function anyFile(call: Syscall, index = 0): OpenFile | undefined {
  return processOf(call).file(call.int(index));
}

/** The description in argument `index`; O_PATH ones are -EBADF to most calls. */
export function fileIn(call: Syscall, index = 0): OpenFile | undefined {
  const file = anyFile(call, index);
  return file !== undefined && (file.flags & O_PATH) !== 0 ? undefined : file;
}

export function canRead(file: OpenFile): boolean {
  return (file.flags & O_ACCMODE) !== O_WRONLY;
}

export function canWrite(file: OpenFile): boolean {
  return (file.flags & O_ACCMODE) !== O_RDONLY;
}

/** The node behind a description. */
export function nodeOf(file: OpenFile): Node {
  return file instanceof NodeFile ? file.node : new DescriptionNode(file);
}

/** Where a relative path of an *at() call starts. */
export function startOf(call: Syscall, fd: number, path: string): Node | number {
  const process = processOf(call);
  if (path.startsWith('/')) return process.fs.root;
  if (fd === AT_FDCWD) return process.fs.cwd;
  const file = process.file(fd);
  if (file === undefined) return -EBADF;
  return file instanceof DirectoryFile ? file.node : -ENOTDIR;
}

/** The node that (dirfd, path, flags) names, or -errno. */
export function nodeAt(call: Syscall, fd: number, pathIndex: number, flags: number, follow: boolean): Node | number {
  let path: string | number;
  // With AT_EMPTY_PATH Linux takes a null pointer for "" (since 6.11).
  if ((flags & AT_EMPTY_PATH) !== 0 && call.uint(pathIndex) === 0) path = '';
  else path = call.path(pathIndex);
  if (typeof path === 'number') return path;
  const process = processOf(call);
  if (path === '' && (flags & AT_EMPTY_PATH) !== 0) {
    if (fd === AT_FDCWD) return process.fs.cwd;
    const file = process.file(fd);
    return file === undefined ? -EBADF : nodeOf(file);
  }
  const start = startOf(call, fd, path);
  if (typeof start === 'number') return start;
  return hostOf(call).vfs.lookup(process.fs, start, path, follow);
}

export interface Iovec {
  readonly base: number;
  readonly length: number;
}

/** The iovec array in arguments `index` and `index + 1`, cut at MAX_RW_COUNT; or -errno. */
export function iovecs(call: Syscall, index: number): Iovec[] | number {
  const count = call.int(index + 1);
  if (count < 0 || count > IOV_MAX) return -EINVAL;
  if (count === 0) return [];
  const bytes = call.space.read(call.uint(index), count * 16);
  if (bytes === null) return -EFAULT;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const list: Iovec[] = [];
  let total = 0;
  for (let i = 0; i < count; i++) {
    const base = Number(view.getBigUint64(i * 16, true));
    const wanted = Number(view.getBigInt64(i * 16 + 8, true));
    if (wanted < 0) return -EINVAL;
    const length = Math.min(wanted, MAX_RW_COUNT - total);
    total += length;
    list.push({ base, length });
  }
  return list;
}

export function totalOf(list: readonly Iovec[]): number {
  return list.reduce((sum, piece) => sum + piece.length, 0);
}

/** Copies what the pieces hold; null: -EFAULT. */
export function gather(call: Syscall, list: readonly Iovec[]): Uint8Array | null {
  if (list.length === 1) return call.space.read(list[0]!.base, list[0]!.length);
  const out = new Uint8Array(totalOf(list));
  let at = 0;
  for (const { base, length } of list) {
    const bytes = call.space.read(base, length);
    if (bytes === null) return null;
    out.set(bytes, at);
    at += length;
  }
  return out;
}

/**
 * How many of `length` bytes at `address` the guest may write. Unlike AddressSpace.resolve it makes no page dirty: a
 * large buffer for a small read must not be shipped.
 */
export function writableBytes(call: Syscall, address: number, length: number): number {
  const { prot } = call.space;
  if (address < 0 || address >= USER_END) return 0;
  const end = Math.min(address + length, USER_END);
  let at = address;
  while (at < end) {
    const page = Math.floor(at / PAGE_SIZE);
    if ((prot[page]! & PROT_WRITE) === 0) break;
    at = (page + 1) * PAGE_SIZE;
  }
  return Math.min(at, end) - address;
}

/** Installs a new description; one that finds no descriptor is closed again. */
export function installNew(call: Syscall, file: OpenFile, cloexec: boolean): number {
  const fd = processOf(call).install(file, cloexec);
  if (fd < 0) discard(call, file);
  return fd;
}

export function discard(call: Syscall, file: OpenFile): void {
  file.references++;
  (call.kernel as unknown as { release(file: OpenFile): void }).release(file);
}

export function scatter(call: Syscall, list: readonly Iovec[], bytes: Uint8Array): boolean {
  let at = 0;
  for (const { base, length } of list) {
    if (at === bytes.length) break;
    const piece = bytes.subarray(at, at + length);
    if (!call.space.write(base, piece)) return false;
    at += piece.length;
  }
  return true;
}

export function readView(call: Syscall, address: number, length: number): DataView | null {
  const bytes = call.space.read(address, length);
  return bytes === null ? null : new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}

/** Longer times are cut, as Linux does at 292 years (KTIME_MAX): 142 years, so that sums of two are exact. */
export const TIME_MAX_US = 2 ** 52;

/** A timespec at `address` as µs, rounded up; null: no pointer; -errno. */
export function timespecUs(call: Syscall, address: number): number | null {
  if (address === 0) return null;
  const view = readView(call, address, 16);
  if (view === null) return -EFAULT;
  const seconds = Number(view.getBigInt64(0, true));
  const nanoseconds = Number(view.getBigInt64(8, true));
  if (seconds < 0 || nanoseconds < 0 || nanoseconds > 999_999_999) return -EINVAL;
  return Math.min(TIME_MAX_US, seconds * 1e6 + Math.ceil(nanoseconds / 1000));
}
