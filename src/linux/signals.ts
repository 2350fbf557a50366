/**
 * Signals: generation (`send…`), and delivery to a thread about to run its own code (`deliver`).
 * Source: kernel/signal.c, signal(7).
 */

import type { CpuExit } from '../lvm/cpu.ts';
import { PAGE_SIZE, USER_END } from '../lvm/layout.ts';
import { rflags } from '../x86/flags.ts';
import { RAX, VECTOR_PF } from '../x86/state.ts';
import { EINTR } from './abi/errno.ts';
import * as S from './abi/signal.ts';
import { exitGroup } from './exit.ts';
import { signalOf } from './fault-signal.ts';
import type { Kernel } from './kernel.ts';
import { CONTINUED, DEFAULT_ACTION, killed, type Process } from './process.ts';
import { isOrphaned } from './process-groups.ts';
import { type FaultDetails, NO_FAULT, pushFrame } from './signal-frame.ts';
import type { SignalInfo } from './signalfd.ts';
import type { Thread } from './thread.ts';

/** Of a page fault's error code (SDM vol. 3, 4.7). */
const ERROR_PRESENT = 1;
/** An instruction has at most so many (SDM vol. 2, 2.3.11). */
const CODE_BYTES = 15;
/** Where the addresses of a process end on Linux. */
const TASK_SIZE_MAX = 0x7fff_ffff_f000n;

const STOPS = [S.SIGSTOP, S.SIGTSTP, S.SIGTTIN, S.SIGTTOU].reduce((set, signo) => set | S.signalBit(signo), 0n);
const CONTINUE = S.signalBit(S.SIGCONT);

/** Sends to the process: any thread that does not block it takes it. 0 or -EAGAIN's place: false when the queue is full. */
export function sendToProcess(kernel: Kernel, process: Process, info: SignalInfo): boolean {
  if (process.zombie) return true;
  const first = [...process.members.values()][0]!;
  if (!prepare(kernel, process, first, info.signo)) return true;
  if (!process.pending.add(info)) return false;
  process.touch();
  announce(process);
  const bit = S.signalBit(info.signo);
  const taker = [...process.members.values()].find(({ mask }) => (mask & bit) === 0n);
  if (taker !== undefined) interrupt(kernel, taker);
  return true;
}

/** Sends to one thread (tgkill(2)). */
export function sendToThread(kernel: Kernel, thread: Thread, info: SignalInfo): boolean {
  const { process } = thread;
  if (process.zombie || thread.dead) return true;
  if (!prepare(kernel, process, thread, info.signo)) return true;
  if (!thread.pending.add(info)) return false;
  kernel.ledger.touch(thread);
  announce(process);
  if ((thread.mask & S.signalBit(info.signo)) === 0n) interrupt(kernel, thread);
  return true;
}

/** A signal that the thread's own instruction raised: it cannot be blocked or ignored (force_sig_fault). */
export function force(kernel: Kernel, thread: Thread, info: SignalInfo, fault: FaultDetails = NO_FAULT): void {
  const { process } = thread;
  const bit = S.signalBit(info.signo);
  const action = process.actions[info.signo]!;
  if ((thread.mask & bit) !== 0n || action.handler === S.SIG_IGN) {
    process.actions[info.signo] = DEFAULT_ACTION;
    thread.mask &= ~bit;
    process.touch();
  }
  kernel.ledger.touch(thread);
  take(kernel, thread, info, fault);
}

/** What happens at once, whether anybody takes the signal or not; false: it is dropped. */
function prepare(kernel: Kernel, process: Process, thread: Thread, signo: number): boolean {
  const bit = S.signalBit(signo);
  if ((STOPS & bit) !== 0n) {
    discard(kernel, process, CONTINUE);
  } else if (signo === S.SIGCONT) {
    discard(kernel, process, STOPS);
    if (process.stopped) resume(kernel, process);
  } else if (signo === S.SIGKILL && process.stopped) {
    process.stopped = false;
    process.touch();
  }
  if ((thread.mask & bit) !== 0n || (thread.savedMask !== null && (thread.savedMask & bit) !== 0n)) return true;
  const { handler } = process.actions[signo]!;
  if (handler === S.SIG_IGN) return false;
  const action = S.defaultAction(signo);
  return handler !== S.SIG_DFL || (action !== 'ignore' && action !== 'continue');
}

export function discard(kernel: Kernel, process: Process, mask: bigint): void {
  if (process.pending.discard(mask)) process.touch();
  for (const thread of process.members.values()) if (thread.pending.discard(mask)) kernel.ledger.touch(thread);
}

function announce(process: Process): void {
  process.signalQueue.wake();
  process.kernel.signalFilesReady();
}

function interrupt(kernel: Kernel, thread: Thread): void {
  kernel.scheduler.wake(thread);
}

function stop(kernel: Kernel, process: Process, signo: number): void {
  process.stopped = true;
  process.report = (signo << 8) | 0x7f;
  process.touch();
  tellParent(kernel, process, S.CLD_STOPPED, signo);
}

function resume(kernel: Kernel, process: Process): void {
  process.stopped = false;
  process.report = CONTINUED;
  process.touch();
  tellParent(kernel, process, S.CLD_CONTINUED, S.SIGCONT);
}

function tellParent(kernel: Kernel, { parent, pid, ids }: Process, code: number, status: number): void {
  if (parent === null) return;
  parent.childQueue.wake();
  if ((parent.actions[S.SIGCHLD]!.flags & S.SA_NOCLDSTOP) !== 0) return;
  sendToProcess(kernel, parent, { signo: S.SIGCHLD, code, pid, uid: ids.uid[0], status });
}

/** Bits of the signals that the thread would take now. */
export function deliverable(thread: Thread): bigint {
  const { pending, process } = thread;
  if (pending.set === 0n && process.pending.set === 0n) return 0n;
  return (pending.set | process.pending.set) & ~(thread.mask & ~S.UNBLOCKABLE);
}

/** True when a handler is to run: a call that would block ends instead. Signals without one are dealt with at once. */
export function isInterrupted(kernel: Kernel, thread: Thread): boolean {
  for (;;) {
    const set = deliverable(thread);
    if (set === 0n) return false;
    const info = peek(thread, set);
    if (hasHandler(thread.process, info.signo)) return true;
    takeFrom(thread, S.signalBit(info.signo));
    take(kernel, thread, info, NO_FAULT);
    if (thread.dead || thread.process.stopped) return false;
  }
}

/** For calls that only death interrupts: true when a signal is pending that ends the process; it has then. */
export function isKilled(kernel: Kernel, thread: Thread): boolean {
  const set = deliverable(thread);
  for (let signo = 1; set !== 0n && signo <= S.SIGNAL_MAX; signo++) {
    if ((set & S.signalBit(signo)) === 0n || thread.process.actions[signo]!.handler !== S.SIG_DFL) continue;
    const action = S.defaultAction(signo);
    if (action !== 'terminate' && action !== 'core') continue;
    exitGroup(kernel, thread.process, killed(signo));
    return true;
  }
  return false;
}

function hasHandler(process: Process, signo: number): boolean {
  const { handler } = process.actions[signo]!;
  return handler !== S.SIG_DFL && handler !== S.SIG_IGN;
}

function peek(thread: Thread, set: bigint): SignalInfo {
  return (thread.pending.peek(set) ?? thread.process.pending.peek(set))!;
}

function takeFrom(thread: Thread, set: bigint): SignalInfo {
  const own = thread.pending.take(set);
  if (own !== null) {
    thread.process.kernel.ledger.touch(thread);
    return own;
  }
  thread.process.touch();
  return thread.process.pending.take(set)!;
}

/**
 * Delivers what is pending to a thread that is about to run its own code: handlers get frames, the rest happens. With
 * `restart`, the thread comes from a system call with that number that a handler ended (-ERESTARTSYS).
 */
export function deliver(kernel: Kernel, thread: Thread, restart = -1): void {
  let call = restart;
  while (!thread.dead && !thread.process.stopped) {
    const set = deliverable(thread);
    if (set === 0n) break;
    const info = takeFrom(thread, set);
    const action = thread.process.actions[info.signo]!;
    if (call >= 0 && action.handler !== S.SIG_DFL && action.handler !== S.SIG_IGN) {
      endCall(thread, call, (action.flags & S.SA_RESTART) !== 0);
      call = -1;
    }
    take(kernel, thread, info, NO_FAULT);
  }
  if (call >= 0 && !thread.dead) endCall(thread, call, true);
  if (!thread.dead) thread.restoreMask();
}

/** The interrupted call is made again after the handler, or fails. SYSCALL is two bytes long. */
function endCall({ context }: Thread, call: number, again: boolean): void {
  if (again) context.rip -= 2;
  context.setNumber(RAX, again ? call : -EINTR);
}

/** Carries one signal out. */
function take(kernel: Kernel, thread: Thread, info: SignalInfo, fault: FaultDetails): void {
  const { process } = thread;
  const { signo } = info;
  const action = process.actions[signo]!;
  kernel.observeSignal?.(thread, info);
  if (action.handler === S.SIG_IGN) return;
  if (action.handler === S.SIG_DFL) {
    switch (S.defaultAction(signo)) {
      case 'ignore':
      case 'continue':
        return;
      case 'stop':
        // From a terminal only where somebody can continue it.
        if (signo === S.SIGSTOP || !isOrphaned(kernel, process.pgid)) stop(kernel, process, signo);
        return;
      case 'core':
        // Nothing is dumped, as where RLIMIT_CORE is 0: the status does not say so either.
        kernel.crashed(thread, info);
        exitGroup(kernel, process, killed(signo));
        return;
      default:
        exitGroup(kernel, process, killed(signo));
        return;
    }
  }
  const mask = thread.savedMask ?? thread.mask;
  if (!pushFrame(thread, process.space, action, info, mask, fault)) {
    // No room for the frame: SIGSEGV, and death if it was that already.
    if (signo === S.SIGSEGV) process.actions[S.SIGSEGV] = DEFAULT_ACTION;
    force(kernel, thread, { signo: S.SIGSEGV, code: S.SI_KERNEL, pid: 0, uid: 0, address: 0n });
    return;
  }
  thread.savedMask = null;
  thread.mask |= action.mask & ~S.UNBLOCKABLE;
  if ((action.flags & S.SA_NODEFER) === 0) thread.mask |= S.signalBit(signo);
  if ((action.flags & S.SA_RESETHAND) !== 0) {
    process.actions[signo] = { ...action, handler: S.SIG_DFL };
    process.touch();
  }
}

/** An exception of the CPU becomes a signal. */
export function raiseFault(kernel: Kernel, thread: Thread, exit: Extract<CpuExit, { kind: 'fault' }>): void {
  // Which of the kernel's pages are there is not told: all of them (sanitize_error_code in arch/x86/mm/fault.c).
  const hidden = exit.vector === VECTOR_PF && exit.address >= TASK_SIZE_MAX ? ERROR_PRESENT : 0;
  const fault: FaultDetails = { error: exit.error | hidden, vector: exit.vector, address: exit.address };
  const { mm } = thread.process;
  const [signo, code, address] = signalOf(thread.context, exit, (at) => mm.find(at)?.prot ?? null);
  force(kernel, thread, { signo, code, pid: 0, uid: 0, address }, fault);
}

/** For crash reports. */
export function describeState({ context, process }: Thread): string {
  const { rip } = context;
  const code = rip < USER_END ? process.space.read(rip, Math.min(CODE_BYTES, PAGE_SIZE - (rip % PAGE_SIZE))) : null;
  const bytes = code === null ? 'none' : [...code].map((byte) => byte.toString(16).padStart(2, '0')).join(' ');
  return `rip 0x${rip.toString(16)}, code there ${bytes}, eflags 0x${rflags(context).toString(16)}`;
}
