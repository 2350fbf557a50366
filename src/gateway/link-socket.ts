/**
 * One connection between a primary and the gateway: frames (transport/frame.ts), most of them full of packets. As
 * transport/connection.ts, but made for many small packets and much data: packets are written where the frame is put
 * together, read where they were received, and all memory is used again. The CRC of a frame of packets is not used (0): each
 * packet has checksums of its own, which the stack at the other end looks at.
 */

import { connect, type Socket } from 'node:net';
import { crc32 } from 'node:zlib';
import { encodeFrame, FRAME_HEADER, FRAME_PACKETS, FrameError, readHeader, writeHeader } from '../transport/frame.ts';
import { onreadOf, type ReadMemory, readInto } from './read-into.ts';

/** The longest frame, header included, in either direction; a packet is less than 64 KiB. */
const FRAME_BYTES = 256 * 1024;
/** What is read before the other side has said who it is. */
const HELLO_BYTES = 4096;
/** Less room than this for a read, and what is there moves to the front. */
const READ_MIN = 64 * 1024;
/** A frame that has to wait is copied where it fills less of its memory than this. */
const COPY_MAX = FRAME_BYTES / 4;
/** Frames whose memory waits to be used again: as many as can be on their way to the kernel. */
const FREE_MAX = 16;
const LENGTH = 4;

export interface LinkHandlers {
  /** The body is worth something during this call only. An error with a `TG_…` code closes the connection. */
  frame(type: number, body: Uint8Array): void;
  /** Everything has left after `queued` was more than the kernel took. */
  drain?(): void;
  /** Called once. */
  close(): void;
}

export class LinkSocket implements ReadMemory {
  readonly socket: Socket;
  readonly #handlers: LinkHandlers;
  #closed = false;
  #trusted = false;

  /** Received and not yet used: [start, end). */
  #in: Uint8Array = Buffer.allocUnsafeSlow(HELLO_BYTES);
  #start = 0;
  #end = 0;

  /** The frame that is put together; its header is written last. */
  #out: Uint8Array | null = null;
  #at = FRAME_HEADER;
  #reserved: Uint8Array | null = null;
  readonly #free: Uint8Array[] = [];

  static connect(path: string, handlers: LinkHandlers): LinkSocket {
    return new LinkSocket((memory) => connect({ path, onread: onreadOf(memory) }), handlers);
  }

  /** A socket that a server has accepted with `pauseOnConnect`. */
  static accept(socket: Socket, handlers: LinkHandlers): LinkSocket {
    const link = new LinkSocket((memory) => readInto(socket, memory), handlers);
    link.socket.resume();
    return link;
  }

  private constructor(open: (memory: ReadMemory) => Socket, handlers: LinkHandlers) {
    this.#handlers = handlers;
    const socket = open(this);
    this.socket = socket;
    socket.on('drain', () => handlers.drain?.());
    // 'close' follows.
    socket.on('error', () => {});
    socket.on('end', () => socket.destroy());
    socket.on('close', () => {
      this.#closed = true;
      handlers.close();
    });
  }

  get closed(): boolean {
    return this.#closed || this.socket.destroyed;
  }

  /** The other side is known: longer frames than a hello are read. */
  trust(): void {
    this.#trusted = true;
  }

  // ---- sending

  /** Bytes that the kernel has not taken. */
  get queued(): number {
    return this.socket.writableLength + this.#at - FRAME_HEADER;
  }

  /** A frame that is no packets. */
  send(type: number, body: Uint8Array): void {
    this.flush();
    this.#write(Buffer.concat(encodeFrame(type, [body], crc32)));
  }

  /** Memory for a packet that is given to `packet` next, if it is. */
  reserve(length: number): Uint8Array {
    if (this.#at + LENGTH + length > FRAME_BYTES) this.flush();
    this.#out ??= this.#free.pop() ?? Buffer.allocUnsafeSlow(FRAME_BYTES);
    return (this.#reserved = this.#out.subarray(this.#at + LENGTH, this.#at + LENGTH + length));
  }

  /** Sends a packet, at the next `flush`. It is copied, unless it was written into what `reserve` gave last. */
  packet(packet: Uint8Array): void {
    const { length } = packet;
    if (packet !== this.#reserved) this.reserve(length).set(packet);
    this.#reserved = null;
    const out = this.#out!;
    const at = this.#at;
    out[at] = length;
    out[at + 1] = length >>> 8;
    out[at + 2] = length >>> 16;
    out[at + 3] = length >>> 24;
    this.#at = at + LENGTH + length;
  }

  /** What was sent leaves now. */
  flush(): void {
    const out = this.#out;
    if (out === null || this.#at === FRAME_HEADER) return;
    const frame = out.subarray(0, this.#at);
    this.#at = FRAME_HEADER;
    this.#reserved = null;
    const body = frame.subarray(FRAME_HEADER);
    writeHeader(frame, { type: FRAME_PACKETS, length: body.length, crc: 0 }, crc32);
    if (this.socket.writableLength > 0 && frame.length < COPY_MAX) {
      this.#write(Buffer.from(frame));
      return;
    }
    // The kernel takes most at once, and the memory is free again.
    let taken = false;
    this.#out = null;
    this.#write(frame, () => {
      if (!taken && this.#free.length < FREE_MAX) this.#free.push(out);
    });
    if (this.socket.writableLength > 0) return;
    taken = true;
    this.#out = out;
  }

  #write(bytes: Uint8Array, written?: () => void): void {
    if (!this.closed) this.socket.write(bytes, written);
  }

  /** Closes at once. */
  destroy(): void {
    this.socket.destroy();
  }

  /** Closes after what was sent has left. */
  end(): void {
    this.flush();
    this.socket.end();
  }

  // ---- receiving

  buffer(): Uint8Array {
    if (this.#trusted && this.#in.length === HELLO_BYTES) this.#move(Buffer.allocUnsafeSlow(2 * FRAME_BYTES));
    else if (this.#start === this.#end) this.#start = this.#end = 0;
    else if (this.#start > 0 && this.#in.length - this.#end < READ_MIN) this.#move(this.#in);
    return this.#in.subarray(this.#end);
  }

  /** Moves what is there to the front of `target`. */
  #move(target: Uint8Array): void {
    target.set(this.#in.subarray(this.#start, this.#end));
    this.#in = target;
    this.#end -= this.#start;
    this.#start = 0;
  }

  callback(count: number): boolean {
    this.#end += count;
    try {
      while (!this.closed && this.#frame());
    } catch (error) {
      // Bad input ends the connection; anything else is a bug of ours and must not be hidden.
      if (!isInputError(error)) throw error;
      this.destroy();
    }
    return true;
  }

  /** Passes one frame on, if one is whole. */
  #frame(): boolean {
    const there = this.#end - this.#start;
    if (there < FRAME_HEADER) return false;
    const max = (this.#trusted ? FRAME_BYTES : HELLO_BYTES) - FRAME_HEADER;
    const { type, length, crc } = readHeader(this.#in.subarray(this.#start, this.#end), max, crc32);
    if (there < FRAME_HEADER + length) return false;
    const from = this.#start + FRAME_HEADER;
    const body = this.#in.subarray(from, from + length);
    if (type !== FRAME_PACKETS && crc32(body) !== crc) throw new FrameError('TG_FRAME_CHECKSUM', 'a frame is damaged');
    this.#start = from + length;
    this.#handlers.frame(type, body);
    return true;
  }
}

function isInputError(error: unknown): boolean {
  const code = error instanceof Error ? (error as { code?: unknown }).code : undefined;
  return typeof code === 'string' && code.startsWith('TG_') && code !== 'TG_INVARIANT';
}
