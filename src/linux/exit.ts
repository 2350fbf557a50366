/** How threads and processes end, and how their parents learn of it. Source: kernel/exit.c, kernel/futex/core.c. */

import * as S from './abi/signal.ts';
import { releaseRobustList } from './futex.ts';
import type { Kernel } from './kernel.ts';
import { exited, type Process } from './process.ts';
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
    if (process.space.write(thread.clearTid, new Uint8Array(4))) kernel.futexes.wake(process.space, thread.clearTid, 1);
  }
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
  const init = kernel.init;
  for (const child of [...process.children]) adopt(kernel, child, init);
  const { parent } = process;
  if (parent === null || parent.zombie) {
    reap(kernel, process);
    return;
  }
  notifyParent(kernel, process, parent);
}

/** The process does not use its memory map any more: it ends, or execve(2) gives it a new one. */
export function leaveMemory(kernel: Kernel, process: Process): void {
  kernel.leaveMap(process.mm);
  if (!process.vfork) return;
  process.vfork = false;
  process.vforkQueue.wake();
}

function adopt(kernel: Kernel, child: Process, init: Process): void {
  child.parent?.children.delete(child);
  child.parent = init;
  init.children.add(child);
  child.touch();
  if (child.deathSignal !== 0 && !child.zombie)
    sendToProcess(kernel, child, { signo: child.deathSignal, code: S.SI_USER, pid: 0, uid: 0 });
  if (child.zombie) notifyParent(kernel, child, init);
}

function notifyParent(kernel: Kernel, process: Process, parent: Process): void {
  const { status, pid, ids, exitSignal } = process;
  const signo = status & 0x7f;
  const code = signo === 0 ? S.CLD_EXITED : (status & 0x80) !== 0 ? S.CLD_DUMPED : S.CLD_KILLED;
  const action = parent.actions[S.SIGCHLD]!;
  const unwanted = exitSignal === S.SIGCHLD && (action.handler === S.SIG_IGN || (action.flags & S.SA_NOCLDWAIT) !== 0);
  if (exitSignal !== 0) {
    const told = signo === 0 ? status >> 8 : signo;
    sendToProcess(kernel, parent, { signo: exitSignal, code, pid, uid: ids.uid[0], status: told });
  }
  if (unwanted) reap(kernel, process);
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
