/** TCP segments as bytes (RFC 9293 3.1; options: RFC 7323, RFC 2018). */

import { checksum, pseudoHeader, sum } from '../checksum.ts';
import { get16, getSeq, put16, put32 } from '../wire.ts';

export const FIN = 0x01;
export const SYN = 0x02;
export const RST = 0x04;
export const PSH = 0x08;
export const ACK = 0x10;

export const TCP_HEADER = 20;
/** NOP, NOP, timestamps. */
export const TIMESTAMP_OPTION = 12;
/** As many as fit beside timestamps (RFC 2018). */
export const SACK_BLOCKS_MAX = 4;

/** A received segment. One object is filled again for each. Sequence numbers are signed 32-bit integers. */
export class Segment {
  /** IP addresses: the packet's, not ours and theirs. */
  source = 0;
  destination = 0;
  sourcePort = 0;
  destinationPort = 0;
  seq = 0;
  ack = 0;
  flags = 0;
  window = 0;
  /** The packet; the data is [start, end) of it. */
  packet: Uint8Array = new Uint8Array(0);
  /** The packet will not change. */
  given = false;
  start = 0;
  end = 0;
  hasTimestamp = false;
  tsval = 0;
  tsecr = 0;
  /** 0: no such option. */
  mss = 0;
  /** -1: no such option. */
  windowScale = -1;
  sackPermitted = false;
  sackCount = 0;
  /** Start and end of each block. */
  readonly sack = new Int32Array(2 * SACK_BLOCKS_MAX);

  /** Length in sequence space. */
  get length(): number {
    return this.end - this.start + (this.flags & SYN ? 1 : 0) + (this.flags & FIN ? 1 : 0);
  }

  /** Fills this from packet[start, end); false where it is malformed or its checksum is wrong. */
  parse(packet: Uint8Array, start: number, end: number, source: number, destination: number): boolean {
    if (end - start < TCP_HEADER) return false;
    const header = (packet[start + 12]! >>> 4) * 4;
    if (header < TCP_HEADER || start + header > end) return false;
    if (checksum(packet, start, end, pseudoHeader(source, destination, 6, end - start)) !== 0) return false;
    this.source = source;
    this.destination = destination;
    this.sourcePort = get16(packet, start);
    this.destinationPort = get16(packet, start + 2);
    this.seq = getSeq(packet, start + 4);
    this.ack = getSeq(packet, start + 8);
    this.flags = packet[start + 13]! & 0x3f;
    this.window = get16(packet, start + 14);
    this.packet = packet;
    this.start = start + header;
    this.end = end;
    this.hasTimestamp = false;
    this.mss = 0;
    this.windowScale = -1;
    this.sackPermitted = false;
    this.sackCount = 0;
    if (header > TCP_HEADER) this.#options(packet, start + TCP_HEADER, start + header);
    return true;
  }

  #options(packet: Uint8Array, start: number, end: number): void {
    let i = start;
    while (i < end) {
      const kind = packet[i]!;
      if (kind === 0) return;
      if (kind === 1) {
        i++;
        continue;
      }
      const length = i + 1 < end ? packet[i + 1]! : 0;
      // A wrong length: what follows cannot be told apart; use what was understood so far.
      if (length < 2 || i + length > end) return;
      if (kind === 8 && length === 10) {
        this.hasTimestamp = true;
        this.tsval = getSeq(packet, i + 2);
        this.tsecr = getSeq(packet, i + 6);
      } else if (kind === 2 && length === 4) this.mss = get16(packet, i + 2);
      else if (kind === 3 && length === 3) this.windowScale = Math.min(14, packet[i + 2]!);
      else if (kind === 4 && length === 2) this.sackPermitted = true;
      else if (kind === 5 && (length - 2) % 8 === 0) {
        for (let j = i + 2; j < i + length && this.sackCount < SACK_BLOCKS_MAX; j += 8) {
          this.sack[2 * this.sackCount] = getSeq(packet, j);
          this.sack[2 * this.sackCount + 1] = getSeq(packet, j + 4);
          this.sackCount++;
        }
      }
      i += length;
    }
  }
}

/** Writes the fixed header at `at`; checksum by `seal`. */
export function putHeader(
  packet: Uint8Array,
  at: number,
  sourcePort: number,
  destinationPort: number,
  seq: number,
  ack: number,
  flags: number,
  window: number,
  headerLength: number,
): void {
  put16(packet, at, sourcePort);
  put16(packet, at + 2, destinationPort);
  put32(packet, at + 4, seq);
  put32(packet, at + 8, ack);
  packet[at + 12] = headerLength << 2;
  packet[at + 13] = flags;
  put16(packet, at + 14, window);
  put32(packet, at + 16, 0);
}

/** Writes the checksum of the segment that starts at `at` and fills the packet. */
export function seal(packet: Uint8Array, at: number, source: number, destination: number): void {
  const length = packet.length - at;
  const value = ~sum(packet, at, packet.length, pseudoHeader(source, destination, 6, length)) & 0xffff;
  put16(packet, at + 16, value);
}
