/** Every system call that there is: one table for dispatch, for `tardigrade status` and for docs/limits.md. */

import * as numbers from '../abi/syscall-numbers.ts';
import type { SyscallHandler } from '../syscall.ts';
import type { SyscallEntry } from './entry.ts';
import { FILE_CALLS } from './file-calls.ts';
import { FUTEX_CALLS } from './futex.ts';
import { GROUP_CALLS } from './groups.ts';
import { IDENTITY_CALLS } from './identity.ts';
import { MEMORY_CALLS } from './memory.ts';
import { PRCTL_CALLS } from './prctl.ts';
import { PROCESS_CALLS } from './processes.ts';
import { SCHEDULING_CALLS } from './scheduling.ts';
import { SIGNAL_CALLS } from './signal-calls.ts';
import { SOCKET_CALLS } from './socket-calls.ts';
import { SYSTEM_CALLS } from './system.ts';
import { TIME_CALLS } from './time.ts';
import { WAIT_CALLS } from './wait.ts';

export const SYSCALLS: readonly SyscallEntry[] = [
  ...FILE_CALLS,
  ...SOCKET_CALLS,
  ...MEMORY_CALLS,
  ...PROCESS_CALLS,
  ...WAIT_CALLS,
  ...GROUP_CALLS,
  ...FUTEX_CALLS,
  ...SIGNAL_CALLS,
  ...TIME_CALLS,
  ...SYSTEM_CALLS,
  ...IDENTITY_CALLS,
  ...SCHEDULING_CALLS,
  ...PRCTL_CALLS,
];

let handlers: (SyscallHandler | undefined)[] | null = null;

/** Undefined: not implemented, -ENOSYS. */
export function handlerOf(number: number): SyscallHandler | undefined {
  if (handlers === null) {
    handlers = [];
    for (const entry of SYSCALLS) handlers[entry.number] = entry.handler;
  }
  return handlers[number];
}

const looking = new Set(SYSCALLS.filter(({ looks }) => looks === true).map(({ number }) => number));

/** As SyscallEntry.looks. */
export function onlyLooks(number: number): boolean {
  return looking.has(number);
}

const NAMES = new Map(Object.entries(numbers).map(([name, number]) => [number as number, name.slice('SYS_'.length)]));

export function nameOf(number: number): string {
  return NAMES.get(number) ?? `#${number}`;
}
