/**
 * Where primaries connect: a UNIX socket on which the one with the highest (generation, view) is served (protocol.ts).
 * What an older one sends is dropped; that it is older is only known here, safety does not rest on it (replication.md:
 * what an old primary can still send is committed history).
 */

import { chmodSync, unlinkSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { Connection } from '../transport/connection.ts';
import { FRAME_HELLO, FRAME_PACKETS, type Frame, splitPackets } from '../transport/frame.ts';
import type { Gateway } from './gateway.ts';
import {
  compareViews,
  decodeHello,
  encodeAnswer,
  type GatewayHello,
  GatewayProtocolError,
  LINK_FRAME_MAX,
  PacketBatch,
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
  readonly #connections = new Set<Connection>();
  /** The connection that is served. */
  #current: Connection | null = null;
  /** The highest that was ever served. */
  #served: Served;
  readonly #batch = new PacketBatch();

  constructor(gateway: Gateway, options: ReplicaPortOptions) {
    this.#gateway = gateway;
    this.#options = options;
    this.#served = { generation: options.generation, view: 0, member: '' };
    this.#server = createServer({ noDelay: true }, (socket) => this.#accept(socket));
    this.#server.maxConnections = CONNECTIONS_MAX;
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
    for (const connection of this.#connections) connection.destroy();
  }

  #accept(socket: Socket): void {
    let greeted = false;
    const connection = new Connection(
      socket,
      {
        frame: (frame) => {
          if (frame.type === FRAME_HELLO && !greeted) {
            greeted = true;
            clearTimeout(deadline);
            this.#hello(frame, connection);
          } else if (frame.type === FRAME_PACKETS && greeted) this.#packets(frame, connection);
          else throw new GatewayProtocolError('TG_GATEWAY_FRAME', `a frame of type ${frame.type} came from a replica`);
        },
        drain: () => {
          if (connection === this.#current) this.#gateway.hold(false);
        },
        close: () => {
          clearTimeout(deadline);
          this.#lost(connection);
        },
      },
      LINK_FRAME_MAX,
    );
    const deadline = setTimeout(() => connection.destroy(), this.#options.helloMs ?? HELLO_MS);
    this.#connections.add(connection);
  }

  #hello(frame: Frame, connection: Connection): void {
    let hello: GatewayHello;
    try {
      hello = decodeHello(frame.body);
    } catch (error) {
      if (!(error instanceof GatewayProtocolError)) throw error;
      this.#refuse(connection, error.verdict);
      return;
    }
    const { cluster } = this.#options;
    if (!hello.cluster.every((byte, i) => byte === cluster[i])) {
      this.#refuse(connection, 'cluster');
      return;
    }
    // The same again is a primary that lost its connection; of two in one view neither can be believed over the other.
    const order = compareViews(hello, this.#served);
    if (order < 0 || (order === 0 && hello.member !== this.#served.member)) {
      this.#refuse(connection, 'superseded');
      return;
    }
    this.#serve(connection, hello);
  }

  #serve(connection: Connection, { generation, view, member }: GatewayHello): void {
    const before = this.#current;
    this.#served = { generation, view, member };
    this.#current = connection;
    this.#batch.clear();
    connection.send(FRAME_HELLO, [encodeAnswer({ verdict: 'served', generation, view })]);
    if (before !== null) this.#refuse(before, 'superseded');
    const gateway = this.#gateway;
    gateway.onPacketToGuest = (packet) => {
      this.#batch.add(packet);
      if (this.#batch.bytes + connection.queued > QUEUED_MAX) gateway.hold(true);
    };
    gateway.hold(false);
    gateway.resync();
    this.onServed(this.#served);
  }

  #refuse(connection: Connection, verdict: Verdict): void {
    const { generation, view } = this.#served;
    connection.send(FRAME_HELLO, [encodeAnswer({ verdict, generation, view })]);
    connection.end();
  }

  #packets(frame: Frame, connection: Connection): void {
    for (const packet of splitPackets(frame.body)) {
      if (connection === this.#current) this.#gateway.packetFromGuest(packet);
    }
  }

  #flush(): void {
    const connection = this.#current;
    if (connection === null) return;
    this.#batch.send(connection);
    connection.flush();
    // What the kernel took at once brings no `drain`.
    if (connection.queued <= QUEUED_MAX) this.#gateway.hold(false);
  }

  #lost(connection: Connection): void {
    this.#connections.delete(connection);
    if (connection !== this.#current) return;
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
