/**
 * Process groups that nobody can continue any more. A group is orphaned when none of its processes has a parent in the same
 * session but in another group: no shell looks after it (POSIX 3.260; kernel/exit.c, will_become_orphaned_pgrp).
 */

import { SI_KERNEL, SIGCONT, SIGHUP } from './abi/signal.ts';
import type { Kernel } from './kernel.ts';
import type { Process } from './process.ts';
import { sendToProcess } from './signals.ts';

export function groupOf(kernel: Kernel, pgid: number): Process[] {
  return [...kernel.processes.values()].filter((process) => process.pgid === pgid);
}

/** Without `dying`, as if it had ended. */
export function isOrphaned(kernel: Kernel, pgid: number, dying: Process | null = null): boolean {
  return !groupOf(kernel, pgid).some(
    (process) => process !== dying && !process.zombie && isLookedAfter(process, process.parent),
  );
}

function isLookedAfter({ pgid, sid }: Process, parent: Process | null): boolean {
  return parent !== null && parent.pgid !== pgid && parent.sid === sid;
}

/**
 * `process` ends (`dying`), or has lost its parent, who was `parent`. If that leaves its group orphaned with stopped
 * processes in it, they are hung up and continued (POSIX, _exit).
 */
export function hangUpOrphans(kernel: Kernel, process: Process, parent: Process | null, dying: boolean): void {
  const { pgid } = process;
  if (!isLookedAfter(process, parent) || !isOrphaned(kernel, pgid, dying ? process : null)) return;
  const members = groupOf(kernel, pgid);
  if (!members.some(({ stopped }) => stopped)) return;
  for (const signo of [SIGHUP, SIGCONT]) {
    for (const member of members) sendToProcess(kernel, member, { signo, code: SI_KERNEL, pid: 0, uid: 0 });
  }
}
