/**
 * For tests and the benchmark: a guest that is nothing but its TCP/IP stack and a small server, with output commit. What a
 * server knows of a connection is in the stack alone, so a guest restored from saved parts goes on.
 */

import { decodePart, Ledger } from '../checkpoint/ledger.ts';
import { GUEST_ADDRESS, GUEST_MTU } from '../linux/net.ts';
import type { Tcp, TcpListener } from '../tcpip/api.ts';
import { TcpipStack } from '../tcpip/stack.ts';

/** Looks at a connection that has news: reads, writes, ends it. */
export type Server = (tcp: Tcp, guest: FakeGuest) => void;

/** Sends back what comes; ends when the client does. */
export const echo: Server = (tcp) => {
  while (tcp.readable > 0 && tcp.writable > 0) {
    const bytes = tcp.front();
    tcp.take(tcp.send(bytes), false);
  }
  if (tcp.endOfStream) tcp.close();
};

/** Takes what comes; ends when the client does. */
export const sink: Server = (tcp) => {
  while (tcp.readable > 0) tcp.take(tcp.front().length, false);
  if (tcp.endOfStream) tcp.close();
};

const ZEROS = new Uint8Array(65536);

/** Sends for ever. */
export const source: Server = (tcp) => {
  while (tcp.writable > 0) tcp.send(ZEROS);
};

export interface FakeGuestOptions {
  /** Server by port. Connections of a restored guest are found by their port. */
  readonly servers: ReadonlyMap<number, Server>;
  readonly backlog?: number;
  /** What `saved` of another one gave. */
  readonly parts?: ReadonlyMap<string, Uint8Array>;
  /** Keep what a turn sends until `commit` (also called by itself after so many ms); absent: nothing is kept. */
  readonly commitMs?: number;
  /** The stack's parts are saved at each commit. */
  readonly save?: boolean;
}

export class FakeGuest {
  onPacket: (packet: Uint8Array) => void = () => {};
  /** After the last packet of a turn. */
  onFlush: () => void = () => {};
  readonly stack: TcpipStack;
  /** The stack's parts as of the last commit. */
  readonly saved: Map<string, Uint8Array>;

  readonly #options: FakeGuestOptions;
  readonly #ledger: Ledger | null;
  readonly #listeners = new Map<number, TcpListener>();
  /** By id: connections accepted. */
  readonly #connections = new Map<number, Tcp>();
  readonly #ready = new Set<number>();
  #held: Uint8Array[] = [];
  #commitTimer: NodeJS.Timeout | null = null;
  #timer: NodeJS.Timeout | null = null;
  #timerAt = Number.POSITIVE_INFINITY;
  #scheduled = false;
  #dead = false;

  constructor(options: FakeGuestOptions) {
    this.#options = options;
    this.saved = new Map(options.parts);
    this.#ledger = options.save === true ? new Ledger() : null;
    const ledger = this.#ledger === null ? {} : { ledger: this.#ledger };
    if (options.parts === undefined) {
      const entropy = (length: number): Uint8Array => new Uint8Array(length).fill(7);
      this.stack = new TcpipStack({ address: GUEST_ADDRESS, mtu: GUEST_MTU, entropy, ...ledger });
      for (const port of options.servers.keys()) {
        const listener = this.stack.listen(port, options.backlog ?? 1024);
        if (typeof listener === 'number') throw new Error(`listen: ${listener}`);
        this.#listeners.set(listener.id, listener);
      }
    } else {
      const parts = new Map([...options.parts].map(([key, bytes]) => [key, decodePart(bytes)]));
      this.stack = TcpipStack.restore(ledger, parts);
      for (const listener of this.stack.listeners()) {
        this.#listeners.set(listener.id, listener);
        this.#ready.add(listener.id);
      }
      for (const tcp of this.stack.connections()) {
        if (tcp.listener !== 0 || tcp.orphan) continue;
        this.#connections.set(tcp.id, tcp);
        this.#ready.add(tcp.id);
      }
    }
    this.stack.onReady = (id) => this.#ready.add(id);
  }

  get connections(): ReadonlyMap<number, Tcp> {
    return this.#connections;
  }

  /** As a promoted primary does. */
  promote(): void {
    this.stack.resync(nowUs());
    this.schedule();
  }

  receive(packet: Uint8Array): void {
    if (this.#dead) return;
    this.stack.process(packet, nowUs());
    this.schedule();
  }

  /** The machine is gone: nothing is processed, held packets are lost. */
  die(): void {
    this.#dead = true;
    this.#held = [];
    for (const timer of [this.#timer, this.#commitTimer]) if (timer !== null) clearTimeout(timer);
  }

  /** Saves the state and lets out what it has sent. */
  commit(): void {
    if (this.#commitTimer !== null) clearTimeout(this.#commitTimer);
    this.#commitTimer = null;
    for (const { key, bytes } of this.#ledger?.take() ?? []) {
      if (bytes === null) this.saved.delete(key);
      else this.saved.set(key, bytes);
    }
    const held = this.#held;
    this.#held = [];
    for (const packet of held) this.onPacket(packet);
    if (held.length > 0) this.onFlush();
  }

  schedule(): void {
    if (this.#scheduled || this.#dead) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.runNow();
    });
  }

  /** Not at the end of this turn of the event loop. */
  runNow(): void {
    if (!this.#dead) this.#run();
  }

  #run(): void {
    for (const id of this.#ready) {
      this.#ready.delete(id);
      this.#look(id);
    }
    const now = nowUs();
    for (let packet = this.stack.dispatch(now); packet !== null; packet = this.stack.dispatch(now)) {
      this.#held.push(packet);
    }
    if (this.#held.length > 0 && this.#commitTimer === null) {
      const { commitMs } = this.#options;
      if (commitMs === undefined) this.commit();
      else if (commitMs !== Number.POSITIVE_INFINITY) this.#commitTimer = setTimeout(() => this.commit(), commitMs);
    }
    if (this.#ready.size > 0) this.schedule();
    const at = this.stack.pollAt();
    if (at === null || at >= this.#timerAt) return;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timerAt = at;
    this.#timer = setTimeout(
      () => {
        this.#timerAt = Number.POSITIVE_INFINITY;
        this.schedule();
      },
      Math.max(1, Math.ceil((at - now) / 1000)),
    );
  }

  #look(id: number): void {
    const listener = this.#listeners.get(id);
    if (listener !== undefined) {
      for (let tcp = listener.accept(); tcp !== null; tcp = listener.accept()) {
        tcp.setOption('nodelay', 1);
        this.#connections.set(tcp.id, tcp);
        this.#look(tcp.id);
      }
      return;
    }
    const tcp = this.#connections.get(id);
    if (tcp === undefined) return;
    if (tcp.state === 'closed') {
      this.#connections.delete(id);
      tcp.close();
    } else this.#options.servers.get(tcp.local.port)!(tcp, this);
  }
}

function nowUs(): number {
  return Math.floor(performance.now() * 1000);
}
