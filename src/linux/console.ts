/**
 * The guest's standard streams: not a terminal but pipes. Output goes to `Lvm.console`; input comes in inputs of kind
 * 'stdin' and waits in the part `console`.
 */

import type { Plain } from '../checkpoint/ledger.ts';
import { EAGAIN, EBADF, EFAULT, ENOTTY } from './abi/errno.ts';
import { FIONREAD, O_ACCMODE, O_RDONLY } from './abi/fcntl.ts';
import { S_IFIFO } from './abi/stat.ts';
import type { FileHost, Reopenable } from './fs/file-host.ts';
import { DEV_PIPE } from './fs/node.ts';
import {
  type GuestMemory,
  OpenFile,
  POLLHUP,
  POLLIN,
  POLLOUT,
  POLLRDNORM,
  POLLWRNORM,
  type Stat,
} from './open-file.ts';
import { WaitQueue } from './wait-queue.ts';

const EMPTY = new Uint8Array(0);

/** What came on standard input and was not read yet. */
export class ConsoleInput {
  readonly key = 'console';
  readonly #touch: (part: ConsoleInput) => void;
  readonly queue = new WaitQueue();
  #pending: Uint8Array[] = [];
  #ended = false;

  /** `touch` is the ledger's. */
  constructor(touch: (part: ConsoleInput) => void) {
    this.#touch = touch;
  }

  static restore(touch: (part: ConsoleInput) => void, state: Plain): ConsoleInput {
    const input = new ConsoleInput(touch);
    const saved = state as { pending: Uint8Array[]; ended: boolean };
    input.#pending = saved.pending.map((bytes) => new Uint8Array(bytes));
    input.#ended = saved.ended;
    return input;
  }

  save(): Plain {
    return { pending: this.#pending, ended: this.#ended };
  }

  /** An input of kind 'stdin'; an empty array is the end of file. */
  feed(bytes: Uint8Array): void {
    if (bytes.length === 0) this.#ended = true;
    else this.#pending.push(new Uint8Array(bytes));
    this.#touch(this);
    this.queue.wake();
  }

  get available(): number {
    return this.#pending.reduce((sum, bytes) => sum + bytes.length, 0);
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** Up to `length` bytes; empty at the end of file; -EAGAIN when there is none yet. */
  take(length: number): Uint8Array | number {
    const first = this.#pending[0];
    if (first === undefined) return this.#ended || length === 0 ? EMPTY : -EAGAIN;
    const bytes = first.slice(0, length);
    if (bytes.length === first.length) this.#pending.shift();
    else this.#pending[0] = first.slice(bytes.length);
    this.#touch(this);
    return bytes;
  }
}

export interface ConsoleHost extends FileHost {
  readonly consoleInput: ConsoleInput;
}

export class ConsoleFile extends OpenFile implements Reopenable {
  readonly host: ConsoleHost;
  /** 0 stdin, 1 stdout, 2 stderr. */
  readonly stream: 0 | 1 | 2;
  readonly #relay = { notify: (): void => this.queue.wake() };

  constructor(host: ConsoleHost, id: number, flags: number, stream: 0 | 1 | 2) {
    super(id, flags);
    this.host = host;
    this.stream = stream;
    if (stream === 0) host.consoleInput.queue.add(this.#relay);
  }

  override save(): unknown {
    return { kind: 'console', flags: this.flags, stream: this.stream };
  }

  get path(): string {
    return `pipe:[${this.stream + 1}]`;
  }

  override stat(): Stat {
    return anonymousStat(this.stream + 1, S_IFIFO | 0o600, DEV_PIPE);
  }

  override read(length: number): Uint8Array | number {
    if (this.stream !== 0) return -EBADF;
    return this.host.consoleInput.take(length);
  }

  override write(bytes: Uint8Array): number {
    if (this.stream === 0) return -EBADF;
    this.host.console(this.stream, new Uint8Array(bytes));
    return bytes.length;
  }

  override poll(): number {
    if (this.stream !== 0) return POLLOUT | POLLWRNORM;
    const { available, ended } = this.host.consoleInput;
    return (available > 0 ? POLLIN | POLLRDNORM : 0) | (ended ? POLLHUP : 0);
  }

  override ioctl(request: number, argument: number, io: GuestMemory): number {
    if (request !== FIONREAD || this.stream !== 0) return -ENOTTY;
    const bytes = new Uint8Array(4);
    new DataView(bytes.buffer).setInt32(0, this.host.consoleInput.available, true);
    return io.write(argument, bytes) ? 0 : -EFAULT;
  }

  reopen(flags: number): OpenFile {
    const wantsRead = (flags & O_ACCMODE) === O_RDONLY;
    const stream = wantsRead ? 0 : this.stream === 0 ? 1 : this.stream;
    return this.host.addFile((id) => new ConsoleFile(this.host, id, flags, stream));
  }

  override close(): void {
    if (this.stream === 0) this.host.consoleInput.queue.remove(this.#relay);
  }
}

/** stat(2) of what has no inode: pipes, eventfds and the like. */
export function anonymousStat(ino: number, mode: number, dev: number): Stat {
  return {
    dev,
    ino,
    mode,
    nlink: 1,
    uid: 0,
    gid: 0,
    rdev: 0,
    size: 0,
    blksize: 4096,
    blocks: 0,
    atimeUs: 0,
    mtimeUs: 0,
    ctimeUs: 0,
  };
}
