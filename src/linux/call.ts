/** One execution of a system call: its arguments in the registers, its memo in the thread. See syscall.ts. */

import type { AddressSpace } from '../lvm/address-space.ts';
import { PAGE_SIZE } from '../lvm/layout.ts';
import { type Context, R8, R9, R10, RDI, RDX, RSI } from '../x86/state.ts';
import { EFAULT, ENAMETOOLONG, ERESTARTSYS } from './abi/errno.ts';
import type { Kernel } from './kernel.ts';
import type { Process } from './process.ts';
import { isInterrupted } from './signals.ts';
import { BLOCKED, type Syscall, type SyscallResult, type WaitFor } from './syscall.ts';
import type { Thread } from './thread.ts';

/** Where the arguments are: the System V ABI, appendix A.2.1. */
const ARGUMENTS = [RDI, RSI, RDX, R10, R8, R9];
const PATH_MAX = 4096;
const decoder = new TextDecoder();

export class Call implements Syscall {
  readonly kernel: Kernel;
  process!: Process;
  thread!: Thread;
  #context!: Context;

  constructor(kernel: Kernel) {
    this.kernel = kernel;
  }

  begin(thread: Thread): this {
    this.thread = thread;
    this.process = thread.process;
    this.#context = thread.context;
    return this;
  }

  get space(): AddressSpace {
    return this.process.mm.space;
  }

  get number(): number {
    return this.thread.call;
  }

  get memo(): unknown {
    return this.thread.memo;
  }

  set memo(memo: unknown) {
    this.thread.memo = memo;
  }

  get timedOut(): boolean {
    return this.thread.timedOut;
  }

  uint(index: number): number {
    return this.#context.getNumber(ARGUMENTS[index]!);
  }

  long(index: number): number {
    const at = ARGUMENTS[index]! * 2;
    const words = this.#context.u32;
    return words[at]! + (words[at + 1]! | 0) * 4294967296;
  }

  int(index: number): number {
    return this.#context.u32[ARGUMENTS[index]! * 2]! | 0;
  }

  bits(index: number): bigint {
    return this.#context.get(ARGUMENTS[index]!);
  }

  path(index: number): string | number {
    return readString(this.space, this.uint(index), PATH_MAX);
  }

  get interrupted(): boolean {
    return isInterrupted(this.kernel, this.thread);
  }

  block(wait: WaitFor): SyscallResult {
    if (this.interrupted) return -ERESTARTSYS;
    // A signal without a handler may have ended or stopped the process just now.
    if (!this.thread.dead) this.kernel.scheduler.sleep(this.thread, wait);
    return BLOCKED;
  }
}

/** A NUL-terminated string of at most `limit` bytes with its NUL; -EFAULT, -ENAMETOOLONG. */
export function readString(space: AddressSpace, address: number, limit: number): string | number {
  const bytes = readCString(space, address, limit);
  return typeof bytes === 'number' ? bytes : decoder.decode(bytes);
}

/** The bytes of such a string, without the NUL: a view. */
export function readCString(space: AddressSpace, address: number, limit: number): Uint8Array | number {
  let length = 0;
  while (length < limit) {
    const room = Math.min(limit - length, PAGE_SIZE - ((address + length) % PAGE_SIZE));
    const piece = space.read(address + length, room);
    if (piece === null) return -EFAULT;
    const end = piece.indexOf(0);
    if (end >= 0) return space.u8.subarray(address, address + length + end);
    length += room;
  }
  return -ENAMETOOLONG;
}
