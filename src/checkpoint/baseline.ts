/**
 * What the receivers have of the pages that change often: a page that is dirty again is sent as the words that differ.
 * A request changes a few bytes in each of some thirty pages, so this makes an epoch's delta some kilobytes.
 *
 * A patch is runs of changed 32-bit words: u16 count of runs, u16 zero; each run u16 first word, u16 words, the words.
 */

import type { AddressSpace } from '../lvm/address-space.ts';
import { PAGE_SIZE } from '../lvm/layout.ts';

const WORDS = PAGE_SIZE / 4;
/** A patch longer than this many words is not worth it: the page is sent whole. */
const PATCH_MAX = 640;
/** Equal words between two runs that cost no more than a new run. */
const GAP = 2;

export class Baselines {
  readonly #limit: number;
  #count = 0;
  /** Copies of pages by space, those used last at the end. */
  readonly #spaces = new Map<AddressSpace, Map<number, Int32Array>>();
  #scratch = new Int32Array(64 * 1024);
  #at = 0;

  /** `limit`: pages kept, 4 KiB each. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Begins a delta: patches of the one before are forgotten. */
  begin(): void {
    this.#at = 0;
  }

  /**
   * The dirty pages of a space, sorted into those sent as patches and those sent whole. `patches` is a view that holds
   * until `begin`; its contents stay where `encodeDelta` finds them although the scratch may move.
   */
  split(space: AddressSpace, dirty: readonly number[]): { pages: number[]; patched: number[]; patches: Uint8Array } {
    let known = this.#spaces.get(space);
    if (!known) {
      known = new Map();
      this.#spaces.set(space, known);
    }
    const pages: number[] = [];
    const patched: number[] = [];
    const start = this.#at;
    // Copies for pages of a great sweep through memory would only displace those of pages that change often.
    const keep = dirty.length <= this.#limit / 4;
    for (const page of dirty) {
      const copy = known.get(page);
      const words = new Int32Array(space.memory.buffer, page * PAGE_SIZE, WORDS);
      if (copy === undefined) {
        pages.push(page);
        if (!keep) continue;
        known.set(page, words.slice());
        this.#count++;
        continue;
      }
      known.delete(page);
      known.set(page, copy);
      if (this.#patch(words, copy, start)) patched.push(page);
      else pages.push(page);
    }
    const patches = new Uint8Array(this.#scratch.buffer, start * 4, (this.#at - start) * 4);
    if (this.#count > this.#limit) this.#evict();
    return { pages, patched, patches };
  }

  /** Appends the differences to the scratch and makes the copy current. False: too many. */
  #patch(words: Int32Array, copy: Int32Array, start: number): boolean {
    this.#room(start);
    const out = this.#scratch;
    const head = this.#at;
    const most = head + PATCH_MAX;
    // Eight bytes at a time: half the time of four (V8 compares them without making bigints).
    const left = new BigInt64Array(words.buffer, words.byteOffset, WORDS / 2);
    const right = new BigInt64Array(copy.buffer, copy.byteOffset, WORDS / 2);
    let at = head + 1;
    let runs = 0;
    for (let pair = 0; pair < WORDS / 2; pair++) {
      if (left[pair] === right[pair]) continue;
      const i = words[pair * 2] === copy[pair * 2] ? pair * 2 + 1 : pair * 2;
      let end = i + 1;
      for (let gap = 0, j = end; j < WORDS && gap <= GAP; j++) {
        if (words[j] === copy[j]) gap++;
        else {
          gap = 0;
          end = j + 1;
        }
      }
      if (at + 1 + end - i > most) {
        copy.set(words);
        return false;
      }
      out[at++] = i | ((end - i) << 16);
      for (let j = i; j < end; j++) out[at++] = copy[j] = words[j]!;
      runs++;
      // What follows in this pair, if anything, is copied or equal: the run ended with more than GAP equal words.
      pair = (end - 1) >> 1;
    }
    out[head] = runs;
    this.#at = at;
    return true;
  }

  /** Room for one more patch. What this space's patches so far are moves along; those of others were viewed already. */
  #room(start: number): void {
    if (this.#at + PATCH_MAX <= this.#scratch.length) return;
    const bigger = new Int32Array(2 * this.#scratch.length);
    bigger.set(this.#scratch.subarray(start, this.#at), start);
    this.#scratch = bigger;
  }

  #evict(): void {
    for (const pages of this.#spaces.values()) {
      for (const page of pages.keys()) {
        if (this.#count <= this.#limit / 2) return;
        pages.delete(page);
        this.#count--;
      }
    }
  }

  /** The receivers have something else there: zeros, or nothing. */
  forget(space: AddressSpace, pages: Iterable<number>): void {
    const known = this.#spaces.get(space);
    if (known) for (const page of pages) if (known.delete(page)) this.#count--;
  }

  /** Mappings in [first, end) changed: a page that is not mapped now becomes zero at the receivers. */
  unmapped(space: AddressSpace, first: number, end: number): void {
    const known = this.#spaces.get(space);
    if (!known) return;
    for (const page of known.keys()) {
      if (page >= first && page < end && space.prot[page] === 0) {
        known.delete(page);
        this.#count--;
      }
    }
  }

  drop(space: AddressSpace): void {
    this.#count -= this.#spaces.get(space)?.size ?? 0;
    this.#spaces.delete(space);
  }
}

/** Words of a patch at `at` in `view` (bytes), or -1 when it is malformed or cut off at `end`. */
export function patchLength(view: DataView, at: number, end: number): number {
  if (at + 4 > end) return -1;
  const runs = view.getUint32(at, true);
  if (runs > WORDS) return -1;
  const start = at;
  let page = 0;
  at += 4;
  for (let i = 0; i < runs; i++) {
    if (at + 4 > end) return -1;
    const first = view.getUint16(at, true);
    const count = view.getUint16(at + 2, true);
    if (first < page || count < 1 || first + count > WORDS || at + 4 + count * 4 > end) return -1;
    page = first + count;
    at += 4 + count * 4;
  }
  return (at - start) / 4;
}

/** Applies a checked patch to a page of memory. Returns where the next one begins. */
export function applyPatch(memory: Uint8Array, page: number, bytes: Uint8Array, view: DataView, at: number): number {
  const runs = view.getUint32(at, true);
  at += 4;
  for (let i = 0; i < runs; i++) {
    const first = view.getUint16(at, true);
    const length = view.getUint16(at + 2, true) * 4;
    at += 4;
    memory.set(bytes.subarray(at, at + length), page * PAGE_SIZE + first * 4);
    at += length;
  }
  return at;
}
