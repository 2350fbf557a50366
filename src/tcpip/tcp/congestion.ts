/** Round-trip times (RFC 6298) and CUBIC (RFC 9438) with an initial window of ten segments (RFC 6928). */

import type { TcpConnection } from './connection.ts';

/** Linux's: at least 200 ms above the smoothed round-trip time, so that a delayed acknowledgement does not fire it. */
export const RTO_MIN_US = 200_000;
export const RTO_MAX_US = 120_000_000;
const CUBIC_C = 0.4;
const CUBIC_BETA = 0.7;
const CUBIC_ALPHA = (3 * (1 - CUBIC_BETA)) / (1 + CUBIC_BETA);

/** Segments longer than a jumbo frame's exist on a virtual wire only, where nothing is congested. */
const MSS_MAX_REAL = 9000;

/** RFC 6928, whose bound of 14600 bytes is for real links. */
export function initialWindow(mss: number): number {
  if (mss > MSS_MAX_REAL) return 10 * mss;
  return Math.min(10 * mss, Math.max(2 * mss, 14600));
}

export function rttSample(c: TcpConnection, rttUs: number): void {
  const rtt = Math.max(1, rttUs);
  if (c.srtt === 0) {
    c.srtt = rtt;
    c.rttvar = rtt / 2;
  } else {
    c.rttvar += (Math.abs(c.srtt - rtt) - c.rttvar) / 4;
    c.srtt += (rtt - c.srtt) / 8;
  }
  if (rtt < c.minRtt) c.minRtt = rtt;
  c.rto = Math.min(RTO_MAX_US, c.srtt + Math.max(RTO_MIN_US, 4 * c.rttvar));
}

/** The window after a loss. */
export function reduce(c: TcpConnection): void {
  // Fast convergence: a flow that lost before it reached its last maximum gives room to others.
  c.wMax = c.cwnd < c.wMax ? (c.cwnd * (1 + CUBIC_BETA)) / 2 : c.cwnd;
  c.epochAt = 0;
  c.ssthresh = Math.max(2 * c.sndMss, Math.floor(c.cwnd * CUBIC_BETA));
}

/** Growth for `acked` bytes; `flight` is what was in the network before. */
export function grow(c: TcpConnection, acked: number, flight: number, nowUs: number): void {
  const mss = c.sndMss;
  if (c.cwnd < c.ssthresh) {
    // Only a window that is used may grow (RFC 7661).
    if (c.cwnd < 2 * flight) c.cwnd = Math.min(c.cwnd + acked, Math.max(c.ssthresh, c.cwnd + mss));
    return;
  }
  if (flight + mss < c.cwnd) return;
  if (c.epochAt === 0) {
    c.epochAt = nowUs;
    c.wEst = c.cwnd;
    if (c.cwnd < c.wMax) {
      c.cubicK = cubeRoot((c.wMax - c.cwnd) / mss / CUBIC_C);
      c.cubicOrigin = c.wMax;
    } else {
      c.cubicK = 0;
      c.cubicOrigin = c.cwnd;
    }
  }
  const t = (nowUs - c.epochAt + c.srtt) / 1e6 - c.cubicK;
  const target = Math.min(1.5 * c.cwnd, c.cubicOrigin + CUBIC_C * t * t * t * mss);
  c.wEst += ((c.wEst >= c.wMax ? 1 : CUBIC_ALPHA) * mss * acked) / c.cwnd;
  if (target > c.cwnd) c.cwnd += ((target - c.cwnd) * acked) / c.cwnd;
  // The region in which Reno would be faster (RFC 9438, 4.3).
  if (c.cwnd < c.wEst) c.cwnd = c.wEst;
}

/** Newton's method: Math.cbrt may differ in the last bit between hosts, these operations may not. */
export function cubeRoot(x: number): number {
  if (x <= 0) return 0;
  let y = Math.max(x, 1);
  for (let i = 0; i < 100; i++) {
    const next = (2 * y + x / (y * y)) / 3;
    if (next >= y) break;
    y = next;
  }
  return y;
}
