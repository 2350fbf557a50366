/** read(2), write(2) and their vector and positional forms; lseek, sendfile, copy_file_range. */

import { EAGAIN, EBADF, EFAULT, EINTR, EINVAL, EISDIR, EOPNOTSUPP, EOVERFLOW, EPIPE, ESPIPE } from '../abi/errno.ts';
import { MAX_RW_COUNT, O_APPEND, O_NONBLOCK } from '../abi/fcntl.ts';
import { RegularFile } from '../fs/regular-file.ts';
import type { OpenFile } from '../open-file.ts';
import { PipeFile } from '../pipe.ts';
import { Socket } from '../socket.ts';
import { SOCK_STREAM } from '../socket-address.ts';
import type { Syscall, SyscallResult } from '../syscall.ts';
import {
  canRead,
  canWrite,
  fileIn,
  gather,
  hostOf,
  type Iovec,
  iovecs,
  readView,
  scatter,
  totalOf,
  writableBytes,
} from './fs-kernel.ts';
import { raiseSigpipe } from './socket-kernel.ts';

/** RWF_HIPRI | RWF_DSYNC | RWF_SYNC | RWF_NOWAIT | RWF_APPEND | RWF_NOAPPEND */
const RWF_NOWAIT = 8;
const RWF_APPEND = 16;
const RWF_KNOWN = 0x3f;
/** A blocking write hands over at most this much at a time; what it wrote is in the memo. */
const PIECE = 1 << 20;

// ---- reading

function readInto(
  call: Syscall,
  file: OpenFile | undefined,
  list: readonly Iovec[],
  offset: number | null,
  nowait = false,
): SyscallResult {
  if (file === undefined || !canRead(file)) return -EBADF;
  // Sizes are cut so that one call holds no more than a few MiB of copies; read(2) may always give less.
  const length = Math.min(totalOf(list), 16 << 20);
  if (offset !== null && offset < 0) return -EINVAL;
  const fits = usable(call, list, length);
  if (length > 0 && fits === 0) return -EFAULT;
  const result = offset === null ? file.read(fits) : file.pread(fits, offset);
  if (result === -EAGAIN && offset === null && (file.flags & O_NONBLOCK) === 0 && !nowait) return wait(call, file);
  return finishRead(call, list, result);
}

/** How much of `length` the guest's buffers take: a read that would fault half-way is cut there. */
function usable(call: Syscall, list: readonly Iovec[], length: number): number {
  let total = 0;
  for (const piece of list) {
    const want = Math.min(piece.length, length - total);
    if (want === 0) continue;
    const good = writableBytes(call, piece.base, want);
    total += good;
    if (good < want) break;
  }
  return total;
}

function finishRead(call: Syscall, list: readonly Iovec[], result: Uint8Array | number): SyscallResult {
  if (typeof result === 'number') return result;
  return scatter(call, list, result) ? result.length : -EFAULT;
}

/** SO_RCVTIMEO and SO_SNDTIMEO count from the first execution. */
function wait(
  call: Syscall,
  file: OpenFile,
  timeoutUs: number | null = file instanceof Socket ? file.receiveTimeoutUs : null,
): SyscallResult {
  if (timeoutUs === null) return call.block({ queues: [file.queue] });
  const memo = (call.memo ?? {}) as { deadlineUs?: number };
  memo.deadlineUs ??= hostOf(call).monotonicUs() + timeoutUs;
  call.memo = memo;
  if (call.timedOut) return -EAGAIN;
  if (call.interrupted) return -EINTR;
  return call.block({ queues: [file.queue], deadlineUs: memo.deadlineUs });
}

export function sysRead(call: Syscall): SyscallResult {
  const list = [{ base: call.uint(1), length: Math.min(call.uint(2), MAX_RW_COUNT) }];
  return readInto(call, fileIn(call), list, null);
}

export function sysReadv(call: Syscall): SyscallResult {
  const list = iovecs(call, 1);
  return typeof list === 'number' ? list : readInto(call, fileIn(call), list, null);
}

export function sysPread64(call: Syscall): SyscallResult {
  const list = [{ base: call.uint(1), length: Math.min(call.uint(2), MAX_RW_COUNT) }];
  return readInto(call, fileIn(call), list, call.long(3));
}

export function sysPreadv(call: Syscall): SyscallResult {
  const list = iovecs(call, 1);
  return typeof list === 'number' ? list : readInto(call, fileIn(call), list, call.long(3));
}

export function sysPreadv2(call: Syscall): SyscallResult {
  const flags = call.int(5);
  if ((flags & ~RWF_KNOWN) !== 0) return -EOPNOTSUPP;
  const list = iovecs(call, 1);
  if (typeof list === 'number') return list;
  const offset = call.long(3);
  return readInto(call, fileIn(call), list, offset === -1 ? null : offset, (flags & RWF_NOWAIT) !== 0);
}

// ---- writing

/**
 * A blocking write goes on until all is written; a non-blocking one gives what fitted. What a blocked one has written is
 * in `call.memo.written`, so that it goes on there when it is executed again.
 */
function writeFrom(
  call: Syscall,
  file: OpenFile | undefined,
  list: readonly Iovec[],
  offset: number | null,
  nowait = false,
): SyscallResult {
  if (file === undefined || !canWrite(file)) return -EBADF;
  if (offset !== null) {
    if (offset < 0) return -EINVAL;
    const bytes = gather(call, list);
    return bytes === null ? -EFAULT : file.pwrite(bytes, offset);
  }
  const memo = (call.memo ?? { written: 0 }) as { written: number; deadlineUs?: number };
  let written = memo.written;
  const bytes = gather(call, list);
  if (bytes === null) return written > 0 ? written : -EFAULT;
  const stream = file instanceof PipeFile || (file instanceof Socket && file.type === SOCK_STREAM);
  for (;;) {
    const piece = stream ? bytes.subarray(written, written + PIECE) : bytes;
    const count = file.write(piece);
    if (count >= 0) {
      written += count;
      // Only a stream takes a part now and the rest later; a message goes whole, a file takes all.
      if (!stream || count === 0 || written >= bytes.length) return written;
      continue;
    }
    if (count === -EPIPE && written === 0) raiseSigpipe(call);
    if (count !== -EAGAIN) return written > 0 ? written : count;
    if ((file.flags & O_NONBLOCK) !== 0 || nowait) return written > 0 ? written : -EAGAIN;
    if (written > 0 && (call.interrupted || call.timedOut)) return written;
    memo.written = written;
    call.memo = memo;
    const result = wait(call, file, file instanceof Socket ? file.sendTimeoutUs : null);
    return typeof result === 'number' && written > 0 ? written : result;
  }
}

export function sysWrite(call: Syscall): SyscallResult {
  const list = [{ base: call.uint(1), length: Math.min(call.uint(2), MAX_RW_COUNT) }];
  return writeFrom(call, fileIn(call), list, null);
}

export function sysWritev(call: Syscall): SyscallResult {
  const list = iovecs(call, 1);
  return typeof list === 'number' ? list : writeFrom(call, fileIn(call), list, null);
}

export function sysPwrite64(call: Syscall): SyscallResult {
  const list = [{ base: call.uint(1), length: Math.min(call.uint(2), MAX_RW_COUNT) }];
  return writeFrom(call, fileIn(call), list, call.long(3));
}

export function sysPwritev(call: Syscall): SyscallResult {
  const list = iovecs(call, 1);
  return typeof list === 'number' ? list : writeFrom(call, fileIn(call), list, call.long(3));
}

export function sysPwritev2(call: Syscall): SyscallResult {
  const flags = call.int(5);
  if ((flags & ~RWF_KNOWN) !== 0) return -EOPNOTSUPP;
  const list = iovecs(call, 1);
  if (typeof list === 'number') return list;
  const file = fileIn(call);
  const offset = call.long(3);
  if ((flags & RWF_APPEND) !== 0 && file instanceof RegularFile) {
    return writeFrom(call, file, list, offset === -1 ? file.inode.size : file.inode.size);
  }
  return writeFrom(call, file, list, offset === -1 ? null : offset, (flags & RWF_NOWAIT) !== 0);
}

// ---- offsets, copies between files

export function sysLseek(call: Syscall): SyscallResult {
  const file = fileIn(call);
  return file === undefined ? -EBADF : file.seek(call.long(1), call.int(2));
}

/** sendfile(2): from a regular file; a blocked one has moved nothing. */
export function sysSendfile(call: Syscall): SyscallResult {
  const out = fileIn(call, 0);
  const from = fileIn(call, 1);
  if (out === undefined || from === undefined || !canWrite(out) || !canRead(from)) return -EBADF;
  if (!(from instanceof RegularFile) || (out.flags & O_APPEND) !== 0) return -EINVAL;
  const address = call.uint(2);
  const count = Math.min(call.uint(3), MAX_RW_COUNT);
  let offset = from.offset;
  if (address !== 0) {
    const view = readView(call, address, 8);
    if (view === null) return -EFAULT;
    offset = Number(view.getBigInt64(0, true));
    if (offset < 0) return -EINVAL;
  }
  const start = offset;
  while (offset - start < count) {
    const bytes = from.pread(Math.min(65536, count - (offset - start)), offset);
    if (typeof bytes === 'number') return bytes;
    if (bytes.length === 0) break;
    const done = out.write(bytes);
    if (done === -EAGAIN && offset === start && (out.flags & O_NONBLOCK) === 0)
      return call.block({ queues: [out.queue] });
    if (done === -EPIPE && offset === start) raiseSigpipe(call);
    if (done <= 0) {
      if (offset === start) return done;
      break;
    }
    offset += done;
    if (done < bytes.length) break;
  }
  if (address === 0) from.seek(offset, 0);
  else {
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setBigInt64(0, BigInt(offset), true);
    if (!call.space.write(address, bytes)) return -EFAULT;
  }
  return offset - start;
}

export function sysCopyFileRange(call: Syscall): SyscallResult {
  const from = fileIn(call, 0);
  const to = fileIn(call, 2);
  if (from === undefined || to === undefined || !canRead(from) || !canWrite(to)) return -EBADF;
  if (call.int(5) !== 0) return -EINVAL;
  if (!(from instanceof RegularFile) || !(to instanceof RegularFile))
    return from.stat().mode >>> 12 === 4 ? -EISDIR : -EINVAL;
  if ((to.flags & O_APPEND) !== 0) return -EBADF;
  const offsets: number[] = [];
  for (const [file, address] of [
    [from, call.uint(1)],
    [to, call.uint(3)],
  ] as const) {
    if (address === 0) offsets.push(file.offset);
    else {
      const view = readView(call, address, 8);
      if (view === null) return -EFAULT;
      offsets.push(Number(view.getBigInt64(0, true)));
    }
  }
  const [source, target] = offsets as [number, number];
  if (source < 0 || target < 0) return -EINVAL;
  const count = Math.min(call.uint(4), 16 << 20, Math.max(0, from.inode.size - source));
  if (from.inode === to.inode && source < target + count && target < source + count) return -EINVAL;
  if (target + count > Number.MAX_SAFE_INTEGER) return -EOVERFLOW;
  const bytes = from.pread(count, source);
  if (typeof bytes === 'number') return bytes;
  const done = to.pwrite(bytes, target);
  if (done < 0) return done;
  for (const [file, address, offset] of [
    [from, call.uint(1), source + done],
    [to, call.uint(3), target + done],
  ] as const) {
    if (address === 0) file.seek(offset, 0);
    else {
      const out = new Uint8Array(8);
      new DataView(out.buffer).setBigInt64(0, BigInt(offset), true);
      if (!call.space.write(address, out)) return -EFAULT;
    }
  }
  return done;
}

/** Files only; others cannot be read ahead or synced. */
export function sysFsync(call: Syscall): SyscallResult {
  const file = fileIn(call);
  if (file === undefined) return -EBADF;
  const type = file.stat().mode >>> 12;
  // Nothing to do: what is written is in guest state, and safe when the output that depends on it leaves.
  return type === 8 || type === 4 || type === 10 ? 0 : -EINVAL;
}

export function sysSync(): SyscallResult {
  return 0;
}

export function sysSyncfs(call: Syscall): SyscallResult {
  return fileIn(call) === undefined ? -EBADF : 0;
}

export function sysFadvise64(call: Syscall): SyscallResult {
  const file = fileIn(call);
  if (file === undefined) return -EBADF;
  if (file.stat().mode >>> 12 === 1) return -ESPIPE;
  const advice = call.int(3);
  return advice < 0 || advice > 5 ? -EINVAL : 0;
}

export function sysReadahead(call: Syscall): SyscallResult {
  const file = fileIn(call);
  if (file === undefined || !canRead(file)) return -EBADF;
  return file instanceof RegularFile ? 0 : -EINVAL;
}
