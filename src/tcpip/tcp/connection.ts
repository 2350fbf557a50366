/**
 * A TCP connection: its state (RFC 9293 3.3.1 and the extensions' variables) and what its owner calls. What a segment
 * does is in input.ts, what is sent in output.ts, loss in recovery.ts, time in timers.ts.
 *
 * The owner's calls know no time: they change the state and ask for output; everything timed happens in `process` and
 * `dispatch` of the stack.
 */

import type { Part } from '../../checkpoint/ledger.ts';
import type { Endpoint, Ipv4, Tcp, TcpOption, TcpState } from '../api.ts';
import { ByteQueue, type ChunkPool } from '../byte-queue.ts';
import { Reassembly } from './reassembly.ts';
import { after, distance } from './sequence.ts';

/** What a connection needs of its stack. */
export interface TcpHost {
  readonly mtu: number;
  readonly delayedAckUs: number;
  readonly chunks: ChunkPool;
  allocate(length: number): Uint8Array;
  touch(part: Part): void;
  /** The connection may have something to send, or its timers may have changed. */
  pend(connection: TcpConnection): void;
  /** Its owner should look at it. */
  notify(id: number): void;
  /** The connection is in state closed: its addresses are free. */
  retire(connection: TcpConnection): void;
  /** An established connection for its listener. */
  deliver(connection: TcpConnection): void;
  /** The connection is in TIME_WAIT from now. */
  lingers(connection: TcpConnection): void;
  sendReset(connection: TcpConnection): void;
  initialSequence(connection: TcpConnection, nowUs: number): number;
  timestampOffset(connection: TcpConnection): number;
  /** True where one more challenge ACK may be sent in this second (RFC 5961, section 7). */
  mayChallenge(nowUs: number): boolean;
}

/** A segment that was sent and is not yet acknowledged cumulatively. */
export interface Sent {
  seq: number;
  /** First sequence number after it; one more than its data where it carries the FIN. */
  end: number;
  /** When it was last sent, µs. */
  at: number;
  retransmissions: number;
  sacked: boolean;
  /** Believed lost, and not sent again since. */
  lost: boolean;
}

/** Which of the timers that exclude each other `retransmitAt` is. */
export const TIMER_NONE = 0;
export const TIMER_RTO = 1;
export const TIMER_PERSIST = 2;
/** Tail loss probe and reordering timer of RFC 8985. */
export const TIMER_PROBE = 3;
export const TIMER_REORDER = 4;

/** Congestion modes: open; fast recovery; after a retransmission time-out. */
export const MODE_OPEN = 0;
export const MODE_RECOVERY = 1;
export const MODE_LOSS = 2;

export const NEVER = Infinity;
export const BUFFER_DEFAULT = 1 << 20;
const BUFFER_MIN = 2304;
const BUFFER_MAX = 16 << 20;
/** Window scale offered: 16 MiB of window in 16 bits. */
export const WINDOW_SCALE = 8;

const ECONNRESET = 104;
const ECONNABORTED = 103;

/** Saved in this order; a change of the list is a new SAVE_VERSION. */
const SCALARS = [
  'state', 'orphan', 'listener', 'error',
  'iss', 'sndUna', 'sndNxt', 'sndWnd', 'sndWl1', 'sndWl2', 'sndWndMax', 'sndScale', 'sndMss', 'peerMss', 'dataSeq', 'sndSmall',
  'finQueued', 'finSent', 'synDue', 'synSentAt', 'synRetransmitted', 'lastSentAt', 'waitingSince', 'sendBlocked',
  'irs', 'rcvNxt', 'rcvAdv', 'lastAckSent', 'rcvScale', 'rcvMss', 'ackNow', 'finReceived',
  'timestamps', 'tsOffset', 'tsRecent', 'tsRecentAt', 'sackPermitted', 'dsackDue', 'dsackStart', 'dsackEnd',
  'sendBuffer', 'receiveBuffer', 'nodelay', 'cork', 'keepalive', 'keepidleUs', 'keepintvlUs', 'keepcnt', 'quickack', 'userTimeoutUs',
  'srtt', 'rttvar', 'minRtt', 'rto', 'backoff',
  'cwnd', 'ssthresh', 'wMax', 'epochAt', 'cubicK', 'cubicOrigin', 'wEst', 'mode', 'recoverSeq', 'dupAcks',
  'undoCwnd', 'undoSsthresh', 'undoStamp',
  'rackAt', 'rackEnd', 'rackRtt', 'reorderMult', 'reorderingSeen', 'reorderRound', 'fack',
  'probeEnd', 'probeOut', 'probeDue', 'probeSegment',
  'retransmitAt', 'retransmitMode', 'delayedAckAt', 'keepAt', 'corkAt', 'waitAt',
  'lastReceivedAt', 'keepProbes', 'challengeAt', 'forceSend',
] as const; // biome-ignore format: one line a topic
const SAVE_VERSION = 1;

export class TcpConnection implements Tcp, Part {
  readonly id: number;
  readonly key: string;
  readonly host: TcpHost;
  readonly localAddress: Ipv4;
  readonly localPort: number;
  readonly remoteAddress: Ipv4;
  readonly remotePort: number;

  state: TcpState = 'closed';
  /** The owner has closed it and holds it no more. */
  orphan = false;
  /** The listener that has not handed it out yet, or 0. */
  listener = 0;
  error = 0;

  // Sending. All sequence numbers are signed 32-bit.
  iss = 0;
  sndUna = 0;
  sndNxt = 0;
  /** Scaled, bytes. */
  sndWnd = 0;
  sndWl1 = 0;
  sndWl2 = 0;
  sndWndMax = 0;
  sndScale = 0;
  /** Data bytes in a full segment without SACK blocks. */
  sndMss = 536;
  /** The peer's MSS option, or what a path limit made of it. */
  peerMss = 536;
  /** Sequence number of the first byte in `sending`. */
  dataSeq = 0;
  /** End of the last segment sent that was not full (Minshall's variant of Nagle's rule). */
  sndSmall = 0;
  finQueued = false;
  finSent = false;
  synDue = false;
  synSentAt = -1;
  synRetransmitted = false;
  lastSentAt = 0;
  /** Since when the peer has something to acknowledge and has acknowledged nothing. */
  waitingSince = 0;
  /** The owner found less room than it wanted: tell it when there is some. */
  sendBlocked = false;

  // Receiving.
  irs = 0;
  rcvNxt = 0;
  /** Right edge of the window that the peer was told. */
  rcvAdv = 0;
  lastAckSent = 0;
  rcvScale = 0;
  /** Size of the peer's full segments, as seen. */
  rcvMss = 536;
  ackNow = false;
  finReceived = false;

  // Options agreed.
  timestamps = false;
  tsOffset = 0;
  tsRecent = 0;
  tsRecentAt = 0;
  sackPermitted = false;
  dsackDue = false;
  dsackStart = 0;
  dsackEnd = 0;

  // The owner's options.
  sendBuffer = BUFFER_DEFAULT;
  receiveBuffer = BUFFER_DEFAULT;
  nodelay = false;
  cork = false;
  keepalive = false;
  keepidleUs = 7_200_000_000;
  keepintvlUs = 75_000_000;
  keepcnt = 9;
  quickack = false;
  userTimeoutUs = 0;

  // Round-trip time, µs (RFC 6298). srtt 0: no sample yet.
  srtt = 0;
  rttvar = 0;
  minRtt = Infinity;
  rto = 1_000_000;
  backoff = 0;

  // Congestion control, bytes (RFC 5681, RFC 9438).
  cwnd = 0;
  ssthresh = Infinity;
  wMax = 0;
  epochAt = 0;
  /** Seconds. */
  cubicK = 0;
  cubicOrigin = 0;
  wEst = 0;
  mode = MODE_OPEN;
  /** Recovery ends when this is acknowledged. */
  recoverSeq = 0;
  dupAcks = 0;
  /** What to go back to if a time-out turns out to have been spurious (RFC 3522, RFC 4015); cwnd 0: nothing. */
  undoCwnd = 0;
  undoSsthresh = 0;
  undoStamp = 0;

  // RACK-TLP (RFC 8985).
  rackAt = -1;
  rackEnd = 0;
  rackRtt = 0;
  reorderMult = 1;
  reorderingSeen = false;
  reorderRound = 0;
  fack = 0;
  probeEnd = 0;
  probeOut = false;
  /** A segment at sndUna - 1, which the peer must answer: keepalive and window probes. */
  probeDue = false;
  /** A tail loss probe is due. */
  probeSegment = false;

  // Timers: monotonic µs, NEVER = off.
  retransmitAt = NEVER;
  retransmitMode = TIMER_NONE;
  delayedAckAt = NEVER;
  keepAt = NEVER;
  corkAt = NEVER;
  /** End of TIME_WAIT, or of FIN_WAIT_2 without an owner. */
  waitAt = NEVER;

  lastReceivedAt = 0;
  keepProbes = 0;
  challengeAt = -1;
  /** Send a small segment although the rules against silly windows would wait. */
  forceSend = false;

  sending: ByteQueue;
  received: ByteQueue;
  reassembly = new Reassembly();
  records: Sent[] = [];

  // Derived from `records`.
  /** Bytes believed to be in the network. */
  pipe = 0;
  lostCount = 0;
  sackedCount = 0;

  // The stack's own, not state.
  hash = 0;
  next: TcpConnection | null = null;
  /** The earliest time for which the stack's timer heap has an entry. */
  heapAt = NEVER;

  constructor(host: TcpHost, id: number, local: Endpoint, remote: Endpoint) {
    this.host = host;
    this.id = id;
    this.key = `tcp/${id}`;
    this.localAddress = local.address;
    this.localPort = local.port;
    this.remoteAddress = remote.address;
    this.remotePort = remote.port;
    this.sending = new ByteQueue(host.chunks);
    this.received = new ByteQueue(host.chunks);
  }

  get local(): Endpoint {
    return { address: this.localAddress, port: this.localPort };
  }

  get remote(): Endpoint {
    return { address: this.remoteAddress, port: this.remotePort };
  }

  takeError(): number {
    const error = this.error;
    if (error !== 0) {
      this.error = 0;
      this.host.touch(this);
    }
    return error;
  }

  get readable(): number {
    return this.received.length;
  }

  get endOfStream(): boolean {
    return this.finReceived && this.received.length === 0;
  }

  get writable(): number {
    if (this.finQueued || (this.state !== 'established' && this.state !== 'close-wait')) return 0;
    return Math.max(0, this.sendBuffer - this.sending.length);
  }

  get unacknowledged(): number {
    return this.sending.length;
  }

  send(bytes: Uint8Array, given = false): number {
    const count = Math.min(bytes.length, this.writable);
    if (count > 0) {
      if (given) this.sending.give(bytes, 0, count);
      else this.sending.push(bytes, 0, count);
      this.host.pend(this);
    }
    // As poll(2) sees it: not writable while more than two thirds are full.
    if (count < bytes.length || 3 * this.sending.length > 2 * this.sendBuffer) this.sendBlocked = true;
    this.host.touch(this);
    return count;
  }

  recv(length: number, peek = false): Uint8Array {
    const bytes = this.received.take(length, peek);
    if (!peek && bytes.length > 0) this.#roomMade();
    return bytes;
  }

  front(): Uint8Array {
    return this.received.front();
  }

  take(count: number, kept: boolean): void {
    this.received.drop(count, kept);
    if (count > 0) this.#roomMade();
  }

  /** Tells the peer of the room when it is worth a packet: much of the buffer, or the end of a window near zero. */
  #roomMade(): void {
    this.host.touch(this);
    const known = distance(this.rcvNxt, this.rcvAdv);
    const room = this.receiveBuffer - this.received.length;
    const full = Math.min(this.rcvMss, this.receiveBuffer >> 1);
    if (room - known >= (known < 2 * full ? full : this.receiveBuffer >> 1) && this.receives) {
      this.ackNow = true;
      this.host.pend(this);
    }
  }

  /** The peer may still send data. */
  get receives(): boolean {
    return this.state === 'established' || this.state === 'fin-wait-1' || this.state === 'fin-wait-2';
  }

  shutdown(): void {
    if (this.finQueued) return;
    if (this.state === 'established') this.state = 'fin-wait-1';
    else if (this.state === 'close-wait') this.state = 'last-ack';
    else if (this.state !== 'syn-received') return;
    this.finQueued = true;
    this.host.touch(this);
    this.host.pend(this);
  }

  close(): void {
    if (this.orphan) return;
    this.orphan = true;
    this.host.touch(this);
    if (this.state === 'closed') this.host.retire(this);
    else if (this.state === 'syn-sent') this.finish(0);
    // Unread data is lost: the peer must know (RFC 2525, 2.17).
    else if (this.received.length > 0 && this.state !== 'time-wait') this.abort();
    else {
      this.shutdown();
      this.host.pend(this);
    }
  }

  abort(): void {
    this.orphan = true;
    const synchronised = this.state !== 'closed' && this.state !== 'syn-sent' && this.state !== 'time-wait';
    if (synchronised) this.host.sendReset(this);
    this.finish(synchronised ? ECONNABORTED : 0);
  }

  setOption(name: TcpOption, value: number): void {
    this.host.touch(this);
    switch (name) {
      case 'nodelay':
      case 'cork':
      case 'keepalive':
      case 'quickack':
        this[name] = value !== 0;
        if (name === 'cork' && value === 0) this.corkAt = NEVER;
        if (name === 'quickack' && value !== 0 && this.delayedAckAt !== NEVER) this.ackNow = true;
        break;
      case 'sendBuffer':
      case 'receiveBuffer':
        this[name] = Math.max(BUFFER_MIN, Math.min(BUFFER_MAX, value));
        break;
      default:
        this[name] = value;
    }
    this.host.pend(this);
  }

  /** The connection is no more; `error` is what its owner will be told. */
  finish(error: number): void {
    this.state = 'closed';
    if (error !== 0) this.error = error;
    this.retransmitAt = this.delayedAckAt = this.keepAt = this.corkAt = this.waitAt = NEVER;
    this.retransmitMode = TIMER_NONE;
    this.sending.clear();
    this.reassembly.clear();
    this.records = [];
    this.recount();
    this.ackNow = this.probeDue = this.synDue = this.probeSegment = false;
    this.host.touch(this);
    this.host.retire(this);
    this.host.notify(this.id);
  }

  /** The peer's RST. */
  reset(): void {
    const error = this.state === 'close-wait' ? 32 /* EPIPE */ : ECONNRESET;
    const quiet = this.state === 'time-wait' || this.state === 'last-ack' || this.state === 'closing';
    this.finish(quiet ? 0 : error);
  }

  /** The earliest of the timers. */
  get timerAt(): number {
    return Math.min(this.retransmitAt, this.delayedAckAt, this.keepAt, this.corkAt, this.waitAt);
  }

  /** End of the data queued, in sequence numbers (the FIN's own number). */
  get dataEnd(): number {
    return (this.dataSeq + this.sending.length) | 0;
  }

  get finAcknowledged(): boolean {
    return this.finSent && after(this.sndUna, this.dataEnd);
  }

  /** Derives the sums over `records`. */
  recount(): void {
    this.pipe = this.lostCount = this.sackedCount = 0;
    for (const record of this.records) {
      if (record.sacked) this.sackedCount++;
      else if (record.lost) this.lostCount++;
      else this.pipe += distance(record.seq, record.end);
    }
  }

  save(): unknown {
    const records: number[] = [];
    for (const r of this.records) {
      records.push(r.seq, r.end, r.at, r.retransmissions, (r.sacked ? 1 : 0) + (r.lost ? 2 : 0));
    }
    return [
      SAVE_VERSION,
      [this.localAddress, this.localPort, this.remoteAddress, this.remotePort],
      scalarsOf(this),
      this.sending.save(),
      this.received.save(),
      this.reassembly.empty ? null : this.reassembly.save(),
      records,
    ];
  }

  static restore(host: TcpHost, id: number, state: unknown): TcpConnection {
    const [
      version,
      [localAddress, localPort, remoteAddress, remotePort],
      scalars,
      sending,
      received,
      reassembly,
      records,
    ] = state as [number, [number, number, number, number], unknown[], Uint8Array[], Uint8Array[], unknown, number[]];
    if (version !== SAVE_VERSION) throw new Error(`tcp/${id}: saved by version ${version}, this is ${SAVE_VERSION}`);
    const connection = new TcpConnection(
      host,
      id,
      { address: localAddress, port: localPort },
      { address: remoteAddress, port: remotePort },
    );
    const fields = connection as unknown as Record<string, unknown>;
    SCALARS.forEach((name, i) => {
      fields[name] = scalars[i];
    });
    connection.sending = ByteQueue.restore(sending, host.chunks);
    connection.received = ByteQueue.restore(received, host.chunks);
    if (reassembly !== null) connection.reassembly = Reassembly.restore(reassembly);
    for (let i = 0; i < records.length; i += 5) {
      connection.records.push({
        seq: records[i]!,
        end: records[i + 1]!,
        at: records[i + 2]!,
        retransmissions: records[i + 3]!,
        sacked: (records[i + 4]! & 1) !== 0,
        lost: (records[i + 4]! & 2) !== 0,
      });
    }
    connection.recount();
    return connection;
  }
}

/** The values of SCALARS: written out, because this runs for every touched connection in every epoch. */
function scalarsOf(c: TcpConnection): unknown[] {
  return [
    c.state,
    c.orphan,
    c.listener,
    c.error,
    c.iss,
    c.sndUna,
    c.sndNxt,
    c.sndWnd,
    c.sndWl1,
    c.sndWl2,
    c.sndWndMax,
    c.sndScale,
    c.sndMss,
    c.peerMss,
    c.dataSeq,
    c.sndSmall,
    c.finQueued,
    c.finSent,
    c.synDue,
    c.synSentAt,
    c.synRetransmitted,
    c.lastSentAt,
    c.waitingSince,
    c.sendBlocked,
    c.irs,
    c.rcvNxt,
    c.rcvAdv,
    c.lastAckSent,
    c.rcvScale,
    c.rcvMss,
    c.ackNow,
    c.finReceived,
    c.timestamps,
    c.tsOffset,
    c.tsRecent,
    c.tsRecentAt,
    c.sackPermitted,
    c.dsackDue,
    c.dsackStart,
    c.dsackEnd,
    c.sendBuffer,
    c.receiveBuffer,
    c.nodelay,
    c.cork,
    c.keepalive,
    c.keepidleUs,
    c.keepintvlUs,
    c.keepcnt,
    c.quickack,
    c.userTimeoutUs,
    c.srtt,
    c.rttvar,
    c.minRtt,
    c.rto,
    c.backoff,
    c.cwnd,
    c.ssthresh,
    c.wMax,
    c.epochAt,
    c.cubicK,
    c.cubicOrigin,
    c.wEst,
    c.mode,
    c.recoverSeq,
    c.dupAcks,
    c.undoCwnd,
    c.undoSsthresh,
    c.undoStamp,
    c.rackAt,
    c.rackEnd,
    c.rackRtt,
    c.reorderMult,
    c.reorderingSeen,
    c.reorderRound,
    c.fack,
    c.probeEnd,
    c.probeOut,
    c.probeDue,
    c.probeSegment,
    c.retransmitAt,
    c.retransmitMode,
    c.delayedAckAt,
    c.keepAt,
    c.corkAt,
    c.waitAt,
    c.lastReceivedAt,
    c.keepProbes,
    c.challengeAt,
    c.forceSend,
  ];
}
