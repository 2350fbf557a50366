/**
 * The delta: what changed in a machine, as bytes. One format serves for an epoch, a chunk of a state transfer and a whole
 * saved state. Little-endian; a fixed header with every count, then the tables, then page contents at the end, so that a
 * reader can check all lengths against the buffer before it allocates anything.
 *
 *   header   64 bytes: magic, total length, epoch, instructions, counts
 *   removed  u32 each: spaces that are no more
 *   host     opaque bytes of the replica process
 *   spaces   40 bytes each: id, flags, mapping range, counts; its runs, page numbers, zero pages, numbers of patched
 *            pages, entries (address and kind) and patches (baseline.ts) follow it
 *   parts    u16 key length, u32 length (REMOVED: gone), key, bytes
 *   blobs    u32 length, 64 bytes of id, bytes
 *   pages    4096 bytes for every page number above, in that order
 */

import type { PageRun } from '../lvm/address-space.ts';
import { ENTRY_KIND } from '../lvm/cpu.ts';
import { PAGE_SIZE, PROT_MAPPED, USER_END, USER_PAGES } from '../lvm/layout.ts';
import { patchLength } from './baseline.ts';
import { CheckpointError } from './errors.ts';
import type { Change } from './ledger.ts';

/** Content of an image file, by its SHA-256. */
export interface Blob {
  readonly id: string;
  readonly bytes: Uint8Array;
}

export interface SpaceDelta {
  readonly id: number;
  /** The receiver begins with an empty space, even if it had one of this id. */
  readonly created: boolean;
  /** Where mappings changed: the pages [first, end) are mapped exactly as `runs` say. Null: no change. */
  readonly range: { readonly first: number; readonly end: number } | null;
  readonly runs: readonly PageRun[];
  /** Pages with contents, ascending. */
  readonly pages: ArrayLike<number>;
  /** Pages that are all zero, ascending. */
  readonly zeros: ArrayLike<number>;
  /** Pages of which only some words changed, ascending, and their patches one after another (baseline.ts). */
  readonly patched: ArrayLike<number>;
  readonly patches: Uint8Array;
  /** Translated since the last delta, as VirtualCpu.takeTranslated has it: to be translated ahead at take-over. */
  readonly entries: ArrayLike<number>;
}

export interface Delta {
  readonly epoch: number;
  /** Guest instructions retired since the service's first start. */
  readonly instructions: number;
  /** False: `host` says nothing (chunks of a transfer). */
  readonly hasHost: boolean;
  readonly host: Uint8Array;
  readonly removed: ArrayLike<number>;
  readonly spaces: readonly SpaceDelta[];
  readonly parts: readonly Change[];
  readonly blobs: readonly Blob[];
  /** Contents of every space's `pages`, one after another; views into the encoded bytes. */
  readonly content: Uint8Array;
}

const MAGIC = 0x31444754; // "TGD1"
const HEADER = 64;
const SPACE = 40;
const REMOVED = 0xffff_ffff;
const KEY_MAX = 512;
const CREATED = 1;
const BLOB_ID = 64;

/** What `encodeDelta` is given: page contents are copied straight out of the memories. */
export interface DeltaSource {
  readonly epoch: number;
  readonly instructions: number;
  readonly host: Uint8Array | null;
  readonly removed: readonly number[];
  readonly spaces: readonly (SpaceDelta & { readonly memory: Uint8Array })[];
  readonly parts: readonly Change[];
  readonly blobs: readonly Blob[];
}

const utf8 = new TextEncoder();
const text = new TextDecoder();

export function encodeDelta(source: DeltaSource): Uint8Array {
  let size = HEADER + source.removed.length * 4 + (source.host?.length ?? 0);
  let pages = 0;
  for (const space of source.spaces) {
    size += SPACE + space.runs.length * 12 + space.patches.length;
    size += (space.zeros.length + space.pages.length + space.patched.length) * 4 + space.entries.length * 8;
    pages += space.pages.length;
  }
  for (const part of source.parts) size += 6 + part.key.length * 3 + (part.bytes?.length ?? 0);
  for (const blob of source.blobs) size += 4 + BLOB_ID + blob.bytes.length;
  size += pages * PAGE_SIZE;

  const out = new Uint8Array(size);
  const view = new DataView(out.buffer);
  let at = HEADER;
  for (const id of source.removed) {
    view.setUint32(at, id, true);
    at += 4;
  }
  if (source.host) {
    out.set(source.host, at);
    at += source.host.length;
  }
  for (const space of source.spaces) at = writeSpace(out, view, at, space);
  for (const part of source.parts) {
    const { written } = utf8.encodeInto(part.key, out.subarray(at + 6));
    if (written > KEY_MAX) throw new CheckpointError('TG_DELTA_KEY', `a part's key is longer than ${KEY_MAX} bytes`);
    view.setUint16(at, written, true);
    view.setUint32(at + 2, part.bytes === null ? REMOVED : part.bytes.length, true);
    at += 6 + written;
    if (part.bytes) {
      out.set(part.bytes, at);
      at += part.bytes.length;
    }
  }
  for (const blob of source.blobs) {
    view.setUint32(at, blob.bytes.length, true);
    utf8.encodeInto(blob.id, out.subarray(at + 4, at + 4 + BLOB_ID));
    out.set(blob.bytes, at + 4 + BLOB_ID);
    at += 4 + BLOB_ID + blob.bytes.length;
  }
  for (const space of source.spaces) at = writePages(out, at, space.memory, space.pages);

  view.setUint32(0, MAGIC, true);
  view.setFloat64(4, at, true);
  view.setFloat64(12, source.epoch, true);
  view.setFloat64(20, source.instructions, true);
  view.setUint32(28, source.removed.length, true);
  view.setUint32(32, source.spaces.length, true);
  view.setUint32(36, source.parts.length, true);
  view.setUint32(40, source.blobs.length, true);
  view.setUint32(44, source.host === null ? REMOVED : source.host.length, true);
  view.setUint32(48, pages, true);
  return at === size ? out : out.subarray(0, at);
}

function writeSpace(out: Uint8Array, view: DataView, at: number, space: SpaceDelta): number {
  view.setUint32(at, space.id, true);
  view.setUint32(at + 4, space.created ? CREATED : 0, true);
  view.setUint32(at + 8, space.range?.first ?? 0, true);
  view.setUint32(at + 12, space.range?.end ?? 0, true);
  view.setUint32(at + 16, space.runs.length, true);
  view.setUint32(at + 20, space.pages.length, true);
  view.setUint32(at + 24, space.zeros.length, true);
  view.setUint32(at + 28, space.entries.length, true);
  view.setUint32(at + 32, space.patched.length, true);
  view.setUint32(at + 36, space.patches.length, true);
  at += SPACE;
  for (const run of space.runs) {
    view.setUint32(at, run.page, true);
    view.setUint32(at + 4, run.count, true);
    view.setUint32(at + 8, run.prot, true);
    at += 12;
  }
  for (const list of [space.pages, space.zeros, space.patched]) {
    for (let i = 0; i < list.length; i++) {
      view.setUint32(at, list[i]!, true);
      at += 4;
    }
  }
  for (let i = 0; i < space.entries.length; i++) {
    view.setUint32(at, space.entries[i]! % ENTRY_KIND, true);
    view.setUint32(at + 4, space.entries[i]! / ENTRY_KIND, true);
    at += 8;
  }
  out.set(space.patches, at);
  return at + space.patches.length;
}

/** Copies pages, runs of neighbours at once. */
function writePages(out: Uint8Array, at: number, memory: Uint8Array, pages: ArrayLike<number>): number {
  let i = 0;
  while (i < pages.length) {
    const first = pages[i]!;
    let count = 1;
    while (i + count < pages.length && pages[i + count] === first + count) count++;
    out.set(memory.subarray(first * PAGE_SIZE, (first + count) * PAGE_SIZE), at);
    at += count * PAGE_SIZE;
    i += count;
  }
  return at;
}

/** Reads a delta; arrays are views into `bytes`. Throws CheckpointError, having allocated no more than `bytes` is long. */
export function decodeDelta(bytes: Uint8Array): Delta {
  return new Decoder(bytes).delta();
}

class Decoder {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = HEADER;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  delta(): Delta {
    const view = this.#view;
    if (view.byteLength < HEADER) this.#bad('TRUNCATED', 'shorter than its header');
    if (view.getUint32(0, true) !== MAGIC) this.#bad('MAGIC', 'not a delta, or of another version');
    if (view.getFloat64(4, true) !== view.byteLength) this.#bad('TRUNCATED', 'its length is not what its header says');
    const epoch = this.#integer(12);
    const instructions = this.#integer(20);
    const hostLength = view.getUint32(44, true);
    const removed = this.#u32s(view.getUint32(28, true));
    this.#ascending(removed, REMOVED, false);
    const host = this.#take(hostLength === REMOVED ? 0 : hostLength);
    const spaces = this.#list(view.getUint32(32, true), SPACE, () => this.#space());
    if (new Set(spaces.map((space) => space.id)).size !== spaces.length)
      this.#bad('SPACE', 'a space stands in it twice');
    const parts = this.#list(view.getUint32(36, true), 7, () => this.#part());
    const blobs = this.#list(view.getUint32(40, true), 4 + BLOB_ID, () => this.#blob());
    const pages = spaces.reduce((sum, space) => sum + space.pages.length, 0);
    if (pages !== view.getUint32(48, true)) this.#bad('COUNT', 'its number of pages is not what its header says');
    const content = this.#take(pages * PAGE_SIZE);
    if (this.#at !== view.byteLength) this.#bad('LENGTH', 'it is longer than its contents');
    return { epoch, instructions, hasHost: hostLength !== REMOVED, host, removed, spaces, parts, blobs, content };
  }

  #space(): SpaceDelta {
    const at = this.#at;
    const word = (offset: number): number => this.#view.getUint32(at + offset, true);
    this.#take(SPACE);
    const flags = word(4);
    if ((flags & ~CREATED) !== 0) this.#bad('FLAGS', 'it has unknown flags');
    const first = word(8);
    const end = word(12);
    if (first > end || end > USER_PAGES) this.#bad('RANGE', 'a mapping range is outside the address space');
    const runs: PageRun[] = [];
    let page = first;
    const count = word(16);
    this.#room(count, 12);
    for (let i = 0; i < count; i++) {
      const base = this.#at;
      const run = {
        page: this.#view.getUint32(base, true),
        count: this.#view.getUint32(base + 4, true),
        prot: this.#view.getUint32(base + 8, true),
      };
      this.#at += 12;
      if (run.page < page || run.count < 1 || run.page + run.count > end) this.#bad('RANGE', 'mappings overlap');
      if ((run.prot & PROT_MAPPED) === 0 || run.prot > 15) this.#bad('PROT', 'a mapping has an unknown protection');
      page = run.page + run.count;
      runs.push(run);
    }
    const pages = this.#u32s(word(20));
    const zeros = this.#u32s(word(24));
    const patched = this.#u32s(word(32));
    const entries = this.#entries(word(28));
    const patches = this.#patches(patched.length, word(36));
    this.#ascending(patched, USER_PAGES, true);
    this.#ascending(pages, USER_PAGES, true);
    this.#ascending(zeros, USER_PAGES, true);
    const range = first === end ? null : { first, end };
    return { id: word(0), created: flags === CREATED, range, runs, pages, zeros, entries, patched, patches };
  }

  #entries(count: number): Float64Array {
    this.#room(count, 8);
    const entries = new Float64Array(count);
    for (let i = 0; i < count; i++) {
      const address = this.#view.getUint32(this.#at, true);
      if (address >= USER_END) this.#bad('ENTRY', 'an entry is no address');
      entries[i] = address + this.#view.getUint32(this.#at + 4, true) * ENTRY_KIND;
      this.#at += 8;
    }
    return entries;
  }

  #patches(count: number, length: number): Uint8Array {
    const start = this.#at;
    const bytes = this.#take(length);
    let at = start;
    for (let i = 0; i < count; i++) {
      const words = patchLength(this.#view, at, start + length);
      if (words < 0) this.#bad('PATCH', 'a patch is malformed');
      at += words * 4;
    }
    if (at !== start + length) this.#bad('PATCH', 'patches are longer than they should be');
    return bytes;
  }

  #part(): Change {
    const at = this.#at;
    this.#take(6);
    const keyLength = this.#view.getUint16(at, true);
    const length = this.#view.getUint32(at + 2, true);
    if (keyLength < 1 || keyLength > KEY_MAX) this.#bad('KEY', 'a part has a key of a wrong length');
    const key = text.decode(this.#take(keyLength));
    return { key, bytes: length === REMOVED ? null : this.#take(length) };
  }

  #blob(): Blob {
    const at = this.#at;
    this.#take(4);
    const id = text.decode(this.#take(BLOB_ID));
    if (!/^[0-9a-f]{64}$/.test(id)) this.#bad('BLOB', 'a blob has no content hash for a name');
    return { id, bytes: this.#take(this.#view.getUint32(at, true)) };
  }

  #list<T>(count: number, least: number, read: () => T): T[] {
    this.#room(count, least);
    const list: T[] = [];
    for (let i = 0; i < count; i++) list.push(read());
    return list;
  }

  #u32s(count: number): Uint32Array {
    this.#room(count, 4);
    const list = new Uint32Array(count);
    for (let i = 0; i < count; i++) list[i] = this.#view.getUint32(this.#at + i * 4, true);
    this.#at += count * 4;
    return list;
  }

  #ascending(list: Uint32Array, end: number, strictly: boolean): void {
    for (let i = 0; i < list.length; i++) {
      if (list[i]! >= end || (strictly && i > 0 && list[i]! <= list[i - 1]!))
        this.#bad('PAGE', 'page numbers are wrong');
    }
  }

  #integer(at: number): number {
    const value = this.#view.getFloat64(at, true);
    if (!Number.isSafeInteger(value) || value < 0) this.#bad('NUMBER', 'a number is out of range');
    return value;
  }

  #room(count: number, size: number): void {
    if (count * size > this.#bytes.length - this.#at) this.#bad('TRUNCATED', 'its counts say more than it holds');
  }

  #take(length: number): Uint8Array {
    this.#room(length, 1);
    const start = this.#at;
    this.#at += length;
    return this.#bytes.subarray(start, this.#at);
  }

  #bad(code: string, what: string): never {
    throw new CheckpointError(`TG_DELTA_${code}`, `the delta is damaged: ${what}`);
  }
}
