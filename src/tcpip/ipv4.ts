/** IPv4 (RFC 791, RFC 6864): header in and out, fragmentation, bounded reassembly. */

import { checksum } from './checksum.ts';
import { copyOf, get16, get32, put16, put32 } from './wire.ts';

export const PROTOCOL_ICMP = 1;
export const PROTOCOL_TCP = 6;
export const PROTOCOL_UDP = 17;
export const IP_HEADER = 20;
const TTL = 64;

/** What a received header says. One object is filled again for each packet. */
export class Ipv4Header {
  source = 0;
  destination = 0;
  protocol = 0;
  id = 0;
  /** Byte offset of this fragment's data. */
  fragmentOffset = 0;
  moreFragments = false;
  /** The payload is [start, end) of the packet. */
  start = 0;
  end = 0;

  /** Fills this from a packet; false where it is no valid IPv4 packet. */
  parse(packet: Uint8Array): boolean {
    if (packet.length < IP_HEADER || packet[0]! >>> 4 !== 4) return false;
    const header = (packet[0]! & 15) * 4;
    const total = get16(packet, 2);
    if (header < IP_HEADER || total < header || total > packet.length) return false;
    if (checksum(packet, 0, header) !== 0) return false;
    const fragment = get16(packet, 6);
    this.id = get16(packet, 4);
    this.moreFragments = (fragment & 0x2000) !== 0;
    this.fragmentOffset = (fragment & 0x1fff) * 8;
    this.protocol = packet[9]!;
    this.source = get32(packet, 12);
    this.destination = get32(packet, 16);
    this.start = header;
    this.end = total;
    return true;
  }
}

/** A packet of `length` bytes with its header written; the payload from IP_HEADER on is the caller's to fill. */
export function ipPacket(length: number, protocol: number, source: number, destination: number, tos = 0): Uint8Array {
  const packet = new Uint8Array(length);
  putIpHeader(packet, protocol, source, destination, tos);
  return packet;
}

/** Writes the header of a packet that is as long as `packet`. */
export function putIpHeader(packet: Uint8Array, protocol: number, source: number, destination: number, tos = 0): void {
  packet[0] = 0x45;
  packet[1] = tos;
  put16(packet, 2, packet.length);
  put32(packet, 4, 0x4000); // Don't Fragment: an atomic datagram needs no identification (RFC 6864 4.1).
  packet[8] = TTL;
  packet[9] = protocol;
  put16(packet, 10, 0);
  put32(packet, 12, source);
  put32(packet, 16, destination);
  put16(packet, 10, checksum(packet, 0, IP_HEADER));
}

/** Cuts an unfragmented packet (20-byte header) into fragments of at most `mtu` bytes. */
export function fragment(packet: Uint8Array, mtu: number, id: number): Uint8Array[] {
  if (packet.length <= mtu) return [packet];
  const step = ((mtu - IP_HEADER) >>> 3) << 3;
  const pieces: Uint8Array[] = [];
  for (let offset = 0; offset < packet.length - IP_HEADER; offset += step) {
    const data = packet.subarray(IP_HEADER + offset, Math.min(packet.length, IP_HEADER + offset + step));
    const piece = new Uint8Array(IP_HEADER + data.length);
    piece.set(packet.subarray(0, IP_HEADER));
    piece.set(data, IP_HEADER);
    const more = IP_HEADER + offset + step < packet.length;
    put16(piece, 2, piece.length);
    put16(piece, 4, id);
    put16(piece, 6, (more ? 0x2000 : 0) | (offset >>> 3));
    put16(piece, 10, 0);
    put16(piece, 10, checksum(piece, 0, IP_HEADER));
    pieces.push(piece);
  }
  return pieces;
}

interface Assembly {
  source: number;
  destination: number;
  protocol: number;
  id: number;
  deadlineUs: number;
  /** Payload length; -1 until the last fragment has come. */
  length: number;
  /** In order of offset, not overlapping. */
  pieces: { offset: number; bytes: Uint8Array }[];
}

/** At most this many datagrams, and bytes, wait for missing fragments. */
const ASSEMBLIES = 16;
const ASSEMBLY_BYTES = 1 << 20;
const ASSEMBLY_TIMEOUT_US = 30_000_000;

export class Reassembler {
  #assemblies: Assembly[] = [];

  get empty(): boolean {
    return this.#assemblies.length === 0;
  }

  /** Takes a fragment; the whole payload when it completes one, else null. Overlaps drop the datagram (RFC 5722's rule). */
  add(header: Ipv4Header, packet: Uint8Array, nowUs: number): Uint8Array | null {
    this.#assemblies = this.#assemblies.filter((a) => a.deadlineUs > nowUs);
    const bytes = copyOf(packet, header.start, header.end);
    const end = header.fragmentOffset + bytes.length;
    if (end > 65515 || (header.moreFragments && (bytes.length === 0 || (bytes.length & 7) !== 0))) return null;
    let assembly = this.#assemblies.find(
      (a) =>
        a.id === header.id &&
        a.source === header.source &&
        a.destination === header.destination &&
        a.protocol === header.protocol,
    );
    if (assembly === undefined) {
      assembly = {
        source: header.source,
        destination: header.destination,
        protocol: header.protocol,
        id: header.id,
        deadlineUs: nowUs + ASSEMBLY_TIMEOUT_US,
        length: -1,
        pieces: [],
      };
      this.#assemblies.push(assembly);
    }
    const { pieces } = assembly;
    let at = pieces.length;
    while (at > 0 && pieces[at - 1]!.offset > header.fragmentOffset) at--;
    const before = pieces[at - 1];
    const after = pieces[at];
    if (before?.offset === header.fragmentOffset && before.bytes.length === bytes.length) return null; // A duplicate.
    const overlaps =
      (before !== undefined && before.offset + before.bytes.length > header.fragmentOffset) ||
      (after !== undefined && end > after.offset);
    const wrongEnd = assembly.length !== -1 && (end > assembly.length || !header.moreFragments);
    if (overlaps || wrongEnd) {
      this.#drop(assembly);
      return null;
    }
    pieces.splice(at, 0, { offset: header.fragmentOffset, bytes });
    if (!header.moreFragments) assembly.length = end;
    let have = 0;
    for (const piece of pieces) have += piece.bytes.length;
    if (have === assembly.length) {
      this.#drop(assembly);
      const whole = new Uint8Array(have);
      for (const piece of pieces) whole.set(piece.bytes, piece.offset);
      return whole;
    }
    this.#limit();
    return null;
  }

  #drop(assembly: Assembly): void {
    this.#assemblies.splice(this.#assemblies.indexOf(assembly), 1);
  }

  /** The oldest go first. */
  #limit(): void {
    const size = (a: Assembly): number => a.pieces.reduce((total, piece) => total + piece.bytes.length, 0);
    let total = this.#assemblies.reduce((sum, a) => sum + size(a), 0);
    while (this.#assemblies.length > ASSEMBLIES || total > ASSEMBLY_BYTES) total -= size(this.#assemblies.shift()!);
  }

  save(): unknown {
    return this.#assemblies;
  }

  static restore(state: unknown): Reassembler {
    const reassembler = new Reassembler();
    reassembler.#assemblies = (state as Assembly[]).map((assembly) => ({
      ...assembly,
      pieces: assembly.pieces.map(({ offset, bytes }) => ({ offset, bytes: copyOf(bytes) })),
    }));
    return reassembler;
  }
}
