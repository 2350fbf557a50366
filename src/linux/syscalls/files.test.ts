/** The file calls with a fake process: guest memory, descriptors, blocking and its re-execution. */

import { beforeEach, expect, test } from 'vitest';
import { AddressSpace } from '../../lvm/address-space.ts';
import { PROT_READ, PROT_WRITE, USER_START } from '../../lvm/layout.ts';
import * as E from '../abi/errno.ts';
import * as F from '../abi/fcntl.ts';
import * as N from '../abi/syscall-numbers.ts';
import { EPOLL_CTL_ADD, EPOLLET } from '../epoll.ts';
import { ProcessFs } from '../fs/fs-context.ts';
import type { ProcProcess, ProcView } from '../fs/proc-view.ts';
import { mountProc } from '../fs/procfs.ts';
import { mountSys } from '../fs/sysfs.ts';
import { FakeImage, TestHost } from '../fs/test-host.ts';
import { type OpenFile, POLLHUP, POLLIN, POLLNVAL, POLLOUT } from '../open-file.ts';
import { BLOCKED, type Syscall, type SyscallResult } from '../syscall.ts';
import { dropFileLocks, dropPosixLocks } from './fcntl.ts';
import { FILE_CALLS } from './file-calls.ts';
import type { FsProcess } from './fs-kernel.ts';

const MEMORY = USER_START;
const handlers = new Map(FILE_CALLS.map(({ number, handler }) => [number, handler]));

class FakeProcess implements FsProcess {
  readonly pid: number;
  readonly fs: ProcessFs;
  readonly host: TestHost;
  readonly table = new Map<number, { file: OpenFile; cloexec: boolean }>();

  constructor(host: TestHost, pid: number) {
    this.host = host;
    this.pid = pid;
    this.fs = new ProcessFs(host);
  }

  file(fd: number): OpenFile | undefined {
    return this.table.get(fd)?.file;
  }

  install(file: OpenFile, cloexec: boolean, min = 0): number {
    let fd = min;
    while (this.table.has(fd)) fd++;
    file.references++;
    this.table.set(fd, { file, cloexec });
    return fd;
  }

  installAt(fd: number, file: OpenFile, cloexec: boolean): number {
    file.references++;
    this.closeFd(fd);
    this.table.set(fd, { file, cloexec });
    return fd;
  }

  closeFd(fd: number): number {
    const file = this.file(fd);
    if (file === undefined) return -E.EBADF;
    this.table.delete(fd);
    dropPosixLocks(file, this.pid);
    if (file.references === 1) dropFileLocks(file);
    this.host.release(file);
    return 0;
  }

  cloexec(fd: number): boolean {
    return this.table.get(fd)!.cloexec;
  }

  setCloexec(fd: number, on: boolean): void {
    this.table.get(fd)!.cloexec = on;
  }

  fds(): number[] {
    return [...this.table.keys()].sort((a, b) => a - b);
  }
}

let host: TestHost;
let process: FakeProcess;
let space: AddressSpace;
let memo: unknown;
let timedOut: boolean;
let interrupted: boolean;
let blockedUntil: number | null;
let brk: number;

beforeEach(() => {
  host = TestHost.create(new FakeImage({ etc: { passwd: 'root:x:0:0\n' }, tmp: {}, usr: { bin: { sh: '#!' } } }));
  host.initialReferences = 0;
  process = new FakeProcess(host, 7);
  space = new AddressSpace(1);
  space.map(MEMORY, 0x400000, PROT_READ | PROT_WRITE);
  brk = MEMORY + 0x1000;
  timedOut = false;
  interrupted = false;
  memo = null;
  mountProc(host.vfs, view());
  mountSys(host.vfs);
});

function view(): ProcView {
  const shown: ProcProcess = {
    pid: 7,
    ppid: 1,
    pgid: 7,
    sid: 7,
    uid: 0,
    gid: 0,
    comm: 'sh',
    state: 'R',
    exePath: '/usr/bin/sh',
    exeNode: null,
    cmdline: () => new TextEncoder().encode('sh\0-c\0'),
    environ: () => new Uint8Array(0),
    auxv: () => new Uint8Array(16),
    mappings: () => [
      {
        start: 0x400000,
        end: 0x401000,
        prot: 5,
        shared: false,
        offset: 0,
        dev: 0x1d,
        ino: 9,
        name: '/usr/bin/sh',
        residentBytes: 4096,
      },
    ],
    threads: () => [{ tid: 7, comm: 'sh', state: 'R' }],
    fs: process.fs,
    fds: () => process.fds(),
    file: (fd) => process.file(fd),
    startUs: 0,
    cpuUs: 0,
    limit: () => [1024, null],
    oomScoreAdj: 0,
  };
  return {
    currentPid: () => 7,
    currentTid: () => 7,
    pids: () => [7],
    process: (pid) => (pid === 7 ? shown : undefined),
    hostname: 'tardigrade',
    osRelease: '6.1.0',
    version: '#1 SMP',
    monotonicUs: () => host.nowUs,
    realtimeUs: () => host.nowUs,
    totalMemoryBytes: () => 2 ** 32,
    freeMemoryBytes: () => 2 ** 31,
    entropy: (length) => new Uint8Array(length),
  };
}

/** Executes a call; the memo stays when it blocks, so that `again` goes on. */
function execute(number: number, args: readonly number[], of = process): SyscallResult {
  blockedUntil = null;
  const call = {
    kernel: host,
    process: of,
    thread: {},
    space,
    number,
    uint: (i: number) => args[i] ?? 0,
    long: (i: number) => args[i] ?? 0,
    int: (i: number) => (args[i] ?? 0) | 0,
    bits: (i: number) => BigInt(args[i] ?? 0),
    path: (i: number) => {
      const address = args[i]!;
      if (!space.isPresent(address)) return -E.EFAULT;
      return new TextDecoder().decode(space.u8.slice(address, space.u8.indexOf(0, address)));
    },
    get memo() {
      return memo;
    },
    set memo(value: unknown) {
      memo = value;
    },
    timedOut,
    interrupted,
    block: ({ deadlineUs }: { deadlineUs?: number | null }) => {
      blockedUntil = deadlineUs ?? null;
      return BLOCKED;
    },
  };
  const result = handlers.get(number)!(call as unknown as Syscall);
  if (result !== BLOCKED) memo = null;
  return result;
}

function put(bytes: Uint8Array | string): number {
  const data = typeof bytes === 'string' ? new TextEncoder().encode(`${bytes}\0`) : bytes;
  const at = brk;
  brk += (data.length + 15) & ~15;
  space.write(at, data);
  return at;
}

const room = (length: number) => put(new Uint8Array(length));
const textAt = (address: number, length: number) => new TextDecoder().decode(space.u8.slice(address, address + length));
const open = (path: string, flags = 0, mode = 0o644) =>
  execute(N.SYS_openat, [F.AT_FDCWD, put(path), flags, mode]) as number;
const write = (fd: number, text: string) => execute(N.SYS_write, [fd, put(text), text.length]);

function read(fd: number, length = 4096): string | SyscallResult {
  const at = room(length);
  const count = execute(N.SYS_read, [fd, at, length]);
  return typeof count === 'number' && count >= 0 ? textAt(at, count) : count;
}

function struct(...words: (number | bigint)[]): number {
  const bytes = new DataView(new ArrayBuffer(words.length * 8));
  for (const [i, word] of words.entries()) bytes.setBigInt64(i * 8, BigInt(word), true);
  return put(new Uint8Array(bytes.buffer));
}

test('no number twice', () => {
  expect(handlers.size).toBe(FILE_CALLS.length);
});

test('files, directories, *at', () => {
  expect(read(open('/etc/passwd'))).toBe('root:x:0:0\n');
  expect(execute(N.SYS_mkdir, [put('/tmp/d'), 0o755])).toBe(0);
  const dir = open('/tmp/d', F.O_DIRECTORY);
  const fd = execute(N.SYS_openat, [dir, put('f'), F.O_CREAT | F.O_RDWR, 0o600]) as number;
  expect(write(fd, 'hello world')).toBe(11);
  expect(execute(N.SYS_lseek, [fd, 6, F.SEEK_SET])).toBe(6);
  expect(read(fd)).toBe('world');
  const stat = room(144);
  expect(execute(N.SYS_newfstatat, [dir, put('f'), stat, 0])).toBe(0);
  expect(space.view.getUint32(stat + 24, true)).toBe(0o100600);
  expect(space.view.getUint32(stat + 48, true)).toBe(11);
  expect(execute(N.SYS_newfstatat, [fd, put(''), stat, F.AT_EMPTY_PATH])).toBe(0);
  expect(execute(N.SYS_newfstatat, [fd, put('x'), stat, 0])).toBe(-E.ENOTDIR);
  expect(execute(N.SYS_newfstatat, [99, put('x'), stat, 0])).toBe(-E.EBADF);
  expect(execute(N.SYS_fchdir, [dir])).toBe(0);
  const cwd = room(64);
  expect(execute(N.SYS_getcwd, [cwd, 64])).toBe(7);
  expect(textAt(cwd, 6)).toBe('/tmp/d');
  expect(execute(N.SYS_getcwd, [cwd, 3])).toBe(-E.ERANGE);
  expect(execute(N.SYS_symlinkat, [put('f'), dir, put('l')])).toBe(0);
  const target = room(64);
  expect(execute(N.SYS_readlink, [put('l'), target, 64])).toBe(1);
  expect(execute(N.SYS_getdents64, [dir, room(4096), 4096])).toBe(4 * 24);
  expect(execute(N.SYS_read, [fd, 0x10, 5])).toBe(-E.EFAULT);
  expect(execute(N.SYS_write, [fd, 0x10, 5])).toBe(-E.EFAULT);
  const iov = struct(put('ab'), 2, put('cd'), 2);
  expect(execute(N.SYS_pwritev, [fd, iov, 2, 0])).toBe(4);
  const back = room(8);
  expect(execute(N.SYS_pread64, [fd, back, 6, 0])).toBe(6);
  expect(textAt(back, 6)).toBe('abcdo ');
  expect(execute(N.SYS_access, [put('/usr/bin/sh'), F.X_OK])).toBe(-E.EACCES);
});

test('pipes block, wake and go on where they were', () => {
  const fds = room(8);
  expect(execute(N.SYS_pipe2, [fds, 0])).toBe(0);
  const [r, w] = [space.view.getInt32(fds, true), space.view.getInt32(fds + 4, true)];
  expect(read(r)).toBe(BLOCKED);
  expect(write(w, 'x')).toBe(1);
  expect(read(r)).toBe('x');
  const at = put(new Uint8Array(100_000).fill(65));
  expect(execute(N.SYS_write, [w, at, 100_000])).toBe(BLOCKED);
  expect(memo).toMatchObject({ written: 65_536 });
  const kept = memo;
  memo = null;
  expect((read(r, 65_536) as string).length).toBe(65_536);
  memo = kept;
  expect(execute(N.SYS_write, [w, at, 100_000])).toBe(100_000);
  execute(N.SYS_close, [w]);
  expect((read(r, 65_536) as string).length).toBe(34_464);
  expect(read(r)).toBe('');
});

test('a FIFO waits for its other end', () => {
  expect(execute(N.SYS_mknod, [put('/tmp/fifo'), 0o010644])).toBe(0);
  expect(open('/tmp/fifo', F.O_WRONLY | F.O_NONBLOCK)).toBe(-E.ENXIO);
  const path = put('/tmp/fifo');
  expect(execute(N.SYS_open, [path, F.O_RDONLY])).toBe(BLOCKED);
  const kept = memo;
  memo = null;
  const w = open('/tmp/fifo', F.O_WRONLY);
  expect(w).toBe(1);
  memo = kept;
  expect(execute(N.SYS_open, [path, F.O_RDONLY])).toBe(0);
  write(w, 'through');
  expect(read(0)).toBe('through');
});

test('poll, select, epoll: ready, timeout, interrupted', () => {
  const fds = room(8);
  execute(N.SYS_pipe2, [fds, F.O_NONBLOCK]);
  const [r, w] = [0, 1];
  const entries = room(24);
  [r, w, 55].forEach((fd, i) => {
    space.view.setInt32(entries + i * 8, fd, true);
    space.view.setInt16(entries + i * 8 + 4, POLLIN | POLLOUT, true);
  });
  expect(execute(N.SYS_poll, [entries, 3, -1])).toBe(2);
  expect([0, 1, 2].map((i) => space.view.getInt16(entries + i * 8 + 6, true))).toEqual([0, POLLOUT, POLLNVAL]);
  expect(execute(N.SYS_poll, [entries, 1, 0])).toBe(0);
  expect(execute(N.SYS_poll, [entries, 1, 50])).toBe(BLOCKED);
  expect(blockedUntil).toBe(host.nowUs + 50_000);
  timedOut = true;
  expect(execute(N.SYS_poll, [entries, 1, 50])).toBe(0);
  timedOut = false;
  interrupted = true;
  expect(execute(N.SYS_poll, [entries, 1, 50])).toBe(-E.EINTR);
  interrupted = false;
  const epoll = execute(N.SYS_epoll_create1, [0]) as number;
  const event = room(12);
  space.view.setUint32(event, (POLLIN | EPOLLET) >>> 0, true);
  space.view.setBigUint64(event + 4, 0x1234_5678_9abc_def0n, true);
  expect(execute(N.SYS_epoll_ctl, [epoll, EPOLL_CTL_ADD, r, event])).toBe(0);
  const out = room(120);
  expect(execute(N.SYS_epoll_wait, [epoll, out, 10, -1])).toBe(BLOCKED);
  memo = null;
  write(w, 'z');
  expect(execute(N.SYS_epoll_wait, [epoll, out, 10, -1])).toBe(1);
  expect(space.view.getBigUint64(out + 4, true)).toBe(0x1234_5678_9abc_def0n);
  expect(execute(N.SYS_epoll_wait, [epoll, out, 10, 0])).toBe(0);
  const set = struct(0b11);
  expect(execute(N.SYS_select, [2, set, 0, 0, 0])).toBe(1);
  expect(space.view.getUint32(set, true)).toBe(1);
  execute(N.SYS_close, [w]);
  expect(execute(N.SYS_poll, [entries, 1, -1])).toBe(1);
  expect(space.view.getInt16(entries + 6, true)).toBe(POLLIN | POLLHUP);
});

test('descriptors: dup, cloexec, flags, close_range', () => {
  const fd = open('/tmp/f', F.O_CREAT | F.O_RDWR | F.O_CLOEXEC);
  expect(execute(N.SYS_fcntl, [fd, F.F_GETFD])).toBe(1);
  expect(execute(N.SYS_fcntl, [fd, F.F_DUPFD, 10])).toBe(10);
  expect(execute(N.SYS_dup2, [fd, 20])).toBe(20);
  expect(execute(N.SYS_dup3, [fd, fd, 0])).toBe(-E.EINVAL);
  write(fd, 'abc');
  expect(execute(N.SYS_lseek, [20, 0, F.SEEK_CUR])).toBe(3);
  execute(N.SYS_fcntl, [20, F.F_SETFL, F.O_APPEND | F.O_NONBLOCK]);
  expect((execute(N.SYS_fcntl, [fd, F.F_GETFL]) as number) & 0o7777).toBe(F.O_APPEND | F.O_NONBLOCK | F.O_RDWR);
  expect(execute(N.SYS_close_range, [5, 0xffffffff, 0])).toBe(0);
  expect(process.fds()).toEqual([0]);
});

test('locks of two processes', () => {
  const other = new FakeProcess(host, 8);
  const fd = open('/tmp/db', F.O_CREAT | F.O_RDWR);
  const file2 = execute(N.SYS_openat, [F.AT_FDCWD, put('/tmp/db'), F.O_RDWR], other) as number;
  const lock = (type: number, start: number, length: number) => struct(type, start, length, 0);
  expect(execute(N.SYS_fcntl, [fd, F.F_SETLK, lock(F.F_WRLCK, 100, 50)])).toBe(0);
  expect(execute(N.SYS_fcntl, [file2, F.F_SETLK, lock(F.F_RDLCK, 149, 1)], other)).toBe(-E.EAGAIN);
  expect(execute(N.SYS_fcntl, [file2, F.F_SETLK, lock(F.F_WRLCK, 150, 0)], other)).toBe(0);
  expect(execute(N.SYS_fcntl, [fd, F.F_SETLK, lock(F.F_UNLCK, 110, 10)])).toBe(0);
  expect(execute(N.SYS_fcntl, [file2, F.F_SETLK, lock(F.F_RDLCK, 110, 10)], other)).toBe(0);
  const ask = lock(F.F_WRLCK, 0, 0);
  expect(execute(N.SYS_fcntl, [file2, F.F_GETLK, ask], other)).toBe(0);
  expect([space.view.getInt16(ask, true), space.view.getInt32(ask + 24, true)]).toEqual([F.F_WRLCK, 7]);
  expect(execute(N.SYS_fcntl, [file2, F.F_SETLKW, lock(F.F_WRLCK, 100, 5)], other)).toBe(BLOCKED);
  execute(N.SYS_close, [fd]);
  expect(execute(N.SYS_fcntl, [file2, F.F_SETLKW, lock(F.F_WRLCK, 100, 5)], other)).toBe(0);
  const a = open('/tmp/db', F.O_RDWR);
  expect(execute(N.SYS_flock, [a, F.LOCK_EX])).toBe(0);
  expect(execute(N.SYS_flock, [file2, F.LOCK_SH | F.LOCK_NB], other)).toBe(-E.EAGAIN);
});

test('timerfd and eventfd', () => {
  const timer = execute(N.SYS_timerfd_create, [1, F.O_NONBLOCK]) as number;
  expect(execute(N.SYS_timerfd_settime, [timer, 0, struct(0, 20_000_000, 0, 10_000_000), 0])).toBe(0);
  const at = room(8);
  expect(execute(N.SYS_read, [timer, at, 8])).toBe(-E.EAGAIN);
  expect([...host.timers][0]!.expiresAtUs).toBe(host.nowUs + 10_000);
  host.nowUs += 55_000;
  expect(execute(N.SYS_read, [timer, at, 8])).toBe(8);
  expect(space.view.getUint32(at, true)).toBe(3);
  const event = execute(N.SYS_eventfd2, [3, 0]) as number;
  expect(execute(N.SYS_read, [event, at, 8])).toBe(8);
  expect(space.view.getUint32(at, true)).toBe(3);
  expect(execute(N.SYS_read, [event, at, 8])).toBe(BLOCKED);
});

test('signalfd', () => {
  const mask = struct(1n << 9n);
  const fd = execute(N.SYS_signalfd4, [-1, mask, 8, F.O_NONBLOCK]) as number;
  const at = room(256);
  host.pending.push({ signo: 15, code: 0, pid: 3, uid: 0 });
  expect(execute(N.SYS_read, [fd, at, 256])).toBe(-E.EAGAIN);
  host.pending.push({ signo: 10, code: -1, pid: 3, uid: 0, value: 5n });
  expect(process.file(fd)!.poll() & POLLIN).toBe(POLLIN);
  expect(execute(N.SYS_read, [fd, at, 256])).toBe(128);
  expect([space.view.getUint32(at, true), space.view.getUint32(at + 12, true)]).toEqual([10, 3]);
  expect(execute(N.SYS_signalfd4, [fd, struct(1n << 14n), 8, 0])).toBe(fd);
  expect(execute(N.SYS_read, [fd, at, 256])).toBe(128);
  execute(N.SYS_close, [fd]);
  expect(host.signalFiles.size).toBe(0);
});

test('/proc, /sys, /dev', () => {
  expect(read(open('/proc/self/comm'))).toBe('sh\n');
  expect(read(open('/proc/self/task/7/comm'))).toBe('sh\n');
  expect(read(open('/proc/sys/net/core/somaxconn'))).toBe('4096\n');
  expect(read(open('/sys/kernel/mm/transparent_hugepage/enabled'))).toContain('[never]');
  expect(read(open('/proc/self/maps'))).toMatch(/^00400000-00401000 r-xp 00000000 00:1d 9 +\/usr\/bin\/sh\n$/);
  expect(read(open('/proc/self/stat'))).toMatch(/^7 \(sh\) R 1 /);
  expect((read(open('/proc/self/stat')) as string).trim().split(' ')).toHaveLength(52);
  for (const name of ['status', 'statm', 'smaps', 'smaps_rollup', 'limits', 'mounts', 'cmdline']) {
    expect((read(open(`/proc/7/${name}`)) as string).length).toBeGreaterThan(5);
  }
  for (const name of ['meminfo', 'cpuinfo', 'stat', 'uptime', 'loadavg', 'version', 'filesystems', 'mounts']) {
    expect((read(open(`/proc/${name}`)) as string).length).toBeGreaterThan(5);
  }
  expect(open('/proc/8/stat')).toBe(-E.ENOENT);
  expect(open('/proc/new', F.O_CREAT | F.O_RDWR)).toBe(-E.ENOENT);
  const oom = open('/proc/self/oom_score_adj', F.O_RDWR);
  expect(write(oom, '200\n')).toBe(4);
  expect(write(oom, '2000')).toBe(-E.EINVAL);
  expect(read(open('/proc/self/oom_score_adj'))).toBe('200\n');
  const fd = open('/tmp/x', F.O_CREAT | F.O_RDWR);
  write(fd, 'again');
  expect(read(open(`/dev/fd/${fd}`))).toBe('again');
  const target = room(64);
  const length = execute(N.SYS_readlink, [put(`/proc/self/fd/${fd}`), target, 64]) as number;
  expect(textAt(target, length)).toBe('/tmp/x');
  execute(N.SYS_unlink, [put('/tmp/x')]);
  const gone = execute(N.SYS_readlink, [put(`/proc/self/fd/${fd}`), target, 64]) as number;
  expect(textAt(target, gone)).toBe('/tmp/x (deleted)');
  expect(read(open('/dev/zero'), 3)).toBe('\0\0\0');
  expect(write(open('/dev/full', F.O_WRONLY), 'x')).toBe(-E.ENOSPC);
  expect(write(open('/dev/null', F.O_WRONLY | F.O_TRUNC), 'x')).toBe(1);
  expect(open('/dev/shm/seg', F.O_CREAT | F.O_RDWR)).toBeGreaterThan(0);
  expect(execute(N.SYS_rename, [put('/dev/shm/seg'), put('/tmp/seg')])).toBe(-E.EXDEV);
});

test('a small read into a large buffer makes one page dirty, a read of nothing none', () => {
  const fd = open('/etc/passwd');
  const at = brk + 4096 - (brk % 4096);
  brk = at + 0x10000;
  const event = execute(N.SYS_eventfd2, [0, F.O_NONBLOCK]) as number;
  space.takeDirty();
  expect(execute(N.SYS_read, [fd, at, 0x10000])).toBe(11);
  expect(space.takeDirty()).toEqual([at / 4096]);
  expect(execute(N.SYS_read, [event, at, 0x10000])).toBe(-E.EAGAIN);
  expect(space.takeDirty()).toEqual([]);
});
