/** Users, groups and capabilities: kept as they are set; to the file system everybody is root. Source: kernel/sys.c. */

import { EFAULT, EINVAL, EPERM } from '../abi/errno.ts';
import * as N from '../abi/syscall-numbers.ts';
import type { Ids } from '../process.ts';
import type { Syscall, SyscallResult } from '../syscall.ts';
import { selfOf, writeInt, writeStruct } from './core.ts';
import { full, looking, partial, type SyscallEntry } from './entry.ts';
import { readView } from './fs-kernel.ts';

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

/** setuid(2): for root all three change; another user may go back to the real or the saved one. */
function setOne(kind: IdKind): (call: Syscall) => SyscallResult {
  return (call) => {
    const id = idIn(call, 0);
    if (id === null) return -EINVAL;
    const { ids } = selfOf(call);
    if (ids.uid[1] === 0) return setIds(call, kind, [id, id, id]);
    return id === ids[kind][0] || id === ids[kind][2] ? setIds(call, kind, [null, id, null]) : -EPERM;
  };
}

/** setreuid(2): the saved id follows the effective one, unless that becomes what the real one was. */
function setTwo(kind: IdKind): (call: Syscall) => SyscallResult {
  return (call) => {
    const [real, effective] = [idIn(call, 0), idIn(call, 1)];
    const { ids } = selfOf(call);
    const [wasReal, wasEffective] = ids[kind];
    if (real !== null && ids.uid[1] !== 0 && real !== wasReal && real !== wasEffective) return -EPERM;
    const follows = real !== null || (effective !== null && effective !== wasReal);
    return setIds(call, kind, [real, effective, follows ? (effective ?? wasEffective) : null]);
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
    const id = idIn(call, 0);
    if (id !== null && (self.ids.uid[1] === 0 || ids.includes(id))) ids[3] = id;
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

const KEPT = 'kept; the file system refuses nobody';

export const IDENTITY_CALLS: readonly SyscallEntry[] = [
  looking(full(N.SYS_getuid, (call) => selfOf(call).ids.uid[0])),
  looking(full(N.SYS_geteuid, (call) => selfOf(call).ids.uid[1])),
  looking(full(N.SYS_getgid, (call) => selfOf(call).ids.gid[0])),
  looking(full(N.SYS_getegid, (call) => selfOf(call).ids.gid[1])),
  partial(N.SYS_setuid, setOne('uid'), KEPT),
  partial(N.SYS_setgid, setOne('gid'), KEPT),
  partial(N.SYS_setreuid, setTwo('uid'), KEPT),
  partial(N.SYS_setregid, setTwo('gid'), KEPT),
  partial(N.SYS_setresuid, setThree('uid'), KEPT),
  partial(N.SYS_setresgid, setThree('gid'), KEPT),
  looking(full(N.SYS_getresuid, getThree('uid'))),
  looking(full(N.SYS_getresgid, getThree('gid'))),
  partial(N.SYS_setfsuid, setFs('uid'), KEPT),
  partial(N.SYS_setfsgid, setFs('gid'), KEPT),
  looking(full(N.SYS_getgroups, sysGetgroups)),
  partial(N.SYS_setgroups, sysSetgroups, KEPT),
  partial(N.SYS_capget, sysCapget, 'all for root, none for others'),
  partial(N.SYS_capset, () => 0, 'accepted, without effect'),
];
