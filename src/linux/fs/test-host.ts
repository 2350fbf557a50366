/** A kernel for tests of the file system: an image of plain objects, a clock that stands where it is put. */

import { Ledger, type Plain } from '../../checkpoint/ledger.ts';
import type { ImageEntry, Lvm } from '../../lvm/api.ts';
import { ConsoleInput } from '../console.ts';
import { EpollFile } from '../epoll.ts';
import type { OpenFile } from '../open-file.ts';
import { Pipes } from '../pipe.ts';
import type { SignalFile, SignalInfo } from '../signalfd.ts';
import type { TimerFile } from '../timerfd.ts';
import { makeDev } from './devfs.ts';
import { type OpenHost, restoreFile } from './open.ts';
import { type FsContext, Vfs } from './vfs.ts';

/** A file's content, a directory, or { link: target }. */
export type FakeNode = string | Uint8Array | { link: string } | { [name: string]: FakeNode };

export class FakeImage {
  readonly tree: FakeNode;
  readonly lookups: string[] = [];
  readonly reads: string[] = [];
  /** A backup's disk may hold something else: nothing may be asked of it. */
  dead = false;

  constructor(tree: FakeNode) {
    this.tree = tree;
  }

  static none(): FakeImage {
    const image = new FakeImage('');
    image.dead = true;
    return image;
  }

  #find(path: string): FakeNode | null {
    let node: FakeNode = this.tree;
    for (const name of path.split('/').filter((part) => part !== '')) {
      if (typeof node === 'string' || node instanceof Uint8Array || isLink(node)) return null;
      const next: FakeNode | undefined = (node as Record<string, FakeNode>)[name];
      if (next === undefined) return null;
      node = next;
    }
    return node;
  }

  lookup(path: string, content: boolean): ImageEntry | null {
    if (this.dead) throw new Error(`lookup of ${path} after a restore`);
    this.lookups.push(path);
    const node = this.#find(path);
    const common = { mode: 0o644, uid: 0, gid: 0, size: 0, mtimeUs: 1_000_000 };
    if (node === null) return null;
    if (typeof node === 'string' || node instanceof Uint8Array) {
      const bytes = bytesOf(node);
      return {
        ...common,
        type: 'file',
        size: bytes.length,
        ...(content ? { blob: `blob-of-${path.replaceAll('/', '_')}` } : {}),
      };
    }
    if (isLink(node)) return { ...common, type: 'symlink', target: node.link };
    const names = content ? { names: Object.keys(node).sort() } : {};
    return { ...common, type: 'directory', mode: 0o755, ...names };
  }

  read(blob: string, offset: number, length: number): Uint8Array {
    if (this.dead) throw new Error(`read of ${blob} after a restore`);
    this.reads.push(blob);
    const node = this.#find(blob.slice('blob-of-'.length).replaceAll('_', '/')) as string | Uint8Array;
    return bytesOf(node).slice(offset, offset + length);
  }
}

function isLink(node: FakeNode): node is { link: string } {
  return typeof node === 'object' && 'link' in node && typeof node.link === 'string';
}

function bytesOf(node: string | Uint8Array): Uint8Array {
  return typeof node === 'string' ? new TextEncoder().encode(node) : node;
}

/** What of an `Lvm` the file system uses. */
export type ImageSource = Pick<Lvm, 'lookup' | 'read'>;

export class TestHost implements OpenHost {
  readonly ledger = new Ledger();
  readonly lvm: ImageSource;
  vfs!: Vfs;
  pipes!: Pipes;
  consoleInput!: ConsoleInput;
  readonly output: { stream: number; text: string }[] = [];
  readonly files = new Map<number, OpenFile>();
  readonly timers = new Set<TimerFile>();
  nowUs = 5_000_000;
  /** Tests that use descriptors put 0: installing one counts. */
  initialReferences = 1;
  #nextFile = 1;

  private constructor(image: ImageSource) {
    this.lvm = image;
  }

  static create(image: ImageSource): TestHost {
    const host = new TestHost(image);
    host.vfs = Vfs.create(host);
    host.pipes = new Pipes(host);
    host.consoleInput = new ConsoleInput((part) => host.ledger.touch(part));
    host.ledger.add(host.consoleInput);
    makeDev(host.vfs);
    return host;
  }

  /** Another host with the state of this one, through the ledger's bytes; without `image` nothing may be asked of its disk. */
  restored(decode: (bytes: Uint8Array) => Plain, image: ImageSource = FakeImage.none()): TestHost {
    const host = new TestHost(image);
    host.nowUs = this.nowUs;
    host.#nextFile = this.#nextFile;
    const parts = new Map<string, Plain>();
    for (const { key, bytes } of this.ledger.all()) parts.set(key, decode(bytes!));
    host.vfs = Vfs.restore(host, parts);
    host.pipes = new Pipes(host);
    host.consoleInput = ConsoleInput.restore((part) => host.ledger.touch(part), parts.get('console'));
    host.ledger.add(host.consoleInput);
    for (const [key, state] of parts) if (key.startsWith('pipe/')) host.pipes.restore(Number(key.slice(5)), state);
    for (const [key, state] of parts) {
      if (!key.startsWith('file/')) continue;
      const id = Number(key.slice(5));
      const file = restoreFile(host, id, state)!;
      file.references = this.files.get(id)!.references;
      host.files.set(id, file);
      host.ledger.add(file);
    }
    for (const file of host.files.values()) if (file instanceof EpollFile) file.relink();
    host.vfs.sweep();
    return host;
  }

  get ctx(): FsContext {
    return { root: this.vfs.root, cwd: this.vfs.root, umask: 0o022 };
  }

  addFile<T extends OpenFile>(make: (id: number) => T): T {
    const file = make(this.#nextFile++);
    this.files.set(file.id, file);
    this.ledger.add(file);
    file.references = this.initialReferences;
    return file;
  }

  close(file: OpenFile): void {
    if (--file.references > 0) return;
    this.files.delete(file.id);
    this.ledger.remove(file);
    file.dispose();
  }

  release(file: OpenFile): void {
    this.close(file);
  }

  file(id: number): OpenFile | undefined {
    return this.files.get(id);
  }

  console(stream: 1 | 2, bytes: Uint8Array): void {
    this.output.push({ stream, text: new TextDecoder().decode(bytes) });
  }

  entropy(length: number): Uint8Array {
    return new Uint8Array(length).fill(7);
  }

  realtimeUs(): number {
    return this.nowUs;
  }

  monotonicUs(): number {
    return this.nowUs;
  }

  readonly pending: SignalInfo[] = [];
  readonly signalFiles = new Set<SignalFile>();

  takeSignal(mask: bigint): SignalInfo | null {
    const at = this.pending.findIndex(({ signo }) => (mask & (1n << BigInt(signo - 1))) !== 0n);
    return at < 0 ? null : this.pending.splice(at, 1)[0]!;
  }

  hasSignal(mask: bigint): boolean {
    return this.pending.some(({ signo }) => (mask & (1n << BigInt(signo - 1))) !== 0n);
  }

  watchSignals(file: SignalFile, on: boolean): void {
    if (on) this.signalFiles.add(file);
    else this.signalFiles.delete(file);
  }

  armTimer(timer: TimerFile): void {
    if (timer.expiresAtUs === null) this.timers.delete(timer);
    else this.timers.add(timer);
  }
}
