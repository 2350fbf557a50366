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
  if (size > smallBytes.length) {
    const bytes = new Uint8Array(size);
    fill(new DataView(bytes.buffer));
    return space.write(address, bytes);
  }
  smallParts[size] ??= smallBytes.subarray(0, size);
  const bytes = smallParts[size].fill(0);
  fill(smallView);
  return space.write(address, bytes);
}

/** Programs look at the clock very often: most structures need no memory of their own. */
const smallBytes = new Uint8Array(256);
const smallView = new DataView(smallBytes.buffer);
/** The first bytes of them, by their number. */
const smallParts: Uint8Array[] = [];

export function writeInt(space: AddressSpace, address: number, value: number): boolean {
  return writeStruct(space, address, 4, (view) => view.setInt32(0, value, true));
}

/** A safe integer as 64 bits, without a BigInt. */
function setInt64(view: DataView, at: number, value: number): void {
  view.setUint32(at, value >>> 0, true);
  view.setUint32(at + 4, Math.floor(value / 4294967296) >>> 0, true);
}

/** struct timeval. */
export function setTimeval(view: DataView, at: number, us: number): void {
  setInt64(view, at, Math.floor(us / 1e6));
  setInt64(view, at + 8, us % 1e6);
}

/** struct timespec. */
export function setTimespec(view: DataView, at: number, us: number): void {
  setInt64(view, at, Math.floor(us / 1e6));
  setInt64(view, at + 8, (us % 1e6) * 1000);
}

/** `text` at `at`, cut to `size` bytes with its NUL. */
export function putString(bytes: Uint8Array, at: number, text: string, size: number): void {
  bytes.set(new TextEncoder().encode(text).subarray(0, size - 1), at);
}
