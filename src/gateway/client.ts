/**
 * One client: its kernel TCP connection on one side, a connection of our own stack to the guest on the other. What happens
 * to one happens to the other: bytes, end of stream, reset.
 *
 * The kernel has acknowledged a client's bytes when they come here, so they are kept until the guest has acknowledged
 * them: in the stack's send buffer, and when that is full the kernel's socket is not read any more.
 */

import type { Socket } from 'node:net';
import type { Tcp } from '../tcpip/api.ts';
import { ByteQueue } from '../tcpip/byte-queue.ts';
import { type ReadMemory, readInto } from './read-into.ts';

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
const QUEUED_MAX = 128 * 1024;
/** Read from a client and not taken by the stack, and it is not read any more. */
const REST_MAX = 16 * 1024;
/** The guest is done and the client does not take what is left for it: so long without progress, and it is reset. */
const LINGER_MS = 60_000;

export class Client implements ReadMemory {
  readonly #host: ClientHost;
  readonly #socket: Socket;
  readonly #memory: Uint8Array;
  readonly #tcp: Tcp;
  /** In the gateway's list of clients to look at. */
  marked = false;
  /** Received from the client and not yet taken by the stack. */
  readonly #rest = new ByteQueue();
  #paused = false;
  /** The client's FIN has come; it was passed on. */
  #clientEnded = false;
  #clientEndPassed = false;
  /** The guest's FIN was passed on. */
  #guestEndPassed = false;
  #lingering = false;

  /**
   * `accepted`: connected, paused, allows half-open. `tcp`: connecting. `memory`: what the socket reads goes there first;
   * clients may share it.
   */
  constructor(host: ClientHost, accepted: Socket, tcp: Tcp, memory: Uint8Array) {
    this.#host = host;
    this.#tcp = tcp;
    this.#memory = memory;
    const socket = readInto(accepted, this);
    this.#socket = socket;
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
    socket.resume();
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

  /** Where the next bytes of the client are to be read. */
  buffer(): Uint8Array {
    return this.#memory;
  }

  /** They have come. */
  callback(count: number): boolean {
    this.#host.stats.bytesIn += count;
    const taken = this.#rest.length > 0 ? 0 : this.#tcp.send(this.#memory.subarray(0, count));
    if (taken < count) this.#rest.push(this.#memory, taken, count);
    this.#host.schedule();
    // A little is read in advance: so an end or a reset is noticed while the guest is not there.
    this.#paused = this.#rest.length >= REST_MAX;
    return !this.#paused;
  }

  #toGuest(): void {
    const tcp = this.#tcp;
    const rest = this.#rest;
    while (rest.length > 0) {
      const front = rest.front();
      const taken = tcp.send(front);
      rest.drop(taken);
      if (taken < front.length) break;
    }
    if (this.#paused && rest.length < REST_MAX) {
      this.#paused = false;
      this.#socket.resume();
    }
    if (rest.length > 0) return;
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
    do {
      const bytes = tcp.front();
      this.#host.stats.bytesOut += bytes.length;
      socket.write(bytes);
      tcp.take(bytes.length, socket.writableLength > 0);
    } while (tcp.readable > 0 && socket.writableLength < QUEUED_MAX);
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
