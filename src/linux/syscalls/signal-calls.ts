/** Signals: sigaction(2), sigprocmask(2), kill(2), sigaltstack(2), sigreturn(2) and their relatives. */

import { RSP } from '../../x86/state.ts';
import { EAGAIN, EFAULT, EINTR, EINVAL, ENOMEM, EPERM, ERESTARTSYS, ESRCH } from '../abi/errno.ts';
import * as S from '../abi/signal.ts';
import * as N from '../abi/syscall-numbers.ts';
import type { Process, SignalAction } from '../process.ts';
import { isOnAltStack, popFrame, siginfo } from '../signal-frame.ts';
import type { SignalInfo } from '../signalfd.ts';
import { discard, force, sendToProcess, sendToThread } from '../signals.ts';
import { NO_RESULT, type Syscall, type SyscallResult } from '../syscall.ts';
import { NO_ALT_STACK } from '../thread.ts';
import { kernelOf, selfOf, threadOf, writeStruct } from './core.ts';
import { full, type SyscallEntry } from './entry.ts';
import { readView, timespecUs } from './fs-kernel.ts';
import { beginMask } from './signal-mask.ts';

const MASK_SIZE = 8;

function isSignal(signo: number): boolean {
  return signo >= 1 && signo <= S.SIGNAL_MAX;
}

// ---- dispositions and masks

/** struct sigaction of the kernel: handler, flags, restorer, mask. */
const ACTION_SIZE = 32;

function sysRtSigaction(call: Syscall): SyscallResult {
  const signo = call.int(0);
  if (call.uint(3) !== MASK_SIZE || !isSignal(signo)) return -EINVAL;
  const process = selfOf(call);
  const before = process.actions[signo]!;
  if (call.uint(1) !== 0) {
    if (signo === S.SIGKILL || signo === S.SIGSTOP) return -EINVAL;
    const view = readView(call, call.uint(1), ACTION_SIZE);
    if (view === null) return -EFAULT;
    const action: SignalAction = {
      handler: Number(view.getBigUint64(0, true)),
      flags: Number(view.getBigUint64(8, true) & 0xffff_ffffn),
      restorer: Number(view.getBigUint64(16, true)),
      mask: view.getBigUint64(24, true) & ~S.UNBLOCKABLE,
    };
    if (!putAction(call, call.uint(2), before)) return -EFAULT;
    process.actions[signo] = action;
    process.touch();
    const ignored =
      action.handler === S.SIG_IGN || (action.handler === S.SIG_DFL && S.defaultAction(signo) === 'ignore');
    if (ignored) discard(kernelOf(call), process, S.signalBit(signo));
    return 0;
  }
  return putAction(call, call.uint(2), before) ? 0 : -EFAULT;
}

function putAction(call: Syscall, address: number, { handler, flags, restorer, mask }: SignalAction): boolean {
  if (address === 0) return true;
  return writeStruct(call.space, address, ACTION_SIZE, (view) => {
    view.setBigUint64(0, BigInt(handler), true);
    view.setBigUint64(8, BigInt(flags), true);
    view.setBigUint64(16, BigInt(restorer), true);
    view.setBigUint64(24, mask, true);
  });
}

function readMask(call: Syscall, address: number): bigint | null {
  return readView(call, address, MASK_SIZE)?.getBigUint64(0, true) ?? null;
}

function putMask(call: Syscall, address: number, mask: bigint): boolean {
  return address === 0 || writeStruct(call.space, address, MASK_SIZE, (view) => view.setBigUint64(0, mask, true));
}

function sysRtSigprocmask(call: Syscall): SyscallResult {
  if (call.uint(3) !== MASK_SIZE) return -EINVAL;
  const thread = threadOf(call);
  const before = thread.mask;
  if (call.uint(1) !== 0) {
    const set = readMask(call, call.uint(1));
    if (set === null) return -EFAULT;
    const wanted = set & ~S.UNBLOCKABLE;
    switch (call.int(0)) {
      case S.SIG_BLOCK:
        thread.mask = before | wanted;
        break;
      case S.SIG_UNBLOCK:
        thread.mask = before & ~wanted;
        break;
      case S.SIG_SETMASK:
        thread.mask = wanted;
        break;
      default:
        return -EINVAL;
    }
  }
  return putMask(call, call.uint(2), before) ? 0 : -EFAULT;
}

function sysRtSigpending(call: Syscall): SyscallResult {
  if (call.uint(1) > MASK_SIZE) return -EINVAL;
  const { pending, process, mask } = threadOf(call);
  return putMask(call, call.uint(0), (pending.set | process.pending.set) & mask) ? 0 : -EFAULT;
}

function sysRtSigsuspend(call: Syscall): SyscallResult {
  if (call.uint(0) === 0) return -EFAULT;
  const failed = beginMask(call, call.uint(0), call.uint(1));
  if (failed < 0) return failed;
  call.memo = true;
  const result = call.block({});
  return result === -ERESTARTSYS ? -EINTR : result;
}

/** pause(2): until a signal with a handler. */
function sysPause(call: Syscall): SyscallResult {
  const result = call.block({});
  return result === -ERESTARTSYS ? -EINTR : result;
}

function sysRtSigtimedwait(call: Syscall): SyscallResult {
  if (call.uint(3) !== MASK_SIZE) return -EINVAL;
  const set = readMask(call, call.uint(0));
  if (set === null) return -EFAULT;
  const timeoutUs = timespecUs(call, call.uint(2));
  if (timeoutUs !== null && timeoutUs < 0) return timeoutUs;
  const kernel = kernelOf(call);
  const info = kernel.takeSignal(set & ~S.UNBLOCKABLE);
  if (info !== null) {
    if (call.uint(1) !== 0 && !call.space.write(call.uint(1), siginfo(info))) return -EFAULT;
    return info.signo;
  }
  const memo = (call.memo ?? {
    deadlineUs: timeoutUs === null ? null : kernel.monotonicUs() + timeoutUs,
  }) as { deadlineUs: number | null };
  call.memo = memo;
  if (call.timedOut || timeoutUs === 0) return -EAGAIN;
  const result = call.block({ queues: [selfOf(call).signalQueue], deadlineUs: memo.deadlineUs });
  return result === -ERESTARTSYS ? -EINTR : result;
}

// ---- sending

function infoFrom(process: Process, signo: number, code: number): SignalInfo {
  return { signo, code, pid: process.pid, uid: process.ids.uid[0] };
}

function sysKill(call: Syscall): SyscallResult {
  const [pid, signo] = [call.int(0), call.int(1)];
  if (signo !== 0 && !isSignal(signo)) return -EINVAL;
  const self = selfOf(call);
  const kernel = kernelOf(call);
  let targets: Process[];
  if (pid > 0) {
    // kill(2) takes a thread's id for its process.
    const process = kernel.processes.get(pid) ?? kernel.threads.get(pid)?.process;
    targets = process === undefined ? [] : [process];
  } else if (pid === -1) {
    targets = [...kernel.processes.values()].filter((process) => process !== self && process.pid !== kernel.initPid);
  } else {
    const group = pid === 0 ? self.pgid : -pid;
    targets = [...kernel.processes.values()].filter(({ pgid }) => pgid === group);
  }
  if (targets.length === 0) return -ESRCH;
  if (signo !== 0) for (const process of targets) sendToProcess(kernel, process, infoFrom(self, signo, S.SI_USER));
  return 0;
}

function sendTo(call: Syscall, pid: number | null, tid: number, signo: number): SyscallResult {
  if ((signo !== 0 && !isSignal(signo)) || tid <= 0 || (pid !== null && pid <= 0)) return -EINVAL;
  const thread = kernelOf(call).threads.get(tid);
  if (thread === undefined || (pid !== null && thread.process.pid !== pid)) return -ESRCH;
  if (signo === 0) return 0;
  return sendToThread(kernelOf(call), thread, infoFrom(selfOf(call), signo, S.SI_TKILL)) ? 0 : -EAGAIN;
}

function sysTkill(call: Syscall): SyscallResult {
  return sendTo(call, null, call.int(0), call.int(1));
}

function sysTgkill(call: Syscall): SyscallResult {
  return sendTo(call, call.int(0), call.int(1), call.int(2));
}

/** siginfo_t as sigqueue(3) fills it in. */
function queuedInfo(call: Syscall, address: number, pid: number, signo: number): SignalInfo | number {
  const view = readView(call, address, 128);
  if (view === null) return -EFAULT;
  const code = view.getInt32(8, true);
  // Only the kernel may tell others that the kernel, kill(2) or tgkill(2) sent it.
  if ((code >= 0 || code === S.SI_TKILL) && pid !== selfOf(call).pid) return -EPERM;
  return {
    signo,
    code,
    pid: view.getInt32(16, true),
    uid: view.getUint32(20, true),
    value: view.getBigUint64(24, true),
  };
}

function sysRtSigqueueinfo(call: Syscall): SyscallResult {
  const [pid, signo] = [call.int(0), call.int(1)];
  if (!isSignal(signo)) return -EINVAL;
  const info = queuedInfo(call, call.uint(2), pid, signo);
  if (typeof info === 'number') return info;
  const process = kernelOf(call).processes.get(pid);
  if (process === undefined) return -ESRCH;
  return sendToProcess(kernelOf(call), process, info) ? 0 : -EAGAIN;
}

function sysRtTgsigqueueinfo(call: Syscall): SyscallResult {
  const [pid, tid, signo] = [call.int(0), call.int(1), call.int(2)];
  if (!isSignal(signo)) return -EINVAL;
  const info = queuedInfo(call, call.uint(3), pid, signo);
  if (typeof info === 'number') return info;
  const thread = kernelOf(call).threads.get(tid);
  if (thread === undefined || thread.process.pid !== pid) return -ESRCH;
  return sendToThread(kernelOf(call), thread, info) ? 0 : -EAGAIN;
}

// ---- the handler's stack, and the way back

const STACK_SIZE = 24;

function sysSigaltstack(call: Syscall): SyscallResult {
  const thread = threadOf(call);
  const before = thread.alt;
  const onStack = isOnAltStack(thread, thread.context.getNumber(RSP));
  if (call.uint(0) !== 0) {
    const view = readView(call, call.uint(0), STACK_SIZE);
    if (view === null) return -EFAULT;
    if (onStack) return -EPERM;
    const flags = view.getUint32(8, true);
    const mode = (flags & ~S.SS_AUTODISARM) >>> 0;
    if (mode !== 0 && mode !== S.SS_DISABLE && mode !== S.SS_ONSTACK) return -EINVAL;
    if (mode === S.SS_DISABLE) {
      thread.alt = NO_ALT_STACK;
    } else {
      const size = Number(view.getBigUint64(16, true));
      if (size < S.MINSIGSTKSZ) return -ENOMEM;
      thread.alt = { sp: Number(view.getBigUint64(0, true)), size, flags: (flags & S.SS_AUTODISARM) >>> 0 };
    }
  }
  if (call.uint(1) === 0) return 0;
  const written = writeStruct(call.space, call.uint(1), STACK_SIZE, (view) => {
    view.setBigUint64(0, BigInt(before.sp), true);
    view.setUint32(8, (before.flags | (onStack ? S.SS_ONSTACK : 0)) >>> 0, true);
    view.setBigUint64(16, BigInt(before.size), true);
  });
  return written ? 0 : -EFAULT;
}

function sysRtSigreturn(call: Syscall): SyscallResult {
  const thread = threadOf(call);
  const mask = popFrame(thread, call.space);
  if (mask === null) {
    force(kernelOf(call), thread, { signo: S.SIGSEGV, code: S.SI_KERNEL, pid: 0, uid: 0, address: 0n });
    return NO_RESULT;
  }
  thread.mask = mask & ~S.UNBLOCKABLE;
  return NO_RESULT;
}

export const SIGNAL_CALLS: readonly SyscallEntry[] = [
  full(N.SYS_rt_sigaction, sysRtSigaction),
  full(N.SYS_rt_sigprocmask, sysRtSigprocmask),
  full(N.SYS_rt_sigpending, sysRtSigpending),
  full(N.SYS_rt_sigsuspend, sysRtSigsuspend),
  full(N.SYS_pause, sysPause),
  full(N.SYS_rt_sigtimedwait, sysRtSigtimedwait),
  full(N.SYS_rt_sigqueueinfo, sysRtSigqueueinfo),
  full(N.SYS_rt_tgsigqueueinfo, sysRtTgsigqueueinfo),
  full(N.SYS_rt_sigreturn, sysRtSigreturn),
  full(N.SYS_sigaltstack, sysSigaltstack),
  full(N.SYS_kill, sysKill),
  full(N.SYS_tkill, sysTkill),
  full(N.SYS_tgkill, sysTgkill),
];
