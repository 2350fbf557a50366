/** The kernel, process and thread of a call by their own classes, for the areas that are the kernel's own business. */

import type { AddressSpace } from '../../lvm/address-space.ts';
import type { Kernel } from '../kernel.ts';
import type { Process } from '../process.ts';
import type { Syscall } from '../syscall.ts';
import type { Thread } from '../thread.ts';

export function kernelOf(call: Syscall): Kernel {
  return call.kernel as Kernel;
}

export function selfOf(call: Syscall): Process {
  return call.process as Process;
}

export function threadOf(call: Syscall): Thread {
  return call.thread as Thread;
}

/** A result structure of `size` bytes filled in by `fill` and written to `address`; false: -EFAULT. */
export function writeStruct(
  space: AddressSpace,
  address: number,
  size: number,
  fill: (view: DataView) => void,
): boolean {
  const bytes = new Uint8Array(size);
  fill(new DataView(bytes.buffer));
  return space.write(address, bytes);
}

export function writeInt(space: AddressSpace, address: number, value: number): boolean {
  return writeStruct(space, address, 4, (view) => view.setInt32(0, value, true));
}

/** struct timeval. */
export function setTimeval(view: DataView, at: number, us: number): void {
  view.setBigInt64(at, BigInt(Math.floor(us / 1e6)), true);
  view.setBigInt64(at + 8, BigInt(us % 1e6), true);
}

/** struct timespec. */
export function setTimespec(view: DataView, at: number, us: number): void {
  view.setBigInt64(at, BigInt(Math.floor(us / 1e6)), true);
  view.setBigInt64(at + 8, BigInt((us % 1e6) * 1000), true);
}

/** `text` at `at`, cut to `size` bytes with its NUL. */
export function putString(bytes: Uint8Array, at: number, text: string, size: number): void {
  bytes.set(new TextEncoder().encode(text).subarray(0, size - 1), at);
}
