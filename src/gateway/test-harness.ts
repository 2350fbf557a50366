/** For tests: a gateway with real sockets on both sides, fake guests behind the replicas' link, clients of the kernel. */

import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pattern } from '../tcpip/test-link.ts';
import { FakeGuest, type FakeGuestOptions, type Server } from './fake-guest.ts';
import { Gateway, type GatewayOptions } from './gateway.ts';
import { type GatewayHello, GatewayLink } from './protocol.ts';
import { type Published, publish } from './publish.ts';
import { ReplicaPort } from './replica-port.ts';

export const CLUSTER = Uint8Array.from({ length: 16 }, (_, i) => i + 1);
export const HOST = '127.0.0.1';

export function helloOf(view: number, changes: Partial<GatewayHello> = {}): GatewayHello {
  return { cluster: CLUSTER, generation: 1, view, member: `r${view}.aaaa`, ...changes };
}

/** A folder for UNIX sockets; removed with the process's other test folders by `close`. */
export function makeFolder(): { path: string; remove(): void } {
  const path = mkdtempSync(join(tmpdir(), 'tardigrade-gateway-'));
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}

export interface Replica {
  readonly guest: FakeGuest;
  readonly link: GatewayLink;
}

/** A primary: a guest and its link to the gateway. */
export function makeReplica(path: string, hello: GatewayHello, options: FakeGuestOptions): Replica {
  const guest = new FakeGuest(options);
  const link = GatewayLink.connect(path, hello);
  link.onPacket = (packet) => guest.receive(packet);
  guest.onPacket = (packet) => link.send(packet);
  guest.onFlush = () => link.flush();
  return { guest, link };
}

export class Harness {
  readonly gateway: Gateway;
  readonly port: ReplicaPort;
  readonly path: string;
  readonly servers: ReadonlyMap<number, Server>;
  readonly replicas: Replica[] = [];
  #published: Published | null = null;
  readonly #folder = makeFolder();
  readonly #sockets: Socket[] = [];

  private constructor(servers: ReadonlyMap<number, Server>, options: GatewayOptions) {
    this.servers = servers;
    this.path = join(this.#folder.path, 'gateway');
    this.gateway = new Gateway(options);
    this.port = new ReplicaPort(this.gateway, { path: this.path, cluster: CLUSTER, generation: 1, helloMs: 200 });
  }

  static async start(servers: ReadonlyMap<number, Server>, options: GatewayOptions = {}): Promise<Harness> {
    const harness = new Harness(servers, options);
    await harness.port.listen();
    const wanted = [...servers.keys()].map((guestPort) => ({ host: HOST, port: 0, guestPort }));
    harness.#published = await publish(harness.gateway, wanted);
    return harness;
  }

  /** A new primary in `view`; `options.parts`: with the state of an earlier one. */
  replica(view: number, options: Partial<FakeGuestOptions> = {}): Replica {
    const replica = makeReplica(this.path, helloOf(view), { servers: this.servers, ...options });
    this.replicas.push(replica);
    return replica;
  }

  /** A client of a guest's port. */
  client(guestPort: number, options: { allowHalfOpen?: boolean } = {}): Socket {
    const port = this.#published!.ports.find((published) => published.guestPort === guestPort)!.port;
    const socket = connect({ host: HOST, port, noDelay: true, ...options });
    this.#sockets.push(socket);
    return socket;
  }

  close(): void {
    for (const socket of this.#sockets) socket.on('error', () => {}).destroy();
    for (const { guest, link } of this.replicas) {
      guest.die();
      link.close();
    }
    this.#published?.close();
    this.port.close();
    this.gateway.close();
    this.#folder.remove();
  }
}

/** Writes pattern bytes [from, to) in chunks of the sizes that `size` gives, at the pace the socket takes them. */
export async function writePattern(socket: Socket, from: number, to: number, size: () => number): Promise<void> {
  for (let at = from; at < to; ) {
    const count = Math.min(size(), to - at);
    if (!socket.write(pattern(at, count))) await once(socket, 'drain');
    at += count;
  }
}

/** Checks that what comes is the pattern from its start, without a gap or a repetition. */
export class PatternReader {
  received = 0;
  /** Where the first wrong byte was, or -1. */
  wrong = -1;
  ended = false;
  error: Error | null = null;
  closed = false;
  #awaited: { count: number; resolve(): void; reject(error: Error): void } | null = null;
  readonly #socket: Socket;

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('data', (chunk) => {
      if (this.wrong < 0 && Buffer.compare(chunk, pattern(this.received, chunk.length)) !== 0)
        this.wrong = this.received;
      this.received += chunk.length;
      this.#look();
    });
    socket.on('end', () => {
      this.ended = true;
    });
    socket.on('error', (error) => {
      this.error = error;
    });
    socket.on('close', () => {
      this.closed = true;
      this.#look();
    });
  }

  /** Until `count` bytes have come in all. Rejects when the connection is over before. */
  until(count: number): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#awaited = { count, resolve, reject };
    this.#look();
    return promise;
  }

  #look(): void {
    if (this.#awaited === null) return;
    const { count, resolve, reject } = this.#awaited;
    if (this.wrong >= 0) reject(new Error(`a wrong byte at or after ${this.wrong}`));
    else if (this.received >= count) resolve();
    else if (this.closed) reject(this.error ?? new Error(`closed after ${this.received} of ${count} bytes`));
    else return;
    this.#awaited = null;
    if (this.wrong >= 0) this.#socket.destroy();
  }
}
