/**
 * Nodes made up when they are looked at: /proc and /sys. They hold no state; inode numbers come from the path, so that
 * they are the same on every replica.
 */

import { ENOENT } from '../abi/errno.ts';
import { S_IFDIR, S_IFLNK, S_IFREG } from '../abi/stat.ts';
import type { Stat } from '../open-file.ts';
import { DEV_PROC, Node } from './node.ts';

export interface SyntheticFile {
  readonly kind: 'file';
  readonly mode?: number;
  readonly content: () => string | Uint8Array;
  /** Takes what is written; -errno or the count. Absent: EINVAL. */
  readonly write?: (bytes: Uint8Array) => number;
}

export interface SyntheticLink {
  readonly kind: 'link';
  readonly target: () => string;
  /** A magic link leads to a node whatever its text says (/proc/self/fd/N). Null: follow the text. */
  readonly node?: () => Node | null;
}

export interface SyntheticDirectory {
  readonly kind: 'directory';
  readonly mode?: number;
  readonly list: () => string[];
  readonly child: (name: string) => SyntheticEntry | null;
}

export type SyntheticEntry = SyntheticFile | SyntheticLink | SyntheticDirectory;

/** A directory of fixed names. */
export function directoryOf(entries: Record<string, SyntheticEntry>): SyntheticDirectory {
  return {
    kind: 'directory',
    list: () => Object.keys(entries),
    child: (name) => (Object.hasOwn(entries, name) ? entries[name]! : null),
  };
}

export function fileOf(
  content: string | (() => string | Uint8Array),
  write?: (bytes: Uint8Array) => number,
): SyntheticFile {
  const make = typeof content === 'string' ? () => content : content;
  return write === undefined ? { kind: 'file', content: make } : { kind: 'file', mode: 0o644, content: make, write };
}

export class SyntheticNode extends Node {
  readonly path: string;
  readonly entry: SyntheticEntry;
  readonly dev: number;
  readonly ino: number;
  readonly mode: number;
  /** The directory above: a SyntheticNode, or the inode of the mount point's parent. */
  readonly parent: Node;

  constructor(path: string, entry: SyntheticEntry, parent: Node, dev: number = DEV_PROC) {
    super();
    this.path = path;
    this.entry = entry;
    this.parent = parent;
    this.dev = dev;
    this.ino = inodeOfPath(path);
    this.mode =
      entry.kind === 'directory'
        ? S_IFDIR | (entry.mode ?? 0o555)
        : entry.kind === 'link'
          ? S_IFLNK | 0o777
          : S_IFREG | (entry.mode ?? 0o444);
  }

  child(name: string): SyntheticNode | number {
    if (this.entry.kind !== 'directory') return -ENOENT;
    const entry = this.entry.child(name);
    return entry === null ? -ENOENT : new SyntheticNode(`${this.path}/${name}`, entry, this, this.dev);
  }

  stat(): Stat {
    return {
      dev: this.dev,
      ino: this.ino,
      mode: this.mode,
      nlink: this.isDirectory ? 2 : 1,
      uid: 0,
      gid: 0,
      rdev: 0,
      // /proc files say 0, /sys files 4096; programs read to the end either way.
      size: this.dev === DEV_PROC ? 0 : 4096,
      blksize: this.dev === DEV_PROC ? 1024 : 4096,
      blocks: 0,
      atimeUs: 0,
      mtimeUs: 0,
      ctimeUs: 0,
    };
  }
}

/** FNV-1a over the path, in the upper half of the 32-bit range. */
function inodeOfPath(path: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < path.length; i++) hash = Math.imul(hash ^ path.charCodeAt(i), 0x01000193);
  return (hash | 0x8000_0000) >>> 0;
}
