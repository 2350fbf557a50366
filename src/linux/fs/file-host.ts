/** What open files need of the kernel, and what those that stand on a node of the file system have in common. */

import { EBADF, ENXIO } from '../abi/errno.ts';
import { O_ACCMODE, O_PATH, O_RDONLY, O_WRONLY } from '../abi/fcntl.ts';
import { OpenFile, type Stat } from '../open-file.ts';
import { type FsHost, Node } from './node.ts';
import { SyntheticNode } from './synthetic.ts';
import type { Vfs } from './vfs.ts';

export interface FileHost extends FsHost {
  readonly vfs: Vfs;
  /** A new description (registered in the ledger, no reference yet) made by `make` with its id. */
  addFile<T extends OpenFile>(make: (id: number) => T): T;
  /** An open file description by its id; undefined when it is closed. */
  file(id: number): OpenFile | undefined;
  /** Guest output on its standard streams. */
  console(stream: 1 | 2, bytes: Uint8Array): void;
  /** For /dev/random and /dev/urandom. */
  entropy(length: number): Uint8Array;
  /** Monotonic µs, as last sampled. */
  monotonicUs(): number;
}

/** Where a file was opened: for /proc/self/fd and directory descriptors. */
export interface Place {
  readonly node: Node;
  readonly parent: Node;
  readonly name: string;
}

export abstract class NodeFile extends OpenFile {
  readonly host: FileHost;
  readonly node: Node;
  readonly parent: Node;
  readonly name: string;

  constructor(host: FileHost, id: number, flags: number, place: Place) {
    super(id, flags);
    this.host = host;
    this.node = place.node;
    this.parent = place.parent;
    this.name = place.name;
    host.vfs.hold(place.node);
  }

  get readable(): boolean {
    return (this.flags & O_PATH) === 0 && (this.flags & O_ACCMODE) !== O_WRONLY;
  }

  get writable(): boolean {
    return (this.flags & O_PATH) === 0 && (this.flags & O_ACCMODE) !== O_RDONLY;
  }

  /** For /proc/self/fd/N. */
  get path(): string {
    if (this.node.isDirectory) return this.host.vfs.pathOf(this.node) ?? `/${this.name} (deleted)`;
    return this.host.vfs.pathOfEntry(this.parent, this.name, this.node);
  }

  override stat(): Stat {
    return this.node.stat();
  }

  override close(): void {
    this.host.vfs.letGo(this.node);
  }

  protected touch(): void {
    this.host.ledger.touch(this);
  }

  protected savePlace(): SavedPlace {
    return [nodeReference(this.node), nodeReference(this.parent), this.name];
  }
}

/** An inode's number, or the path of a made-up node. */
type NodeReference = number | string;
export type SavedPlace = [NodeReference, NodeReference, string];

function nodeReference(node: Node): NodeReference {
  return node instanceof SyntheticNode ? node.path : node.ino;
}

export function restorePlace(host: FileHost, [node, parent, name]: SavedPlace): Place {
  const find = (reference: NodeReference): Node => {
    if (typeof reference === 'number') return host.vfs.inode(reference) ?? host.vfs.root;
    const root = host.vfs.root;
    const found = host.vfs.lookup({ root, cwd: root, umask: 0 }, root, reference, false);
    // A process that is gone: its directory reads as empty.
    if (typeof found === 'number')
      return new SyntheticNode(reference, { kind: 'directory', list: () => [], child: () => null }, root);
    return found;
  };
  return { node: find(node), parent: find(parent), name };
}

/** A node that stands for an open description without a name (pipe:[1]): what /proc/self/fd/N leads to. */
export class DescriptionNode extends Node {
  readonly file: OpenFile;

  constructor(file: OpenFile) {
    super();
    this.file = file;
  }

  get ino(): number {
    return this.file.stat().ino;
  }

  get dev(): number {
    return this.file.stat().dev;
  }

  get mode(): number {
    return this.file.stat().mode;
  }

  override stat(): Stat {
    return this.file.stat();
  }
}

/** A description without a name that open("/proc/self/fd/N") can open again: pipes, the console. */
export interface Reopenable {
  reopen(flags: number): OpenFile | number;
}

export function reopen(file: OpenFile, flags: number): OpenFile | number {
  return 'reopen' in file ? (file as unknown as Reopenable).reopen(flags) : -ENXIO;
}

/** For descriptors opened with O_PATH, which allow next to nothing (open(2)). */
export class PathFile extends NodeFile {
  override save(): unknown {
    return { kind: 'path', flags: this.flags, place: this.savePlace() };
  }

  override poll(): number {
    return 0x20;
  }

  override pread(): number {
    return -EBADF;
  }

  override pwrite(): number {
    return -EBADF;
  }

  override seek(): number {
    return -EBADF;
  }

  override truncate(): number {
    return -EBADF;
  }

  override ioctl(): number {
    return -EBADF;
  }
}
