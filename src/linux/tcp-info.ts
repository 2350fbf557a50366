/** struct tcp_info (linux/tcp.h): what TCP_INFO shows. Fields without a counterpart here are 0. */

import type { TcpState } from '../tcpip/api.ts';
import type { TcpConnection } from '../tcpip/tcp/connection.ts';

const SIZE = 232;
/** net/tcp_states.h. */
const STATES: Record<TcpState, number> = {
  established: 1,
  'syn-sent': 2,
  'syn-received': 3,
  'fin-wait-1': 4,
  'fin-wait-2': 5,
  'time-wait': 6,
  closed: 7,
  'close-wait': 8,
  'last-ack': 9,
  listen: 10,
  closing: 11,
};

export function tcpInfo(tcp: TcpConnection | null, listening: boolean): Uint8Array {
  const bytes = new Uint8Array(SIZE);
  bytes[0] = listening ? STATES.listen : STATES[tcp?.state ?? 'closed'];
  if (tcp === null) return bytes;
  const view = new DataView(bytes.buffer);
  bytes[1] = tcp.mode; // Close to tcpi_ca_state: 0 open, 3 recovery, 4 loss.
  if (tcp.mode > 0) bytes[1] = tcp.mode + 2;
  bytes[4] = tcp.backoff;
  bytes[5] = (tcp.timestamps ? 1 : 0) | (tcp.sackPermitted ? 2 : 0) | (tcp.rcvScale > 0 ? 4 : 0);
  bytes[6] = tcp.sndScale | (tcp.rcvScale << 4);
  const mss = tcp.sndMss;
  const words: [number, number][] = [
    [8, tcp.rto],
    [16, mss],
    [20, tcp.rcvMss],
    [24, tcp.records.length],
    [28, tcp.sackedCount],
    [32, tcp.lostCount],
    [60, tcp.host.mtu],
    [68, tcp.srtt],
    [72, tcp.rttvar],
    [76, Math.min(0x7fffffff, Math.floor(tcp.ssthresh / mss))],
    [80, Math.floor(tcp.cwnd / mss)],
    [84, mss],
  ];
  for (const [at, value] of words) view.setUint32(at, Math.floor(value), true);
  return bytes;
}
