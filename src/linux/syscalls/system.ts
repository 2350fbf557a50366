/** The system and the caller's standing in it: uname(2), sysinfo(2), limits, users and groups, prctl(2), sched_*(2). */

import { OFF_GS_BASE } from '../../x86/state.ts';
import { EFAULT, EINVAL, EPERM, ESRCH } from '../abi/errno.ts';
import * as N from '../abi/syscall-numbers.ts';
import { readString } from '../call.ts';
import { type Limits, RLIMIT_COUNT, RLIMIT_NOFILE } from '../limits.ts';
import type { Ids, Process } from '../process.ts';
import type { Syscall, SyscallResult } from '../syscall.ts';
import type { Thread } from '../thread.ts';
import { MACHINE, OS_NAME, OS_RELEASE, OS_VERSION } from '../uname.ts';
import { kernelOf, selfOf, setTimeval, threadOf, writeInt, writeStruct } from './core.ts';
import { full, partial, type SyscallEntry } from './entry.ts';
import { readView } from './fs-kernel.ts';

const encoder = new TextEncoder();

/** A string argument of a system call, without what does not fit. */
function putString(bytes: Uint8Array, at: number, text: string, size: number): void {
  bytes.set(encoder.encode(text).subarray(0, size - 1), at);
}

function sysUname(call: Syscall): SyscallResult {
  const FIELD = 65;
  const bytes = new Uint8Array(6 * FIELD);
  const fields = [OS_NAME, kernelOf(call).hostname, OS_RELEASE, OS_VERSION, MACHINE, '(none)'];
  fields.forEach((text, i) => {
    putString(bytes, i * FIELD, text, FIELD);
  });
  return call.space.write(call.uint(0), bytes) ? 0 : -EFAULT;
}

function sysSethostname(call: Syscall): SyscallResult {
  const length = call.int(1);
  if (length < 0 || length > 64) return -EINVAL;
  const bytes = call.space.read(call.uint(0), length);
  if (bytes === null) return -EFAULT;
  kernelOf(call).hostname = new TextDecoder().decode(bytes);
  return 0;
}

function sysSysinfo(call: Syscall): SyscallResult {
  const kernel = kernelOf(call);
  const put = writeStruct(call.space, call.uint(0), 112, (view) => {
    view.setBigInt64(0, BigInt(Math.floor(kernel.monotonicUs() / 1e6)), true);
    view.setBigUint64(32, BigInt(kernel.memoryLimit), true);
    view.setBigUint64(40, BigInt(Math.max(0, kernel.freeMemory)), true);
    view.setUint16(80, kernel.processes.size, true);
    view.setUint32(104, 1, true);
  });
  return put ? 0 : -EFAULT;
}

function sysGetrandom(call: Syscall): SyscallResult {
  const [address, length, flags] = [call.uint(0), call.uint(1), call.int(2)];
  if ((flags & ~7) !== 0 || (flags & 6) === 6) return -EINVAL;
  const count = Math.min(length, 1 << 20);
  return call.space.write(address, kernelOf(call).entropy(count)) ? count : -EFAULT;
}

// ---- limits and usage

function readLimit(view: DataView): Limits[number] {
  const value = (at: number): number | null => {
    const raw = view.getBigUint64(at, true);
    return raw > BigInt(Number.MAX_SAFE_INTEGER) ? null : Number(raw);
  };
  return [value(0), value(8)];
}

function putLimit(call: Syscall, address: number, [soft, hard]: readonly [number | null, number | null]): boolean {
  return writeStruct(call.space, address, 16, (view) => {
    view.setBigUint64(0, soft === null ? 0xffff_ffff_ffff_ffffn : BigInt(soft), true);
    view.setBigUint64(8, hard === null ? 0xffff_ffff_ffff_ffffn : BigInt(hard), true);
  });
}

function setLimit(process: Process, resource: number, [soft, hard]: Limits[number]): number {
  if (soft === null ? hard !== null : hard !== null && soft > hard) return -EINVAL;
  if (resource === RLIMIT_NOFILE && (hard === null || hard > 1048576)) return -EPERM;
  process.setLimit(resource, [soft, hard]);
  return 0;
}

function sysPrlimit64(call: Syscall): SyscallResult {
  const pid = call.int(0);
  const process = pid === 0 ? selfOf(call) : kernelOf(call).processes.get(pid);
  if (process === undefined) return -ESRCH;
  const resource = call.int(1);
  if (resource < 0 || resource >= RLIMIT_COUNT) return -EINVAL;
  const before = process.limit(resource);
  const view = call.uint(2) === 0 ? null : readView(call, call.uint(2), 16);
  if (call.uint(2) !== 0 && view === null) return -EFAULT;
  const wanted = view === null ? null : readLimit(view);
  if (call.uint(3) !== 0 && !putLimit(call, call.uint(3), before)) return -EFAULT;
  return wanted === null ? 0 : setLimit(process, resource, wanted);
}

function sysGetrlimit(call: Syscall): SyscallResult {
  const resource = call.int(0);
  if (resource < 0 || resource >= RLIMIT_COUNT) return -EINVAL;
  return putLimit(call, call.uint(1), selfOf(call).limit(resource)) ? 0 : -EFAULT;
}

function sysSetrlimit(call: Syscall): SyscallResult {
  const resource = call.int(0);
  if (resource < 0 || resource >= RLIMIT_COUNT) return -EINVAL;
  const view = readView(call, call.uint(1), 16);
  return view === null ? -EFAULT : setLimit(selfOf(call), resource, readLimit(view));
}

const RUSAGE_CHILDREN = -1;
const RUSAGE_THREAD = 1;

function sysGetrusage(call: Syscall): SyscallResult {
  const who = call.int(0);
  if (who < RUSAGE_CHILDREN || who > RUSAGE_THREAD) return -EINVAL;
  const self = selfOf(call);
  const instructions =
    who === RUSAGE_CHILDREN
      ? self.childInstructions
      : who === RUSAGE_THREAD
        ? threadOf(call).instructions
        : self.instructions;
  const put = writeStruct(call.space, call.uint(1), 144, (view) => {
    setTimeval(view, 0, Math.floor(instructions / 1000));
    // ru_maxrss, KiB.
    view.setBigInt64(32, BigInt(Math.floor(self.mm.mappedBytes / 1024)), true);
  });
  return put ? 0 : -EFAULT;
}

// ---- users and groups: kept as they are set; everybody is root to the file system

type IdKind = 'uid' | 'gid';

/** An id argument; -1: leave as it is. */
function idIn(call: Syscall, index: number): number | null {
  const id = call.int(index);
  return id === -1 ? null : id >>> 0;
}

function setIds(call: Syscall, kind: IdKind, [real, effective, saved]: readonly (number | null)[]): SyscallResult {
  const self = selfOf(call);
  const ids = self.ids[kind];
  const privileged = self.ids.uid[1] === 0;
  const known = [ids[0], ids[1], ids[2]];
  for (const id of [real, effective, saved]) if (id != null && !privileged && !known.includes(id)) return -EPERM;
  const next: Ids[IdKind] = [real ?? ids[0], effective ?? ids[1], saved ?? ids[2], effective ?? ids[1]];
  self.ids[kind] = next;
  self.touch();
  return 0;
}

function setOne(kind: IdKind): (call: Syscall) => SyscallResult {
  return (call) => {
    const id = idIn(call, 0);
    if (id === null) return -EINVAL;
    // For root all three change (setuid(2)).
    return setIds(call, kind, selfOf(call).ids.uid[1] === 0 ? [id, id, id] : [null, id, null]);
  };
}

function setTwo(kind: IdKind): (call: Syscall) => SyscallResult {
  return (call) => {
    const [real, effective] = [idIn(call, 0), idIn(call, 1)];
    return setIds(call, kind, [real, effective, real !== null || effective !== null ? effective : null]);
  };
}

function setThree(kind: IdKind): (call: Syscall) => SyscallResult {
  return (call) => setIds(call, kind, [idIn(call, 0), idIn(call, 1), idIn(call, 2)]);
}

function getThree(kind: IdKind): (call: Syscall) => SyscallResult {
  return (call) => {
    const ids = selfOf(call).ids[kind];
    for (let i = 0; i < 3; i++) if (!writeInt(call.space, call.uint(i), ids[i]!)) return -EFAULT;
    return 0;
  };
}

/** setfsuid(2): returns the old one, never an error. */
function setFs(kind: IdKind): (call: Syscall) => SyscallResult {
  return (call) => {
    const self = selfOf(call);
    const ids = self.ids[kind];
    const before = ids[3];
    const id = call.int(0) >>> 0;
    if (self.ids.uid[1] === 0 || ids.includes(id)) ids[3] = id;
    self.touch();
    return before;
  };
}

function sysGetgroups(call: Syscall): SyscallResult {
  const { groups } = selfOf(call).ids;
  const size = call.int(0);
  if (size < 0) return -EINVAL;
  if (size === 0) return groups.length;
  if (size < groups.length) return -EINVAL;
  const put = writeStruct(call.space, call.uint(1), groups.length * 4, (view) => {
    groups.forEach((group, i) => {
      view.setUint32(i * 4, group, true);
    });
  });
  return put ? groups.length : -EFAULT;
}

function sysSetgroups(call: Syscall): SyscallResult {
  const self = selfOf(call);
  if (self.ids.uid[1] !== 0) return -EPERM;
  const count = call.int(0);
  if (count < 0 || count > 65536) return -EINVAL;
  const view = readView(call, call.uint(1), count * 4);
  if (view === null) return -EFAULT;
  self.ids.groups = Array.from({ length: count }, (_, i) => view.getUint32(i * 4, true));
  self.touch();
  return 0;
}

/** Root has all 41 capabilities, another user none. */
const CAPABILITIES = [0xffff_ffff, 0x1ff];
const CAPABILITY_VERSIONS = new Map([
  [0x1998_0330, 1],
  [0x2007_1026, 2],
  [0x2008_0522, 2],
]);

function sysCapget(call: Syscall): SyscallResult {
  const header = readView(call, call.uint(0), 8);
  if (header === null) return -EFAULT;
  const words = CAPABILITY_VERSIONS.get(header.getUint32(0, true));
  if (words === undefined) {
    writeStruct(call.space, call.uint(0), 4, (view) => view.setUint32(0, 0x2008_0522, true));
    return call.uint(1) === 0 ? 0 : -EINVAL;
  }
  if (call.uint(1) === 0) return 0;
  const root = selfOf(call).ids.uid[1] === 0;
  const put = writeStruct(call.space, call.uint(1), words * 12, (view) => {
    for (let i = 0; i < words; i++) {
      view.setUint32(i * 12, root ? CAPABILITIES[i]! : 0, true);
      view.setUint32(i * 12 + 4, root ? CAPABILITIES[i]! : 0, true);
    }
  });
  return put ? 0 : -EFAULT;
}

// ---- prctl, arch_prctl

const PR_SET_PDEATHSIG = 1;
const PR_GET_PDEATHSIG = 2;
const PR_GET_DUMPABLE = 3;
const PR_SET_DUMPABLE = 4;
const PR_GET_KEEPCAPS = 7;
const PR_SET_KEEPCAPS = 8;
const PR_SET_NAME = 15;
const PR_GET_NAME = 16;
const PR_CAPBSET_READ = 23;
const PR_CAPBSET_DROP = 24;
const PR_SET_TIMERSLACK = 29;
const PR_GET_TIMERSLACK = 30;
const PR_SET_CHILD_SUBREAPER = 36;
const PR_GET_CHILD_SUBREAPER = 37;
const PR_SET_NO_NEW_PRIVS = 38;
const PR_GET_NO_NEW_PRIVS = 39;
const PR_GET_THP_DISABLE = 42;
const PR_SET_THP_DISABLE = 41;
const NAME_SIZE = 16;

function sysPrctl(call: Syscall): SyscallResult {
  const self = selfOf(call);
  const value = call.int(1);
  switch (call.int(0)) {
    case PR_SET_PDEATHSIG:
      if (value < 0 || value > 64) return -EINVAL;
      self.deathSignal = value;
      self.touch();
      return 0;
    case PR_GET_PDEATHSIG:
      return writeInt(call.space, call.uint(1), self.deathSignal) ? 0 : -EFAULT;
    case PR_GET_DUMPABLE:
      return self.dumpable;
    case PR_SET_DUMPABLE:
      if (value !== 0 && value !== 1) return -EINVAL;
      self.dumpable = value;
      self.touch();
      return 0;
    case PR_SET_NAME: {
      const name = readString(call.space, call.uint(1), NAME_SIZE);
      // Longer names are cut.
      const cut = typeof name === 'string' ? name : cutName(call);
      if (cut === null) return -EFAULT;
      threadOf(call).name = cut;
      return 0;
    }
    case PR_GET_NAME: {
      const bytes = new Uint8Array(NAME_SIZE);
      putString(bytes, 0, threadOf(call).name, NAME_SIZE);
      return call.space.write(call.uint(1), bytes) ? 0 : -EFAULT;
    }
    case PR_CAPBSET_READ:
      return value >= 0 && value <= 40 ? 1 : -EINVAL;
    case PR_CAPBSET_DROP:
      return value >= 0 && value <= 40 ? 0 : -EINVAL;
    case PR_SET_CHILD_SUBREAPER:
      self.subreaper = value !== 0;
      self.touch();
      return 0;
    case PR_GET_CHILD_SUBREAPER:
      return writeInt(call.space, call.uint(1), self.subreaper ? 1 : 0) ? 0 : -EFAULT;
    case PR_GET_TIMERSLACK:
      return 50_000;
    case PR_SET_TIMERSLACK:
    case PR_SET_KEEPCAPS:
    case PR_GET_KEEPCAPS:
    case PR_SET_THP_DISABLE:
    case PR_GET_THP_DISABLE:
    case PR_SET_NO_NEW_PRIVS:
    case PR_GET_NO_NEW_PRIVS:
      return 0;
    default:
      return -EINVAL;
  }
}

function cutName(call: Syscall): string | null {
  const bytes = call.space.read(call.uint(1), NAME_SIZE - 1);
  return bytes === null ? null : new TextDecoder().decode(bytes);
}

const ARCH_SET_GS = 0x1001;
const ARCH_SET_FS = 0x1002;
const ARCH_GET_FS = 0x1003;
const ARCH_GET_GS = 0x1004;

function sysArchPrctl(call: Syscall): SyscallResult {
  const { context } = threadOf(call);
  const put = (value: bigint) =>
    writeStruct(call.space, call.uint(1), 8, (view) => view.setBigUint64(0, value, true)) ? 0 : -EFAULT;
  switch (call.int(0)) {
    case ARCH_SET_FS:
    case ARCH_SET_GS:
      if (call.bits(1) >> 47n !== 0n) return -EPERM;
      if (call.int(0) === ARCH_SET_FS) context.fsBase = call.bits(1);
      else context.u64[OFF_GS_BASE >> 3] = call.bits(1);
      return 0;
    case ARCH_GET_FS:
      return put(context.fsBase);
    case ARCH_GET_GS:
      return put(context.u64[OFF_GS_BASE >> 3]!);
    default:
      // No CET, no XSAVE components to ask for.
      return -EINVAL;
  }
}

// ---- scheduling: one CPU, everybody SCHED_OTHER with nice 0

function threadIn(call: Syscall, index: number): Thread | undefined {
  const tid = call.int(index);
  return tid === 0 ? threadOf(call) : kernelOf(call).threads.get(tid);
}

function sysSchedGetaffinity(call: Syscall): SyscallResult {
  const size = call.uint(1);
  if (size < 8 || size % 8 !== 0) return -EINVAL;
  if (threadIn(call, 0) === undefined) return -ESRCH;
  return writeStruct(call.space, call.uint(2), 8, (view) => view.setBigUint64(0, 1n, true)) ? 8 : -EFAULT;
}

function sysSchedSetaffinity(call: Syscall): SyscallResult {
  if (threadIn(call, 0) === undefined) return -ESRCH;
  const mask = call.space.read(call.uint(2), Math.min(call.uint(1), 128));
  if (mask === null) return -EFAULT;
  return mask.length > 0 && (mask[0]! & 1) !== 0 ? 0 : -EINVAL;
}

function sysSchedGetparam(call: Syscall): SyscallResult {
  if (threadIn(call, 0) === undefined) return -ESRCH;
  return writeInt(call.space, call.uint(1), 0) ? 0 : -EFAULT;
}

function priorityRange(call: Syscall): SyscallResult {
  // SCHED_OTHER, BATCH, IDLE have 0 … 0; the real-time ones are not to be had.
  return [0, 3, 5].includes(call.int(0)) ? 0 : [1, 2].includes(call.int(0)) ? 1 : -EINVAL;
}

function sysSchedSetscheduler(call: Syscall): SyscallResult {
  if (threadIn(call, 0) === undefined) return -ESRCH;
  return [0, 3, 5].includes(call.int(1)) ? 0 : -EPERM;
}

function sysGetcpu(call: Syscall): SyscallResult {
  for (const index of [0, 1]) {
    if (call.uint(index) !== 0 && !writeInt(call.space, call.uint(index), 0)) return -EFAULT;
  }
  return 0;
}

/** membarrier(2): one CPU needs no barrier. MEMBARRIER_CMD_QUERY names the commands. */
function sysMembarrier(call: Syscall): SyscallResult {
  const command = call.int(0);
  const known = 0x1ff;
  if (command === 0) return known;
  return (command & known) === command && (command & (command - 1)) === 0 ? 0 : -EINVAL;
}

const none = (): SyscallResult => 0;

export const SYSTEM_CALLS: readonly SyscallEntry[] = [
  full(N.SYS_uname, sysUname),
  full(N.SYS_sethostname, sysSethostname),
  partial(N.SYS_sysinfo, sysSysinfo, 'no load averages'),
  full(N.SYS_getrandom, sysGetrandom),
  partial(N.SYS_prlimit64, sysPrlimit64, 'kept; enforced: RLIMIT_NOFILE'),
  partial(N.SYS_getrlimit, sysGetrlimit, 'kept; enforced: RLIMIT_NOFILE'),
  partial(N.SYS_setrlimit, sysSetrlimit, 'kept; enforced: RLIMIT_NOFILE'),
  partial(N.SYS_getrusage, sysGetrusage, 'time by instructions, all of it user time'),
  full(N.SYS_getuid, (call) => selfOf(call).ids.uid[0]),
  full(N.SYS_geteuid, (call) => selfOf(call).ids.uid[1]),
  full(N.SYS_getgid, (call) => selfOf(call).ids.gid[0]),
  full(N.SYS_getegid, (call) => selfOf(call).ids.gid[1]),
  partial(N.SYS_setuid, setOne('uid'), 'kept; the file system refuses nobody'),
  partial(N.SYS_setgid, setOne('gid'), 'kept; the file system refuses nobody'),
  partial(N.SYS_setreuid, setTwo('uid'), 'kept; the file system refuses nobody'),
  partial(N.SYS_setregid, setTwo('gid'), 'kept; the file system refuses nobody'),
  partial(N.SYS_setresuid, setThree('uid'), 'kept; the file system refuses nobody'),
  partial(N.SYS_setresgid, setThree('gid'), 'kept; the file system refuses nobody'),
  full(N.SYS_getresuid, getThree('uid')),
  full(N.SYS_getresgid, getThree('gid')),
  full(N.SYS_setfsuid, setFs('uid')),
  full(N.SYS_setfsgid, setFs('gid')),
  full(N.SYS_getgroups, sysGetgroups),
  full(N.SYS_setgroups, sysSetgroups),
  partial(N.SYS_capget, sysCapget, 'all for root, none for others'),
  partial(N.SYS_capset, none, 'accepted, without effect'),
  partial(N.SYS_prctl, sysPrctl, 'names, death signal, dumpable, subreaper (kept); no seccomp'),
  full(N.SYS_arch_prctl, sysArchPrctl),
  full(N.SYS_sched_getaffinity, sysSchedGetaffinity),
  full(N.SYS_sched_setaffinity, sysSchedSetaffinity),
  partial(N.SYS_sched_getparam, sysSchedGetparam, 'priority 0'),
  partial(N.SYS_sched_setparam, none, 'accepted, without effect'),
  partial(N.SYS_sched_getscheduler, none, 'SCHED_OTHER'),
  partial(N.SYS_sched_setscheduler, sysSchedSetscheduler, 'no real-time policies'),
  full(N.SYS_sched_get_priority_max, priorityRange),
  full(N.SYS_sched_get_priority_min, priorityRange),
  // The raw call gives 20 - nice.
  partial(N.SYS_getpriority, () => 20, 'nice 0'),
  partial(N.SYS_setpriority, none, 'accepted, without effect'),
  partial(N.SYS_ioprio_get, none, 'accepted, without effect'),
  partial(N.SYS_ioprio_set, none, 'accepted, without effect'),
  full(N.SYS_getcpu, sysGetcpu),
  full(N.SYS_membarrier, sysMembarrier),
  partial(N.SYS_personality, none, 'PER_LINUX'),
];
