/**
 * The epochs a replica holds: a base position and the epochs after it, without gaps.
 */

import { assert } from '../lvm/assert.ts';
import type { Position } from './types.ts';

export interface Entry {
  readonly position: Position;
  /** Encoded delta; null where nobody needed one. */
  readonly delta: Uint8Array | null;
  readonly hash: bigint;
}

export class EpochLog {
  #base: Position;
  #entries: Entry[] = [];
  #bytes = 0;

  constructor(base: Position) {
    this.#base = base;
  }

  /** The position before the first entry: it can not be taken back. */
  get base(): Position {
    return this.#base;
  }

  get last(): Position {
    return this.#entries.at(-1)?.position ?? this.#base;
  }

  get length(): number {
    return this.#entries.length;
  }

  /** Bytes of all deltas held. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Bytes of the deltas after that epoch. */
  bytesAfter(epoch: number): number {
    let bytes = 0;
    for (let i = Math.max(0, epoch - this.#base.epoch); i < this.#entries.length; i++) {
      bytes += this.#entries[i]!.delta?.length ?? 0;
    }
    return bytes;
  }

  /** The position of that epoch, the base included; undefined: not held. */
  at(epoch: number): Position | undefined {
    return epoch === this.#base.epoch ? this.#base : this.entry(epoch)?.position;
  }

  entry(epoch: number): Entry | undefined {
    return this.#entries[epoch - this.#base.epoch - 1];
  }

  holds(position: Position): boolean {
    return this.at(position.epoch)?.origin === position.origin;
  }

  /** The position is beyond what is held, or another one is in its place. Below the base nothing is known. */
  lacks(position: Position): boolean {
    return position.epoch > this.last.epoch || (position.epoch >= this.#base.epoch && !this.holds(position));
  }

  append(entry: Entry): void {
    assert(entry.position.epoch === this.last.epoch + 1, 'epochs follow one another');
    this.#entries.push(entry);
    this.#bytes += entry.delta?.length ?? 0;
  }

  /** Forgets the entries after that epoch, which is the base's at least. */
  truncate(epoch: number): void {
    assert(epoch >= this.#base.epoch, 'nothing below the base is taken back');
    for (const entry of this.#entries.splice(epoch - this.#base.epoch)) this.#bytes -= entry.delta?.length ?? 0;
  }

  /** Moves the base up to `epoch` (at most the last one) and returns the entries passed. */
  advance(epoch: number): Entry[] {
    const passed = this.#entries.splice(0, Math.max(0, epoch - this.#base.epoch));
    for (const entry of passed) this.#bytes -= entry.delta?.length ?? 0;
    this.#base = passed.at(-1)?.position ?? this.#base;
    return passed;
  }

  /** Every position held, the base first; only the last `most`. */
  positions(most: number): Position[] {
    return [this.#base, ...this.#entries.map((entry) => entry.position)].slice(-most);
  }
}
