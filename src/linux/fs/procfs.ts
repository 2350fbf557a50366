/** /proc (proc(5)), but for a process's directory, which is in proc-process.ts. */

import { USER_START } from '../../lvm/layout.ts';
import { FAMILY, FLAGS, MAX_LEAF, MODEL, MODEL_NAME, STEPPING, VENDOR } from '../../x86/cpuid.ts';
import { DEV_PROC } from './node.ts';
import { processDirectory } from './proc-process.ts';
import type { ProcView } from './proc-view.ts';
import { directoryOf, fileOf, type SyntheticDirectory, type SyntheticEntry, SyntheticNode } from './synthetic.ts';
import type { Vfs } from './vfs.ts';

export function mountProc(vfs: Vfs, view: ProcView): void {
  vfs.mount('proc', new SyntheticNode('/proc', procRoot(vfs, view), vfs.root, DEV_PROC));
}

function procRoot(vfs: Vfs, view: ProcView): SyntheticDirectory {
  const fixed: Record<string, SyntheticEntry> = {
    self: { kind: 'link', target: () => String(view.currentPid()) },
    'thread-self': { kind: 'link', target: () => `${view.currentPid()}/task/${view.currentTid()}` },
    mounts: { kind: 'link', target: () => 'self/mounts' },
    net: { kind: 'link', target: () => 'self/net' },
    meminfo: fileOf(() => meminfo(view)),
    cpuinfo: fileOf(CPUINFO),
    stat: fileOf(() => stat(view)),
    uptime: fileOf(() => `${seconds(view.monotonicUs())} ${seconds(0)}\n`),
    loadavg: fileOf(() => `0.00 0.00 0.00 1/${view.pids().length} ${view.pids().at(-1) ?? 1}\n`),
    version: fileOf(() => `Linux version ${view.osRelease} (tardigrade) ${view.version}\n`),
    filesystems: fileOf('nodev\tsysfs\nnodev\ttmpfs\nnodev\tproc\nnodev\tdevtmpfs\nnodev\toverlay\nnodev\tpipefs\n'),
    cmdline: fileOf('\n'),
    devices: fileOf('Character devices:\n  1 mem\n  5 /dev/tty\n\nBlock devices:\n'),
    swaps: fileOf('Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n'),
    vmstat: fileOf(() => `nr_free_pages ${Math.floor(view.freeMemoryBytes() / 4096)}\npgfault 0\npgmajfault 0\n`),
    sys: sysctl(view),
  };
  return {
    kind: 'directory',
    list: () => [...view.pids().map(String), ...Object.keys(fixed)],
    child: (name) => {
      if (Object.hasOwn(fixed, name)) return fixed[name]!;
      if (!/^[1-9][0-9]*$/.test(name)) return null;
      return view.process(Number(name)) === undefined ? null : processDirectory(vfs, view, Number(name));
    },
  };
}

/** "123.45". */
export function seconds(us: number): string {
  return (Math.floor(us / 10_000) / 100).toFixed(2);
}

function meminfo(view: ProcView): string {
  const total = Math.floor(view.totalMemoryBytes() / 1024);
  const free = Math.floor(view.freeMemoryBytes() / 1024);
  const rows: [string, number][] = [
    ['MemTotal', total],
    ['MemFree', free],
    ['MemAvailable', free],
    ['Buffers', 0],
    ['Cached', 0],
    ['SwapCached', 0],
    ['Active', total - free],
    ['Inactive', 0],
    ['SwapTotal', 0],
    ['SwapFree', 0],
    ['Dirty', 0],
    ['Writeback', 0],
    ['AnonPages', total - free],
    ['Mapped', 0],
    ['Shmem', 0],
    ['Slab', 0],
    ['CommitLimit', total],
    ['Committed_AS', total - free],
    ['VmallocTotal', 34_359_738_367],
    ['VmallocUsed', 0],
    ['AnonHugePages', 0],
    ['Hugepagesize', 2048],
  ];
  return rows.map(([name, kb]) => `${`${name}:`.padEnd(16)}${String(kb).padStart(8)} kB\n`).join('');
}

/** The one virtual CPU, as CPUID describes it. */
const CPUINFO = `processor\t: 0
vendor_id\t: ${VENDOR}
cpu family\t: ${FAMILY}
model\t\t: ${MODEL}
model name\t: ${MODEL_NAME}
stepping\t: ${STEPPING}
cpu MHz\t\t: 1000.000
cache size\t: 4096 KB
physical id\t: 0
siblings\t: 1
core id\t\t: 0
cpu cores\t: 1
apicid\t\t: 0
fpu\t\t: yes
fpu_exception\t: yes
cpuid level\t: ${MAX_LEAF}
wp\t\t: yes
flags\t\t: ${FLAGS.join(' ')}
bogomips\t: 2000.00
clflush size\t: 64
cache_alignment\t: 64
address sizes\t: 40 bits physical, 48 bits virtual
power management:

`;

function stat(view: ProcView): string {
  const ticks = view.pids().reduce((sum, pid) => sum + Math.floor((view.process(pid)?.cpuUs ?? 0) / 10_000), 0);
  const idle = Math.max(0, Math.floor(view.monotonicUs() / 10_000) - ticks);
  const cpu = `${ticks} 0 0 ${idle} 0 0 0 0 0 0`;
  const boot = Math.floor((view.realtimeUs() - view.monotonicUs()) / 1e6);
  return `cpu  ${cpu}\ncpu0 ${cpu}\nintr 0\nctxt 0\nbtime ${boot}\nprocesses ${view.pids().at(-1) ?? 1}\nprocs_running 1\nprocs_blocked 0\n`;
}

function sysctl(view: ProcView): SyntheticDirectory {
  const uuid = () => {
    const hex = [...view.entropy(16)].map((byte) => byte.toString(16).padStart(2, '0')).join('');
    return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20)}\n`;
  };
  return directoryOf({
    kernel: directoryOf({
      osrelease: fileOf(() => `${view.osRelease}\n`),
      ostype: fileOf('Linux\n'),
      version: fileOf(() => `${view.version}\n`),
      hostname: fileOf(() => `${view.hostname}\n`),
      domainname: fileOf('(none)\n'),
      pid_max: fileOf('32768\n'),
      'threads-max': fileOf('32768\n'),
      ngroups_max: fileOf('65536\n'),
      cap_last_cap: fileOf('40\n'),
      core_pattern: fileOf('core\n'),
      randomize_va_space: fileOf('0\n'),
      overflowuid: fileOf('65534\n'),
      overflowgid: fileOf('65534\n'),
      msgmax: fileOf('8192\n'),
      shmmax: fileOf('18446744073692774399\n'),
      shmall: fileOf('18446744073692774399\n'),
      shmmni: fileOf('4096\n'),
      sem: fileOf('32000\t1024000000\t500\t32000\n'),
      numa_balancing: fileOf('0\n'),
      perf_event_paranoid: fileOf('2\n'),
      yama: directoryOf({ ptrace_scope: fileOf('1\n') }),
      random: directoryOf({
        uuid: fileOf(uuid),
        boot_id: fileOf('7a1d1e57-0000-4000-a000-000000000001\n'),
        entropy_avail: fileOf('256\n'),
        poolsize: fileOf('256\n'),
      }),
    }),
    net: directoryOf({
      core: directoryOf({
        somaxconn: fileOf('4096\n'),
        rmem_default: fileOf('212992\n'),
        rmem_max: fileOf('212992\n'),
        wmem_default: fileOf('212992\n'),
        wmem_max: fileOf('212992\n'),
        netdev_max_backlog: fileOf('1000\n'),
      }),
      ipv4: directoryOf({
        ip_local_port_range: fileOf('32768\t60999\n'),
        ip_forward: fileOf('0\n'),
        ip_nonlocal_bind: fileOf('0\n'),
        ip_unprivileged_port_start: fileOf('1024\n'),
        tcp_max_syn_backlog: fileOf('4096\n'),
        tcp_fin_timeout: fileOf('60\n'),
        tcp_keepalive_time: fileOf('7200\n'),
        tcp_keepalive_intvl: fileOf('75\n'),
        tcp_keepalive_probes: fileOf('9\n'),
        tcp_rmem: fileOf('4096\t131072\t6291456\n'),
        tcp_wmem: fileOf('4096\t16384\t4194304\n'),
        tcp_syncookies: fileOf('0\n'),
        tcp_fastopen: fileOf('0\n'),
        tcp_tw_reuse: fileOf('2\n'),
      }),
      unix: directoryOf({ max_dgram_qlen: fileOf('512\n') }),
    }),
    vm: directoryOf({
      overcommit_memory: fileOf('1\n'),
      overcommit_ratio: fileOf('50\n'),
      max_map_count: fileOf('65530\n'),
      mmap_min_addr: fileOf(`${USER_START}\n`),
      swappiness: fileOf('0\n'),
      nr_hugepages: fileOf('0\n'),
    }),
    fs: directoryOf({
      'file-max': fileOf('1048576\n'),
      'file-nr': fileOf('0\t0\t1048576\n'),
      nr_open: fileOf('1048576\n'),
      'pipe-max-size': fileOf('1048576\n'),
      'aio-max-nr': fileOf('65536\n'),
      'lease-break-time': fileOf('45\n'),
      inotify: directoryOf({
        max_user_watches: fileOf('65536\n'),
        max_user_instances: fileOf('128\n'),
        max_queued_events: fileOf('16384\n'),
      }),
      epoll: directoryOf({ max_user_watches: fileOf('1048576\n') }),
    }),
  });
}
