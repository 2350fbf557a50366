/** What a connection sends now (RFC 9293 3.8, RFC 1122 4.2.3): one packet a call, null when there is nothing. */

import { IP_HEADER, ipPacket, PROTOCOL_TCP, putIpHeader } from '../ipv4.ts';
import { put16, put32 } from '../wire.ts';
import { initialWindow } from './congestion.ts';
import {
  NEVER,
  type Sent,
  type TcpConnection,
  TIMER_NONE,
  TIMER_PERSIST,
  TIMER_REORDER,
  TIMER_RTO,
  WINDOW_SCALE,
} from './connection.ts';
import { armTimer, timeoutUs } from './recovery.ts';
import { ACK, FIN, PSH, putHeader, SYN, seal, TCP_HEADER, TIMESTAMP_OPTION } from './segment.ts';
import { after, atOrAfter, distance } from './sequence.ts';

/** TCP_CORK holds a partial segment at most this long (tcp(7)). */
const CORK_US = 200_000;
const NO_BLOCKS: number[] = [];

export function output(c: TcpConnection, nowUs: number): Uint8Array | null {
  switch (c.state) {
    case 'closed':
    case 'listen':
      return null;
    case 'syn-sent':
    case 'syn-received':
      if (c.synDue) return sendSyn(c, nowUs);
      return c.ackNow && c.state === 'syn-received' ? acknowledge(c, nowUs) : null;
    case 'time-wait':
      return c.ackNow ? acknowledge(c, nowUs) : null;
    default:
      return retransmit(c, nowUs) ?? sendNew(c, nowUs) ?? probe(c, nowUs) ?? (c.ackNow ? acknowledge(c, nowUs) : null);
  }
}

function sendSyn(c: TcpConnection, nowUs: number): Uint8Array {
  if (c.synSentAt === -1) {
    if (c.state === 'syn-sent') {
      c.iss = c.host.initialSequence(c, nowUs);
      c.tsOffset = c.host.timestampOffset(c);
      c.timestamps = c.sackPermitted = true;
      c.sndUna = c.iss;
      c.rcvScale = WINDOW_SCALE;
    }
    c.sndNxt = c.dataSeq = c.sndSmall = c.fack = (c.iss + 1) | 0;
    c.lastReceivedAt = nowUs;
  } else c.synRetransmitted = true;
  c.synSentAt = nowUs;
  c.synDue = false;
  c.retransmitMode = TIMER_RTO;
  c.retransmitAt = nowUs + timeoutUs(c);
  const answer = c.state === 'syn-received';
  // RFC 7323 2.2: the window in a SYN is never scaled.
  const window = Math.min(65535, c.receiveBuffer);
  const sackLength = c.sackPermitted && !c.timestamps ? 4 : 0;
  const options = 4 + sackLength + (c.timestamps ? TIMESTAMP_OPTION : 0) + (c.rcvScale > 0 ? 4 : 0);
  const packet = ipPacket(IP_HEADER + TCP_HEADER + options, PROTOCOL_TCP, c.localAddress, c.remoteAddress);
  putHeader(
    packet, IP_HEADER, c.localPort, c.remotePort, c.iss, answer ? c.rcvNxt : 0,
    answer ? SYN | ACK : SYN, window, TCP_HEADER + options,
  ); // biome-ignore format: as the header
  let at = IP_HEADER + TCP_HEADER;
  packet[at] = 2;
  packet[at + 1] = 4;
  put16(packet, at + 2, c.host.mtu - IP_HEADER - TCP_HEADER);
  at += 4;
  if (c.timestamps) {
    // SACK permitted takes the place of the padding.
    packet[at] = c.sackPermitted ? 4 : 1;
    packet[at + 1] = c.sackPermitted ? 2 : 1;
    putTimestamps(c, packet, at + 2, nowUs);
    at += TIMESTAMP_OPTION;
  } else if (sackLength > 0) {
    packet.set([1, 1, 4, 2], at);
    at += 4;
  }
  if (c.rcvScale > 0) packet.set([1, 3, 3, c.rcvScale], at);
  if (answer) {
    c.rcvAdv = (c.rcvNxt + window) | 0;
    c.lastAckSent = c.rcvNxt;
    c.ackNow = false;
  } else c.rcvAdv = window;
  seal(packet, IP_HEADER, c.localAddress, c.remoteAddress);
  return packet;
}

/** The next segment believed lost, if the congestion window allows. */
function retransmit(c: TcpConnection, nowUs: number): Uint8Array | null {
  if (c.probeSegment) {
    c.probeSegment = false;
    const last = c.records[c.records.length - 1];
    if (last !== undefined && !last.sacked && !last.lost && !canSendNew(c)) {
      c.probeOut = true;
      c.probeEnd = last.end;
      return resend(c, last, nowUs);
    }
    // New data makes a better probe (RFC 8985 7.3), and goes although the congestion window is full.
    c.forceSend = true;
    c.probeOut = true;
    c.probeEnd = c.sndNxt;
    return null;
  }
  if (c.lostCount === 0) return null;
  const record = c.records.find((r) => r.lost)!;
  const length = distance(record.seq, record.end);
  if (c.pipe > 0 && c.pipe + length > c.cwnd) return null;
  // A path that became narrower: cut the segment in two.
  const most = c.sndMss;
  if (length > most + 1) {
    const rest: Sent = { ...record, seq: (record.seq + most) | 0 };
    record.end = rest.seq;
    c.records.splice(c.records.indexOf(record) + 1, 0, rest);
    c.lostCount++;
  }
  record.lost = false;
  c.lostCount--;
  c.pipe += distance(record.seq, record.end);
  return resend(c, record, nowUs);
}

function resend(c: TcpConnection, record: Sent, nowUs: number): Uint8Array {
  record.at = nowUs;
  record.retransmissions++;
  const fin = c.finSent && after(record.end, c.dataEnd);
  const length = distance(record.seq, record.end) - (fin ? 1 : 0);
  if (c.retransmitMode !== TIMER_REORDER) armTimer(c, nowUs);
  c.lastSentAt = nowUs;
  return build(c, (fin ? FIN : 0) | ACK | PSH, record.seq, length, nowUs);
}

function canSendNew(c: TcpConnection): boolean {
  return distance(c.sndNxt, c.dataEnd) > 0 && distance(c.sndNxt, (c.sndUna + c.sndWnd) | 0) > 0;
}

function sendNew(c: TcpConnection, nowUs: number): Uint8Array | null {
  const unsent = distance(c.sndNxt, c.dataEnd); // -1 when the FIN was sent
  const force = c.forceSend;
  c.forceSend = false;
  if (unsent < 0 || (unsent === 0 && !(c.finQueued && !c.finSent))) return null;
  const usable = distance(c.sndNxt, (c.sndUna + c.sndWnd) | 0);
  const idle = c.records.length === 0;
  if (idle && nowUs - c.lastSentAt > c.rto && c.lastSentAt !== 0) {
    // Restart after idleness (RFC 5681 4.1).
    c.cwnd = Math.min(c.cwnd, initialWindow(c.sndMss));
    c.lastSentAt = nowUs;
  }
  const blocks = c.reassembly.empty && !c.dsackDue ? 0 : sackOptionLength(c);
  const full = c.sndMss - blocks;
  const length = Math.max(0, Math.min(unsent, full, usable));
  const fin = c.finQueued && length === unsent;
  if (length === 0 && !fin) {
    if (idle) persist(c, nowUs);
    return null;
  }
  if (c.pipe > 0 && c.pipe + length > c.cwnd && !force) return null;
  if (length < full && !fin && !force) {
    if (length < unsent) {
      // The window is what limits: wait for more of it (RFC 1122 4.2.3.4), but not for ever.
      if (length < c.sndWndMax >>> 1) {
        if (idle) persist(c, nowUs);
        return null;
      }
    } else if (c.cork) {
      if (c.corkAt === NEVER) c.corkAt = nowUs + CORK_US;
      return null;
    } else if (!c.nodelay && after(c.sndSmall, c.sndUna)) return null;
  }
  if (c.retransmitMode === TIMER_PERSIST) {
    c.retransmitMode = TIMER_NONE;
    c.backoff = 0;
  }
  const seq = c.sndNxt;
  const end = (seq + length + (fin ? 1 : 0)) | 0;
  if (idle) c.waitingSince = nowUs;
  c.corkAt = NEVER;
  c.sndNxt = end;
  if (fin) c.finSent = true;
  if (length < full) c.sndSmall = end;
  c.records.push({ seq, end, at: nowUs, retransmissions: 0, sacked: false, lost: false });
  c.pipe += distance(seq, end);
  c.lastSentAt = nowUs;
  if ((c.retransmitMode !== TIMER_RTO && c.retransmitMode !== TIMER_REORDER) || idle) armTimer(c, nowUs);
  return build(c, ACK | (fin ? FIN : 0) | (length > 0 && length === unsent ? PSH : 0), seq, length, nowUs);
}

/** Nothing is on its way that would bring a window update: ask for one now and then (RFC 9293 3.8.6.1). */
function persist(c: TcpConnection, nowUs: number): void {
  if (c.retransmitMode === TIMER_PERSIST) return;
  c.retransmitMode = TIMER_PERSIST;
  c.backoff = 0;
  c.waitingSince = nowUs;
  c.retransmitAt = nowUs + c.rto;
}

/** A segment just left of the window, which the peer must answer with an acknowledgement (as Linux, tcp_xmit_probe_skb). */
function probe(c: TcpConnection, nowUs: number): Uint8Array | null {
  if (!c.probeDue) return null;
  c.probeDue = false;
  return build(c, ACK, (c.sndUna - 1) | 0, 0, nowUs);
}

function acknowledge(c: TcpConnection, nowUs: number): Uint8Array {
  return build(c, ACK, c.sndNxt, 0, nowUs);
}

function sackOptionLength(c: TcpConnection): number {
  return sackList(c).length * 4 + 4;
}

function sackList(c: TcpConnection): number[] {
  const limit = c.timestamps ? 3 : 4;
  if (!c.sackPermitted) return NO_BLOCKS;
  if (!c.dsackDue) return c.reassembly.empty ? NO_BLOCKS : c.reassembly.blocks(limit);
  return [c.dsackStart, c.dsackEnd, ...c.reassembly.blocks(limit - 1)];
}

/** The window to tell, unscaled; moves the right edge, never back (RFC 9293 3.8.6.2). */
function window(c: TcpConnection): number {
  const room = Math.max(0, c.receiveBuffer - c.received.length);
  const known = Math.max(0, distance(c.rcvNxt, c.rcvAdv));
  const step = Math.min(c.rcvMss, c.receiveBuffer >> 1);
  const grows = room > known && room - known >= step;
  let shown: number;
  if (grows) shown = Math.min(65535, room >>> c.rcvScale);
  else shown = Math.min(65535, (known + (1 << c.rcvScale) - 1) >>> c.rcvScale);
  const edge = (c.rcvNxt + (shown << c.rcvScale)) | 0;
  if (after(edge, c.rcvAdv) || atOrAfter(c.rcvNxt, c.rcvAdv)) c.rcvAdv = edge;
  return shown;
}

function build(c: TcpConnection, flags: number, seq: number, length: number, nowUs: number): Uint8Array {
  const blocks = c.reassembly.empty && !c.dsackDue ? NO_BLOCKS : sackList(c);
  const options = (c.timestamps ? TIMESTAMP_OPTION : 0) + (blocks.length > 0 ? 4 + 4 * blocks.length : 0);
  const data = IP_HEADER + TCP_HEADER + options;
  const packet = c.host.allocate(data + length);
  putIpHeader(packet, PROTOCOL_TCP, c.localAddress, c.remoteAddress);
  putHeader(packet, IP_HEADER, c.localPort, c.remotePort, seq, c.rcvNxt, flags, window(c), TCP_HEADER + options);
  let at = IP_HEADER + TCP_HEADER;
  if (c.timestamps) {
    packet[at] = packet[at + 1] = 1;
    putTimestamps(c, packet, at + 2, nowUs);
    at += TIMESTAMP_OPTION;
  }
  if (blocks.length > 0) {
    packet[at] = packet[at + 1] = 1;
    packet[at + 2] = 5;
    packet[at + 3] = 2 + 4 * blocks.length;
    for (let i = 0; i < blocks.length; i++) put32(packet, at + 4 + 4 * i, blocks[i]!);
  }
  if (length > 0) c.sending.copy(distance(c.dataSeq, seq), length, packet, data);
  c.ackNow = false;
  c.dsackDue = false;
  c.delayedAckAt = NEVER;
  c.lastAckSent = c.rcvNxt;
  seal(packet, IP_HEADER, c.localAddress, c.remoteAddress);
  return packet;
}

function putTimestamps(c: TcpConnection, packet: Uint8Array, at: number, nowUs: number): void {
  packet[at] = 8;
  packet[at + 1] = 10;
  put32(packet, at + 2, (Math.floor(nowUs / 1000) + c.tsOffset) | 0);
  put32(packet, at + 6, c.tsRecent);
}
