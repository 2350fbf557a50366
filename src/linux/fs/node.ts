/**
 * What a path leads to. `Inode` (inode.ts) is a file, directory or link of the writable layer and the image under it;
 * `SyntheticNode` (synthetic.ts) is made up from kernel state: /proc, /sys.
 */

import type { Ledger } from '../../checkpoint/ledger.ts';
import type { Lvm } from '../../lvm/api.ts';
import { S_IFDIR, S_IFLNK, S_IFMT, S_IFREG } from '../abi/stat.ts';
import type { Stat } from '../open-file.ts';

/** What the file system needs of the kernel. */
export interface FsHost {
  readonly ledger: Pick<Ledger, 'add' | 'touch' | 'remove'>;
  readonly lvm: Pick<Lvm, 'lookup' | 'read'>;
  /** The time for mtime and ctime: µs since 1970, as last sampled. */
  realtimeUs(): number;
}

export const DEV_ROOT = 0x1d;
export const DEV_PROC = 0x15;
export const DEV_SYS = 0x16;
export const DEV_DEV = 0x05;
export const DEV_SHM = 0x17;
export const DEV_PIPE = 0x0d;
export const DEV_ANON = 0x0e;

export abstract class Node {
  abstract readonly ino: number;
  abstract readonly dev: number;
  /** Type and permission bits. */
  abstract readonly mode: number;

  abstract stat(): Stat;

  get type(): number {
    return this.mode & S_IFMT;
  }

  get isDirectory(): boolean {
    return this.type === S_IFDIR;
  }

  get isSymlink(): boolean {
    return this.type === S_IFLNK;
  }

  get isFile(): boolean {
    return this.type === S_IFREG;
  }
}
