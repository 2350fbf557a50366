/**
 * The content of image files inside guest state. When a file is first opened its whole content is read from the image
 * and kept in parts `blob/<sha256>/<i>` of 256 KiB, so that a restored backup has it without reading its own disk.
 * Blobs never change: a written file's chunks lie over them (inode.ts).
 */

import type { Part, Plain } from '../../checkpoint/ledger.ts';
import type { BlobId } from '../../lvm/api.ts';
import { assert } from '../../lvm/assert.ts';
import type { FsHost } from './node.ts';

export const BLOB_CHUNK = 256 * 1024;

class BlobChunk implements Part {
  readonly key: string;
  readonly bytes: Uint8Array;

  constructor(blob: BlobId, index: number, bytes: Uint8Array) {
    this.key = `blob/${blob}/${index}`;
    this.bytes = bytes;
  }

  save(): Plain {
    return this.bytes;
  }
}

export class BlobStore {
  readonly #host: FsHost;
  readonly #blobs = new Map<BlobId, BlobChunk[]>();

  constructor(host: FsHost) {
    this.#host = host;
  }

  /** Brings a blob of `size` bytes into guest state, once. */
  load(blob: BlobId, size: number): void {
    if (this.#blobs.has(blob)) return;
    const chunks: BlobChunk[] = [];
    for (let offset = 0; offset < size; offset += BLOB_CHUNK) {
      const length = Math.min(BLOB_CHUNK, size - offset);
      const bytes = this.#host.lvm.read(blob, offset, length);
      assert(bytes.length === length, `the image's blob ${blob} is shorter than its size`);
      // A copy where the host's buffer has more than the blob: a view would keep (and may share) all of that.
      const own =
        bytes.buffer.byteLength === size ? new Uint8Array(bytes.buffer, bytes.byteOffset, length) : bytes.slice();
      const chunk = new BlobChunk(blob, chunks.length, own);
      chunks.push(chunk);
      this.#host.ledger.add(chunk);
    }
    this.#blobs.set(blob, chunks);
  }

  /** Copies blob bytes [offset, offset + into.length) into `into`; the range lies inside the blob. */
  copy(blob: BlobId, offset: number, into: Uint8Array): void {
    const chunks = this.#blobs.get(blob);
    assert(chunks !== undefined, `blob ${blob} is not loaded`);
    let at = 0;
    while (at < into.length) {
      const index = Math.floor((offset + at) / BLOB_CHUNK);
      const start = offset + at - index * BLOB_CHUNK;
      const piece = chunks[index]!.bytes.subarray(start, start + into.length - at);
      assert(piece.length > 0, `read past the end of blob ${blob}`);
      into.set(piece, at);
      at += piece.length;
    }
  }

  /** Puts a part of a checkpoint back. Empty blobs have no part: `load` makes them without reading. */
  restore(key: string, state: Plain): void {
    const [, blob, index] = key.split('/') as [string, BlobId, string];
    const chunks = this.#blobs.get(blob) ?? [];
    this.#blobs.set(blob, chunks);
    // No copy: nobody changes the part's bytes, and there may be very many.
    const { buffer, byteOffset, length } = state as Uint8Array;
    const chunk = new BlobChunk(blob, Number(index), new Uint8Array(buffer, byteOffset, length));
    chunks[Number(index)] = chunk;
    this.#host.ledger.add(chunk);
  }
}
