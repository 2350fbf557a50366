/** Sockets: socket(2), bind(2), connect(2), accept(2), send(2), recv(2), getsockopt(2) and their kin. */

import {
  EAFNOSUPPORT,
  EAGAIN,
  EALREADY,
  EBADF,
  EFAULT,
  EINPROGRESS,
  EINTR,
  EINVAL,
  EMSGSIZE,
  ENOTSOCK,
  EOPNOTSUPP,
  EPIPE,
  EPROTONOSUPPORT,
  ESOCKTNOSUPPORT,
} from '../abi/errno.ts';
import type { OpenFile } from '../open-file.ts';
import {
  type Credentials,
  MSG_CMSG_CLOEXEC,
  MSG_CTRUNC,
  MSG_DONTWAIT,
  MSG_ERRQUEUE,
  MSG_NOSIGNAL,
  MSG_PEEK,
  MSG_TRUNC,
  MSG_WAITALL,
  MSG_WAITFORONE,
  type Outgoing,
  type Received,
  Socket,
} from '../socket.ts';
import {
  AF_INET,
  AF_INET6,
  AF_UNIX,
  formatAddress,
  parseAddress,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  SOCK_RAW,
  SOCK_SEQPACKET,
  SOCK_STREAM,
  type SocketAddress,
} from '../socket-address.ts';
import { SO_PASSCRED, SO_PEERCRED, SOL_SOCKET } from '../socket-options.ts';
import { BLOCKED, type Syscall, type SyscallResult } from '../syscall.ts';
import { TcpSocket } from '../tcp-socket.ts';
import { UdpSocket } from '../udp-socket.ts';
import { UnixNames, UnixSocket } from '../unix-socket.ts';
import {
  addFile,
  bindSocketFile,
  closeFd,
  credentialsOf,
  fileOf,
  hostOf,
  installFile,
  monotonicUs,
  raiseSigpipe,
  socketFileKey,
} from './socket-kernel.ts';

const O_RDWR = 2;
const O_NONBLOCK = 0o4000;
const IOV_MAX = 1024;
const RW_MAX = 0x7ffff000;
const SCM_RIGHTS = 1;
const SCM_CREDENTIALS = 2;
/** SCM_MAX_FD. */
const RIGHTS_MAX = 253;
const CMSG_HEADER = 16;

// ---- making sockets

export function sysSocket(call: Syscall): SyscallResult {
  const domain = call.int(0);
  const type = call.int(1) & 0xf;
  const extra = call.int(1) & ~0xf;
  if ((extra & ~(SOCK_NONBLOCK | SOCK_CLOEXEC)) !== 0) return -EINVAL;
  const flags = O_RDWR | (extra & SOCK_NONBLOCK);
  const made = make(call, domain, type, call.int(2), flags);
  if (typeof made === 'number') return made;
  return installFile(call, made, (extra & SOCK_CLOEXEC) !== 0);
}

function make(call: Syscall, domain: number, type: number, protocol: number, flags: number): Socket | number {
  const host = hostOf(call);
  switch (domain) {
    case AF_INET:
    case AF_INET6:
      if (type === SOCK_STREAM) {
        if (protocol !== 0 && protocol !== 6) return -EPROTONOSUPPORT;
        return addFile(call, (id) => new TcpSocket(host, id, flags, domain));
      }
      if (type === SOCK_DGRAM) {
        if (protocol !== 0 && protocol !== 17) return -EPROTONOSUPPORT;
        return addFile(call, (id) => new UdpSocket(host, id, flags, domain));
      }
      return type === SOCK_RAW ? -EPROTONOSUPPORT : -ESOCKTNOSUPPORT;
    case AF_UNIX: {
      if (protocol !== 0 && protocol !== AF_UNIX) return -EPROTONOSUPPORT;
      // Linux makes a datagram socket of SOCK_RAW.
      const kind = type === SOCK_RAW ? SOCK_DGRAM : type;
      if (kind !== SOCK_STREAM && kind !== SOCK_DGRAM && kind !== SOCK_SEQPACKET) return -ESOCKTNOSUPPORT;
      return addFile(call, (id) => {
        const socket = new UnixSocket(host, id, flags, kind);
        socket.credentials = credentialsOf(call);
        return socket;
      });
    }
    default:
      return -EAFNOSUPPORT;
  }
}

export function sysSocketpair(call: Syscall): SyscallResult {
  const domain = call.int(0);
  const type = call.int(1) & 0xf;
  const extra = call.int(1) & ~0xf;
  if ((extra & ~(SOCK_NONBLOCK | SOCK_CLOEXEC)) !== 0) return -EINVAL;
  if (domain !== AF_UNIX) return domain === AF_INET || domain === AF_INET6 ? -EOPNOTSUPP : -EAFNOSUPPORT;
  const target = call.uint(3);
  if (call.space.resolve(target, 8, true) !== -1) return -EFAULT;
  const cloexec = (extra & SOCK_CLOEXEC) !== 0;
  const ends: UnixSocket[] = [];
  const fds: number[] = [];
  for (let i = 0; i < 2; i++) {
    const end = make(call, domain, type, call.int(2), O_RDWR | (extra & SOCK_NONBLOCK));
    if (typeof end === 'number') return end;
    const fd = installFile(call, end, cloexec);
    if (fd < 0) {
      if (i === 1) closeFd(call, fds[0]!);
      return fd;
    }
    ends.push(end as UnixSocket);
    fds.push(fd);
  }
  UnixSocket.pair(ends[0]!, ends[1]!, credentialsOf(call));
  const bytes = new Uint8Array(8);
  const view = new DataView(bytes.buffer);
  view.setInt32(0, fds[0]!, true);
  view.setInt32(4, fds[1]!, true);
  return call.space.write(target, bytes) ? 0 : -EFAULT;
}

// ---- names

export function sysBind(call: Syscall): SyscallResult {
  const socket = socketOf(call, call.int(0));
  if (typeof socket === 'number') return socket;
  const address = readAddress(call, socket, call.uint(1), call.int(2));
  if (typeof address === 'number') return address;
  if (socket instanceof UnixSocket && address.family === 'unix' && isPath(address.name)) {
    if (socket.bound) return -EINVAL;
    const key = bindSocketFile(call, address.name);
    return typeof key === 'number' ? key : socket.bindTo(address.name, key);
  }
  return socket.bind(address);
}

export function sysListen(call: Syscall): SyscallResult {
  const socket = socketOf(call, call.int(0));
  return typeof socket === 'number' ? socket : socket.listen(call.int(1));
}

export function sysConnect(call: Syscall): SyscallResult {
  const socket = socketOf(call, call.int(0));
  if (typeof socket === 'number') return socket;
  const address = readAddress(call, socket, call.uint(1), call.int(2));
  if (typeof address === 'number') return address;
  let result: number;
  let { queue } = socket;
  if (socket instanceof UnixSocket && address.family === 'unix' && address.name.length > 0) {
    const key = keyOf(call, address.name);
    if (typeof key === 'number') return key;
    result = socket.connectTo(key);
    if (result === -EAGAIN) queue = socket.serverQueue(key);
  } else result = socket.connect(address);
  const waits = result === -EINPROGRESS || result === -EALREADY || result === -EAGAIN;
  if (!waits || (socket.flags & O_NONBLOCK) !== 0) return result;
  if (call.timedOut) return result === -EAGAIN ? -EAGAIN : -EINPROGRESS;
  if (socket.sendTimeoutUs !== null && call.interrupted) return -EINTR;
  const memo = memoOf(call, socket.sendTimeoutUs);
  return call.block({ queues: [queue], deadlineUs: memo.deadlineUs });
}

export function sysAccept(call: Syscall): SyscallResult {
  return accept(call, 0);
}

export function sysAccept4(call: Syscall): SyscallResult {
  return accept(call, call.int(3));
}

function accept(call: Syscall, flags: number): SyscallResult {
  const listener = socketOf(call, call.int(0));
  if (typeof listener === 'number') return listener;
  if ((flags & ~(SOCK_NONBLOCK | SOCK_CLOEXEC)) !== 0) return -EINVAL;
  let socket: Socket;
  const fileFlags = O_RDWR | (flags & SOCK_NONBLOCK);
  if (listener instanceof TcpSocket) {
    const tcp = listener.accept();
    if (typeof tcp === 'number') return tcp === -EAGAIN ? wait(call, listener, 0, listener.receiveTimeoutUs) : tcp;
    const host = hostOf(call);
    const made = addFile(call, (id) => new TcpSocket(host, id, fileFlags, listener.domain));
    made.adopt(tcp, listener);
    socket = made;
  } else if (listener instanceof UnixSocket) {
    const made = listener.accept();
    if (typeof made === 'number') return made === -EAGAIN ? wait(call, listener, 0, listener.receiveTimeoutUs) : made;
    made.flags = fileFlags;
    made.touch();
    socket = made;
  } else return -EOPNOTSUPP;
  const fd = installFile(call, socket, (flags & SOCK_CLOEXEC) !== 0);
  // The backlog's reference of a UNIX connection is now the table's (or nobody's, where there was no room).
  if (socket instanceof UnixSocket) hostOf(call).release(socket);
  if (fd < 0) return fd;
  if (call.uint(1) !== 0) {
    const name = socket.peerName();
    const bytes = formatAddress(typeof name === 'number' ? { family: 'unspec' } : name, socket.domain);
    const error = putBounded(call, bytes, call.uint(1), call.uint(2));
    if (error !== 0) {
      closeFd(call, fd);
      return error;
    }
  }
  return fd;
}

export function sysGetsockname(call: Syscall): SyscallResult {
  const socket = socketOf(call, call.int(0));
  if (typeof socket === 'number') return socket;
  return putBounded(call, formatAddress(socket.localName(), socket.domain), call.uint(1), call.uint(2));
}

export function sysGetpeername(call: Syscall): SyscallResult {
  const socket = socketOf(call, call.int(0));
  if (typeof socket === 'number') return socket;
  const name = socket.peerName();
  if (typeof name === 'number') return name;
  return putBounded(call, formatAddress(name, socket.domain), call.uint(1), call.uint(2));
}

export function sysShutdown(call: Syscall): SyscallResult {
  const socket = socketOf(call, call.int(0));
  return typeof socket === 'number' ? socket : socket.shutdown(call.int(1));
}

// ---- options

export function sysSetsockopt(call: Syscall): SyscallResult {
  const socket = socketOf(call, call.int(0));
  if (typeof socket === 'number') return socket;
  const length = call.int(4);
  if (length < 0) return -EINVAL;
  const value = call.space.read(call.uint(3), Math.min(length, 4096));
  if (value === null) return -EFAULT;
  return socket.setOption(call.int(1), call.int(2), value.slice());
}

export function sysGetsockopt(call: Syscall): SyscallResult {
  const socket = socketOf(call, call.int(0));
  if (typeof socket === 'number') return socket;
  if (call.int(1) === SOL_SOCKET && call.int(2) === SO_PEERCRED) {
    const who = socket instanceof UnixSocket ? socket.peerCredentials : null;
    // Without a peer: pid 0 and the overflow of ids (cred_to_ucred).
    return putBounded(call, ucred(who ?? { pid: 0, uid: -1, gid: -1 }), call.uint(3), call.uint(4));
  }
  const value = socket.getOption(call.int(1), call.int(2));
  return typeof value === 'number' ? value : putBounded(call, value, call.uint(3), call.uint(4), true);
}

// ---- sending

export function sysSendto(call: Syscall): SyscallResult {
  const socket = socketOf(call, call.int(0));
  if (typeof socket === 'number') return socket;
  const to = call.uint(4) === 0 ? null : readAddress(call, socket, call.uint(4), call.int(5));
  if (typeof to === 'number') return to;
  const iov = [{ base: call.uint(1), length: Math.min(call.uint(2), RW_MAX) }];
  return send(call, socket, iov, call.int(3), { to, rights: [], credentials: null });
}

export function sysSendmsg(call: Syscall): SyscallResult {
  const socket = socketOf(call, call.int(0));
  if (typeof socket === 'number') return socket;
  return sendMessage(call, socket, call.uint(1), call.int(2));
}

function sendMessage(call: Syscall, socket: Socket, at: number, flags: number): SyscallResult {
  const header = readHeader(call, at);
  if (typeof header === 'number') return header;
  const to =
    header.name === 0 || header.nameLength === 0 ? null : readAddress(call, socket, header.name, header.nameLength);
  if (typeof to === 'number') return to;
  const control = readControl(call, header.control, header.controlLength);
  if (typeof control === 'number') return control;
  return send(call, socket, header.iov, flags, { to, ...control });
}

/** Sends all of `iov`, waiting for room where the socket may block. */
function send(call: Syscall, socket: Socket, iov: readonly Iov[], flags: number, message: Outgoing): SyscallResult {
  const total = lengthOf(iov);
  const key = targetKey(call, socket, message);
  if (typeof key === 'number') return key;
  const memo = memoOf(call, socket.sendTimeoutUs);
  for (;;) {
    const bytes = gather(call, iov, memo.done, socket.type === SOCK_STREAM ? 1 << 20 : RW_MAX);
    if (bytes === null) return memo.done > 0 ? memo.done : -EFAULT;
    // Descriptors go with the first byte only.
    const what = memo.done > 0 ? { ...message, rights: [] } : message;
    const result =
      key !== null && socket instanceof UnixSocket
        ? socket.sendTo(bytes, what, key)
        : socket.sendMessage(bytes, flags, what);
    if (result >= 0) {
      memo.done += result;
      if (socket.type !== SOCK_STREAM || memo.done >= total) return memo.done;
      continue;
    }
    if (result !== -EAGAIN) {
      if (memo.done > 0) return memo.done;
      if (result === -EPIPE && socket.type !== SOCK_DGRAM && (flags & MSG_NOSIGNAL) === 0) raiseSigpipe(call);
      return result;
    }
    if (memo.done > 0 && (mayNotBlock(socket, flags) || call.timedOut || call.interrupted)) return memo.done;
    return wait(call, socket, flags, socket.sendTimeoutUs, key);
  }
}

export function sysSendmmsg(call: Syscall): SyscallResult {
  const socket = socketOf(call, call.int(0));
  if (typeof socket === 'number') return socket;
  const count = Math.min(call.uint(2), IOV_MAX);
  const memo = memoOf(call, null);
  for (memo.index ??= 0; memo.index < count; memo.index++) {
    const at = call.uint(1) + 64 * memo.index;
    const result = sendMessage(call, socket, at, call.int(3));
    if (result === BLOCKED) return result;
    if (typeof result !== 'number' || result < 0) return memo.index > 0 ? memo.index : result;
    if (!call.space.write(at + 56, int32(result))) return -EFAULT;
    memo.done = 0;
  }
  return count;
}

// ---- receiving

export function sysRecvfrom(call: Syscall): SyscallResult {
  const socket = socketOf(call, call.int(0));
  if (typeof socket === 'number') return socket;
  const iov = [{ base: call.uint(1), length: Math.min(call.uint(2), RW_MAX) }];
  return receive(call, socket, iov, call.int(3), (received) => {
    for (const file of received.rights) hostOf(call).release(file);
    if (call.uint(4) === 0) return 0;
    if (received.from === null) return putLength(call, call.uint(5), 0);
    return putBounded(call, formatAddress(received.from, socket.domain), call.uint(4), call.uint(5));
  });
}

export function sysRecvmsg(call: Syscall): SyscallResult {
  const socket = socketOf(call, call.int(0));
  if (typeof socket === 'number') return socket;
  return receiveMessage(call, socket, call.uint(1), call.int(2));
}

function receiveMessage(call: Syscall, socket: Socket, at: number, flags: number): SyscallResult {
  const header = readHeader(call, at);
  if (typeof header === 'number') return header;
  return receive(call, socket, header.iov, flags, (received, truncated) => {
    let outFlags = (truncated ? MSG_TRUNC : 0) | (flags & MSG_CMSG_CLOEXEC) | (flags & MSG_ERRQUEUE);
    const control = putControl(call, socket, received, header.control, header.controlLength, flags);
    if (control.truncated) outFlags |= MSG_CTRUNC;
    let nameLength = 0;
    if (received.from !== null) {
      const name = formatAddress(received.from, socket.domain);
      nameLength = name.length;
      if (header.name !== 0) {
        const room = name.subarray(0, Math.max(0, header.nameLength));
        if (!call.space.write(header.name, room)) return -EFAULT;
      }
    }
    const done =
      (header.name === 0 || call.space.write(at + 8, int32(nameLength))) &&
      call.space.write(at + 40, int64(control.length)) &&
      call.space.write(at + 48, int32(outFlags));
    return done ? 0 : -EFAULT;
  });
}

/** Receives into `iov`; `finish` tells the caller where it came from. */
function receive(
  call: Syscall,
  socket: Socket,
  iov: readonly Iov[],
  flags: number,
  finish: (received: Received, truncated: boolean) => number,
): SyscallResult {
  const total = lengthOf(iov);
  const memo = memoOf(call, socket.receiveTimeoutUs);
  const all = (flags & MSG_WAITALL) !== 0 && (flags & MSG_PEEK) === 0 && socket.type === SOCK_STREAM;
  for (const { base, length } of iov) if (call.space.resolve(base, length, true) !== -1) return -EFAULT;
  for (;;) {
    const result = socket.receiveMessage(total - memo.done, flags);
    if (typeof result === 'number') {
      if (result === -EAGAIN && !(memo.done > 0 && (mayNotBlock(socket, flags) || call.timedOut || call.interrupted))) {
        return wait(call, socket, flags, socket.receiveTimeoutUs);
      }
      if (memo.done > 0) return memo.done;
      return result;
    }
    scatter(call, iov, memo.done, result.bytes);
    const length = socket.type === SOCK_STREAM ? result.length : result.bytes.length;
    memo.done += length;
    // More to come for MSG_WAITALL, unless the stream ended or descriptors came.
    if (all && length > 0 && memo.done < total && result.rights.length === 0) continue;
    const truncated = socket.type !== SOCK_STREAM && result.length > result.bytes.length;
    const error = finish(result, truncated);
    if (error !== 0) return error;
    return truncated && (flags & MSG_TRUNC) !== 0 ? result.length : memo.done;
  }
}

export function sysRecvmmsg(call: Syscall): SyscallResult {
  const socket = socketOf(call, call.int(0));
  if (typeof socket === 'number') return socket;
  const count = Math.min(call.uint(2), IOV_MAX);
  const flags = call.int(3);
  const memo = memoOf(call, null);
  if (call.uint(4) !== 0 && memo.deadlineUs === null) {
    const time = call.space.read(call.uint(4), 16);
    if (time === null) return -EFAULT;
    const view = new DataView(time.buffer, time.byteOffset, 16);
    const us = view.getUint32(0, true) * 1e6 + Math.floor(view.getUint32(8, true) / 1000);
    memo.deadlineUs = monotonicUs(call) + us;
  }
  for (memo.index ??= 0; memo.index < count; memo.index++) {
    const at = call.uint(1) + 64 * memo.index;
    const later = memo.index > 0 && (flags & MSG_WAITFORONE) !== 0 ? MSG_DONTWAIT : 0;
    const result = receiveMessage(call, socket, at, (flags & ~MSG_WAITFORONE) | later);
    if (result === BLOCKED) return result;
    if (typeof result !== 'number' || result < 0) return memo.index > 0 ? memo.index : result;
    if (!call.space.write(at + 56, int32(result))) return -EFAULT;
    memo.done = 0;
  }
  return count;
}

// ---- helpers

interface Iov {
  readonly base: number;
  readonly length: number;
}

/** What a call keeps between its executions. */
interface Memo {
  deadlineUs: number | null;
  /** Bytes already sent or received. */
  done: number;
  /** Message of sendmmsg and recvmmsg. */
  index?: number;
}

function memoOf(call: Syscall, timeoutUs: number | null): Memo {
  if (call.memo === null || call.memo === undefined) {
    const deadlineUs = timeoutUs === null ? null : monotonicUs(call) + timeoutUs;
    call.memo = { deadlineUs, done: 0 } satisfies Memo;
  }
  return call.memo as Memo;
}

function socketOf(call: Syscall, fd: number): Socket | number {
  const file: OpenFile | undefined = fileOf(call, fd);
  if (file === undefined) return -EBADF;
  return file instanceof Socket ? file : -ENOTSOCK;
}

function mayNotBlock(socket: Socket, flags: number): boolean {
  return (socket.flags & O_NONBLOCK) !== 0 || (flags & MSG_DONTWAIT) !== 0;
}

/** The operation would block: -EAGAIN, or sleep. */
function wait(
  call: Syscall,
  socket: Socket,
  flags: number,
  timeoutUs: number | null,
  key: string | null = null,
): SyscallResult {
  if (mayNotBlock(socket, flags) || call.timedOut) return -EAGAIN;
  // socket(7): with a time-out set, a signal ends the call even with SA_RESTART.
  if (timeoutUs !== null && call.interrupted) return -EINTR;
  const memo = memoOf(call, timeoutUs);
  const queues = [socket.queue];
  if (key !== null && socket instanceof UnixSocket) queues.push(socket.serverQueue(key));
  return call.block({ queues, deadlineUs: memo.deadlineUs });
}

function readAddress(call: Syscall, socket: Socket, at: number, length: number): SocketAddress | number {
  if (length < 0 || length > 128) return -EINVAL;
  const bytes = call.space.read(at, length);
  return bytes === null ? -EFAULT : parseAddress(bytes, socket.domain);
}

function isPath(name: Uint8Array): boolean {
  return name.length > 0 && name[0] !== 0;
}

/** The key under which a named UNIX socket is known, or -errno. */
function keyOf(call: Syscall, name: Uint8Array): string | number {
  return isPath(name) ? socketFileKey(call, name) : UnixNames.abstractKey(name);
}

function targetKey(call: Syscall, socket: Socket, message: Outgoing): string | number | null {
  if (!(socket instanceof UnixSocket) || message.to === null) return null;
  if (message.to.family !== 'unix' || message.to.name.length === 0) return -EINVAL;
  if (socket.type === SOCK_STREAM) return -EOPNOTSUPP;
  return keyOf(call, message.to.name);
}

function lengthOf(iov: readonly Iov[]): number {
  return iov.reduce((total, { length }) => total + length, 0);
}

/** The guest's bytes from offset `skip` of the vectors, at most `limit`; null: not readable. */
function gather(call: Syscall, iov: readonly Iov[], skip: number, limit: number): Uint8Array | null {
  const wanted = Math.min(limit, lengthOf(iov) - skip);
  if (iov.length === 1) return call.space.read(iov[0]!.base + skip, wanted);
  const bytes = new Uint8Array(wanted);
  let at = 0;
  let left = skip;
  for (const { base, length } of iov) {
    if (left >= length) {
      left -= length;
      continue;
    }
    const count = Math.min(length - left, wanted - at);
    if (count <= 0) break;
    const piece = call.space.read(base + left, count);
    if (piece === null) return null;
    bytes.set(piece, at);
    at += count;
    left = 0;
  }
  return bytes;
}

/** Writes bytes into the vectors from offset `skip` on. They were checked to be writable. */
function scatter(call: Syscall, iov: readonly Iov[], skip: number, bytes: Uint8Array): void {
  let at = 0;
  let left = skip;
  for (const { base, length } of iov) {
    if (at === bytes.length) return;
    if (left >= length) {
      left -= length;
      continue;
    }
    const count = Math.min(length - left, bytes.length - at);
    call.space.write(base + left, bytes.subarray(at, at + count));
    at += count;
    left = 0;
  }
}

interface MessageHeader {
  readonly name: number;
  readonly nameLength: number;
  readonly iov: Iov[];
  readonly control: number;
  readonly controlLength: number;
}

/** struct msghdr and its vectors. */
function readHeader(call: Syscall, at: number): MessageHeader | number {
  const bytes = call.space.read(at, 56);
  if (bytes === null) return -EFAULT;
  const view = new DataView(bytes.buffer, bytes.byteOffset, 56);
  const name = word(view, 0);
  const nameLength = view.getInt32(8, true);
  const vectors = word(view, 16);
  const count = word(view, 24);
  const control = word(view, 32);
  const controlLength = word(view, 40);
  if (nameLength < 0) return -EINVAL;
  if (count > IOV_MAX) return -EMSGSIZE;
  const table = call.space.read(vectors, 16 * count);
  if (table === null) return -EFAULT;
  const entries = new DataView(table.buffer, table.byteOffset, table.length);
  const iov: Iov[] = [];
  let total = 0;
  for (let i = 0; i < count; i++) {
    const length = Math.min(word(entries, 16 * i + 8), RW_MAX - total);
    total += length;
    iov.push({ base: word(entries, 16 * i), length });
  }
  return { name, nameLength: Math.min(nameLength, 128), iov, control, controlLength };
}

/** Ancillary data to send. */
function readControl(
  call: Syscall,
  at: number,
  length: number,
): { rights: OpenFile[]; credentials: Credentials | null } | number {
  const rights: OpenFile[] = [];
  let credentials: Credentials | null = null;
  if (at === 0 || length < CMSG_HEADER) return { rights, credentials };
  if (length > 65536) return -EINVAL;
  const bytes = call.space.read(at, length);
  if (bytes === null) return -EFAULT;
  const view = new DataView(bytes.buffer, bytes.byteOffset, length);
  for (let i = 0; i + CMSG_HEADER <= length; ) {
    const size = word(view, i);
    if (size < CMSG_HEADER || i + size > length) return -EINVAL;
    if (view.getInt32(i + 8, true) === SOL_SOCKET) {
      const type = view.getInt32(i + 12, true);
      if (type === SCM_RIGHTS) {
        for (let j = i + CMSG_HEADER; j + 4 <= i + size; j += 4) {
          const file = fileOf(call, view.getInt32(j, true));
          if (file === undefined) return -EBADF;
          rights.push(file);
        }
        if (rights.length > RIGHTS_MAX) return -EINVAL;
      } else if (type === SCM_CREDENTIALS && size >= CMSG_HEADER + 12) {
        const j = i + CMSG_HEADER;
        credentials = {
          pid: view.getInt32(j, true),
          uid: view.getInt32(j + 4, true),
          gid: view.getInt32(j + 8, true),
        };
      } else return -EINVAL;
    }
    i += (size + 7) & ~7;
  }
  return { rights, credentials };
}

/** Writes ancillary data; takes over the references of the descriptions. */
function putControl(
  call: Syscall,
  socket: Socket,
  received: Received,
  at: number,
  room: number,
  flags: number,
): { length: number; truncated: boolean } {
  let length = 0;
  let truncated = false;
  const space = at === 0 ? 0 : room;
  const put = (type: number, data: Uint8Array): boolean => {
    const size = CMSG_HEADER + data.length;
    const bytes = new Uint8Array(size);
    bytes.set(int64(size));
    bytes.set(int32(SOL_SOCKET), 8);
    bytes.set(int32(type), 12);
    bytes.set(data, CMSG_HEADER);
    if (!call.space.write(at + length, bytes)) return false;
    length = Math.min(space, length + ((size + 7) & ~7));
    return true;
  };
  if (socket.domain === AF_UNIX && socket.option(SOL_SOCKET, SO_PASSCRED) !== 0) {
    if (space - length >= CMSG_HEADER + 12)
      put(SCM_CREDENTIALS, ucred(received.credentials ?? { pid: 0, uid: 0, gid: 0 }));
    else truncated = true;
  }
  if (received.rights.length > 0) {
    const fit = Math.max(0, Math.floor((space - length - CMSG_HEADER) / 4));
    const fds: number[] = [];
    for (const file of received.rights) {
      if (fds.length < fit) {
        const fd = installFile(call, file, (flags & MSG_CMSG_CLOEXEC) !== 0);
        if (fd >= 0) fds.push(fd);
        else truncated = true;
      } else truncated = true;
      hostOf(call).release(file);
    }
    if (fds.length > 0) {
      const data = new Uint8Array(4 * fds.length);
      fds.forEach((fd, i) => {
        data.set(int32(fd), 4 * i);
      });
      put(SCM_RIGHTS, data);
    }
  }
  return { length, truncated };
}

/** Writes a value into a buffer whose size is at `lengthAt`, cut to it; the size becomes the value's (or the cut) length. */
function putBounded(call: Syscall, value: Uint8Array, at: number, lengthAt: number, cutLength = false): number {
  const field = call.space.read(lengthAt, 4);
  if (field === null) return -EFAULT;
  const room = new DataView(field.buffer, field.byteOffset, 4).getInt32(0, true);
  if (room < 0) return -EINVAL;
  const cut = value.subarray(0, room);
  if (cut.length > 0 && !call.space.write(at, cut)) return -EFAULT;
  return putLength(call, lengthAt, cutLength ? cut.length : value.length);
}

function putLength(call: Syscall, at: number, length: number): number {
  if (at === 0) return 0;
  return call.space.write(at, int32(length)) ? 0 : -EFAULT;
}

function ucred(c: Credentials): Uint8Array {
  const bytes = new Uint8Array(12);
  bytes.set(int32(c.pid));
  bytes.set(int32(c.uid), 4);
  bytes.set(int32(c.gid), 8);
  return bytes;
}

function int32(value: number): Uint8Array {
  return Uint8Array.of(value, value >>> 8, value >>> 16, value >>> 24);
}

function int64(value: number): Uint8Array {
  const bytes = new Uint8Array(8);
  bytes.set(int32(value));
  return bytes;
}

/** A 64-bit field as a number: exact below 2^53, and beyond anything mapped above that. */
function word(view: DataView, at: number): number {
  return view.getUint32(at + 4, true) * 2 ** 32 + view.getUint32(at, true);
}
