/** What /proc and /sys show: the kernel as they see it. Nothing of the host's. */

import type { OpenFile } from '../open-file.ts';
import type { Node } from './node.ts';
import type { FsContext } from './vfs.ts';

export interface ProcMapping {
  readonly start: number;
  readonly end: number;
  /** PROT_* */
  readonly prot: number;
  readonly shared: boolean;
  readonly offset: number;
  /** Device and inode; 0 for anonymous memory. */
  readonly dev: number;
  readonly ino: number;
  /** A path, '[heap]', '[stack]' or ''. */
  readonly name: string;
  /** Bytes that are present. */
  readonly residentBytes: number;
}

export interface ProcThread {
  readonly tid: number;
  readonly comm: string;
  /** R running, S sleeping, T stopped, Z zombie. */
  readonly state: string;
}

export interface ProcProcess {
  readonly pid: number;
  readonly ppid: number;
  readonly pgid: number;
  readonly sid: number;
  readonly uid: number;
  readonly gid: number;
  readonly comm: string;
  readonly state: string;
  /** The program's path, and its node for /proc/N/exe. */
  readonly exePath: string;
  readonly exeNode: Node | null;
  /** Arguments, environment: NUL-terminated strings; the auxiliary vector as it was on the stack. */
  cmdline(): Uint8Array;
  environ(): Uint8Array;
  auxv(): Uint8Array;
  mappings(): readonly ProcMapping[];
  threads(): readonly ProcThread[];
  readonly fs: FsContext;
  fds(): readonly number[];
  file(fd: number): OpenFile | undefined;
  /** Monotonic µs at its start; CPU time used, µs. */
  readonly startUs: number;
  readonly cpuUs: number;
  /** [soft, hard] by RLIMIT_* number; null: unlimited. */
  limit(resource: number): readonly [number | null, number | null];
  oomScoreAdj: number;
}

export interface ProcView {
  /** The process and thread whose system call is being executed. */
  currentPid(): number;
  currentTid(): number;
  /** Ascending. */
  pids(): readonly number[];
  process(pid: number): ProcProcess | undefined;
  readonly hostname: string;
  readonly osRelease: string;
  readonly version: string;
  monotonicUs(): number;
  realtimeUs(): number;
  totalMemoryBytes(): number;
  freeMemoryBytes(): number;
  entropy(length: number): Uint8Array;
}
