/**
 * A process: what its threads share — memory map, descriptors, working directory, signal dispositions, timers — and its
 * place among parent, children, group and session.
 */

import type { Part, Plain } from '../checkpoint/ledger.ts';
import type { AddressSpace } from '../lvm/address-space.ts';
import { SIG_DFL, SIG_IGN, SIGNAL_MAX } from './abi/signal.ts';
import type { FileTable } from './file-table.ts';
import { ProcessFs } from './fs/fs-context.ts';
import type { Node } from './fs/node.ts';
import type { ProcMapping, ProcProcess, ProcThread } from './fs/proc-view.ts';
import type { Kernel } from './kernel.ts';
import { copyLimits, defaultLimits, type Limits, RLIMIT_NOFILE } from './limits.ts';
import type { MemoryMap } from './mm/memory-map.ts';
import type { OpenFile } from './open-file.ts';
import { type SavedSignals, SignalQueue } from './signal-queue.ts';
import type { FsProcess } from './syscalls/fs-kernel.ts';
import type { SocketProcess } from './syscalls/socket-kernel.ts';
import type { Thread } from './thread.ts';
import { ProcessTimers } from './timers.ts';
import { WaitQueue } from './wait-queue.ts';

/** One signal's disposition (struct sigaction as the kernel has it). */
export interface SignalAction {
  /** SIG_DFL, SIG_IGN or an address. */
  readonly handler: number;
  readonly flags: number;
  readonly restorer: number;
  readonly mask: bigint;
}

export const DEFAULT_ACTION: SignalAction = { handler: SIG_DFL, flags: 0, restorer: 0, mask: 0n };
export const IGNORED_ACTION: SignalAction = { ...DEFAULT_ACTION, handler: SIG_IGN };

/** Where the strings and the auxiliary vector stand in a program's stack: [address, length]. */
export interface ArgRanges {
  readonly argRange: readonly [number, number];
  readonly envRange: readonly [number, number];
  readonly auxRange: readonly [number, number];
}

/** The low 16 bits of wait4(2)'s status. */
export const exited = (code: number): number => (code & 0xff) << 8;
export const killed = (signo: number): number => signo;
export const CONTINUED = 0xffff;

export interface ProcessInit {
  readonly pid: number;
  readonly parent: Process | null;
  readonly mm: MemoryMap;
  readonly fs: ProcessFs;
  readonly files: FileTable;
}

interface SavedProcess {
  readonly ppid: number;
  readonly pgid: number;
  readonly sid: number;
  /** 0: a zombie has none any more. */
  readonly space: number;
  readonly name: string;
  readonly exePath: string;
  readonly exeIno: number;
  readonly ranges: readonly [number, number, number, number, number, number];
  /** Null: a zombie is nowhere any more. */
  readonly fs: Plain;
  /** Only those that are not the default: [signo, handler, flags, restorer, mask]. */
  readonly actions: readonly (readonly [number, number, number, number, string])[];
  readonly pending: SavedSignals;
  readonly limits: Limits;
  readonly timers: Plain;
  readonly vfork: boolean;
  readonly zombie: boolean;
  readonly status: number;
  readonly stopped: boolean;
  readonly report: number | null;
  readonly exitSignal: number;
  readonly ids: Ids;
  readonly usage: readonly [number, number, number];
  readonly flags: readonly [number, number, boolean, boolean];
  readonly switches: readonly [number, number, number];
}

/** [real, effective, saved, file-system] */
export interface Ids {
  uid: [number, number, number, number];
  gid: [number, number, number, number];
  groups: number[];
}

export class Process implements Part, FsProcess, SocketProcess, ProcProcess {
  readonly kernel: Kernel;
  readonly pid: number;
  parent: Process | null;
  readonly children = new Set<Process>();
  pgid: number;
  sid: number;
  /** In the order in which they were made; the first has tid = pid. Empty: a zombie. */
  readonly members = new Map<number, Thread>();
  mm: MemoryMap;
  fs: ProcessFs;
  files: FileTable;
  /** By signal number. */
  readonly actions: SignalAction[] = new Array<SignalAction>(SIGNAL_MAX + 1).fill(DEFAULT_ACTION);
  readonly pending = new SignalQueue();
  /** Woken when a signal becomes pending, also a blocked one: rt_sigtimedwait(2). */
  readonly signalQueue = new WaitQueue();
  limits: Limits = defaultLimits();
  readonly timers: ProcessTimers;
  name = '';
  exePath = '';
  exeNode: Node | null = null;
  ranges: ArgRanges = { argRange: [0, 0], envRange: [0, 0], auxRange: [0, 0] };
  ids: Ids = { uid: [0, 0, 0, 0], gid: [0, 0, 0, 0], groups: [] };

  /** A child of vfork(2) that still runs in its parent's memory: the parent's thread waits in `vforkQueue`. */
  vfork = false;
  readonly vforkQueue = new WaitQueue();
  /** It has ended and nobody has waited for it yet; `status` is wait4(2)'s. */
  zombie = false;
  status = 0;
  /** SIGSTOP: its threads do not run. */
  stopped = false;
  /** A stop or continuation (wait4's status) that the parent has not been told of; null: none. */
  report: number | null = null;
  /** What the parent gets when it ends: SIGCHLD, or what clone(2) said; 0: nothing. */
  exitSignal = 17;
  /** Woken when a child ends, stops or continues: wait4(2). */
  readonly childQueue = new WaitQueue();
  /** Guest instructions of its threads that have ended, of children waited for; its start, µs. */
  pastInstructions = 0;
  childInstructions = 0;
  startUs = 0;
  oomScoreAdj = 0;
  /** PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER. */
  deathSignal = 0;
  subreaper = false;
  /** PR_SET_DUMPABLE, PR_SET_KEEPCAPS, PR_SET_NO_NEW_PRIVS: kept and shown. */
  dumpable = 1;
  keepCaps = 0;
  noNewPrivs = 0;
  /** It has executed a program since fork(2): its parent may no more choose its group. */
  executed = false;

  constructor(kernel: Kernel, { pid, parent, mm, fs, files }: ProcessInit) {
    this.kernel = kernel;
    this.pid = pid;
    this.parent = parent;
    this.pgid = parent?.pgid ?? pid;
    this.sid = parent?.sid ?? pid;
    this.mm = mm;
    this.fs = fs;
    this.files = files;
    this.timers = new ProcessTimers(kernel, this);
    this.startUs = kernel.monotonicUs();
    parent?.children.add(this);
  }

  get key(): string {
    return `process/${this.pid}`;
  }

  get space(): AddressSpace {
    return this.mm.space;
  }

  get ppid(): number {
    return this.parent?.pid ?? 0;
  }

  get uid(): number {
    return this.ids.uid[1];
  }

  get gid(): number {
    return this.ids.gid[1];
  }

  touch(): void {
    this.kernel.ledger.touch(this);
  }

  save(): Plain {
    const { argRange, envRange, auxRange } = this.ranges;
    const saved: SavedProcess = {
      ppid: this.ppid,
      pgid: this.pgid,
      sid: this.sid,
      space: this.zombie ? 0 : this.space.id,
      name: this.name,
      exePath: this.exePath,
      exeIno: this.exeNode?.ino ?? 0,
      ranges: [...argRange, ...envRange, ...auxRange] as unknown as SavedProcess['ranges'],
      fs: this.zombie ? null : this.fs.save(),
      actions: this.actions.flatMap(({ handler, flags, restorer, mask }, signo) =>
        handler === SIG_DFL && flags === 0 ? [] : [[signo, handler, flags, restorer, mask.toString(16)] as const],
      ),
      pending: this.pending.save(),
      limits: this.limits,
      timers: this.timers.save(),
      vfork: this.vfork,
      zombie: this.zombie,
      status: this.status,
      stopped: this.stopped,
      report: this.report,
      exitSignal: this.exitSignal,
      ids: this.ids,
      usage: [this.pastInstructions, this.childInstructions, this.startUs],
      flags: [this.oomScoreAdj, this.deathSignal, this.subreaper, this.executed],
      switches: [this.dumpable, this.keepCaps, this.noNewPrivs],
    };
    return saved;
  }

  static spaceOf(state: Plain): number {
    return (state as SavedProcess).space;
  }

  static parentOf(state: Plain): number {
    return (state as SavedProcess).ppid;
  }

  /** Everything but parent, threads and descriptors, which the kernel puts back. */
  static restore(kernel: Kernel, pid: number, mm: MemoryMap, files: FileTable, state: Plain): Process {
    const saved = state as SavedProcess;
    const fs = saved.zombie ? new ProcessFs(kernel) : ProcessFs.restore(kernel, saved.fs);
    if (saved.zombie) fs.release();
    const process = new Process(kernel, { pid, parent: null, mm, fs, files });
    const [a, b, c, d, e, f] = saved.ranges;
    process.pgid = saved.pgid;
    process.sid = saved.sid;
    process.name = saved.name;
    process.exePath = saved.exePath;
    process.exeNode = kernel.vfs.inode(saved.exeIno) ?? null;
    if (process.exeNode !== null) kernel.vfs.hold(process.exeNode);
    process.ranges = { argRange: [a, b], envRange: [c, d], auxRange: [e, f] };
    for (const [signo, handler, flags, restorer, mask] of saved.actions)
      process.actions[signo] = { handler, flags, restorer, mask: BigInt(`0x${mask}`) };
    process.pending.restore(saved.pending);
    process.limits = copyLimits(saved.limits);
    process.timers.restore(saved.timers);
    process.vfork = saved.vfork;
    process.zombie = saved.zombie;
    process.status = saved.status;
    process.stopped = saved.stopped;
    process.report = saved.report;
    process.exitSignal = saved.exitSignal;
    process.ids = saved.ids;
    [process.pastInstructions, process.childInstructions, process.startUs] = saved.usage;
    [process.oomScoreAdj, process.deathSignal, process.subreaper, process.executed] = saved.flags;
    [process.dumpable, process.keepCaps, process.noNewPrivs] = saved.switches;
    return process;
  }

  /** The program that it runs, for /proc. */
  setProgram(name: string, exePath: string, exeNode: Node | null, ranges: ArgRanges): void {
    if (exeNode !== null) this.kernel.vfs.hold(exeNode);
    if (this.exeNode !== null) this.kernel.vfs.letGo(this.exeNode);
    this.name = name;
    this.exePath = exePath;
    this.exeNode = exeNode;
    this.ranges = ranges;
  }

  // --- descriptors ---

  file(fd: number): OpenFile | undefined {
    return this.files.file(fd);
  }

  install(file: OpenFile, cloexec: boolean, min = 0): number {
    return this.files.install(file, cloexec, min);
  }

  installAt(fd: number, file: OpenFile, cloexec: boolean): number {
    return this.files.installAt(fd, file, cloexec);
  }

  closeFd(fd: number): number {
    return this.files.close(fd);
  }

  cloexec(fd: number): boolean {
    return this.files.cloexec(fd);
  }

  setCloexec(fd: number, on: boolean): void {
    this.files.setCloexec(fd, on);
  }

  fds(): number[] {
    return this.files.fds();
  }

  setLimit(resource: number, limit: Limits[number]): void {
    this.limits[resource] = limit;
    if (resource === RLIMIT_NOFILE) this.files.limit = limit[0] ?? Number.MAX_SAFE_INTEGER;
    this.touch();
  }

  // --- /proc ---

  get comm(): string {
    return this.members.get(this.pid)?.name ?? this.name;
  }

  get state(): string {
    if (this.zombie) return 'Z';
    if (this.stopped) return 'T';
    return [...this.members.values()].some((thread) => !thread.asleep) ? 'R' : 'S';
  }

  get instructions(): number {
    let sum = this.pastInstructions;
    for (const thread of this.members.values()) sum += thread.instructions;
    return sum;
  }

  /** Virtual: a thousand instructions are a microsecond. */
  get cpuUs(): number {
    return Math.floor(this.instructions / 1000);
  }

  #bytes([address, length]: readonly [number, number]): Uint8Array {
    if (this.zombie || length === 0) return new Uint8Array(0);
    return this.space.read(address, length)?.slice() ?? new Uint8Array(0);
  }

  cmdline(): Uint8Array {
    return this.#bytes(this.ranges.argRange);
  }

  environ(): Uint8Array {
    return this.#bytes(this.ranges.envRange);
  }

  auxv(): Uint8Array {
    return this.#bytes(this.ranges.auxRange);
  }

  mappings(): readonly ProcMapping[] {
    return this.zombie ? [] : this.mm.rows();
  }

  threads(): readonly ProcThread[] {
    return [...this.members.values()].map(({ tid, name, asleep }) => {
      return { tid, comm: name, state: this.stopped ? 'T' : asleep ? 'S' : 'R' };
    });
  }

  limit(resource: number): readonly [number | null, number | null] {
    return this.limits[resource] ?? [null, null];
  }
}
