/** eventfd(2). */

import type { Plain } from '../checkpoint/ledger.ts';
import { EAGAIN, EINVAL } from './abi/errno.ts';
import { anonymousStat } from './console.ts';
import type { FileHost } from './fs/file-host.ts';
import { DEV_ANON } from './fs/node.ts';
import { OpenFile, POLLIN, POLLOUT, POLLRDNORM, POLLWRNORM, type Stat } from './open-file.ts';

const MAX = 0xffff_ffff_ffff_fffen;

export class EventFile extends OpenFile {
  readonly #host: FileHost;
  readonly semaphore: boolean;
  #count: bigint;

  constructor(host: FileHost, id: number, flags: number, count: bigint, semaphore: boolean) {
    super(id, flags);
    this.#host = host;
    this.#count = count;
    this.semaphore = semaphore;
  }

  override save(): unknown {
    return { kind: 'eventfd', flags: this.flags, semaphore: this.semaphore, count: this.#count.toString() };
  }

  static restore(host: FileHost, id: number, state: Plain): EventFile {
    const saved = state as { flags: number; semaphore: boolean; count: string };
    return new EventFile(host, id, saved.flags, BigInt(saved.count), saved.semaphore);
  }

  get path(): string {
    return 'anon_inode:[eventfd]';
  }

  override stat(): Stat {
    return anonymousStat(9, 0o600, DEV_ANON);
  }

  override read(length: number): Uint8Array | number {
    if (length < 8) return -EINVAL;
    if (this.#count === 0n) return -EAGAIN;
    const value = this.semaphore ? 1n : this.#count;
    this.#count -= value;
    this.#changed();
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setBigUint64(0, value, true);
    return bytes;
  }

  override write(bytes: Uint8Array): number {
    if (bytes.length < 8) return -EINVAL;
    const value = new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0, true);
    if (value > MAX) return -EINVAL;
    if (MAX - this.#count < value) return -EAGAIN;
    this.#count += value;
    this.#changed();
    return 8;
  }

  #changed(): void {
    this.#host.ledger.touch(this);
    this.queue.wake();
  }

  override poll(): number {
    return (this.#count > 0n ? POLLIN | POLLRDNORM : 0) | (this.#count < MAX ? POLLOUT | POLLWRNORM : 0);
  }
}
