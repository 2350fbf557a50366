/**
 * One of the guest's output streams on ours. Replicas may say the same bytes twice (a new primary cannot know what the
 * last one's said); each byte is written once, by its offset.
 */

import type { Writable } from 'node:stream';
import { assert } from '../lvm/assert.ts';

export class ConsoleWriter {
  readonly #stream: Writable;
  /** The guest writes, and the reader is gone (EPIPE): what it writes is thrown away. */
  onBroken: () => void = () => {};
  /** The kernel has all bytes before this offset. */
  onWritten: (offset: number) => void = () => {};
  #received = 0;
  #broken = false;
  #toldBroken = false;
  #writing = 0;
  #whenIdle: (() => void)[] = [];
  readonly #onError = (): void => this.#break();

  constructor(stream: Writable) {
    this.#stream = stream;
    stream.on('error', this.#onError);
  }

  /** Bytes that are not with the kernel yet. */
  get queued(): number {
    return this.#broken ? 0 : this.#stream.writableLength;
  }

  /** `offset`: bytes of this stream before these. */
  write(offset: number, bytes: Uint8Array): void {
    assert(offset <= this.#received, 'console output comes without gaps');
    const fresh = bytes.subarray(this.#received - offset);
    const end = Math.max(this.#received, offset + bytes.length);
    this.#received = end;
    if (this.#broken && fresh.length > 0) this.#tellBroken();
    if (fresh.length === 0 || this.#broken) {
      // What was said again is with the kernel, or about to be.
      if (this.#writing === 0) this.onWritten(end);
      return;
    }
    this.#writing++;
    this.#stream.write(fresh, () => {
      this.#writing--;
      this.onWritten(end);
      if (this.#writing === 0) for (const resolve of this.#whenIdle.splice(0)) resolve();
    });
  }

  /** Until everything is written, or cannot be. */
  async flush(): Promise<void> {
    if (this.#writing > 0) await new Promise<void>((resolve) => this.#whenIdle.push(resolve));
    this.#stream.off('error', this.#onError);
    // One that comes later is nobody's business any more.
    this.#stream.on('error', () => {});
  }

  #break(): void {
    this.#broken = true;
    // Not by words of ours on the same stream.
    if (this.#writing > 0) this.#tellBroken();
  }

  #tellBroken(): void {
    if (this.#toldBroken) return;
    this.#toldBroken = true;
    this.onBroken();
  }
}
