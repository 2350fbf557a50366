/** clone(2), fork(2), vfork(2): new threads and new processes. Source: kernel/fork.c. */

import { Context, RAX, RSP } from '../x86/state.ts';
import * as C from './abi/clone.ts';
import { EAGAIN, EFAULT, EINVAL, ENOMEM, EPERM } from './abi/errno.ts';
import { SIG_IGN } from './abi/signal.ts';
import type { Kernel } from './kernel.ts';
import { copyLimits } from './limits.ts';
import type { MemoryMap } from './mm/memory-map.ts';
import { DEFAULT_ACTION, Process } from './process.ts';
import { NO_ALT_STACK, Thread } from './thread.ts';

export interface CloneRequest {
  /** CLONE_* without CSIGNAL; above 2^32 the flags of clone3. */
  readonly flags: number;
  readonly exitSignal: number;
  /** Stack pointer of the child; 0: as the parent's. */
  readonly stack: number;
  readonly parentTid: number;
  readonly childTid: number;
  readonly tls: bigint;
}

/** Threads and processes together. */
const LIMIT = 4096;
const SUPPORTED =
  C.CLONE_VM |
  C.CLONE_FS |
  C.CLONE_FILES |
  C.CLONE_SIGHAND |
  C.CLONE_VFORK |
  C.CLONE_PARENT |
  C.CLONE_THREAD |
  C.CLONE_SETTLS |
  C.CLONE_PARENT_SETTID |
  C.CLONE_CHILD_CLEARTID |
  C.CLONE_CHILD_SETTID;
/** Ignored by Linux as well: CLONE_SYSVSEM, CLONE_DETACHED, CLONE_PTRACE, CLONE_UNTRACED, CLONE_IO. */
const IGNORED = 0x40000 | 0x400000 | 0x2000 | 0x800000 | 0x8000_0000;
const THREAD = C.CLONE_VM | C.CLONE_SIGHAND | C.CLONE_THREAD;

/** The child, or -errno. The child returns 0 from the call; what the parent returns is the caller's affair. */
export function clone(kernel: Kernel, parent: Thread, request: CloneRequest): Thread | number {
  const low = request.flags % 0x1_0000_0000;
  const has = (flag: number): boolean => (low & flag) !== 0;
  if (has(C.CLONE_NAMESPACES)) return -EPERM;
  // Sharing memory, files or directories is supported as threads do it, and memory as vfork does it.
  if ((low & ~(SUPPORTED | IGNORED)) >>> 0 !== 0) return -EINVAL;
  if (request.flags >= C.CLONE_CLEAR_SIGHAND && has(C.CLONE_SIGHAND)) return -EINVAL;
  // The first process has nobody above it whose child another could become.
  if (has(C.CLONE_PARENT) && parent.process.parent === null) return -EINVAL;
  if (has(C.CLONE_THREAD) !== has(C.CLONE_SIGHAND) || (has(C.CLONE_SIGHAND) && !has(C.CLONE_VM))) return -EINVAL;
  if (has(C.CLONE_THREAD)) {
    if ((low & THREAD) !== THREAD || !has(C.CLONE_FS) || !has(C.CLONE_FILES)) return -EINVAL;
  } else if (has(C.CLONE_FS) || has(C.CLONE_FILES) || (has(C.CLONE_VM) && !has(C.CLONE_VFORK))) {
    return -EINVAL;
  }
  if (kernel.taskCount >= LIMIT) return -EAGAIN;
  const tid = kernel.newPid();
  if (has(C.CLONE_PARENT_SETTID) && !writeTid(parent.process, request.parentTid, tid)) return -EFAULT;
  let process = parent.process;
  if (!has(C.CLONE_THREAD)) {
    const made = newProcess(kernel, parent, tid, request, has(C.CLONE_VM));
    if (typeof made === 'number') return made;
    process = made;
  }
  kernel.cpu.unload(parent.process.space);
  const thread = new Thread(process, tid, kernel.scheduler, new Context(parent.context.u8));
  thread.inherit(parent);
  // A process has its own copy of the alternate stack; a thread starts without (sigaltstack(2)).
  thread.alt = has(C.CLONE_VM) && !has(C.CLONE_VFORK) ? NO_ALT_STACK : parent.alt;
  thread.context.setNumber(RAX, 0);
  if (request.stack !== 0) thread.context.setNumber(RSP, request.stack);
  if (has(C.CLONE_SETTLS)) thread.context.fsBase = request.tls;
  if (has(C.CLONE_CHILD_CLEARTID)) thread.clearTid = request.childTid;
  if (has(C.CLONE_CHILD_SETTID)) writeTid(process, request.childTid, tid);
  kernel.addThread(thread);
  return thread;
}

function newProcess(
  kernel: Kernel,
  { process: parent }: Thread,
  pid: number,
  { flags, exitSignal }: CloneRequest,
  sharesMemory: boolean,
): Process | number {
  let mm: MemoryMap | null = parent.mm;
  if (!sharesMemory) {
    kernel.cpu.unload(parent.space);
    mm = parent.mm.clone(parent.space.fork(kernel.newSpaceId()));
    if (mm === null) return -ENOMEM;
  }
  const sibling = (flags & C.CLONE_PARENT) !== 0;
  const process = new Process(kernel, {
    pid,
    parent: sibling ? parent.parent : parent,
    mm: kernel.enterMap(mm),
    fs: parent.fs.clone(),
    files: parent.files.clone(pid),
  });
  process.pgid = parent.pgid;
  process.sid = parent.sid;
  process.vfork = sharesMemory;
  process.exitSignal = sibling ? parent.exitSignal : exitSignal;
  parent.actions.forEach((action, signo) => {
    const cleared = flags >= C.CLONE_CLEAR_SIGHAND && action.handler !== SIG_IGN;
    process.actions[signo] = cleared ? DEFAULT_ACTION : action;
  });
  process.limits = copyLimits(parent.limits);
  process.ids = structuredClone(parent.ids);
  process.dumpable = parent.dumpable;
  process.keepCaps = parent.keepCaps;
  process.noNewPrivs = parent.noNewPrivs;
  process.oomScoreAdj = parent.oomScoreAdj;
  process.setProgram(parent.name, parent.exePath, parent.exeNode, parent.ranges);
  kernel.addProcess(process);
  return process;
}

function writeTid(process: Process, address: number, tid: number): boolean {
  const word = new Uint8Array(4);
  new DataView(word.buffer).setInt32(0, tid, true);
  return process.space.write(address, word);
}
