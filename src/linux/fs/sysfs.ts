/** /sys: the little that programs ask of it. One CPU, no huge pages. */

import { DEV_SYS } from './node.ts';
import { directoryOf, fileOf, type SyntheticDirectory, SyntheticNode } from './synthetic.ts';
import type { Vfs } from './vfs.ts';

export function mountSys(vfs: Vfs): void {
  vfs.mount('sys', new SyntheticNode('/sys', ROOT, vfs.root, DEV_SYS));
}

const cpu = (): SyntheticDirectory =>
  directoryOf({
    topology: directoryOf({
      core_id: fileOf('0\n'),
      physical_package_id: fileOf('0\n'),
      thread_siblings_list: fileOf('0\n'),
      core_siblings_list: fileOf('0\n'),
    }),
  });

const ROOT = directoryOf({
  devices: directoryOf({
    system: directoryOf({
      cpu: directoryOf({
        cpu0: cpu(),
        online: fileOf('0\n'),
        possible: fileOf('0\n'),
        present: fileOf('0\n'),
        kernel_max: fileOf('0\n'),
        offline: fileOf('\n'),
      }),
      node: directoryOf({
        online: fileOf('0\n'),
        possible: fileOf('0\n'),
        node0: directoryOf({ cpulist: fileOf('0\n'), cpumap: fileOf('1\n') }),
      }),
    }),
  }),
  kernel: directoryOf({
    mm: directoryOf({
      transparent_hugepage: directoryOf({
        enabled: fileOf('always madvise [never]\n'),
        defrag: fileOf('always defer defer+madvise madvise [never]\n'),
        hpage_pmd_size: fileOf('2097152\n'),
      }),
      hugepages: directoryOf({}),
    }),
  }),
  fs: directoryOf({ cgroup: directoryOf({}) }),
  class: directoryOf({ net: directoryOf({ lo: directoryOf({ mtu: fileOf('65536\n') }) }) }),
  block: directoryOf({}),
});
