/**
 * A queue of bytes as chunks: what a connection has to send or has received. Small writes share a chunk, so that a million
 * of them do not make a million objects; large ones need not be copied (`give`, `front`). How the bytes lie in chunks is
 * nowhere visible, also not in what is saved.
 */

interface Chunk {
  bytes: Uint8Array;
  start: number;
  end: number;
  /** Made here, and nobody else has it: may be written behind `end`, and used again. */
  own: boolean;
}

const SMALL = 2048;
const LARGE = 65536;
/** Fewer bytes than these are copied: a chunk is an object, and small ones share one. */
const GIVE_MIN = 4096;
/** Bytes in memory that is more than so many times their size are copied: a queue must not keep all of it. */
const GIVE_SHARE = 4;
const EMPTY = new Uint8Array(0);

/** Memory for large chunks, used again: what is new has to be cleared, and mapped by the kernel, before it is filled. */
export class ChunkPool {
  readonly #free: Uint8Array[] = [];
  readonly #max: number;

  /** Keeps at most so many chunks of 64 KiB. */
  constructor(max = 64) {
    this.#max = max;
  }

  take(): Uint8Array {
    return this.#free.pop() ?? new Uint8Array(LARGE);
  }

  put(bytes: Uint8Array): void {
    if (this.#free.length < this.#max) this.#free.push(bytes);
  }
}

export class ByteQueue {
  readonly #pool: ChunkPool | null;
  #chunks: Chunk[] = [];
  #length = 0;

  constructor(pool: ChunkPool | null = null) {
    this.#pool = pool;
  }

  get length(): number {
    return this.#length;
  }

  /** Copies bytes [from, to) to the end. */
  push(bytes: Uint8Array, from = 0, to = bytes.length): void {
    this.#length += to - from;
    const tail = this.#chunks[this.#chunks.length - 1];
    if (tail?.own && tail.end < tail.bytes.length) {
      const fit = Math.min(to - from, tail.bytes.length - tail.end);
      tail.bytes.set(bytes.subarray(from, from + fit), tail.end);
      tail.end += fit;
      from += fit;
    }
    while (from < to) {
      const need = Math.min(LARGE, to - from);
      // A long queue is filled by a fast writer: larger chunks keep the walk of `copy` short.
      const chunk = { bytes: this.#memory(need, this.#length > 8 * SMALL), start: 0, end: need, own: true };
      chunk.bytes.set(bytes.subarray(from, from + need));
      this.#chunks.push(chunk);
      from += need;
    }
  }

  #memory(need: number, long: boolean): Uint8Array {
    if (long) return this.#pool?.take() ?? new Uint8Array(LARGE);
    return new Uint8Array(Math.max(need, SMALL));
  }

  /** Puts bytes [from, to) at the end, which will not change any more: without a copy where that is worth while. */
  give(bytes: Uint8Array, from = 0, to = bytes.length): void {
    const count = to - from;
    if (count < GIVE_MIN || count * GIVE_SHARE < bytes.buffer.byteLength) {
      this.push(bytes, from, to);
      return;
    }
    this.#length += count;
    this.#chunks.push({ bytes: bytes.subarray(from, to), start: 0, end: count, own: false });
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

  /** Drops `count` bytes (at most all) from the front. Views of them are worth nothing then, unless they are `kept`. */
  drop(count: number, kept = false): void {
    let left = Math.min(count, this.#length);
    this.#length -= left;
    let gone = 0;
    for (const chunk of this.#chunks) {
      const size = chunk.end - chunk.start;
      if (size > left) {
        chunk.start += left;
        if (kept) chunk.own = false;
        break;
      }
      left -= size;
      gone++;
      if (kept || !chunk.own) continue;
      if (chunk.bytes.length === LARGE) this.#pool?.put(chunk.bytes);
      else if (gone === this.#chunks.length && chunk.bytes.length === SMALL) {
        // The chunk of a connection that sends a little now and then is used again.
        chunk.start = chunk.end = 0;
        gone--;
      }
    }
    if (gone > 0) this.#chunks.splice(0, gone);
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

  /** The bytes at the front that lie together, not copied: worth something until they are dropped. */
  front(): Uint8Array {
    const chunks = this.#chunks;
    // An empty chunk that waits to be used again may stand before one that was given.
    const first = chunks.length > 1 && chunks[0]!.start === chunks[0]!.end ? chunks[1] : chunks[0];
    return first === undefined || first.start === first.end ? EMPTY : first.bytes.subarray(first.start, first.end);
  }

  clear(): void {
    this.drop(this.#length);
    this.#chunks = [];
  }

  /** The bytes as a list of at most one piece (a view, to be encoded at once): equal queues are saved equal. */
  save(): Uint8Array[] {
    if (this.#length === 0) return [];
    const front = this.front();
    return [front.length === this.#length ? front : this.take(this.#length, true)];
  }

  static restore(pieces: readonly Uint8Array[], pool: ChunkPool | null = null): ByteQueue {
    const queue = new ByteQueue(pool);
    for (const piece of pieces) queue.push(piece);
    return queue;
  }
}
