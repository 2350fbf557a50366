/**
 * A connection that carries frames: over a `net.Socket` (TCP or UNIX) or a TLS one. Writes made in one turn of the event
 * loop leave in one system call; Nagle is off. `send` says when to wait for `onDrain`.
 */

import type { Socket } from 'node:net';
import { crc32 } from 'node:zlib';
import { encodeFrame, FRAME_MAX, type Frame, FrameError, FrameReader } from './frame.ts';

export interface ConnectionHandlers {
  /** One frame. A FrameError (or another error with a `code`) thrown here closes the connection as malformed. */
  frame(frame: Frame, connection: Connection): void;
  /** Bytes came, perhaps not yet a whole frame. */
  heard?(connection: Connection): void;
  /** The queue is empty again after `send` returned false. */
  drain?(connection: Connection): void;
  /**
   * Called once. `byPeer`: the other side ended or reset it, or it broke; false: we closed it, with `error` because of
   * what came.
   */
  close(connection: Connection, byPeer: boolean, error: Error | null): void;
}

export class Connection {
  readonly socket: Socket;
  readonly #handlers: ConnectionHandlers;
  readonly #reader: FrameReader;
  #closed = false;
  #byPeer = true;
  #error: Error | null = null;
  #corked = false;

  constructor(socket: Socket, handlers: ConnectionHandlers, maxFrame = FRAME_MAX) {
    this.socket = socket;
    this.#handlers = handlers;
    this.#reader = new FrameReader(crc32, maxFrame);
    socket.setNoDelay(true);
    socket.on('data', (chunk) => this.#data(chunk));
    socket.on('drain', () => handlers.drain?.(this));
    socket.on('error', (error) => {
      this.#error ??= error;
    });
    // The peer's end of stream is the end for both: nobody here sends on a half-closed connection.
    socket.on('end', () => socket.destroy());
    socket.on('close', () => {
      this.#closed = true;
      handlers.close(this, this.#byPeer, this.#error);
    });
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Bytes accepted by `send` and not yet by the kernel. */
  get queued(): number {
    return this.socket.writableLength;
  }

  /**
   * Queues a frame; its pieces must not change until they have left. False: wait for `drain` before sending much more.
   * On a closed connection nothing happens.
   */
  send(type: number, body: readonly Uint8Array[]): boolean {
    if (this.#closed || this.socket.destroyed) return false;
    if (!this.#corked) {
      this.#corked = true;
      this.socket.cork();
      process.nextTick(() => this.flush());
    }
    let open = true;
    for (const piece of encodeFrame(type, body, crc32)) if (piece.length > 0) open = this.socket.write(piece);
    return open;
  }

  /** What was sent leaves now rather than at the end of this turn. */
  flush(): void {
    if (!this.#corked) return;
    this.#corked = false;
    this.socket.uncork();
  }

  /** Closes at once; what is queued is lost. `close` is told `byPeer = false`. */
  destroy(error: Error | null = null): void {
    this.#byPeer = false;
    this.#error ??= error;
    this.socket.destroy();
  }

  /** Closes after what is queued has left. */
  end(): void {
    this.#byPeer = false;
    this.flush();
    this.socket.end();
  }

  #data(chunk: Uint8Array): void {
    if (this.socket.destroyed) return;
    this.#handlers.heard?.(this);
    try {
      for (const frame of this.#reader.push(chunk)) {
        if (this.socket.destroyed) return;
        this.#handlers.frame(frame, this);
      }
    } catch (error) {
      // Bad input ends the connection; anything else is a bug of ours and must not be hidden.
      if (!isInputError(error)) throw error;
      this.destroy(error);
    }
  }
}

function isInputError(error: unknown): error is Error {
  if (error instanceof FrameError) return true;
  const code = error instanceof Error ? (error as { code?: unknown }).code : undefined;
  return typeof code === 'string' && code.startsWith('TG_') && code !== 'TG_INVARIANT';
}
