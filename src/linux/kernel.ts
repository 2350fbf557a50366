/**
 * The kernel of the Linux library OS: the guest above the LVM API. It owns everything — processes, files, the network
 * interface — and its `run` is the loop in which guest threads take turns.
 *
 * The way of a system call: `#step` runs a thread on the virtual CPU until it exits; `#execute` looks the handler up in
 * syscalls/table.ts and gives it a `Call`; a handler that waits puts the thread to sleep and is executed again later. Calls that
 * only look are executed in the middle of a run (`#executeInPlace`), which shows in nothing but the time it takes.
 */

import { Ledger, type Part, type Plain } from '../checkpoint/ledger.ts';
import type { AddressSpace } from '../lvm/address-space.ts';
import { AddressSpace as Space } from '../lvm/address-space.ts';
import type { ClockSample, Guest, GuestExit, Input, Lvm, RunResult } from '../lvm/api.ts';
import { assert } from '../lvm/assert.ts';
import type { CpuEnvironment, VirtualCpu } from '../lvm/cpu.ts';
import { RAX } from '../x86/state.ts';
import { ENOSYS, ERESTARTSYS } from './abi/errno.ts';
import { SI_USER } from './abi/signal.ts';
import { Call } from './call.ts';
import { ConsoleInput } from './console.ts';
import type { OpenHost } from './fs/open.ts';
import type { Vfs } from './fs/vfs.ts';
import { FutexTable } from './futex.ts';
import { type MapHost, MemoryMap } from './mm/memory-map.ts';
import type { NetworkInterface } from './net.ts';
import type { OpenFile } from './open-file.ts';
import { Pipes } from './pipe.ts';
import type { Process } from './process.ts';
import { Scheduler } from './scheduler.ts';
import type { SignalFile, SignalInfo } from './signalfd.ts';
import { deliver, describeState, raiseFault, sendToProcess, sendToThread } from './signals.ts';
import { placeText, Symbolizer } from './symbolizer.ts';
import { BLOCKED, NO_RESULT, type SyscallHandler } from './syscall.ts';
import { handlerOf, nameOf, onlyLooks } from './syscalls/table.ts';
import { Thread } from './thread.ts';
import type { TimerFile } from './timerfd.ts';
import { type UnixHost, UnixNames } from './unix-socket.ts';

export interface KernelDeps {
  readonly lvm: Lvm;
  readonly makeCpu: (environment: CpuEnvironment) => VirtualCpu;
  /** What looks at system calls stands in the way of their handlers (trace/). */
  readonly observeCalls?: ((find: FindHandler) => FindHandler) | undefined;
  /** Told of each signal that a thread takes, before it does anything. */
  readonly observeSignal?: ((thread: Thread, info: SignalInfo) => void) | undefined;
}

/** The handler of a system call by its number; one that nobody has implemented has one as well. */
export type FindHandler = (number: number) => SyscallHandler;

/** The first process: like in a container, it has nobody above it. */
const INIT_PID = 1;
const PID_MAX = 32768;
/**
 * What a system call costs of a run's budget, in instructions: handlers take time of the host's as well. Looked at only between
 * steps, so that a run ends at the same place whether its calls were executed in place or not.
 */
const CALL_COST = 300;

export interface SavedKernel {
  readonly nextPid: number;
  readonly nextFile: number;
  readonly nextSpace: number;
  readonly orders: number;
  readonly memoryLimit: number;
  readonly charged: number;
  readonly hostname: string;
  readonly unimplemented: readonly (readonly [string, number])[];
  readonly exit: GuestExit | null;
  readonly scheduler: ReturnType<Scheduler['save']>;
}

export class Kernel implements Guest, OpenHost, UnixHost, MapHost, Part {
  readonly key = 'kernel';
  readonly lvm: Lvm;
  readonly cpu: VirtualCpu;
  readonly ledger = new Ledger();
  readonly spaces = new Map<number, AddressSpace>();
  readonly scheduler = new Scheduler();
  readonly futexes = new FutexTable(this);
  readonly pipes: Pipes = new Pipes(this);
  readonly unixNames = new UnixNames();
  /** By pid, in the order in which they were made. */
  readonly processes = new Map<number, Process>();
  readonly threads = new Map<number, Thread>();
  readonly files = new Map<number, OpenFile>();
  /** System calls answered -ENOSYS, by name. */
  readonly unimplementedCalls = new Map<string, number>();
  /** How the last process crashed, in words. */
  lastCrash: string | null = null;
  hostname = 'tardigrade';
  memoryLimit = 0;
  /** Guest instructions retired since the first start. */
  instructions = 0;
  // Set by boot.ts or restore.ts before anything runs.
  vfs!: Vfs;
  network!: NetworkInterface;
  consoleInput: ConsoleInput = new ConsoleInput((part) => this.ledger.touch(part));

  readonly observeSignal: KernelDeps['observeSignal'];
  readonly #call = new Call(this);
  readonly #findHandler: FindHandler;
  #clock: ClockSample;
  /** Time went on since the timers were last looked at. */
  #clockMoved = true;
  #current: Thread | null = null;
  /** Of the run's budget: instructions that are left, and the cost of calls. */
  #left = 0;
  #spent = 0;
  #exact = false;
  /** Instructions of the CPU's run that are counted already. */
  #counted = 0;
  #exit: GuestExit | null = null;
  #charged = 0;
  #nextPid = INIT_PID;
  #nextFile = 1;
  #nextSpace = 1;
  #orders = 0;
  readonly #timerFiles = new Set<TimerFile>();
  readonly #timerProcesses = new Set<Process>();
  readonly #signalFiles = new Set<SignalFile>();

  constructor({ lvm, makeCpu, observeCalls, observeSignal }: KernelDeps) {
    this.lvm = lvm;
    this.observeSignal = observeSignal;
    const find: FindHandler = (number) => handlerOf(number) ?? this.#unimplemented;
    this.#findHandler = observeCalls?.(find) ?? find;
    this.#clock = lvm.clock();
    this.cpu = makeCpu({
      readTsc: () => BigInt(this.sampleClock().monotonicUs) * 1000n,
      systemCall: () => this.#executeInPlace(this.#current!),
    });
  }

  // --- running ---

  run(budget: number, exact = false): RunResult {
    if (this.#exit !== null) return { kind: 'exit', status: this.#exit };
    this.sampleClock();
    for (let input = this.lvm.wait(); input !== null; input = this.lvm.wait()) this.#input(input);
    this.#left = budget;
    this.#spent = 0;
    this.#exact = exact;
    this.ledger.touch(this);
    for (;;) {
      this.#timers();
      const thread = this.scheduler.next();
      if (thread === null) {
        this.network.flush(this.#clock.monotonicUs);
        if (this.scheduler.next() !== null) continue;
        this.sampleClock();
        const deadlineUs = this.#deadline();
        if (deadlineUs === null || deadlineUs > this.#clock.monotonicUs) return { kind: 'wait', deadlineUs };
        continue;
      }
      this.#step(thread);
      if (this.#exit !== null) return this.#leave({ kind: 'exit', status: this.#exit });
      if (this.#left <= this.#spent) return this.#leave({ kind: 'budget' });
    }
  }

  #leave(result: RunResult): RunResult {
    this.network.flush(this.#clock.monotonicUs);
    if (result.kind === 'exit') this.lvm.exit(result.status);
    return result;
  }

  #input(input: Input): void {
    switch (input.kind) {
      case 'packet':
        this.network.process(input.bytes, this.#clock.monotonicUs);
        break;
      case 'stdin':
        this.consoleInput.feed(input.bytes);
        break;
      default:
        sendToProcess(this, this.init, { signo: input.signo, code: SI_USER, pid: 0, uid: 0 });
    }
  }

  #step(thread: Thread): void {
    const { process } = thread;
    this.#current = thread;
    this.ledger.touch(thread);
    if (thread.call >= 0) {
      this.#execute(thread);
      return;
    }
    if (thread.pending.set !== 0n || process.pending.set !== 0n) {
      deliver(this, thread);
      if (thread.dead || process.stopped) return;
    }
    const { slice } = this.scheduler;
    const budget = Math.min(this.#left, slice);
    this.#counted = 0;
    const exit = this.cpu.run(process.mm.space, thread.context, budget, this.#exact && this.#left <= slice);
    this.#count(thread);
    if (process.space.hasWritten) process.mm.publish();
    switch (exit.kind) {
      case 'syscall':
        thread.call = thread.context.getNumber(RAX);
        this.#execute(thread);
        break;
      case 'fault':
        raiseFault(this, thread, exit);
        break;
      default:
    }
    if (slice < Number.POSITIVE_INFINITY) this.scheduler.ran(thread, this.#counted);
  }

  /** What the CPU's run has retired since it was last asked. */
  #count(thread: Thread): void {
    const { retired } = this.cpu;
    const more = retired - this.#counted;
    this.#counted = retired;
    this.instructions += more;
    thread.instructions += more;
    this.#left -= more;
  }

  /** Executes the call that the thread is in, for the first time or again. */
  #execute(thread: Thread): void {
    if (!this.#exact) this.#spent += CALL_COST;
    const number = thread.call;
    const result = this.#findHandler(number)(this.#call.begin(thread));
    const { process } = thread;
    if (process.space.hasWritten) process.mm.publish();
    if (result === BLOCKED || thread.dead) return;
    thread.call = -1;
    thread.memo = null;
    thread.timedOut = false;
    if (result === NO_RESULT) return;
    if (result !== -ERESTARTSYS) {
      setResult(thread, result);
      if (thread.pending.set !== 0n || process.pending.set !== 0n || thread.savedMask !== null) deliver(this, thread);
    } else {
      deliver(this, thread, number);
    }
  }

  /**
   * CpuEnvironment.systemCall: executes a call that only looks. When anything is to be done behind it that is done between two
   * steps, or was to be done before, the step ends as at any other call.
   */
  #executeInPlace(thread: Thread): 'undone' | 'done' | 'leave' {
    const { context, process } = thread;
    const number = context.getNumber(RAX);
    if (!onlyLooks(number) || process.space.hasWritten) return 'undone';
    this.#count(thread);
    if (!this.#exact) this.#spent += CALL_COST;
    thread.call = number;
    const result = this.#findHandler(number)(this.#call.begin(thread));
    thread.call = -1;
    assert(typeof result !== 'symbol', 'a call that only looks has a result');
    setResult(thread, result);
    return this.#left <= this.#spent || process.space.hasWritten || this.#isDue() ? 'leave' : 'done';
  }

  readonly #unimplemented: SyscallHandler = ({ number }) => {
    const name = nameOf(number);
    this.unimplementedCalls.set(name, (this.unimplementedCalls.get(name) ?? 0) + 1);
    return -ENOSYS;
  };

  // --- time ---

  /** Asks the host for the time: when a guest looks at the clock, and around every run. */
  sampleClock(): ClockSample {
    this.#clock = this.lvm.clock();
    this.#clockMoved = true;
    return this.#clock;
  }

  monotonicUs(): number {
    return this.#clock.monotonicUs;
  }

  realtimeUs(): number {
    return this.#clock.realtimeUs;
  }

  /** `#timers` has work. */
  #isDue(): boolean {
    if (!this.#clockMoved) return false;
    const nowUs = this.#clock.monotonicUs;
    const { deadlineUs } = this.scheduler;
    if (deadlineUs !== null && deadlineUs <= nowUs) return true;
    for (const timer of this.#timerFiles) if (timer.isDue) return true;
    for (const process of this.#timerProcesses) if (process.timers.isDue) return true;
    const pollAt = this.network.pollAt();
    if (pollAt !== null && pollAt <= nowUs) return true;
    this.#clockMoved = false;
    return false;
  }

  #timers(): void {
    if (!this.#clockMoved) return;
    this.#clockMoved = false;
    const nowUs = this.#clock.monotonicUs;
    this.scheduler.expire(nowUs);
    if (this.#timerFiles.size > 0) for (const timer of [...this.#timerFiles]) timer.tick();
    if (this.#timerProcesses.size > 0) for (const process of [...this.#timerProcesses]) process.timers.tick();
    const pollAt = this.network.pollAt();
    if (pollAt !== null && pollAt <= nowUs) this.network.flush(nowUs);
  }

  #deadline(): number | null {
    let first = this.scheduler.deadlineUs;
    const consider = (us: number | null): void => {
      if (us !== null && (first === null || us < first)) first = us;
    };
    for (const timer of this.#timerFiles) consider(timer.expiresAtUs);
    for (const process of this.#timerProcesses) consider(process.timers.nextUs);
    consider(this.network.pollAt());
    return first;
  }

  armTimer(timer: TimerFile): void {
    if (timer.expiresAtUs === null) this.#timerFiles.delete(timer);
    else this.#timerFiles.add(timer);
  }

  armProcess(process: Process, on: boolean): void {
    if (on) this.#timerProcesses.add(process);
    else this.#timerProcesses.delete(process);
  }

  /** After a take-over: whatever was on its way is lost; TCP sends it again at once. */
  resync(): void {
    this.network.resync(this.sampleClock().monotonicUs);
  }

  // --- processes and threads ---

  get initPid(): number {
    return INIT_PID;
  }

  get init(): Process {
    const init = this.processes.get(INIT_PID);
    assert(init !== undefined, 'the first process is there as long as anything runs');
    return init;
  }

  /** The thread whose system call or fault is being dealt with. */
  get current(): Thread | null {
    return this.#current;
  }

  get taskCount(): number {
    return this.threads.size + this.processes.size;
  }

  /** A number for a process or thread that no process, thread, group or session has. */
  newPid(): number {
    for (;;) {
      const pid = this.#nextPid++;
      if (this.#nextPid > PID_MAX) this.#nextPid = 300;
      if (!this.threads.has(pid) && !this.#isPidUsed(pid)) return pid;
    }
  }

  #isPidUsed(pid: number): boolean {
    if (this.processes.has(pid)) return true;
    return [...this.processes.values()].some(({ pgid, sid }) => pgid === pid || sid === pid);
  }

  nextOrder(): number {
    return ++this.#orders;
  }

  addProcess(process: Process): void {
    this.processes.set(process.pid, process);
    this.ledger.add(process);
  }

  removeProcess(process: Process): void {
    this.processes.delete(process.pid);
    this.#timerProcesses.delete(process);
    this.ledger.remove(process);
  }

  addThread(thread: Thread): void {
    this.threads.set(thread.tid, thread);
    thread.process.members.set(thread.tid, thread);
    this.ledger.add(thread);
    this.scheduler.add(thread);
  }

  removeThread(thread: Thread): void {
    this.threads.delete(thread.tid);
    this.ledger.remove(thread);
  }

  /** execve(2) in another thread than the first: it takes the process's id for its own. */
  makeLeader(thread: Thread): Thread {
    const { process } = thread;
    if (thread.tid === process.pid) return thread;
    const leader = new Thread(process, process.pid, this.scheduler, thread.context);
    leader.inherit(thread);
    leader.pending.restore(thread.pending.save());
    leader.instructions = thread.instructions;
    this.scheduler.remove(thread);
    process.members.delete(thread.tid);
    this.removeThread(thread);
    this.addThread(leader);
    return leader;
  }

  /** Something made the process dump core. */
  crashed(thread: Thread, { signo, address }: SignalInfo): void {
    const { process, context } = thread;
    const where = address === undefined ? '' : `, address 0x${address.toString(16)}`;
    const place = placeText(new Symbolizer().find(process.mm, context.rip));
    this.lastCrash = `process ${process.pid} (${process.comm}): signal ${signo}${where}, in ${place}, ${describeState(thread)}`;
  }

  /** The first process has ended; all others end with it. */
  ended(status: number): void {
    const signal = status & 0x7f;
    this.#exit = signal === 0 ? { code: status >> 8, signal: null } : { code: null, signal };
  }

  // --- memory ---

  newSpaceId(): number {
    return this.#nextSpace++;
  }

  /** An empty map, which does not belong to the guest before `enterMap`. */
  newMap(): MemoryMap {
    return new MemoryMap(this, new Space(this.newSpaceId()));
  }

  /** One more process uses the map. */
  enterMap(map: MemoryMap): MemoryMap {
    if (map.users++ === 0) {
      this.spaces.set(map.space.id, map.space);
      this.ledger.add(map);
    }
    return map;
  }

  /** One process fewer does. */
  leaveMap(map: MemoryMap): void {
    if (--map.users > 0) return;
    map.release();
    this.ledger.remove(map);
    this.spaces.delete(map.space.id);
    this.cpu.drop(map.space);
  }

  charge(bytes: number): boolean {
    if (bytes > 0 && this.#charged + bytes > this.memoryLimit) return false;
    this.#charged += bytes;
    return true;
  }

  get freeMemory(): number {
    return this.memoryLimit - this.#charged;
  }

  // --- files ---

  touch(part: Part): void {
    this.ledger.touch(part);
  }

  addFile<T extends OpenFile>(make: (id: number) => T): T {
    const file = make(this.#nextFile++);
    this.files.set(file.id, file);
    this.ledger.add(file);
    return file;
  }

  /** A description of a checkpoint. */
  putBackFile(file: OpenFile): void {
    this.files.set(file.id, file);
    this.ledger.add(file);
  }

  file(id: number): OpenFile | undefined {
    return this.files.get(id);
  }

  release(file: OpenFile): void {
    if (--file.references > 0) return;
    this.files.delete(file.id);
    this.ledger.remove(file);
    file.dispose();
  }

  console(stream: 1 | 2, bytes: Uint8Array): void {
    this.lvm.console(stream, bytes);
  }

  entropy(length: number): Uint8Array {
    return this.lvm.entropy(length);
  }

  // --- signals ---

  raise(thread: Thread, signo: number): void {
    const { pid, uid } = thread.process;
    sendToThread(this, thread, { signo, code: SI_USER, pid, uid });
  }

  takeSignal(mask: bigint): SignalInfo | null {
    const thread = this.#current;
    if (thread === null) return null;
    const own = thread.pending.take(mask);
    if (own !== null) {
      this.ledger.touch(thread);
      return own;
    }
    const shared = thread.process.pending.take(mask);
    if (shared !== null) thread.process.touch();
    return shared;
  }

  hasSignal(mask: bigint): boolean {
    const thread = this.#current;
    return thread !== null && ((thread.pending.set | thread.process.pending.set) & mask) !== 0n;
  }

  watchSignals(file: SignalFile, on: boolean): void {
    if (on) this.#signalFiles.add(file);
    else this.#signalFiles.delete(file);
  }

  /** A signal became pending somewhere. */
  signalFilesReady(): void {
    for (const file of this.#signalFiles) file.queue.wake();
  }

  // --- state ---

  save(): Plain {
    const saved: SavedKernel = {
      nextPid: this.#nextPid,
      nextFile: this.#nextFile,
      nextSpace: this.#nextSpace,
      orders: this.#orders,
      memoryLimit: this.memoryLimit,
      charged: this.#charged,
      hostname: this.hostname,
      unimplemented: [...this.unimplementedCalls],
      exit: this.#exit,
      scheduler: this.scheduler.save(),
    };
    return saved;
  }

  /** Its own numbers, without the parts that have parts of their own. */
  load(state: Plain): void {
    const saved = state as SavedKernel;
    this.#nextPid = saved.nextPid;
    this.#nextFile = saved.nextFile;
    this.#nextSpace = saved.nextSpace;
    this.#orders = saved.orders;
    this.memoryLimit = saved.memoryLimit;
    this.#charged = saved.charged;
    this.hostname = saved.hostname;
    for (const [name, count] of saved.unimplemented) this.unimplementedCalls.set(name, count);
    this.#exit = saved.exit;
  }
}

function setResult({ context }: Thread, result: number | bigint): void {
  if (typeof result === 'number') context.setNumber(RAX, result);
  else context.set(RAX, result);
}
