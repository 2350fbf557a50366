/** How threads and processes end, and how their parents learn of it. Source: kernel/exit.c, kernel/futex/core.c. */

import * as S from './abi/signal.ts';
import { releaseRobustList } from './futex.ts';
import type { Kernel } from './kernel.ts';
import { exited, type Process } from './process.ts';
import { hangUpOrphans } from './process-groups.ts';
import { sendToProcess } from './signals.ts';
import type { Thread } from './thread.ts';

/** exit(2): one thread ends; the last one's end is the process's. */
export function exitThread(kernel: Kernel, thread: Thread, code: number): void {
  const { process } = thread;
  if (process.members.size === 1) {
    exitGroup(kernel, process, exited(code));
    return;
  }
  endThread(kernel, thread);
}

/** What a thread's end means to the others; its process may be left without a thread. */
export function endThread(kernel: Kernel, thread: Thread): void {
  const { process, tid } = thread;
  releaseRobustList(kernel, thread);
  if (thread.clearTid !== 0) {
    // Nobody else uses the memory when it is the last one (mm_release in kernel/fork.c); writing is harmless then.
    const key = process.mm.futexKey(thread.clearTid);
    if (process.space.write(thread.clearTid, new Uint8Array(4))) kernel.futexes.wake(key, 1);
  }
  if (process.space.hasWritten) process.mm.publish();
  kernel.futexes.forget(thread);
  kernel.scheduler.remove(thread);
  process.members.delete(tid);
  process.pastInstructions += thread.instructions;
  process.touch();
  kernel.removeThread(thread);
}

/** exit_group(2), and death by a signal. `status` is wait4(2)'s. */
export function exitGroup(kernel: Kernel, process: Process, status: number): void {
  if (process.zombie) return;
  for (const thread of [...process.members.values()]) endThread(kernel, thread);
  process.zombie = true;
  process.status = status;
  process.stopped = false;
  process.timers.clear();
  process.files.closeAll();
  process.fs.release();
  if (process.exeNode !== null) kernel.vfs.letGo(process.exeNode);
  process.exeNode = null;
  leaveMemory(kernel, process);
  process.touch();
  if (process.pid === kernel.initPid) {
    kernel.ended(status);
    return;
  }
  const reaper = reaperOf(kernel, process);
  for (const child of [...process.children]) adopt(kernel, child, process, reaper);
  const { parent } = process;
  hangUpOrphans(kernel, process, parent, true);
  if (parent === null || parent.zombie) reap(kernel, process);
  else notifyParent(kernel, process, parent);
}

/** Who inherits the children: the next ancestor that wants to (PR_SET_CHILD_SUBREAPER), or the first process. */
function reaperOf(kernel: Kernel, process: Process): Process {
  for (let { parent } = process; parent !== null; { parent } = parent) {
    if (parent.subreaper && !parent.zombie) return parent;
  }
  return kernel.init;
}

/** The process does not use its memory map any more: it ends, or execve(2) gives it a new one. */
export function leaveMemory(kernel: Kernel, process: Process): void {
  kernel.leaveMap(process.mm);
  if (!process.vfork) return;
  process.vfork = false;
  process.vforkQueue.wake();
}

function adopt(kernel: Kernel, child: Process, dead: Process, reaper: Process): void {
  dead.children.delete(child);
  child.parent = reaper;
  reaper.children.add(child);
  child.exitSignal = S.SIGCHLD;
  child.touch();
  if (child.zombie) {
    notifyParent(kernel, child, reaper);
    return;
  }
  const { deathSignal: signo } = child;
  if (signo !== 0) sendToProcess(kernel, child, { signo, code: S.SI_USER, pid: dead.pid, uid: dead.ids.uid[0] });
  hangUpOrphans(kernel, child, dead, false);
}

/** do_notify_parent in kernel/signal.c. */
function notifyParent(kernel: Kernel, process: Process, parent: Process): void {
  const { status, pid, ids, exitSignal } = process;
  const killer = status & 0x7f;
  const action = parent.actions[S.SIGCHLD]!;
  const ignored = exitSignal === S.SIGCHLD && action.handler === S.SIG_IGN;
  if (exitSignal >= 1 && exitSignal <= S.SIGNAL_MAX && !ignored) {
    const end = killer === 0 ? { code: S.CLD_EXITED, status: status >> 8 } : { code: S.CLD_KILLED, status: killer };
    sendToProcess(kernel, parent, { signo: exitSignal, pid, uid: ids.uid[0], ...end });
  }
  if (ignored || (exitSignal === S.SIGCHLD && (action.flags & S.SA_NOCLDWAIT) !== 0)) reap(kernel, process);
  parent.childQueue.wake();
}

/** A zombie is waited for: nothing remains of it. */
export function reap(kernel: Kernel, process: Process): void {
  const { parent } = process;
  if (parent !== null) {
    parent.children.delete(process);
    parent.childInstructions += process.pastInstructions + process.childInstructions;
    parent.touch();
  }
  kernel.removeProcess(process);
}
