/** AF_INET (and AF_INET6 with mapped addresses) SOCK_DGRAM: udp(7). */

import type { UdpSocket as StackUdp } from '../tcpip/udp.ts';
import {
  EADDRNOTAVAIL,
  EAFNOSUPPORT,
  EAGAIN,
  EDESTADDRREQ,
  EINVAL,
  ENETUNREACH,
  ENOTCONN,
  EOPNOTSUPP,
  EPIPE,
} from './abi/errno.ts';
import { POLLERR, POLLHUP, POLLIN, POLLOUT, POLLRDHUP, POLLRDNORM, POLLWRNORM } from './open-file.ts';
import {
  MSG_ERRQUEUE,
  MSG_OOB,
  MSG_PEEK,
  type Outgoing,
  type Received,
  type SavedSocket,
  SHUT_RD,
  SHUT_RDWR,
  SHUT_WR,
  Socket,
  type SocketHost,
} from './socket.ts';
import { AF_INET6, inet, SOCK_DGRAM, type SocketAddress } from './socket-address.ts';
import { SO_RCVBUF, SO_REUSEADDR, SO_REUSEPORT, SOL_IP, SOL_IPV6, SOL_SOCKET, SOL_UDP } from './socket-options.ts';

const IPPROTO_UDP = 17;

export class UdpSocket extends Socket {
  #udp: StackUdp | null = null;
  #shut = 0;

  constructor(host: SocketHost, id: number, flags: number, domain: number) {
    super(host, id, flags, domain, SOCK_DGRAM, IPPROTO_UDP);
  }

  get kind(): string {
    return 'udp-socket';
  }

  override bind(address: SocketAddress): number {
    if (address.family === 'unix') return -EAFNOSUPPORT;
    if (this.#udp !== null) return -EINVAL;
    const { stack } = this.host.network;
    const wanted = address.family === 'unspec' ? inet(0, 0) : address;
    if (wanted.foreign === true || (wanted.address !== 0 && !stack.isLocal(wanted.address))) return -EADDRNOTAVAIL;
    const reuse = this.option(SOL_SOCKET, SO_REUSEADDR) !== 0 || this.option(SOL_SOCKET, SO_REUSEPORT) !== 0;
    const udp = stack.udp(wanted.address, wanted.port, reuse);
    if (typeof udp === 'number') return udp;
    this.#udp = udp;
    const size = this.options.get(SOL_SOCKET * 65536 + SO_RCVBUF);
    if (size !== undefined) udp.setReceiveBuffer(size);
    this.host.network.own(udp.id, this);
    this.touch();
    return 0;
  }

  /** Binds to an unused port where the guest did not. */
  #ensure(): StackUdp | number {
    if (this.#udp === null) {
      const error = this.bind(inet(0, 0));
      if (error !== 0) return error;
    }
    return this.#udp!;
  }

  override connect(address: SocketAddress): number {
    if (address.family === 'unix') return -EAFNOSUPPORT;
    if (address.family === 'unspec') {
      this.#udp?.connect(null);
      return 0;
    }
    if (address.foreign === true || !this.host.network.stack.reaches(address.address)) return -ENETUNREACH;
    const udp = this.#ensure();
    if (typeof udp === 'number') return udp;
    udp.connect({ address: address.address === 0 ? 0x7f000001 : address.address, port: address.port });
    return 0;
  }

  override localName(): SocketAddress {
    const udp = this.#udp;
    if (udp === null) return inet(0, 0);
    // A connected socket shows the address its packets leave from: getaddrinfo(3) sorts by it.
    if (udp.address === 0 && udp.remote !== null) {
      return inet(this.host.network.stack.sourceFor(udp.remote.address), udp.port);
    }
    return inet(udp.address, udp.port);
  }

  override peerName(): SocketAddress | number {
    const remote = this.#udp?.remote ?? null;
    return remote === null ? -ENOTCONN : inet(remote.address, remote.port);
  }

  override sendMessage(bytes: Uint8Array, flags: number, message: Outgoing): number {
    if ((flags & MSG_OOB) !== 0) return -EOPNOTSUPP;
    if ((this.#shut & 2) !== 0) return -EPIPE;
    const udp = this.#ensure();
    if (typeof udp === 'number') return udp;
    if (udp.error !== 0) return -udp.takeError();
    if (message.to === null) {
      if (udp.remote === null) return -EDESTADDRREQ;
      return udp.sendTo(bytes, udp.remote);
    }
    if (message.to.family !== 'inet') return -EAFNOSUPPORT;
    if (message.to.port === 0) return -EINVAL;
    if (message.to.foreign === true || !this.host.network.stack.reaches(message.to.address)) return -ENETUNREACH;
    return udp.sendTo(bytes, message.to);
  }

  override receiveMessage(length: number, flags: number): Received | number {
    if ((flags & MSG_ERRQUEUE) !== 0) return -EAGAIN;
    const udp = this.#udp;
    if (udp !== null && udp.error !== 0) return -udp.takeError();
    const datagram = udp?.receive((flags & MSG_PEEK) !== 0) ?? null;
    if (datagram === null) {
      if ((this.#shut & 1) !== 0)
        return { bytes: new Uint8Array(0), length: 0, from: null, rights: [], credentials: null };
      return -EAGAIN;
    }
    return {
      bytes: datagram.bytes.subarray(0, length),
      length: datagram.bytes.length,
      from: inet(datagram.source, datagram.sourcePort),
      rights: [],
      credentials: null,
    };
  }

  override get available(): number {
    return this.#udp?.readable ?? 0;
  }

  override shutdown(how: number): number {
    if (how < SHUT_RD || how > SHUT_RDWR) return -EINVAL;
    if (how !== SHUT_WR) this.#shut |= 1;
    if (how !== SHUT_RD) this.#shut |= 2;
    this.touch();
    this.queue.wake();
    return (this.#udp?.remote ?? null) === null ? -ENOTCONN : 0;
  }

  override takeError(): number {
    return this.#udp?.takeError() ?? 0;
  }

  override poll(): number {
    let mask = POLLOUT | POLLWRNORM;
    if ((this.#udp?.error ?? 0) !== 0) mask |= POLLERR;
    if ((this.#udp?.pending ?? 0) > 0) mask |= POLLIN | POLLRDNORM;
    if ((this.#shut & 1) !== 0) mask |= POLLIN | POLLRDNORM | POLLRDHUP;
    if (this.#shut === 3) mask |= POLLHUP;
    return mask;
  }

  override close(): void {
    if (this.#udp === null) return;
    this.host.network.disown(this.#udp.id);
    this.#udp.close();
    this.#udp = null;
  }

  protected override knowsLevel(level: number): boolean {
    return (
      level === SOL_SOCKET || level === SOL_IP || level === SOL_UDP || (level === SOL_IPV6 && this.domain === AF_INET6)
    );
  }

  protected override applyOption(level: number, name: number, value: number): number {
    if (level === SOL_SOCKET && name === SO_RCVBUF) this.#udp?.setReceiveBuffer(value);
    return 0;
  }

  protected override saveOwn(): unknown {
    return [this.#udp?.id ?? 0, this.#shut];
  }

  static restore(host: SocketHost, id: number, state: SavedSocket): UdpSocket {
    const socket = new UdpSocket(host, id, state.flags, state.domain);
    socket.restoreCommon(state);
    const [udp, shut] = state.own as [number, number];
    socket.#udp = host.network.stack.udpSocket(udp) ?? null;
    socket.#shut = shut;
    if (udp !== 0) host.network.own(udp, socket);
    return socket;
  }
}
