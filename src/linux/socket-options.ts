/** Socket options (socket(7), ip(7), tcp(7), ipv6(7)): which there are, their defaults, and how their values look. */

export const SOL_IP = 0;
export const SOL_SOCKET = 1;
export const SOL_TCP = 6;
export const SOL_UDP = 17;
export const SOL_IPV6 = 41;

export const SO_REUSEADDR = 2;
export const SO_TYPE = 3;
export const SO_ERROR = 4;
export const SO_SNDBUF = 7;
export const SO_RCVBUF = 8;
export const SO_KEEPALIVE = 9;
export const SO_LINGER = 13;
export const SO_REUSEPORT = 15;
export const SO_PASSCRED = 16;
export const SO_PEERCRED = 17;
export const SO_RCVTIMEO = 20;
export const SO_SNDTIMEO = 21;
export const SO_ACCEPTCONN = 30;
export const SO_SNDBUFFORCE = 32;
export const SO_RCVBUFFORCE = 33;
export const SO_PROTOCOL = 38;
export const SO_DOMAIN = 39;
/** The same with 64-bit times (asm-generic/socket.h: SO_*_NEW). */
export const SO_RCVTIMEO_NEW = 66;
export const SO_SNDTIMEO_NEW = 67;

export const TCP_NODELAY = 1;
export const TCP_MAXSEG = 2;
export const TCP_CORK = 3;
export const TCP_KEEPIDLE = 4;
export const TCP_KEEPINTVL = 5;
export const TCP_KEEPCNT = 6;
export const TCP_INFO = 11;
export const TCP_QUICKACK = 12;
export const TCP_CONGESTION = 13;
export const TCP_USER_TIMEOUT = 18;

export const IPV6_V6ONLY = 26;

/** As Linux's net.core.wmem_max and rmem_max; what is set is doubled (socket(7)). */
export const BUFFER_MAX = 212_992;
export const BUFFER_MIN = 2304;

/** One key for level and name. */
export function optionKey(level: number, name: number): number {
  return level * 65536 + name;
}

/**
 * Options that are an int (ip options also a byte): [level, name, default]. Those that do something are applied by the
 * sockets; the others are remembered and given back, as on a Linux host where they have nothing to act on.
 */
const INTEGERS: readonly (readonly [level: number, name: number, value: number])[] = [
  [SOL_SOCKET, 1, 0], // SO_DEBUG
  [SOL_SOCKET, SO_REUSEADDR, 0],
  [SOL_SOCKET, 5, 0], // SO_DONTROUTE
  [SOL_SOCKET, 6, 0], // SO_BROADCAST
  [SOL_SOCKET, SO_KEEPALIVE, 0],
  [SOL_SOCKET, 10, 0], // SO_OOBINLINE
  [SOL_SOCKET, 11, 0], // SO_NO_CHECK
  [SOL_SOCKET, 12, 0], // SO_PRIORITY
  [SOL_SOCKET, SO_REUSEPORT, 0],
  [SOL_SOCKET, SO_PASSCRED, 0],
  [SOL_SOCKET, 18, 1], // SO_RCVLOWAT
  [SOL_SOCKET, 29, 0], // SO_TIMESTAMP
  [SOL_SOCKET, 34, 0], // SO_PASSSEC
  [SOL_SOCKET, 35, 0], // SO_TIMESTAMPNS
  [SOL_SOCKET, 36, 0], // SO_MARK
  [SOL_SOCKET, 40, 0], // SO_RXQ_OVFL
  [SOL_SOCKET, 46, 0], // SO_BUSY_POLL
  [SOL_SOCKET, 49, -1], // SO_INCOMING_CPU
  [SOL_IP, 1, 0], // IP_TOS
  [SOL_IP, 2, 64], // IP_TTL
  [SOL_IP, 6, 0], // IP_RECVOPTS
  [SOL_IP, 8, 0], // IP_PKTINFO
  [SOL_IP, 10, 1], // IP_MTU_DISCOVER
  [SOL_IP, 11, 0], // IP_RECVERR
  [SOL_IP, 12, 0], // IP_RECVTTL
  [SOL_IP, 13, 0], // IP_RECVTOS
  [SOL_IP, 15, 0], // IP_FREEBIND
  [SOL_IP, 24, 0], // IP_BIND_ADDRESS_NO_PORT
  [SOL_IP, 33, 1], // IP_MULTICAST_TTL
  [SOL_IP, 34, 1], // IP_MULTICAST_LOOP
  [SOL_TCP, TCP_NODELAY, 0],
  [SOL_TCP, TCP_MAXSEG, 536],
  [SOL_TCP, TCP_CORK, 0],
  [SOL_TCP, TCP_KEEPIDLE, 7200],
  [SOL_TCP, TCP_KEEPINTVL, 75],
  [SOL_TCP, TCP_KEEPCNT, 9],
  [SOL_TCP, 7, 6], // TCP_SYNCNT
  [SOL_TCP, 8, 60], // TCP_LINGER2
  [SOL_TCP, 9, 0], // TCP_DEFER_ACCEPT
  [SOL_TCP, 10, 0], // TCP_WINDOW_CLAMP
  [SOL_TCP, TCP_QUICKACK, 1],
  [SOL_TCP, TCP_USER_TIMEOUT, 0],
  [SOL_TCP, 25, -1], // TCP_NOTSENT_LOWAT
  [SOL_IPV6, 16, 64], // IPV6_UNICAST_HOPS
  [SOL_IPV6, 18, 1], // IPV6_MULTICAST_HOPS
  [SOL_IPV6, 19, 1], // IPV6_MULTICAST_LOOP
  [SOL_IPV6, 25, 0], // IPV6_RECVERR
  [SOL_IPV6, IPV6_V6ONLY, 0],
  [SOL_IPV6, 49, 0], // IPV6_RECVPKTINFO
  [SOL_IPV6, 67, 0], // IPV6_TCLASS
];

export const INTEGER_OPTIONS: ReadonlyMap<number, number> = new Map(
  INTEGERS.map(([level, name, value]) => [optionKey(level, name), value]),
);

/** An int as its four bytes. */
export function intBytes(value: number): Uint8Array {
  return Uint8Array.of(value, value >>> 8, value >>> 16, value >>> 24);
}

/** The int in an option's bytes (they must be at least four). */
export function intOf(bytes: Uint8Array): number {
  return bytes[0]! | (bytes[1]! << 8) | (bytes[2]! << 16) | (bytes[3]! << 24);
}

/** struct timeval with 64-bit fields; null: no limit. */
export function timevalBytes(us: number | null): Uint8Array {
  const view = new DataView(new ArrayBuffer(16));
  const value = us ?? 0;
  const seconds = Math.floor(value / 1e6);
  view.setUint32(0, seconds >>> 0, true);
  view.setUint32(4, Math.floor(seconds / 2 ** 32), true);
  view.setUint32(8, value - seconds * 1e6, true);
  return new Uint8Array(view.buffer);
}

/** Microseconds of a struct timeval, null where it is zero (no limit), undefined where it is out of range (EDOM). */
export function timevalOf(bytes: Uint8Array): number | null | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, 16);
  const seconds = view.getInt32(4, true) * 2 ** 32 + view.getUint32(0, true);
  const us = view.getInt32(12, true) * 2 ** 32 + view.getUint32(8, true);
  if (us < 0 || us >= 1e6) return undefined;
  if (seconds < 0) return 0;
  if (seconds === 0 && us === 0) return null;
  return seconds > 1e9 ? null : seconds * 1e6 + us;
}
