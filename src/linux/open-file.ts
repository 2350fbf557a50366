/**
 * An open file description (open(2)): what file descriptors refer to. Regular files, directories, devices, pipes,
 * eventfds, timerfds, epoll instances and sockets each extend it in a file of their own.
 */

import type { Part, Plain } from '../checkpoint/ledger.ts';
import { EBADF, EINVAL, ENOTTY, ESPIPE } from './abi/errno.ts';
import { WaitQueue } from './wait-queue.ts';

/** Readiness bits, as EPOLL* and POLL* (the values agree). */
export const POLLIN = 0x001;
export const POLLPRI = 0x002;
export const POLLOUT = 0x004;
export const POLLERR = 0x008;
export const POLLHUP = 0x010;
export const POLLNVAL = 0x020;
export const POLLRDNORM = 0x040;
export const POLLWRNORM = 0x100;
export const POLLRDHUP = 0x2000;

/** The numbers of stat(2), before they are laid out as a struct. Times in microseconds since 1970. */
export interface Stat {
  readonly dev: number;
  readonly ino: number;
  /** Type and permission bits. */
  readonly mode: number;
  readonly nlink: number;
  readonly uid: number;
  readonly gid: number;
  readonly rdev: number;
  readonly size: number;
  readonly blksize: number;
  readonly blocks: number;
  readonly atimeUs: number;
  readonly mtimeUs: number;
  readonly ctimeUs: number;
}

export abstract class OpenFile implements Part {
  /** Unique among open file descriptions for the life of the service. */
  readonly id: number;
  /** O_ACCMODE | O_APPEND | O_NONBLOCK | … as F_GETFL gives them. */
  flags: number;
  /** File-table entries (and SCM_RIGHTS messages in flight) that refer to it; at 0 it is closed. */
  references = 0;
  /** Woken when `poll()` may give a bit that it did not give before. */
  readonly queue = new WaitQueue();

  constructor(id: number, flags: number) {
    this.id = id;
    this.flags = flags;
  }

  get key(): string {
    return `file/${this.id}`;
  }

  /** Plain data with a `kind` by which the right class restores it. */
  abstract save(): Plain;

  abstract stat(): Stat;

  /** Up to `length` bytes; empty at end of file; -EAGAIN when it would block (the caller blocks or not); or -errno. */
  read(_length: number): Uint8Array | number {
    return -EBADF;
  }

  /** Bytes taken (may be fewer); -EAGAIN when it would block; or -errno. */
  write(_bytes: Uint8Array): number {
    return -EBADF;
  }

  pread(_length: number, _offset: number): Uint8Array | number {
    return -ESPIPE;
  }

  pwrite(_bytes: Uint8Array, _offset: number): number {
    return -ESPIPE;
  }

  seek(_offset: number, _whence: number): number {
    return -ESPIPE;
  }

  truncate(_length: number): number {
    return -EINVAL;
  }

  /** POLL* bits that hold now. */
  poll(): number {
    return POLLIN | POLLOUT;
  }

  /**
   * ioctl(2) on this file. `argument` is the third argument as a guest address or number; `io` reads and writes guest
   * memory. -ENOTTY where there is no such request.
   */
  ioctl(_request: number, _argument: number, _io: GuestMemory): number {
    return -ENOTTY;
  }

  /** What a class has to do when the last reference is gone. */
  close(): void {}

  /** The last reference is gone: for the kernel. */
  dispose(): void {
    this.close();
    this.queue.end();
  }
}

/** Guest memory as a handler needs it: null and false mean -EFAULT. See AddressSpace. */
export interface GuestMemory {
  read(address: number, length: number): Uint8Array | null;
  write(address: number, bytes: Uint8Array): boolean;
}
