/**
 * The link between a primary and the gateway, over a UNIX socket: frames of transport/frame.ts.
 *
 *   primary → gateway   FRAME_HELLO    who speaks, and of which view: once, first
 *   gateway → primary   FRAME_HELLO    served, or refused and why: once, first
 *   both ways           FRAME_PACKETS  IP packets, each with a u32 length before it
 *
 * The gateway serves one connection: that of the highest (generation, view). Both hellos are little-endian:
 *
 *   hello   0  u8 version, u8 length of member, u16 zero      answer   0  u8 version, u8 verdict, u16 zero
 *           4  16 bytes of cluster id                                  4  u32 generation    of who is served
 *          20  u32 generation                                          8  f64 view
 *          24  f64 view
 *          32  member, ASCII
 *
 * Everything is checked before it is used; nothing is allocated for what has not come.
 */

import { isMemberId } from '../register/register.ts';
import type { MemberId } from '../replication/types.ts';
import { copyOf } from '../tcpip/wire.ts';
import { FRAME_HELLO, FRAME_PACKETS, splitPackets } from '../transport/frame.ts';
import { LinkSocket } from './link-socket.ts';

export const GATEWAY_PROTOCOL_VERSION = 1;
const CLUSTER_BYTES = 16;
const HELLO_BYTES = 32;
const ANSWER_BYTES = 16;

/** Who connects. */
export interface GatewayHello {
  /** 16 bytes. */
  readonly cluster: Uint8Array;
  readonly generation: number;
  readonly view: number;
  readonly member: MemberId;
}

/** What a gateway says to a hello. The values are the protocol's. */
export const VERDICTS = {
  served: 0,
  /** A higher (generation, view) is served, or was. */
  superseded: 1,
  cluster: 2,
  malformed: 3,
  version: 4,
} as const;
export type Verdict = keyof typeof VERDICTS;
const VERDICT_NAMES = Object.keys(VERDICTS) as Verdict[];

export interface GatewayAnswer {
  readonly verdict: Verdict;
  /** Of who is served now (or last was); of whom is asked, when that is `served`. */
  readonly generation: number;
  readonly view: number;
}

export class GatewayProtocolError extends Error {
  /** `TG_GATEWAY_…` */
  readonly code: string;
  /** What a gateway answers to a hello with this fault. */
  readonly verdict: Verdict;
  override readonly name = 'GatewayProtocolError';

  constructor(code: string, message: string, verdict: Verdict = 'malformed') {
    super(message);
    this.code = code;
    this.verdict = verdict;
  }
}

/** Less than 0 where `a` is older than `b`, 0 for the same view of the same generation. */
export function compareViews(
  a: Pick<GatewayHello, 'generation' | 'view'>,
  b: Pick<GatewayHello, 'generation' | 'view'>,
): number {
  return a.generation - b.generation || a.view - b.view;
}

export function encodeHello(hello: GatewayHello): Uint8Array {
  const { cluster, generation, view, member } = hello;
  if (cluster.length !== CLUSTER_BYTES) throw new RangeError(`a cluster id has ${CLUSTER_BYTES} bytes`);
  const bytes = new Uint8Array(HELLO_BYTES + member.length);
  const data = new DataView(bytes.buffer);
  bytes[0] = GATEWAY_PROTOCOL_VERSION;
  bytes[1] = member.length;
  bytes.set(cluster, 4);
  data.setUint32(20, generation, true);
  data.setFloat64(24, view, true);
  for (let i = 0; i < member.length; i++) bytes[HELLO_BYTES + i] = member.charCodeAt(i);
  return bytes;
}

/** Throws GatewayProtocolError. The cluster is a copy. */
export function decodeHello(bytes: Uint8Array): GatewayHello {
  if (bytes.length < HELLO_BYTES) malformed('TRUNCATED', 'it is shorter than its header');
  checkVersion(bytes);
  const data = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length !== HELLO_BYTES + bytes[1]!) malformed('LENGTH', 'its length is wrong');
  if (data.getUint16(2, true) !== 0) malformed('RESERVED', 'a reserved field is used');
  const member = String.fromCharCode(...bytes.subarray(HELLO_BYTES));
  if (!isMemberId(member)) malformed('MEMBER', 'the name in it is not that of a member');
  const cluster = Uint8Array.from(bytes.subarray(4, 4 + CLUSTER_BYTES));
  return { cluster, generation: data.getUint32(20, true), view: viewAt(data, 24), member };
}

export function encodeAnswer(answer: GatewayAnswer): Uint8Array {
  const bytes = new Uint8Array(ANSWER_BYTES);
  const data = new DataView(bytes.buffer);
  bytes[0] = GATEWAY_PROTOCOL_VERSION;
  bytes[1] = VERDICTS[answer.verdict];
  data.setUint32(4, answer.generation, true);
  data.setFloat64(8, answer.view, true);
  return bytes;
}

/** Throws GatewayProtocolError. */
export function decodeAnswer(bytes: Uint8Array): GatewayAnswer {
  if (bytes.length !== ANSWER_BYTES) malformed('LENGTH', 'its length is wrong');
  checkVersion(bytes);
  const verdict = VERDICT_NAMES.find((name) => VERDICTS[name] === bytes[1]);
  if (verdict === undefined) malformed('VERDICT', 'its verdict is unknown');
  const data = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return { verdict, generation: data.getUint32(4, true), view: viewAt(data, 8) };
}

function checkVersion(bytes: Uint8Array): void {
  if (bytes[0] === GATEWAY_PROTOCOL_VERSION) return;
  const what = `its version is ${bytes[0]}, this program speaks ${GATEWAY_PROTOCOL_VERSION}`;
  throw new GatewayProtocolError('TG_GATEWAY_VERSION', `a hello was refused: ${what}`, 'version');
}

function viewAt(data: DataView, at: number): number {
  const view = data.getFloat64(at, true);
  if (!Number.isSafeInteger(view) || view < 0) malformed('VIEW', 'its view is out of range');
  return view;
}

function malformed(code: string, what: string): never {
  throw new GatewayProtocolError(`TG_GATEWAY_${code}`, `a hello was refused: ${what}`);
}

/** Pauses between attempts to connect, ms: doubled each time. */
const RETRY_MIN_MS = 5;
const RETRY_MAX_MS = 200;
/** Bytes of packets that wait for a connection, and for a gateway that does not read; what comes then is lost. */
const WAITING_MAX = 4 * 1024 * 1024;
const QUEUED_MAX = 64 * 1024 * 1024;

/**
 * The primary's end. Connects, and connects again when the connection is lost (a gateway that is started anew), until
 * `close` or until the gateway refuses. What is lost with a connection, TCP sends again.
 */
export class GatewayLink {
  /** A packet for the guest: yours. */
  onPacket: (packet: Uint8Array) => void = () => {};
  /** The gateway serves us from now on; what was under way on an earlier connection may be lost. */
  onUp: () => void = () => {};
  /** The connection is lost; the next attempt is made by itself. */
  onDown: () => void = () => {};
  /** The gateway serves somebody of a higher view, or does not know us. The link is closed for good. */
  onRefused: (error: GatewayProtocolError) => void = () => {};

  readonly #path: string;
  readonly #hello: Uint8Array;
  /** What is connected or connecting. */
  #socket: LinkSocket | null = null;
  #connected = false;
  #up = false;
  #closed = false;
  #retryMs = RETRY_MIN_MS;
  #retry: NodeJS.Timeout | null = null;
  /** Packets that wait for a connection. */
  #waiting: Uint8Array[] = [];
  #waitingBytes = 0;
  #flushing = false;
  #dropped = 0;

  /** Starts connecting. Set the handlers in the same turn of the event loop. */
  static connect(path: string, hello: GatewayHello): GatewayLink {
    const link = new GatewayLink(path, hello);
    link.#open();
    return link;
  }

  private constructor(path: string, hello: GatewayHello) {
    this.#path = path;
    this.#hello = encodeHello(hello);
  }

  /** The gateway has said that it serves us. */
  get up(): boolean {
    return this.#up;
  }

  /** Packets thrown away because too many waited. */
  get dropped(): number {
    return this.#dropped;
  }

  /** Bytes that the kernel has not taken yet. */
  get queued(): number {
    return this.#connected ? this.#socket!.queued : this.#waitingBytes;
  }

  /** A packet for the clients; it must not change any more. Packets sent in one turn leave in one write at its end. */
  send(packet: Uint8Array): void {
    if (this.#closed) return;
    if (this.queued + packet.length > (this.#connected ? QUEUED_MAX : WAITING_MAX)) {
      this.#dropped++;
      return;
    }
    if (!this.#connected) {
      this.#waiting.push(packet);
      this.#waitingBytes += packet.length;
      return;
    }
    this.#socket!.packet(packet);
    if (this.#flushing) return;
    this.#flushing = true;
    process.nextTick(() => this.flush());
  }

  /** What was sent leaves now. */
  flush(): void {
    this.#flushing = false;
    if (this.#connected) this.#socket!.flush();
  }

  /** Lets what was sent leave, and ends the link. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#retry !== null) clearTimeout(this.#retry);
    if (this.#connected) this.#socket!.end();
    else this.#socket?.destroy();
  }

  #open(): void {
    this.#retry = null;
    const socket = LinkSocket.connect(this.#path, {
      frame: (type, body) => this.#frame(type, body),
      close: () => this.#lost(),
    });
    socket.trust();
    this.#socket = socket;
    socket.socket.once('connect', () => {
      if (this.#closed) return;
      this.#connected = true;
      socket.send(FRAME_HELLO, this.#hello);
      // The gateway need not be asked first: it takes or drops them.
      for (const packet of this.#waiting) socket.packet(packet);
      socket.flush();
      this.#waiting = [];
      this.#waitingBytes = 0;
    });
  }

  #frame(type: number, body: Uint8Array): void {
    if (type === FRAME_PACKETS && this.#up) {
      for (const packet of splitPackets(body)) if (!this.#closed) this.onPacket(copyOf(packet));
      return;
    }
    if (type !== FRAME_HELLO) {
      throw new GatewayProtocolError('TG_GATEWAY_FRAME', `a frame of type ${type} came from the gateway`);
    }
    const { verdict, generation, view } = decodeAnswer(body);
    if (this.#closed) return;
    if (verdict === 'served') {
      this.#up = true;
      this.#retryMs = RETRY_MIN_MS;
      this.onUp();
      return;
    }
    this.close();
    this.onRefused(refusal(verdict, generation, view));
  }

  #lost(): void {
    const wasUp = this.#up;
    this.#socket = null;
    this.#connected = this.#up = false;
    if (this.#closed) return;
    this.#retry = setTimeout(() => this.#open(), this.#retryMs);
    this.#retryMs = Math.min(RETRY_MAX_MS, this.#retryMs * 2);
    if (wasUp) this.onDown();
  }
}

function refusal(verdict: Exclude<Verdict, 'served'>, generation: number, view: number): GatewayProtocolError {
  switch (verdict) {
    case 'superseded':
      return new GatewayProtocolError(
        'TG_GATEWAY_SUPERSEDED',
        `the gateway serves view ${view} of generation ${generation}`,
        verdict,
      );
    case 'cluster':
      return new GatewayProtocolError('TG_GATEWAY_CLUSTER', 'the gateway is of another cluster', verdict);
    default:
      return new GatewayProtocolError('TG_GATEWAY_REFUSED', `the gateway refused us: ${verdict}`, verdict);
  }
}
