/** ICMP (RFC 792, RFC 1122 3.2.2): echo answered, unreachables sent and understood. */

import { checksum } from './checksum.ts';
import { IP_HEADER, type Ipv4Header, ipPacket, PROTOCOL_ICMP } from './ipv4.ts';
import { get16, get32, getSeq, put16 } from './wire.ts';

const ECHO_REPLY = 0;
const UNREACHABLE = 3;
const ECHO = 8;
export const CODE_PORT = 3;
export const CODE_FRAGMENTATION_NEEDED = 4;

/** An unreachable about a packet that we sent. */
export interface Unreachable {
  code: number;
  protocol: number;
  source: number;
  destination: number;
  sourcePort: number;
  destinationPort: number;
  /** The first sequence number, for TCP. */
  seq: number;
  /** Next hop's, for code 4; 0 unknown. */
  mtu: number;
}

/** What an ICMP message in packet[header.start, header.end) wants: an answer packet, a report, or nothing. */
export function icmp(header: Ipv4Header, packet: Uint8Array): Uint8Array | Unreachable | null {
  const { start, end } = header;
  if (end - start < 8 || checksum(packet, start, end) !== 0) return null;
  const type = packet[start]!;
  if (type === ECHO) {
    const answer = ipPacket(IP_HEADER + end - start, PROTOCOL_ICMP, header.destination, header.source);
    answer.set(packet.subarray(start, end), IP_HEADER);
    answer[IP_HEADER] = ECHO_REPLY;
    put16(answer, IP_HEADER + 2, 0);
    put16(answer, IP_HEADER + 2, checksum(answer, IP_HEADER, answer.length));
    return answer;
  }
  if (type !== UNREACHABLE) return null;
  const inner = start + 8;
  if (end - inner < IP_HEADER + 8) return null;
  const innerHeader = (packet[inner]! & 15) * 4;
  const l4 = inner + innerHeader;
  if (innerHeader < IP_HEADER || l4 + 8 > end) return null;
  return {
    code: packet[start + 1]!,
    protocol: packet[inner + 9]!,
    source: get32(packet, inner + 12),
    destination: get32(packet, inner + 16),
    sourcePort: get16(packet, l4),
    destinationPort: get16(packet, l4 + 2),
    seq: getSeq(packet, l4 + 4),
    mtu: get16(packet, start + 6),
  };
}

/** An unreachable about `packet`, which came with `header`. */
export function unreachable(header: Ipv4Header, packet: Uint8Array, code: number): Uint8Array {
  const quoted = packet.subarray(0, Math.min(header.end, header.start + 8));
  const answer = ipPacket(IP_HEADER + 8 + quoted.length, PROTOCOL_ICMP, header.destination, header.source);
  answer[IP_HEADER] = UNREACHABLE;
  answer[IP_HEADER + 1] = code;
  answer.set(quoted, IP_HEADER + 8);
  put16(answer, IP_HEADER + 2, checksum(answer, IP_HEADER, answer.length));
  return answer;
}
