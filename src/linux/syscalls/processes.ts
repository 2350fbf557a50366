/** Processes and threads: clone(2), execve(2), exit(2), wait4(2), ids, groups and sessions, futex(2). */

import { PAGE_SIZE } from '../../lvm/layout.ts';
import * as C from '../abi/clone.ts';
import { E2BIG, ECHILD, EFAULT, EINTR, EINVAL, ENAMETOOLONG, ENOSYS, EPERM, ERESTARTSYS, ESRCH } from '../abi/errno.ts';
import { AT_EMPTY_PATH, AT_SYMLINK_NOFOLLOW } from '../abi/fcntl.ts';
import { CLD_CONTINUED, CLD_DUMPED, CLD_EXITED, CLD_KILLED, CLD_STOPPED, SIGCHLD } from '../abi/signal.ts';
import * as N from '../abi/syscall-numbers.ts';
import { readCString } from '../call.ts';
import { type CloneRequest, clone } from '../clone.ts';
import { exec } from '../exec.ts';
import { exitGroup, exitThread, reap } from '../exit.ts';
import type { Node } from '../fs/node.ts';
import { exited, type Process } from '../process.ts';
import { siginfo } from '../signal-frame.ts';
import { BLOCKED, NO_RESULT, type Syscall, type SyscallResult } from '../syscall.ts';
import { kernelOf, selfOf, setTimeval, threadOf, writeInt, writeStruct } from './core.ts';
import { full, partial, type SyscallEntry } from './entry.ts';
import { readView, startOf } from './fs-kernel.ts';
import { sysFutex } from './futex.ts';

// ---- making

/** The parent's part of a clone: it waits for a child of vfork(2) until that has its own memory. */
function makeChild(call: Syscall, request: CloneRequest): SyscallResult {
  const kernel = kernelOf(call);
  const memo = call.memo as { child: number } | null;
  let pid: number;
  if (memo === null) {
    const child = clone(kernel, threadOf(call), request);
    if (typeof child === 'number') return child;
    pid = child.tid;
    if ((request.flags & C.CLONE_VFORK) === 0) return pid;
    call.memo = { child: pid };
  } else {
    pid = memo.child;
  }
  const process = kernel.processes.get(pid);
  if (process === undefined || !process.vfork || process.zombie) return pid;
  // Only a fatal signal ends this wait (vfork(2)): the scheduler is used directly.
  kernel.scheduler.sleep(threadOf(call), { queues: [process.vforkQueue] });
  return BLOCKED;
}

function sysClone(call: Syscall): SyscallResult {
  const flags = call.uint(0) % 0x1_0000_0000;
  return makeChild(call, {
    flags: flags - (flags % 256),
    exitSignal: flags & C.CSIGNAL,
    stack: call.uint(1),
    parentTid: call.uint(2),
    childTid: call.uint(3),
    tls: call.bits(4),
  });
}

/** struct clone_args, of which later kernels have more. */
const CLONE_ARGS_MIN = 64;

function sysClone3(call: Syscall): SyscallResult {
  const size = call.uint(1);
  if (size < CLONE_ARGS_MIN) return -EINVAL;
  if (size > PAGE_SIZE) return -E2BIG;
  const view = readView(call, call.uint(0), size);
  if (view === null) return -EFAULT;
  const field = (index: number): number => Number(view.getBigUint64(index * 8, true));
  for (let i = 8; i * 8 + 8 <= size; i++) if (field(i) !== 0) return i < 11 ? -EINVAL : -E2BIG;
  const [stack, stackSize] = [field(5), field(6)];
  if ((stack === 0) !== (stackSize === 0)) return -EINVAL;
  return makeChild(call, {
    flags: field(0),
    childTid: field(2),
    parentTid: field(3),
    exitSignal: field(4),
    stack: stack + stackSize,
    tls: view.getBigUint64(56, true),
  });
}

function plainClone(flags: number): (call: Syscall) => SyscallResult {
  const request = { flags, exitSignal: SIGCHLD, stack: 0, parentTid: 0, childTid: 0, tls: 0n };
  return (call) => makeChild(call, request);
}

// ---- execve

/** MAX_ARG_STRLEN. */
const ARG_LENGTH_MAX = 131072;
const ARG_COUNT_MAX = 1 << 16;

function strings(call: Syscall, address: number): Uint8Array[] | number {
  const list: Uint8Array[] = [];
  // Linux takes a null pointer for an empty list.
  if (address === 0) return list;
  for (;;) {
    const view = readView(call, address + list.length * 8, 8);
    if (view === null) return -EFAULT;
    const pointer = Number(view.getBigUint64(0, true));
    if (pointer === 0) return list;
    if (list.length === ARG_COUNT_MAX) return -E2BIG;
    const text = readCString(call.space, pointer, ARG_LENGTH_MAX);
    if (typeof text === 'number') return text === -ENAMETOOLONG ? -E2BIG : text;
    list.push(text.slice());
  }
}

function execute(
  call: Syscall,
  path: string | number,
  start: Node | number,
  argv: number,
  envp: number,
): SyscallResult {
  if (typeof path === 'number') return path;
  if (typeof start === 'number') return start;
  const args = strings(call, argv);
  if (typeof args === 'number') return args;
  const env = strings(call, envp);
  if (typeof env === 'number') return env;
  const result = exec(kernelOf(call), threadOf(call), { path, start, args, env });
  return result === 0 ? NO_RESULT : result;
}

function sysExecve(call: Syscall): SyscallResult {
  return execute(call, call.path(0), selfOf(call).fs.cwd, call.uint(1), call.uint(2));
}

function sysExecveat(call: Syscall): SyscallResult {
  const path = call.path(1);
  const flags = call.int(4);
  if ((flags & ~(AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW)) !== 0) return -EINVAL;
  if (path === '') return -ENOSYS;
  const start = typeof path === 'number' ? path : startOf(call, call.int(0), path);
  return execute(call, path, start, call.uint(2), call.uint(3));
}

// ---- ending

function sysExit(call: Syscall): SyscallResult {
  exitThread(kernelOf(call), threadOf(call), call.int(0));
  return NO_RESULT;
}

function sysExitGroup(call: Syscall): SyscallResult {
  exitGroup(kernelOf(call), selfOf(call), exited(call.int(0)));
  return NO_RESULT;
}

function sysSetTidAddress(call: Syscall): SyscallResult {
  threadOf(call).clearTid = call.uint(0);
  return threadOf(call).tid;
}

// ---- waiting

interface Found {
  readonly child: Process;
  /** wait4(2)'s status. */
  readonly status: number;
}

/** The child that the options ask for, if one has something to tell. */
function findChild(call: Syscall, matches: (child: Process) => boolean, options: number): Found | SyscallResult {
  const self = selfOf(call);
  let any = false;
  for (const child of self.children) {
    if (!matches(child)) continue;
    any = true;
    if (child.zombie) {
      if ((options & C.WEXITED) !== 0) return { child, status: child.status };
    } else if (child.report !== null) {
      const wanted = child.report === 0xffff ? C.WCONTINUED : C.WUNTRACED;
      if ((options & wanted) !== 0) return { child, status: child.report };
    }
  }
  if (!any) return -ECHILD;
  if ((options & C.WNOHANG) !== 0) return 0;
  return call.block({ queues: [self.childQueue] });
}

function consume(call: Syscall, { child }: Found): void {
  if (child.zombie) {
    reap(kernelOf(call), child);
  } else {
    child.report = null;
    child.touch();
  }
}

/** wait4's first argument. */
function pidMatcher(self: Process, pid: number): (child: Process) => boolean {
  if (pid > 0) return (child) => child.pid === pid;
  if (pid === -1) return () => true;
  const group = pid === 0 ? self.pgid : -pid;
  return (child) => child.pgid === group;
}

/** struct rusage: user time and nothing else. */
export function putUsage(view: DataView, at: number, us: number): void {
  setTimeval(view, at, us);
}

const RUSAGE_SIZE = 144;

function sysWait4(call: Syscall): SyscallResult {
  const options = call.int(2);
  // __WNOTHREAD, __WALL, __WCLONE
  if ((options & ~(C.WNOHANG | C.WUNTRACED | C.WCONTINUED | 0x2000_0000 | 0x4000_0000 | 0x8000_0000)) !== 0)
    return -EINVAL;
  const found = findChild(call, pidMatcher(selfOf(call), call.int(0)), options | C.WEXITED);
  if (typeof found !== 'object') return found;
  const { child, status } = found;
  if (call.uint(1) !== 0 && !writeInt(call.space, call.uint(1), status)) return -EFAULT;
  const usage = call.uint(3);
  if (usage !== 0) {
    const us = Math.floor((child.instructions + child.childInstructions) / 1000);
    if (!writeStruct(call.space, usage, RUSAGE_SIZE, (view) => putUsage(view, 0, us))) return -EFAULT;
  }
  consume(call, found);
  return child.pid;
}

function sysWaitid(call: Syscall): SyscallResult {
  const [type, id, options] = [call.int(0), call.int(1), call.int(3)];
  if ((options & (C.WEXITED | C.WUNTRACED | C.WCONTINUED)) === 0) return -EINVAL;
  const self = selfOf(call);
  let matches: (child: Process) => boolean;
  if (type === C.P_ALL) matches = () => true;
  else if (type === C.P_PID) matches = (child) => child.pid === id;
  else if (type === C.P_PGID) matches = (child) => child.pgid === (id === 0 ? self.pgid : id);
  else return -EINVAL;
  const found = findChild(call, matches, options);
  const address = call.uint(2);
  if (typeof found !== 'object') {
    if (found === 0 && address !== 0 && !call.space.write(address, new Uint8Array(128))) return -EFAULT;
    return found;
  }
  const { child, status } = found;
  if (address !== 0) {
    const info = { signo: SIGCHLD, pid: child.pid, uid: child.ids.uid[0], ...childCode(status) };
    if (!call.space.write(address, siginfo(info))) return -EFAULT;
  }
  if ((options & C.WNOWAIT) === 0) consume(call, found);
  return 0;
}

function childCode(status: number): { code: number; status: number } {
  if (status === 0xffff) return { code: CLD_CONTINUED, status: 18 };
  if ((status & 0xff) === 0x7f) return { code: CLD_STOPPED, status: status >> 8 };
  const signo = status & 0x7f;
  if (signo === 0) return { code: CLD_EXITED, status: status >> 8 };
  return { code: (status & 0x80) !== 0 ? CLD_DUMPED : CLD_KILLED, status: signo };
}

// ---- ids, groups, sessions

/** The process of a pid argument, 0 being the caller. */
function processIn(call: Syscall, index: number): Process | undefined {
  const pid = call.int(index);
  return pid === 0 ? selfOf(call) : kernelOf(call).processes.get(pid);
}

function sysSetpgid(call: Syscall): SyscallResult {
  const self = selfOf(call);
  const process = processIn(call, 0);
  const wanted = call.int(1);
  if (wanted < 0) return -EINVAL;
  if (process === undefined || (process !== self && process.parent !== self)) return -ESRCH;
  if (process.sid !== self.sid || process.sid === process.pid) return -EPERM;
  const pgid = wanted === 0 ? process.pid : wanted;
  if (pgid !== process.pid) {
    const there = [...kernelOf(call).processes.values()].some((p) => p.pgid === pgid && p.sid === self.sid);
    if (!there) return -EPERM;
  }
  process.pgid = pgid;
  process.touch();
  return 0;
}

function sysSetsid(call: Syscall): SyscallResult {
  const self = selfOf(call);
  // A group leader may not. The first process leads its session, as a shell's job leads its group.
  if ([...kernelOf(call).processes.values()].some(({ pgid }) => pgid === self.pid)) return -EPERM;
  self.sid = self.pgid = self.pid;
  self.touch();
  return self.pid;
}

function sysGetpgid(call: Syscall): SyscallResult {
  return processIn(call, 0)?.pgid ?? -ESRCH;
}

function sysGetsid(call: Syscall): SyscallResult {
  return processIn(call, 0)?.sid ?? -ESRCH;
}

// ---- robust lists

const ROBUST_LIST_HEAD_SIZE = 24;

function sysSetRobustList(call: Syscall): SyscallResult {
  if (call.uint(1) !== ROBUST_LIST_HEAD_SIZE) return -EINVAL;
  threadOf(call).robustList = call.uint(0);
  return 0;
}

function sysGetRobustList(call: Syscall): SyscallResult {
  const tid = call.int(0);
  const thread = tid === 0 ? threadOf(call) : kernelOf(call).threads.get(tid);
  if (thread === undefined) return -ESRCH;
  const put = (address: number, value: number) =>
    writeStruct(call.space, address, 8, (view) => view.setBigUint64(0, BigInt(value), true));
  return put(call.uint(1), thread.robustList) && put(call.uint(2), ROBUST_LIST_HEAD_SIZE) ? 0 : -EFAULT;
}

// ---- the scheduler

function sysSchedYield(call: Syscall): SyscallResult {
  kernelOf(call).scheduler.yield(threadOf(call));
  return 0;
}

/** pause(2): until a signal with a handler. */
function sysPause(call: Syscall): SyscallResult {
  const result = call.block({});
  return result === -ERESTARTSYS ? -EINTR : result;
}

export const PROCESS_CALLS: readonly SyscallEntry[] = [
  partial(N.SYS_clone, sysClone, 'threads, fork and vfork; no namespaces, no pidfd, no other sharing'),
  partial(N.SYS_clone3, sysClone3, 'as clone; no set_tid, no cgroup'),
  full(N.SYS_fork, plainClone(0)),
  full(N.SYS_vfork, plainClone(C.CLONE_VM | C.CLONE_VFORK)),
  full(N.SYS_execve, sysExecve),
  partial(N.SYS_execveat, sysExecveat, 'no AT_EMPTY_PATH'),
  full(N.SYS_exit, sysExit),
  full(N.SYS_exit_group, sysExitGroup),
  full(N.SYS_set_tid_address, sysSetTidAddress),
  partial(N.SYS_wait4, sysWait4, 'of the usage only the time'),
  partial(N.SYS_waitid, sysWaitid, 'no P_PIDFD'),
  full(N.SYS_getpid, (call) => selfOf(call).pid),
  full(N.SYS_gettid, (call) => threadOf(call).tid),
  full(N.SYS_getppid, (call) => selfOf(call).ppid),
  full(N.SYS_setpgid, sysSetpgid),
  full(N.SYS_getpgid, sysGetpgid),
  full(N.SYS_getpgrp, (call) => selfOf(call).pgid),
  full(N.SYS_setsid, sysSetsid),
  full(N.SYS_getsid, sysGetsid),
  full(N.SYS_set_robust_list, sysSetRobustList),
  full(N.SYS_get_robust_list, sysGetRobustList),
  partial(N.SYS_futex, sysFutex, 'no priority inheritance (FUTEX_LOCK_PI and its kin)'),
  full(N.SYS_sched_yield, sysSchedYield),
  full(N.SYS_pause, sysPause),
];
