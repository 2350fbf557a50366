/**
 * AF_UNIX sockets (unix(7)): pairs and named ones, SOCK_STREAM, SOCK_DGRAM and SOCK_SEQPACKET, with descriptors passed
 * as SCM_RIGHTS. A socket's received messages are its own state; its peer is known by the id of its description.
 *
 * Names: a path is a socket file, known here by its inode number, which the system call looks up; abstract names are
 * known by their bytes.
 */

import { copyOf } from '../tcpip/wire.ts';
import {
  EADDRINUSE,
  EAGAIN,
  ECONNREFUSED,
  ECONNRESET,
  EINVAL,
  EISCONN,
  EMSGSIZE,
  ENOTCONN,
  EOPNOTSUPP,
  EPIPE,
  EPROTOTYPE,
} from './abi/errno.ts';
import { type OpenFile, POLLHUP, POLLIN, POLLOUT, POLLRDHUP, POLLRDNORM, POLLWRNORM } from './open-file.ts';
import {
  type Credentials,
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
import { AF_UNIX, SOCK_DGRAM, SOCK_STREAM, type SocketAddress, type UnixAddress } from './socket-address.ts';
import { SOL_SOCKET } from './socket-options.ts';

/** Bytes that may wait in a socket (net.core.wmem_default). */
const BUFFER = 212_992;
/** Messages that may wait in a datagram socket (net.unix.max_dgram_qlen is 10 by default; distributions raise it). */
const DATAGRAMS = 512;
/** What a queued message costs beside its bytes. */
const OVERHEAD = 64;
const EMPTY = new Uint8Array(0);
const UNNAMED: UnixAddress = { family: 'unix', name: EMPTY };

interface Message {
  bytes: Uint8Array;
  /** Ids of descriptions, each with a reference. */
  rights: number[];
  from: Uint8Array;
  credentials: Credentials | null;
}

/** Which socket a name belongs to. Derived: sockets enter themselves when bound and when restored. */
export class UnixNames {
  readonly #sockets = new Map<string, UnixSocket>();

  get(key: string): UnixSocket | undefined {
    return this.#sockets.get(key);
  }

  set(key: string, socket: UnixSocket): void {
    this.#sockets.set(key, socket);
  }

  delete(key: string, socket: UnixSocket): void {
    if (this.#sockets.get(key) === socket) this.#sockets.delete(key);
  }

  /** The key of an abstract name. */
  static abstractKey(name: Uint8Array): string {
    let key = '@';
    for (let i = 1; i < name.length; i++) key += String.fromCharCode(name[i]!);
    return key;
  }

  /** The key of a socket file. */
  static inodeKey(inode: number | string): string {
    return `inode:${inode}`;
  }
}

export interface UnixHost extends SocketHost {
  readonly unixNames: UnixNames;
  /** A new description (registered, no reference yet) made by `make` with its id. */
  addFile<T extends OpenFile>(make: (id: number) => T): T;
}

export class UnixSocket extends Socket {
  readonly unixHost: UnixHost;
  #name: Uint8Array = EMPTY;
  /** Under which it stands in UnixNames; '' where it has no name. */
  #nameKey = '';
  #peer = 0;
  /** It has been connected: the peer's end is an end of file rather than ENOTCONN. */
  #connected = false;
  #queue: Message[] = [];
  #queued = 0;
  #shutRead = false;
  #shutWrite = false;
  /** Listening: ids of the server ends of connections that nobody accepted yet; null: not listening. */
  #backlog: number[] | null = null;
  #limit = 0;
  #error = 0;
  credentials: Credentials = { pid: 0, uid: 0, gid: 0 };
  peerCredentials: Credentials | null = null;

  constructor(host: UnixHost, id: number, flags: number, type: number) {
    super(host, id, flags, AF_UNIX, type, 0);
    this.unixHost = host;
  }

  get kind(): string {
    return 'unix-socket';
  }

  get #stream(): boolean {
    return this.type === SOCK_STREAM;
  }

  get #peerSocket(): UnixSocket | null {
    const file = this.#peer === 0 ? undefined : this.host.file(this.#peer);
    return file instanceof UnixSocket ? file : null;
  }

  /** Ends of a socketpair(2). */
  static pair(a: UnixSocket, b: UnixSocket, credentials: Credentials): void {
    for (const [one, other] of [
      [a, b],
      [b, a],
    ] as const) {
      one.#peer = other.id;
      one.#connected = true;
      one.credentials = credentials;
      one.peerCredentials = credentials;
      one.touch();
    }
  }

  // ---- names

  /** The path's file is made by the caller, who uses `bindTo`; here only abstract names, and automatic ones (unix(7)). */
  override bind(address: SocketAddress): number {
    if (address.family !== 'unix') return -EINVAL;
    let { name } = address;
    if (name.length === 0) {
      for (
        let i = 0;
        name.length === 0 || this.unixHost.unixNames.get(UnixNames.abstractKey(name)) !== undefined;
        i++
      ) {
        const digits = ((this.id + i) & 0xfffff).toString(16).padStart(5, '0');
        name = Uint8Array.from([0, ...[...digits].map((c) => c.charCodeAt(0))]);
      }
    }
    if (name[0] !== 0) return -EINVAL;
    return this.bindTo(name, UnixNames.abstractKey(name));
  }

  /** Gives the socket its name: `key` by UnixNames. */
  bindTo(name: Uint8Array, key: string): number {
    if (this.#nameKey !== '') return -EINVAL;
    if (this.unixHost.unixNames.get(key) !== undefined) return -EADDRINUSE;
    this.#name = name;
    this.#nameKey = key;
    this.unixHost.unixNames.set(key, this);
    this.touch();
    return 0;
  }

  get bound(): boolean {
    return this.#nameKey !== '';
  }

  override localName(): SocketAddress {
    return { family: 'unix', name: this.#name };
  }

  override peerName(): SocketAddress | number {
    if (!this.#connected) return -ENOTCONN;
    const peer = this.#peerSocket;
    return peer === null ? UNNAMED : { family: 'unix', name: peer.#name };
  }

  // ---- connections

  override get listening(): boolean {
    return this.#backlog !== null;
  }

  override listen(backlog: number): number {
    if (this.type === SOCK_DGRAM) return -EOPNOTSUPP;
    if (this.#nameKey === '' || this.#connected) return -EINVAL;
    this.#backlog ??= [];
    this.#limit = Math.max(0, Math.min(4096, backlog < 0 ? 4096 : backlog));
    this.touch();
    return 0;
  }

  override connect(address: SocketAddress): number {
    if (address.family === 'unspec') {
      if (this.type !== SOCK_DGRAM) return -EINVAL;
      this.#peer = 0;
      this.#connected = false;
      this.touch();
      return 0;
    }
    if (address.family !== 'unix' || address.name.length === 0 || address.name[0] !== 0) return -EINVAL;
    return this.connectTo(UnixNames.abstractKey(address.name));
  }

  /** Connects to the socket of a name. -EAGAIN: its backlog is full (a blocking caller waits on `serverQueue`). */
  connectTo(key: string): number {
    const server = this.unixHost.unixNames.get(key);
    if (this.type === SOCK_DGRAM) {
      if (server === undefined) return -ECONNREFUSED;
      if (server.type !== this.type) return -EPROTOTYPE;
      this.#peer = server.id;
      this.#connected = true;
      this.touch();
      return 0;
    }
    if (this.listening) return -EINVAL;
    if (this.#connected) return -EISCONN;
    if (server === undefined || server.#backlog === null) return -ECONNREFUSED;
    if (server.type !== this.type) return -EPROTOTYPE;
    if (server.#backlog.length > server.#limit) return -EAGAIN;
    const end = this.unixHost.addFile((id) => new UnixSocket(this.unixHost, id, 0o2, this.type));
    end.#peer = this.id;
    end.#connected = true;
    end.#name = server.#name;
    end.credentials = server.credentials;
    end.peerCredentials = this.credentials;
    end.touch();
    // The backlog holds a reference until accept(2).
    end.references++;
    this.#peer = end.id;
    this.#connected = true;
    this.peerCredentials = server.credentials;
    this.touch();
    server.#backlog.push(end.id);
    server.touch();
    server.queue.wake();
    return 0;
  }

  /** The queue that is woken when a full backlog has room. */
  serverQueue(key: string) {
    return this.unixHost.unixNames.get(key)?.queue ?? this.queue;
  }

  /** The next connection; its reference is the caller's now. */
  accept(): UnixSocket | number {
    if (this.#backlog === null) return -EINVAL;
    const id = this.#backlog.shift();
    if (id === undefined) return -EAGAIN;
    this.touch();
    this.queue.wake();
    const file = this.host.file(id);
    return file instanceof UnixSocket ? file : -EAGAIN;
  }

  // ---- data

  get #room(): boolean {
    return this.#queued < BUFFER && (this.#stream || this.#queue.length < DATAGRAMS);
  }

  /** `target`: for a datagram to a name, its key by UnixNames. */
  sendTo(bytes: Uint8Array, message: Outgoing, target: string | null): number {
    if (this.#shutWrite) return -EPIPE;
    if (this.#error !== 0) return -this.takeError();
    let peer: UnixSocket | null;
    if (target !== null) {
      if (this.type !== SOCK_DGRAM) return this.#connected ? -EISCONN : -EOPNOTSUPP;
      peer = this.unixHost.unixNames.get(target) ?? null;
      if (peer === null) return -ECONNREFUSED;
      if (peer.type !== this.type) return -EPROTOTYPE;
    } else {
      if (!this.#connected) return -ENOTCONN;
      peer = this.#peerSocket;
      if (peer === null) return this.type === SOCK_DGRAM ? -ECONNREFUSED : -EPIPE;
    }
    if (peer.#shutRead) return -EPIPE;
    if (bytes.length === 0 && message.rights.length === 0 && this.#stream) return 0;
    if (!this.#stream && bytes.length > BUFFER) return -EMSGSIZE;
    if (!peer.#room) return -EAGAIN;
    const count = this.#stream ? Math.min(bytes.length, BUFFER - peer.#queued) : bytes.length;
    for (const file of message.rights) file.references++;
    peer.#push({
      bytes: copyOf(bytes, 0, count),
      rights: message.rights.map((file) => file.id),
      from: this.#name,
      credentials: message.credentials ?? this.credentials,
    });
    return count;
  }

  #push(message: Message): void {
    const last = this.#queue[this.#queue.length - 1];
    // Small writes to a stream share a message, so that they cost a reader and a checkpoint little.
    if (
      this.#stream &&
      last !== undefined &&
      message.rights.length === 0 &&
      last.bytes.length + message.bytes.length <= 4096
    ) {
      const joined = new Uint8Array(last.bytes.length + message.bytes.length);
      joined.set(last.bytes);
      joined.set(message.bytes, last.bytes.length);
      last.bytes = joined;
      this.#queued += message.bytes.length;
    } else {
      this.#queue.push(message);
      this.#queued += message.bytes.length + OVERHEAD;
    }
    this.touch();
    this.queue.wake();
  }

  override sendMessage(bytes: Uint8Array, flags: number, message: Outgoing): number {
    if ((flags & MSG_OOB) !== 0) return -EOPNOTSUPP;
    if (message.to === null) return this.sendTo(bytes, message, null);
    if (message.to.family !== 'unix' || message.to.name.length === 0) return -EINVAL;
    if (message.to.name[0] !== 0) return -EINVAL; // A path: the system call resolves it and uses sendTo.
    return this.sendTo(bytes, message, UnixNames.abstractKey(message.to.name));
  }

  override receiveMessage(length: number, flags: number): Received | number {
    if ((flags & MSG_OOB) !== 0) return -EOPNOTSUPP;
    if (this.listening) return -EINVAL;
    const first = this.#queue[0];
    if (first === undefined) {
      if (this.#error !== 0) return -this.takeError();
      if (this.#shutRead) return nothing();
      if (this.type === SOCK_DGRAM) return -EAGAIN;
      if (!this.#connected) return this.#stream ? -EINVAL : -ENOTCONN;
      const peer = this.#peerSocket;
      return peer === null || peer.#shutWrite ? nothing() : -EAGAIN;
    }
    const peek = (flags & MSG_PEEK) !== 0;
    if (this.#stream && length === 0 && first.bytes.length > 0) return nothing();
    const rights: OpenFile[] = [];
    for (const id of first.rights) {
      const file = this.host.file(id);
      if (file === undefined) continue;
      if (peek) file.references++;
      rights.push(file);
    }
    if (!peek) first.rights = [];
    let bytes: Uint8Array;
    let whole = first.bytes.length;
    if (!this.#stream) {
      bytes = first.bytes.subarray(0, length);
      if (!peek) this.#shift();
    } else {
      bytes = this.#takeStream(length, peek);
      whole = bytes.length;
    }
    if (!peek) {
      this.touch();
      // Whoever waits for room: the peer of a stream; of a datagram socket, writers that wait on this queue.
      this.#peerSocket?.queue.wake();
      if (this.type === SOCK_DGRAM) this.queue.wake();
    }
    const from: SocketAddress | null = this.#stream ? null : { family: 'unix', name: first.from };
    return { bytes, length: whole, from, rights, credentials: first.credentials };
  }

  #shift(): void {
    const message = this.#queue.shift()!;
    this.#queued -= message.bytes.length + OVERHEAD;
  }

  /** Bytes across messages, up to the next that carries descriptors (unix(7)). */
  #takeStream(length: number, peek: boolean): Uint8Array {
    const pieces: Uint8Array[] = [];
    let left = length;
    let at = 0;
    while (left > 0 && at < this.#queue.length) {
      const message = this.#queue[at]!;
      if (pieces.length > 0 && message.rights.length > 0) break;
      const piece = message.bytes.subarray(0, left);
      pieces.push(piece);
      left -= piece.length;
      if (peek) at++;
      else if (piece.length === message.bytes.length) this.#shift();
      else {
        message.bytes = copyOf(message.bytes, piece.length);
        this.#queued -= piece.length;
      }
    }
    if (length === 0 && this.#queue[0]?.bytes.length === 0 && !peek) this.#shift();
    if (pieces.length === 1) return pieces[0]!;
    const bytes = new Uint8Array(length - left);
    let to = 0;
    for (const piece of pieces) {
      bytes.set(piece, to);
      to += piece.length;
    }
    return bytes;
  }

  override get available(): number {
    if (!this.#stream) return this.#queue[0]?.bytes.length ?? 0;
    return this.#queue.reduce((total, message) => total + message.bytes.length, 0);
  }

  override shutdown(how: number): number {
    if (how < SHUT_RD || how > SHUT_RDWR) return -EINVAL;
    if (how !== SHUT_WR) this.#shutRead = true;
    if (how !== SHUT_RD) this.#shutWrite = true;
    this.touch();
    const peer = this.#peerSocket;
    // unix_shutdown: the peer of a connected socket learns of it in its own terms.
    if (peer !== null && this.type !== SOCK_DGRAM) {
      if (how !== SHUT_WR) peer.#shutWrite = true;
      if (how !== SHUT_RD) peer.#shutRead = true;
      peer.touch();
      peer.queue.wake();
    }
    this.queue.wake();
    return 0;
  }

  override takeError(): number {
    const error = this.#error;
    if (error !== 0) {
      this.#error = 0;
      this.touch();
    }
    return error;
  }

  /** unix_poll, unix_dgram_poll. */
  override poll(): number {
    if (this.#backlog !== null) return this.#backlog.length > 0 ? POLLIN | POLLRDNORM : 0;
    const peer = this.#peerSocket;
    const gone = this.#connected && peer === null && this.type !== SOCK_DGRAM;
    let mask = 0;
    if (this.#queue.length > 0) mask |= POLLIN | POLLRDNORM;
    if (this.#shutRead || gone) mask |= POLLIN | POLLRDNORM | POLLRDHUP;
    if ((this.#shutRead && this.#shutWrite) || gone) mask |= POLLHUP;
    if (this.type !== SOCK_DGRAM && !this.#connected) mask |= POLLHUP;
    if (peer === null || peer.#room) mask |= POLLOUT | POLLWRNORM;
    return mask;
  }

  override close(): void {
    if (this.#nameKey !== '') this.unixHost.unixNames.delete(this.#nameKey, this);
    const peer = this.type === SOCK_DGRAM ? null : this.#peerSocket;
    for (const message of this.#queue) {
      for (const id of message.rights) {
        const file = this.host.file(id);
        if (file !== undefined) this.host.release(file);
      }
    }
    if (peer !== null) {
      // Unread data at the close is a reset to the peer (unix_release_sock).
      if (this.#queue.length > 0) peer.#error = ECONNRESET;
      peer.touch();
    }
    this.#queue = [];
    this.#queued = 0;
    for (const id of this.#backlog ?? []) {
      const file = this.host.file(id);
      if (!(file instanceof UnixSocket)) continue;
      const client = file.#peerSocket;
      if (client !== null) client.#error = ECONNRESET;
      this.host.release(file);
    }
    this.#backlog = null;
    this.#peer = 0;
    peer?.queue.wake();
    this.queue.wake();
  }

  protected override knowsLevel(level: number): boolean {
    return level === SOL_SOCKET;
  }

  // ---- state

  /** Descriptions that messages in this socket hold a reference to (with repetition): for recounting after a restore. */
  heldReferences(): number[] {
    return [...this.#queue.flatMap((message) => message.rights), ...(this.#backlog ?? [])];
  }

  protected override saveOwn(): unknown {
    return [
      this.#name,
      this.#nameKey,
      this.#peer,
      this.#connected,
      this.#queue.map((m) => [m.bytes, m.rights, m.from, credentialsOut(m.credentials)]),
      [this.#shutRead, this.#shutWrite],
      this.#backlog,
      this.#limit,
      this.#error,
      credentialsOut(this.credentials),
      credentialsOut(this.peerCredentials),
    ];
  }

  static restore(host: UnixHost, id: number, state: SavedSocket): UnixSocket {
    const socket = new UnixSocket(host, id, state.flags, state.type);
    socket.restoreCommon(state);
    const [name, nameKey, peer, connected, queue, [shutRead, shutWrite], backlog, limit, error, own, theirs] =
      state.own as [
        Uint8Array,
        string,
        number,
        boolean,
        [Uint8Array, number[], Uint8Array, number[] | null][],
        [boolean, boolean],
        number[] | null,
        number,
        number,
        number[],
        number[] | null,
      ];
    socket.#name = copyOf(name);
    socket.#nameKey = nameKey;
    if (nameKey !== '') host.unixNames.set(nameKey, socket);
    socket.#peer = peer;
    socket.#connected = connected;
    for (const [bytes, rights, from, credentials] of queue) {
      socket.#queue.push({ bytes: copyOf(bytes), rights, from: copyOf(from), credentials: credentialsIn(credentials) });
      socket.#queued += bytes.length + OVERHEAD;
    }
    socket.#shutRead = shutRead;
    socket.#shutWrite = shutWrite;
    socket.#backlog = backlog;
    socket.#limit = limit;
    socket.#error = error;
    socket.credentials = credentialsIn(own) ?? socket.credentials;
    socket.peerCredentials = credentialsIn(theirs);
    return socket;
  }
}

function nothing(): Received {
  return { bytes: EMPTY, length: 0, from: null, rights: [], credentials: null };
}

function credentialsOut(c: Credentials | null): number[] | null {
  return c === null ? null : [c.pid, c.uid, c.gid];
}

function credentialsIn(saved: number[] | null): Credentials | null {
  return saved === null ? null : { pid: saved[0]!, uid: saved[1]!, gid: saved[2]! };
}
