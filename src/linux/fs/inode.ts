/**
 * A file, directory, symbolic link or special file: a part `inode/N`, its content in chunks of 64 KiB, each a part
 * `inode/N/chunk/I` of its own, so that an append ships only what changed.
 *
 * A node that came from the image keeps the image path under it (`lower`): a directory asks there for names that it does
 * not know yet, a file takes its content from there (`blob`) when it is first opened. What was once asked is state, also
 * that a name does not exist. So there is no copy-up of paths and no overlay of directories: an image directory that is
 * renamed takes its `lower` with it.
 */

import type { Part, Plain } from '../../checkpoint/ledger.ts';
import type { BlobId } from '../../lvm/api.ts';
import type { Stat } from '../open-file.ts';
import { WaitQueue } from '../wait-queue.ts';
import type { BlobStore } from './blobs.ts';
import { type FsHost, Node } from './node.ts';

export const CHUNK_SIZE = 65536;

class Chunk implements Part {
  readonly key: string;
  /** Grows by doubling; bytes at and after `used` are zero. */
  bytes: Uint8Array;
  used: number;

  constructor(ino: number, index: number, bytes: Uint8Array) {
    this.key = `inode/${ino}/chunk/${index}`;
    this.bytes = bytes;
    this.used = bytes.length;
  }

  reserve(end: number): void {
    if (end > this.bytes.length) {
      const grown = new Uint8Array(Math.min(CHUNK_SIZE, Math.max(end, this.bytes.length * 2, 256)));
      grown.set(this.bytes.subarray(0, this.used));
      this.bytes = grown;
    }
    if (end > this.used) this.used = end;
  }

  save(): Plain {
    return this.bytes.subarray(0, this.used);
  }
}

/** A POSIX, OFD or flock lock. Ranges are [start, end), end Infinity-like as MAX_SAFE_INTEGER. */
export interface FileLock {
  /** 'p<pid>' for POSIX locks, 'f<open file id>' for OFD and flock locks. */
  readonly owner: string;
  readonly exclusive: boolean;
  readonly start: number;
  readonly end: number;
}

/** A memory map in which the content shows (mm/mapped-files.ts). */
export interface ContentViewer {
  /** Bytes [start, end) have changed, and perhaps the size, which was `oldSize`. */
  contentChanged(inode: Inode, start: number, end: number, oldSize: number): void;
  /** Of shared anonymous memory: the page at the offset as this map has it (null: it has not), and as it is now. */
  pageOf(inode: Inode, offset: number): Uint8Array | null;
  showPage(inode: Inode, offset: number, bytes: Uint8Array): void;
  /** Whether what is written to it may come to the file. */
  mayWrite(inode: Inode): boolean;
}

export interface InodeInit {
  readonly mode: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly rdev?: number;
  readonly dev?: number;
  readonly size?: number;
  readonly nlink?: number;
  readonly timeUs: number;
  readonly target?: string;
  readonly lower?: string;
  readonly parent?: number;
}

export class Inode extends Node implements Part {
  readonly #host: FsHost;
  readonly #blobs: BlobStore;
  readonly ino: number;
  dev: number;
  mode: number;
  uid: number;
  gid: number;
  nlink: number;
  rdev: number;
  size: number;
  atimeUs: number;
  mtimeUs: number;
  ctimeUs: number;
  target: string;
  /** The image's path under this node, or null. */
  lower: string | null;
  /** Of an image file that was opened: names its content. */
  blob: BlobId | null = null;
  /** How much of the blob still shows where no chunk lies over it. */
  base = 0;
  /** Of a directory: inode numbers by name; null: known not to exist (never asked of the image again). */
  entries: Map<string, number | null> | null;
  /** Every name of the image's directory is in `entries`. */
  complete: boolean;
  /** `nlink` counts every subdirectory, also those of the image's that were not looked up yet. */
  counted: boolean;
  /** Of a directory: the one it is in. */
  parent: number;
  /** memfd_create(2) seals; -1: not a memfd. */
  seals = -1;
  /** Id of the pipe behind a FIFO, 0 for none. */
  pipe = 0;
  locks: FileLock[] = [];
  flocks: FileLock[] = [];
  /** Derived: open file descriptions, mappings and working directories that refer to it. */
  opens = 0;
  /** Shared anonymous memory: its content is that of its mappings' pages, not here. */
  memory = false;
  /** Derived: the memory maps that show its content. */
  readonly viewers = new Set<ContentViewer>();
  /** Derived: who waits for a lock. */
  readonly lockQueue = new WaitQueue();
  readonly chunks = new Map<number, Chunk>();

  constructor(host: FsHost, blobs: BlobStore, ino: number, init: InodeInit) {
    super();
    this.#host = host;
    this.#blobs = blobs;
    this.ino = ino;
    this.dev = init.dev ?? 0;
    this.mode = init.mode;
    this.uid = init.uid ?? 0;
    this.gid = init.gid ?? 0;
    this.rdev = init.rdev ?? 0;
    this.size = init.size ?? 0;
    this.atimeUs = init.timeUs;
    this.mtimeUs = init.timeUs;
    this.ctimeUs = init.timeUs;
    this.target = init.target ?? '';
    this.lower = init.lower ?? null;
    this.parent = init.parent ?? ino;
    const directory = this.isDirectory;
    this.nlink = directory ? (init.nlink ?? 2) : 1;
    this.entries = directory ? new Map() : null;
    this.complete = init.lower === undefined;
    this.counted = this.complete || init.nlink !== undefined;
  }

  get key(): string {
    return `inode/${this.ino}`;
  }

  touch(): void {
    this.#host.ledger.touch(this);
  }

  stat(): Stat {
    return {
      dev: this.dev,
      ino: this.ino,
      mode: this.mode,
      // 1 says that subdirectories are not counted: not all of the image's are known yet (find(1) minds).
      nlink: this.isDirectory && !this.counted ? 1 : this.nlink,
      uid: this.uid,
      gid: this.gid,
      rdev: this.rdev,
      size: this.isDirectory
        ? this.size || 4096
        : this.isSymlink
          ? new TextEncoder().encode(this.target).length
          : this.size,
      blksize: 4096,
      blocks: this.isFile ? this.#blocks() : this.isDirectory ? Math.ceil(this.size / 4096) * 8 : 0,
      atimeUs: this.atimeUs,
      mtimeUs: this.mtimeUs,
      ctimeUs: this.ctimeUs,
    };
  }

  #blocks(): number {
    if (this.blob === null && this.lower !== null && this.chunks.size === 0) return Math.ceil(this.size / 4096) * 8;
    let bytes = Math.ceil(this.base / 4096) * 4096;
    for (const [index, chunk] of this.chunks) {
      if (index * CHUNK_SIZE >= this.base) bytes += Math.ceil(chunk.used / 4096) * 4096;
    }
    return bytes / 512;
  }

  // ---- content of a regular file

  /** Brings an image file's content into guest state. Called at open(2), before the content is asked for. */
  loadContent(): void {
    if (this.lower === null || this.blob !== null || this.complete) return;
    const entry = this.#host.lvm.lookup(this.lower, true);
    this.complete = true;
    this.touch();
    // The image is read-only by contract; a file that vanished since it was looked up reads as empty.
    if (entry?.type !== 'file' || entry.blob === undefined) {
      this.size = 0;
      return;
    }
    this.#blobs.load(entry.blob, entry.size);
    this.blob = entry.blob;
    this.base = entry.size;
    this.size = entry.size;
  }

  /** Forgets the image's content without reading it: open with O_TRUNC. */
  discardContent(): void {
    this.complete = true;
    this.truncate(0);
  }

  /** Bytes from `offset`, fewer at the end of the file. A new array. */
  read(offset: number, length: number): Uint8Array {
    if (!this.complete) this.loadContent();
    const out = new Uint8Array(Math.max(0, Math.min(length, this.size - offset)));
    this.readInto(offset, out);
    return out;
  }

  /** The same into `out`; behind the end of the file zeros. */
  readInto(offset: number, out: Uint8Array): void {
    if (!this.complete) this.loadContent();
    const count = Math.max(0, Math.min(out.length, this.size - offset));
    let at = 0;
    while (at < count) {
      const index = Math.floor((offset + at) / CHUNK_SIZE);
      const start = offset + at - index * CHUNK_SIZE;
      const piece = Math.min(CHUNK_SIZE - start, count - at);
      const chunk = this.chunks.get(index);
      let have = 0;
      if (chunk !== undefined) {
        const bytes = chunk.bytes.subarray(start, Math.min(start + piece, chunk.used));
        out.set(bytes, at);
        have = bytes.length;
      } else if (offset + at < this.base) {
        have = Math.min(piece, this.base - (offset + at));
        this.#blobs.copy(this.blob!, offset + at, out.subarray(at, at + have));
      }
      out.fill(0, at + have, at + piece);
      at += piece;
    }
    out.fill(0, count);
  }

  /** Writes all of `bytes`, growing the file. */
  write(offset: number, bytes: Uint8Array): void {
    if (!this.complete) this.loadContent();
    const { size } = this;
    let at = 0;
    while (at < bytes.length) {
      const index = Math.floor((offset + at) / CHUNK_SIZE);
      const start = offset + at - index * CHUNK_SIZE;
      const piece = Math.min(CHUNK_SIZE - start, bytes.length - at);
      const chunk = this.#writable(index, start === 0 && piece === CHUNK_SIZE);
      chunk.reserve(start + piece);
      chunk.bytes.set(bytes.subarray(at, at + piece), start);
      this.#host.ledger.touch(chunk);
      at += piece;
    }
    if (offset + bytes.length > this.size) this.size = offset + bytes.length;
    this.modified();
    this.#tell(Math.min(offset, size), offset + bytes.length, size);
  }

  #tell(start: number, end: number, oldSize: number): void {
    for (const viewer of this.viewers) viewer.contentChanged(this, start, end, oldSize);
  }

  modified(): void {
    const now = this.#host.realtimeUs();
    this.mtimeUs = now;
    this.ctimeUs = now;
    this.touch();
  }

  changed(): void {
    this.ctimeUs = this.#host.realtimeUs();
    this.touch();
  }

  /** The chunk `index`, copied up from the blob where it is not whole overwritten. */
  #writable(index: number, whole: boolean): Chunk {
    let chunk = this.chunks.get(index);
    if (chunk !== undefined) return chunk;
    const offset = index * CHUNK_SIZE;
    const below = Math.max(0, Math.min(CHUNK_SIZE, this.base - offset));
    const bytes = new Uint8Array(below);
    if (below > 0 && !whole) this.#blobs.copy(this.blob!, offset, bytes);
    chunk = new Chunk(this.ino, index, bytes);
    this.chunks.set(index, chunk);
    this.#host.ledger.add(chunk);
    return chunk;
  }

  truncate(length: number): void {
    if (length > 0 && !this.complete) this.loadContent();
    const { size } = this;
    if (length < size) {
      this.base = Math.min(this.base, length);
      if (this.base === 0) this.blob = null;
      for (const [index, chunk] of [...this.chunks]) {
        const start = index * CHUNK_SIZE;
        if (start >= length) {
          this.chunks.delete(index);
          this.#host.ledger.remove(chunk);
        } else if (start + chunk.used > length) {
          chunk.bytes.fill(0, length - start, chunk.used);
          chunk.used = length - start;
          this.#host.ledger.touch(chunk);
        }
      }
    }
    this.size = length;
    this.modified();
    this.#tell(Math.min(length, size), Math.max(length, size), size);
  }

  /** Zeroes [start, end) within the file's size (FALLOC_FL_PUNCH_HOLE, FALLOC_FL_ZERO_RANGE). */
  zeroRange(start: number, end: number): void {
    const stop = Math.min(end, this.size);
    for (let at = start; at < stop; ) {
      const index = Math.floor(at / CHUNK_SIZE);
      const from = at - index * CHUNK_SIZE;
      const to = Math.min(CHUNK_SIZE, from + stop - at);
      const chunk = this.chunks.get(index);
      if (chunk !== undefined || index * CHUNK_SIZE < this.base) {
        const target = this.#writable(index, from === 0 && to === CHUNK_SIZE);
        if (from < target.used) target.bytes.fill(0, from, Math.min(to, target.used));
        this.#host.ledger.touch(target);
      }
      at += to - from;
    }
    this.modified();
    if (start < stop) this.#tell(start, stop, this.size);
  }

  /** The next offset ≥ `offset` inside data (or a hole), for SEEK_DATA and SEEK_HOLE; -1: none. Chunks are the grain. */
  seekData(offset: number, data: boolean): number {
    for (let at = offset; at < this.size; at = (Math.floor(at / CHUNK_SIZE) + 1) * CHUNK_SIZE) {
      const has = this.chunks.has(Math.floor(at / CHUNK_SIZE)) || at < this.base || !this.complete;
      if (has === data) return at;
    }
    return data ? -1 : this.size;
  }

  /** Gives the parts back: nothing refers to the inode any more. */
  dispose(): void {
    for (const chunk of this.chunks.values()) this.#host.ledger.remove(chunk);
    this.chunks.clear();
    this.#host.ledger.remove(this);
  }

  // ---- state

  save(): Plain {
    return {
      dev: this.dev,
      mode: this.mode,
      uid: this.uid,
      gid: this.gid,
      nlink: this.nlink,
      rdev: this.rdev,
      size: this.size,
      times: [this.atimeUs, this.mtimeUs, this.ctimeUs],
      target: this.target,
      lower: this.lower,
      blob: this.blob,
      base: this.base,
      entries: this.entries === null ? null : [...this.entries].flat(),
      complete: this.complete,
      counted: this.counted,
      parent: this.parent,
      seals: this.seals,
      pipe: this.pipe,
      memory: this.memory,
      locks: this.locks.map((l) => [l.owner, l.exclusive, l.start, l.end]),
      flocks: this.flocks.map((l) => [l.owner, l.exclusive, l.start, l.end]),
    };
  }

  static restore(host: FsHost, blobs: BlobStore, ino: number, saved: Plain): Inode {
    const s = saved as ReturnType<typeof shape>;
    const inode = new Inode(host, blobs, ino, { mode: s.mode, timeUs: 0 });
    Object.assign(inode, {
      dev: s.dev,
      uid: s.uid,
      gid: s.gid,
      nlink: s.nlink,
      rdev: s.rdev,
      size: s.size,
      atimeUs: s.times[0],
      mtimeUs: s.times[1],
      ctimeUs: s.times[2],
      target: s.target,
      lower: s.lower,
      blob: s.blob,
      base: s.base,
      complete: s.complete,
      counted: s.counted,
      parent: s.parent,
      seals: s.seals,
      pipe: s.pipe,
      memory: s.memory,
    });
    if (s.entries !== null) {
      const map = new Map<string, number | null>();
      for (let i = 0; i < s.entries.length; i += 2) map.set(s.entries[i] as string, s.entries[i + 1] as number | null);
      inode.entries = map;
    }
    inode.locks = s.locks.map(lockIn);
    inode.flocks = s.flocks.map(lockIn);
    return inode;
  }

  restoreChunk(index: number, bytes: Uint8Array): void {
    const chunk = new Chunk(this.ino, index, new Uint8Array(bytes));
    this.chunks.set(index, chunk);
    this.#host.ledger.add(chunk);
  }
}

type SavedLock = [string, boolean, number, number];

function lockIn([owner, exclusive, start, end]: SavedLock): FileLock {
  return { owner, exclusive, start, end };
}

/** Only for its type: what `save` gives. */
declare function shape(): {
  dev: number;
  mode: number;
  uid: number;
  gid: number;
  nlink: number;
  rdev: number;
  size: number;
  times: [number, number, number];
  target: string;
  lower: string | null;
  blob: BlobId | null;
  base: number;
  entries: (string | number | null)[] | null;
  complete: boolean;
  counted: boolean;
  parent: number;
  seals: number;
  pipe: number;
  memory: boolean;
  locks: SavedLock[];
  flocks: SavedLock[];
};
