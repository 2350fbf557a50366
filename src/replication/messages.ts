/**
 * The messages between replicas as bytes (the body of a frame, which has length and checksum). Little-endian:
 *
 *   0  u8 version, u8 kind, u8 flags, u8 sender's length       20  u32 generation
 *   4  16 bytes of cluster id                                  24  f64 view      32  sender, then what the kind has
 *
 * Every count is checked against what has come before anything is allocated.
 */

import { isMemberId } from '../register/register.ts';
import type { MemberId, Message, Position } from './types.ts';

export const MESSAGE_VERSION = 1;

/** Who speaks, of which cluster and generation: the same for every message of a process. */
export interface Envelope {
  /** 16 bytes. */
  readonly cluster: Uint8Array;
  readonly generation: number;
  readonly sender: MemberId;
}

export class MessageError extends Error {
  /** `TG_MESSAGE_…` */
  readonly code: string;
  override readonly name = 'MessageError';

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

/** Most positions in a `status`, and most members in a `heartbeat`. */
export const HELD_MAX = 1024;
const MEMBERS_MAX = 64;
const FIXED = 32;

const KINDS = ['epoch', 'heartbeat', 'ack', 'status', 'stale', 'look', 'diverged'] as const satisfies Message['kind'][];
const FLAG_START = 1;
const FLAG_DONE = 2;
const FLAG_COMPLETE = 1;

class Writer {
  readonly bytes: Uint8Array;
  readonly #view: DataView;
  at = FIXED;

  constructor(size: number) {
    this.bytes = new Uint8Array(size);
    this.#view = new DataView(this.bytes.buffer);
  }

  u32(value: number, at = this.#step(4)): void {
    this.#view.setUint32(at, value, true);
  }

  number(value: number, at = this.#step(8)): void {
    this.#view.setFloat64(at, value, true);
  }

  u64(value: bigint): void {
    this.#view.setBigUint64(this.#step(8), value, true);
  }

  position(position: Position): void {
    this.number(position.epoch);
    this.number(position.origin);
  }

  ascii(value: string): void {
    for (let i = 0; i < value.length; i++) this.bytes[this.at++] = value.charCodeAt(i);
  }

  #step(size: number): number {
    const at = this.at;
    this.at += size;
    return at;
  }
}

/** The message in pieces; an epoch's delta and chunk are not copied. */
export function encodeMessage(envelope: Envelope, message: Message): Uint8Array[] {
  const { sender } = envelope;
  const out = new Writer(FIXED + sender.length + sizeOf(message));
  out.bytes[0] = MESSAGE_VERSION;
  out.bytes[1] = KINDS.indexOf(message.kind);
  out.bytes[3] = sender.length;
  out.bytes.set(envelope.cluster, 4);
  out.u32(envelope.generation, 20);
  out.number(message.view, 24);
  out.ascii(sender);
  switch (message.kind) {
    case 'epoch':
      out.bytes[2] = (message.start ? FLAG_START : 0) | (message.done ? FLAG_DONE : 0);
      out.position(message.previous);
      out.position(message.position);
      out.number(message.commit);
      out.u64(message.hash);
      out.u32(message.delta.length);
      out.u32(message.chunk.length);
      return [out.bytes, message.delta, message.chunk].filter((piece) => piece.length > 0);
    case 'heartbeat':
      out.position(message.last);
      out.number(message.commit);
      out.u32(message.members.length);
      for (const member of message.members) {
        out.bytes[out.at++] = member.length;
        out.ascii(member);
      }
      break;
    case 'ack':
    case 'diverged':
      out.number(message.epoch);
      break;
    case 'status':
      out.bytes[2] = message.complete ? FLAG_COMPLETE : 0;
      out.u32(message.held.length);
      for (const position of message.held) out.position(position);
      break;
    default:
  }
  return [out.bytes];
}

function sizeOf(message: Message): number {
  switch (message.kind) {
    case 'epoch':
      return 56;
    case 'heartbeat':
      return 28 + message.members.reduce((sum, member) => sum + 1 + member.length, 0);
    case 'ack':
    case 'diverged':
      return 8;
    case 'status':
      return 4 + 16 * message.held.length;
    default:
      return 0;
  }
}

/**
 * Reads a message; an epoch's delta and chunk are views into `bytes`. Throws MessageError for what is malformed, of
 * another version, cluster or generation.
 */
export function decodeMessage(
  envelope: Pick<Envelope, 'cluster' | 'generation'>,
  bytes: Uint8Array,
): { from: MemberId; message: Message } {
  return new Reader(bytes).message(envelope);
}

class Reader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = FIXED;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  message(envelope: Pick<Envelope, 'cluster' | 'generation'>): { from: MemberId; message: Message } {
    const bytes = this.#bytes;
    if (bytes.length < FIXED) bad('TRUNCATED', 'it is shorter than its header');
    if (bytes[0] !== MESSAGE_VERSION)
      bad('VERSION', `its version is ${bytes[0]}, this program speaks ${MESSAGE_VERSION}`);
    if (!envelope.cluster.every((byte, i) => bytes[4 + i] === byte)) bad('CLUSTER', 'it is from another cluster');
    if (this.#view.getUint32(20, true) !== envelope.generation) bad('GENERATION', 'it is of another generation');
    const kind = KINDS[bytes[1]!];
    if (kind === undefined) bad('KIND', 'its kind is unknown');
    const view = this.#number(24);
    const from = this.#member(bytes[3]!);
    const message = this.#body(kind, view, bytes[2]!);
    if (this.#at !== bytes.length) bad('LENGTH', 'it is longer than its contents');
    return { from, message };
  }

  #body(kind: (typeof KINDS)[number], view: number, flags: number): Message {
    switch (kind) {
      case 'epoch': {
        const previous = this.#position();
        const position = this.#position();
        const commit = this.#number();
        const hash = this.#view.getBigUint64(this.#step(8), true);
        const deltaLength = this.#u32();
        const chunkLength = this.#u32();
        const start = (flags & FLAG_START) !== 0;
        const done = (flags & FLAG_DONE) !== 0;
        const delta = this.#take(deltaLength);
        return { kind, view, previous, position, commit, hash, start, done, delta, chunk: this.#take(chunkLength) };
      }
      case 'heartbeat': {
        const last = this.#position();
        const commit = this.#number();
        const count = this.#u32();
        if (count > MEMBERS_MAX) bad('COUNT', 'it names too many members');
        const members: MemberId[] = [];
        for (let i = 0; i < count; i++) members.push(this.#member(this.#bytes[this.#step(1)]!));
        return { kind, view, last, commit, members };
      }
      case 'ack':
      case 'diverged':
        return { kind, view, epoch: this.#number() };
      case 'status': {
        const count = this.#u32();
        if (count > HELD_MAX || count * 16 > this.#bytes.length - this.#at) bad('COUNT', 'it says more than it holds');
        const held: Position[] = [];
        for (let i = 0; i < count; i++) {
          const position = this.#position();
          if (i > 0 && position.epoch !== held[i - 1]!.epoch + 1) bad('HELD', 'what it holds has gaps');
          held.push(position);
        }
        return { kind, view, complete: (flags & FLAG_COMPLETE) !== 0, held };
      }
      default:
        return { kind, view };
    }
  }

  #member(length: number): MemberId {
    const bytes = this.#take(length);
    const id = String.fromCharCode(...bytes);
    if (!isMemberId(id)) bad('MEMBER', 'a name in it is not that of a member');
    return id;
  }

  #position(): Position {
    return { epoch: this.#number(), origin: this.#number() };
  }

  #number(at = this.#step(8)): number {
    const value = this.#view.getFloat64(at, true);
    if (!Number.isSafeInteger(value) || value < 0) bad('NUMBER', 'a number in it is out of range');
    return value;
  }

  #u32(): number {
    return this.#view.getUint32(this.#step(4), true);
  }

  #step(size: number): number {
    const at = this.#at;
    if (size > this.#bytes.length - at) bad('TRUNCATED', 'it is cut off');
    this.#at += size;
    return at;
  }

  #take(length: number): Uint8Array {
    const at = this.#step(length);
    return this.#bytes.subarray(at, at + length);
  }
}

function bad(code: string, what: string): never {
  throw new MessageError(`TG_MESSAGE_${code}`, `a message was refused: ${what}`);
}
