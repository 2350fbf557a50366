/** AF_INET (and AF_INET6 with mapped addresses) SOCK_STREAM: tcp(7) over a connection or listener of the stack. */

import type { Tcp, TcpOption } from '../tcpip/api.ts';
import type { TcpConnection } from '../tcpip/tcp/connection.ts';
import type { Listener } from '../tcpip/tcp/listener.ts';
import {
  EADDRINUSE,
  EADDRNOTAVAIL,
  EAFNOSUPPORT,
  EAGAIN,
  EALREADY,
  ECONNABORTED,
  EINPROGRESS,
  EINVAL,
  EISCONN,
  ENETUNREACH,
  ENOTCONN,
  EOPNOTSUPP,
  EPIPE,
} from './abi/errno.ts';
import type { BoundSocket } from './net.ts';
import { POLLERR, POLLHUP, POLLIN, POLLOUT, POLLRDHUP, POLLRDNORM, POLLWRNORM } from './open-file.ts';
import {
  MSG_MORE,
  MSG_OOB,
  MSG_PEEK,
  MSG_TRUNC,
  type Outgoing,
  type Received,
  type SavedSocket,
  SHUT_RD,
  SHUT_RDWR,
  SHUT_WR,
  Socket,
  type SocketHost,
} from './socket.ts';
import { AF_INET6, type InetAddress, inet, SOCK_STREAM, type SocketAddress } from './socket-address.ts';
import {
  IPV6_V6ONLY,
  optionKey,
  SO_KEEPALIVE,
  SO_RCVBUF,
  SO_REUSEADDR,
  SO_REUSEPORT,
  SO_SNDBUF,
  SOL_IP,
  SOL_IPV6,
  SOL_SOCKET,
  SOL_TCP,
  TCP_CONGESTION,
  TCP_CORK,
  TCP_INFO,
  TCP_KEEPCNT,
  TCP_KEEPIDLE,
  TCP_KEEPINTVL,
  TCP_MAXSEG,
  TCP_NODELAY,
  TCP_QUICKACK,
  TCP_USER_TIMEOUT,
} from './socket-options.ts';
import { tcpInfo } from './tcp-info.ts';

const IPPROTO_TCP = 6;
const EMPTY = new Uint8Array(0);
/** Socket options that the stack acts on, and the factor to its units. */
const STACK_OPTIONS: ReadonlyMap<number, readonly [TcpOption, number]> = new Map<number, readonly [TcpOption, number]>([
  [optionKey(SOL_SOCKET, SO_KEEPALIVE), ['keepalive', 1]],
  [optionKey(SOL_SOCKET, SO_SNDBUF), ['sendBuffer', 1]],
  [optionKey(SOL_SOCKET, SO_RCVBUF), ['receiveBuffer', 1]],
  [optionKey(SOL_TCP, TCP_NODELAY), ['nodelay', 1]],
  [optionKey(SOL_TCP, TCP_CORK), ['cork', 1]],
  [optionKey(SOL_TCP, TCP_KEEPIDLE), ['keepidleUs', 1e6]],
  [optionKey(SOL_TCP, TCP_KEEPINTVL), ['keepintvlUs', 1e6]],
  [optionKey(SOL_TCP, TCP_KEEPCNT), ['keepcnt', 1]],
  [optionKey(SOL_TCP, TCP_QUICKACK), ['quickack', 1]],
  [optionKey(SOL_TCP, TCP_USER_TIMEOUT), ['userTimeoutUs', 1000]],
]);

export class TcpSocket extends Socket implements BoundSocket {
  #bound: InetAddress | null = null;
  #listener: Listener | null = null;
  #tcp: TcpConnection | null = null;
  /** connect(2) has begun and its outcome was not told yet. */
  #connecting = false;
  #shutRead = false;
  /** An IPV6_V6ONLY listener: nothing can reach it. */
  #deaf = false;

  constructor(host: SocketHost, id: number, flags: number, domain: number) {
    super(host, id, flags, domain, SOCK_STREAM, IPPROTO_TCP);
  }

  get kind(): string {
    return 'tcp-socket';
  }

  get #stack() {
    return this.host.network.stack;
  }

  // ---- names

  override bind(address: SocketAddress): number {
    if (address.family === 'unix') return -EAFNOSUPPORT;
    // Linux takes AF_UNSPEC with the any address for AF_INET (inet_bind, "compatibility games").
    const wanted = address.family === 'unspec' ? inet(0, 0) : address;
    if (this.#bound !== null || this.#tcp !== null) return -EINVAL;
    if (wanted.foreign === true || (wanted.address !== 0 && !this.#stack.isLocal(wanted.address))) {
      return -EADDRNOTAVAIL;
    }
    let port = wanted.port;
    if (port === 0) {
      port = this.#stack.ephemeralPort(wanted.address, inet(0, 0), (p) => !this.#taken(wanted.address, p));
      if (port === 0) return -EADDRINUSE;
    } else if (this.#taken(wanted.address, port)) return -EADDRINUSE;
    this.#enter(inet(wanted.address, port));
    this.touch();
    return 0;
  }

  #enter(name: InetAddress): void {
    this.#bound = name;
    this.host.network.binds.add(name.port, this);
  }

  get boundAddress(): number {
    return this.#bound?.address ?? 0;
  }

  get reuseAddress(): boolean {
    return this.option(SOL_SOCKET, SO_REUSEADDR) !== 0;
  }

  get reusePort(): boolean {
    return this.option(SOL_SOCKET, SO_REUSEPORT) !== 0;
  }

  get v6only(): boolean {
    return this.domain === AF_INET6 && this.option(SOL_IPV6, IPV6_V6ONLY) !== 0;
  }

  /** inet_csk_bind_conflict: sockets bound to the port, and connections left on it. */
  #taken(address: number, port: number): boolean {
    for (const other of this.host.network.binds.at(port)) {
      if (other === this || other.v6only !== this.v6only) continue;
      const theirs = other.boundAddress;
      if (address !== 0 && theirs !== 0 && address !== theirs) continue;
      if (this.reusePort && other.reusePort) continue;
      if (this.reuseAddress && other.reuseAddress && !other.listening) continue;
      return true;
    }
    if (this.v6only || this.reuseAddress || this.reusePort) return false;
    return this.#stack.portInUse(address, port, false);
  }

  override localName(): SocketAddress {
    if (this.#tcp !== null) return inet(this.#tcp.localAddress, this.#tcp.localPort);
    return this.#bound ?? inet(0, 0);
  }

  override peerName(): SocketAddress | number {
    const tcp = this.#tcp;
    if (tcp === null || tcp.state === 'syn-sent' || tcp.state === 'closed') return -ENOTCONN;
    return inet(tcp.remoteAddress, tcp.remotePort);
  }

  // ---- listening

  override get listening(): boolean {
    return this.#listener !== null || this.#deaf;
  }

  override listen(backlog: number): number {
    if (this.#tcp !== null) return -EINVAL;
    const limit = backlog < 0 ? 4096 : backlog;
    if (this.#listener !== null) {
      this.#listener.setBacklog(limit);
      return 0;
    }
    if (this.#bound === null) {
      const error = this.bind(inet(0, 0));
      if (error !== 0) return error;
    }
    if (this.v6only) {
      this.#deaf = true;
      this.touch();
      return 0;
    }
    const { address, port } = this.#bound!;
    const listener = this.#stack.listen(port, limit, { address, reusePort: this.reusePort });
    if (typeof listener === 'number') return listener;
    this.#listener = listener as Listener;
    for (const [key, [name, factor]] of STACK_OPTIONS) {
      const value = this.options.get(key);
      if (value !== undefined) this.#listener.setOption(name, value * factor);
    }
    this.host.network.own(listener.id, this);
    this.touch();
    return 0;
  }

  /** The next connection, to be given to `adopt` of a new socket; -EAGAIN, -EINVAL. */
  accept(): Tcp | number {
    if (this.#deaf) return -EAGAIN;
    if (this.#listener === null) return -EINVAL;
    return this.#listener.accept() ?? -EAGAIN;
  }

  /** A socket for an accepted connection. It inherits the listener's options. */
  adopt(tcp: Tcp, listener: TcpSocket): void {
    this.#tcp = tcp as TcpConnection;
    this.options = new Map(listener.options);
    this.receiveTimeoutUs = listener.receiveTimeoutUs;
    this.sendTimeoutUs = listener.sendTimeoutUs;
    this.lingerS = listener.lingerS;
    this.host.network.own(tcp.id, this);
    this.touch();
  }

  // ---- connecting

  override connect(address: SocketAddress): number {
    if (address.family === 'unix') return -EAFNOSUPPORT;
    if (address.family === 'unspec') return this.#disconnect();
    if (this.listening) return -EISCONN;
    const old = this.#tcp;
    if (old !== null) {
      if (old.state === 'syn-sent' || old.state === 'syn-received') return -EALREADY;
      if (old.state !== 'closed') {
        if (!this.#connecting) return -EISCONN;
        this.#connecting = false;
        this.touch();
        return 0;
      }
      if (!this.#connecting) return -EISCONN;
      // A refused connection: tell why; after that the socket may be used again.
      const error = old.takeError();
      this.#release();
      this.touch();
      return -(error === 0 ? ECONNABORTED : error);
    }
    if (address.foreign === true || this.v6only) return -ENETUNREACH;
    const tcp = this.#stack.connect(address, this.#bound?.port ?? 0, this.#bound?.address ?? 0);
    if (typeof tcp === 'number') return tcp;
    this.#tcp = tcp as TcpConnection;
    this.#connecting = true;
    for (const [key, [name, factor]] of STACK_OPTIONS) {
      const value = this.options.get(key);
      if (value !== undefined) tcp.setOption(name, value * factor);
    }
    this.host.network.own(tcp.id, this);
    this.touch();
    return -EINPROGRESS;
  }

  /** connect(AF_UNSPEC): back to an unconnected socket. */
  #disconnect(): number {
    this.#tcp?.abort();
    this.#release();
    this.#shutRead = false;
    this.touch();
    return 0;
  }

  #release(): void {
    if (this.#tcp === null) return;
    this.host.network.disown(this.#tcp.id);
    this.#tcp.close();
    this.#tcp = null;
    this.#connecting = false;
  }

  // ---- data

  override sendMessage(bytes: Uint8Array, flags: number, message: Outgoing): number {
    const tcp = this.#tcp;
    if (tcp === null) return -EPIPE;
    if ((flags & MSG_OOB) !== 0) return -EOPNOTSUPP;
    if (message.to !== null && this.#connecting && tcp.state !== 'established') return -EALREADY;
    if (tcp.error !== 0) return -tcp.takeError();
    if (tcp.state === 'syn-sent' || tcp.state === 'syn-received') return -EAGAIN;
    if (tcp.finQueued || tcp.state === 'closed') return -EPIPE;
    if (bytes.length === 0) return 0;
    // MSG_MORE is a cork for this call: the data waits for more, at most 200 ms.
    const more = (flags & MSG_MORE) !== 0;
    if (more !== tcp.cork) tcp.setOption('cork', more || this.option(SOL_TCP, TCP_CORK) !== 0 ? 1 : 0);
    const count = tcp.send(bytes);
    return count === 0 ? -EAGAIN : count;
  }

  override receiveMessage(length: number, flags: number): Received | number {
    const tcp = this.#tcp;
    if (tcp === null) return -ENOTCONN;
    if ((flags & MSG_OOB) !== 0) return -EINVAL;
    if (tcp.readable > 0) {
      // tcp(7): with MSG_TRUNC the bytes are thrown away.
      const bytes = tcp.recv(length, (flags & MSG_PEEK) !== 0);
      return stream((flags & MSG_TRUNC) !== 0 ? EMPTY : bytes, bytes.length);
    }
    if (length === 0) return stream(EMPTY, 0);
    if (tcp.error !== 0) return -tcp.takeError();
    if (tcp.finReceived || this.#shutRead) return stream(EMPTY, 0);
    if (tcp.state === 'closed') return this.#connecting ? -ENOTCONN : stream(EMPTY, 0);
    return -EAGAIN;
  }

  override get available(): number {
    return this.#tcp?.readable ?? 0;
  }

  override get outstanding(): number {
    return this.#tcp?.unacknowledged ?? 0;
  }

  override shutdown(how: number): number {
    if (how < SHUT_RD || how > SHUT_RDWR) return -EINVAL;
    if (this.listening) {
      // Linux: a listener that is shut down for reading listens no more.
      if (how === SHUT_WR) return -ENOTCONN;
      this.#unlisten();
      this.touch();
      this.queue.wake();
      return 0;
    }
    const tcp = this.#tcp;
    if (tcp === null || tcp.state === 'closed') return -ENOTCONN;
    if (tcp.state === 'syn-sent') {
      this.#disconnect();
      return 0;
    }
    if (how !== SHUT_WR) this.#shutRead = true;
    if (how !== SHUT_RD) tcp.shutdown();
    this.touch();
    this.queue.wake();
    return 0;
  }

  override takeError(): number {
    return this.#tcp?.takeError() ?? 0;
  }

  /** tcp_poll. */
  override poll(): number {
    if (this.#deaf) return 0;
    if (this.#listener !== null) return this.#listener.pending > 0 ? POLLIN | POLLRDNORM : 0;
    const tcp = this.#tcp;
    if (tcp === null) return POLLOUT | POLLWRNORM | POLLHUP;
    if (tcp.state === 'syn-sent' || tcp.state === 'syn-received') return 0;
    const closed = tcp.state === 'closed';
    const ended = tcp.finReceived || this.#shutRead || closed;
    let mask = tcp.error !== 0 ? POLLERR : 0;
    if (closed || (ended && tcp.finQueued)) mask |= POLLHUP;
    if (ended) mask |= POLLRDHUP;
    if (ended || tcp.readable > 0) mask |= POLLIN | POLLRDNORM;
    if (closed || tcp.finQueued || 3 * tcp.unacknowledged <= 2 * tcp.sendBuffer) mask |= POLLOUT | POLLWRNORM;
    else if (!tcp.sendBlocked) {
      // Asked and found full: there must be a wake-up when there is room.
      tcp.sendBlocked = true;
      this.host.touch(tcp);
    }
    return mask;
  }

  override close(): void {
    if (this.#tcp !== null) {
      this.host.network.disown(this.#tcp.id);
      // SO_LINGER with no time: the connection is reset (socket(7)). With time, close does not wait for it here.
      if (this.lingerS === 0) this.#tcp.abort();
      else this.#tcp.close();
      this.#tcp = null;
    }
    this.#unlisten();
    if (this.#bound !== null) this.host.network.binds.remove(this.#bound.port, this);
    this.#bound = null;
  }

  #unlisten(): void {
    if (this.#listener !== null) {
      this.host.network.disown(this.#listener.id);
      this.#listener.close();
      this.#listener = null;
    }
    this.#deaf = false;
  }

  // ---- options

  protected override knowsLevel(level: number): boolean {
    return (
      level === SOL_SOCKET || level === SOL_IP || level === SOL_TCP || (level === SOL_IPV6 && this.domain === AF_INET6)
    );
  }

  protected override applyOption(level: number, name: number, value: number): number {
    if (level === SOL_TCP) {
      const positive = name === TCP_KEEPIDLE || name === TCP_KEEPINTVL || name === TCP_KEEPCNT;
      if (positive && (value < 1 || value > (name === TCP_KEEPCNT ? 127 : 32767))) return -EINVAL;
      if (name === TCP_USER_TIMEOUT && value < 0) return -EINVAL;
    }
    const known = STACK_OPTIONS.get(optionKey(level, name));
    if (known !== undefined) {
      this.#tcp?.setOption(known[0], value * known[1]);
      this.#listener?.setOption(known[0], value * known[1]);
    }
    return 0;
  }

  override setOption(level: number, name: number, value: Uint8Array): number {
    // The stack has one algorithm; asking for it is fine.
    if (level === SOL_TCP && name === TCP_CONGESTION) return latin1(value) === 'cubic' ? 0 : -2;
    return super.setOption(level, name, value);
  }

  override getOption(level: number, name: number): Uint8Array | number {
    if (level === SOL_TCP && name === TCP_CONGESTION) {
      const bytes = new Uint8Array(16);
      for (let i = 0; i < 5; i++) bytes[i] = 'cubic'.charCodeAt(i);
      return bytes;
    }
    if (level === SOL_TCP && name === TCP_INFO) return tcpInfo(this.#tcp, this.listening);
    if (level === SOL_TCP && name === TCP_MAXSEG && this.#tcp !== null) {
      const mss = this.#tcp.sndMss;
      return Uint8Array.of(mss, mss >>> 8, 0, 0);
    }
    return super.getOption(level, name);
  }

  // ---- state

  protected override saveOwn(): unknown {
    return [
      this.#bound === null ? null : [this.#bound.address, this.#bound.port],
      this.#listener?.id ?? 0,
      this.#tcp?.id ?? 0,
      this.#connecting,
      this.#shutRead,
      this.#deaf,
    ];
  }

  static restore(host: SocketHost, id: number, state: SavedSocket): TcpSocket {
    const socket = new TcpSocket(host, id, state.flags, state.domain);
    socket.restoreCommon(state);
    const [bound, listener, tcp, connecting, shutRead, deaf] = state.own as [
      [number, number] | null,
      number,
      number,
      boolean,
      boolean,
      boolean,
    ];
    if (bound !== null) socket.#enter(inet(bound[0], bound[1]));
    socket.#listener = host.network.stack.listener(listener) ?? null;
    socket.#tcp = host.network.stack.connection(tcp) ?? null;
    socket.#connecting = connecting;
    socket.#shutRead = shutRead;
    socket.#deaf = deaf;
    if (listener !== 0) host.network.own(listener, socket);
    if (tcp !== 0) host.network.own(tcp, socket);
    return socket;
  }
}

function stream(bytes: Uint8Array, length: number): Received {
  return { bytes, length, from: null, rights: [], credentials: null };
}

function latin1(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) {
    if (byte === 0) break;
    text += String.fromCharCode(byte);
  }
  return text;
}
