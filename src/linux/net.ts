/**
 * The guest's network interface: the TCP/IP stack, and which socket belongs to which connection. Packets from
 * `Lvm.wait` go to `process`; after each slice of guest code `flush` hands what is to be sent to `Lvm.send`; `pollAt`
 * joins the kernel's deadline.
 */

import type { Plain } from '../checkpoint/ledger.ts';
import type { Ipv4 } from '../tcpip/api.ts';
import { type PartLedger, TcpipStack } from '../tcpip/stack.ts';
import type { WaitQueue } from './wait-queue.ts';

export const GUEST_ADDRESS: Ipv4 = 0x0a00_0002;
export const GATEWAY_ADDRESS: Ipv4 = 0x0a00_0001;
export const GUEST_MTU = 65535;

export interface NetworkDeps {
  readonly ledger?: PartLedger;
  /** Takes a packet out (`Lvm.send`). */
  readonly send: (packet: Uint8Array) => void;
}

export interface NetworkOptions {
  readonly address?: Ipv4;
  readonly mtu?: number;
  readonly entropy: (length: number) => Uint8Array;
}

/** A socket that wants to hear of its connection, listener or datagram queue. */
export interface StackOwner {
  readonly queue: WaitQueue;
}

/** A TCP socket as bind(2) of another sees it. */
export interface BoundSocket {
  readonly boundAddress: Ipv4;
  readonly reuseAddress: boolean;
  readonly reusePort: boolean;
  readonly v6only: boolean;
  readonly listening: boolean;
}

/** Bound sockets by port, so that bind(2) can refuse. Derived: sockets enter themselves when bound and when restored. */
export class BindTable {
  readonly #byPort = new Map<number, BoundSocket[]>();

  add(port: number, socket: BoundSocket): void {
    this.#byPort.set(port, [...this.at(port), socket]);
  }

  remove(port: number, socket: BoundSocket): void {
    const rest = this.at(port).filter((other) => other !== socket);
    if (rest.length > 0) this.#byPort.set(port, rest);
    else this.#byPort.delete(port);
  }

  at(port: number): readonly BoundSocket[] {
    return this.#byPort.get(port) ?? [];
  }
}

export class NetworkInterface {
  readonly binds = new BindTable();
  readonly stack: TcpipStack;
  readonly #send: (packet: Uint8Array) => void;
  /** Derived: sockets enter themselves when made and when restored. */
  readonly #owners = new Map<number, StackOwner>();

  private constructor(stack: TcpipStack, deps: NetworkDeps) {
    this.stack = stack;
    this.#send = deps.send;
    stack.publishLoopback = true;
    // The gateway carries clients' connections in; it does not route.
    stack.defaultRoute = false;
    stack.onReady = (id) => this.#owners.get(id)?.queue.wake();
  }

  static create(deps: NetworkDeps, options: NetworkOptions): NetworkInterface {
    const ledger = deps.ledger === undefined ? {} : { ledger: deps.ledger };
    const { address = GUEST_ADDRESS, mtu = GUEST_MTU, entropy } = options;
    return new NetworkInterface(new TcpipStack({ address, mtu, entropy, ...ledger }), deps);
  }

  /** From the stack's parts of a checkpoint (`tcpip…`, `tcp/N`, `listener/N`, `udp/N`; others are left alone). */
  static restore(deps: NetworkDeps, parts: ReadonlyMap<string, Plain>): NetworkInterface {
    const ledger = deps.ledger === undefined ? {} : { ledger: deps.ledger };
    return new NetworkInterface(TcpipStack.restore(ledger, parts), deps);
  }

  /** True for the keys that `restore` takes. */
  static owns(key: string): boolean {
    return /^(tcpip$|tcpip\/|tcp\/|listener\/|udp\/)/.test(key);
  }

  /** A packet has come; it must not change any more. */
  process(packet: Uint8Array, nowUs: number): void {
    this.stack.process(packet, nowUs, true);
  }

  /** Sends what is to be sent, loopback included; how many packets left. */
  flush(nowUs: number): number {
    let count = 0;
    for (let packet = this.stack.dispatch(nowUs); packet !== null; packet = this.stack.dispatch(nowUs)) {
      this.#send(packet);
      count++;
    }
    return count;
  }

  /** When `flush` next has work: monotonic µs, 0 now, null never. */
  pollAt(): number | null {
    return this.stack.pollAt();
  }

  /** After a take-over: everything in flight is sent again, every connection acknowledges. */
  resync(nowUs: number): void {
    this.stack.resync(nowUs);
  }

  own(id: number, owner: StackOwner): void {
    this.#owners.set(id, owner);
  }

  disown(id: number): void {
    this.#owners.delete(id);
  }
}
