/**
 * A queue of bytes as chunks: what a connection has to send or has received. Small writes share a chunk, so that a million
 * of them do not make a million objects; large ones need not be copied (`give`, `takePiece`). How the bytes lie in chunks
 * is nowhere visible, also not in what is saved.
 */

interface Chunk {
  bytes: Uint8Array;
  start: number;
  end: number;
}

const SMALL = 2048;
const LARGE = 65536;
/** Fewer bytes than these are copied: a chunk is an object, and small ones share one. More than SMALL. */
const GIVE_MIN = 4096;
/** Bytes in memory that is more than so many times their size are copied: a queue must not keep all of it. */
const GIVE_SHARE = 4;
const EMPTY = new Uint8Array(0);

export class ByteQueue {
  #chunks: Chunk[] = [];
  #length = 0;

  get length(): number {
    return this.#length;
  }

  /** Copies bytes [from, to) to the end. */
  push(bytes: Uint8Array, from = 0, to = bytes.length): void {
    this.#length += to - from;
    const tail = this.#chunks[this.#chunks.length - 1];
    if (tail !== undefined && tail.end < tail.bytes.length) {
      const fit = Math.min(to - from, tail.bytes.length - tail.end);
      tail.bytes.set(bytes.subarray(from, from + fit), tail.end);
      tail.end += fit;
      from += fit;
    }
    while (from < to) {
      const need = Math.min(LARGE, to - from);
      // A long queue is filled by a fast writer: larger chunks keep the walk of `copy` short.
      const capacity = Math.max(need, this.#length > 8 * SMALL ? LARGE : SMALL);
      const chunk = { bytes: new Uint8Array(capacity), start: 0, end: need };
      chunk.bytes.set(bytes.subarray(from, from + need));
      this.#chunks.push(chunk);
      from += need;
    }
  }

  /** Puts bytes [from, to) at the end, which will not change any more: without a copy where that is worth while. */
  give(bytes: Uint8Array, from = 0, to = bytes.length): void {
    const count = to - from;
    if (count < GIVE_MIN || count * GIVE_SHARE < bytes.buffer.byteLength) {
      this.push(bytes, from, to);
      return;
    }
    this.#length += count;
    this.#chunks.push({ bytes: bytes.subarray(from, to), start: 0, end: count });
  }

  /** Copies `length` bytes at `offset` from the front to target[at…]. They must be there. */
  copy(offset: number, length: number, target: Uint8Array, at: number): void {
    let skip = offset;
    let done = 0;
    for (const chunk of this.#chunks) {
      const size = chunk.end - chunk.start;
      if (skip >= size) {
        skip -= size;
        continue;
      }
      if (done === length) return;
      const start = chunk.start + skip;
      const count = Math.min(length - done, chunk.end - start);
      target.set(chunk.bytes.subarray(start, start + count), at + done);
      done += count;
      skip = 0;
    }
  }

  /** Drops `count` bytes (at most all) from the front. */
  drop(count: number): void {
    let left = Math.min(count, this.#length);
    this.#length -= left;
    let gone = 0;
    for (const chunk of this.#chunks) {
      const size = chunk.end - chunk.start;
      if (size > left) {
        chunk.start += left;
        break;
      }
      left -= size;
      gone++;
    }
    if (gone === 0) return;
    const last = this.#chunks[this.#chunks.length - 1]!;
    if (gone === this.#chunks.length && last.bytes.length === SMALL) {
      // The chunk of a connection that sends a little now and then is used again.
      last.start = last.end = 0;
      gone--;
    }
    this.#chunks.splice(0, gone);
  }

  /** A copy of up to `length` bytes from the front, dropped unless `peek`. */
  take(length: number, peek = false): Uint8Array {
    const count = Math.min(length, this.#length);
    if (count <= 0) return EMPTY;
    const bytes = new Uint8Array(count);
    this.copy(0, count, bytes, 0);
    if (!peek) this.drop(count);
    return bytes;
  }

  /** Up to `length` bytes from the front, dropped: perhaps fewer than there are; not copied where they are many. */
  takePiece(length: number): Uint8Array {
    const first = this.#chunks[0];
    if (first === undefined || first.end - first.start < GIVE_MIN) return this.take(length);
    const end = Math.min(first.end, first.start + length);
    const piece = first.bytes.subarray(first.start, end);
    this.#length -= piece.length;
    // What is handed out is never written again: the chunk leaves the queue, or its front does.
    if (end === first.end) this.#chunks.shift();
    else first.start = end;
    return piece;
  }

  clear(): void {
    this.#chunks = [];
    this.#length = 0;
  }

  /** The bytes as a list of at most one piece (a view, to be encoded at once): equal queues are saved equal. */
  save(): Uint8Array[] {
    if (this.#length === 0) return [];
    const only = this.#chunks.find(({ start, end }) => end - start === this.#length);
    return [only === undefined ? this.take(this.#length, true) : only.bytes.subarray(only.start, only.end)];
  }

  static restore(pieces: readonly Uint8Array[]): ByteQueue {
    const queue = new ByteQueue();
    for (const piece of pieces) queue.push(piece);
    return queue;
  }
}
