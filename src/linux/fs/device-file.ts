/** Character devices: null, zero, full, random, urandom (mem(4), random(4)). Each node's number says which it is. */

import { EBADF, EINVAL, ENOSPC } from '../abi/errno.ts';
import { makedev } from '../abi/stat.ts';
import { NodeFile } from './file-host.ts';
import type { Inode } from './inode.ts';

export const DEV_NULL = makedev(1, 3);
export const DEV_ZERO = makedev(1, 5);
export const DEV_FULL = makedev(1, 7);
export const DEV_RANDOM = makedev(1, 8);
export const DEV_URANDOM = makedev(1, 9);
export const DEV_TTY = makedev(5, 0);

/** What /dev/random and /dev/urandom give at once. */
const RANDOM_MAX = 1 << 20;
const EMPTY = new Uint8Array(0);

export function isDevice(rdev: number): boolean {
  return [DEV_NULL, DEV_ZERO, DEV_FULL, DEV_RANDOM, DEV_URANDOM].includes(rdev);
}

export class DeviceFile extends NodeFile {
  get #rdev(): number {
    return (this.node as Inode).rdev;
  }

  get isZero(): boolean {
    return this.#rdev === DEV_ZERO;
  }

  override save(): unknown {
    return { kind: 'device', flags: this.flags, place: this.savePlace() };
  }

  override read(length: number): Uint8Array | number {
    if (!this.readable) return -EBADF;
    if (this.#rdev === DEV_NULL) return EMPTY;
    if (this.#rdev === DEV_ZERO || this.#rdev === DEV_FULL) return new Uint8Array(length);
    return this.host.entropy(Math.min(length, RANDOM_MAX));
  }

  override write(bytes: Uint8Array): number {
    if (!this.writable) return -EBADF;
    return this.#rdev === DEV_FULL ? -ENOSPC : bytes.length;
  }

  override pread(length: number): Uint8Array | number {
    return this.read(length);
  }

  override pwrite(bytes: Uint8Array): number {
    return this.write(bytes);
  }

  override seek(): number {
    return 0;
  }

  override truncate(): number {
    return -EINVAL;
  }
}
