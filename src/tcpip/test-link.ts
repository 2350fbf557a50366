/** For tests: two stacks, a seeded link that loses, duplicates, corrupts, reorders and delays, and virtual time. */

import type { Tcp } from './api.ts';
import { type TcpipOptions, TcpipStack } from './stack.ts';

/** Mulberry32: a small seeded generator, 0 ≤ x < 1. */
export function random(seed: number): () => number {
  let a = seed | 0;
  return () => {
    a = (a + 0x6d2b79f5) | 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

export interface LinkOptions {
  /** Probabilities. */
  readonly loss?: number;
  readonly duplicate?: number;
  readonly corrupt?: number;
  readonly reorder?: number;
  /** One way, µs. */
  readonly delayUs?: number;
  /** Bytes per second; none: unlimited. */
  readonly rate?: number;
}

interface Flight {
  at: number;
  order: number;
  to: 0 | 1;
  packet: Uint8Array;
}

export const A = 0x0a000001;
export const B = 0x0a000002;

export function makeStack(address: number, seed: number, options: Partial<TcpipOptions> = {}): TcpipStack {
  const next = random(seed);
  const entropy = (length: number): Uint8Array => Uint8Array.from({ length }, () => Math.floor(next() * 256));
  return new TcpipStack({ address, mtu: 1500, entropy, ...options });
}

export class Network {
  readonly stacks: [TcpipStack, TcpipStack];
  nowUs = 1_000_000;
  options: LinkOptions;
  /** Seen on the link, before it does anything to them. */
  onPacket: ((from: 0 | 1, packet: Uint8Array) => void) | null = null;
  #flights: Flight[] = [];
  #order = 0;
  readonly #random: () => number;
  readonly #busyUntil = [0, 0];

  constructor(a: TcpipStack, b: TcpipStack, seed: number, options: LinkOptions = {}) {
    this.stacks = [a, b];
    this.options = options;
    this.#random = random(seed);
  }

  /** Sends what the stacks have to send. */
  flush(): void {
    for (const from of [0, 1] as const) {
      for (;;) {
        const packet = this.stacks[from].dispatch(this.nowUs);
        if (packet === null) break;
        this.onPacket?.(from, packet);
        this.#carry(from, packet);
      }
    }
  }

  #carry(from: 0 | 1, packet: Uint8Array): void {
    const { loss = 0, duplicate = 0, corrupt = 0, reorder = 0, delayUs = 100, rate } = this.options;
    const r = this.#random;
    if (r() < loss) return;
    let sent = packet;
    if (r() < corrupt) {
      sent = packet.slice();
      sent[Math.floor(r() * sent.length)]! ^= 1 << Math.floor(r() * 8);
    }
    let start = this.nowUs;
    if (rate !== undefined) {
      start = Math.max(start, this.#busyUntil[from]!);
      this.#busyUntil[from] = start + Math.ceil((packet.length * 1e6) / rate);
      start = this.#busyUntil[from]!;
    }
    const to = (1 - from) as 0 | 1;
    const late = r() < reorder ? Math.floor(r() * delayUs * 0.8) + 1 : 0;
    this.#flights.push({ at: start + delayUs + late, order: this.#order++, to, packet: sent });
    if (r() < duplicate)
      this.#flights.push({ at: start + delayUs + 50, order: this.#order++, to, packet: sent.slice() });
  }

  /** Lets time pass to the next event; false when there is none, or none before `untilUs`. */
  step(untilUs = Infinity): boolean {
    this.flush();
    let next = Infinity;
    for (const flight of this.#flights) if (flight.at < next) next = flight.at;
    for (const stack of this.stacks) next = Math.min(next, stack.pollAt() ?? Infinity);
    if (next === Infinity || next > untilUs) {
      if (untilUs !== Infinity) this.nowUs = Math.max(this.nowUs, untilUs);
      return false;
    }
    this.nowUs = Math.max(this.nowUs, next);
    const due = this.#flights.filter((f) => f.at <= this.nowUs).sort((a, b) => a.at - b.at || a.order - b.order);
    this.#flights = this.#flights.filter((f) => f.at > this.nowUs);
    for (const flight of due) this.stacks[flight.to].process(flight.packet, this.nowUs);
    return true;
  }

  /** Steps until `done`, at most `limitUs` of virtual time; whether it was done. */
  run(done: () => boolean, limitUs = 600_000_000): boolean {
    const end = this.nowUs + limitUs;
    while (!done()) if (!this.step(end) && !done()) return false;
    return true;
  }

  /** Forgets what is under way. */
  drop(): void {
    this.#flights = [];
  }

  /** A connection from stack 0 to a listener at `port` of stack 1. */
  connect(port = 80): [Tcp, Tcp] {
    const listener = this.stacks[1].listen(port, 16);
    if (typeof listener === 'number') throw new Error(`listen: ${listener}`);
    const client = this.stacks[0].connect({ address: this.stacks[1].address, port });
    if (typeof client === 'number') throw new Error(`connect: ${client}`);
    let server: Tcp | null = null;
    this.run(() => (server ??= listener.accept()) !== null && client.state === 'established');
    if (server === null) throw new Error('no connection');
    return [client, server];
  }
}

/** Deterministic bytes by position: any piece can be checked alone. */
export function pattern(offset: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) {
    const at = offset + i;
    bytes[i] = (Math.imul(at, 2654435761) >>> 24) ^ at;
  }
  return bytes;
}
