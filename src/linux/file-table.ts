/**
 * A process's file descriptors. Kept in parts of 64 so that opening one descriptor among thousands ships little.
 */

import type { Ledger, Part, Plain } from '../checkpoint/ledger.ts';
import { EBADF, EINVAL, EMFILE } from './abi/errno.ts';
import type { OpenFile } from './open-file.ts';
import { dropFileLocks, dropPosixLocks } from './syscalls/fcntl.ts';

const CHUNK = 64;

interface Entry {
  readonly file: OpenFile;
  cloexec: boolean;
}

export interface FileTableHost {
  readonly ledger: Pick<Ledger, 'add' | 'touch' | 'remove'>;
  file(id: number): OpenFile | undefined;
  /** Takes a reference away; the last one closes. */
  release(file: OpenFile): void;
}

class Chunk implements Part {
  readonly key: string;
  readonly entries: (Entry | null)[] = new Array<Entry | null>(CHUNK).fill(null);
  used = 0;

  constructor(pid: number, index: number) {
    this.key = `fds/${pid}/${index}`;
  }

  /** Flat: slot, description, close-on-exec of each descriptor. */
  save(): Plain {
    const saved: number[] = [];
    this.entries.forEach((entry, slot) => {
      if (entry !== null) saved.push(slot, entry.file.id, entry.cloexec ? 1 : 0);
    });
    return saved;
  }
}

export class FileTable {
  readonly #host: FileTableHost;
  readonly #pid: number;
  readonly #chunks: (Chunk | null)[] = [];
  /** No descriptor below it is free. */
  #lowest = 0;
  /** RLIMIT_NOFILE, soft. */
  limit: number;

  constructor(host: FileTableHost, pid: number, limit: number) {
    this.#host = host;
    this.#pid = pid;
    this.limit = limit;
  }

  #entry(fd: number): Entry | null {
    return fd >= 0 ? (this.#chunks[Math.floor(fd / CHUNK)]?.entries[fd % CHUNK] ?? null) : null;
  }

  #set(fd: number, entry: Entry | null): void {
    const index = Math.floor(fd / CHUNK);
    let chunk = this.#chunks[index] ?? null;
    if (chunk === null) {
      while (this.#chunks.length < index) this.#chunks.push(null);
      chunk = this.#chunks[index] = new Chunk(this.#pid, index);
      this.#host.ledger.add(chunk);
    }
    chunk.used += (entry === null ? 0 : 1) - (chunk.entries[fd % CHUNK] === null ? 0 : 1);
    chunk.entries[fd % CHUNK] = entry;
    if (chunk.used > 0) {
      this.#host.ledger.touch(chunk);
    } else {
      this.#host.ledger.remove(chunk);
      this.#chunks[index] = null;
    }
  }

  file(fd: number): OpenFile | undefined {
    return this.#entry(fd)?.file;
  }

  /** The lowest free descriptor ≥ `min`; -EMFILE, or -EINVAL where `min` is beyond the limit (fcntl(2), F_DUPFD). */
  install(file: OpenFile, cloexec: boolean, min = 0): number {
    if (min > 0 && min >= this.limit) return -EINVAL;
    let fd = Math.max(min, this.#lowest);
    while (this.#entry(fd) !== null) fd++;
    if (fd >= this.limit) return -EMFILE;
    if (min <= this.#lowest) this.#lowest = fd + 1;
    file.references++;
    this.#set(fd, { file, cloexec });
    return fd;
  }

  /** dup2(2): closes what was there. */
  installAt(fd: number, file: OpenFile, cloexec: boolean): number {
    if (fd < 0 || fd >= this.limit) return -EBADF;
    file.references++;
    this.close(fd);
    this.#set(fd, { file, cloexec });
    return fd;
  }

  close(fd: number): number {
    const entry = this.#entry(fd);
    if (entry === null) return -EBADF;
    this.#set(fd, null);
    this.#lowest = Math.min(this.#lowest, fd);
    dropPosixLocks(entry.file, this.#pid);
    if (entry.file.references === 1) dropFileLocks(entry.file);
    this.#host.release(entry.file);
    return 0;
  }

  cloexec(fd: number): boolean {
    return this.#entry(fd)?.cloexec ?? false;
  }

  setCloexec(fd: number, on: boolean): void {
    const entry = this.#entry(fd);
    if (entry === null || entry.cloexec === on) return;
    entry.cloexec = on;
    this.#host.ledger.touch(this.#chunks[Math.floor(fd / CHUNK)]!);
  }

  /** Open descriptors, ascending. */
  fds(): number[] {
    const list: number[] = [];
    this.#chunks.forEach((chunk, index) => {
      chunk?.entries.forEach((entry, slot) => {
        if (entry !== null) list.push(index * CHUNK + slot);
      });
    });
    return list;
  }

  /** execve(2). */
  closeOnExec(): void {
    for (const fd of this.fds()) if (this.cloexec(fd)) this.close(fd);
  }

  closeAll(): void {
    for (const fd of this.fds()) this.close(fd);
  }

  /** For fork(2). */
  clone(pid: number): FileTable {
    const copy = new FileTable(this.#host, pid, this.limit);
    for (const fd of this.fds()) {
      const { file, cloexec } = this.#entry(fd)!;
      file.references++;
      copy.#set(fd, { file, cloexec });
    }
    copy.#lowest = this.#lowest;
    return copy;
  }

  /** Puts a part of a checkpoint back; counts the references. Every description is there already. */
  restoreChunk(index: number, state: Plain): void {
    const saved = state as number[];
    for (let i = 0; i < saved.length; i += 3) {
      const file = this.#host.file(saved[i + 1]!)!;
      file.references++;
      this.#set(index * CHUNK + saved[i]!, { file, cloexec: saved[i + 2] === 1 });
    }
  }
}
