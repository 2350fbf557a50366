/**
 * The ledger of library-OS state: every stateful object is a Part with a stable key, and says `touch` when it changes.
 * An epoch's delta is then the parts touched in it; a backup keeps the newest bytes of every key and understands none of
 * them until it is promoted.
 *
 * A forgotten `touch` would lose state silently. `audit` catches it: it saves every part and compares those that were not
 * touched with what they were; tests and `--paranoid` run with it.
 */

import { Packr } from 'msgpackr';
import { assert } from '../lvm/assert.ts';

/** Plain data: null, booleans, numbers, bigints, strings, Uint8Array, arrays and string-keyed objects of these. */
export type Plain = unknown;

export interface Part {
  /** Unique and stable, '<area>/<id>[/<id>]': 'thread/3', 'inode/17', 'tcp/5'. */
  readonly key: string;
  save(): Plain;
}

export interface Change {
  readonly key: string;
  /** msgpack bytes, or null when the part is gone. */
  readonly bytes: Uint8Array | null;
}

const packr = new Packr({ useRecords: false, moreTypes: false, structuredClone: false });

export function encodePart(part: Part): Uint8Array {
  // A view of a region of its buffer that `pack` does not use again: no copy, but a plain Uint8Array.
  const bytes = packr.pack(part.save());
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length);
}

export function decodePart(bytes: Uint8Array): Plain {
  return packr.unpack(bytes);
}

export class Ledger {
  readonly #parts = new Map<string, Part>();
  readonly #touched = new Map<string, Part | null>();
  /** The part last touched: the thread that runs is touched at every step. */
  #last: Part | null = null;

  /** Registers a new part (or a restored one) and marks it changed. */
  add(part: Part): void {
    assert(!this.#parts.has(part.key), `a part '${part.key}' exists already`);
    this.#parts.set(part.key, part);
    this.#touched.set(part.key, part);
  }

  /** The part has changed or is about to. */
  touch(part: Part): void {
    if (part === this.#last) return;
    this.#touched.set(part.key, part);
    this.#last = part;
  }

  /** The part is no more. */
  remove(part: Part): void {
    this.#parts.delete(part.key);
    this.#touched.set(part.key, null);
    this.#last = null;
  }

  has(key: string): boolean {
    return this.#parts.has(key);
  }

  /** What changed since the last call, in the order of the first touch. */
  take(): Change[] {
    const changes: Change[] = [];
    for (const [key, part] of this.#touched) {
      if (part !== null && !this.#parts.has(key)) continue;
      changes.push({ key, bytes: part === null ? null : encodePart(part) });
    }
    this.forget();
    return changes;
  }

  /** Instead of `take`, where nobody needs what changed: an unreplicated run. */
  forget(): void {
    this.#touched.clear();
    this.#last = null;
  }

  /** Keys in insertion order. */
  keys(): string[] {
    return [...this.#parts.keys()];
  }

  /** One part as it is now, changed or not; null when there is none. */
  encode(key: string): Change | null {
    const part = this.#parts.get(key);
    return part === undefined ? null : { key, bytes: encodePart(part) };
  }

  /** Everything, in insertion order: for a learner or a saved checkpoint. */
  all(): Change[] {
    return [...this.#parts.values()].map((part) => ({ key: part.key, bytes: encodePart(part) }));
  }

  /** Keys of parts that differ from `known` although nobody touched them since the last `take`. */
  audit(known: ReadonlyMap<string, Uint8Array>): string[] {
    const wrong: string[] = [];
    for (const part of this.#parts.values()) {
      if (this.#touched.has(part.key)) continue;
      const before = known.get(part.key);
      if (before === undefined || !equal(before, encodePart(part))) wrong.push(part.key);
    }
    return wrong;
  }
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
