/**
 * Where a trace or a profile goes: a file, or standard error. Written at once and whole, whatever that takes: the guest
 * waits, as under strace(1), so that nothing piles up and nothing is lost when it ends badly.
 */

import { closeSync, openSync, writeSync } from 'node:fs';
import { OperatorError } from '../cli/errors.ts';

/** Characters that are gathered before they are written. */
const GATHER = 1 << 16;
/** Between attempts at a pipe that somebody has made non-blocking. */
const RETRY_MS = 1;
const STDERR = 2;

export class LineFile {
  readonly #path: string | null;
  readonly #fd: number;
  #text = '';
  readonly #clock = new Int32Array(new SharedArrayBuffer(4));

  /** Null: standard error. A file is made or emptied. Throws TG_OUTPUT_FILE. */
  constructor(path: string | null) {
    this.#path = path;
    try {
      this.#fd = path === null ? STDERR : openSync(path, 'w');
    } catch (error) {
      throw this.#failure(error);
    }
  }

  readonly line = (text: string): void => {
    this.#text += `${text}\n`;
    if (this.#text.length >= GATHER) this.flush();
  };

  /** Throws TG_OUTPUT_FILE. */
  flush(): void {
    if (this.#text === '') return;
    let bytes = Buffer.from(this.#text);
    this.#text = '';
    while (bytes.length > 0) {
      try {
        bytes = bytes.subarray(writeSync(this.#fd, bytes));
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw this.#failure(error);
        Atomics.wait(this.#clock, 0, 0, RETRY_MS);
      }
    }
  }

  close(): void {
    try {
      this.flush();
    } finally {
      if (this.#path !== null) closeSync(this.#fd);
    }
  }

  #failure(error: unknown): OperatorError {
    const what = this.#path ?? 'standard error';
    return new OperatorError(
      'TG_OUTPUT_FILE',
      `${what} can not be written: ${(error as Error).message}`,
      'Give a file that can be written, on a disk that has room.',
    );
  }
}
