/** /dev: made once, when the guest starts; ordinary inodes from then on. /dev/fd and the streams lead to /proc/self/fd. */

import { S_IFCHR, S_IFDIR, S_IFLNK } from '../abi/stat.ts';
import { DEV_FULL, DEV_NULL, DEV_RANDOM, DEV_TTY, DEV_URANDOM, DEV_ZERO } from './device-file.ts';
import { DEV_DEV, DEV_SHM } from './node.ts';
import type { Vfs } from './vfs.ts';

const LINKS: readonly (readonly [string, string])[] = [
  ['fd', '/proc/self/fd'],
  ['stdin', '/proc/self/fd/0'],
  ['stdout', '/proc/self/fd/1'],
  ['stderr', '/proc/self/fd/2'],
];

const DEVICES: readonly (readonly [string, number])[] = [
  ['null', DEV_NULL],
  ['zero', DEV_ZERO],
  ['full', DEV_FULL],
  ['random', DEV_RANDOM],
  ['urandom', DEV_URANDOM],
  // Without a controlling terminal opening it is ENXIO (tty(4)).
  ['tty', DEV_TTY],
];

export function makeDev(vfs: Vfs): void {
  const { root } = vfs;
  root.entries!.delete('dev');
  const dev = vfs.attach(root, 'dev', { mode: S_IFDIR | 0o755 });
  dev.dev = DEV_DEV;
  for (const [name, rdev] of DEVICES) vfs.attach(dev, name, { mode: S_IFCHR | 0o666, rdev });
  for (const [name, target] of LINKS) vfs.attach(dev, name, { mode: S_IFLNK | 0o777, target });
  const shm = vfs.attach(dev, 'shm', { mode: S_IFDIR | 0o1777 });
  shm.dev = DEV_SHM;
  dev.touch();
  shm.touch();
}
