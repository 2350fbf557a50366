/**
 * The gateway: between clients' kernel TCP connections and the guest's packets. On one side it is given accepted sockets,
 * on the other it is the endpoint 10.0.0.1 of our own TCP/IP stack. It knows nothing of replicas: whoever runs the guest
 * sets `onPacketToGuest` and calls `packetFromGuest`; a process of its own does it over a socket (replica-port.ts).
 *
 * Work is gathered over a turn of the event loop (but see BATCH_MS): what came for one client leaves in one write, what goes
 * to the guest leaves together.
 */

import { randomBytes } from 'node:crypto';
import type { Socket } from 'node:net';
import { GATEWAY_ADDRESS, GUEST_ADDRESS, GUEST_MTU } from '../linux/net.ts';
import { TcpipStack } from '../tcpip/stack.ts';
import { Client, type ClientHost } from './client.ts';

export const CONNECTIONS_MAX = 4096;
/** Each direction of a connection is buffered in the stack: so much for one, less where many share the total. */
const BUFFER_MAX = 1024 * 1024;
const BUFFER_MIN = 64 * 1024;
const BUFFER_TOTAL = 128 * 1024 * 1024;
/**
 * Work waits for the end of the turn at most so long. Were it always to wait, then under load the gateway, the guest and the
 * clients would work one after another, each idle while another has everything: measured, a quarter less throughput.
 */
const BATCH_MS = 0.05;
/** Most that is read from a client at once. */
const READ_BYTES = 64 * 1024;
/** A guest that waits with a small segment for the acknowledgement of the last (Nagle's rule) waits no longer than this. */
const DELAYED_ACK_US = 5000;
/** A timer within this much of the stack's next deadline is left as it is. */
const TIMER_SLACK_US = 1000;

export interface GatewayStats {
  /** Clients connected now. */
  readonly connections: number;
  /** Clients turned away because there were too many. */
  readonly refused: number;
  /** Towards the guest: packets, and bytes of clients. */
  readonly packetsIn: number;
  readonly bytesIn: number;
  /** From the guest: packets, and bytes to clients. */
  readonly packetsOut: number;
  readonly bytesOut: number;
}

export interface GatewayOptions {
  /** Clients at a time (4096). */
  readonly maxConnections?: number;
  /** For sequence numbers and ports that nobody can guess. */
  readonly entropy?: (length: number) => Uint8Array;
  /** Monotonic, µs. */
  readonly nowUs?: () => number;
}

export class Gateway implements ClientHost {
  /** After the last of the packets that leave in this turn. */
  onFlush: () => void = () => {};
  /** Memory for the packet that `onPacketToGuest` is given next. */
  allocate: (length: number) => Uint8Array = (length) => new Uint8Array(length);
  readonly stats = { refused: 0, packetsIn: 0, bytesIn: 0, packetsOut: 0, bytesOut: 0 };

  readonly #maxConnections: number;
  readonly #nowUs: () => number;
  readonly #stack: TcpipStack;
  /** What clients' sockets read into. */
  readonly #memory = Buffer.allocUnsafeSlow(READ_BYTES);
  /** By the stack's id of the connection. */
  readonly #clients = new Map<number, Client>();
  /** Clients whose connection in the stack has news. */
  #marked: Client[] = [];
  #toGuest: ((packet: Uint8Array) => void) | null = null;
  #held = false;
  #scheduled = false;
  #working = false;
  /** When work was first asked for, ms. */
  #since = 0;
  #closed = false;
  /** The one timer and when it fires, µs. It is not moved when the stack's deadline moves to later. */
  #timer: NodeJS.Timeout | null = null;
  #timerAt = Number.POSITIVE_INFINITY;

  constructor(options: GatewayOptions = {}) {
    this.#maxConnections = options.maxConnections ?? CONNECTIONS_MAX;
    this.#nowUs = options.nowUs ?? (() => Math.floor(performance.now() * 1000));
    const { entropy = randomBytes } = options;
    this.#stack = new TcpipStack({
      address: GATEWAY_ADDRESS,
      mtu: GUEST_MTU,
      entropy,
      allocate: (length) => this.allocate(length),
      delayedAckUs: DELAYED_ACK_US,
    });
    this.#stack.onReady = (id) => this.#mark(id);
  }

  get connections(): number {
    return this.#clients.size;
  }

  snapshot(): GatewayStats {
    return { connections: this.connections, ...this.stats };
  }

  // ---- clients

  /** A client's connection for the guest's port. The socket must allow half-open, and be paused (`pauseOnConnect`). */
  accept(socket: Socket, guestPort: number): void {
    if (this.#closed || this.connections >= this.#maxConnections) {
      this.stats.refused++;
      socket.on('error', () => {});
      socket.resetAndDestroy();
      return;
    }
    const tcp = this.#stack.connect({ address: GUEST_ADDRESS, port: guestPort });
    if (typeof tcp === 'number') {
      this.stats.refused++;
      socket.on('error', () => {});
      socket.resetAndDestroy();
      return;
    }
    const buffer = this.#bufferSize();
    tcp.setOption('sendBuffer', buffer);
    tcp.setOption('receiveBuffer', buffer);
    tcp.setOption('nodelay', 1);
    this.#clients.set(tcp.id, new Client(this, socket, tcp, this.#memory));
    this.schedule();
  }

  gone(client: Client): void {
    this.#clients.delete(client.id);
  }

  #bufferSize(): number {
    const share = Math.floor(BUFFER_TOTAL / (this.connections + 1));
    return Math.max(BUFFER_MIN, Math.min(BUFFER_MAX, share));
  }

  #mark(id: number): void {
    const client = this.#clients.get(id);
    if (client === undefined || client.marked) return;
    client.marked = true;
    this.#marked.push(client);
  }

  // ---- the guest

  /**
   * Takes packets to the guest; they may be kept. Null: nobody runs the guest now, everything waits. Setting it does not
   * send again what an earlier one took: `resync` does.
   */
  set onPacketToGuest(send: ((packet: Uint8Array) => void) | null) {
    this.#toGuest = send;
    if (send !== null) this.schedule();
  }

  /** A packet that the guest has sent; it must not change any more, unless its memory is said to be `reused`. */
  packetFromGuest(packet: Uint8Array, reused = false): void {
    this.stats.packetsOut++;
    this.#stack.process(packet, this.#nowUs(), !reused);
    this.schedule();
  }

  /** Another machine runs the guest now: what is not acknowledged is sent again at once, everything is acknowledged. */
  resync(): void {
    this.#stack.resync(this.#nowUs());
    this.#work();
  }

  /** While held, nothing is sent to the guest; it waits as without a guest. */
  hold(held: boolean): void {
    if (this.#held === held) return;
    this.#held = held;
    if (!held) this.schedule();
  }

  /** Resets every client; accepts no more. */
  close(): void {
    this.#closed = true;
    for (const client of this.#clients.values()) client.reset();
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }

  // ---- when

  schedule(): void {
    if (this.#working) return;
    if (!this.#scheduled) {
      this.#scheduled = true;
      this.#since = performance.now();
      setImmediate(() => {
        if (this.#scheduled) this.#work();
      });
    } else if (performance.now() - this.#since > BATCH_MS) this.#work();
  }

  #work(): void {
    this.#scheduled = false;
    this.#working = true;
    do {
      this.#serve();
      this.#dispatch();
    } while (this.#marked.length > 0);
    this.#working = false;
    this.#arm();
  }

  #serve(): void {
    // A client may mark others by what it does, never itself without end: each pass needs news from the stack.
    while (this.#marked.length > 0) {
      const marked = this.#marked;
      this.#marked = [];
      for (const client of marked) {
        client.marked = false;
        client.update();
      }
    }
  }

  #dispatch(): void {
    if (this.#toGuest === null || this.#held) return;
    const now = this.#nowUs();
    let count = 0;
    while (!this.#held && this.#toGuest !== null) {
      const packet = this.#stack.dispatch(now);
      if (packet === null) break;
      count++;
      this.#toGuest(packet);
    }
    if (count === 0) return;
    this.stats.packetsIn += count;
    this.onFlush();
  }

  #arm(): void {
    // Without a guest time does not count: nothing could be sent, nothing be answered.
    if (this.#closed || this.#toGuest === null || this.#held) return;
    const at = this.#stack.pollAt();
    if (at === null || at >= this.#timerAt - TIMER_SLACK_US) return;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timerAt = at;
    this.#timer = setTimeout(() => this.#fire(), Math.max(1, Math.ceil((at - this.#nowUs()) / 1000)));
  }

  #fire(): void {
    this.#timer = null;
    this.#timerAt = Number.POSITIVE_INFINITY;
    this.#work();
  }
}
