/** Waiting for children: wait4(2), waitid(2). Source: kernel/exit.c. */

import * as C from '../abi/clone.ts';
import { ECHILD, EFAULT, EINVAL, ESRCH } from '../abi/errno.ts';
import { CLD_CONTINUED, CLD_EXITED, CLD_KILLED, CLD_STOPPED, SIGCHLD, SIGCONT } from '../abi/signal.ts';
import * as N from '../abi/syscall-numbers.ts';
import { reap } from '../exit.ts';
import { CONTINUED, type Process } from '../process.ts';
import { siginfo } from '../signal-frame.ts';
import type { SignalInfo } from '../signalfd.ts';
import type { Syscall, SyscallResult } from '../syscall.ts';
import { kernelOf, selfOf, setTimeval, writeInt, writeStruct } from './core.ts';
import { partial, type SyscallEntry } from './entry.ts';

const RUSAGE_SIZE = 144;
/** Of both calls: which kind of children, by the signal that they send. */
const KINDS = C.WNOTHREAD | C.WALL | C.WCLONE;

type Matcher = (child: Process) => boolean;

interface Found {
  readonly child: Process;
  /** wait4(2)'s status. */
  readonly status: number;
}

/** The child that the options ask for, if one has something to tell. */
function findChild(call: Syscall, matches: Matcher, options: number): Found | SyscallResult {
  const self = selfOf(call);
  let any = false;
  for (const child of self.children) {
    if (!matches(child) || !isKind(child, options)) continue;
    any = true;
    if (child.zombie) {
      if ((options & C.WEXITED) !== 0) return { child, status: child.status };
    } else if (child.report !== null) {
      const wanted = child.report === CONTINUED ? C.WCONTINUED : C.WUNTRACED;
      if ((options & wanted) !== 0) return { child, status: child.report };
    }
  }
  if (!any) return -ECHILD;
  if ((options & C.WNOHANG) !== 0) return 0;
  return call.block({ queues: [self.childQueue] });
}

/** A "clone" child is one whose end does not send SIGCHLD (waitpid(2), __WCLONE). */
function isKind({ exitSignal }: Process, options: number): boolean {
  if ((options & C.WALL) !== 0) return true;
  return (exitSignal !== SIGCHLD) === ((options & C.WCLONE) !== 0);
}

function consume(call: Syscall, { child }: Found): void {
  if (child.zombie) {
    reap(kernelOf(call), child);
  } else {
    child.report = null;
    child.touch();
  }
}

/** struct rusage: the time, all of it user time; false: -EFAULT. */
function putUsage(call: Syscall, address: number, child: Process): boolean {
  const us = Math.floor((child.instructions + child.childInstructions) / 1000);
  return address === 0 || writeStruct(call.space, address, RUSAGE_SIZE, (view) => setTimeval(view, 0, us));
}

/** wait4's first argument. */
function pidMatcher(self: Process, pid: number): Matcher {
  if (pid > 0) return (child) => child.pid === pid;
  if (pid === -1) return () => true;
  const group = pid === 0 ? self.pgid : -pid;
  return (child) => child.pgid === group;
}

function sysWait4(call: Syscall): SyscallResult {
  const [pid, options] = [call.int(0), call.int(2)];
  if ((options & ~(C.WNOHANG | C.WUNTRACED | C.WCONTINUED | KINDS)) !== 0) return -EINVAL;
  // -pid would not be a number of a group.
  if (pid === -0x8000_0000) return -ESRCH;
  const found = findChild(call, pidMatcher(selfOf(call), pid), options | C.WEXITED);
  if (typeof found !== 'object') return found;
  const { child, status } = found;
  const put = putUsage(call, call.uint(3), child) && (call.uint(1) === 0 || writeInt(call.space, call.uint(1), status));
  // As in Linux the child is gone even where its status could not be told.
  consume(call, found);
  return put ? child.pid : -EFAULT;
}

function sysWaitid(call: Syscall): SyscallResult {
  const [type, id, options] = [call.int(0), call.int(1), call.int(3)];
  const events = C.WEXITED | C.WUNTRACED | C.WCONTINUED;
  if ((options & ~(C.WNOHANG | C.WNOWAIT | events | KINDS)) !== 0 || (options & events) === 0) return -EINVAL;
  const matches = idMatcher(selfOf(call), type, id);
  if (matches === null) return -EINVAL;
  const found = findChild(call, matches, options);
  const address = call.uint(2);
  if (typeof found !== 'object') {
    if (found === 0 && address !== 0 && !call.space.write(address, new Uint8Array(128))) return -EFAULT;
    return found;
  }
  const { child } = found;
  const put = putUsage(call, call.uint(4), child);
  const told = address === 0 || call.space.write(address, siginfo(childInfo(found)));
  if ((options & C.WNOWAIT) === 0) consume(call, found);
  return put && told ? 0 : -EFAULT;
}

function idMatcher(self: Process, type: number, id: number): Matcher | null {
  switch (type) {
    case C.P_ALL:
      return () => true;
    case C.P_PID:
      return id <= 0 ? null : ({ pid }) => pid === id;
    case C.P_PGID:
      return id < 0 ? null : ({ pgid }) => pgid === (id === 0 ? self.pgid : id);
    default:
      return null;
  }
}

function childInfo({ child, status }: Found): SignalInfo {
  const info = { signo: SIGCHLD, pid: child.pid, uid: child.ids.uid[0] };
  if (status === CONTINUED) return { ...info, code: CLD_CONTINUED, status: SIGCONT };
  if ((status & 0xff) === 0x7f) return { ...info, code: CLD_STOPPED, status: status >> 8 };
  const signo = status & 0x7f;
  if (signo === 0) return { ...info, code: CLD_EXITED, status: status >> 8 };
  return { ...info, code: CLD_KILLED, status: signo };
}

export const WAIT_CALLS: readonly SyscallEntry[] = [
  partial(N.SYS_wait4, sysWait4, 'of the usage only the time'),
  partial(N.SYS_waitid, sysWaitid, 'no P_PIDFD; of the usage only the time'),
];
