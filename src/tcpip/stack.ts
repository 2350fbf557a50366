/**
 * The TCP/IP stack: IPv4, ICMP, UDP and TCP over one interface and the loopback addresses. See api.ts.
 *
 * Packets in by `process`, out by `dispatch`, time with both. State is plain data: the stack is the part `tcpip`, each
 * connection `tcp/N`, each listener `listener/N`, each UDP socket `udp/N`, half-arrived datagrams `tcpip/fragments`.
 */

import type { Part, Plain } from '../checkpoint/ledger.ts';
import type { Endpoint, Ipv4, Stack, StackOptions, Tcp, TcpListener } from './api.ts';
import { ChunkPool } from './byte-queue.ts';
import { CODE_FRAGMENTATION_NEEDED, CODE_PORT, icmp, type Unreachable, unreachable } from './icmp.ts';
import {
  fragment,
  IP_HEADER,
  Ipv4Header,
  ipPacket,
  PROTOCOL_ICMP,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
  Reassembler,
} from './ipv4.ts';
import { sipHash } from './siphash.ts';
import { type TcpConnection as Connection, TcpConnection, type TcpHost, WINDOW_SCALE } from './tcp/connection.ts';
import { input, setMss, takeSyn } from './tcp/input.ts';
import { Listener, type ListenerHost } from './tcp/listener.ts';
import { output } from './tcp/output.ts';
import { ACK, putHeader, RST, Segment, SYN, seal, TCP_HEADER } from './tcp/segment.ts';
import { after, atOrAfter, atOrBefore } from './tcp/sequence.ts';
import { TimerHeap } from './tcp/timer-heap.ts';
import { armKeepAlive, onTimer, resync } from './tcp/timers.ts';
import { checkUdp, UDP_HEADER, type UdpHost, UdpSocket, udpPacket } from './udp.ts';
import { copyOf, get16, get32 } from './wire.ts';

const EADDRINUSE = 98;
const EADDRNOTAVAIL = 99;
const ENETUNREACH = 101;
const ECONNREFUSED = 111;
const EHOSTUNREACH = 113;

/** net.ipv4.ip_local_port_range. */
const PORT_FIRST = 32768;
const PORT_COUNT = 28232;
/** Connections in all states but TIME_WAIT; the SYN that would make one more is dropped. */
const CONNECTIONS_MAX = 65536;
/** More than these and the oldest TIME_WAIT goes (net.ipv4.tcp_max_tw_buckets). */
const TIME_WAIT_MAX = 8192;
/** Packets that wait for dispatch and belong to no connection. */
const RAW_MAX = 1024;
const DELAYED_ACK_US = 40_000;
/** RFC 5961, section 7. */
const CHALLENGES_PER_SECOND = 1000;
const LOOPBACK = 0x7f00_0001;
const SAVE_VERSION = 1;

/** The parts of the ledger that the stack uses. */
export interface PartLedger {
  add(part: Part): void;
  touch(part: Part): void;
  remove(part: Part): void;
}

export interface TcpipOptions extends StackOptions {
  readonly ledger?: PartLedger;
}

/** What must be passed in again to a restored stack. */
export interface TcpipDeps {
  readonly ledger?: PartLedger;
}

export interface ListenOptions {
  /** 0 or absent: any address. */
  readonly address?: Ipv4;
  /** SO_REUSEPORT: others may listen on the same port; connections are spread over them by a hash. */
  readonly reusePort?: boolean;
}

/** Counters for the operator; not part of the state. */
export interface TcpipStats {
  received: number;
  sent: number;
  /** Malformed, or a wrong checksum. */
  bad: number;
  /** For another host, or of an unknown protocol. */
  unwanted: number;
  resetsSent: number;
  synsDropped: number;
  datagramsDropped: number;
}

export class TcpipStack implements Stack, Part, TcpHost, ListenerHost, UdpHost {
  readonly key = 'tcpip';
  readonly address: Ipv4;
  readonly mtu: number;
  readonly chunks = new ChunkPool();
  readonly allocate: (length: number) => Uint8Array;
  readonly delayedAckUs: number;
  onReady: ((id: number) => void) | null = null;
  /**
   * Connections from outside reach listeners on a loopback address where nobody else listens on the port: what comes in
   * over a gateway was published by the operator, also for a service that believes itself alone with its host.
   */
  publishLoopback = false;
  /**
   * Whether what we begin may go beyond our own /24. Answers always may. Without a route a resolver or a client fails at
   * once with ENETUNREACH instead of waiting for packets that nobody forwards.
   */
  defaultRoute = true;
  readonly stats: TcpipStats = {
    received: 0,
    sent: 0,
    bad: 0,
    unwanted: 0,
    resetsSent: 0,
    synsDropped: 0,
    datagramsDropped: 0,
  };

  readonly #ledger: PartLedger | undefined;
  #secret: Uint8Array;
  #nextId = 1;
  #ipId = 0;
  #portCounter = 0;
  #challengeSecond = 0;
  #challenges = 0;
  /** Packets that no connection sends: resets, ICMP, datagrams. */
  #raw: Uint8Array[] = [];
  /** Connections that may have something to send, in the order in which they asked. */
  readonly #pending = new Set<Connection>();
  #fragments = new Reassembler();
  readonly #fragmentsPart: Part = { key: 'tcpip/fragments', save: () => this.#fragments.save() };

  // Derived or rebuilt from the parts.
  readonly #connections = new Map<number, Connection>();
  readonly #table = new Map<number, Connection>();
  readonly #listeners = new Map<number, Listener>();
  readonly #listenersByPort = new Map<number, Listener[]>();
  readonly #udp = new Map<number, UdpSocket>();
  readonly #udpByPort = new Map<number, UdpSocket[]>();
  readonly #heap = new TimerHeap();
  /** Connections in TIME_WAIT, the one that ends first at the front. */
  readonly #timeWaits = new Set<Connection>();
  readonly #header = new Ipv4Header();
  readonly #segment = new Segment();

  constructor(options: TcpipOptions) {
    this.address = options.address;
    this.mtu = options.mtu;
    this.allocate = options.allocate ?? ((length) => new Uint8Array(length));
    this.delayedAckUs = options.delayedAckUs ?? DELAYED_ACK_US;
    this.#ledger = options.ledger;
    this.#secret = copyOf(options.entropy(16));
    this.#ledger?.add(this);
    this.#ledger?.add(this.#fragmentsPart);
  }

  // ---- packets

  process(packet: Uint8Array, nowUs: number, given = false): void {
    this.stats.received++;
    this.#segment.given = given;
    this.#receive(packet, nowUs, false);
  }

  dispatch(nowUs: number): Uint8Array | null {
    for (let c = this.#heap.take(nowUs); c !== null; c = this.#heap.take(nowUs)) {
      onTimer(c, nowUs);
      this.#heap.schedule(c);
    }
    for (;;) {
      const packet = this.#nextPacket(nowUs);
      if (packet === null) return null;
      if (this.isLocal(get32(packet, 16))) {
        this.#segment.given = true;
        this.#receive(packet, nowUs, true);
        continue;
      }
      this.stats.sent++;
      return packet;
    }
  }

  pollAt(): number | null {
    if (this.#raw.length > 0 || this.#pending.size > 0) return 0;
    const next = this.#heap.next;
    return next === Infinity ? null : next;
  }

  /** True for our address and 127.0.0.0/8. */
  isLocal(address: Ipv4): boolean {
    return address === this.address || address >>> 24 === 127;
  }

  #nextPacket(nowUs: number): Uint8Array | null {
    if (this.#raw.length > 0) {
      this.touch(this);
      return this.#raw.shift()!;
    }
    for (const connection of this.#pending) {
      const packet = output(connection, nowUs);
      if (packet !== null) {
        this.touch(connection);
        return packet;
      }
      this.#pending.delete(connection);
      armKeepAlive(connection);
      this.#heap.schedule(connection);
    }
    return null;
  }

  #receive(packet: Uint8Array, nowUs: number, loop: boolean): void {
    const header = this.#header;
    if (!header.parse(packet)) {
      this.stats.bad++;
      return;
    }
    // From outside, only our address as destination and no loopback address as source (RFC 1122 3.2.1.3).
    if (!loop && (header.destination !== this.address || header.source >>> 24 === 127)) {
      this.stats.unwanted++;
      return;
    }
    if (header.moreFragments || header.fragmentOffset > 0) {
      this.touch(this.#fragmentsPart);
      const whole = this.#fragments.add(header, packet, nowUs);
      if (whole === null) return;
      const rebuilt = ipPacket(IP_HEADER + whole.length, header.protocol, header.source, header.destination);
      rebuilt.set(whole, IP_HEADER);
      header.parse(rebuilt);
      this.#protocol(rebuilt, nowUs);
      return;
    }
    this.#protocol(packet, nowUs);
  }

  #protocol(packet: Uint8Array, nowUs: number): void {
    switch (this.#header.protocol) {
      case PROTOCOL_TCP:
        this.#tcp(packet, nowUs);
        return;
      case PROTOCOL_UDP:
        this.#datagram(packet);
        return;
      case PROTOCOL_ICMP: {
        const result = icmp(this.#header, packet);
        if (result === null) return;
        if (result instanceof Uint8Array) this.#sendRaw(result);
        else this.#unreachable(result);
        return;
      }
      default:
        this.stats.unwanted++;
    }
  }

  #sendRaw(packet: Uint8Array): void {
    if (this.#raw.length >= RAW_MAX) return;
    this.touch(this);
    if (packet.length <= this.mtu || this.isLocal(get32(packet, 16))) this.#raw.push(packet);
    else this.#raw.push(...fragment(packet, this.mtu, (this.#ipId = (this.#ipId + 1) & 0xffff)));
  }

  // ---- TCP

  listen(port: number, backlog: number, options: ListenOptions = {}): TcpListener | number {
    const address = options.address ?? 0;
    const others = this.#listenersByPort.get(port) ?? [];
    for (const other of others) {
      const clash = other.address === 0 || address === 0 || other.address === address;
      if (clash && !(options.reusePort === true)) return -EADDRINUSE;
    }
    const listener = new Listener(this, this.#allocate(), address, port, backlog);
    this.#listeners.set(listener.id, listener);
    this.#listenersByPort.set(port, [...others, listener]);
    this.#ledger?.add(listener);
    return listener;
  }

  connect(remote: Endpoint, localPort = 0, localAddress: Ipv4 = 0): Tcp | number {
    if (remote.address === 0) remote = { address: LOOPBACK, port: remote.port };
    if (remote.port === 0) return -ECONNREFUSED;
    if (!this.reaches(remote.address)) return -ENETUNREACH;
    const address = localAddress !== 0 ? localAddress : this.sourceFor(remote.address);
    let port = localPort;
    if (port === 0) {
      port = this.ephemeralPort(address, remote, (candidate) => this.#free(address, candidate, remote));
      if (port === 0) return -EADDRNOTAVAIL;
    } else if (!this.#free(address, port, remote)) return -EADDRINUSE;
    const old = this.#find(address, port, remote.address, remote.port);
    if (old !== null) old.finish(0); // A TIME_WAIT that #free allowed to be used again.
    const connection = new TcpConnection(this, this.#allocate(), { address, port }, remote);
    connection.state = 'syn-sent';
    connection.synDue = true;
    this.#insert(connection);
    this.#ledger?.add(connection);
    this.pend(connection);
    return connection;
  }

  /** Whether a connection or datagram to `address` may be begun; never to multicast and class E. */
  reaches(address: Ipv4): boolean {
    if (address >>> 28 >= 14) return false;
    // 0.0.0.0 as a destination is this host.
    return this.defaultRoute || address === 0 || this.isLocal(address) || address >>> 8 === this.address >>> 8;
  }

  /** The local address for packets to `address`. */
  sourceFor(address: Ipv4): Ipv4 {
    return address >>> 24 === 127 ? LOOPBACK : this.address;
  }

  /** An unused port for a connection to `remote` (RFC 6056, algorithm 3), or 0. */
  ephemeralPort(address: Ipv4, remote: Endpoint, free: (port: number) => boolean): number {
    const offset = sipHash(this.#secret, [address, remote.address, remote.port, 1]) >>> 0;
    this.touch(this);
    for (let i = 0; i < PORT_COUNT; i++) {
      const port = PORT_FIRST + ((offset + this.#portCounter++) % PORT_COUNT);
      if (free(port)) return port;
    }
    return 0;
  }

  /** True where a listener or a connection uses the port: for bind(2). `live` leaves out TIME_WAIT (SO_REUSEADDR). */
  portInUse(address: Ipv4, port: number, live: boolean): boolean {
    const overlaps = (other: Ipv4): boolean => address === 0 || other === 0 || address === other;
    for (const listener of this.#listenersByPort.get(port) ?? []) if (overlaps(listener.address)) return true;
    for (const c of this.#connections.values()) {
      if (c.localPort !== port || c.state === 'closed' || !overlaps(c.localAddress)) continue;
      if (!live || c.state !== 'time-wait') return true;
    }
    return false;
  }

  #free(address: Ipv4, port: number, remote: Endpoint): boolean {
    const old = this.#find(address, port, remote.address, remote.port);
    // With timestamps a TIME_WAIT's old duplicates cannot be mistaken for ours (RFC 6191).
    if (old !== null && !(old.state === 'time-wait' && old.timestamps)) return false;
    return !(this.#listenersByPort.get(port) ?? []).some((l) => l.address === 0 || l.address === address);
  }

  #tcp(packet: Uint8Array, nowUs: number): void {
    const header = this.#header;
    const s = this.#segment;
    if (!s.parse(packet, header.start, header.end, header.source, header.destination)) {
      this.stats.bad++;
      return;
    }
    let connection = this.#find(s.destination, s.destinationPort, s.source, s.sourcePort);
    let reuse: Connection | null = null;
    if (connection !== null && connection.state === 'time-wait' && (s.flags & (SYN | ACK | RST)) === SYN) {
      // A new connection from the same port (RFC 9293 3.6.1, RFC 6191).
      const newer =
        connection.timestamps && s.hasTimestamp ? after(s.tsval, connection.tsRecent) : after(s.seq, connection.rcvNxt);
      if (newer) {
        reuse = connection;
        connection.finish(0);
        connection = null;
      }
    }
    if (connection !== null) {
      if (input(connection, s, nowUs) === 'reset') this.#resetFor(s);
      return;
    }
    if ((s.flags & RST) !== 0) return;
    const listener = this.#listenerFor(s);
    if (listener === null || (s.flags & ACK) !== 0) {
      this.#resetFor(s);
      return;
    }
    if ((s.flags & SYN) !== 0) this.#open(listener, s, nowUs, reuse);
  }

  /** A SYN for a listener: the embryo of a connection. */
  #open(listener: Listener, s: Segment, nowUs: number, old: Connection | null): void {
    if (!listener.hasRoom || this.#connections.size - this.#timeWaits.size >= CONNECTIONS_MAX) {
      this.stats.synsDropped++;
      return;
    }
    const local = { address: s.destination, port: s.destinationPort };
    const c = new TcpConnection(this, this.#allocate(), local, { address: s.source, port: s.sourcePort });
    c.state = 'syn-received';
    c.listener = listener.id;
    c.timestamps = c.sackPermitted = true;
    c.rcvScale = WINDOW_SCALE;
    for (const [name, value] of listener.options) c.setOption(name, value);
    c.iss = this.initialSequence(c, nowUs);
    if (old !== null && !after(c.iss, old.sndNxt)) c.iss = (old.sndNxt + 65536) | 0;
    c.tsOffset = this.timestampOffset(c);
    takeSyn(c, s, nowUs);
    c.sndUna = c.sndNxt = c.iss;
    c.sndWnd = c.sndWndMax = s.window;
    c.synDue = true;
    listener.embryos++;
    this.#insert(c);
    this.#ledger?.add(c);
    this.pend(c);
  }

  #listenerFor(s: Segment): Listener | null {
    const listeners = this.#listenersByPort.get(s.destinationPort);
    if (listeners === undefined) return null;
    const exact = listeners.filter((l) => l.address === s.destination);
    let fitting = exact.length > 0 ? exact : listeners.filter((l) => l.address === 0);
    if (fitting.length === 0 && this.publishLoopback) fitting = listeners.filter((l) => l.address >>> 24 === 127);
    if (fitting.length < 2) return fitting[0] ?? null;
    const hash = sipHash(this.#secret, [s.source, s.sourcePort, s.destination, s.destinationPort]) >>> 0;
    return fitting[hash % fitting.length]!;
  }

  /** RFC 9293 3.5.2 and 3.10.7.1: the reset for a segment that fits nothing. */
  #resetFor(s: Segment): void {
    if ((s.flags & RST) !== 0) return;
    const acks = (s.flags & ACK) !== 0;
    this.#sendResetSegment(
      { address: s.destination, port: s.destinationPort },
      { address: s.source, port: s.sourcePort },
      acks ? s.ack : 0,
      acks ? 0 : (s.seq + s.length) | 0,
      acks ? RST : RST | ACK,
    );
  }

  #sendResetSegment(local: Endpoint, remote: Endpoint, seq: number, ack: number, flags: number): void {
    const packet = ipPacket(IP_HEADER + TCP_HEADER, PROTOCOL_TCP, local.address, remote.address);
    putHeader(packet, IP_HEADER, local.port, remote.port, seq, ack, flags, 0, TCP_HEADER);
    seal(packet, IP_HEADER, local.address, remote.address);
    this.stats.resetsSent++;
    this.#sendRaw(packet);
  }

  // ---- UDP and ICMP

  /** A UDP socket on `port` (0: an unused one), or -errno. Sockets that share a port share its datagrams only by address. */
  udp(address: Ipv4, port: number, reuse = false): UdpSocket | number {
    const taken = (p: number): boolean =>
      (this.#udpByPort.get(p) ?? []).some((o) => o.address === 0 || address === 0 || o.address === address);
    let chosen = port;
    if (port === 0) {
      chosen = this.ephemeralPort(address, { address: 0, port: 17 }, (p) => !taken(p));
      if (chosen === 0) return -EADDRINUSE;
    } else if (!reuse && taken(port)) return -EADDRINUSE;
    const socket = new UdpSocket(this, this.#allocate(), address, chosen);
    this.#addUdp(socket);
    this.#ledger?.add(socket);
    return socket;
  }

  #addUdp(socket: UdpSocket): void {
    this.#udp.set(socket.id, socket);
    this.#udpByPort.set(socket.port, [...(this.#udpByPort.get(socket.port) ?? []), socket]);
  }

  #datagram(packet: Uint8Array): void {
    const { source, destination, start } = this.#header;
    const end = checkUdp(packet, start, this.#header.end, source, destination);
    if (end < 0) {
      this.stats.bad++;
      return;
    }
    const sourcePort = get16(packet, start);
    const socket = this.#udpFor(destination, get16(packet, start + 2), source, sourcePort);
    if (socket === null) {
      this.#sendRaw(unreachable(this.#header, packet, CODE_PORT));
      return;
    }
    const bytes = copyOf(packet, start + UDP_HEADER, end);
    if (socket.deliver({ source, sourcePort, destination, bytes })) this.notify(socket.id);
    else this.stats.datagramsDropped++;
  }

  /** The most closely bound socket. */
  #udpFor(destination: Ipv4, port: number, source: Ipv4, sourcePort: number): UdpSocket | null {
    let best: UdpSocket | null = null;
    let bestScore = -1;
    for (const socket of this.#udpByPort.get(port) ?? []) {
      if (socket.address !== 0 && socket.address !== destination) continue;
      if (socket.remote !== null && (socket.remote.address !== source || socket.remote.port !== sourcePort)) continue;
      const score = (socket.address !== 0 ? 1 : 0) + (socket.remote !== null ? 2 : 0);
      if (score > bestScore) {
        best = socket;
        bestScore = score;
      }
    }
    return best;
  }

  sendDatagram(source: Ipv4, sourcePort: number, remote: Endpoint, bytes: Uint8Array): void {
    const target = remote.address === 0 ? { address: LOOPBACK, port: remote.port } : remote;
    this.#sendRaw(udpPacket(source !== 0 ? source : this.sourceFor(target.address), sourcePort, target, bytes));
  }

  closeUdp(socket: UdpSocket): void {
    if (!this.#udp.delete(socket.id)) return;
    this.#without(this.#udpByPort, socket.port, socket);
    this.#ledger?.remove(socket);
  }

  #unreachable(report: Unreachable): void {
    const local = report.source;
    const errno =
      report.code === CODE_PORT || report.code === 2 ? ECONNREFUSED : report.code === 0 ? ENETUNREACH : EHOSTUNREACH;
    if (report.protocol === PROTOCOL_UDP) {
      const remote = { address: report.destination, port: report.destinationPort };
      const socket = this.#udpFor(local, report.sourcePort, remote.address, remote.port);
      // Only a connected socket hears of it (udp(7)).
      if (socket !== null && socket.remote !== null) {
        socket.fail(errno);
        this.notify(socket.id);
      }
      return;
    }
    if (report.protocol !== PROTOCOL_TCP) return;
    const c = this.#find(local, report.sourcePort, report.destination, report.destinationPort);
    // A blind attacker must guess a sequence number in flight (RFC 5927 4.1).
    if (c === null || !atOrAfter(report.seq, c.sndUna) || !atOrBefore(report.seq, c.sndNxt)) return;
    if (c.state === 'syn-sent') {
      if (report.code !== CODE_FRAGMENTATION_NEEDED) c.finish(errno);
    } else if (report.code === CODE_FRAGMENTATION_NEEDED && report.mtu >= 68 && report.mtu - 40 < c.peerMss) {
      // Path MTU discovery (RFC 1191), never below 512 bytes of data: a forged report must not make headers of us.
      c.peerMss = Math.max(536, report.mtu - 40);
      setMss(c);
      for (const record of c.records) if (!record.sacked) record.lost = true;
      c.recount();
      this.touch(c);
      this.pend(c);
    }
  }

  // ---- for connections and listeners

  touch(part: Part): void {
    this.#ledger?.touch(part);
  }

  pend(connection: Connection): void {
    this.touch(this);
    this.#pending.add(connection);
  }

  notify(id: number): void {
    this.onReady?.(id);
  }

  connection(id: number): Connection | undefined {
    return this.#connections.get(id);
  }

  /** The listener, connection or UDP socket of an id, for an owner that was restored. */
  listener(id: number): Listener | undefined {
    return this.#listeners.get(id);
  }

  udpSocket(id: number): UdpSocket | undefined {
    return this.#udp.get(id);
  }

  deliver(c: Connection): void {
    const listener = c.listener === 0 ? undefined : this.#listeners.get(c.listener);
    if (listener === undefined) {
      this.notify(c.id);
      return;
    }
    listener.embryos--;
    listener.queue.push(c.id);
    this.touch(listener);
    this.notify(listener.id);
  }

  retire(c: Connection): void {
    this.#remove(c);
    if (c.listener !== 0) {
      const listener = this.#listeners.get(c.listener);
      if (listener !== undefined) {
        const at = listener.queue.indexOf(c.id);
        // A connection that was reset before accept(2) is not handed out (POSIX leaves it open; BSD and Linux differ).
        if (at >= 0) listener.queue.splice(at, 1);
        else listener.embryos--;
        this.touch(listener);
      }
      c.listener = 0;
      c.orphan = true;
    }
    if (c.orphan && this.#connections.delete(c.id)) {
      this.#pending.delete(c);
      this.#ledger?.remove(c);
    }
  }

  lingers(c: Connection): void {
    this.#timeWaits.delete(c);
    this.#timeWaits.add(c);
    if (this.#timeWaits.size > TIME_WAIT_MAX) this.#firstTimeWait().finish(0);
  }

  /** Of those that end first, the one made first: a restored stack chooses the same. */
  #firstTimeWait(): Connection {
    let first: Connection | null = null;
    for (const c of this.#timeWaits) {
      if (first === null) first = c;
      else if (c.waitAt > first.waitAt) break;
      else if (c.id < first.id) first = c;
    }
    return first!;
  }

  sendReset(c: Connection): void {
    this.#sendResetSegment(c.local, c.remote, c.sndNxt, c.rcvNxt, RST | ACK);
  }

  /** RFC 6528: a clock of 4 µs plus a keyed hash of the addresses. */
  initialSequence(c: Connection, nowUs: number): number {
    const ports = (c.localPort << 16) | c.remotePort;
    return (Math.floor(nowUs / 4) + sipHash(this.#secret, [c.localAddress, c.remoteAddress, ports, 2])) | 0;
  }

  /** One offset for each pair of hosts: timestamps of successive connections go up (RFC 7323 7.1, RFC 6191). */
  timestampOffset(c: Connection): number {
    return sipHash(this.#secret, [c.localAddress, c.remoteAddress]);
  }

  mayChallenge(nowUs: number): boolean {
    const second = Math.floor(nowUs / 1e6);
    if (second !== this.#challengeSecond) {
      this.#challengeSecond = second;
      this.#challenges = 0;
    }
    this.touch(this);
    return ++this.#challenges <= CHALLENGES_PER_SECOND;
  }

  unlisten(listener: Listener): void {
    if (!this.#listeners.delete(listener.id)) return;
    this.#without(this.#listenersByPort, listener.port, listener);
    for (const c of [...this.#connections.values()]) {
      if (c.listener !== listener.id) continue;
      c.listener = 0;
      c.abort();
    }
    this.#ledger?.remove(listener);
  }

  resync(nowUs: number): void {
    for (const c of this.#connections.values()) resync(c, nowUs);
  }

  /** Every connection, listeners not among them: for /proc/net/tcp and status. */
  connections(): IterableIterator<Connection> {
    return this.#connections.values();
  }

  listeners(): IterableIterator<Listener> {
    return this.#listeners.values();
  }

  #allocate(): number {
    this.touch(this);
    return this.#nextId++;
  }

  #without<T>(map: Map<number, T[]>, key: number, item: T): void {
    const rest = (map.get(key) ?? []).filter((other) => other !== item);
    if (rest.length === 0) map.delete(key);
    else map.set(key, rest);
  }

  // ---- connections by addresses: a chained hash table

  #find(localAddress: Ipv4, localPort: number, remoteAddress: Ipv4, remotePort: number): Connection | null {
    let c = this.#table.get(hash(localAddress, localPort, remoteAddress, remotePort)) ?? null;
    while (
      c !== null &&
      (c.remotePort !== remotePort ||
        c.localPort !== localPort ||
        c.remoteAddress !== remoteAddress ||
        c.localAddress !== localAddress)
    ) {
      c = c.next;
    }
    return c;
  }

  #insert(c: Connection): void {
    this.#connections.set(c.id, c);
    c.hash = hash(c.localAddress, c.localPort, c.remoteAddress, c.remotePort);
    c.next = this.#table.get(c.hash) ?? null;
    this.#table.set(c.hash, c);
  }

  #remove(c: Connection): void {
    const head = this.#table.get(c.hash) ?? null;
    if (head === c) {
      if (c.next === null) this.#table.delete(c.hash);
      else this.#table.set(c.hash, c.next);
    } else {
      let before = head;
      while (before !== null && before.next !== c) before = before.next;
      if (before === null) return;
      before.next = c.next;
    }
    c.next = null;
    this.#timeWaits.delete(c);
  }

  // ---- state

  save(): Plain {
    return [
      SAVE_VERSION,
      this.address,
      this.mtu,
      this.#secret,
      [this.#nextId, this.#ipId, this.#portCounter, this.#challengeSecond, this.#challenges],
      this.#raw,
      [...this.#pending].map((c) => c.id),
    ];
  }

  /** A stack from the parts of a checkpoint: those under other keys are left alone. */
  static restore(deps: TcpipDeps, parts: ReadonlyMap<string, Plain>): TcpipStack {
    const [version, address, mtu, secret, numbers, raw, pending] = parts.get('tcpip') as [
      number,
      number,
      number,
      Uint8Array,
      number[],
      Uint8Array[],
      number[],
    ];
    if (version !== SAVE_VERSION) throw new Error(`tcpip: saved by version ${version}, this is ${SAVE_VERSION}`);
    const ledger = deps.ledger === undefined ? {} : { ledger: deps.ledger };
    const stack = new TcpipStack({ address, mtu, entropy: () => secret, ...ledger });
    stack.#nextId = numbers[0]!;
    stack.#ipId = numbers[1]!;
    stack.#portCounter = numbers[2]!;
    stack.#challengeSecond = numbers[3]!;
    stack.#challenges = numbers[4]!;
    stack.#raw = raw.map((packet) => copyOf(packet));
    const fragments = parts.get('tcpip/fragments');
    if (fragments !== undefined) stack.#fragments = Reassembler.restore(fragments);
    for (const { area, id, state } of numbered(parts)) {
      if (area === 'listener') {
        const listener = Listener.restore(stack, id, state);
        stack.#listeners.set(id, listener);
        stack.#listenersByPort.set(listener.port, [...(stack.#listenersByPort.get(listener.port) ?? []), listener]);
        stack.#ledger?.add(listener);
      } else if (area === 'udp') {
        const socket = UdpSocket.restore(stack, id, state);
        stack.#addUdp(socket);
        stack.#ledger?.add(socket);
      } else {
        const c = TcpConnection.restore(stack, id, state);
        stack.#connections.set(id, c);
        if (c.state !== 'closed') stack.#insert(c);
        stack.#heap.schedule(c);
        stack.#ledger?.add(c);
      }
    }
    const waiting = [...stack.#connections.values()].filter((c) => c.state === 'time-wait');
    for (const c of waiting.sort((a, b) => a.waitAt - b.waitAt || a.id - b.id)) stack.#timeWaits.add(c);
    for (const c of stack.#connections.values()) {
      if (c.listener !== 0 && c.state === 'syn-received') stack.#listeners.get(c.listener)!.embryos++;
    }
    for (const id of pending) {
      const c = stack.#connections.get(id);
      if (c !== undefined) stack.#pending.add(c);
    }
    return stack;
  }
}

function hash(localAddress: number, localPort: number, remoteAddress: number, remotePort: number): number {
  let h = Math.imul(remoteAddress, 0x9e3779b1) ^ ((remotePort << 16) | localPort);
  h = Math.imul(h ^ (h >>> 15), 0x85ebca6b) ^ localAddress;
  return Math.imul(h ^ (h >>> 13), 0xc2b2ae35) | 0;
}

/** The stack's numbered parts, by id: the order in which they were made. */
function numbered(parts: ReadonlyMap<string, Plain>): { area: string; id: number; state: Plain }[] {
  const found: { area: string; id: number; state: Plain }[] = [];
  for (const [key, state] of parts) {
    const match = /^(tcp|listener|udp)\/(\d+)$/.exec(key);
    if (match !== null) found.push({ area: match[1]!, id: Number(match[2]), state });
  }
  return found.sort((a, b) => a.id - b.id);
}
