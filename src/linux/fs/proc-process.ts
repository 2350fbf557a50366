/** /proc/PID and /proc/PID/task/TID. */

import { EINVAL } from '../abi/errno.ts';
import { major, minor } from '../abi/stat.ts';
import type { OpenFile } from '../open-file.ts';
import { DescriptionNode, NodeFile } from './file-host.ts';
import type { Node } from './node.ts';
import type { ProcMapping, ProcProcess, ProcView } from './proc-view.ts';
import { directoryOf, fileOf, type SyntheticDirectory, type SyntheticEntry } from './synthetic.ts';
import type { Vfs } from './vfs.ts';

const HZ_US = 10_000;

export function processDirectory(vfs: Vfs, view: ProcView, pid: number): SyntheticDirectory {
  const of = (): ProcProcess | undefined => view.process(pid);
  const text = (make: (process: ProcProcess) => string | Uint8Array) =>
    fileOf(() => {
      const process = of();
      return process === undefined ? '' : make(process);
    });
  const link = (
    target: (process: ProcProcess) => string,
    node: (process: ProcProcess) => Node | null,
  ): SyntheticEntry => ({
    kind: 'link',
    target: () => {
      const process = of();
      return process === undefined ? '' : target(process);
    },
    node: () => {
      const process = of();
      return process === undefined ? null : node(process);
    },
  });
  const common: Record<string, SyntheticEntry> = {
    exe: link(
      (p) => p.exePath,
      (p) => p.exeNode,
    ),
    cwd: link(
      (p) => vfs.pathOf(p.fs.cwd) ?? '/ (deleted)',
      (p) => p.fs.cwd,
    ),
    root: link(
      (p) => vfs.pathOf(p.fs.root) ?? '/',
      (p) => p.fs.root,
    ),
    maps: text((p) => p.mappings().map(mapLine).join('')),
    smaps: text((p) =>
      p
        .mappings()
        .map((m) => mapLine(m) + smap([m]))
        .join(''),
    ),
    smaps_rollup: text((p) => rollup(p.mappings())),
    stat: text((p) => stat(p, p.pid)),
    statm: text((p) => {
      const { size, resident } = sizes(p);
      return `${size / 4096} ${resident / 4096} 0 1 0 ${resident / 4096} 0\n`;
    }),
    status: text((p) => status(p, p.pid)),
    cmdline: text((p) => p.cmdline()),
    comm: text((p) => `${p.comm}\n`),
    environ: text((p) => p.environ()),
    auxv: text((p) => p.auxv()),
    mounts: fileOf(MOUNTS),
    mountinfo: fileOf(MOUNTINFO),
    limits: text(limits),
    cgroup: fileOf('0::/\n'),
    wchan: fileOf('0'),
    loginuid: fileOf('4294967295'),
    oom_score: fileOf('0\n'),
    oom_score_adj: oomScoreAdj(of),
    io: fileOf('rchar: 0\nwchar: 0\nsyscr: 0\nsyscw: 0\nread_bytes: 0\nwrite_bytes: 0\ncancelled_write_bytes: 0\n'),
    fd: fdDirectory(of, (p, fd) => fdLink(p, fd)),
    fdinfo: fdDirectory(of, (p, fd) => fileOf(() => fdinfo(p.file(fd)))),
    net: directoryOf({
      dev: fileOf(
        'Inter-|   Receive                                                |  Transmit\n face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n',
      ),
    }),
  };
  return directoryOf({ ...common, task: taskDirectory(view, pid, common) });
}

function oomScoreAdj(of: () => ProcProcess | undefined): SyntheticEntry {
  return fileOf(
    () => `${of()?.oomScoreAdj ?? 0}\n`,
    (bytes) => {
      const value = new TextDecoder().decode(bytes).trim();
      const process = of();
      if (!/^-?[0-9]+$/.test(value) || Math.abs(Number(value)) > 1000 || process === undefined) return -EINVAL;
      process.oomScoreAdj = Number(value);
      return bytes.length;
    },
  );
}

function taskDirectory(view: ProcView, pid: number, common: Record<string, SyntheticEntry>): SyntheticDirectory {
  const threads = () => view.process(pid)?.threads() ?? [];
  return {
    kind: 'directory',
    list: () => threads().map(({ tid }) => String(tid)),
    child: (name) => {
      const thread = threads().find(({ tid }) => String(tid) === name);
      if (thread === undefined) return null;
      const process = view.process(pid)!;
      return directoryOf({
        ...common,
        comm: fileOf(() => `${thread.comm}\n`),
        stat: fileOf(() => stat(process, thread.tid, thread.comm, thread.state)),
        status: fileOf(() => status(process, thread.tid, thread.comm, thread.state)),
      });
    },
  };
}

function fdDirectory(
  of: () => ProcProcess | undefined,
  make: (process: ProcProcess, fd: number) => SyntheticEntry,
): SyntheticDirectory {
  return {
    kind: 'directory',
    list: () => (of()?.fds() ?? []).map(String),
    child: (name) => {
      const process = of();
      if (process === undefined || !/^(0|[1-9][0-9]*)$/.test(name)) return null;
      return process.file(Number(name)) === undefined ? null : make(process, Number(name));
    },
  };
}

function fdLink(process: ProcProcess, fd: number): SyntheticEntry {
  const target = () => {
    const file = process.file(fd);
    if (file === undefined) return '';
    if (file instanceof NodeFile) return file.path;
    const { path } = file as OpenFile & { path?: string };
    return path ?? `socket:[${file.stat().ino}]`;
  };
  const node = () => {
    const file = process.file(fd);
    if (file === undefined) return null;
    return file instanceof NodeFile ? file.node : new DescriptionNode(file);
  };
  return { kind: 'link', target, node };
}

function fdinfo(file: OpenFile | undefined): string {
  if (file === undefined) return '';
  const { offset } = file as OpenFile & { offset?: number };
  return `pos:\t${offset ?? 0}\nflags:\t0${file.flags.toString(8)}\nmnt_id:\t1\nino:\t${file.stat().ino}\n`;
}

function sizes(process: ProcProcess): { size: number; resident: number } {
  let size = 0;
  let resident = 0;
  for (const mapping of process.mappings()) {
    size += mapping.end - mapping.start;
    resident += mapping.residentBytes;
  }
  return { size, resident };
}

function hex(value: number, width: number): string {
  return value.toString(16).padStart(width, '0');
}

function mapLine(m: ProcMapping): string {
  const prot = `${m.prot & 1 ? 'r' : '-'}${m.prot & 2 ? 'w' : '-'}${m.prot & 4 ? 'x' : '-'}${m.shared ? 's' : 'p'}`;
  const head = `${hex(m.start, 8)}-${hex(m.end, 8)} ${prot} ${hex(m.offset, 8)} ${hex(major(m.dev), 2)}:${hex(minor(m.dev), 2)} ${m.ino} `;
  return m.name === '' ? `${head}\n` : `${head.padEnd(73)}${m.name}\n`;
}

function smap(mappings: readonly ProcMapping[]): string {
  const size = mappings.reduce((sum, m) => sum + m.end - m.start, 0) / 1024;
  const rss = mappings.reduce((sum, m) => sum + m.residentBytes, 0) / 1024;
  const rows: [string, number][] = [
    ...(mappings.length === 1 ? ([['Size', size]] as [string, number][]) : []),
    ['Rss', rss],
    ['Pss', rss],
    ['Shared_Clean', 0],
    ['Shared_Dirty', 0],
    ['Private_Clean', 0],
    ['Private_Dirty', rss],
    ['Referenced', rss],
    ['Anonymous', rss],
    ['AnonHugePages', 0],
    ['Swap', 0],
    ['Locked', 0],
  ];
  return rows.map(([name, kb]) => `${`${name}:`.padEnd(16)}${String(kb).padStart(8)} kB\n`).join('');
}

function rollup(mappings: readonly ProcMapping[]): string {
  if (mappings.length === 0) return '';
  const head = `${hex(mappings[0]!.start, 8)}-${hex(mappings.at(-1)!.end, 8)} ---p 00000000 00:00 0 `;
  return `${head.padEnd(73)}[rollup]\n${smap(mappings)}`;
}

function stat(p: ProcProcess, id: number, comm = p.comm, state = p.state): string {
  const { size, resident } = sizes(p);
  const ticks = Math.floor(p.cpuUs / HZ_US);
  const stack = p.mappings().find((m) => m.name === '[stack]');
  const fields = [
    id,
    `(${comm})`,
    state,
    p.ppid,
    p.pgid,
    p.sid,
    0, // tty_nr
    -1, // tpgid
    0x400000, // flags
    0, // minflt
    0,
    0, // majflt
    0,
    ticks, // utime
    0, // stime
    0,
    0,
    20, // priority
    0, // nice
    p.threads().length,
    0,
    Math.floor(p.startUs / HZ_US),
    size,
    resident / 4096,
    '18446744073709551615', // rsslim
    p.mappings()[0]?.start ?? 0,
    0, // endcode
    stack?.end ?? 0, // startstack
    ...Array.from({ length: 9 }, () => 0), // kstkesp … cnswap
    17, // exit_signal
    0, // processor
    ...Array.from({ length: 13 }, () => 0),
  ];
  return `${fields.join(' ')}\n`;
}

function status(p: ProcProcess, id: number, comm = p.comm, state = p.state): string {
  const { size, resident } = sizes(p);
  const names: Record<string, string> = { R: 'running', S: 'sleeping', T: 'stopped', Z: 'zombie' };
  const kb = (bytes: number) => `${String(bytes / 1024).padStart(8)} kB`;
  const zero = '0000000000000000';
  const rows: [string, string | number][] = [
    ['Name', comm],
    ['Umask', `0${p.fs.umask.toString(8).padStart(3, '0')}`],
    ['State', `${state} (${names[state] ?? 'sleeping'})`],
    ['Tgid', p.pid],
    ['Ngid', 0],
    ['Pid', id],
    ['PPid', p.ppid],
    ['TracerPid', 0],
    ['Uid', `${p.uid}\t${p.uid}\t${p.uid}\t${p.uid}`],
    ['Gid', `${p.gid}\t${p.gid}\t${p.gid}\t${p.gid}`],
    ['FDSize', 64],
    ['Groups', ' '],
    ['VmPeak', kb(size)],
    ['VmSize', kb(size)],
    ['VmLck', kb(0)],
    ['VmHWM', kb(resident)],
    ['VmRSS', kb(resident)],
    ['RssAnon', kb(resident)],
    ['VmSwap', kb(0)],
    ['Threads', p.threads().length],
    ['SigQ', '0/0'],
    ['SigPnd', zero],
    ['ShdPnd', zero],
    ['SigBlk', zero],
    ['SigIgn', zero],
    ['SigCgt', zero],
    ['CapInh', zero],
    ['CapPrm', '000001ffffffffff'],
    ['CapEff', '000001ffffffffff'],
    ['CapBnd', '000001ffffffffff'],
    ['CapAmb', zero],
    ['NoNewPrivs', 0],
    ['Seccomp', 0],
    ['Cpus_allowed', 1],
    ['Cpus_allowed_list', 0],
    ['Mems_allowed', 1],
    ['Mems_allowed_list', 0],
    ['voluntary_ctxt_switches', 0],
    ['nonvoluntary_ctxt_switches', 0],
  ];
  return rows.map(([name, value]) => `${name}:\t${value}\n`).join('');
}

const LIMITS: readonly (readonly [string, string])[] = [
  ['Max cpu time', 'seconds'],
  ['Max file size', 'bytes'],
  ['Max data size', 'bytes'],
  ['Max stack size', 'bytes'],
  ['Max core file size', 'bytes'],
  ['Max resident set', 'bytes'],
  ['Max processes', 'processes'],
  ['Max open files', 'files'],
  ['Max locked memory', 'bytes'],
  ['Max address space', 'bytes'],
  ['Max file locks', 'locks'],
  ['Max pending signals', 'signals'],
  ['Max msgqueue size', 'bytes'],
  ['Max nice priority', ''],
  ['Max realtime priority', ''],
  ['Max realtime timeout', 'us'],
];

function limits(p: ProcProcess): string {
  const show = (value: number | null) => (value === null ? 'unlimited' : String(value)).padEnd(21);
  const rows = LIMITS.map(([name, unit], resource) => {
    const [soft, hard] = p.limit(resource);
    return `${name.padEnd(26)}${show(soft)}${show(hard)}${unit.padEnd(10)}\n`;
  });
  return `${'Limit'.padEnd(26)}${'Soft Limit'.padEnd(21)}${'Hard Limit'.padEnd(21)}Units     \n${rows.join('')}`;
}

const MOUNTS = `overlay / overlay rw,relatime 0 0
proc /proc proc rw,nosuid,nodev,noexec,relatime 0 0
sysfs /sys sysfs ro,nosuid,nodev,noexec,relatime 0 0
tmpfs /dev tmpfs rw,nosuid,mode=755 0 0
tmpfs /dev/shm tmpfs rw,nosuid,nodev 0 0
`;

const MOUNTINFO = `1 0 0:29 / / rw,relatime - overlay overlay rw
2 1 0:21 / /proc rw,nosuid,nodev,noexec,relatime - proc proc rw
3 1 0:22 / /sys ro,nosuid,nodev,noexec,relatime - sysfs sysfs ro
4 1 0:5 / /dev rw,nosuid - tmpfs tmpfs rw,mode=755
5 4 0:23 / /dev/shm rw,nosuid,nodev - tmpfs tmpfs rw
`;
