/**
 * One client: its kernel TCP connection on one side, a connection of our own stack to the guest on the other. What happens
 * to one happens to the other: bytes, end of stream, reset.
 *
 * The kernel has acknowledged a client's bytes when they come here, so they are kept until the guest has acknowledged
 * them: in the stack's send buffer, and when that is full the kernel's socket is not read any more.
 */

import type { Socket } from 'node:net';
import type { Tcp } from '../tcpip/api.ts';

/** What a client needs of its gateway. */
export interface ClientHost {
  readonly stats: ClientStats;
  /** The stack may have something to send. */
  schedule(): void;
  /** The kernel's connection is no more. */
  gone(client: Client): void;
}

export interface ClientStats {
  /** Bytes from clients. */
  bytesIn: number;
  /** Bytes to clients. */
  bytesOut: number;
}

/** No more is written to the kernel's socket while so many bytes wait. More than its high-water mark, so `drain` comes. */
const QUEUED_MAX = 256 * 1024;
/** The guest is done and the client does not take what is left for it: so long without progress, and it is reset. */
const LINGER_MS = 60_000;

export class Client {
  readonly #host: ClientHost;
  readonly #socket: Socket;
  readonly #tcp: Tcp;
  /** In the gateway's list of clients to look at. */
  marked = false;
  /** Received from the client and not yet taken by the stack; the socket is paused. */
  #rest: Uint8Array | null = null;
  /** The client's FIN has come; it was passed on. */
  #clientEnded = false;
  #clientEndPassed = false;
  /** The guest's FIN was passed on. */
  #guestEndPassed = false;
  #lingering = false;

  /** `socket` is connected and allows half-open; `tcp` is connecting. */
  constructor(host: ClientHost, socket: Socket, tcp: Tcp) {
    this.#host = host;
    this.#socket = socket;
    this.#tcp = tcp;
    socket.on('data', (chunk) => this.#received(chunk));
    socket.on('end', () => {
      this.#clientEnded = true;
      this.update();
      host.schedule();
    });
    socket.on('drain', () => {
      this.update();
      host.schedule();
    });
    // 'close' follows and knows all that is needed.
    socket.on('error', () => {});
    socket.on('timeout', () => socket.resetAndDestroy());
    socket.on('close', (hadError) => this.#closed(hadError));
  }

  get id(): number {
    return this.#tcp.id;
  }

  /** Carries on whatever can go on now, both ways. */
  update(): void {
    if (this.#socket.destroyed) return;
    this.#toGuest();
    this.#toClient();
  }

  /** Resets the client. */
  reset(): void {
    this.#socket.resetAndDestroy();
  }

  #received(chunk: Uint8Array): void {
    this.#host.stats.bytesIn += chunk.length;
    const taken = this.#tcp.send(chunk, true);
    if (taken < chunk.length) {
      this.#rest = chunk.subarray(taken);
      this.#socket.pause();
    }
    this.#host.schedule();
  }

  #toGuest(): void {
    const tcp = this.#tcp;
    if (this.#rest !== null) {
      const taken = tcp.send(this.#rest, true);
      if (taken < this.#rest.length) {
        this.#rest = this.#rest.subarray(taken);
        return;
      }
      this.#rest = null;
      this.#socket.resume();
    }
    if (!this.#clientEnded || this.#clientEndPassed || tcp.state === 'syn-sent') return;
    this.#clientEndPassed = true;
    tcp.shutdown();
  }

  #toClient(): void {
    const tcp = this.#tcp;
    const socket = this.#socket;
    if (tcp.readable > 0 && socket.writableLength < QUEUED_MAX) this.#write();
    if (tcp.state === 'closed' && tcp.takeError() !== 0) {
      // Reset, refused or timed out. What was written before is the client's all the same, as far as its kernel has it.
      socket.resetAndDestroy();
      return;
    }
    // Both directions are over for the guest: only what is left for the client keeps this connection.
    if ((tcp.state === 'closed' || tcp.state === 'time-wait') && !this.#lingering) {
      this.#lingering = true;
      socket.setTimeout(LINGER_MS);
    }
    if (!tcp.endOfStream || this.#guestEndPassed) return;
    this.#guestEndPassed = true;
    socket.end();
  }

  /** Hands what the guest has sent to the kernel; `drain` follows where it is more than the kernel takes now. */
  #write(): void {
    const tcp = this.#tcp;
    const socket = this.#socket;
    socket.cork();
    do {
      const bytes = tcp.recvPiece(QUEUED_MAX);
      this.#host.stats.bytesOut += bytes.length;
      socket.write(bytes);
    } while (tcp.readable > 0 && socket.writableLength < QUEUED_MAX);
    socket.uncork();
  }

  #closed(hadError: boolean): void {
    this.#host.gone(this);
    const tcp = this.#tcp;
    const orderly = !hadError && this.#clientEndPassed && this.#guestEndPassed;
    if (tcp.state === 'closed' || orderly) tcp.close();
    else tcp.abort();
    this.#host.schedule();
  }
}
