/** Process groups and sessions: setpgid(2), setsid(2) and what asks for them. */

import { EACCES, EINVAL, EPERM, ESRCH } from '../abi/errno.ts';
import * as N from '../abi/syscall-numbers.ts';
import type { Process } from '../process.ts';
import { groupOf } from '../process-groups.ts';
import type { Syscall, SyscallResult } from '../syscall.ts';
import { kernelOf, selfOf } from './core.ts';
import { full, type SyscallEntry } from './entry.ts';

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
  if (process !== self && process.executed) return -EACCES;
  const pgid = wanted === 0 ? process.pid : wanted;
  if (pgid !== process.pid && !groupOf(kernelOf(call), pgid).some(({ sid }) => sid === self.sid)) return -EPERM;
  process.pgid = pgid;
  process.touch();
  return 0;
}

function sysSetsid(call: Syscall): SyscallResult {
  const self = selfOf(call);
  // A group leader may not: its group would be in two sessions.
  if (groupOf(kernelOf(call), self.pid).length > 0) return -EPERM;
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

export const GROUP_CALLS: readonly SyscallEntry[] = [
  full(N.SYS_setpgid, sysSetpgid),
  full(N.SYS_getpgid, sysGetpgid),
  full(N.SYS_getpgrp, (call) => selfOf(call).pgid),
  full(N.SYS_setsid, sysSetsid),
  full(N.SYS_getsid, sysGetsid),
];
