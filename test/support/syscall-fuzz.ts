/**
 * Random system calls against the kernel. The virtual CPU is a fake: instead of executing guest code it puts a random call
 * with random arguments into the registers and says that the guest made it. So everything behind the CPU is the real thing:
 * scheduling, blocking, signals, timers, exec, checkpoints.
 *
 * What must hold: no exception of the host; results that a system call can have; no part changed without a `touch`; a
 * kernel restored from a backup that is the same as the one it replaces.
 */

import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { stateHash } from '../../src/checkpoint/hash.ts';
import { decodePart } from '../../src/checkpoint/ledger.ts';
import * as numbers from '../../src/linux/abi/syscall-numbers.ts';
import type { SavedKernel } from '../../src/linux/kernel.ts';
import { tinyElf } from '../../src/linux/loader/test-elf.ts';
import { SYSCALLS } from '../../src/linux/syscalls/table.ts';
import type { AddressSpace } from '../../src/lvm/address-space.ts';
import type { CpuExit, VirtualCpu } from '../../src/lvm/cpu.ts';
import { GuestTools } from '../../src/trace/guest-tools.ts';
import {
  type Context,
  R8,
  R9,
  R10,
  RAX,
  RDI,
  RDX,
  RSI,
  RSP,
  VECTOR_DE,
  VECTOR_PF,
  VECTOR_UD,
} from '../../src/x86/state.ts';
import { Machine, Replicated } from './machine.ts';
import { Random } from './random.ts';

const ARGUMENTS = [RDI, RSI, RDX, R10, R8, R9];
const SYSCALL_SIZE = 2;

/** Where the guest's memory for arguments is: 64 KiB that may be written, then a page each to read only and not at all. */
const ARENA = 0x2000_0000;
const ARENA_SIZE = 0x1_0000;
const READ_ONLY = ARENA + ARENA_SIZE;
const NO_ACCESS = READ_ONLY + 0x1000;
const SHARED = NO_ACCESS + 0x1000;
const STACK = ARENA + ARENA_SIZE - 0x2000;

/** Processes above this number end themselves: each has 4 GiB of address space. */
const PROCESSES_MAX = 5;
/** Largest errno that Linux returns to programs. */
const ERRNO_MAX = 133;

/**
 * The kinds of the arguments, by call, so that many calls get further than their first check. f: descriptor, p: path,
 * b: buffer, s: its size, o: offset, n: small number, g: signal, i: process or thread, t: struct of times, m: signal mask,
 * v: array of buffers, u: socket address, a: address of memory to map, l: its length, x: flags, w: pointer to a small number, k: clock;
 * 1|2: one of these numbers. What has no row gets arguments of any kind.
 */
const SIGNATURES: Readonly<Record<string, string>> = {
  read: 'f b s',
  write: 'f b s',
  open: 'p 0|1|2|0x42|0x241|0x8000|0x10000|0x200000|x n',
  openat: '-100|f p 0|1|2|0x42|0x442|0x410000|x n',
  openat2: '-100 p b 24',
  close: 'f',
  close_range: 'n n 0|4',
  stat: 'p b',
  fstat: 'f b',
  newfstatat: '-100|f p b 0|0x100|0x1000',
  statx: '-100 p 0|0x1000 0x7ff b',
  poll: 'b 0|1|3|20 0|1|5|-1',
  ppoll: 'b 0|1|3 t m 8',
  select: '0|1|5|64|1024 b b b t',
  pselect6: '0|1|5|64 b b b t b',
  lseek: 'f o 0|1|2|3|4',
  mmap: 'a l 0|1|2|3|5|7 0x1|0x2|0x11|0x12|0x21|0x22|0x31|0x32 f o',
  mprotect: 'a l 0|1|3|7',
  munmap: 'a l',
  mremap: 'a l l 0|1|3 a',
  madvise: 'a l 0|4|8|9|10|11|18|19',
  mincore: 'a l b',
  msync: 'a l 0|1|2|4',
  brk: 'a',
  rt_sigaction: 'g b b 8',
  rt_sigprocmask: '0|1|2 m m 8',
  rt_sigpending: 'b 8',
  rt_sigsuspend: 'm 8',
  rt_sigtimedwait: 'm b t 8',
  rt_sigqueueinfo: 'i g b',
  rt_tgsigqueueinfo: 'i i g b',
  sigaltstack: 'b b',
  kill: 'i g',
  tkill: 'i g',
  tgkill: 'i i g',
  pread64: 'f b s o',
  pwrite64: 'f b s o',
  readv: 'f v 0|1|2|8',
  writev: 'f v 0|1|2|8',
  preadv: 'f v 1|2|8 o 0',
  pwritev: 'f v 1|2|8 o 0',
  preadv2: 'f v 1|2 o 0 0|8|16',
  pwritev2: 'f v 1|2 o 0 0|16',
  pipe: 'b',
  pipe2: 'b 0|0x800|0x80000|0x4000',
  dup: 'f',
  dup2: 'f f',
  dup3: 'f f 0|0x80000',
  fcntl: 'f 0|1|2|3|4|5|6|7|8|9|1024|1030|1031|1032|1033|1034|36|37|38 n|b',
  flock: 'f 1|2|8|5|6',
  ioctl: 'f 0x5421|0x541b|0x5401|0x5413|0x5452|0x5451 w',
  nanosleep: 't t',
  clock_nanosleep: 'k 0|1 t t',
  clock_gettime: 'k t',
  clock_getres: 'k t',
  gettimeofday: 't t',
  setitimer: '0|1|2 t t',
  getitimer: '0|1|2 t',
  alarm: '0|1|5',
  timer_create: 'k b|0 w',
  timer_settime: '0|1|2 0|1 t t',
  timer_gettime: '0|1|2 t',
  timer_getoverrun: '0|1|2',
  timer_delete: '0|1|2',
  timerfd_create: '0|1|7 0|0x800|0x80000',
  timerfd_settime: 'f 0|1 t t|0',
  timerfd_gettime: 'f t',
  eventfd2: 'n 0|1|0x800|0x80000',
  signalfd4: '-1|f m 8 0|0x800',
  epoll_create1: '0|0x80000',
  epoll_ctl: 'f 1|2|3 f b',
  epoll_wait: 'f b 1|8|100 0|1|5|-1',
  epoll_pwait: 'f b 1|8 0|1|5 m 8',
  epoll_pwait2: 'f b 1|8 t m 8',
  inotify_init1: '0|0x800',
  inotify_add_watch: 'f p 0xfff',
  inotify_rm_watch: 'f 1',
  socket: '1|2|10 1|2|0x801|0x80002|5 0|6|17',
  socketpair: '1 1|2|5|0x801 0 b',
  bind: 'f u 2|8|16|28|110',
  connect: 'f u 2|8|16|28|110',
  listen: 'f 0|1|128',
  accept: 'f b w',
  accept4: 'f b w 0|0x800|0x80000',
  sendto: 'f b s 0|0x40|0x4000|0x8000 u|0 0|16|110',
  recvfrom: 'f b s 0|2|0x40|0x100|0x20 b|0 w|0',
  sendmsg: 'f b 0|0x40|0x4000',
  recvmsg: 'f b 0|2|0x40',
  sendmmsg: 'f b 1|2 0|0x40',
  recvmmsg: 'f b 1|2 0|0x40 t|0',
  shutdown: 'f 0|1|2',
  getsockopt: 'f 1|6|0|41 n b w',
  setsockopt: 'f 1|6|0|41 n b 4|8|16',
  getsockname: 'f b w',
  getpeername: 'f b w',
  clone: '17|0x4111|0x1200011|0x3d0f00|x 0|a w w a',
  clone3: 'b 64|88|8',
  execve: 'p b|0 b|0',
  execveat: '-100|f p b|0 b|0 0|0x1000',
  wait4: 'i w 0|1|2|3|8|9|0x40000001 b|0',
  waitid: '0|1|2 i b 4|5|6|0x1000005 b|0',
  futex: 'w 0|1|3|4|5|9|10|128|129|137 0|1|2 t|0 w 0|1|n',
  set_robust_list: 'b 24',
  get_robust_list: 'i b b',
  set_tid_address: 'w',
  getdents64: 'f b s',
  getcwd: 'b s',
  chdir: 'p',
  fchdir: 'f',
  chroot: 'p',
  mkdir: 'p n',
  mkdirat: '-100|f p n',
  mknodat: '-100 p 0x1180|0x8180|0xc180 0',
  rmdir: 'p',
  unlink: 'p',
  unlinkat: '-100|f p 0|0x200',
  rename: 'p p',
  renameat: '-100 p -100 p',
  renameat2: '-100 p -100 p 0|1|2',
  link: 'p p',
  linkat: '-100 p -100 p 0|0x400|0x1000',
  symlink: 'p p',
  symlinkat: 'p -100 p',
  readlink: 'p b s',
  readlinkat: '-100 p b s',
  chmod: 'p n',
  fchmod: 'f n',
  chown: 'p n n',
  fchownat: '-100|f p n n 0|0x100|0x1000',
  access: 'p 0|1|2|4|7',
  faccessat: '-100 p 0|4',
  faccessat2: '-100|f p 0|4 0|0x1000',
  truncate: 'p o',
  ftruncate: 'f o',
  fallocate: 'f 0|1|3|0x10 o o',
  fdatasync: 'f',
  sync_file_range: 'f o o n',
  readahead: 'f o s',
  fadvise64: 'f o o 0|1|4',
  statfs: 'p b',
  fstatfs: 'f b',
  utimensat: '-100|f p t|0 0|0x100',
  memfd_create: 'p 0|1|2|3',
  sendfile: 'f f w|0 s',
  copy_file_range: 'f w|0 f w|0 s 0',
  getrandom: 'b s 0|1|2|4',
  prctl: '1|2|3|4|7|8|15|16|23|29|30|36|37|38|39|41|42 n|b 0 0 0',
  arch_prctl: '0x1001|0x1002|0x1003|0x1004 a|b',
  prlimit64: '0|i 0|3|4|7|9|15 b|0 b|0',
  getrlimit: '0|3|7 b',
  setrlimit: '0|3|7 b',
  getrusage: '-1|0|1 b',
  setpgid: '0|i 0|i',
  getpgid: '0|i',
  getsid: '0|i',
  sched_setaffinity: '0|i 8|128 b',
  sched_getaffinity: '0|i 8|128 b',
  sched_setscheduler: '0|i 0|1|3 b',
  sched_setparam: '0|i b',
  setpriority: '0|1|2 0|i n',
  getpriority: '0|1|2 0|i',
  setresuid: '-1|0|1 -1|0|1 -1|0|1',
  setreuid: '-1|0|1 -1|0|1',
  setuid: '0|1',
  getgroups: '0|8 b',
  setgroups: '0|1|8 b',
  capget: 'b b',
  membarrier: '0|1|4|8 0',
};

const PATHS = [
  '/',
  '.',
  '/tmp',
  '/tmp/a',
  '/tmp/b',
  '/tmp/d/e',
  '/program',
  '/data',
  '/link',
  '/script',
  '/dev/null',
  '/dev/zero',
].concat([
  '/dev/shm/s',
  '/proc/self/maps',
  '/proc/self/fd/1',
  '/proc/self/status',
  '/proc/1/task',
  '/sys',
  'a',
  '../b',
  '',
  'x'.repeat(300),
]);

export interface FuzzOptions {
  readonly seed: number;
  readonly cases: number;
  /** Calls between two checkpoints; about one in four is followed by a failover. */
  readonly epoch?: number;
  /** Told of every call before it is made: finds the one that never returns. */
  readonly trace?: (call: string) => void;
}

export interface FuzzReport {
  readonly calls: number;
  readonly machines: number;
  readonly failovers: number;
  /** Calls that took the host longer than this many milliseconds, the slowest first. */
  readonly slow: readonly string[];
  /** How often each system call was made, and how often it did not fail. */
  readonly counts: ReadonlyMap<string, readonly [made: number, succeeded: number]>;
}

/** Those that may come and would end a process. */
const FATAL_SIGNALS = [1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13, 14, 15, 16, 24, 25, 26, 27, 29, 30, 31, 33, 34, 40, 64];
const SLOW_MS = 1000;

export class FuzzFailure extends Error {}

/** Throws FuzzFailure, which says the seed and the calls that led to it. */
export function fuzzSyscalls(options: FuzzOptions): FuzzReport {
  const folder = mkdtempSync(join(tmpdir(), 'tardigrade-fuzz-'));
  try {
    makeImage(folder);
    return new Fuzz(folder, options).run();
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** A root folder with a program (of which no instruction is ever executed), data, a link and a script. */
function makeImage(folder: string): void {
  writeFileSync(join(folder, 'program'), tinyElf(), { mode: 0o755 });
  writeFileSync(join(folder, 'data'), 'some data\n'.repeat(2000));
  writeFileSync(join(folder, 'script'), '#!/program with argument\n', { mode: 0o755 });
  symlinkSync('data', join(folder, 'link'));
  mkdirSync(join(folder, 'tmp'));
}

/** Whatever a guest gives as arguments, its trace is lines of a reasonable length. */
function checkLine(line: string): void {
  if (line.length > 4000 || line.includes('\n')) throw new Error(`a line of a trace: ${line.slice(0, 200)}`);
}

class Fuzz implements VirtualCpu {
  readonly tierAt = () => 'interpreted' as const;
  retired = 0;
  readonly #folder: string;
  readonly #options: FuzzOptions;
  readonly #random: Random;
  readonly #table: readonly { readonly number: number; readonly name: string }[];
  readonly #counts = new Map<string, [number, number]>();
  readonly #slow: [ms: number, text: string][] = [];
  readonly #log: string[] = [];
  /** Calls still to be made in a space before random ones: they map the memory for arguments. */
  readonly #setup = new WeakMap<AddressSpace, number>();
  /** The call that a thread is in, by its context: the result is checked when the thread runs again. */
  readonly #inCall = new WeakMap<Context, string>();
  #machine!: Machine;
  #calls = 0;
  #began = 0;

  constructor(folder: string, options: FuzzOptions) {
    this.#folder = folder;
    this.#options = options;
    this.#random = new Random(options.seed);
    const names = new Map(Object.entries(numbers).map(([name, number]) => [number, name.slice('SYS_'.length)]));
    this.#table = SYSCALLS.map(({ number }) => ({ number, name: names.get(number)! }));
  }

  run(): FuzzReport;
  run(space: AddressSpace, context: Context, budget: number): CpuExit;
  run(space?: AddressSpace, context?: Context, budget = 0): FuzzReport | CpuExit {
    return space === undefined ? this.#fuzz() : this.#guest(space, context!, budget);
  }

  #fuzz(): FuzzReport {
    const { cases, epoch = 50, seed } = this.#options;
    let [machines, failovers] = [0, 0];
    try {
      while (this.#calls < cases) {
        machines++;
        this.#machine = new Machine({
          program: '/program',
          rootfs: this.#folder,
          cpu: this,
          tools: new GuestTools({ trace: ['syscalls'], write: checkLine, profile: false }),
          seed,
          memoryLimit: 1 << 28,
        });
        const replicated = new Replicated(this.#machine);
        for (let next = this.#calls + epoch; this.#calls < cases; ) {
          if (!this.#goOn()) break;
          if (this.#calls < next) continue;
          next = this.#calls + epoch;
          replicated.epoch();
          const forgotten = replicated.audit();
          if (forgotten.length > 0)
            throw new FuzzFailure(`parts changed without a touch:\n${this.#describe(forgotten)}`);
          if (this.#random.below(4) !== 0) continue;
          const before = this.#state();
          replicated.failover();
          const different = differences(before, this.#state());
          if (different.length > 0) throw new FuzzFailure(`the restored kernel differs: ${different.join('\n')}`);
          failovers++;
        }
      }
    } catch (error) {
      const log = this.#log.slice(-25).join('\n');
      throw new FuzzFailure(`seed ${seed}, call ${this.#calls}: ${(error as Error).stack}\nthe last calls:\n${log}`);
    }
    const slow = this.#slow.sort(([a], [b]) => b - a).map(([ms, text]) => `${Math.round(ms)} ms: ${text}`);
    return { calls: this.#calls, machines, failovers, slow, counts: this.#counts };
  }

  #describe(keys: readonly string[]): string {
    const { ledger } = this.#machine.kernel;
    return keys.map((key) => `${key}: ${inspect(decodePart(ledger.encode(key)!.bytes!), { depth: 9 })}`).join('\n');
  }

  /**
   * The parts by key, and the hash of memory and all. Without the run queue: a restored kernel has also those threads in it
   * that sleep, and executes their calls again (scheduler.ts).
   */
  #state(): Map<string, string> {
    const { spaces, ledger } = this.#machine.kernel;
    const parts = new Map(ledger.all().map(({ key, bytes }) => [key, bytes!]));
    const state = new Map([...parts].map(([key, bytes]) => [key, inspect(decodePart(bytes), { depth: 9 })]));
    const kernel = decodePart(parts.get('kernel')!) as SavedKernel;
    state.set('kernel', JSON.stringify({ ...kernel, scheduler: { ...kernel.scheduler, queue: [] } }));
    parts.delete('kernel');
    return state.set('all', String(stateHash(spaces, parts)));
  }

  /** False: the guest has ended. */
  #goOn(): boolean {
    const { inputs } = this.#machine;
    if (this.#random.below(60) === 0) inputs.push(this.#input());
    if (this.#machine.run(2000)) return true;
    if (this.#machine.status !== null) return false;
    // Everybody sleeps for ever: a signal.
    inputs.push({ kind: 'signal', signo: 1 + this.#random.below(31) });
    return true;
  }

  #input(): Machine['inputs'][number] {
    const bytes = Uint8Array.from({ length: this.#random.below(80) }, () => this.#random.below(256));
    switch (this.#random.below(3)) {
      case 0:
        return { kind: 'stdin', bytes };
      case 1:
        return { kind: 'packet', bytes };
      default:
        return { kind: 'signal', signo: this.#random.pick([1, 2, 10, 12, 14, 15, 17, 18, 19, 20, 28]) };
    }
  }

  // --- the virtual CPU

  #guest(space: AddressSpace, context: Context, budget: number): CpuExit {
    this.#check(context);
    this.retired = Math.min(budget, 1 + this.#random.below(300));
    if (this.#random.below(40) === 0) return { kind: 'budget' };
    if (this.#random.below(400) === 0) {
      const vector = this.#random.pick([VECTOR_DE, VECTOR_UD, VECTOR_PF]);
      return {
        kind: 'fault',
        vector,
        address: this.#random.pick([0n, BigInt(ARENA), 1n << 63n]),
        error: this.#random.below(32),
      };
    }
    const step = this.#setup.get(space) ?? 0;
    this.#setup.set(space, step + 1);
    const [number, name, args] = this.#setupCall(space, step % 200) ?? this.#randomCall(space);
    context.setNumber(RAX, number);
    ARGUMENTS.forEach((register, i) => {
      context.set(register, args[i] ?? 0n);
    });
    context.set(RSP, this.#random.below(20) === 0 ? this.#pointer() : BigInt(STACK));
    context.rip = 0x40_0200 + SYSCALL_SIZE;
    this.#calls++;
    const text = `${name}(${args.map((arg) => `0x${arg.toString(16)}`).join(', ')})`;
    this.#log.push(text);
    this.#options.trace?.(text);
    if (this.#log.length > 1000) this.#log.splice(0, 500);
    this.#inCall.set(context, text);
    const count = this.#counts.get(name) ?? [0, 0];
    count[0]++;
    this.#counts.set(name, count);
    this.#began = performance.now();
    return { kind: 'syscall' };
  }

  /** The result of the thread's last call, which is over. */
  #check(context: Context): void {
    const took = performance.now() - this.#began;
    if (this.#began > 0 && took > SLOW_MS) this.#slow.push([took, this.#log.at(-1)!]);
    const text = this.#inCall.get(context);
    if (text === undefined) return;
    this.#inCall.delete(context);
    const result = BigInt.asIntN(64, context.get(RAX));
    if (result < 0n && result > -4096n && result < -BigInt(ERRNO_MAX)) throw new FuzzFailure(`${text} = ${result}`);
    if (result >= 0n) this.#counts.get(text.slice(0, text.indexOf('(')))![1]++;
  }

  unload(): void {}

  drop(): void {}

  takeTranslated(): number[] {
    return [];
  }

  warm(): void {}

  // --- arguments

  #setupCall(space: AddressSpace, step: number): [number, string, bigint[]] | null {
    const map = (address: number, length: number, prot: number, flags: number): [number, string, bigint[]] => [
      numbers.SYS_mmap,
      'mmap',
      [address, length, prot, flags, -1, 0].map(BigInt),
    ];
    switch (step) {
      case 0:
        return map(ARENA, ARENA_SIZE, 3, 0x32);
      case 1:
        return map(READ_ONLY, 0x1000, 1, 0x32);
      case 2:
        return map(NO_ACCESS, 0x1000, 0, 0x32);
      case 3:
        return map(SHARED, 0x2000, 3, 0x31);
      default:
        return step - 4 < FATAL_SIGNALS.length ? this.#catch(space, FATAL_SIGNALS[step - 4]!) : null;
    }
  }

  /** Gives a signal a handler, so that it does not end the guest: none is ever executed, but its frame is made. */
  #catch(space: AddressSpace, signo: number): [number, string, bigint[]] {
    const action = BigUint64Array.of(
      0x40_0300n,
      BigInt(0x0400_0000 | this.#random.pick([0, 4, 0x1000_0000, 0x4000_0004])),
      0x40_0400n,
      0n,
    );
    space.write(ARENA, new Uint8Array(action.buffer));
    return [numbers.SYS_rt_sigaction, 'rt_sigaction', [BigInt(signo), BigInt(ARENA), 0n, 8n]];
  }

  #randomCall(space: AddressSpace): [number, string, bigint[]] {
    const { kernel } = this.#machine;
    const self = kernel.current!.process;
    if (kernel.processes.size > PROCESSES_MAX && self.pid !== kernel.initPid)
      return [numbers.SYS_exit_group, 'exit_group', [BigInt(this.#random.below(256))]];
    let row = this.#random.pick(this.#table);
    // What ends the guest, and what makes processes, only now and then.
    for (let again = 0; again < 8 && isRare(row.name); again++) row = this.#random.pick(this.#table);
    const signature = SIGNATURES[row.name]?.split(' ') ?? [];
    const args = Array.from({ length: 6 }, (_, i) => {
      const kinds = this.#random.below(15) === 0 ? ['?'] : (signature[i] ?? '?').split('|');
      return BigInt.asUintN(64, this.#argument(this.#random.pick(kinds), space, i));
    });
    return [this.#random.below(300) === 0 ? this.#random.below(600) : row.number, row.name, args];
  }

  #argument(kind: string, space: AddressSpace, index: number): bigint {
    const { pick, below } = {
      pick: <T>(list: readonly T[]) => this.#random.pick(list),
      below: (n: number) => this.#random.below(n),
    };
    // Each argument has its own 4 KiB of the arena.
    const place = ARENA + index * 0x1000 + below(64) * 8;
    const put = (bytes: Uint8Array): bigint => {
      if (below(10) === 0) return this.#pointer();
      space.write(place, bytes);
      return BigInt(place);
    };
    if (/[0-9]$/.test(kind)) return BigInt(kind.replace('-', '')) * (kind.startsWith('-') ? -1n : 1n);
    switch (kind) {
      case 'f':
        if (below(4) > 0) return BigInt(pick(this.#machine.kernel.current!.process.fds().concat(-1)));
        return BigInt(pick([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 15, 20, 63, 64, 1000, 1024, -1, -100, 0x7fffffff]));
      case 'p':
        return put(new TextEncoder().encode(`${pick(PATHS)}\0`));
      case 's':
        if (below(4) > 0) return BigInt(below(300));
        return pick([0n, 1n, 4095n, 4096n, 65536n, 1n << 20n, 1n << 31n, 1n << 32n, 1n << 47n, -1n]);
      case 'l':
        return pick([
          0n,
          1n,
          8n,
          16n,
          100n,
          128n,
          4095n,
          4096n,
          4097n,
          8192n,
          65536n,
          1n << 20n,
          1n << 31n,
          1n << 32n,
          1n << 47n,
          -1n,
        ]);
      case 'o':
        return pick([0n, 1n, 10n, 4096n, 8192n, 65535n, 1n << 20n, 1n << 31n, 1n << 40n, 1n << 62n, -1n, -4096n]);
      case 'n':
        return below(8) === 0 ? BigInt(below(1 << 30)) : BigInt(below(below(3) === 0 ? 2100 : 12) - 1);
      case 'g':
        return BigInt(below(67) - 1);
      case 'i': {
        const { kernel } = this.#machine;
        return BigInt(pick([0, 1, -1, -2, 99999, ...kernel.processes.keys(), ...kernel.threads.keys()]));
      }
      case 't':
        return put(this.#words([0n, 1n, BigInt(below(1000)), 1000000n, 999999999n, 1000000000n, -1n, 1n << 62n], 4));
      case 'm':
        return put(this.#words([0n, -1n, BigInt(below(1 << 30)), 1n << BigInt(below(64))], 2));
      case 'v':
        return put(
          new Uint8Array(
            BigUint64Array.from({ length: 16 }, (_, i) =>
              BigInt.asUintN(64, i % 2 === 0 ? this.#pointer() : BigInt(pick([0, 1, 5, 100, 4096, 70000, -1]))),
            ).buffer,
          ),
        );
      case 'u':
        return put(this.#socketAddress());
      case 'w':
        return put(this.#words([0n, 1n, BigInt(below(1 << 16)), -1n, BigInt(this.#machine.kernel.current!.tid)], 2));
      case 'b':
        return below(2) === 0 ? this.#pointer() : put(this.#structure());
      case 'a':
        return pick([
          0n,
          BigInt(ARENA),
          BigInt(READ_ONLY),
          BigInt(NO_ACCESS),
          BigInt(SHARED),
          0x3000_0000n,
          0x3000_1000n,
          0x10n,
          1n << 47n,
          -4096n,
        ]);
      case 'x':
        return below(2) === 0
          ? BigInt(pick([0, 1, 2, 0x22, 0x12, 0x21, 0x11, 0x80000, 0x800, 0x240, 0x4111, 0x1200011, 0x3d0f00]))
          : BigInt(below(1 << 30));
      case 'k':
        return BigInt(pick([0, 1, 2, 3, 4, 5, 7, 11, 12, -6, -2, 99]));
      default:
        return this.#argument(
          pick(['f', 'p', 's', 'o', 'n', 'g', 'i', 't', 'm', 'v', 'w', 'b', 'a', 'x']),
          space,
          index,
        );
    }
  }

  #pointer(): bigint {
    const { pick, below } = {
      pick: <T>(list: readonly T[]) => this.#random.pick(list),
      below: (n: number) => this.#random.below(n),
    };
    return pick([
      BigInt(ARENA + below(ARENA_SIZE)),
      BigInt(ARENA + below(ARENA_SIZE)),
      BigInt(ARENA + below(ARENA_SIZE / 8) * 8),
      BigInt(READ_ONLY - below(64)),
      BigInt(READ_ONLY + below(4096)),
      BigInt(NO_ACCESS - below(16)),
      BigInt(SHARED + below(0x2000)),
      BigInt(SHARED + 0x2000 - below(16)),
      0n,
      8n,
      0xfeff_fff8n,
      0xff00_0000n,
      0xffff_fff8n,
      1n << 32n,
      1n << 47n,
      (1n << 63n) - 1n,
      -1n,
    ]);
  }

  #words(values: readonly bigint[], count: number): Uint8Array {
    return new Uint8Array(
      BigUint64Array.from({ length: count }, () => BigInt.asUintN(64, this.#random.pick(values))).buffer,
    );
  }

  #socketAddress(): Uint8Array {
    const random = this.#random;
    const bytes = new Uint8Array(112);
    const view = new DataView(bytes.buffer);
    const inet = random.below(2) === 0;
    view.setUint16(0, inet ? 2 : 1, true);
    if (inet) {
      view.setUint16(2, random.pick([0, 80, 4000, 4001]));
      view.setUint32(4, random.pick([0, 0x7f00_0001, 0x0a00_0001, 0x0a00_0002]));
    } else {
      // A path, or a name that is in no file system.
      bytes.set(new TextEncoder().encode(random.pick(['/tmp/s', '/tmp/t', '\0name', ''])), 2);
    }
    return bytes;
  }

  /** Bytes that may be a structure: pointers, small numbers, text. */
  #structure(): Uint8Array {
    const random = this.#random;
    const bytes = new Uint8Array(256);
    const view = new DataView(bytes.buffer);
    for (let at = 0; at < bytes.length; at += 8) {
      switch (random.below(5)) {
        case 0:
          view.setBigUint64(at, BigInt.asUintN(64, this.#pointer()), true);
          break;
        case 1:
          view.setUint32(at, random.below(64), true);
          view.setUint32(at + 4, random.below(8), true);
          break;
        case 2:
          view.setUint16(at, random.pick([1, 2, 10, 16]), true);
          view.setUint16(at + 2, random.below(65536), true);
          view.setUint32(at + 4, random.pick([0, 0x0100_007f, 0x0202_000a]), true);
          break;
        case 3:
          view.setInt32(at, random.below(70) - 2, true);
          break;
        default:
      }
    }
    return bytes;
  }
}

function differences(a: ReadonlyMap<string, string>, b: ReadonlyMap<string, string>): string[] {
  const keys = [...new Set([...a.keys(), ...b.keys()])].filter((key) => a.get(key) !== b.get(key));
  return keys.map((key) => `${key}: ${a.get(key)} became ${b.get(key)}`);
}

function isRare(name: string): boolean {
  return [
    'exit',
    'exit_group',
    'clone',
    'clone3',
    'fork',
    'vfork',
    'execve',
    'execveat',
    'pause',
    'rt_sigsuspend',
    'kill',
    'tkill',
  ]
    .concat(['tgkill', 'rt_sigreturn', 'rt_sigqueueinfo', 'rt_tgsigqueueinfo', 'wait4', 'waitid', 'chroot'])
    .includes(name);
}
