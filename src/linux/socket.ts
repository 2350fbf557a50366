/**
 * What all sockets have in common (socket(2), socket(7)). TCP, UDP and UNIX sockets extend it in files of their own;
 * syscalls/socket.ts is the calls. Methods never block: -EAGAIN says "would block", and `queue` is woken when that
 * may have changed.
 */

import type { Part } from '../checkpoint/ledger.ts';
import { EDOM, EFAULT, EINVAL, ENOPROTOOPT, ENOTTY, EOPNOTSUPP } from './abi/errno.ts';
import type { NetworkInterface } from './net.ts';
import { type GuestMemory, OpenFile, type Stat } from './open-file.ts';
import type { SocketAddress } from './socket-address.ts';
import {
  BUFFER_MAX,
  BUFFER_MIN,
  INTEGER_OPTIONS,
  intBytes,
  intOf,
  optionKey,
  SO_ACCEPTCONN,
  SO_DOMAIN,
  SO_ERROR,
  SO_LINGER,
  SO_PROTOCOL,
  SO_RCVBUF,
  SO_RCVBUFFORCE,
  SO_RCVTIMEO,
  SO_RCVTIMEO_NEW,
  SO_SNDBUF,
  SO_SNDBUFFORCE,
  SO_SNDTIMEO,
  SO_SNDTIMEO_NEW,
  SO_TYPE,
  SOL_SOCKET,
  timevalBytes,
  timevalOf,
} from './socket-options.ts';

export const MSG_OOB = 0x1;
export const MSG_PEEK = 0x2;
export const MSG_CTRUNC = 0x8;
export const MSG_TRUNC = 0x20;
export const MSG_DONTWAIT = 0x40;
export const MSG_EOR = 0x80;
export const MSG_WAITALL = 0x100;
export const MSG_ERRQUEUE = 0x2000;
export const MSG_NOSIGNAL = 0x4000;
export const MSG_MORE = 0x8000;
export const MSG_WAITFORONE = 0x10000;
export const MSG_CMSG_CLOEXEC = 0x40000000;

export const SHUT_RD = 0;
export const SHUT_WR = 1;
export const SHUT_RDWR = 2;

const FIONREAD = 0x541b;
const SIOCOUTQ = 0x5411;
const FIONBIO = 0x5421;
const FIOASYNC = 0x5452;
const S_IFSOCK = 0o140000;

export interface Credentials {
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
}

/** What a socket needs of the kernel. */
export interface SocketHost {
  readonly network: NetworkInterface;
  touch(part: Part): void;
  /** An open file description by its id; undefined when it is closed. */
  file(id: number): OpenFile | undefined;
  /** Takes a reference to a description away; the last one closes it. */
  release(file: OpenFile): void;
}

/** One message received, or a piece of a stream. */
export interface Received {
  /** The bytes that fit. */
  readonly bytes: Uint8Array;
  /** The whole length of the datagram; of a stream, that of `bytes`. */
  readonly length: number;
  /** Where it came from; null for a connected stream. */
  readonly from: SocketAddress | null;
  /** Descriptions passed with it (SCM_RIGHTS). They hold a reference that the receiver takes over. */
  readonly rights: readonly OpenFile[];
  readonly credentials: Credentials | null;
}

export interface Outgoing {
  readonly to: SocketAddress | null;
  readonly rights: readonly OpenFile[];
  readonly credentials: Credentials | null;
}

export const PLAIN_MESSAGE: Outgoing = { to: null, rights: [], credentials: null };

export abstract class Socket extends OpenFile {
  readonly host: SocketHost;
  readonly domain: number;
  readonly type: number;
  readonly protocol: number;
  /** Only those that were set, by optionKey. */
  options = new Map<number, number>();
  /** SO_RCVTIMEO, SO_SNDTIMEO in µs; null: none. */
  receiveTimeoutUs: number | null = null;
  sendTimeoutUs: number | null = null;
  /** SO_LINGER in seconds; null: off. */
  lingerS: number | null = null;

  constructor(host: SocketHost, id: number, flags: number, domain: number, type: number, protocol: number) {
    super(id, flags);
    this.host = host;
    this.domain = domain;
    this.type = type;
    this.protocol = protocol;
  }

  abstract bind(address: SocketAddress): number;
  /** 0 when connected, -EINPROGRESS when begun, -EALREADY while it goes on, or -errno. */
  abstract connect(address: SocketAddress): number;
  abstract localName(): SocketAddress;
  /** The peer's name, or -ENOTCONN. */
  abstract peerName(): SocketAddress | number;
  abstract sendMessage(bytes: Uint8Array, flags: number, message: Outgoing): number;
  abstract receiveMessage(length: number, flags: number): Received | number;
  abstract shutdown(how: number): number;
  /** A pending error, cleared; 0 none. Positive. */
  abstract takeError(): number;

  /** How the class is restored, and what it keeps. */
  protected abstract saveOwn(): unknown;
  abstract get kind(): string;

  listen(_backlog: number): number {
    return -EOPNOTSUPP;
  }

  /** True in state listening (SO_ACCEPTCONN). */
  get listening(): boolean {
    return false;
  }

  /** Bytes that could be read now (FIONREAD), or -errno. */
  get available(): number {
    return 0;
  }

  /** Bytes not yet sent or acknowledged (SIOCOUTQ). */
  get outstanding(): number {
    return 0;
  }

  touch(): void {
    this.host.touch(this);
  }

  override read(length: number): Uint8Array | number {
    const result = this.receiveMessage(length, 0);
    if (typeof result === 'number') return result;
    // read(2) has no place for descriptors: they are closed.
    for (const file of result.rights) this.host.release(file);
    return result.bytes;
  }

  override write(bytes: Uint8Array): number {
    return this.sendMessage(bytes, 0, PLAIN_MESSAGE);
  }

  override stat(): Stat {
    return {
      dev: 8,
      ino: this.id,
      mode: S_IFSOCK | 0o777,
      nlink: 1,
      uid: 0,
      gid: 0,
      rdev: 0,
      size: 0,
      blksize: 4096,
      blocks: 0,
      atimeUs: 0,
      mtimeUs: 0,
      ctimeUs: 0,
    };
  }

  override ioctl(request: number, argument: number, io: GuestMemory): number {
    switch (request) {
      case FIONREAD: {
        if (this.listening) return -EINVAL;
        return io.write(argument, intBytes(this.available)) ? 0 : -EFAULT;
      }
      case SIOCOUTQ:
        return io.write(argument, intBytes(this.outstanding)) ? 0 : -EFAULT;
      case FIONBIO:
      case FIOASYNC: {
        const value = io.read(argument, 4);
        if (value === null) return -EFAULT;
        const bit = request === FIONBIO ? 0o4000 : 0o20000;
        this.flags = intOf(value) !== 0 ? this.flags | bit : this.flags & ~bit;
        this.touch();
        return 0;
      }
      default:
        return -ENOTTY;
    }
  }

  // ---- options

  option(level: number, name: number): number {
    const key = optionKey(level, name);
    return this.options.get(key) ?? INTEGER_OPTIONS.get(key) ?? 0;
  }

  /** Whether the level means something to this socket. */
  protected abstract knowsLevel(level: number): boolean;

  /** An int option was set: act on it. 0 or -errno. */
  protected applyOption(_level: number, _name: number, _value: number): number {
    return 0;
  }

  setOption(level: number, name: number, value: Uint8Array): number {
    if (level === SOL_SOCKET) {
      switch (name) {
        case SO_LINGER:
          if (value.length < 8) return -EINVAL;
          this.lingerS = intOf(value) !== 0 ? intOf(value.subarray(4)) : null;
          this.touch();
          return 0;
        case SO_RCVTIMEO:
        case SO_RCVTIMEO_NEW:
        case SO_SNDTIMEO:
        case SO_SNDTIMEO_NEW: {
          if (value.length < 16) return -EINVAL;
          const us = timevalOf(value);
          if (us === undefined) return -EDOM;
          if (name === SO_RCVTIMEO || name === SO_RCVTIMEO_NEW) this.receiveTimeoutUs = us;
          else this.sendTimeoutUs = us;
          this.touch();
          return 0;
        }
        case SO_TYPE:
        case SO_ERROR:
        case SO_DOMAIN:
        case SO_PROTOCOL:
        case SO_ACCEPTCONN:
          return -ENOPROTOOPT;
        case SO_SNDBUF:
        case SO_SNDBUFFORCE:
        case SO_RCVBUF:
        case SO_RCVBUFFORCE: {
          if (value.length < 4) return -EINVAL;
          const asked = intOf(value);
          const most = name === SO_SNDBUF || name === SO_RCVBUF ? BUFFER_MAX : 1 << 23;
          const size = Math.max(BUFFER_MIN, 2 * Math.min(most, asked < 0 ? most : asked));
          const base = name === SO_SNDBUF || name === SO_SNDBUFFORCE ? SO_SNDBUF : SO_RCVBUF;
          this.options.set(optionKey(SOL_SOCKET, base), size);
          this.touch();
          return this.applyOption(level, base, size);
        }
        default:
      }
    }
    const key = optionKey(level, name);
    if (!this.knowsLevel(level) || !INTEGER_OPTIONS.has(key)) return -ENOPROTOOPT;
    // ip(7): IP options may be given as one byte.
    if (value.length < 4 && !(level === 0 && value.length >= 1)) return -EINVAL;
    const number = value.length >= 4 ? intOf(value) : value[0]!;
    const error = this.applyOption(level, name, number);
    if (error !== 0) return error;
    this.options.set(key, number);
    this.touch();
    return 0;
  }

  /** The value's bytes (to be cut to the caller's length), or -errno. */
  getOption(level: number, name: number): Uint8Array | number {
    if (level === SOL_SOCKET) {
      switch (name) {
        case SO_TYPE:
          return intBytes(this.type);
        case SO_ERROR:
          return intBytes(this.takeError());
        case SO_DOMAIN:
          return intBytes(this.domain);
        case SO_PROTOCOL:
          return intBytes(this.protocol);
        case SO_ACCEPTCONN:
          return intBytes(this.listening ? 1 : 0);
        case SO_LINGER: {
          const bytes = new Uint8Array(8);
          bytes.set(intBytes(this.lingerS === null ? 0 : 1));
          bytes.set(intBytes(this.lingerS ?? 0), 4);
          return bytes;
        }
        case SO_RCVTIMEO:
        case SO_RCVTIMEO_NEW:
          return timevalBytes(this.receiveTimeoutUs);
        case SO_SNDTIMEO:
        case SO_SNDTIMEO_NEW:
          return timevalBytes(this.sendTimeoutUs);
        case SO_SNDBUF:
        case SO_RCVBUF:
          return intBytes(this.options.get(optionKey(SOL_SOCKET, name)) ?? BUFFER_MAX);
        default:
      }
    }
    if (!this.knowsLevel(level) || !INTEGER_OPTIONS.has(optionKey(level, name))) return -ENOPROTOOPT;
    return intBytes(this.option(level, name));
  }

  // ---- state

  override save(): unknown {
    return {
      kind: this.kind,
      flags: this.flags,
      domain: this.domain,
      type: this.type,
      protocol: this.protocol,
      options: [...this.options],
      times: [this.receiveTimeoutUs, this.sendTimeoutUs, this.lingerS],
      own: this.saveOwn(),
    };
  }

  protected restoreCommon(state: SavedSocket): void {
    this.options = new Map(state.options);
    [this.receiveTimeoutUs, this.sendTimeoutUs, this.lingerS] = state.times;
  }
}

export interface SavedSocket {
  readonly kind: string;
  readonly flags: number;
  readonly domain: number;
  readonly type: number;
  readonly protocol: number;
  readonly options: [number, number][];
  readonly times: [number | null, number | null, number | null];
  readonly own: unknown;
}
