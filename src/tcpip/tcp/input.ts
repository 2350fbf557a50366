/** What a segment does to a connection: RFC 9293 3.10.7 in its order, with RFC 7323, RFC 5961 and RFC 6675's state. */

import { grow, initialWindow, rttSample } from './congestion.ts';
import {
  MODE_LOSS,
  MODE_OPEN,
  NEVER,
  type TcpConnection,
  TIMER_NONE,
  TIMER_PERSIST,
  TIMER_REORDER,
} from './connection.ts';
import { armTimer, delivered, detectLoss, markLost, sackBlocks, undo } from './recovery.ts';
import { ACK, FIN, PSH, RST, type Segment, SYN, TIMESTAMP_OPTION } from './segment.ts';
import { after, atOrAfter, atOrBefore, before, distance, maxSeq } from './sequence.ts';

const ECONNREFUSED = 111;
export const TIME_WAIT_US = 60_000_000;
/** Older than this, a remembered timestamp says nothing (RFC 7323 5.5). */
const TIMESTAMP_VALID_US = 24 * 86_400 * 1e6;
/** Answers to segments without data that are not acceptable: one in this time a connection (Linux, tcp_invalid_ratelimit). */
const INVALID_INTERVAL_US = 500_000;

/** 'reset': answer with an RST of the segment's numbers; 'ignore': the segment was dealt with. */
export type Verdict = 'ignore' | 'reset';

export function input(c: TcpConnection, s: Segment, nowUs: number): Verdict {
  c.host.touch(c);
  c.host.pend(c);
  if (c.state === 'syn-sent') return synSent(c, s, nowUs);

  // Timestamps first: an old duplicate may fit the window (PAWS, RFC 7323 5.3).
  if (c.timestamps && s.hasTimestamp && (s.flags & RST) === 0 && before(s.tsval, c.tsRecent)) {
    if (nowUs - c.tsRecentAt < TIMESTAMP_VALID_US) {
      answerInvalid(c, s, nowUs);
      return 'ignore';
    }
  }
  const window = Math.max(0, distance(c.rcvNxt, c.rcvAdv));
  const end = (s.seq + s.length) | 0;
  // As Linux's tcp_sequence: what begins before the window's end and does not end before our last acknowledgement.
  if (before(end, c.lastAckSent) || after(s.seq, (c.rcvNxt + window) | 0)) {
    if ((s.flags & RST) !== 0) return 'ignore';
    if ((s.flags & SYN) !== 0) {
      if (c.state === 'syn-received' && s.seq === c.irs) c.synDue = true;
      else challenge(c, nowUs);
    } else answerInvalid(c, s, nowUs);
    return 'ignore';
  }
  if ((s.flags & RST) !== 0) {
    // RFC 5961 3.2: only the exact number resets.
    if (s.seq === c.rcvNxt) c.reset();
    else if (after(s.seq, c.rcvNxt)) challenge(c, nowUs);
    return 'ignore';
  }
  if ((s.flags & SYN) !== 0) {
    if (c.state === 'syn-received' && s.seq === c.irs) {
      if ((s.flags & ACK) === 0) {
        c.synDue = true;
        return 'ignore';
      }
      // Simultaneous open: the peer's SYN-ACK repeats its SYN.
    } else {
      challenge(c, nowUs);
      return 'ignore';
    }
  }
  if ((s.flags & ACK) === 0) return 'ignore';

  if (c.state === 'syn-received') {
    if (!after(s.ack, c.iss) || after(s.ack, c.sndNxt)) return 'reset';
    c.sndWl1 = (s.seq - 1) | 0;
    establish(c, nowUs);
    if (!c.synRetransmitted) rttSample(c, nowUs - c.synSentAt);
    c.sndUna = (c.iss + 1) | 0;
    c.state = c.finQueued ? 'fin-wait-1' : 'established';
    c.host.deliver(c);
  } else if (after(s.ack, c.sndNxt) || before(s.ack, (c.sndUna - c.sndWndMax) | 0)) {
    // RFC 5961 5.2.
    challenge(c, nowUs);
    return 'ignore';
  }

  if (c.timestamps && s.hasTimestamp && atOrBefore(s.seq, c.lastAckSent) && atOrAfter(s.tsval, c.tsRecent)) {
    c.tsRecent = s.tsval;
    c.tsRecentAt = nowUs;
  }
  c.lastReceivedAt = nowUs;
  c.keepProbes = 0;
  acknowledged(c, s, nowUs);
  if (c.finAcknowledged && !finAcknowledged(c, nowUs)) return 'ignore';
  return text(c, s, nowUs);
}

function synSent(c: TcpConnection, s: Segment, nowUs: number): Verdict {
  const acks = (s.flags & ACK) !== 0;
  if (c.synSentAt === -1) return acks ? 'reset' : 'ignore'; // Our SYN has not gone out yet.
  if (acks && s.ack !== c.sndNxt) return (s.flags & RST) !== 0 ? 'ignore' : 'reset';
  if ((s.flags & RST) !== 0) {
    if (acks) c.finish(ECONNREFUSED);
    return 'ignore';
  }
  if ((s.flags & SYN) === 0) return 'ignore';
  takeSyn(c, s, nowUs);
  c.sndWnd = s.window;
  c.sndWndMax = s.window;
  c.sndWl1 = s.seq;
  c.sndWl2 = s.ack;
  if (!acks) {
    // Simultaneous open (RFC 9293 3.5, figure 7).
    c.state = 'syn-received';
    c.synDue = true;
    return 'ignore';
  }
  if (!c.synRetransmitted) rttSample(c, nowUs - c.synSentAt);
  c.sndUna = s.ack;
  establish(c, nowUs);
  c.state = 'established';
  c.ackNow = true;
  c.host.notify(c.id);
  return 'ignore';
}

/** The numbers and options of the peer's SYN. For one that we answer, ours are those it offered. */
export function takeSyn(c: TcpConnection, s: Segment, nowUs: number): void {
  c.irs = s.seq;
  c.rcvNxt = (s.seq + 1) | 0;
  // The window that our own SYN told, if there was one.
  c.rcvAdv = (c.rcvNxt + Math.min(65535, c.receiveBuffer)) | 0;
  c.lastAckSent = c.rcvNxt;
  c.timestamps = c.timestamps && s.hasTimestamp;
  if (c.timestamps) {
    c.tsRecent = s.tsval;
    c.tsRecentAt = nowUs;
  }
  c.sackPermitted = c.sackPermitted && s.sackPermitted;
  if (s.windowScale >= 0 && c.rcvScale > 0) c.sndScale = s.windowScale;
  else c.sndScale = c.rcvScale = 0;
  // RFC 9293 3.7.1: 536 where the peer says nothing. Below 88 a peer would make us send headers only.
  c.peerMss = Math.max(88, s.mss === 0 ? 536 : s.mss);
  setMss(c);
}

export function setMss(c: TcpConnection): void {
  c.sndMss = Math.min(c.peerMss, c.host.mtu - 40) - (c.timestamps ? TIMESTAMP_OPTION : 0);
}

function establish(c: TcpConnection, nowUs: number): void {
  c.cwnd = initialWindow(c.sndMss);
  // RFC 5681 3.1: one segment after a lost SYN; RFC 6928 leaves it to more than one loss. Linux: likewise.
  c.rcvMss = Math.min(536, c.sndMss);
  c.retransmitMode = TIMER_NONE;
  c.retransmitAt = NEVER;
  c.backoff = 0;
  c.recoverSeq = c.reorderRound = c.probeEnd = c.rackEnd = c.sndNxt;
  c.lastReceivedAt = nowUs;
  if (c.synRetransmitted) c.rto = Math.max(c.rto, 3_000_000); // RFC 6298 5.7
}

/** The acknowledgement number, window and SACK blocks of an acceptable segment. */
function acknowledged(c: TcpConnection, s: Segment, nowUs: number): void {
  const ack = s.ack;
  if (before(ack, c.sndUna)) {
    if (s.sackCount > 0 && c.sackPermitted) {
      sackBlocks(c, s, nowUs);
      detectLoss(c, nowUs);
    }
    return;
  }
  const flight = c.pipe;
  const lengthBefore = c.records.length;
  let progress = 0;
  if (after(ack, c.sndUna)) progress = advance(c, ack, nowUs);

  // The window (RFC 9293 3.10.7.4), also from segments that acknowledge nothing new.
  const window = s.window << c.sndScale;
  const update = before(c.sndWl1, s.seq) || (c.sndWl1 === s.seq && atOrBefore(c.sndWl2, ack));
  const windowChanged = update && window !== c.sndWnd;
  if (update) {
    c.sndWnd = window;
    c.sndWl1 = s.seq;
    c.sndWl2 = ack;
    if (window > c.sndWndMax) c.sndWndMax = window;
  }
  if (c.retransmitMode === TIMER_PERSIST) {
    // A peer that answers is alive; the probe goes on as long as its window is shut (RFC 9293 3.8.6.1).
    if (c.sndWnd > 0 || progress > 0) {
      c.retransmitMode = TIMER_NONE;
      c.retransmitAt = NEVER;
      c.backoff = 0;
    } else c.forceSend = false;
  }
  if (lengthBefore === 0) return;

  if (c.sackPermitted && s.sackCount > 0) sackBlocks(c, s, nowUs);
  else if (!c.sackPermitted && progress === 0 && s.start === s.end && !windowChanged && c.records.length > 0) {
    c.dupAcks++;
    // Without SACK a duplicate says that some segment has left the network.
    if (c.pipe >= c.sndMss) c.pipe -= c.sndMss;
  }
  if (c.probeOut && atOrAfter(ack, c.probeEnd)) c.probeOut = false;

  if (c.mode !== MODE_OPEN) {
    if (progress > 0 && c.mode === MODE_LOSS && c.undoCwnd > 0 && s.hasTimestamp && c.timestamps) {
      if (before(s.tsecr, c.undoStamp)) undo(c);
      c.undoCwnd = 0;
    }
    if (c.mode !== MODE_OPEN && atOrAfter(ack, c.recoverSeq)) {
      if (c.mode !== MODE_LOSS) c.cwnd = c.ssthresh;
      c.mode = MODE_OPEN;
      c.undoCwnd = 0;
      c.dupAcks = 0;
    } else if (progress > 0 && !c.sackPermitted && c.mode !== MODE_LOSS && c.records.length > 0) {
      // NewReno's partial acknowledgement: the next hole is lost too (RFC 6582 3.2).
      c.recount();
      markLost(c, c.records[0]!);
    }
  }
  if (progress > 0) {
    if (c.mode === MODE_OPEN || c.mode === MODE_LOSS) grow(c, progress, flight, nowUs);
    if (c.retransmitMode === TIMER_REORDER) c.retransmitMode = TIMER_NONE;
    armTimer(c, nowUs);
  } else if (c.retransmitMode === TIMER_REORDER) armTimer(c, nowUs);
  detectLoss(c, nowUs);
}

/** Takes [sndUna, ack) off the send queue. The bytes. */
function advance(c: TcpConnection, ack: number, nowUs: number): number {
  const progress = distance(c.sndUna, ack);
  let gone = 0;
  let rtt = -1;
  for (const record of c.records) {
    if (!after(ack, record.seq)) break;
    const whole = atOrAfter(ack, record.end);
    const length = distance(record.seq, whole ? record.end : ack);
    if (whole) {
      gone++;
      if (!record.sacked) delivered(c, record, nowUs);
      if (record.retransmissions === 0 && !record.sacked && rtt < 0) rtt = nowUs - record.at;
      if (record.lost) c.lostCount--;
      else if (record.sacked) c.sackedCount--;
      else c.pipe -= length;
    } else {
      if (!record.lost && !record.sacked) c.pipe -= length;
      record.seq = ack;
    }
  }
  if (gone > 0) c.records.splice(0, gone);
  if (!c.sackPermitted && (c.mode === MODE_OPEN || c.records.length === 0)) {
    c.dupAcks = 0;
    c.recount();
  }
  if (rtt >= 0) rttSample(c, rtt);
  c.backoff = 0;
  c.waitingSince = nowUs;
  c.sndUna = ack;
  const data = Math.min(c.sending.length, distance(c.dataSeq, ack));
  c.sending.drop(data);
  c.dataSeq = (c.dataSeq + data) | 0;
  if (before(c.sndSmall, ack)) c.sndSmall = ack;
  if (c.sendBlocked && 3 * c.sending.length <= 2 * c.sendBuffer) {
    c.sendBlocked = false;
    c.host.notify(c.id);
  }
  return progress;
}

/** Our FIN is acknowledged. False when the connection is gone. */
function finAcknowledged(c: TcpConnection, nowUs: number): boolean {
  if (c.state === 'fin-wait-1') {
    c.state = 'fin-wait-2';
    // Nobody will read what may still come; a peer that never closes must not keep the state (Linux, tcp_fin_timeout).
    if (c.orphan) c.waitAt = nowUs + TIME_WAIT_US;
    c.host.notify(c.id);
  } else if (c.state === 'closing') timeWait(c, nowUs);
  else if (c.state === 'last-ack') {
    c.finish(0);
    return false;
  }
  return true;
}

function timeWait(c: TcpConnection, nowUs: number): void {
  c.state = 'time-wait';
  c.waitAt = nowUs + TIME_WAIT_US;
  c.retransmitMode = TIMER_NONE;
  c.retransmitAt = c.keepAt = c.corkAt = NEVER;
  // Nothing is to be sent any more: give the memory back, there may be thousands of these.
  c.sending.clear();
  if (c.orphan) c.received.clear();
  c.host.lingers(c);
}

/** The segment's data and FIN. */
function text(c: TcpConnection, s: Segment, nowUs: number): Verdict {
  const fin = (s.flags & FIN) !== 0;
  if (s.start === s.end && !fin) {
    // A keepalive probe is a segment without data to the left of the window; it came here because we had not moved.
    if (before(s.seq, c.rcvNxt)) c.ackNow = true;
    return 'ignore';
  }
  let seq = s.flags & SYN ? (s.seq + 1) | 0 : s.seq;
  let from = s.start;
  let end = (seq + (s.end - s.start)) | 0;
  if (!c.receives) {
    // A retransmission of what was taken already, most likely the FIN.
    if (atOrBefore((end + (fin ? 1 : 0)) | 0, c.rcvNxt)) {
      c.ackNow = true;
      if (c.state === 'time-wait') {
        c.waitAt = nowUs + TIME_WAIT_US;
        c.host.lingers(c);
      }
    }
    return 'ignore';
  }
  if (c.orphan && after(end, c.rcvNxt)) {
    // Data for an owner who is gone (RFC 9293 3.10.7.4 → RFC 1122 4.2.2.13).
    c.finish(0);
    return 'reset';
  }
  if (before(seq, c.rcvNxt)) {
    const old = Math.min(distance(seq, c.rcvNxt), distance(seq, end));
    if (old > 0 && c.sackPermitted) duplicate(c, seq, (seq + old) | 0);
    if (atOrBefore(end, c.rcvNxt) && !(fin && end === c.rcvNxt)) {
      c.ackNow = true;
      return 'ignore';
    }
    from += old;
    seq = c.rcvNxt;
  }
  const edge = maxSeq(c.rcvAdv, c.rcvNxt);
  let takesFin = fin;
  if (after(end, edge)) {
    end = edge;
    takesFin = false;
    c.ackNow = true;
  }
  const length = Math.max(0, distance(seq, end));
  if (after(seq, c.rcvNxt)) {
    // A hole before it: say so at once (RFC 5681 4.2).
    c.ackNow = true;
    if (length > 0) {
      const known = c.reassembly.holds(seq, end);
      c.reassembly.add(seq, end, s.packet, from);
      if (known && c.sackPermitted) duplicate(c, seq, end);
    }
    return 'ignore';
  }
  if (length > 0) {
    if (s.given) c.received.give(s.packet, from, from + length);
    else c.received.push(s.packet, from, from + length);
    c.rcvNxt = end;
    const segmentLength = s.end - s.start;
    if (segmentLength > c.rcvMss) c.rcvMss = segmentLength;
    if (!c.reassembly.empty) {
      c.rcvNxt = c.reassembly.advance(c.rcvNxt, c.received);
      c.ackNow = true;
    }
    // Every second full segment at once, others after a while (RFC 1122 4.2.3.2).
    const unacknowledged = distance(c.lastAckSent, c.rcvNxt);
    if (unacknowledged >= 2 * c.rcvMss || (unacknowledged > c.rcvMss && (s.flags & PSH) === 0) || c.quickack) {
      c.ackNow = true;
    } else if (c.delayedAckAt === NEVER) c.delayedAckAt = nowUs + c.host.delayedAckUs;
    c.host.notify(c.id);
  }
  if (takesFin && c.rcvNxt === end) {
    c.rcvNxt = (c.rcvNxt + 1) | 0;
    c.finReceived = true;
    c.ackNow = true;
    c.reassembly.clear();
    if (c.state === 'established') c.state = 'close-wait';
    else if (c.state === 'fin-wait-1') c.state = 'closing';
    else if (c.state === 'fin-wait-2') timeWait(c, nowUs);
    if (c.state === 'close-wait' && c.orphan) c.shutdown();
    c.host.notify(c.id);
  }
  return 'ignore';
}

/** The next acknowledgement reports [start, end) as received twice (RFC 2883). */
function duplicate(c: TcpConnection, start: number, end: number): void {
  c.dsackDue = true;
  c.dsackStart = start;
  c.dsackEnd = end;
}

/** The answer to a segment outside the window; not to every one without data, or two hosts could answer each other for ever. */
function answerInvalid(c: TcpConnection, s: Segment, nowUs: number): void {
  if (s.start === s.end && (s.flags & FIN) === 0) {
    if (c.challengeAt >= 0 && nowUs - c.challengeAt < INVALID_INTERVAL_US) return;
    c.challengeAt = nowUs;
  } else if (c.sackPermitted && s.end > s.start && before((s.seq + (s.end - s.start)) | 0, (c.rcvNxt + 1) | 0)) {
    duplicate(c, s.seq, (s.seq + (s.end - s.start)) | 0);
  }
  if (c.state === 'syn-received') c.synDue = true;
  else c.ackNow = true;
}

/** RFC 5961: an ACK that tells an honest peer the right numbers and a blind attacker nothing. */
function challenge(c: TcpConnection, nowUs: number): void {
  if (c.challengeAt >= 0 && nowUs - c.challengeAt < INVALID_INTERVAL_US) return;
  if (!c.host.mayChallenge(nowUs)) return;
  c.challengeAt = nowUs;
  c.ackNow = true;
}
