/**
 * How far the primary's journal is: which epochs are to be written, which are in the file, which are durable. The journal
 * itself is files (replica/journal-writer.ts); here are only numbers. It is brought up as a learner is: a root in chunks,
 * and with it the deltas of all epochs since its first chunk.
 */

import type { Core } from './core.ts';
import type { Position, RootChunk } from './types.ts';

export class JournalProgress {
  readonly #core: Core;
  /** Chunks of a root are to be captured: of the first one, or of one that replaces a journal that has grown. */
  #rooting = true;
  /** The root in progress has its first chunk. */
  #begun = false;
  /** The epoch of the last chunk of the last root; null: no root has all its chunks yet. */
  #rootEpoch: number | null = null;
  #written = -1;
  /** Every epoch up to this one would be there after a restart; -1: none. */
  durable = -1;
  /** Epochs that were handed over and are not in the file yet. */
  #unwritten: { readonly epoch: number; readonly bytes: number; readonly chunk: boolean }[] = [];
  #unwrittenBytes = 0;
  #unwrittenChunks = 0;

  constructor(core: Core) {
    this.#core = core;
  }

  /** The next epoch should bring a chunk. */
  get rootWanted(): boolean {
    return this.#rooting && this.#unwrittenChunks < this.#core.options.maxChunks;
  }

  /** There is a file to which deltas belong. */
  get deltaNeeded(): boolean {
    return this.#begun || this.complete;
  }

  /** What is captured now can become durable without further chunks. */
  get complete(): boolean {
    return this.#rootEpoch !== null;
  }

  /** The disk is behind. */
  get throttled(): boolean {
    const { maxInFlight, maxInFlightBytes } = this.#core.options;
    return this.#unwritten.length >= maxInFlight || this.#unwrittenBytes >= maxInFlightBytes;
  }

  captured(position: Position, delta: Uint8Array | null, root: RootChunk | null): void {
    const start = root !== null && !this.#begun;
    // Before the first root there is nothing that a delta could change.
    if (root === null && !this.deltaNeeded) return;
    const bytes = (delta?.length ?? 0) + (root?.bytes.length ?? 0);
    this.#unwritten.push({ epoch: position.epoch, bytes, chunk: root !== null });
    this.#unwrittenBytes += bytes;
    if (root !== null) {
      this.#unwrittenChunks++;
      this.#begun = !root.done;
      if (root.done) {
        this.#rootEpoch = position.epoch;
        this.#rooting = false;
      }
    }
    this.#core.emit({ kind: 'journal', position, delta, root: root && { ...root, start } });
  }

  /** What the writer says; an older word than the last one changes nothing. */
  progressed(written: number, durable: number): void {
    this.#written = Math.max(this.#written, written, durable);
    this.durable = Math.max(this.durable, durable);
    while (this.#unwritten.length > 0 && this.#unwritten[0]!.epoch <= this.#written) {
      const { bytes, chunk } = this.#unwritten.shift()!;
      this.#unwrittenBytes -= bytes;
      if (chunk) this.#unwrittenChunks--;
    }
  }

  /** The file has grown large: a new root, beside the file that is there. One at a time: the last one is durable. */
  renew(): void {
    if (this.#rootEpoch !== null && this.durable >= this.#rootEpoch) this.#rooting = true;
  }
}
