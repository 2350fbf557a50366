/** A row of the table of system calls: number, handler, and how far the call is supported. */

import type { SyscallHandler } from '../syscall.ts';

export interface SyscallEntry {
  readonly number: number;
  readonly handler: SyscallHandler;
  /** 'partial': something that Linux does is missing; `note` says what. */
  readonly support: 'full' | 'partial';
  readonly note?: string;
  /**
   * The call only looks: it does not wait, and changes nothing but memory of the caller's and the kernel's idea of the time. So
   * it can be executed while the thread runs (kernel.ts).
   */
  readonly looks?: boolean;
}

export function full(number: number, handler: SyscallHandler): SyscallEntry {
  return { number, handler, support: 'full' };
}

export function partial(number: number, handler: SyscallHandler, note: string): SyscallEntry {
  return { number, handler, support: 'partial', note };
}

export function looking(entry: SyscallEntry): SyscallEntry {
  return { ...entry, looks: true };
}
