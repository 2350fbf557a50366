/**
 * The file system: one tree of inodes over the image, with /proc and /sys in it; path resolution (path_resolution(7)) and
 * what the system calls do to names. Opening is in open.ts.
 *
 * Everybody is root here: permission bits are kept and shown, and refuse nothing.
 */

import type { Plain } from '../../checkpoint/ledger.ts';
import type { ImageEntry } from '../../lvm/api.ts';
import {
  EBUSY,
  EEXIST,
  EINVAL,
  EISDIR,
  ELOOP,
  ENAMETOOLONG,
  ENOENT,
  ENOTDIR,
  ENOTEMPTY,
  EPERM,
  EROFS,
  EXDEV,
} from '../abi/errno.ts';
import { MAX_SYMLINKS, NAME_MAX, PATH_MAX, RENAME_EXCHANGE, RENAME_NOREPLACE } from '../abi/fcntl.ts';
import { S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG, S_IFSOCK } from '../abi/stat.ts';
import { BlobStore } from './blobs.ts';
import { Inode, type InodeInit } from './inode.ts';
import type { FsHost, Node } from './node.ts';
import { SyntheticNode } from './synthetic.ts';

const ROOT_INO = 2;
const encoder = new TextEncoder();

/** Where a process stands in the tree. */
export interface FsContext {
  readonly root: Node;
  readonly cwd: Node;
  readonly umask: number;
}

export interface Resolved {
  /** The directory that holds the last name. */
  readonly parent: Node;
  /** The last name; '' where the path ends in '.', '..' or is '/'. */
  readonly name: string;
  /** What is there now, or null. */
  readonly node: Node | null;
  /** The path ended in a slash (or '.' or '..'): it must be a directory. */
  readonly directory: boolean;
}

export interface ResolveOptions {
  /** Follow a symbolic link at the end. */
  readonly follow: boolean;
  /**
   * For calls that change the last name: it is looked up and never followed, and a slash after it is left to the caller
   * (`Resolved.directory`). As filename_parentat in fs/namei.c.
   */
  readonly naming?: boolean;
  /** open(2) with O_CREAT: a slash after the last name is -EISDIR. */
  readonly creating?: boolean;
}

export class Vfs {
  readonly key = 'vfs';
  readonly host: FsHost;
  readonly blobs: BlobStore;
  readonly #inodes = new Map<number, Inode>();
  #nextIno = ROOT_INO;
  /** /proc, /sys: by name in the root directory. Set by the kernel, made up again after a restore. */
  readonly #mounts = new Map<string, SyntheticNode>();

  private constructor(host: FsHost) {
    this.host = host;
    this.blobs = new BlobStore(host);
  }

  /** A fresh file system over the image. */
  static create(host: FsHost): Vfs {
    const vfs = new Vfs(host);
    host.ledger.add(vfs);
    const entry = host.lvm.lookup('/', false);
    const timeUs = entry?.mtimeUs ?? 0;
    vfs.makeInode({
      mode: S_IFDIR | (entry?.mode ?? 0o755),
      timeUs,
      dev: 0x1d,
      ...(entry === null ? {} : { lower: '', ...directoryOf(entry) }),
    });
    return vfs;
  }

  /** From the parts `vfs`, `inode/…` and `blob/…` of a checkpoint; others are left alone. */
  static restore(host: FsHost, parts: ReadonlyMap<string, Plain>): Vfs {
    const vfs = new Vfs(host);
    vfs.#nextIno = (parts.get('vfs') as { nextIno: number }).nextIno;
    host.ledger.add(vfs);
    const chunks: [number, number, Uint8Array][] = [];
    for (const [key, state] of parts) {
      if (key.startsWith('blob/')) vfs.blobs.restore(key, state);
      else if (key.startsWith('inode/')) {
        const [, ino, , index] = key.split('/');
        if (index !== undefined) chunks.push([Number(ino), Number(index), state as Uint8Array]);
        else {
          const inode = Inode.restore(host, vfs.blobs, Number(ino), state);
          vfs.#inodes.set(inode.ino, inode);
          host.ledger.add(inode);
        }
      }
    }
    for (const [ino, index, bytes] of chunks) vfs.#inodes.get(ino)?.restoreChunk(index, bytes);
    return vfs;
  }

  /** True for the keys that `restore` takes. */
  static owns(key: string): boolean {
    return key === 'vfs' || key.startsWith('inode/') || key.startsWith('blob/');
  }

  save(): Plain {
    return { nextIno: this.#nextIno };
  }

  get root(): Inode {
    return this.#inodes.get(ROOT_INO)!;
  }

  inode(ino: number): Inode | undefined {
    return this.#inodes.get(ino);
  }

  mount(name: string, node: SyntheticNode): void {
    this.#mounts.set(name, node);
  }

  makeInode(init: InodeInit): Inode {
    const inode = new Inode(this.host, this.blobs, this.#nextIno++, init);
    this.#inodes.set(inode.ino, inode);
    this.host.ledger.add(inode);
    this.host.ledger.touch(this);
    return inode;
  }

  // ---- references from open files, mappings and working directories (derived: taken again after a restore)

  hold(node: Node): void {
    if (node instanceof Inode) node.opens++;
  }

  letGo(node: Node): void {
    if (!(node instanceof Inode)) return;
    node.opens--;
    this.#maybeDispose(node);
  }

  #maybeDispose(inode: Inode): void {
    if (inode.nlink > 0 || inode.opens > 0 || !this.#inodes.has(inode.ino)) return;
    this.#inodes.delete(inode.ino);
    inode.dispose();
  }

  /** Removes inodes that nothing refers to after a restore in which everybody has taken hold again. */
  sweep(): void {
    for (const inode of [...this.#inodes.values()]) this.#maybeDispose(inode);
  }

  // ---- directories

  /** The entry `name` of a directory, or -ENOENT, -ENOTDIR, -ENAMETOOLONG. */
  child(dir: Node, name: string): Node | number {
    if (dir instanceof SyntheticNode) return dir.isDirectory ? dir.child(name) : -ENOTDIR;
    if (!(dir instanceof Inode) || dir.entries === null) return -ENOTDIR;
    if (dir.ino === ROOT_INO) {
      const mounted = this.#mounts.get(name);
      if (mounted !== undefined) return mounted;
    }
    const known = dir.entries.get(name);
    if (known !== undefined) return known === null ? -ENOENT : this.#inodes.get(known)!;
    if (name.length > NAME_MAX / 4 && encoder.encode(name).length > NAME_MAX) return -ENAMETOOLONG;
    if (dir.complete || dir.lower === null) return -ENOENT;
    const path = `${dir.lower}/${name}`;
    const entry = this.host.lvm.lookup(path, false);
    const inode = entry === null ? null : this.#adopt(path, entry, dir.ino);
    // A negative answer is state too: a backup with another disk must see the same.
    dir.entries.set(name, inode === null ? null : inode.ino);
    if (inode?.isDirectory && !dir.counted) dir.nlink++;
    dir.touch();
    return inode ?? -ENOENT;
  }

  #adopt(path: string, entry: ImageEntry, parent: number): Inode | null {
    const { uid, gid, mtimeUs: timeUs } = entry;
    const mode = entry.mode & 0o7777;
    const common = { uid, gid, timeUs, dev: 0x1d };
    switch (entry.type) {
      case 'file':
        return this.makeInode({ ...common, mode: S_IFREG | mode, size: entry.size, lower: path });
      case 'directory':
        return this.makeInode({ ...common, mode: S_IFDIR | mode, lower: path, parent, ...directoryOf(entry) });
      case 'symlink':
        return this.makeInode({ ...common, mode: S_IFLNK | 0o777, target: entry.target ?? '' });
      case 'other':
        // Sockets, devices and pipes of the host lead nowhere inside: as if they were not there.
        return null;
    }
  }

  /** Every name with its node, "." and ".." not among them. */
  list(dir: Node): [string, Node][] {
    if (dir instanceof SyntheticNode) {
      if (dir.entry.kind !== 'directory') return [];
      return dir.entry.list().flatMap((name) => {
        const node = dir.child(name);
        return typeof node === 'number' ? [] : [[name, node] as [string, Node]];
      });
    }
    if (!(dir instanceof Inode) || dir.entries === null) return [];
    if (!dir.complete) {
      const names = this.host.lvm.lookup(dir.lower!, true)?.names ?? [];
      for (const name of names) if (!dir.entries.has(name)) this.child(dir, name);
      dir.complete = dir.counted = true;
      for (const [name, ino] of [...dir.entries]) if (ino === null) dir.entries.delete(name);
      dir.touch();
    }
    const all: [string, Node][] = [];
    if (dir.ino === ROOT_INO) for (const [name, node] of this.#mounts) all.push([name, node]);
    for (const [name, ino] of dir.entries) {
      if (ino === null || (dir.ino === ROOT_INO && this.#mounts.has(name))) continue;
      all.push([name, this.#inodes.get(ino)!]);
    }
    return all;
  }

  parentOf(dir: Node): Node {
    if (dir instanceof SyntheticNode) return dir.parent;
    if (dir instanceof Inode) return this.#inodes.get(dir.parent) ?? dir;
    return dir;
  }

  /** Absolute path of a directory, or null when it was removed. */
  pathOf(dir: Node): string | null {
    if (dir instanceof SyntheticNode) return dir.path;
    let path = '';
    let node: Node = dir;
    while (node !== this.root) {
      const parent = this.parentOf(node);
      const name = parent === node ? null : this.#nameIn(parent, node);
      if (name === null) return null;
      path = `/${name}${path}`;
      node = parent;
    }
    return path === '' ? '/' : path;
  }

  /** Path of what is called `name` in `parent`; where it was renamed there its new name, where it is gone "… (deleted)". */
  pathOfEntry(parent: Node, name: string, node: Node): string {
    const above = this.pathOf(parent);
    const join = (last: string) => `${above === '/' ? '' : (above ?? '')}/${last}`;
    if (node instanceof SyntheticNode) return node.path;
    if (above === null) return `/${name} (deleted)`;
    const there = parent instanceof Inode ? parent.entries?.get(name) : undefined;
    if (there === node.ino) return join(name);
    const other = this.#nameIn(parent, node);
    return other === null ? `${join(name)} (deleted)` : join(other);
  }

  #nameIn(parent: Node, node: Node): string | null {
    if (!(parent instanceof Inode) || parent.entries === null) return null;
    for (const [name, ino] of parent.entries) if (ino === node.ino) return name;
    return null;
  }

  // ---- path resolution

  /** Where `path` leads, starting at `start` when it is relative. Or -errno. */
  resolve(ctx: FsContext, start: Node, path: string, options: ResolveOptions): Resolved | number {
    if (path === '') return -ENOENT;
    if (path.length >= PATH_MAX) return -ENAMETOOLONG;
    let dir: Node = path.startsWith('/') ? ctx.root : start;
    let rest = path.split('/').filter((part) => part !== '');
    let trailing = path.endsWith('/');
    let links = 0;
    if (!dir.isDirectory) return -ENOTDIR;
    for (let i = 0; ; i++) {
      // A removed working directory holds nothing.
      if (i >= rest.length) return { parent: dir, name: '', node: dir, directory: true };
      const name = rest[i]!;
      const last = i === rest.length - 1;
      if (!dir.isDirectory) return -ENOTDIR;
      if (name === '.' || name === '..') {
        if (name === '..' && dir !== ctx.root) dir = this.parentOf(dir);
        continue;
      }
      if (last && trailing && options.creating === true) return -EISDIR;
      const node = this.child(dir, name);
      if (typeof node === 'number') {
        if (node !== -ENOENT || !last) return node;
        return { parent: dir, name, node: null, directory: trailing };
      }
      if (last && options.naming === true) return { parent: dir, name, node, directory: trailing };
      if (node.isSymlink && (!last || options.follow || trailing)) {
        if (++links > MAX_SYMLINKS) return -ELOOP;
        const jump = node instanceof SyntheticNode && node.entry.kind === 'link' ? (node.entry.node?.() ?? null) : null;
        if (jump !== null) {
          if (last) {
            if (trailing && !jump.isDirectory) return -ENOTDIR;
            return { parent: dir, name, node: jump, directory: trailing };
          }
          dir = jump;
          continue;
        }
        const target = this.readlink(node);
        if (typeof target === 'number') return target;
        if (target === '') return -ENOENT;
        if (target.length >= PATH_MAX) return -ENAMETOOLONG;
        if (last && target.endsWith('/')) trailing = true;
        rest = [...target.split('/').filter((part) => part !== ''), ...rest.slice(i + 1)];
        i = -1;
        if (target.startsWith('/')) dir = ctx.root;
        continue;
      }
      if (last) {
        if (trailing && !node.isDirectory) return -ENOTDIR;
        return { parent: dir, name, node, directory: trailing };
      }
      dir = node;
    }
  }

  /** The node at `path`, or -errno. */
  lookup(ctx: FsContext, start: Node, path: string, follow: boolean): Node | number {
    const found = this.resolve(ctx, start, path, { follow });
    if (typeof found === 'number') return found;
    return found.node ?? -ENOENT;
  }

  readlink(node: Node): string | number {
    if (node instanceof Inode && node.isSymlink) return node.target;
    if (node instanceof SyntheticNode && node.entry.kind === 'link') return node.entry.target();
    return -EINVAL;
  }

  // ---- changes

  /** Where a new name may be made: its parent's inode, or -errno. */
  #placeFor(ctx: FsContext, start: Node, path: string, directory: boolean): { dir: Inode; name: string } | number {
    const found = this.resolve(ctx, start, path, { follow: false, naming: true });
    if (typeof found === 'number') return found;
    if (found.node !== null) return -EEXIST;
    if (found.directory && !directory) return -ENOENT;
    return this.#writableDir(found.parent, found.name);
  }

  #writableDir(parent: Node, name: string): { dir: Inode; name: string } | number {
    if (!(parent instanceof Inode)) return parent instanceof SyntheticNode ? -ENOENT : -EROFS;
    if (parent.nlink === 0) return -ENOENT;
    return { dir: parent, name };
  }

  /** Puts a new inode under a name. */
  attach(dir: Inode, name: string, init: Omit<InodeInit, 'timeUs'>): Inode {
    const inode = this.makeInode({ ...init, timeUs: this.host.realtimeUs(), dev: dir.dev, parent: dir.ino });
    dir.entries!.set(name, inode.ino);
    if (inode.isDirectory) dir.nlink++;
    dir.modified();
    return inode;
  }

  /** Makes a file, FIFO, socket or device node (mknod(2)). */
  mknod(ctx: FsContext, start: Node, path: string, mode: number, rdev = 0): Inode | number {
    const type = (mode & S_IFMT) === 0 ? S_IFREG : mode & S_IFMT;
    if (type === S_IFDIR) return -EPERM;
    if (![S_IFREG, S_IFIFO, S_IFSOCK, S_IFCHR, S_IFBLK].includes(type)) return -EINVAL;
    const place = this.#placeFor(ctx, start, path, false);
    if (typeof place === 'number') return place;
    return this.attach(place.dir, place.name, { mode: type | (mode & 0o7777 & ~ctx.umask), rdev });
  }

  mkdir(ctx: FsContext, start: Node, path: string, mode: number): number {
    const place = this.#placeFor(ctx, start, path, true);
    if (typeof place === 'number') return place;
    this.attach(place.dir, place.name, { mode: S_IFDIR | (mode & 0o1777 & ~ctx.umask) });
    return 0;
  }

  symlink(ctx: FsContext, start: Node, path: string, target: string): number {
    if (target === '') return -ENOENT;
    const place = this.#placeFor(ctx, start, path, false);
    if (typeof place === 'number') return place;
    this.attach(place.dir, place.name, { mode: S_IFLNK | 0o777, target });
    return 0;
  }

  /** Another name for `node` (link(2)). */
  link(ctx: FsContext, node: Node, start: Node, path: string): number {
    const place = this.#placeFor(ctx, start, path, false);
    if (typeof place === 'number') return place;
    if (node.isDirectory) return -EPERM;
    if (!(node instanceof Inode) || node.dev !== place.dir.dev) return -EXDEV;
    // linkat(2): a file without a name may get one only if it was made by O_TMPFILE; those start with nlink 0.
    node.nlink++;
    node.changed();
    place.dir.entries!.set(place.name, node.ino);
    place.dir.modified();
    return 0;
  }

  unlink(ctx: FsContext, start: Node, path: string): number {
    const found = this.resolve(ctx, start, path, { follow: false, naming: true });
    if (typeof found === 'number') return found;
    if (found.name === '') return -EISDIR;
    if (found.node === null) return -ENOENT;
    if (found.node.isDirectory) return -EISDIR;
    if (found.directory) return -ENOTDIR;
    if (!(found.parent instanceof Inode) || !(found.node instanceof Inode)) return -EPERM;
    this.#drop(found.parent, found.name, found.node);
    found.parent.modified();
    return 0;
  }

  rmdir(ctx: FsContext, start: Node, path: string): number {
    const found = this.resolve(ctx, start, path, { follow: false, naming: true });
    if (typeof found === 'number') return found;
    if (found.name === '')
      return this.#dotName(path) === '.' ? -EINVAL : this.#dotName(path) === '..' ? -ENOTEMPTY : -EBUSY;
    if (found.node === null) return -ENOENT;
    if (!found.node.isDirectory) return -ENOTDIR;
    if (!(found.parent instanceof Inode) || !(found.node instanceof Inode))
      return found.parent === this.root ? -EBUSY : -EPERM;
    if (this.list(found.node).length > 0) return -ENOTEMPTY;
    this.#drop(found.parent, found.name, found.node);
    found.parent.modified();
    return 0;
  }

  #dotName(path: string): string {
    return path.replace(/\/+$/, '').split('/').at(-1) ?? '';
  }

  /** Takes a name away; where the image has it too, the null that stays is a whiteout. */
  #drop(dir: Inode, name: string, node: Inode): void {
    if (dir.complete) dir.entries!.delete(name);
    else dir.entries!.set(name, null);
    if (node.isDirectory) {
      dir.nlink--;
      node.nlink = 0;
    } else node.nlink--;
    node.changed();
    this.#maybeDispose(node);
  }

  rename(ctx: FsContext, fromStart: Node, from: string, toStart: Node, to: string, flags: number): number {
    if ((flags & ~(RENAME_NOREPLACE | RENAME_EXCHANGE)) !== 0) return -EINVAL;
    if (flags === (RENAME_NOREPLACE | RENAME_EXCHANGE)) return -EINVAL;
    const a = this.resolve(ctx, fromStart, from, { follow: false, naming: true });
    if (typeof a === 'number') return a;
    const b = this.resolve(ctx, toStart, to, { follow: false, naming: true });
    if (typeof b === 'number') return b;
    if (a.name === '' || b.name === '') return -EBUSY;
    if (a.node === null) return -ENOENT;
    const node = a.node;
    const target = b.node;
    if (!(a.parent instanceof Inode) || !(b.parent instanceof Inode) || !(node instanceof Inode)) return -EXDEV;
    if (target !== null && !(target instanceof Inode)) return -EBUSY;
    if (a.parent.dev !== b.parent.dev || node.dev !== a.parent.dev) return -EXDEV;
    if (target !== null && (flags & RENAME_NOREPLACE) !== 0) return -EEXIST;
    const exchange = (flags & RENAME_EXCHANGE) !== 0;
    if (exchange && target === null) return -ENOENT;
    if (exchange && !target!.isDirectory && b.directory) return -ENOTDIR;
    if (!node.isDirectory && (a.directory || (!exchange && b.directory))) return -ENOTDIR;
    // A directory may not go below itself.
    if (node.isDirectory && this.#isWithin(b.parent, node)) return -EINVAL;
    if (target?.isDirectory && this.#isWithin(a.parent, target)) {
      return exchange ? -EINVAL : -ENOTEMPTY;
    }
    if (b.parent.nlink === 0) return -ENOENT;
    if (exchange && target !== null) {
      a.parent.entries!.set(a.name, target.ino);
      b.parent.entries!.set(b.name, node.ino);
      this.#moved(node, a.parent, b.parent);
      this.#moved(target, b.parent, a.parent);
      a.parent.modified();
      b.parent.modified();
      return 0;
    }
    if (target === node) return 0;
    if (target !== null) {
      if (node.isDirectory && !target.isDirectory) return -ENOTDIR;
      if (!node.isDirectory && target.isDirectory) return -EISDIR;
      if (target.isDirectory && this.list(target).length > 0) return -ENOTEMPTY;
      this.#drop(b.parent, b.name, target);
    }
    if (a.parent.complete) a.parent.entries!.delete(a.name);
    else a.parent.entries!.set(a.name, null);
    // Deleted first, so that a name taken again stands at the end as in a new directory.
    b.parent.entries!.delete(b.name);
    b.parent.entries!.set(b.name, node.ino);
    this.#moved(node, a.parent, b.parent);
    a.parent.modified();
    b.parent.modified();
    return 0;
  }

  #moved(node: Inode, from: Inode, to: Inode): void {
    if (node.isDirectory && from !== to) {
      from.nlink--;
      to.nlink++;
    }
    if (node.isDirectory) node.parent = to.ino;
    node.changed();
  }

  #isWithin(node: Node, ancestor: Node): boolean {
    for (let at = node; ; ) {
      if (at === ancestor) return true;
      const above = this.parentOf(at);
      if (above === at) return false;
      at = above;
    }
  }
}

/** A directory's size and links, as the image has them. */
function directoryOf({ size, nlink }: ImageEntry): Pick<InodeInit, 'size' | 'nlink'> {
  return nlink === undefined || nlink < 2 ? {} : { size, nlink };
}
