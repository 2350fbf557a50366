/**
 * The connections between replicas: every replica listens, and of two the one whose id is greater connects (and connects
 * again while the supervisor lists the other). A connection counts once both have said who they are.
 */

import { connect, createServer, type Server, type Socket } from 'node:net';
import { isMemberId } from '../register/register.ts';
import { decodeMessage, type Envelope, encodeMessage } from '../replication/messages.ts';
import type { MemberId, Message } from '../replication/types.ts';
import { Connection } from '../transport/connection.ts';
import { FRAME_HELLO, FRAME_MESSAGE, type Frame, FrameError } from '../transport/frame.ts';
import type { PeerAddress } from './protocol.ts';

export interface MeshHandlers {
  up(peer: MemberId): void;
  /** `dead`: the other side ended it. */
  down(peer: MemberId, dead: boolean): void;
  message(from: MemberId, message: Message): void;
  /** A part of a message has come. */
  heard(peer: MemberId): void;
}

const RETRY_MS = 20;

export class Mesh {
  readonly #envelope: Envelope;
  readonly #handlers: MeshHandlers;
  readonly #server: Server;
  /** Addresses of the peers that we are to connect to. */
  readonly #wanted = new Map<MemberId, string>();
  /** Connecting, or waiting to connect again. */
  readonly #pending = new Set<MemberId>();
  readonly #connections = new Map<MemberId, Connection>();

  constructor(envelope: Envelope, handlers: MeshHandlers) {
    this.#envelope = envelope;
    this.#handlers = handlers;
    this.#server = createServer((socket) => this.#attach(socket, null));
  }

  listen(path: string): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject).listen(path, resolve);
    });
  }

  /** The other replicas there are now. */
  setPeers(peers: readonly PeerAddress[]): void {
    this.#wanted.clear();
    for (const { member, path } of peers) if (member < this.#envelope.sender) this.#wanted.set(member, path);
    for (const member of this.#wanted.keys()) this.#connect(member);
  }

  /** Nothing happens where there is no connection. */
  send(to: MemberId, message: Message): void {
    const connection = this.#connections.get(to);
    connection?.send(FRAME_MESSAGE, encodeMessage(this.#envelope, message));
    // A client's answer waits for it, and applying what it is about takes a while.
    if (message.kind === 'ack') connection?.flush();
  }

  /** Bytes that the kernel has not taken, of the connection that has most. */
  get queued(): number {
    let most = 0;
    for (const connection of this.#connections.values()) most = Math.max(most, connection.queued);
    return most;
  }

  #connect(member: MemberId): void {
    const path = this.#wanted.get(member);
    if (path === undefined || this.#pending.has(member) || this.#connections.has(member)) return;
    this.#pending.add(member);
    const socket = connect({ path });
    socket.once('connect', () => this.#attach(socket, member));
    socket.once('close', () => {
      this.#pending.delete(member);
      setTimeout(() => this.#connect(member), RETRY_MS).unref();
    });
    // Said by 'close' too.
    socket.on('error', () => {});
  }

  /** `expected`: whom we called; null: who calls will say. */
  #attach(socket: Socket, expected: MemberId | null): void {
    let peer: MemberId | null = null;
    const connection = new Connection(socket, {
      frame: (frame) => {
        if (peer === null) {
          peer = this.#greeted(frame, expected);
          this.#replace(peer, connection);
          if (expected === null) this.#greet(connection);
          this.#handlers.up(peer);
        } else if (frame.type === FRAME_MESSAGE) {
          const { from, message } = decodeMessage(this.#envelope, frame.body);
          if (from !== peer) throw new FrameError('TG_FRAME_HELLO', `${peer} speaks for ${from}`);
          this.#handlers.message(from, message);
        } else {
          throw new FrameError('TG_FRAME_TYPE', `a frame of type ${frame.type} came from ${peer}`);
        }
      },
      heard: () => {
        if (peer !== null) this.#handlers.heard(peer);
      },
      close: (_, byPeer) => {
        // A newer connection may have taken its place.
        if (peer === null || this.#connections.get(peer) !== connection) return;
        this.#connections.delete(peer);
        this.#handlers.down(peer, byPeer);
      },
    });
    if (expected !== null) this.#greet(connection);
  }

  /** A peer that calls anew has lost the connection that we think is there. */
  #replace(peer: MemberId, connection: Connection): void {
    const old = this.#connections.get(peer);
    this.#connections.set(peer, connection);
    if (old === undefined) return;
    old.destroy();
    this.#handlers.down(peer, false);
  }

  #greet(connection: Connection): void {
    const { cluster, generation, sender } = this.#envelope;
    const hello = { cluster: Buffer.from(cluster).toString('hex'), generation, member: sender };
    connection.send(FRAME_HELLO, [Buffer.from(JSON.stringify(hello))]);
  }

  /** Who greets us. Throws FrameError for anybody whom we do not want. */
  #greeted(frame: Frame, expected: MemberId | null): MemberId {
    const { cluster, generation, sender } = this.#envelope;
    const hello = frame.type === FRAME_HELLO ? parse(frame.body) : {};
    const { member } = hello;
    if (hello.cluster !== Buffer.from(cluster).toString('hex') || hello.generation !== generation) {
      throw new FrameError('TG_FRAME_HELLO', 'somebody of another service has called');
    }
    if (!isMemberId(member) || member === sender || (expected !== null && member !== expected)) {
      throw new FrameError('TG_FRAME_HELLO', `${String(member)} is not who was expected`);
    }
    return member;
  }
}

function parse(body: Uint8Array): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(new TextDecoder().decode(body));
    if (typeof value === 'object' && value !== null) return value as Record<string, unknown>;
  } catch {
    // Said below.
  }
  throw new FrameError('TG_FRAME_HELLO', 'a greeting is not readable');
}
