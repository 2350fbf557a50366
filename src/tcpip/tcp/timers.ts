/** What time does to a connection: retransmission, probes, delayed ACK, keepalive, TIME_WAIT. */

import {
  NEVER,
  type TcpConnection,
  TIMER_NONE,
  TIMER_PERSIST,
  TIMER_PROBE,
  TIMER_REORDER,
  TIMER_RTO,
} from './connection.ts';
import { armTimer, detectLoss, onTimeout, timeoutUs } from './recovery.ts';

const ETIMEDOUT = 110;
/** Time-outs before giving up (Linux: tcp_syn_retries, tcp_synack_retries, tcp_retries2, tcp_orphan_retries). */
const SYN_RETRIES = 6;
const SYN_ACK_RETRIES = 5;
const DATA_RETRIES = 15;
const ORPHAN_RETRIES = 8;

/** Fires every timer of `c` that is due. */
export function onTimer(c: TcpConnection, nowUs: number): void {
  c.host.touch(c);
  c.host.pend(c);
  if (c.waitAt <= nowUs) {
    c.finish(0);
    return;
  }
  if (c.delayedAckAt <= nowUs) {
    c.delayedAckAt = NEVER;
    c.ackNow = true;
  }
  if (c.corkAt <= nowUs) {
    c.corkAt = NEVER;
    c.forceSend = true;
  }
  if (c.retransmitAt <= nowUs) retransmission(c, nowUs);
  if (c.keepAt <= nowUs && c.state !== 'closed') keepAlive(c, nowUs);
}

function retransmission(c: TcpConnection, nowUs: number): void {
  const mode = c.retransmitMode;
  c.retransmitMode = TIMER_NONE;
  c.retransmitAt = NEVER;
  if (
    c.userTimeoutUs > 0 &&
    c.records.length > 0 &&
    nowUs - c.waitingSince >= c.userTimeoutUs &&
    mode !== TIMER_REORDER
  ) {
    c.finish(ETIMEDOUT);
    return;
  }
  switch (mode) {
    case TIMER_REORDER:
      detectLoss(c, nowUs);
      if ((c.retransmitMode as number) !== TIMER_REORDER) armTimer(c, nowUs);
      return;
    case TIMER_PROBE:
      c.probeSegment = true;
      armTimer(c, nowUs);
      // The probe itself has still to be sent: only the time-out may follow it.
      c.retransmitMode = TIMER_RTO;
      c.retransmitAt = nowUs + timeoutUs(c);
      return;
    case TIMER_PERSIST:
      // A peer that answers keeps the connection open for ever (RFC 1122 4.2.2.17); one that does not, does not.
      if (
        nowUs - Math.max(c.lastReceivedAt, c.waitingSince) > 900_000_000 ||
        (c.orphan && c.backoff >= ORPHAN_RETRIES)
      ) {
        c.finish(ETIMEDOUT);
        return;
      }
      c.backoff++;
      if (c.sndWnd > 0) c.forceSend = true;
      else c.probeDue = true;
      c.retransmitMode = TIMER_PERSIST;
      c.retransmitAt = nowUs + timeoutUs(c);
      return;
    case TIMER_RTO: {
      const limit =
        c.state === 'syn-sent'
          ? SYN_RETRIES
          : c.state === 'syn-received'
            ? SYN_ACK_RETRIES
            : c.orphan
              ? ORPHAN_RETRIES
              : DATA_RETRIES;
      if (c.backoff >= limit) {
        c.finish(ETIMEDOUT);
        return;
      }
      c.backoff++;
      if (c.state === 'syn-sent' || c.state === 'syn-received') c.synDue = true;
      else {
        onTimeout(c, nowUs);
        armTimer(c, nowUs);
      }
      return;
    }
    default:
  }
}

/** Keeps `keepAt` in step with the option and the state (RFC 1122 4.2.3.6, tcp(7)). Called whenever timers may change. */
export function armKeepAlive(c: TcpConnection): void {
  const live = c.keepalive && (c.state === 'established' || c.state === 'close-wait' || c.state === 'fin-wait-2');
  if (!live) c.keepAt = NEVER;
  else if (c.keepProbes === 0) c.keepAt = c.lastReceivedAt + c.keepidleUs;
}

function keepAlive(c: TcpConnection, nowUs: number): void {
  // Data on its way has its own timer.
  if (c.records.length > 0) {
    c.lastReceivedAt = Math.max(c.lastReceivedAt, nowUs - c.keepidleUs + c.keepintvlUs);
    return;
  }
  if (c.keepProbes >= c.keepcnt) {
    c.host.sendReset(c);
    c.finish(ETIMEDOUT);
    return;
  }
  c.keepProbes++;
  c.probeDue = true;
  c.keepAt = nowUs + c.keepintvlUs;
}

/** Everything in flight may be lost: send it again now and acknowledge now. The congestion window is left as it was. */
export function resync(c: TcpConnection, nowUs: number): void {
  c.host.touch(c);
  c.host.pend(c);
  // The peer is not to blame for the time that nobody sent and nobody listened.
  c.backoff = 0;
  c.waitingSince = nowUs;
  switch (c.state) {
    case 'closed':
    case 'listen':
      return;
    case 'syn-sent':
    case 'syn-received':
      c.synDue = true;
      return;
    default:
  }
  for (const record of c.records) record.lost = !record.sacked;
  c.recount();
  c.ackNow = true;
  c.probeSegment = false;
  if (c.records.length > 0) {
    c.retransmitMode = TIMER_NONE;
    armTimer(c, nowUs);
  } else if (c.retransmitMode === TIMER_PERSIST) c.probeDue = true;
}
