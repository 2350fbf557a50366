/**
 * One of our own standard streams, written without ever stopping the event loop: process.stdout and process.stderr write
 * to pipes and terminals synchronously, and a reader that stands still must not keep the view register from answering.
 */

import { write } from 'node:fs';
import { Writable } from 'node:stream';

/** The descriptor may be shared with somebody who has made it non-blocking: pauses between attempts, doubled. */
const RETRY_MIN_MS = 1;
const RETRY_MAX_MS = 100;

export class FdWritable extends Writable {
  readonly #fd: number;

  constructor(fd: number) {
    super({ decodeStrings: true });
    this.#fd = fd;
  }

  override _write(chunk: Uint8Array, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#writeAll(chunk, RETRY_MIN_MS, done);
  }

  override _writev(chunks: { chunk: Uint8Array }[], done: (error?: Error | null) => void): void {
    this.#writeAll(Buffer.concat(chunks.map(({ chunk }) => chunk)), RETRY_MIN_MS, done);
  }

  #writeAll(bytes: Uint8Array, retryMs: number, done: (error?: Error | null) => void): void {
    write(this.#fd, bytes, (error, written) => {
      if (error?.code === 'EAGAIN') {
        setTimeout(() => this.#writeAll(bytes, Math.min(RETRY_MAX_MS, retryMs * 2), done), retryMs);
      } else if (error !== null || written === bytes.length) done(error);
      else this.#writeAll(bytes.subarray(written), RETRY_MIN_MS, done);
    });
  }
}
