/** The system and what of it one may use: uname(2), sysinfo(2), getrandom(2), limits and usage. */

import { EFAULT, EINVAL, EPERM, ESRCH } from '../abi/errno.ts';
import * as N from '../abi/syscall-numbers.ts';
import { type Limits, RLIMIT_COUNT, RLIMIT_NOFILE } from '../limits.ts';
import type { Process } from '../process.ts';
import type { Syscall, SyscallResult } from '../syscall.ts';
import { MACHINE, OS_NAME, OS_RELEASE, OS_VERSION } from '../uname.ts';
import { kernelOf, putString, selfOf, setTimeval, threadOf, writeInt, writeStruct } from './core.ts';
import { full, looking, partial, type SyscallEntry } from './entry.ts';
import { readView } from './fs-kernel.ts';

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

// ---- the CPU

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

export const SYSTEM_CALLS: readonly SyscallEntry[] = [
  looking(full(N.SYS_uname, sysUname)),
  full(N.SYS_sethostname, sysSethostname),
  partial(N.SYS_sysinfo, sysSysinfo, 'no load averages'),
  full(N.SYS_getrandom, sysGetrandom),
  partial(N.SYS_prlimit64, sysPrlimit64, 'kept; enforced: RLIMIT_NOFILE'),
  looking(partial(N.SYS_getrlimit, sysGetrlimit, 'kept; enforced: RLIMIT_NOFILE')),
  partial(N.SYS_setrlimit, sysSetrlimit, 'kept; enforced: RLIMIT_NOFILE'),
  looking(partial(N.SYS_getrusage, sysGetrusage, 'time by instructions, all of it user time')),
  looking(full(N.SYS_getcpu, sysGetcpu)),
  full(N.SYS_membarrier, sysMembarrier),
  partial(N.SYS_personality, () => 0, 'PER_LINUX'),
];
