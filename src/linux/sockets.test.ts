/** Sockets without a kernel around them: a host that only keeps descriptions, a stack that talks to itself. */

import { describe, expect, test } from 'vitest';
import { decodePart, Ledger, type Part } from '../checkpoint/ledger.ts';
import type { Tcp } from '../tcpip/api.ts';
import { makeStack } from '../tcpip/test-link.ts';
import {
  EADDRINUSE,
  EAGAIN,
  EALREADY,
  ECONNREFUSED,
  ECONNRESET,
  EINPROGRESS,
  EISCONN,
  ENETUNREACH,
  ENOPROTOOPT,
  ENOTCONN,
  EPIPE,
} from './abi/errno.ts';
import { EPOLL_CTL_ADD, EPOLLET, EpollFile } from './epoll.ts';
import type { FileHost } from './fs/file-host.ts';
import { GATEWAY_ADDRESS, GUEST_ADDRESS, NetworkInterface } from './net.ts';
import { type OpenFile, POLLERR, POLLHUP, POLLIN, POLLOUT, POLLRDHUP } from './open-file.ts';
import { MSG_PEEK, type Received, SHUT_RD, SHUT_WR } from './socket.ts';
import {
  AF_INET,
  AF_INET6,
  formatAddress,
  inet,
  parseAddress,
  SOCK_DGRAM,
  SOCK_SEQPACKET,
  SOCK_STREAM,
} from './socket-address.ts';
import {
  IPV6_V6ONLY,
  intBytes,
  intOf,
  SO_RCVBUF,
  SO_REUSEADDR,
  SOL_IPV6,
  SOL_SOCKET,
  SOL_TCP,
  TCP_INFO,
  TCP_NODELAY,
} from './socket-options.ts';
import { restoreSocket } from './socket-restore.ts';
import { TcpSocket } from './tcp-socket.ts';
import { UdpSocket } from './udp-socket.ts';
import { type UnixHost, UnixNames, UnixSocket } from './unix-socket.ts';

const LOOPBACK = 0x7f000001;
const text = (s: string): Uint8Array => Buffer.from(s);
const SENT = { to: null, rights: [], credentials: null };

class Host implements UnixHost {
  ledger = new Ledger();
  network: NetworkInterface;
  unixNames = new UnixNames();
  files = new Map<number, OpenFile>();
  nextId = 1;
  now = 1_000_000;
  readonly sent: Uint8Array[] = [];

  constructor(network?: NetworkInterface) {
    const entropy = (length: number): Uint8Array => new Uint8Array(length).fill(7);
    this.network =
      network ?? NetworkInterface.create({ ledger: this.ledger, send: (p) => this.sent.push(p) }, { entropy });
  }

  touch(part: Part): void {
    this.ledger.touch(part);
  }

  file(id: number): OpenFile | undefined {
    return this.files.get(id);
  }

  release(file: OpenFile): void {
    if (--file.references > 0) return;
    this.files.delete(file.id);
    file.dispose();
    this.ledger.remove(file);
  }

  addFile<T extends OpenFile>(construct: (id: number) => T): T {
    const file = construct(this.nextId++);
    this.files.set(file.id, file);
    this.ledger.add(file);
    return file;
  }

  /** As a file table holds it. */
  open<T extends OpenFile>(construct: (id: number) => T): T {
    const file = this.addFile(construct);
    file.references++;
    return file;
  }

  flush(): void {
    this.network.flush(this.now);
  }

  tcp(domain = AF_INET): TcpSocket {
    return this.open((id) => new TcpSocket(this, id, 2, domain));
  }

  udp(): UdpSocket {
    return this.open((id) => new UdpSocket(this, id, 2, AF_INET));
  }

  unix(type: number): UnixSocket {
    return this.open((id) => new UnixSocket(this, id, 2, type));
  }

  pair(type: number): [UnixSocket, UnixSocket] {
    const ends: [UnixSocket, UnixSocket] = [this.unix(type), this.unix(type)];
    UnixSocket.pair(ends[0], ends[1], { pid: 5, uid: 0, gid: 0 });
    return ends;
  }

  connect(port = 80): { listener: TcpSocket; client: TcpSocket; server: TcpSocket } {
    const listener = this.tcp();
    expect(listener.bind(inet(LOOPBACK, port))).toBe(0);
    expect(listener.listen(5)).toBe(0);
    const client = this.tcp();
    expect(client.connect(inet(LOOPBACK, port))).toBe(-EINPROGRESS);
    expect(client.connect(inet(LOOPBACK, port))).toBe(-EALREADY);
    this.flush();
    expect(listener.poll() & POLLIN).toBe(POLLIN);
    const accepted = listener.accept();
    if (typeof accepted === 'number') throw new Error('accept');
    const server = this.tcp();
    server.adopt(accepted, listener);
    expect(client.connect(inet(LOOPBACK, port))).toBe(0);
    return { listener, client, server };
  }

  /** What a backup would make of this host. */
  restored(): Host {
    const parts = new Map<string, unknown>();
    for (const { key, bytes } of this.ledger.all()) if (bytes !== null) parts.set(key, decodePart(bytes));
    const other = new Host(NetworkInterface.restore({ send: () => {} }, parts));
    other.nextId = this.nextId;
    other.now = this.now;
    for (const [key, value] of parts) {
      if (!key.startsWith('file/')) continue;
      const id = Number(key.slice(5));
      const socket = restoreSocket(other, id, value)!;
      socket.references = this.files.get(id)!.references;
      other.files.set(id, socket);
      other.ledger.add(socket);
    }
    return other;
  }
}

function got(result: Uint8Array | number): string | number {
  return typeof result === 'number' ? result : Buffer.from(result).toString();
}

function message(result: Received | number): Received {
  if (typeof result === 'number') throw new Error(`errno ${-result}`);
  return result;
}

describe('tcp', () => {
  test('connect, talk, half-close, end', () => {
    const host = new Host();
    const { client, server } = host.connect();
    expect(client.peerName()).toEqual(inet(LOOPBACK, 80));
    expect(server.peerName()).toEqual(client.localName());
    expect(client.connect(inet(LOOPBACK, 80))).toBe(-EISCONN);
    expect(got(server.read(10))).toBe(-EAGAIN);
    expect(server.poll() & (POLLIN | POLLOUT)).toBe(POLLOUT);
    expect(client.write(text('hello'))).toBe(5);
    host.flush();
    expect(server.poll() & POLLIN).toBe(POLLIN);
    expect(server.available).toBe(5);
    expect(got(message(server.receiveMessage(2, MSG_PEEK)).bytes)).toBe('he');
    expect(got(server.read(100))).toBe('hello');
    expect(client.shutdown(SHUT_WR)).toBe(0);
    expect(client.write(text('x'))).toBe(-EPIPE);
    host.flush();
    expect(server.poll() & (POLLIN | POLLRDHUP | POLLHUP)).toBe(POLLIN | POLLRDHUP);
    expect(got(server.read(10))).toBe('');
    expect(server.write(text('bye'))).toBe(3);
    host.release(server);
    host.flush();
    expect(got(client.read(10))).toBe('bye');
    expect(got(client.read(10))).toBe('');
    expect(client.poll() & (POLLHUP | POLLRDHUP)).toBe(POLLHUP | POLLRDHUP);
  });

  test('refused; not connected', () => {
    const host = new Host();
    const client = host.tcp();
    expect(client.poll() & POLLHUP).toBe(POLLHUP);
    expect(got(client.read(1))).toBe(-ENOTCONN);
    expect(client.write(text('x'))).toBe(-EPIPE);
    expect(client.connect(inet(LOOPBACK, 99))).toBe(-EINPROGRESS);
    expect(client.poll()).toBe(0);
    host.flush();
    expect(client.poll() & (POLLERR | POLLHUP | POLLOUT | POLLIN)).toBe(POLLERR | POLLHUP | POLLOUT | POLLIN);
    const error = client.getOption(SOL_SOCKET, 4) as Uint8Array;
    expect(intOf(error)).toBe(ECONNREFUSED);
    expect(intOf(client.getOption(SOL_SOCKET, 4) as Uint8Array)).toBe(0);
  });

  test('bind: a port in use, SO_REUSEADDR, a restart of the listener', () => {
    const host = new Host();
    const { listener, server, client } = host.connect();
    const other = host.tcp();
    expect(other.bind(inet(0, 80))).toBe(-EADDRINUSE);
    host.release(listener);
    expect(other.bind(inet(0, 80))).toBe(-EADDRINUSE); // A connection is left on it.
    other.setOption(SOL_SOCKET, SO_REUSEADDR, intBytes(1));
    expect(other.bind(inet(0, 80))).toBe(0);
    expect(other.listen(1)).toBe(0);
    const third = host.tcp();
    third.setOption(SOL_SOCKET, SO_REUSEADDR, intBytes(1));
    expect(third.bind(inet(0, 80))).toBe(-EADDRINUSE);
    expect(third.bind(inet(0, 0))).toBe(0);
    expect((third.localName() as { port: number }).port).toBeGreaterThanOrEqual(32768);
    host.release(server);
    host.release(client);
  });

  test('IPv6: any address serves IPv4, V6ONLY beside it is deaf', () => {
    const host = new Host();
    const only = host.tcp(AF_INET6);
    only.setOption(SOL_IPV6, IPV6_V6ONLY, intBytes(1));
    const four = host.tcp();
    expect(four.bind(inet(0, 6379))).toBe(0);
    expect(only.bind(inet(0, 6379))).toBe(0);
    expect(four.listen(1)).toBe(0);
    expect(only.listen(1)).toBe(0);
    expect(only.accept()).toBe(-EAGAIN);
    const address = parseAddress(formatAddress(inet(LOOPBACK, 5), AF_INET6), AF_INET6);
    expect(address).toEqual(inet(LOOPBACK, 5));
  });

  test('epoll: an edge for each arrival, POLLOUT when there is room', () => {
    const host = new Host();
    const { client, server } = host.connect();
    const epoll = host.open((id) => new EpollFile(host as unknown as FileHost, id, 2));
    expect(epoll.control(EPOLL_CTL_ADD, 9, server, (POLLIN | POLLOUT | POLLRDHUP | EPOLLET) >>> 0, 5n)).toBe(0);
    const events = (): number[] => {
      host.now += 50_000;
      host.flush();
      return epoll.collect(10).map((event) => event.events);
    };
    expect(events()).toEqual([POLLOUT]);
    expect(events()).toEqual([]);
    for (let i = 0; i < 2; i++) {
      client.write(text('x'));
      expect(events()).toEqual([POLLIN | POLLOUT]);
    }
    for (let full = 0; full < 3; ) {
      if (server.write(new Uint8Array(65536)) < 0) full++;
      events();
    }
    expect(events().filter((mask) => (mask & POLLOUT) !== 0)).toEqual([]);
    for (let got = client.read(1 << 20); typeof got !== 'number'; got = client.read(1 << 20)) host.flush();
    expect(events()).toEqual([POLLIN | POLLOUT]);
    client.shutdown(SHUT_WR);
    expect(events()).toEqual([POLLIN | POLLOUT | POLLRDHUP]);
  });

  test('nobody routes: beyond our own network is unreachable at once', () => {
    const host = new Host();
    expect(host.tcp().connect(inet(0x08080808, 53))).toBe(-ENETUNREACH);
    expect(host.udp().connect(inet(0x08080808, 53))).toBe(-ENETUNREACH);
    expect(host.udp().sendMessage(text('x'), 0, { ...SENT, to: inet(0x08080808, 53) })).toBe(-ENETUNREACH);
    expect(host.tcp().connect(inet(GATEWAY_ADDRESS, 53))).toBe(-EINPROGRESS);
  });

  test('from outside a listener on the loopback address is reached', () => {
    const host = new Host();
    const listener = host.tcp();
    listener.bind(inet(LOOPBACK, 80));
    listener.listen(5);
    const gateway = makeStack(GATEWAY_ADDRESS, 3, { mtu: 65535 });
    const client = gateway.connect({ address: GUEST_ADDRESS, port: 80 }) as Tcp;
    for (let i = 0; i < 3; i++) {
      for (let p = gateway.dispatch(host.now); p !== null; p = gateway.dispatch(host.now))
        host.network.process(p, host.now);
      host.flush();
      for (const p of host.sent.splice(0)) gateway.process(p, host.now);
    }
    expect(client.state).toBe('established');
    expect(typeof listener.accept()).toBe('object');
  });

  test('options', () => {
    const host = new Host();
    const { listener, client } = host.connect();
    expect(client.setOption(SOL_TCP, TCP_NODELAY, intBytes(1))).toBe(0);
    expect(intOf(client.getOption(SOL_TCP, TCP_NODELAY) as Uint8Array)).toBe(1);
    expect(client.setOption(SOL_SOCKET, SO_RCVBUF, intBytes(10_000))).toBe(0);
    expect(intOf(client.getOption(SOL_SOCKET, SO_RCVBUF) as Uint8Array)).toBe(20_000);
    expect(client.setOption(SOL_TCP, 999, intBytes(1))).toBe(-ENOPROTOOPT);
    expect((client.getOption(SOL_TCP, TCP_INFO) as Uint8Array)[0]).toBe(1);
    expect((listener.getOption(SOL_TCP, TCP_INFO) as Uint8Array)[0]).toBe(10);
  });

  test('back-pressure: EAGAIN when full, POLLOUT when there is room again', () => {
    const host = new Host();
    const { client, server } = host.connect();
    let sent = 0;
    const block = new Uint8Array(100_000);
    for (let n = client.write(block); n > 0; n = client.write(block)) {
      sent += n;
      host.flush();
    }
    expect(client.write(block)).toBe(-EAGAIN);
    expect(client.poll() & POLLOUT).toBe(0);
    let woken = 0;
    client.queue.add({ notify: () => woken++ });
    let received = 0;
    for (let i = 0; i < 1000 && received < sent; i++) {
      const bytes = server.read(65536);
      if (typeof bytes !== 'number') received += bytes.length;
      host.now += 10_000;
      host.flush();
    }
    expect(received).toBe(sent);
    expect(woken).toBeGreaterThan(0);
    expect(client.poll() & POLLOUT).toBe(POLLOUT);
  });

  test('restored: the listener accepts, connections go on', () => {
    const host = new Host();
    const { listener, client, server } = host.connect();
    client.setOption(SOL_TCP, TCP_NODELAY, intBytes(1));
    client.write(text('before'));
    host.flush();
    const other = host.restored();
    const server2 = other.files.get(server.id) as TcpSocket;
    const client2 = other.files.get(client.id) as TcpSocket;
    let woken = 0;
    server2.queue.add({ notify: () => woken++ });
    client2.write(text(' after'));
    other.flush();
    expect(woken).toBe(1);
    expect(got(server2.read(100))).toBe('before after');
    const again = other.tcp();
    expect(again.connect(inet(LOOPBACK, 80))).toBe(-EINPROGRESS);
    other.flush();
    expect(typeof (other.files.get(listener.id) as TcpSocket).accept()).toBe('object');
    expect(other.tcp().bind(inet(0, 80))).toBe(-EADDRINUSE);
  });
});

describe('udp', () => {
  test('datagrams, connect, refusal, restore', () => {
    const host = new Host();
    const server = host.udp();
    expect(server.bind(inet(0, 53))).toBe(0);
    const client = host.udp();
    expect(client.connect(inet(LOOPBACK, 53))).toBe(0);
    expect(client.localName()).toMatchObject({ address: LOOPBACK });
    expect(client.write(text('q'))).toBe(1);
    host.flush();
    const question = message(server.receiveMessage(100, 0));
    expect(question.from).toEqual(client.localName());
    expect(server.sendMessage(text('answer'), 0, { ...SENT, to: question.from })).toBe(6);
    host.flush();
    const other = host.restored();
    const answer = message((other.files.get(client.id) as UdpSocket).receiveMessage(3, 0));
    expect([got(answer.bytes), answer.length]).toEqual(['ans', 6]);
    host.release(server);
    client.read(10);
    client.write(text('q'));
    host.flush();
    expect(client.poll() & POLLERR).toBe(POLLERR);
    expect(got(client.read(1))).toBe(-ECONNREFUSED);
  });
});

describe('unix', () => {
  test('a stream pair: bytes, end, EPIPE', () => {
    const host = new Host();
    const [a, b] = host.pair(SOCK_STREAM);
    expect(a.write(text('one'))).toBe(3);
    expect(a.write(text('two'))).toBe(3);
    expect(got(b.read(4))).toBe('onet');
    expect(got(b.read(10))).toBe('wo');
    expect(got(b.read(10))).toBe(-EAGAIN);
    a.shutdown(SHUT_WR);
    expect(got(b.read(10))).toBe('');
    expect(b.poll() & (POLLIN | POLLRDHUP)).toBe(POLLIN | POLLRDHUP);
    b.write(text('back'));
    expect(got(a.read(10))).toBe('back');
    a.shutdown(SHUT_RD);
    expect(b.write(text('x'))).toBe(-EPIPE);
    host.release(a);
    expect(b.poll() & POLLHUP).toBe(POLLHUP);
    expect(b.write(text('x'))).toBe(-EPIPE);
    b.close();
  });

  test('back-pressure and wake-ups', () => {
    const host = new Host();
    const [a, b] = host.pair(SOCK_STREAM);
    let total = 0;
    for (let n = a.write(new Uint8Array(50_000)); n > 0; n = a.write(new Uint8Array(50_000))) total += n;
    expect(a.poll() & POLLOUT).toBe(0);
    let woken = 0;
    a.queue.add({ notify: () => woken++ });
    let received = 0;
    for (let bytes = b.read(65536); typeof bytes !== 'number'; bytes = b.read(65536)) received += bytes.length;
    expect(received).toBe(total);
    expect(woken).toBeGreaterThan(0);
    expect(a.poll() & POLLOUT).toBe(POLLOUT);
  });

  test('seqpacket keeps boundaries; descriptors travel, also through a restore', () => {
    const host = new Host();
    const [a, b] = host.pair(SOCK_SEQPACKET);
    const passed = host.udp();
    a.write(text('one'));
    a.sendMessage(text('two'), 0, { ...SENT, rights: [passed] });
    expect(passed.references).toBe(2);
    host.release(passed);
    const other = host.restored();
    for (const h of [host, other]) {
      const end = h.files.get(b.id) as UnixSocket;
      expect(got(end.read(2))).toBe('on');
      const received = message(end.receiveMessage(10, 0));
      expect(got(received.bytes)).toBe('two');
      expect(received.rights.map((f) => f.id)).toEqual([passed.id]);
      expect(received.credentials).toMatchObject({ pid: 5 });
    }
    expect(other.files.get(b.id)).not.toBe(b);
  });

  test('descriptors in a closed socket are closed', () => {
    const host = new Host();
    const [a, b] = host.pair(SOCK_STREAM);
    const passed = host.udp();
    a.sendMessage(text('x'), 0, { ...SENT, rights: [passed] });
    host.release(passed);
    expect(host.files.has(passed.id)).toBe(true);
    host.release(b);
    expect(host.files.has(passed.id)).toBe(false);
    expect(got(a.read(1))).toBe(-ECONNRESET);
    expect(got(a.read(1))).toBe('');
  });

  test('named: listen, connect, accept, talk', () => {
    const host = new Host();
    const server = host.unix(SOCK_STREAM);
    const name = { family: 'unix', name: text('\0name') } as const;
    expect(server.bind(name)).toBe(0);
    expect(host.unix(SOCK_STREAM).bind(name)).toBe(-EADDRINUSE);
    const client = host.unix(SOCK_STREAM);
    expect(client.connect(name)).toBe(-ECONNREFUSED);
    expect(server.listen(1)).toBe(0);
    expect(client.connect(name)).toBe(0);
    client.write(text('early'));
    const end = server.accept();
    if (typeof end === 'number') throw new Error('accept');
    expect(got(end.read(10))).toBe('early');
    expect(client.peerName()).toEqual(name);
    expect(host.unix(SOCK_STREAM).connect(name)).toBe(0);
    expect(host.unix(SOCK_STREAM).connect(name)).toBe(0);
    expect(host.unix(SOCK_STREAM).connect(name)).toBe(-EAGAIN);
    host.release(server);
    expect(client.write(text('still'))).toBe(5);
  });

  test('named datagrams', () => {
    const host = new Host();
    const server = host.unix(SOCK_DGRAM);
    const name = { family: 'unix', name: text('\0log') } as const;
    expect(server.bind(name)).toBe(0);
    const client = host.unix(SOCK_DGRAM);
    expect(client.sendMessage(text('line'), 0, { ...SENT, to: name })).toBe(4);
    const received = message(server.receiveMessage(100, 0));
    expect(got(received.bytes)).toBe('line');
    expect(received.from).toEqual({ family: 'unix', name: new Uint8Array(0) });
    expect(client.connect(name)).toBe(0);
    expect(client.write(text('more'))).toBe(4);
    host.release(server);
    expect(client.write(text('x'))).toBe(-ECONNREFUSED);
  });
});
