/** The socket calls with a fake kernel: guest memory, blocking and its re-execution, messages with descriptors. */

import { beforeEach, expect, test } from 'vitest';
import { Ledger, type Part } from '../../checkpoint/ledger.ts';
import { AddressSpace } from '../../lvm/address-space.ts';
import { PROT_READ, PROT_WRITE, USER_START } from '../../lvm/layout.ts';
import { EAGAIN, EBADF, EFAULT, EINPROGRESS, EINTR, ENOTSOCK, EPIPE } from '../abi/errno.ts';
import { Vfs } from '../fs/vfs.ts';
import { NetworkInterface } from '../net.ts';
import { OpenFile, type Stat } from '../open-file.ts';
import { MSG_DONTWAIT, MSG_NOSIGNAL, MSG_TRUNC, MSG_WAITALL } from '../socket.ts';
import { AF_INET, AF_UNIX, formatAddress, inet, SOCK_DGRAM, SOCK_NONBLOCK, SOCK_STREAM } from '../socket-address.ts';
import { BLOCKED, type Syscall, type SyscallHandler, type SyscallResult } from '../syscall.ts';
import { UnixNames } from '../unix-socket.ts';
import * as calls from './socket.ts';

const MEMORY = USER_START;
const LOOPBACK = 0x7f000001;

class Other extends OpenFile {
  save(): unknown {
    return null;
  }

  stat(): Stat {
    throw new Error('not asked');
  }
}

/** A kernel and its one process. */
class Fake {
  readonly ledger = new Ledger();
  readonly unixNames = new UnixNames();
  readonly files = new Map<number, OpenFile>();
  readonly fds: (OpenFile | undefined)[] = [];
  readonly space = new AddressSpace(1);
  readonly network: NetworkInterface;
  readonly vfs = Vfs.create({
    ledger: this.ledger,
    lvm: { lookup: () => null, read: () => new Uint8Array(0) },
    realtimeUs: () => 0,
  });
  readonly pid = 7;
  now = 1_000_000;
  nextId = 1;
  interrupted = false;
  timedOut = false;
  signals = 0;
  memo: unknown = null;
  blockedUntil: number | null = null;

  constructor() {
    const entropy = (length: number): Uint8Array => new Uint8Array(length).fill(7);
    this.network = NetworkInterface.create({ ledger: this.ledger, send: () => {} }, { entropy });
    this.space.map(MEMORY, 0x200000, PROT_READ | PROT_WRITE);
  }

  monotonicUs(): number {
    return this.now;
  }

  touch(part: Part): void {
    this.ledger.touch(part);
  }

  addFile<T extends OpenFile>(make: (id: number) => T): T {
    const file = make(this.nextId++);
    this.files.set(file.id, file);
    this.ledger.add(file);
    return file;
  }

  release(file: OpenFile): void {
    if (--file.references > 0) return;
    this.files.delete(file.id);
    file.dispose();
  }

  file(id: number): OpenFile | undefined {
    return this.files.get(id);
  }

  raise(): void {
    this.signals++;
  }

  // As a process:

  install(file: OpenFile): number {
    let fd = 0;
    while (this.fds[fd] !== undefined) fd++;
    this.fds[fd] = file;
    file.references++;
    return fd;
  }

  closeFd(fd: number): number {
    const file = this.fds[fd];
    if (file === undefined) return -EBADF;
    this.fds[fd] = undefined;
    this.release(file);
    return 0;
  }

  /** One execution of a call. */
  execute(handler: SyscallHandler, args: number[]): SyscallResult {
    const kernel = this;
    const process = {
      pid: this.pid,
      fs: { root: this.vfs.root, cwd: this.vfs.root, umask: 0o022 },
      file: (fd: number) => this.fds[fd],
      install: (file: OpenFile) => this.install(file),
      closeFd: (fd: number) => this.closeFd(fd),
    };
    const call = {
      kernel,
      process,
      space: this.space,
      uint: (i: number) => args[i] ?? 0,
      long: (i: number) => args[i] ?? 0,
      int: (i: number) => (args[i] ?? 0) | 0,
      get memo() {
        return kernel.memo;
      },
      set memo(value: unknown) {
        kernel.memo = value;
      },
      timedOut: this.timedOut,
      interrupted: this.interrupted,
      block: ({ deadlineUs }: { deadlineUs?: number | null }) => {
        this.blockedUntil = deadlineUs ?? null;
        return BLOCKED;
      },
    };
    return handler(call as unknown as Syscall);
  }

  /** A new call; its first execution. */
  call(handler: SyscallHandler, ...args: number[]): SyscallResult {
    this.memo = null;
    const result = this.execute(handler, args);
    this.network.flush(this.now);
    return result;
  }

  /** The blocked call again. */
  again(handler: SyscallHandler, ...args: number[]): SyscallResult {
    const result = this.execute(handler, args);
    this.network.flush(this.now);
    return result;
  }

  put(at: number, bytes: Uint8Array | string): number {
    const data = typeof bytes === 'string' ? Buffer.from(bytes) : bytes;
    this.space.write(MEMORY + at, data);
    return MEMORY + at;
  }

  text(at: number, length: number): string {
    return Buffer.from(this.space.read(MEMORY + at, length)!).toString();
  }

  int(at: number): number {
    return this.space.view.getInt32(MEMORY + at, true);
  }

  putInt(at: number, value: number): number {
    this.space.view.setInt32(MEMORY + at, value, true);
    return MEMORY + at;
  }

  /** struct msghdr at `at` with one vector; control of `controlLength` bytes at `at + 256`. */
  header(at: number, data: number, length: number, controlLength = 0): number {
    const view = new DataView(new ArrayBuffer(72));
    view.setUint32(16, MEMORY + at + 56, true);
    view.setUint32(24, 1, true);
    view.setUint32(32, controlLength > 0 ? MEMORY + at + 256 : 0, true);
    view.setUint32(40, controlLength, true);
    view.setUint32(56, MEMORY + data, true);
    view.setUint32(64, length, true);
    return this.put(at, new Uint8Array(view.buffer));
  }
}

let k: Fake;
beforeEach(() => {
  k = new Fake();
});

function serve(port: number): number {
  const fd = k.call(calls.sysSocket, AF_INET, SOCK_STREAM, 0) as number;
  const name = k.put(0, formatAddress(inet(LOOPBACK, port), AF_INET));
  expect(k.call(calls.sysBind, fd, name, 16)).toBe(0);
  expect(k.call(calls.sysListen, fd, 5)).toBe(0);
  return fd;
}

test('accept and connect block, then go on where they were', () => {
  const listener = serve(80);
  const accept = [listener, MEMORY + 64, k.putInt(60, 16)];
  expect(k.call(calls.sysAccept, ...accept)).toBe(BLOCKED);
  const client = k.call(calls.sysSocket, AF_INET, SOCK_STREAM, 0) as number;
  expect(k.call(calls.sysConnect, client, MEMORY, 16)).toBe(BLOCKED);
  expect(k.again(calls.sysConnect, client, MEMORY, 16)).toBe(0);
  const server = k.call(calls.sysAccept, ...accept) as number;
  expect(server).toBe(2);
  expect(k.int(60)).toBe(16);
  expect(k.call(calls.sysGetsockname, client, MEMORY + 128, k.putInt(60, 100))).toBe(0);
  expect(k.text(64, 16)).toBe(k.text(128, 16));
  expect(k.call(calls.sysGetpeername, client, MEMORY + 128, k.putInt(60, 4))).toBe(0);
  expect(k.int(60)).toBe(16); // The whole length, although four bytes were written.

  expect(k.call(calls.sysRecvfrom, server, MEMORY + 4096, 100, MSG_DONTWAIT, 0, 0)).toBe(-EAGAIN);
  const receive = [server, MEMORY + 4096, 10, MSG_WAITALL, 0, 0];
  expect(k.call(calls.sysRecvfrom, ...receive)).toBe(BLOCKED);
  const memo = k.memo;
  expect(k.call(calls.sysSendto, client, k.put(8192, 'hello'), 5, 0, 0, 0)).toBe(5);
  k.memo = memo;
  expect(k.again(calls.sysRecvfrom, ...receive)).toBe(BLOCKED);
  const half = structuredClone(k.memo); // It is plain data.
  k.now += 50_000;
  k.network.flush(k.now);
  expect(k.call(calls.sysSendto, client, k.put(8192, 'world!'), 6, 0, 0, 0)).toBe(6);
  k.memo = half;
  expect(k.again(calls.sysRecvfrom, ...receive)).toBe(10);
  expect(k.text(4096, 10)).toBe('helloworld');
});

test('a non-blocking connect: EINPROGRESS, then SO_ERROR', () => {
  serve(80);
  const client = k.call(calls.sysSocket, AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0) as number;
  expect(k.call(calls.sysConnect, client, MEMORY, 16)).toBe(-EINPROGRESS);
  expect(k.call(calls.sysGetsockopt, client, 1, 4, MEMORY + 64, k.putInt(60, 4))).toBe(0);
  expect([k.int(64), k.int(60)]).toEqual([0, 4]);
});

test('a blocking send sends all of it, across executions', () => {
  const listener = serve(80);
  const client = k.call(calls.sysSocket, AF_INET, SOCK_STREAM, 0) as number;
  k.call(calls.sysConnect, client, MEMORY, 16);
  k.again(calls.sysConnect, client, MEMORY, 16);
  const server = k.call(calls.sysAccept, listener, 0, 0) as number;
  k.call(calls.sysSetsockopt, client, 1, 7, k.putInt(60, 20_000), 4);
  const size = 1_500_000;
  const data = Uint8Array.from({ length: size }, (_, i) => i * 7 + (i >> 8));
  k.put(0x80000, data);
  const args = [client, MEMORY + 0x80000, size, 0, 0, 0];
  let result = k.call(calls.sysSendto, ...args);
  const received: Uint8Array[] = [];
  for (let i = 0; i < 10_000 && result === BLOCKED; i++) {
    const memo = k.memo;
    k.now += 1000;
    k.network.flush(k.now);
    const n = k.call(calls.sysRecvfrom, server, MEMORY + 4096, 65536, MSG_DONTWAIT, 0, 0) as number;
    if (n > 0) received.push(k.space.read(MEMORY + 4096, n)!.slice());
    k.memo = memo;
    result = k.again(calls.sysSendto, ...args);
  }
  expect(result).toBe(size);
  for (let i = 0; i < 1000; i++) {
    k.now += 1000;
    k.network.flush(k.now);
    const n = k.call(calls.sysRecvfrom, server, MEMORY + 4096, 65536, MSG_DONTWAIT, 0, 0) as number;
    if (n > 0) received.push(k.space.read(MEMORY + 4096, n)!.slice());
  }
  expect(Buffer.compare(Buffer.concat(received), data)).toBe(0);
});

test('SO_RCVTIMEO: a deadline, EAGAIN when it passed, EINTR on a signal', () => {
  expect(k.call(calls.sysSocketpair, AF_UNIX, SOCK_STREAM, 0, MEMORY)).toBe(0);
  const [a] = [k.int(0), k.int(4)];
  const timeval = new Uint8Array(16);
  new DataView(timeval.buffer).setUint32(8, 500_000, true);
  expect(k.call(calls.sysSetsockopt, a, 1, 20, k.put(64, timeval), 16)).toBe(0);
  const args = [a, MEMORY + 4096, 10, 0, 0, 0];
  expect(k.call(calls.sysRecvfrom, ...args)).toBe(BLOCKED);
  expect(k.blockedUntil).toBe(k.now + 500_000);
  k.now += 300_000;
  expect(k.again(calls.sysRecvfrom, ...args)).toBe(BLOCKED);
  expect(k.blockedUntil).toBe(1_500_000); // The same deadline.
  k.interrupted = true;
  expect(k.again(calls.sysRecvfrom, ...args)).toBe(-EINTR);
  k.interrupted = false;
  k.timedOut = true;
  expect(k.again(calls.sysRecvfrom, ...args)).toBe(-EAGAIN);
});

test('sendmsg and recvmsg pass descriptors; what does not fit is closed', () => {
  k.call(calls.sysSocketpair, AF_UNIX, SOCK_STREAM, 0, MEMORY);
  const [a, b] = [k.int(0), k.int(4)];
  const passed = k.call(calls.sysSocket, AF_INET, SOCK_DGRAM, 0) as number;
  const file = k.fds[passed]!;
  const control = new Uint8Array(24);
  const view = new DataView(control.buffer);
  view.setUint32(0, 20, true);
  view.setInt32(8, 1, true);
  view.setInt32(12, 1, true);
  view.setInt32(16, passed, true);
  const send = (): void => {
    const header = k.header(512, 4096, 3, 24);
    k.put(512 + 256, control);
    k.put(4096, 'msg');
    expect(k.call(calls.sysSendmsg, a, header, 0)).toBe(3);
  };
  send();
  k.closeFd(passed);
  expect(k.files.has(file.id)).toBe(true);
  const header = k.header(2048, 5000, 100, 64);
  expect(k.call(calls.sysRecvmsg, b, header, 0)).toBe(3);
  expect(k.text(5000, 3)).toBe('msg');
  const fd = k.int(2048 + 256 + 16);
  expect(k.fds[fd]).toBe(file);
  expect(file.references).toBe(1);
  expect(k.int(2048 + 40)).toBe(24); // msg_controllen
  expect(k.int(2048 + 48)).toBe(0); // msg_flags

  view.setInt32(16, fd, true);
  send();
  expect(k.call(calls.sysRecvmsg, b, k.header(2048, 5000, 100, 0), 0)).toBe(3);
  expect(k.int(2048 + 48)).toBe(8); // MSG_CTRUNC
  expect(file.references).toBe(1);
});

test('a datagram that does not fit is cut', () => {
  const server = k.call(calls.sysSocket, AF_INET, SOCK_DGRAM, 0) as number;
  const name = k.put(0, formatAddress(inet(LOOPBACK, 53), AF_INET));
  k.call(calls.sysBind, server, name, 16);
  const client = k.call(calls.sysSocket, AF_INET, SOCK_DGRAM, 0) as number;
  for (let i = 0; i < 2; i++) expect(k.call(calls.sysSendto, client, k.put(64, 'datagram'), 8, 0, name, 16)).toBe(8);
  expect(k.call(calls.sysRecvfrom, server, MEMORY + 4096, 4, MSG_TRUNC, MEMORY + 128, k.putInt(60, 16))).toBe(8);
  expect(k.text(4096, 5)).toBe('data\0');
  expect(k.call(calls.sysRecvmsg, server, k.header(2048, 4096, 4), 0)).toBe(4);
  expect(k.int(2048 + 48)).toBe(MSG_TRUNC);
});

test('a socket file: bound, connected to, in use, gone', () => {
  const address = (path: string): [number, number] => {
    const bytes = formatAddress({ family: 'unix', name: Buffer.from(path) }, AF_UNIX);
    return [k.put(0, bytes), bytes.length];
  };
  const server = k.call(calls.sysSocket, AF_UNIX, SOCK_STREAM, 0) as number;
  expect(k.call(calls.sysBind, server, ...address('/control'))).toBe(0);
  expect(k.call(calls.sysListen, server, 5)).toBe(0);
  const other = k.call(calls.sysSocket, AF_UNIX, SOCK_STREAM, 0) as number;
  expect(k.call(calls.sysBind, other, ...address('/control'))).toBe(-98);
  expect(k.call(calls.sysConnect, other, ...address('/nothing'))).toBe(-2);
  expect(k.call(calls.sysConnect, other, ...address('/control'))).toBe(0);
  expect(k.call(calls.sysGetpeername, other, MEMORY + 128, k.putInt(60, 100))).toBe(0);
  expect([k.int(60), k.text(130, 9)]).toEqual([11, '/control\0']);
  const accepted = k.call(calls.sysAccept4, server, 0, 0, SOCK_NONBLOCK) as number;
  expect(accepted).toBeGreaterThan(0);
  expect(k.call(calls.sysSendto, other, k.put(64, 'hi'), 2, 0, 0, 0)).toBe(2);
  expect(k.call(calls.sysRecvfrom, accepted, MEMORY + 4096, 10, 0, 0, 0)).toBe(2);
  k.closeFd(server);
  const late = k.call(calls.sysSocket, AF_UNIX, SOCK_STREAM, 0) as number;
  expect(k.call(calls.sysConnect, late, ...address('/control'))).toBe(-111);
});

test('errors', () => {
  expect(k.call(calls.sysSocket, 16, SOCK_DGRAM, 0)).toBe(-97);
  expect(k.call(calls.sysListen, 9, 1)).toBe(-EBADF);
  const other = k.install(k.addFile((id) => new Other(id, 0)));
  expect(k.call(calls.sysListen, other, 1)).toBe(-ENOTSOCK);
  expect(k.call(calls.sysSocketpair, AF_UNIX, SOCK_STREAM, 0, 0)).toBe(-EFAULT);
  k.call(calls.sysSocketpair, AF_UNIX, SOCK_STREAM, 0, MEMORY);
  const [a, b] = [k.int(0), k.int(4)];
  expect(k.call(calls.sysSendto, a, 0x100, 5, 0, 0, 0)).toBe(-EFAULT);
  k.closeFd(b);
  expect(k.call(calls.sysSendto, a, k.put(64, 'x'), 1, MSG_NOSIGNAL, 0, 0)).toBe(-EPIPE);
  expect(k.signals).toBe(0);
  expect(k.call(calls.sysSendto, a, k.put(64, 'x'), 1, 0, 0, 0)).toBe(-EPIPE);
  expect(k.signals).toBe(1);
});
