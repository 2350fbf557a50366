/** UDP (RFC 768): a socket is a bounded queue of datagrams. */

import type { Part } from '../checkpoint/ledger.ts';
import type { Endpoint, Ipv4 } from './api.ts';
import { checksum, pseudoHeader } from './checksum.ts';
import { IP_HEADER, ipPacket, PROTOCOL_UDP } from './ipv4.ts';
import { copyOf, get16, put16 } from './wire.ts';

export const UDP_HEADER = 8;
/** Largest payload in one IPv4 datagram. */
export const UDP_MAX = 65507;
const EMSGSIZE = 90;
/** What a queued datagram costs beside its bytes, so that empty ones are bounded too. */
const OVERHEAD = 256;

export interface Datagram {
  readonly source: Ipv4;
  readonly sourcePort: number;
  readonly destination: Ipv4;
  readonly bytes: Uint8Array;
}

export interface UdpHost {
  touch(part: Part): void;
  sendDatagram(source: Ipv4, sourcePort: number, remote: Endpoint, bytes: Uint8Array): void;
  closeUdp(socket: UdpSocket): void;
}

export class UdpSocket implements Part {
  readonly id: number;
  readonly key: string;
  readonly #host: UdpHost;
  /** 0: any. */
  readonly address: Ipv4;
  readonly port: number;
  /** Where not null, only its datagrams are received. */
  remote: Endpoint | null = null;
  error = 0;
  receiveBuffer = 212_992;
  #queue: Datagram[] = [];
  #queued = 0;
  dropped = 0;

  constructor(host: UdpHost, id: number, address: Ipv4, port: number) {
    this.#host = host;
    this.id = id;
    this.key = `udp/${id}`;
    this.address = address;
    this.port = port;
  }

  get local(): Endpoint {
    return { address: this.address, port: this.port };
  }

  get pending(): number {
    return this.#queue.length;
  }

  /** Size of the next datagram; 0 when there is none. */
  get readable(): number {
    return this.#queue[0]?.bytes.length ?? 0;
  }

  connect(remote: Endpoint | null): void {
    this.remote = remote;
    this.#host.touch(this);
  }

  setReceiveBuffer(size: number): void {
    this.receiveBuffer = size;
    this.#host.touch(this);
  }

  /** Bytes sent, or -EMSGSIZE. */
  sendTo(bytes: Uint8Array, remote: Endpoint): number {
    if (bytes.length > UDP_MAX) return -EMSGSIZE;
    this.#host.sendDatagram(this.address, this.port, remote, bytes);
    return bytes.length;
  }

  receive(peek = false): Datagram | null {
    const datagram = this.#queue[0];
    if (datagram === undefined) return null;
    if (!peek) {
      this.#queue.shift();
      this.#queued -= datagram.bytes.length + OVERHEAD;
      this.#host.touch(this);
    }
    return datagram;
  }

  takeError(): number {
    const error = this.error;
    if (error !== 0) {
      this.error = 0;
      this.#host.touch(this);
    }
    return error;
  }

  fail(error: number): void {
    this.error = error;
    this.#host.touch(this);
  }

  /** The stack's: a datagram has come. False when there is no room. */
  deliver(datagram: Datagram): boolean {
    if (this.#queued + datagram.bytes.length > this.receiveBuffer) {
      this.dropped++;
      return false;
    }
    this.#queue.push(datagram);
    this.#queued += datagram.bytes.length + OVERHEAD;
    this.#host.touch(this);
    return true;
  }

  close(): void {
    this.#host.closeUdp(this);
  }

  save(): unknown {
    const queue = this.#queue.map((d) => [d.source, d.sourcePort, d.destination, d.bytes]);
    const remote = this.remote === null ? null : [this.remote.address, this.remote.port];
    return [this.address, this.port, remote, this.error, this.receiveBuffer, queue];
  }

  static restore(host: UdpHost, id: number, state: unknown): UdpSocket {
    const [address, port, remote, error, receiveBuffer, queue] = state as [
      number,
      number,
      [number, number] | null,
      number,
      number,
      [number, number, number, Uint8Array][],
    ];
    const socket = new UdpSocket(host, id, address, port);
    socket.remote = remote === null ? null : { address: remote[0], port: remote[1] };
    socket.error = error;
    socket.receiveBuffer = receiveBuffer;
    for (const [source, sourcePort, destination, bytes] of queue) {
      socket.#queue.push({ source, sourcePort, destination, bytes: copyOf(bytes) });
      socket.#queued += bytes.length + OVERHEAD;
    }
    return socket;
  }
}

/** A UDP datagram as an IP packet (perhaps larger than the MTU: the stack fragments). */
export function udpPacket(source: Ipv4, sourcePort: number, remote: Endpoint, bytes: Uint8Array): Uint8Array {
  const packet = ipPacket(IP_HEADER + UDP_HEADER + bytes.length, PROTOCOL_UDP, source, remote.address);
  put16(packet, IP_HEADER, sourcePort);
  put16(packet, IP_HEADER + 2, remote.port);
  const length = UDP_HEADER + bytes.length;
  put16(packet, IP_HEADER + 4, length);
  packet.set(bytes, IP_HEADER + UDP_HEADER);
  const value = checksum(packet, IP_HEADER, packet.length, pseudoHeader(source, remote.address, PROTOCOL_UDP, length));
  // 0 means "no checksum": a sum of 0 is sent as its other form.
  put16(packet, IP_HEADER + 6, value === 0 ? 0xffff : value);
  return packet;
}

/** Checks lengths and checksum of a datagram in packet[start, end); its end, or -1. */
export function checkUdp(packet: Uint8Array, start: number, end: number, source: Ipv4, destination: Ipv4): number {
  if (end - start < UDP_HEADER) return -1;
  const length = get16(packet, start + 4);
  if (length < UDP_HEADER || start + length > end) return -1;
  if (get16(packet, start + 6) !== 0) {
    const initial = pseudoHeader(source, destination, PROTOCOL_UDP, length);
    if (checksum(packet, start, start + length, initial) !== 0) return -1;
  }
  return start + length;
}
