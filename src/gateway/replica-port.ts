/**
 * Where primaries connect: a UNIX socket on which the one with the highest (generation, view) is served (protocol.ts).
 * What an older one sends is dropped; that it is older is only known here, safety does not rest on it (replication.md:
 * what an old primary can still send is committed history).
 */

import { chmodSync, unlinkSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { FRAME_HELLO, FRAME_PACKETS, splitPackets } from '../transport/frame.ts';
import type { Gateway } from './gateway.ts';
import { LinkSocket } from './link-socket.ts';
import {
  compareViews,
  decodeHello,
  encodeAnswer,
  type GatewayHello,
  GatewayProtocolError,
  type Verdict,
} from './protocol.ts';

const HELLO_MS = 2000;
/** Connections at a time: a primary, those it replaced, and some that have not said who they are. */
const CONNECTIONS_MAX = 64;
/** Bytes that wait for a primary that does not read; beyond them packets stay in the stack. */
const QUEUED_MAX = 4 * 1024 * 1024;

export interface ReplicaPortOptions {
  readonly path: string;
  /** 16 bytes. */
  readonly cluster: Uint8Array;
  /** Replicas of older generations are refused. */
  readonly generation: number;
  /** So long a connection may be silent before its hello (2000 ms). */
  readonly helloMs?: number;
}

/** Who is served, or was last. */
export type Served = Pick<GatewayHello, 'generation' | 'view' | 'member'>;

export class ReplicaPort {
  /** Another primary is served, or (null) the one that was served is gone. */
  onServed: (served: Served | null) => void = () => {};

  readonly #gateway: Gateway;
  readonly #options: ReplicaPortOptions;
  readonly #server: Server;
  readonly #connections = new Set<LinkSocket>();
  /** The connection that is served. */
  #current: LinkSocket | null = null;
  /** The highest that was ever served. */
  #served: Served;

  constructor(gateway: Gateway, options: ReplicaPortOptions) {
    this.#gateway = gateway;
    this.#options = options;
    this.#served = { generation: options.generation, view: 0, member: '' };
    this.#server = createServer({ pauseOnConnect: true }, (socket) => this.#accept(socket));
    gateway.onFlush = () => this.#flush();
  }

  /** The view served, or the last that was; 0 before the first. */
  get view(): number {
    return this.#served.view;
  }

  /** A socket file that nobody listens on is replaced. Throws the kernel's error. */
  async listen(): Promise<void> {
    const { path } = this.#options;
    try {
      await bind(this.#server, path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE' || (await answers(path))) throw error;
      unlinkSync(path);
      await bind(this.#server, path);
    }
    chmodSync(path, 0o600);
  }

  /** Ends the connection that is served; its primary may connect again. */
  disconnect(): void {
    this.#current?.destroy();
  }

  close(): void {
    this.#server.close();
    for (const link of this.#connections) link.destroy();
  }

  #accept(socket: Socket): void {
    if (this.#connections.size >= CONNECTIONS_MAX) {
      socket.destroy();
      return;
    }
    let greeted = false;
    const link = LinkSocket.accept(socket, {
      frame: (type, body) => {
        if (type === FRAME_HELLO && !greeted) {
          greeted = true;
          clearTimeout(deadline);
          this.#hello(body, link);
        } else if (type === FRAME_PACKETS && greeted) this.#packets(body, link);
        else throw new GatewayProtocolError('TG_GATEWAY_FRAME', `a frame of type ${type} came from a replica`);
      },
      drain: () => {
        if (link === this.#current) this.#gateway.hold(false);
      },
      close: () => {
        clearTimeout(deadline);
        this.#lost(link);
      },
    });
    const deadline = setTimeout(() => link.destroy(), this.#options.helloMs ?? HELLO_MS);
    this.#connections.add(link);
  }

  #hello(body: Uint8Array, link: LinkSocket): void {
    let hello: GatewayHello;
    try {
      hello = decodeHello(body);
    } catch (error) {
      if (!(error instanceof GatewayProtocolError)) throw error;
      this.#refuse(link, error.verdict);
      return;
    }
    const { cluster } = this.#options;
    if (!hello.cluster.every((byte, i) => byte === cluster[i])) {
      this.#refuse(link, 'cluster');
      return;
    }
    // The same again is a primary that lost its connection; of two in one view neither can be believed over the other.
    const order = compareViews(hello, this.#served);
    if (order < 0 || (order === 0 && hello.member !== this.#served.member)) this.#refuse(link, 'superseded');
    else this.#serve(link, hello);
  }

  #serve(link: LinkSocket, { generation, view, member }: GatewayHello): void {
    const before = this.#current;
    this.#served = { generation, view, member };
    this.#current = link;
    link.trust();
    link.send(FRAME_HELLO, encodeAnswer({ verdict: 'served', generation, view }));
    if (before !== null) this.#refuse(before, 'superseded');
    const gateway = this.#gateway;
    gateway.allocate = (length) => link.reserve(length);
    gateway.onPacketToGuest = (packet) => {
      link.packet(packet);
      if (link.queued > QUEUED_MAX) gateway.hold(true);
    };
    gateway.hold(false);
    gateway.resync();
    this.onServed(this.#served);
  }

  #refuse(link: LinkSocket, verdict: Verdict): void {
    const { generation, view } = this.#served;
    link.send(FRAME_HELLO, encodeAnswer({ verdict, generation, view }));
    link.end();
  }

  #packets(body: Uint8Array, link: LinkSocket): void {
    for (const packet of splitPackets(body)) {
      if (link === this.#current) this.#gateway.packetFromGuest(packet, true);
    }
  }

  #flush(): void {
    const link = this.#current;
    if (link === null) return;
    link.flush();
    // What the kernel took at once brings no `drain`.
    if (link.queued <= QUEUED_MAX) this.#gateway.hold(false);
  }

  #lost(link: LinkSocket): void {
    this.#connections.delete(link);
    if (link !== this.#current) return;
    this.#current = null;
    this.#gateway.onPacketToGuest = null;
    this.onServed(null);
  }
}

function bind(server: Server, path: string): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once('error', reject);
  server.listen({ path }, () => {
    server.off('error', reject);
    server.on('error', () => {});
    resolve();
  });
  return promise;
}

/** Whether somebody listens on a UNIX socket. */
function answers(path: string): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const socket = connect({ path });
  socket.on('connect', () => resolve(true));
  socket.on('error', () => resolve(false));
  return promise.finally(() => socket.destroy());
}
