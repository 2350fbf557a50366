/** Attributes of a process and its threads: prctl(2), arch_prctl(2). Source: kernel/sys.c, arch/x86/kernel/process_64.c. */

import { EFAULT, EINVAL, EPERM } from '../abi/errno.ts';
import { SIGNAL_MAX } from '../abi/signal.ts';
import * as N from '../abi/syscall-numbers.ts';
import { readCString } from '../call.ts';
import type { Syscall, SyscallResult } from '../syscall.ts';
import { DEFAULT_SLACK_NS } from '../thread.ts';
import { putString, selfOf, threadOf, writeInt, writeStruct } from './core.ts';
import { full, partial, type SyscallEntry } from './entry.ts';

const NAME_SIZE = 16;
const CAP_LAST = 40;
const decoder = new TextDecoder();

type Option = (call: Syscall) => SyscallResult;

/** By the number of the option (include/uapi/linux/prctl.h). */
const OPTIONS: Readonly<Record<number, Option>> = {
  // PR_SET_PDEATHSIG, PR_GET_PDEATHSIG
  1: (call) => {
    const signo = call.uint(1);
    if (signo > SIGNAL_MAX) return -EINVAL;
    return change(call, () => {
      selfOf(call).deathSignal = signo;
    });
  },
  2: (call) => putInt(call, selfOf(call).deathSignal),
  // PR_GET_DUMPABLE, PR_SET_DUMPABLE
  3: (call) => selfOf(call).dumpable,
  4: (call) => setFlag(call, 'dumpable'),
  // PR_GET_KEEPCAPS, PR_SET_KEEPCAPS
  7: (call) => selfOf(call).keepCaps,
  8: (call) => setFlag(call, 'keepCaps'),
  // PR_SET_NAME, PR_GET_NAME
  15: setName,
  16: (call) => {
    const bytes = new Uint8Array(NAME_SIZE);
    putString(bytes, 0, threadOf(call).name, NAME_SIZE);
    return call.space.write(call.uint(1), bytes) ? 0 : -EFAULT;
  },
  // PR_CAPBSET_READ, PR_CAPBSET_DROP
  23: (call) => (call.uint(1) <= CAP_LAST ? 1 : -EINVAL),
  24: (call) => (call.uint(1) <= CAP_LAST ? 0 : -EINVAL),
  // PR_SET_TIMERSLACK (0: the default), PR_GET_TIMERSLACK
  29: (call) => {
    threadOf(call).slackNs = call.uint(1) || DEFAULT_SLACK_NS;
    return 0;
  },
  30: (call) => threadOf(call).slackNs,
  // PR_SET_CHILD_SUBREAPER, PR_GET_CHILD_SUBREAPER
  36: (call) =>
    change(call, () => {
      selfOf(call).subreaper = call.uint(1) !== 0;
    }),
  37: (call) => putInt(call, selfOf(call).subreaper ? 1 : 0),
  // PR_SET_NO_NEW_PRIVS, PR_GET_NO_NEW_PRIVS: once set for good
  38: (call) => {
    if (call.uint(1) !== 1 || hasArguments(call, 2)) return -EINVAL;
    return change(call, () => {
      selfOf(call).noNewPrivs = 1;
    });
  },
  39: (call) => (hasArguments(call, 1) ? -EINVAL : selfOf(call).noNewPrivs),
  // PR_SET_THP_DISABLE, PR_GET_THP_DISABLE: there are no huge pages
  41: (call) => (hasArguments(call, 2) ? -EINVAL : 0),
  42: (call) => (hasArguments(call, 1) ? -EINVAL : 0),
};

function sysPrctl(call: Syscall): SyscallResult {
  return OPTIONS[call.int(0)]?.(call) ?? -EINVAL;
}

function change(call: Syscall, apply: () => void): number {
  apply();
  selfOf(call).touch();
  return 0;
}

function setFlag(call: Syscall, flag: 'dumpable' | 'keepCaps'): SyscallResult {
  const value = call.uint(1);
  if (value > 1) return -EINVAL;
  return change(call, () => {
    selfOf(call)[flag] = value;
  });
}

function putInt(call: Syscall, value: number): SyscallResult {
  return writeInt(call.space, call.uint(1), value) ? 0 : -EFAULT;
}

/** Those that are unused must be zero. */
function hasArguments(call: Syscall, from: number): boolean {
  for (let index = from; index <= 4; index++) if (call.uint(index) !== 0) return true;
  return false;
}

/** Longer names are cut. */
function setName(call: Syscall): SyscallResult {
  const whole = readCString(call.space, call.uint(1), NAME_SIZE);
  const bytes = typeof whole === 'number' ? call.space.read(call.uint(1), NAME_SIZE - 1) : whole;
  if (bytes === null) return -EFAULT;
  threadOf(call).name = decoder.decode(bytes);
  return 0;
}

// ---- arch_prctl

const ARCH_SET_GS = 0x1001;
const ARCH_SET_FS = 0x1002;
const ARCH_GET_FS = 0x1003;
const ARCH_GET_GS = 0x1004;

function sysArchPrctl(call: Syscall): SyscallResult {
  const { context } = threadOf(call);
  const put = (value: bigint): SyscallResult =>
    writeStruct(call.space, call.uint(1), 8, (view) => view.setBigUint64(0, value, true)) ? 0 : -EFAULT;
  switch (call.int(0)) {
    case ARCH_SET_FS:
    case ARCH_SET_GS:
      if (call.bits(1) >> 47n !== 0n) return -EPERM;
      if (call.int(0) === ARCH_SET_FS) context.fsBase = call.bits(1);
      else context.gsBase = call.bits(1);
      return 0;
    case ARCH_GET_FS:
      return put(context.fsBase);
    case ARCH_GET_GS:
      return put(context.gsBase);
    default:
      // No CET, no XSAVE components to ask for.
      return -EINVAL;
  }
}

export const PRCTL_CALLS: readonly SyscallEntry[] = [
  partial(
    N.SYS_prctl,
    sysPrctl,
    'names, death signal, subreaper; kept: dumpable, no_new_privs, timer slack; no seccomp',
  ),
  full(N.SYS_arch_prctl, sysArchPrctl),
];
