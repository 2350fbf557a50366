/**
 * Frames: how messages lie in a byte stream. A 16-byte header, then the body.
 *
 *   0  u16  magic 0x4754 "TG"     4  u32  body length      12  u32  CRC-32 of bytes 0 … 11
 *   2  u8   version               8  u32  CRC-32 of the body
 *   3  u8   type (FRAME_…)
 *
 * The header has a checksum of its own, so a damaged length is found at once; nothing is allocated for bytes that have
 * not come. Pure: no I/O here.
 */

/** CRC-32 (IEEE 802.3), chainable: `zlib.crc32`. */
export type Crc32 = (bytes: Uint8Array, previous?: number) => number;

export const FRAME_VERSION = 1;
export const FRAME_HEADER = 16;
const MAGIC = 0x4754;

/** First frame of a connection, both ways: who is there. Body: JSON; to and from the gateway: gateway/protocol.ts. */
export const FRAME_HELLO = 1;
/** A message of replication/. */
export const FRAME_MESSAGE = 2;
/** IP packets between a replica and the gateway, each with a u32 length before it (`joinPackets`). */
export const FRAME_PACKETS = 3;
/** JSON between the supervisor and the others. */
export const FRAME_CONTROL = 4;
/** First type free for a user's own purposes. */
export const FRAME_USER = 16;

/** 1 GiB: an epoch of a guest that rewrote so much memory (a fork makes a whole new space). */
export const FRAME_MAX = 2 ** 30;

export class FrameError extends Error {
  /** `TG_FRAME_…` */
  readonly code: string;
  override readonly name = 'FrameError';

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

/** The frame in pieces, to be written one after another; the body's pieces are not copied. */
export function encodeFrame(type: number, body: readonly Uint8Array[], crc32: Crc32): Uint8Array[] {
  let length = 0;
  let crc = 0;
  for (const piece of body) {
    length += piece.length;
    crc = crc32(piece, crc);
  }
  if (length > FRAME_MAX) throw new FrameError('TG_FRAME_LENGTH', `a message of ${length} bytes is too long to send`);
  const header = new Uint8Array(FRAME_HEADER);
  writeHeader(header, { type, length, crc }, crc32);
  return [header, ...body];
}

export interface FrameHeader {
  readonly type: number;
  /** Of the body. */
  readonly length: number;
  readonly crc: number;
}

/** Writes the header at the start of `bytes`. */
export function writeHeader(bytes: Uint8Array, { type, length, crc }: FrameHeader, crc32: Crc32): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, FRAME_HEADER);
  view.setUint16(0, MAGIC, true);
  bytes[2] = FRAME_VERSION;
  bytes[3] = type;
  view.setUint32(4, length, true);
  view.setUint32(8, crc, true);
  view.setUint32(12, crc32(bytes.subarray(0, 12)), true);
}

/** The header at the start of `bytes`. Throws FrameError. */
export function readHeader(bytes: Uint8Array, max: number, crc32: Crc32): FrameHeader {
  const view = new DataView(bytes.buffer, bytes.byteOffset, FRAME_HEADER);
  if (view.getUint16(0, true) !== MAGIC) throw new FrameError('TG_FRAME_MAGIC', 'this is no stream of frames');
  if (view.getUint32(12, true) !== crc32(bytes.subarray(0, 12))) {
    throw new FrameError('TG_FRAME_CHECKSUM', "a frame's header is damaged");
  }
  if (bytes[2] !== FRAME_VERSION) throw new FrameError('TG_FRAME_VERSION', `frame version ${bytes[2]} is unknown`);
  const length = view.getUint32(4, true);
  if (length > max) throw new FrameError('TG_FRAME_LENGTH', `a frame of ${length} bytes is too long`);
  return { type: bytes[3]!, length, crc: view.getUint32(8, true) };
}

export interface Frame {
  readonly type: number;
  /** Perhaps a view into the chunk it came in. */
  readonly body: Uint8Array;
}

/** Cuts a stream of chunks into frames. After an error the stream is of no more use: close the connection. */
export class FrameReader {
  readonly #crc32: Crc32;
  readonly #max: number;
  /** Chunks received and not yet used, and how many bytes they are. */
  #chunks: Uint8Array[] = [];
  #length = 0;
  /** The header that has been read and whose body is awaited. */
  #header: FrameHeader | null = null;

  constructor(crc32: Crc32, max = FRAME_MAX) {
    this.#crc32 = crc32;
    this.#max = max;
  }

  /** Bytes of an unfinished frame. */
  get pending(): number {
    return this.#length;
  }

  /** Takes a chunk (kept: do not reuse its memory) and returns the frames that are now whole. Throws FrameError. */
  push(chunk: Uint8Array): Frame[] {
    if (chunk.length > 0) {
      this.#chunks.push(chunk);
      this.#length += chunk.length;
    }
    const frames: Frame[] = [];
    for (;;) {
      if (this.#header === null) {
        if (this.#length < FRAME_HEADER) return frames;
        this.#header = readHeader(this.#take(FRAME_HEADER), this.#max, this.#crc32);
      }
      const { type, length, crc } = this.#header;
      if (this.#length < length) return frames;
      const body = this.#take(length);
      if (this.#crc32(body) !== crc) throw new FrameError('TG_FRAME_CHECKSUM', 'a frame is damaged');
      this.#header = null;
      frames.push({ type, body });
    }
  }

  /** The next `length` bytes: a view where one chunk has them all. */
  #take(length: number): Uint8Array {
    this.#length -= length;
    const first = this.#chunks[0];
    if (length === 0 || first === undefined) return new Uint8Array(0);
    if (first.length > length) {
      this.#chunks[0] = first.subarray(length);
      return first.subarray(0, length);
    }
    if (first.length === length) {
      this.#chunks.shift();
      return first;
    }
    const out = new Uint8Array(length);
    let at = 0;
    let used = 0;
    while (at < length) {
      const chunk = this.#chunks[used]!;
      const room = length - at;
      if (chunk.length > room) {
        out.set(chunk.subarray(0, room), at);
        this.#chunks[used] = chunk.subarray(room);
        break;
      }
      out.set(chunk, at);
      at += chunk.length;
      used++;
    }
    this.#chunks.splice(0, used);
    return out;
  }
}

/** The body of a FRAME_PACKETS frame: every packet with its length before it. */
export function joinPackets(packets: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(packets.reduce((sum, packet) => sum + 4 + packet.length, 0));
  const view = new DataView(out.buffer);
  let at = 0;
  for (const packet of packets) {
    view.setUint32(at, packet.length, true);
    out.set(packet, at + 4);
    at += 4 + packet.length;
  }
  return out;
}

/** The packets again, as views. Throws FrameError. */
export function splitPackets(body: Uint8Array): Uint8Array[] {
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  const packets: Uint8Array[] = [];
  for (let at = 0; at < body.length; ) {
    const length = at + 4 <= body.length ? view.getUint32(at, true) : Number.POSITIVE_INFINITY;
    if (length > body.length - at - 4) throw new FrameError('TG_FRAME_PACKETS', 'a frame of packets is malformed');
    packets.push(body.subarray(at + 4, at + 4 + length));
    at += 4 + length;
  }
  return packets;
}
