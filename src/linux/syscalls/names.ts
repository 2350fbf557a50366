/** Names and directories: rename(2), link(2), unlink(2), symlink(2), mkdir(2), readlink(2), getdents64(2), chdir(2). */

import { EBADF, EFAULT, EINVAL, ENOENT, ENOTDIR, ERANGE } from '../abi/errno.ts';
import { AT_EMPTY_PATH, AT_FDCWD, AT_REMOVEDIR, AT_SYMLINK_FOLLOW } from '../abi/fcntl.ts';
import { DirectoryFile } from '../fs/directory-file.ts';
import { NodeFile } from '../fs/file-host.ts';
import type { Node } from '../fs/node.ts';
import type { FsContext, Vfs } from '../fs/vfs.ts';
import type { Syscall, SyscallResult } from '../syscall.ts';
import { touchProcess } from './files.ts';
import { fileIn, hostOf, nodeAt, processOf, startOf, writableBytes } from './fs-kernel.ts';

/** Calls `act` with the path in argument `index` and where it starts. */
function withPath(
  call: Syscall,
  dirfd: number,
  index: number,
  act: (vfs: Vfs, ctx: FsContext, start: Node, path: string) => number,
): number {
  const path = call.path(index);
  if (typeof path === 'number') return path;
  const start = startOf(call, dirfd, path);
  if (typeof start === 'number') return start;
  return act(hostOf(call).vfs, processOf(call).fs, start, path);
}

function rename(call: Syscall, fromFd: number, from: number, toFd: number, to: number, flags: number): number {
  return withPath(call, fromFd, from, (vfs, ctx, start, path) =>
    withPath(call, toFd, to, (_vfs, _ctx, toStart, toPath) => vfs.rename(ctx, start, path, toStart, toPath, flags)),
  );
}

export function sysRename(call: Syscall): SyscallResult {
  return rename(call, AT_FDCWD, 0, AT_FDCWD, 1, 0);
}

export function sysRenameat(call: Syscall): SyscallResult {
  return rename(call, call.int(0), 1, call.int(2), 3, 0);
}

export function sysRenameat2(call: Syscall): SyscallResult {
  return rename(call, call.int(0), 1, call.int(2), 3, call.int(4));
}

function link(call: Syscall, fromFd: number, from: number, toFd: number, to: number, flags: number): number {
  if ((flags & ~(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH)) !== 0) return -EINVAL;
  const node = nodeAt(call, fromFd, from, flags, (flags & AT_SYMLINK_FOLLOW) !== 0);
  if (typeof node === 'number') return node;
  return withPath(call, toFd, to, (vfs, ctx, start, path) => vfs.link(ctx, node, start, path));
}

export function sysLink(call: Syscall): SyscallResult {
  return link(call, AT_FDCWD, 0, AT_FDCWD, 1, 0);
}

export function sysLinkat(call: Syscall): SyscallResult {
  return link(call, call.int(0), 1, call.int(2), 3, call.int(4));
}

export function sysUnlink(call: Syscall): SyscallResult {
  return withPath(call, AT_FDCWD, 0, (vfs, ctx, start, path) => vfs.unlink(ctx, start, path));
}

export function sysRmdir(call: Syscall): SyscallResult {
  return withPath(call, AT_FDCWD, 0, (vfs, ctx, start, path) => vfs.rmdir(ctx, start, path));
}

export function sysUnlinkat(call: Syscall): SyscallResult {
  const flags = call.int(2);
  if ((flags & ~AT_REMOVEDIR) !== 0) return -EINVAL;
  return withPath(call, call.int(0), 1, (vfs, ctx, start, path) =>
    flags === 0 ? vfs.unlink(ctx, start, path) : vfs.rmdir(ctx, start, path),
  );
}

function symlink(call: Syscall, dirfd: number, index: number): number {
  const target = call.path(0);
  if (typeof target === 'number') return target;
  return withPath(call, dirfd, index, (vfs, ctx, start, path) => vfs.symlink(ctx, start, path, target));
}

export function sysSymlink(call: Syscall): SyscallResult {
  return symlink(call, AT_FDCWD, 1);
}

export function sysSymlinkat(call: Syscall): SyscallResult {
  return symlink(call, call.int(1), 2);
}

export function sysMkdir(call: Syscall): SyscallResult {
  return withPath(call, AT_FDCWD, 0, (vfs, ctx, start, path) => vfs.mkdir(ctx, start, path, call.int(1)));
}

export function sysMkdirat(call: Syscall): SyscallResult {
  return withPath(call, call.int(0), 1, (vfs, ctx, start, path) => vfs.mkdir(ctx, start, path, call.int(2)));
}

function readlink(call: Syscall, dirfd: number, index: number): number {
  const size = call.int(index + 2);
  if (size <= 0) return -EINVAL;
  const path = call.path(index);
  if (typeof path === 'number') return path;
  // readlinkat(2) with an empty path reads the link that dirfd was opened at (O_PATH | O_NOFOLLOW).
  const node = nodeAt(call, dirfd, index, path === '' && dirfd !== AT_FDCWD ? AT_EMPTY_PATH : 0, false);
  if (typeof node === 'number') return node;
  const target = hostOf(call).vfs.readlink(node);
  if (typeof target === 'number') return path === '' ? -ENOENT : target;
  const bytes = new TextEncoder().encode(target).subarray(0, size);
  return call.space.write(call.uint(index + 1), bytes) ? bytes.length : -EFAULT;
}

export function sysReadlink(call: Syscall): SyscallResult {
  return readlink(call, AT_FDCWD, 0);
}

export function sysReadlinkat(call: Syscall): SyscallResult {
  return readlink(call, call.int(0), 1);
}

export function sysGetdents64(call: Syscall): SyscallResult {
  const file = fileIn(call);
  if (file === undefined) return -EBADF;
  if (!(file instanceof DirectoryFile)) return -ENOTDIR;
  const length = Math.min(call.int(2) >>> 0, 1 << 20);
  if (writableBytes(call, call.uint(1), length) < Math.min(length, 24)) return -EFAULT;
  const bytes = file.entries(length);
  if (typeof bytes === 'number') return bytes;
  return call.space.write(call.uint(1), bytes) ? bytes.length : -EFAULT;
}

export function sysGetcwd(call: Syscall): SyscallResult {
  const path = hostOf(call).vfs.pathOf(processOf(call).fs.cwd);
  if (path === null) return -ENOENT;
  const bytes = new TextEncoder().encode(`${path}\0`);
  if (bytes.length > call.uint(1)) return -ERANGE;
  return call.space.write(call.uint(0), bytes) ? bytes.length : -EFAULT;
}

export function sysChdir(call: Syscall): SyscallResult {
  const node = nodeAt(call, AT_FDCWD, 0, 0, true);
  if (typeof node === 'number') return node;
  if (!node.isDirectory) return -ENOTDIR;
  processOf(call).fs.setCwd(node);
  touchProcess(call);
  return 0;
}

export function sysFchdir(call: Syscall): SyscallResult {
  const file = processOf(call).file(call.int(0));
  if (file === undefined) return -EBADF;
  if (!(file instanceof NodeFile) || !file.node.isDirectory) return -ENOTDIR;
  processOf(call).fs.setCwd(file.node);
  touchProcess(call);
  return 0;
}

export function sysChroot(call: Syscall): SyscallResult {
  const node = nodeAt(call, AT_FDCWD, 0, 0, true);
  if (typeof node === 'number') return node;
  if (!node.isDirectory) return -ENOTDIR;
  processOf(call).fs.setRoot(node);
  touchProcess(call);
  return 0;
}
