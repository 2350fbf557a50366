/**
 * A file of packs of translated code (pack-folder.ts): an index, which is read when the file is found, and the packs,
 * read when they are wanted. Every part is checked before it is used; the file says for which translator it is.
 *
 * Layout, integers u32, little-endian:
 *   MAGIC, version (32 bytes), length of the index, SHA-256 of the index
 *   index: number of packs, number of keys; offset, length and SHA-256 of each pack; the keys' entries, ascending;
 *          their fingerprints; the packs that they are in
 *   the packs
 */

import { createHash } from 'node:crypto';
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { endianness } from 'node:os';
import type { CodeKey } from '../x86/code-store.ts';

const MAGIC = Buffer.from('TGCODE1\n');
const HASH_SIZE = 32;
const HEAD_SIZE = MAGIC.length + HASH_SIZE + 4 + HASH_SIZE;
const PACK_ROW = 8 + HASH_SIZE;
/** A file that claims more is damaged. */
const INDEX_MAX = 16 << 20;
/** Read at once when a file is opened: most indexes are shorter. */
const FIRST_READ = 64 << 10;

export interface Pack {
  readonly keys: readonly CodeKey[];
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** Packs with their hashes, as they are to be written: the hash is the expensive part, so it is made pack by pack. */
export interface HashedPack extends Pack {
  readonly hash: Buffer;
}

export function hashPack(pack: Pack): HashedPack {
  return { ...pack, hash: sha256(pack.bytes) };
}

/** What stands before the packs. */
export function encodeHead(version: Buffer, packs: readonly HashedPack[]): Buffer {
  const keys = packs.flatMap((pack, i) => pack.keys.map((key) => ({ ...key, pack: i })));
  keys.sort((a, b) => a.entry - b.entry);
  const index = Buffer.alloc(8 + packs.length * PACK_ROW + keys.length * 12);
  let at = index.writeUInt32LE(packs.length, 0);
  at = index.writeUInt32LE(keys.length, at);
  let offset = HEAD_SIZE + index.length;
  for (const { bytes, hash } of packs) {
    at = index.writeUInt32LE(offset, at);
    at = index.writeUInt32LE(bytes.length, at);
    at += hash.copy(index, at);
    offset += bytes.length;
  }
  for (const { entry } of keys) at = index.writeUInt32LE(entry, at);
  for (const { fingerprint } of keys) at = index.writeUInt32LE(fingerprint, at);
  for (const { pack } of keys) at = index.writeUInt32LE(pack, at);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(index.length);
  return Buffer.concat([MAGIC, version, length, sha256(index), index]);
}

/** An open file of packs. */
export class PackFile {
  readonly path: string;
  readonly size: number;
  readonly mtimeMs: number;
  readonly #index: Buffer;
  readonly #entries: Uint32Array;
  readonly #rejected = new Set<number>();

  /** Null when it is not a file of ours, is damaged, or is for another translator. Throws when it cannot be read. */
  static open(path: string, version: Buffer): PackFile | null {
    const fd = openOwn(path);
    if (fd === null) return null;
    try {
      const { size, mtimeMs } = fstatSync(fd);
      const first = readAt(fd, 0, Math.min(size, FIRST_READ));
      if (first.length < HEAD_SIZE || !first.subarray(0, MAGIC.length).equals(MAGIC)) return null;
      let at = MAGIC.length;
      if (!first.subarray(at, (at += HASH_SIZE)).equals(version)) return null;
      const length = first.readUInt32LE(at);
      at += 4;
      if (length > INDEX_MAX || HEAD_SIZE + length > size) return null;
      const hash = first.subarray(at, at + HASH_SIZE);
      const index =
        HEAD_SIZE + length <= first.length
          ? first.subarray(HEAD_SIZE, HEAD_SIZE + length)
          : readAt(fd, HEAD_SIZE, length);
      if (!sha256(index).equals(hash) || !isWhole(index, size)) return null;
      return new PackFile(path, size, mtimeMs, index);
    } finally {
      closeSync(fd);
    }
  }

  private constructor(path: string, size: number, mtimeMs: number, index: Buffer) {
    this.path = path;
    this.size = size;
    this.mtimeMs = mtimeMs;
    this.#index = index;
    this.#entries = words(index, this.#keysAt, this.#keyCount);
  }

  get #packCount(): number {
    return this.#index.readUInt32LE(0);
  }

  get #keyCount(): number {
    return this.#index.readUInt32LE(4);
  }

  get #keysAt(): number {
    return 8 + this.#packCount * PACK_ROW;
  }

  /** Numbers of the packs that may have code for the key. */
  find({ entry, fingerprint }: CodeKey): number[] {
    const entries = this.#entries;
    let low = 0;
    let high = entries.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (entries[middle]! < entry) low = middle + 1;
      else high = middle;
    }
    const found: number[] = [];
    for (; low < entries.length && entries[low] === entry; low++) {
      const at = this.#keysAt + 4 * (entries.length + low);
      if (this.#index.readUInt32LE(at) !== fingerprint) continue;
      const pack = this.#index.readUInt32LE(at + 4 * entries.length);
      if (!this.#rejected.has(pack)) found.push(pack);
    }
    return found;
  }

  /** The same for packs of the same content. */
  id(pack: number): string {
    const row = 8 + pack * PACK_ROW;
    return this.#index.toString('hex', row + 8, row + PACK_ROW);
  }

  /** A pack's bytes; null when they are damaged. Throws when the file cannot be read. */
  read(pack: number): Uint8Array<ArrayBuffer> | null {
    const row = 8 + pack * PACK_ROW;
    const fd = openOwn(this.path);
    if (fd === null) return null;
    try {
      const bytes = readAt(fd, this.#index.readUInt32LE(row), this.#index.readUInt32LE(row + 4));
      return sha256(bytes).equals(this.#index.subarray(row + 8, row + PACK_ROW)) ? bytes : null;
    } finally {
      closeSync(fd);
    }
  }

  reject(pack: number): void {
    this.#rejected.add(pack);
  }

  /** All that is whole, with its keys. Throws when the file cannot be read. */
  packs(): Pack[] {
    const keys: CodeKey[][] = Array.from({ length: this.#packCount }, () => []);
    const count = this.#entries.length;
    this.#entries.forEach((entry, i) => {
      const at = this.#keysAt + 4 * (count + i);
      const fingerprint = this.#index.readUInt32LE(at);
      keys[this.#index.readUInt32LE(at + 4 * count)]!.push({ entry, fingerprint });
    });
    const found: Pack[] = [];
    for (let i = 0; i < keys.length; i++) {
      const bytes = this.#rejected.has(i) ? null : this.read(i);
      if (bytes !== null) found.push({ keys: keys[i]!, bytes });
    }
    return found;
  }
}

/** Opens a regular file that only this user can have written; null when it is another kind. */
function openOwn(path: string): number | null {
  const fd = openSync(path, constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0));
  const stat = fstatSync(fd);
  if (stat.isFile() && isPrivate(stat)) return fd;
  closeSync(fd);
  return null;
}

/** Nobody else can write what has these attributes. Where the host has no user ids, its access control decides. */
export function isPrivate({ uid, mode }: { readonly uid: number; readonly mode: number }): boolean {
  return process.geteuid === undefined || (uid === process.geteuid() && (mode & 0o022) === 0);
}

/** At most `length` bytes, in a buffer of their own. */
function readAt(fd: number, offset: number, length: number): Buffer<ArrayBuffer> {
  const bytes = Buffer.from(new ArrayBuffer(length));
  let at = 0;
  while (at < length) {
    const n = readSync(fd, bytes, at, length - at, offset + at);
    if (n === 0) break;
    at += n;
  }
  return bytes.subarray(0, at);
}

/** True when the index has as many rows as it says and they lie in the file. */
function isWhole(index: Buffer, size: number): boolean {
  if (index.length < 8) return false;
  const packs = index.readUInt32LE(0);
  const keys = index.readUInt32LE(4);
  if (index.length !== 8 + packs * PACK_ROW + keys * 12) return false;
  for (let i = 0; i < packs; i++) {
    const row = 8 + i * PACK_ROW;
    if (index.readUInt32LE(row) + index.readUInt32LE(row + 4) > size) return false;
  }
  for (let at = index.length - keys * 4; at < index.length; at += 4) if (index.readUInt32LE(at) >= packs) return false;
  return true;
}

function words(bytes: Buffer, offset: number, count: number): Uint32Array {
  const copy = new Uint32Array(count);
  if (endianness() === 'LE') new Uint8Array(copy.buffer).set(bytes.subarray(offset, offset + count * 4));
  else for (let i = 0; i < count; i++) copy[i] = bytes.readUInt32LE(offset + i * 4);
  return copy;
}

function sha256(bytes: Uint8Array): Buffer {
  return createHash('sha256').update(bytes).digest();
}
