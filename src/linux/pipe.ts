/** Pipes and FIFOs (pipe(7)): a part `pipe/N` with the bytes in it, and the descriptions of its ends. */

import type { Plain } from '../checkpoint/ledger.ts';
import { EAGAIN, EBADF, EBUSY, EFAULT, EINVAL, ENOTTY, EPERM, EPIPE } from './abi/errno.ts';
import { FIONREAD, O_ACCMODE, O_RDONLY, O_WRONLY } from './abi/fcntl.ts';
import { S_IFIFO } from './abi/stat.ts';
import { anonymousStat } from './console.ts';
import type { FileHost, Reopenable } from './fs/file-host.ts';
import type { Inode } from './fs/inode.ts';
import { DEV_PIPE } from './fs/node.ts';
import {
  type GuestMemory,
  OpenFile,
  POLLERR,
  POLLHUP,
  POLLIN,
  POLLOUT,
  POLLRDNORM,
  POLLWRNORM,
  type Stat,
} from './open-file.ts';
import { WaitQueue } from './wait-queue.ts';

/** Writes of at most this are not torn. */
export const PIPE_BUF = 4096;
export const PIPE_SIZE = 65536;
/** /proc/sys/fs/pipe-max-size */
export const PIPE_MAX_SIZE = 1 << 20;
const EMPTY = new Uint8Array(0);

export class Pipe {
  readonly id: number;
  readonly #host: FileHost;
  capacity = PIPE_SIZE;
  #buffer: Uint8Array[] = [];
  #length = 0;
  /** Derived: the descriptions of the ends enter themselves. */
  readonly ends = new Set<PipeFile>();
  /** Woken when an end is opened: a blocking open(2) of a FIFO waits here. */
  readonly openQueue = new WaitQueue();

  constructor(host: FileHost, id: number) {
    this.#host = host;
    this.id = id;
  }

  static restore(host: FileHost, id: number, state: Plain): Pipe {
    const pipe = new Pipe(host, id);
    const saved = state as { capacity: number; buffer: Uint8Array[] };
    pipe.capacity = saved.capacity;
    pipe.#buffer = saved.buffer.map((bytes) => new Uint8Array(bytes));
    pipe.#length = pipe.#buffer.reduce((sum, bytes) => sum + bytes.length, 0);
    return pipe;
  }

  get key(): string {
    return `pipe/${this.id}`;
  }

  save(): Plain {
    return { capacity: this.capacity, buffer: this.#buffer };
  }

  get length(): number {
    return this.#length;
  }

  get room(): number {
    return Math.max(0, this.capacity - this.#length);
  }

  get readers(): number {
    return this.#count((end) => end.readable);
  }

  get writers(): number {
    return this.#count((end) => end.writable);
  }

  #count(which: (end: PipeFile) => boolean): number {
    let count = 0;
    for (const end of this.ends) if (which(end)) count++;
    return count;
  }

  take(length: number): Uint8Array {
    const pieces: Uint8Array[] = [];
    let left = length;
    while (left > 0 && this.#buffer.length > 0) {
      const first = this.#buffer[0]!;
      const piece = first.subarray(0, left);
      pieces.push(piece);
      left -= piece.length;
      if (piece.length === first.length) this.#buffer.shift();
      else this.#buffer[0] = first.slice(piece.length);
    }
    const out = new Uint8Array(length - left);
    let at = 0;
    for (const piece of pieces) {
      out.set(piece, at);
      at += piece.length;
    }
    this.#length -= out.length;
    if (out.length > 0) this.#changed((end) => end.writable);
    return out;
  }

  put(bytes: Uint8Array): void {
    const last = this.#buffer.at(-1);
    if (last !== undefined && last.length + bytes.length <= 4096) {
      const joined = new Uint8Array(last.length + bytes.length);
      joined.set(last);
      joined.set(bytes, last.length);
      this.#buffer[this.#buffer.length - 1] = joined;
    } else this.#buffer.push(new Uint8Array(bytes));
    this.#length += bytes.length;
    this.#changed((end) => end.readable);
  }

  #changed(who: (end: PipeFile) => boolean): void {
    this.#host.ledger.touch(this);
    for (const end of [...this.ends]) if (who(end)) end.queue.wake();
  }

  resize(capacity: number): void {
    this.capacity = capacity;
    this.#changed((end) => end.writable);
  }

  enter(end: PipeFile): void {
    this.ends.add(end);
    this.openQueue.wake();
  }

  leave(end: PipeFile): void {
    this.ends.delete(end);
    for (const other of [...this.ends]) other.queue.wake();
    this.openQueue.wake();
  }
}

/** Which pipes there are. */
export class Pipes {
  readonly #host: PipeHost;
  readonly #pipes = new Map<number, Pipe>();

  constructor(host: PipeHost) {
    this.#host = host;
  }

  get(id: number): Pipe | undefined {
    return this.#pipes.get(id);
  }

  /** Its id is that of an open file description or inode to come, so ids need no counter of their own. */
  create(id: number): Pipe {
    const pipe = new Pipe(this.#host, id);
    this.#pipes.set(id, pipe);
    this.#host.ledger.add(pipe);
    return pipe;
  }

  restore(id: number, state: Plain): void {
    const pipe = Pipe.restore(this.#host, id, state);
    this.#pipes.set(id, pipe);
    this.#host.ledger.add(pipe);
  }

  remove(pipe: Pipe): void {
    this.#pipes.delete(pipe.id);
    this.#host.ledger.remove(pipe);
  }
}

export interface PipeHost extends FileHost {
  readonly pipes: Pipes;
}

export class PipeFile extends OpenFile implements Reopenable {
  readonly host: PipeHost;
  readonly pipe: Pipe;
  /** The inode of a FIFO; null: pipe(2). */
  readonly fifo: Inode | null;
  /** Readers of a FIFO see no POLLHUP before a writer came (pipe(7)). */
  #sawWriter: boolean;

  constructor(host: PipeHost, id: number, flags: number, pipe: Pipe, fifo: Inode | null, sawWriter = fifo === null) {
    super(id, flags);
    this.host = host;
    this.pipe = pipe;
    this.fifo = fifo;
    this.#sawWriter = sawWriter;
    if (fifo !== null) host.vfs.hold(fifo);
    pipe.enter(this);
  }

  /** Both ends of a new pipe: [for reading, for writing]. */
  static pair(host: PipeHost, flags: number): [PipeFile, PipeFile] {
    let pipe: Pipe | null = null;
    const read = host.addFile((id) => {
      pipe = host.pipes.create(id);
      return new PipeFile(host, id, O_RDONLY | flags, pipe, null);
    });
    const write = host.addFile((id) => new PipeFile(host, id, O_WRONLY | flags, pipe!, null));
    return [read, write];
  }

  override save(): unknown {
    const { flags, pipe, fifo } = this;
    return { kind: 'pipe', flags, pipe: pipe.id, fifo: fifo === null ? 0 : fifo.ino, sawWriter: this.#sawWriter };
  }

  static restore(host: PipeHost, id: number, state: Plain): PipeFile {
    const saved = state as { flags: number; pipe: number; fifo: number; sawWriter: boolean };
    const fifo = saved.fifo === 0 ? null : (host.vfs.inode(saved.fifo) ?? null);
    return new PipeFile(host, id, saved.flags, host.pipes.get(saved.pipe)!, fifo, saved.sawWriter);
  }

  get readable(): boolean {
    return (this.flags & O_ACCMODE) !== O_WRONLY;
  }

  get writable(): boolean {
    return (this.flags & O_ACCMODE) !== O_RDONLY;
  }

  get path(): string {
    return `pipe:[${this.pipe.id}]`;
  }

  override stat(): Stat {
    return this.fifo?.stat() ?? anonymousStat(this.pipe.id, S_IFIFO | 0o600, DEV_PIPE);
  }

  #noteWriter(): boolean {
    if (!this.#sawWriter && this.pipe.writers > 0) {
      this.#sawWriter = true;
      this.host.ledger.touch(this);
    }
    return this.#sawWriter;
  }

  override read(length: number): Uint8Array | number {
    if (!this.readable) return -EBADF;
    this.#noteWriter();
    if (length === 0) return EMPTY;
    if (this.pipe.length > 0) return this.pipe.take(length);
    return this.pipe.writers === 0 ? EMPTY : -EAGAIN;
  }

  /** -EPIPE: the caller raises SIGPIPE. At most PIPE_BUF bytes go whole or not at all. */
  override write(bytes: Uint8Array): number {
    if (!this.writable) return -EBADF;
    if (this.pipe.readers === 0) return -EPIPE;
    if (bytes.length === 0) return 0;
    const { room } = this.pipe;
    if (room === 0 || (bytes.length <= PIPE_BUF && room < bytes.length)) return -EAGAIN;
    const count = Math.min(room, bytes.length);
    this.pipe.put(bytes.subarray(0, count));
    return count;
  }

  override poll(): number {
    let mask = 0;
    if (this.readable) {
      if (this.pipe.length > 0) mask |= POLLIN | POLLRDNORM;
      if (this.pipe.writers === 0 && this.#noteWriter()) mask |= POLLHUP;
    }
    if (this.writable) {
      if (this.pipe.room >= Math.min(PIPE_BUF, this.pipe.capacity)) mask |= POLLOUT | POLLWRNORM;
      if (this.pipe.readers === 0) mask |= POLLERR;
    }
    return mask;
  }

  override ioctl(request: number, argument: number, io: GuestMemory): number {
    if (request !== FIONREAD) return -ENOTTY;
    const bytes = new Uint8Array(4);
    new DataView(bytes.buffer).setInt32(0, this.pipe.length, true);
    return io.write(argument, bytes) ? 0 : -EFAULT;
  }

  /** F_SETPIPE_SZ: rounded up to a power of two of pages. */
  resize(size: number): number {
    if (size > PIPE_MAX_SIZE) return -EPERM;
    if (size < 0 || size > 2 ** 31) return -EINVAL;
    let capacity = 4096;
    while (capacity < size) capacity *= 2;
    if (capacity < this.pipe.length) return -EBUSY;
    this.pipe.resize(capacity);
    return capacity;
  }

  reopen(flags: number): OpenFile {
    return this.host.addFile((id) => new PipeFile(this.host, id, flags, this.pipe, this.fifo));
  }

  override close(): void {
    this.pipe.leave(this);
    if (this.pipe.ends.size === 0) {
      this.host.pipes.remove(this.pipe);
      if (this.fifo !== null) {
        this.fifo.pipe = 0;
        this.fifo.touch();
      }
    }
    if (this.fifo !== null) this.host.vfs.letGo(this.fifo);
  }
}
