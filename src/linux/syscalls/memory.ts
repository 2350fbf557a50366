/** Memory: mmap(2) and its relatives, brk(2). */

import { PAGE_SIZE, USER_END } from '../../lvm/layout.ts';
import { EACCES, EBADF, EFAULT, EINVAL, ENODEV, ENOMEM, EOPNOTSUPP, EPERM } from '../abi/errno.ts';
import { F_SEAL_FUTURE_WRITE, F_SEAL_WRITE } from '../abi/fcntl.ts';
import * as N from '../abi/syscall-numbers.ts';
import { DeviceFile } from '../fs/device-file.ts';
import { RegularFile } from '../fs/regular-file.ts';
import { pageUp } from '../mm/areas.ts';
import {
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  MAP_SHARED,
  MAP_SHARED_VALIDATE,
  MAP_TYPE,
  type MapRequest,
} from '../mm/memory-map.ts';
import type { Syscall, SyscallResult } from '../syscall.ts';
import { selfOf } from './core.ts';
import { full, partial, type SyscallEntry } from './entry.ts';
import { canRead, canWrite, fileIn } from './fs-kernel.ts';

const PROT_WRITE = 2;
const PROT_MASK = 7;
const PROT_GROWSDOWN = 0x0100_0000;
const SEALED = F_SEAL_WRITE | F_SEAL_FUTURE_WRITE;
/** Flags that MAP_SHARED_VALIDATE knows (LEGACY_MAP_MASK in include/linux/mman.h), and MAP_FIXED_NOREPLACE. */
const MAP_KNOWN = 0x7c17_f9f3;
/** madvise(2). */
const MADV_DONTNEED = 4;
const MADV_FREE = 8;
const MADV_REMOVE = 9;
const MADV_DONTFORK = 10;
const MADV_DOFORK = 11;
const MADV_WIPEONFORK = 18;
const MADV_KEEPONFORK = 19;
const MADV_DONTNEED_LOCKED = 24;
const MADV_KNOWN = new Set([0, 1, 2, 3, 4, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24]);

function sysMmap(call: Syscall): SyscallResult {
  const flags = call.int(3);
  const offset = call.uint(5);
  if (offset % PAGE_SIZE !== 0) return -EINVAL;
  const type = flags & MAP_TYPE;
  const request: MapRequest = { address: call.uint(0), length: call.uint(1), prot: call.int(2), flags };
  const { mm } = selfOf(call);
  if ((flags & MAP_ANONYMOUS) !== 0) return type === MAP_PRIVATE || type === MAP_SHARED ? mm.map(request) : -EINVAL;
  const file = fileIn(call, 4);
  if (file === undefined) return -EBADF;
  if (type !== MAP_PRIVATE && type !== MAP_SHARED && type !== MAP_SHARED_VALIDATE) return -EINVAL;
  if (type === MAP_SHARED_VALIDATE && (flags & ~MAP_KNOWN) !== 0) return -EOPNOTSUPP;
  // /dev/zero is anonymous memory (mem(4)).
  if (file instanceof DeviceFile && file.isZero) return mm.map(request);
  if (!(file instanceof RegularFile)) return -ENODEV;
  if (!canRead(file)) return -EACCES;
  const { inode, path } = file;
  const mayWrite = type === MAP_PRIVATE || (canWrite(file) && (Math.max(0, inode.seals) & SEALED) === 0);
  if ((request.prot & PROT_WRITE) !== 0 && !mayWrite) return canWrite(file) ? -EPERM : -EACCES;
  return mm.map({ ...request, file: { inode, offset, path }, mayWrite });
}

function sysMunmap(call: Syscall): SyscallResult {
  return selfOf(call).mm.munmap(call.uint(0), call.uint(1));
}

function sysMprotect(call: Syscall): SyscallResult {
  const [start, length, prot] = [call.uint(0), call.uint(1), call.int(2)];
  const { mm } = selfOf(call);
  if ((prot & ~(PROT_MASK | PROT_GROWSDOWN)) !== 0) return -EINVAL;
  if ((prot & PROT_GROWSDOWN) === 0 || length === 0 || start % PAGE_SIZE !== 0) return mm.mprotect(start, length, prot);
  // From the beginning of the stack, so glibc makes it executable for a library that wants that (mm/mprotect.c).
  const area = mm.find(start);
  if (area === null) return -ENOMEM;
  if (area.name !== '[stack]') return -EINVAL;
  return mm.mprotect(area.start, start - area.start + length, prot & PROT_MASK);
}

function sysMremap(call: Syscall): SyscallResult {
  return selfOf(call).mm.mremap(call.uint(0), call.uint(1), call.uint(2), call.int(3), call.uint(4));
}

function sysBrk(call: Syscall): SyscallResult {
  return selfOf(call).mm.brk(call.uint(0));
}

function sysMadvise(call: Syscall): SyscallResult {
  const [start, length, advice] = [call.uint(0), call.uint(1), call.int(2)];
  if (!MADV_KNOWN.has(advice) || start % PAGE_SIZE !== 0) return -EINVAL;
  if (start + pageUp(length) > USER_END) return -ENOMEM;
  const { mm } = selfOf(call);
  if (length === 0) return 0;
  switch (advice) {
    case MADV_DONTNEED:
    case MADV_DONTNEED_LOCKED:
    // MADV_FREE may free at once (madvise(2)).
    case MADV_FREE:
      return mm.discard(start, length);
    case MADV_REMOVE:
      return -EINVAL;
    case MADV_DONTFORK:
      return mm.setFork(start, length, 'nothing');
    case MADV_WIPEONFORK:
      return mm.setFork(start, length, 'zeroes');
    case MADV_DOFORK:
    case MADV_KEEPONFORK:
      return mm.setFork(start, length, 'copy');
    default:
      return mm.isMapped(start, length) ? 0 : -ENOMEM;
  }
}

/** Everything is resident. */
function sysMincore(call: Syscall): SyscallResult {
  const [start, length] = [call.uint(0), call.uint(1)];
  if (start % PAGE_SIZE !== 0) return -EINVAL;
  if (!selfOf(call).mm.isMapped(start, length)) return -ENOMEM;
  const pages = pageUp(length) / PAGE_SIZE;
  return call.space.write(call.uint(2), new Uint8Array(pages).fill(1)) ? 0 : -EFAULT;
}

/** What is written to a shared mapping is in the file already. */
function sysMsync(call: Syscall): SyscallResult {
  const [start, length, flags] = [call.uint(0), call.uint(1), call.int(2)];
  if (start % PAGE_SIZE !== 0 || (flags & ~7) !== 0 || (flags & 5) === 5) return -EINVAL;
  return selfOf(call).mm.isMapped(start, length) ? 0 : -ENOMEM;
}

/** MCL_CURRENT and MCL_FUTURE, of which there must be one, and MCL_ONFAULT. */
function sysMlockall(call: Syscall): SyscallResult {
  const flags = call.int(0);
  return (flags & ~7) !== 0 || (flags & 3) === 0 ? -EINVAL : 0;
}

/** Memory is never swapped out. */
function sysMlock(call: Syscall): SyscallResult {
  const start = call.uint(0) - (call.uint(0) % PAGE_SIZE);
  return selfOf(call).mm.isMapped(start, call.uint(1) + (call.uint(0) % PAGE_SIZE)) ? 0 : -ENOMEM;
}

export const MEMORY_CALLS: readonly SyscallEntry[] = [
  partial(
    N.SYS_mmap,
    sysMmap,
    'of a page that a process has mapped twice, one mapping shows what is written to the other after the next system call',
  ),
  full(N.SYS_munmap, sysMunmap),
  full(N.SYS_mprotect, sysMprotect),
  partial(N.SYS_mremap, sysMremap, 'no MREMAP_DONTUNMAP'),
  full(N.SYS_brk, sysBrk),
  partial(N.SYS_madvise, sysMadvise, 'no MADV_REMOVE'),
  full(N.SYS_mincore, sysMincore),
  full(N.SYS_msync, sysMsync),
  full(N.SYS_mlock, sysMlock),
  full(N.SYS_mlock2, sysMlock),
  full(N.SYS_munlock, sysMlock),
  full(N.SYS_mlockall, sysMlockall),
  full(N.SYS_munlockall, () => 0),
  partial(N.SYS_mbind, () => 0, 'one memory node'),
  partial(N.SYS_set_mempolicy, () => 0, 'one memory node'),
  partial(N.SYS_pkey_alloc, () => -EINVAL, 'no protection keys'),
  partial(N.SYS_pkey_free, () => -EPERM, 'no protection keys'),
];
