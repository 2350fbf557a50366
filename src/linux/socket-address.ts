/** struct sockaddr in its forms (ip(7), ipv6(7), unix(7)). Inside, an IPv6 socket is an IPv4 one with mapped addresses. */

import type { Ipv4 } from '../tcpip/api.ts';
import { copyOf } from '../tcpip/wire.ts';
import { EAFNOSUPPORT, EINVAL } from './abi/errno.ts';

export const AF_UNSPEC = 0;
export const AF_UNIX = 1;
export const AF_INET = 2;
export const AF_INET6 = 10;
export const AF_NETLINK = 16;

export const SOCK_STREAM = 1;
export const SOCK_DGRAM = 2;
export const SOCK_RAW = 3;
export const SOCK_SEQPACKET = 5;
export const SOCK_NONBLOCK = 0o4000;
export const SOCK_CLOEXEC = 0o2000000;

export interface InetAddress {
  readonly family: 'inet';
  /** 0: any. */
  readonly address: Ipv4;
  readonly port: number;
  /** Given as a true IPv6 address other than :: or a mapped one: we have no IPv6, it cannot be reached. */
  readonly foreign?: boolean;
}

/** A path in the file system, bytes of an abstract name (they begin with NUL), or unnamed (empty). */
export interface UnixAddress {
  readonly family: 'unix';
  readonly name: Uint8Array;
}

export type SocketAddress = InetAddress | UnixAddress | { readonly family: 'unspec' };

const UNIX_PATH_MAX = 108;

export function inet(address: Ipv4, port: number): InetAddress {
  return { family: 'inet', address, port };
}

/** A sockaddr from the guest, for a socket of `domain`; or -errno. */
export function parseAddress(bytes: Uint8Array, domain: number): SocketAddress | number {
  if (bytes.length < 2) return -EINVAL;
  const family = bytes[0]! | (bytes[1]! << 8);
  if (family === AF_UNSPEC) return { family: 'unspec' };
  if (family === AF_UNIX && domain === AF_UNIX) {
    if (bytes.length > UNIX_PATH_MAX + 2) return -EINVAL;
    let end = bytes.length;
    if (end > 2 && bytes[2] !== 0) {
      const nul = bytes.indexOf(0, 2);
      if (nul >= 0) end = nul;
    }
    return { family: 'unix', name: copyOf(bytes, 2, end) };
  }
  if (family === AF_INET && (domain === AF_INET || domain === AF_INET6)) {
    if (bytes.length < 16) return -EINVAL;
    return inet(get32(bytes, 4), get16(bytes, 2));
  }
  if (family === AF_INET6 && domain === AF_INET6) {
    if (bytes.length < 24) return -EINVAL;
    const port = get16(bytes, 2);
    const high = bytes.subarray(8, 18);
    if (high.every((b) => b === 0) && bytes[18] === 0xff && bytes[19] === 0xff) return inet(get32(bytes, 20), port);
    if (bytes.subarray(8, 24).every((b) => b === 0)) return inet(0, port);
    return { family: 'inet', address: 0, port, foreign: true };
  }
  return -EAFNOSUPPORT;
}

/** The sockaddr that a socket of `domain` shows. */
export function formatAddress(address: SocketAddress, domain: number): Uint8Array {
  if (address.family === 'unspec') return new Uint8Array(2);
  if (address.family === 'unix') {
    const named = address.name.length > 0;
    const path = named && address.name[0] !== 0;
    const bytes = new Uint8Array(2 + address.name.length + (path ? 1 : 0));
    bytes[0] = AF_UNIX;
    bytes.set(address.name, 2);
    return bytes;
  }
  if (domain === AF_INET6) {
    const bytes = new Uint8Array(28);
    bytes[0] = AF_INET6;
    put16(bytes, 2, address.port);
    if (address.address !== 0) {
      bytes[18] = bytes[19] = 0xff;
      put32(bytes, 20, address.address);
    }
    return bytes;
  }
  const bytes = new Uint8Array(16);
  bytes[0] = AF_INET;
  put16(bytes, 2, address.port);
  put32(bytes, 4, address.address);
  return bytes;
}

function get16(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 8) | bytes[at + 1]!;
}

function get32(bytes: Uint8Array, at: number): number {
  return ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0;
}

function put16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 8;
  bytes[at + 1] = value;
}

function put32(bytes: Uint8Array, at: number, value: number): void {
  put16(bytes, at, value >>> 16);
  put16(bytes, at + 2, value & 0xffff);
}
