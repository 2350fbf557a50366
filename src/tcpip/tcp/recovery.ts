/**
 * Which segments are lost: RACK (RFC 8985) over the times at which each was last sent, with SACK (RFC 2018) where the
 * peer gives it and NewReno's rules (RFC 6582) where it does not.
 */

import { reduce } from './congestion.ts';
import {
  MODE_LOSS,
  MODE_OPEN,
  MODE_RECOVERY,
  NEVER,
  type Sent,
  type TcpConnection,
  TIMER_NONE,
  TIMER_PERSIST,
  TIMER_PROBE,
  TIMER_REORDER,
  TIMER_RTO,
} from './connection.ts';
import type { Segment } from './segment.ts';
import { after, atOrAfter, atOrBefore, before, distance } from './sequence.ts';

const DUP_THRESHOLD = 3;
/** Own and usual peers' longest delay of an acknowledgement. */
const DELAYED_ACK_MAX_US = 40_000;
const PROBE_MIN_US = 10_000;

/** Marks what the SACK blocks cover. The bytes newly covered. */
export function sackBlocks(c: TcpConnection, segment: Segment, nowUs: number): number {
  let covered = 0;
  for (let i = 0; i < segment.sackCount; i++) {
    const start = segment.sack[2 * i]!;
    const end = segment.sack[2 * i + 1]!;
    if (!after(end, start)) continue;
    if (i === 0 && isDuplicateSack(segment, start, end)) {
      onDuplicateSack(c, end);
      continue;
    }
    if (atOrBefore(end, c.sndUna) || after(end, c.sndNxt)) continue;
    for (const record of c.records) {
      if (atOrAfter(record.seq, end)) break;
      if (record.sacked || before(record.seq, start) || after(record.end, end)) continue;
      covered += distance(record.seq, record.end);
      delivered(c, record, nowUs);
      if (record.lost) {
        record.lost = false;
        c.lostCount--;
      } else c.pipe -= distance(record.seq, record.end);
      record.sacked = true;
      c.sackedCount++;
    }
  }
  return covered;
}

/** RFC 2883, section 4: the first block is below the acknowledgement, or inside the second. */
function isDuplicateSack(segment: Segment, start: number, end: number): boolean {
  if (before(start, segment.ack)) return true;
  return segment.sackCount > 1 && atOrAfter(start, segment.sack[2]!) && atOrBefore(end, segment.sack[3]!);
}

/** A retransmission was needless: wait longer for reordered segments, once a round trip (RFC 8985, 6.2 step 4). */
function onDuplicateSack(c: TcpConnection, end: number): void {
  if (c.probeOut && end === c.probeEnd) c.probeOut = false;
  if (after(c.reorderRound, c.sndUna)) return;
  c.reorderRound = c.sndNxt;
  if (c.reorderMult < 20) c.reorderMult++;
}

/** A segment has arrived at the peer: RACK's newest delivery, and whether segments overtake each other. */
export function delivered(c: TcpConnection, record: Sent, nowUs: number): void {
  const rtt = nowUs - record.at;
  if (record.retransmissions > 0) {
    // Too fast for an answer to the retransmission: it is one to the original.
    if (rtt < c.minRtt) return;
  } else if (before(record.end, c.fack)) c.reorderingSeen = true;
  if (after(record.end, c.fack)) c.fack = record.end;
  if (record.at > c.rackAt || (record.at === c.rackAt && after(record.end, c.rackEnd))) {
    c.rackAt = record.at;
    c.rackEnd = record.end;
    c.rackRtt = rtt;
  }
}

export function markLost(c: TcpConnection, record: Sent): boolean {
  if (record.lost || record.sacked) return false;
  record.lost = true;
  c.lostCount++;
  c.pipe -= distance(record.seq, record.end);
  return true;
}

/** Marks lost what was sent long enough before something that arrived; arms the timer for what may still come. */
export function detectLoss(c: TcpConnection, nowUs: number): void {
  if (c.records.length === 0) return;
  let lost = false;
  if (c.sackPermitted) {
    if (c.rackAt < 0 || (c.sackedCount === 0 && c.mode === MODE_OPEN && c.records[0]!.retransmissions === 0)) return;
    const patient = c.reorderingSeen || (c.mode === MODE_OPEN && c.sackedCount < DUP_THRESHOLD);
    const window = patient && c.minRtt !== Infinity ? Math.min((c.reorderMult * c.minRtt) / 4, c.srtt) : 0;
    let wait = 0;
    for (const record of c.records) {
      if (record.sacked || record.lost) continue;
      if (record.at > c.rackAt || (record.at === c.rackAt && atOrAfter(record.end, c.rackEnd))) continue;
      const left = record.at + c.rackRtt + window - nowUs;
      if (left <= 0) lost = markLost(c, record) || lost;
      else if (left > wait) wait = left;
    }
    if (wait > 0) {
      c.retransmitMode = TIMER_REORDER;
      c.retransmitAt = nowUs + wait;
    }
  } else if (c.dupAcks >= DUP_THRESHOLD && c.mode === MODE_OPEN) {
    lost = markLost(c, c.records[0]!);
  }
  if (lost) enterRecovery(c);
}

export function enterRecovery(c: TcpConnection): void {
  if (c.mode !== MODE_OPEN) return;
  reduce(c);
  c.cwnd = c.ssthresh;
  c.mode = MODE_RECOVERY;
  c.recoverSeq = c.sndNxt;
}

/** Everything sent is believed lost: time-out (RFC 6298 5.4, RFC 5681 3.1). */
export function onTimeout(c: TcpConnection, nowUs: number): void {
  if (c.mode !== MODE_LOSS) {
    c.undoCwnd = c.cwnd;
    c.undoSsthresh = c.ssthresh;
    c.undoStamp = (Math.floor(nowUs / 1000) + c.tsOffset) | 0;
    if (c.mode === MODE_OPEN) reduce(c);
    c.recoverSeq = c.sndNxt;
  }
  c.mode = MODE_LOSS;
  c.cwnd = c.sndMss;
  c.dupAcks = 0;
  for (const record of c.records) markLost(c, record);
}

/** The time-out was spurious: the acknowledgement is one of the original (RFC 3522). */
export function undo(c: TcpConnection): void {
  c.cwnd = Math.max(c.cwnd, c.undoCwnd);
  c.ssthresh = c.undoSsthresh;
  c.undoCwnd = 0;
  c.mode = MODE_OPEN;
  for (const record of c.records) record.lost = false;
  c.recount();
}

/** (Re)starts the retransmission timer, or a tail loss probe before it (RFC 8985, 7.2). */
export function armTimer(c: TcpConnection, nowUs: number): void {
  if (c.records.length === 0) {
    if (c.retransmitMode !== TIMER_PERSIST) {
      c.retransmitMode = TIMER_NONE;
      c.retransmitAt = NEVER;
    }
    return;
  }
  const rto = nowUs + timeoutUs(c);
  c.retransmitMode = TIMER_RTO;
  c.retransmitAt = rto;
  if (!c.sackPermitted || c.mode !== MODE_OPEN || c.probeOut || c.srtt === 0 || c.sackedCount > 0) return;
  let probe = Math.max(PROBE_MIN_US, 2 * c.srtt);
  if (c.records.length === 1) probe += DELAYED_ACK_MAX_US;
  if (nowUs + probe >= rto) return;
  c.retransmitMode = TIMER_PROBE;
  c.retransmitAt = nowUs + probe;
}

/** The retransmission time-out with its back-off. */
export function timeoutUs(c: TcpConnection): number {
  return Math.min(120_000_000, c.rto * 2 ** Math.min(c.backoff, 20));
}
