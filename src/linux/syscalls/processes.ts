/** Processes and threads: clone(2), execve(2), exit(2), their ids. */

import { PAGE_SIZE } from '../../lvm/layout.ts';
import * as C from '../abi/clone.ts';
import { E2BIG, EACCES, EBADF, EFAULT, EINVAL, ENAMETOOLONG } from '../abi/errno.ts';
import { AT_EMPTY_PATH, AT_FDCWD, AT_SYMLINK_NOFOLLOW } from '../abi/fcntl.ts';
import { SIGCHLD, SIGNAL_MAX } from '../abi/signal.ts';
import * as N from '../abi/syscall-numbers.ts';
import { readCString } from '../call.ts';
import { type CloneRequest, clone } from '../clone.ts';
import { exec, findProgram, programOf } from '../exec.ts';
import { exitGroup, exitThread } from '../exit.ts';
import { NodeFile } from '../fs/file-host.ts';
import type { ProgramFile } from '../loader/load.ts';
import { exited } from '../process.ts';
import { isKilled } from '../signals.ts';
import { BLOCKED, NO_RESULT, type Syscall, type SyscallResult } from '../syscall.ts';
import { kernelOf, selfOf, threadOf } from './core.ts';
import { full, looking, partial, type SyscallEntry } from './entry.ts';
import { readView, startOf } from './fs-kernel.ts';

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
  // A handler does not end this wait (vfork(2)): the scheduler is used directly.
  if (isKilled(kernel, threadOf(call))) return BLOCKED;
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
  const [flags, exitSignal] = [field(0), field(4)];
  const low = flags % 0x1_0000_0000;
  if (flags >= 2 * C.CLONE_CLEAR_SIGHAND || (low & (C.CSIGNAL & ~C.CLONE_NEWTIME)) !== 0) return -EINVAL;
  if (exitSignal > SIGNAL_MAX || (exitSignal !== 0 && (low & (C.CLONE_THREAD | C.CLONE_PARENT)) !== 0)) return -EINVAL;
  return makeChild(call, {
    flags,
    childTid: field(2),
    parentTid: field(3),
    exitSignal,
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
  program: ProgramFile | number,
  fileName: string,
  argv: number,
  envp: number,
): SyscallResult {
  if (typeof program === 'number') return program;
  const args = strings(call, argv);
  if (typeof args === 'number') return args;
  const env = strings(call, envp);
  if (typeof env === 'number') return env;
  const result = exec(kernelOf(call), threadOf(call), { program, fileName, args, env });
  return result === 0 ? NO_RESULT : result;
}

function sysExecve(call: Syscall): SyscallResult {
  const path = call.path(0);
  if (typeof path === 'number') return path;
  const self = selfOf(call);
  const program = findProgram(kernelOf(call), self, self.fs.cwd, path);
  return execute(call, program, path, call.uint(1), call.uint(2));
}

function sysExecveat(call: Syscall): SyscallResult {
  const [fd, path, flags] = [call.int(0), call.path(1), call.int(4)];
  if ((flags & ~(AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW)) !== 0) return -EINVAL;
  if (typeof path === 'number') return path;
  const [argv, envp] = [call.uint(2), call.uint(3)];
  if (path === '' && (flags & AT_EMPTY_PATH) !== 0) {
    const file = selfOf(call).file(fd);
    if (file === undefined) return -EBADF;
    const program = file instanceof NodeFile ? programOf(file.node, file.path) : -EACCES;
    return execute(call, program, `/dev/fd/${fd}`, argv, envp);
  }
  const start = startOf(call, fd, path);
  if (typeof start === 'number') return start;
  const program = findProgram(kernelOf(call), selfOf(call), start, path, (flags & AT_SYMLINK_NOFOLLOW) === 0);
  const fileName = path.startsWith('/') || fd === AT_FDCWD ? path : `/dev/fd/${fd}/${path}`;
  return execute(call, program, fileName, argv, envp);
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

export const PROCESS_CALLS: readonly SyscallEntry[] = [
  partial(N.SYS_clone, sysClone, 'threads, fork and vfork; no namespaces, no pidfd, no other sharing'),
  partial(N.SYS_clone3, sysClone3, 'as clone; no set_tid, no cgroup'),
  full(N.SYS_fork, plainClone(0)),
  full(N.SYS_vfork, plainClone(C.CLONE_VM | C.CLONE_VFORK)),
  full(N.SYS_execve, sysExecve),
  full(N.SYS_execveat, sysExecveat),
  full(N.SYS_exit, sysExit),
  full(N.SYS_exit_group, sysExitGroup),
  full(N.SYS_set_tid_address, sysSetTidAddress),
  looking(full(N.SYS_getpid, (call) => selfOf(call).pid)),
  looking(full(N.SYS_gettid, (call) => threadOf(call).tid)),
  looking(full(N.SYS_getppid, (call) => selfOf(call).ppid)),
];
