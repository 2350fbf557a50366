/**
 * State transfer: how a learner gets a running primary's whole state. At every epoch boundary it gets the epoch's delta
 * and a chunk of what it has not been sent yet, as it is at that boundary; when nothing is left it is caught up. The guest
 * stops for a chunk, not for the whole.
 *
 * A page or part that is sent early and changes later is in a later delta; one that changes before it is sent is applied
 * as a delta and then sent once more. Made right after a capture at the same boundary, so that the deltas begin where the
 * transfer does.
 */

import type { AddressSpace } from '../lvm/address-space.ts';
import { type Capturable, someContents, wholeMapping } from './capture.ts';
import { type Blob, type DeltaSource, encodeDelta } from './delta.ts';
import type { Change } from './ledger.ts';

export interface TransferOptions {
  /** Pages with contents in a chunk (1024: 4 MiB, about 1 ms). */
  readonly pages?: number;
  /** Mapped pages looked at for a chunk, zero ones included (32768). */
  readonly scan?: number;
  /** Bytes of parts, and of blobs, in a chunk; one more may begin below it (4 MiB). */
  readonly bytes?: number;
}

export class StateTransfer {
  readonly #machine: Capturable;
  readonly #options: Required<TransferOptions>;
  /** Spaces that existed at the start and still have pages to send, with the next page. */
  readonly #spaces: { readonly id: number; readonly space: AddressSpace; next: number }[];
  readonly #keys: string[];
  readonly #blobs: Blob[];
  readonly #entries: (space: AddressSpace) => Iterable<number>;
  #started = false;

  /** `blobs`: every image file's content that the guest has read so far. `entries`: `Capturer.entries`. */
  constructor(
    machine: Capturable,
    blobs: Iterable<Blob>,
    options: TransferOptions = {},
    entries: (space: AddressSpace) => Iterable<number> = () => [],
  ) {
    this.#machine = machine;
    this.#options = { pages: 1024, scan: 32768, bytes: 4 << 20, ...options };
    this.#spaces = [...machine.spaces].map(([id, space]) => ({ id, space, next: 0 })).reverse();
    this.#keys = machine.ledger.keys().reverse();
    this.#blobs = [...blobs].reverse();
    this.#entries = entries;
  }

  /** The next chunk, as of this boundary. `host` goes with it: the first chunk's epoch has no delta for the learner. */
  next(epoch: number, host: Uint8Array): { bytes: Uint8Array; done: boolean } {
    const { instructions, ledger } = this.#machine;
    const spaces = new Map<number, DeltaSource['spaces'][number]>();
    if (!this.#started) {
      this.#started = true;
      for (const { id, space } of [...this.#spaces].reverse()) {
        spaces.set(id, { ...wholeMapping(id, space), pages: [], entries: [...this.#entries(space)] });
      }
    }
    this.#pages(spaces);
    const parts: Change[] = [];
    for (let left = this.#options.bytes; left > 0 && this.#keys.length > 0; ) {
      const part = ledger.encode(this.#keys.pop()!);
      if (part === null) continue;
      parts.push(part);
      left -= part.bytes!.length;
    }
    const blobs: Blob[] = [];
    for (let left = this.#options.bytes; left > 0 && this.#blobs.length > 0; left -= blobs.at(-1)!.bytes.length) {
      blobs.push(this.#blobs.pop()!);
    }
    const bytes = encodeDelta({ epoch, instructions, host, removed: [], spaces: [...spaces.values()], parts, blobs });
    return { bytes, done: this.#spaces.length + this.#keys.length + this.#blobs.length === 0 };
  }

  #pages(chunk: Map<number, DeltaSource['spaces'][number]>): void {
    let { pages: room, scan } = this.#options;
    while (room > 0 && scan > 0 && this.#spaces.length > 0) {
      const cursor = this.#spaces.at(-1)!;
      const { id, space } = cursor;
      const [run] = this.#machine.spaces.get(id) === space ? nextRun(space, cursor.next) : [];
      if (run === undefined) {
        this.#spaces.pop();
        continue;
      }
      const found: number[] = [];
      let page = run.page;
      while (page < run.page + run.count && room > 0 && scan > 0) {
        scan--;
        if (!space.isZero(page)) {
          found.push(page);
          room--;
        }
        page++;
      }
      cursor.next = page;
      const known = chunk.get(id);
      if (known) (known.pages as number[]).push(...found);
      else {
        chunk.set(id, { ...someContents(id, space), pages: found });
      }
    }
  }
}

/** The first mapped run at or after `page`, cut at its beginning; empty: none. */
function nextRun(space: AddressSpace, page: number): { page: number; count: number }[] {
  for (let first = page; first < space.prot.length; ) {
    const end = space.runEnd(first);
    if (space.prot[first] !== 0) return [{ page: first, count: end - first }];
    first = end;
  }
  return [];
}
