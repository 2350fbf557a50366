/**
 * epoll(7). The interest list and which items are on the ready list are plain state, so edges that were not reported yet
 * survive a restore; that an item listens to its file's wait queue is derived.
 *
 * As in fs/eventpoll.c an item comes onto the ready list when its file wakes its queue (or has events when it is added or
 * changed); epoll_wait polls the listed files, reports what holds, and puts level-triggered items back.
 */

import type { Plain } from '../checkpoint/ledger.ts';
import { EBADF, EEXIST, EINVAL, ELOOP, ENOENT, EPERM } from './abi/errno.ts';
import { anonymousStat } from './console.ts';
import { DeviceFile } from './fs/device-file.ts';
import { DirectoryFile } from './fs/directory-file.ts';
import type { FileHost } from './fs/file-host.ts';
import { DEV_ANON } from './fs/node.ts';
import { RegularFile } from './fs/regular-file.ts';
import { OpenFile, POLLERR, POLLHUP, POLLIN, POLLRDNORM, type Stat } from './open-file.ts';
import type { Waiter } from './wait-queue.ts';

export const EPOLL_CTL_ADD = 1;
export const EPOLL_CTL_DEL = 2;
export const EPOLL_CTL_MOD = 3;
export const EPOLLEXCLUSIVE = 1 << 28;
export const EPOLLWAKEUP = 1 << 29;
export const EPOLLONESHOT = 1 << 30;
export const EPOLLET = 1 << 31;

/** Bits that may stand beside EPOLLEXCLUSIVE. */
const EXCLUSIVE_OK = 0x5 | EPOLLEXCLUSIVE | EPOLLWAKEUP | EPOLLET | POLLERR | POLLHUP;
/** Nesting depth (EP_MAX_NESTS). */
const MAX_NESTS = 4;

class Item implements Waiter {
  readonly owner: EpollFile;
  readonly fd: number;
  readonly file: OpenFile;
  events: number;
  data: bigint;
  /** EPOLLONESHOT has fired. */
  disabled = false;

  constructor(owner: EpollFile, fd: number, file: OpenFile, events: number, data: bigint) {
    this.owner = owner;
    this.fd = fd;
    this.file = file;
    this.events = events;
    this.data = data;
  }

  notify(): void {
    this.owner.itemReady(this);
  }

  /** Its description was closed (epoll(7), question 6). */
  gone(): void {
    this.owner.remove(this);
  }

  /** What is to be reported now; errors and hang-ups always are. */
  pending(): number {
    return this.disabled ? 0 : this.file.poll() & (this.events | POLLERR | POLLHUP);
  }
}

export interface EpollEvent {
  readonly events: number;
  readonly data: bigint;
}

export class EpollFile extends OpenFile {
  readonly #host: FileHost;
  /** By descriptor; several where a number was used again while the old description lives on. */
  readonly #items = new Map<number, Item[]>();
  readonly #ready = new Set<Item>();

  constructor(host: FileHost, id: number, flags: number) {
    super(id, flags);
    this.#host = host;
  }

  override save(): unknown {
    const items = [...this.#items.values()].flat();
    const index = new Map(items.map((item, i) => [item, i]));
    return {
      kind: 'epoll',
      flags: this.flags,
      items: items.map((i) => [i.fd, i.file.id, i.events, i.data.toString(), i.disabled]),
      ready: [...this.#ready].map((item) => index.get(item)!),
    };
  }

  /** Files that it watches must be there already or come later: `relink` finds them. */
  static restore(host: FileHost, id: number, state: Plain): EpollFile {
    const epoll = new EpollFile(host, id, (state as { flags: number }).flags);
    epoll.#saved = state as SavedEpoll;
    return epoll;
  }

  #saved: SavedEpoll | null = null;

  /** The second step of a restore, when all open files are there. */
  relink(): void {
    const saved = this.#saved;
    if (saved === null) return;
    this.#saved = null;
    const items = saved.items.map(([fd, fileId, events, data, disabled]) => {
      const file = this.#host.file(fileId);
      if (file === undefined) return null;
      const item = new Item(this, fd, file, events, BigInt(data));
      item.disabled = disabled;
      this.#put(item);
      return item;
    });
    for (const index of saved.ready) {
      const item = items[index];
      if (item) this.#ready.add(item);
    }
  }

  get path(): string {
    return 'anon_inode:[eventpoll]';
  }

  override stat(): Stat {
    return anonymousStat(9, 0o600, DEV_ANON);
  }

  #put(item: Item): void {
    const list = this.#items.get(item.fd);
    if (list === undefined) this.#items.set(item.fd, [item]);
    else list.push(item);
    item.file.queue.add(item);
  }

  remove(item: Item): void {
    item.file.queue.remove(item);
    this.#ready.delete(item);
    const list = this.#items.get(item.fd)!.filter((other) => other !== item);
    if (list.length === 0) this.#items.delete(item.fd);
    else this.#items.set(item.fd, list);
    this.#host.ledger.touch(this);
  }

  itemReady(item: Item): void {
    if (item.disabled) return;
    if (!this.#ready.has(item)) {
      this.#ready.add(item);
      this.#host.ledger.touch(this);
    }
    this.queue.wake();
  }

  /** epoll_ctl(2). */
  control(op: number, fd: number, file: OpenFile, events: number, data: bigint): number {
    if (file === this) return -EINVAL;
    // Regular files and directories are always ready: they cannot be watched.
    if (file instanceof RegularFile || file instanceof DirectoryFile || file instanceof DeviceFile) return -EPERM;
    const item = this.#items.get(fd)?.find((other) => other.file === file);
    switch (op) {
      case EPOLL_CTL_ADD: {
        if ((events & EPOLLEXCLUSIVE) !== 0 && ((events & ~EXCLUSIVE_OK) !== 0 || file instanceof EpollFile))
          return -EINVAL;
        if (item !== undefined) return -EEXIST;
        if (file instanceof EpollFile && (file.reaches(this, 0) || file.#depth() > MAX_NESTS)) return -ELOOP;
        const added = new Item(this, fd, file, events, data);
        this.#put(added);
        this.#host.ledger.touch(this);
        if (added.pending() !== 0) this.itemReady(added);
        return 0;
      }
      case EPOLL_CTL_DEL:
        if (item === undefined) return -ENOENT;
        this.remove(item);
        return 0;
      case EPOLL_CTL_MOD:
        if ((events & EPOLLEXCLUSIVE) !== 0) return -EINVAL;
        if (item === undefined) return -ENOENT;
        if ((item.events & EPOLLEXCLUSIVE) !== 0) return -EINVAL;
        item.events = events;
        item.data = data;
        item.disabled = false;
        this.#host.ledger.touch(this);
        if (item.pending() !== 0) this.itemReady(item);
        return 0;
      default:
        return -EINVAL;
    }
  }

  #depth(): number {
    let depth = 0;
    for (const list of this.#items.values()) {
      for (const { file } of list) if (file instanceof EpollFile) depth = Math.max(depth, file.#depth());
    }
    return depth + 1;
  }

  reaches(other: EpollFile, depth: number): boolean {
    if (this === other) return true;
    if (depth > MAX_NESTS) return true;
    for (const list of this.#items.values()) {
      for (const { file } of list) if (file instanceof EpollFile && file.reaches(other, depth + 1)) return true;
    }
    return false;
  }

  /** Up to `max` events, taken from the ready list; empty: nothing is ready. */
  collect(max: number): EpollEvent[] {
    const events: EpollEvent[] = [];
    if (this.#ready.size === 0) return events;
    const level: Item[] = [];
    for (const item of [...this.#ready]) {
      if (events.length === max) break;
      // Polled before it is taken off: a timer that is polled ticks, and notifies.
      const pending = item.pending();
      this.#ready.delete(item);
      if (pending === 0) continue;
      events.push({ events: pending >>> 0, data: item.data });
      if ((item.events & EPOLLONESHOT) !== 0) item.disabled = true;
      else if ((item.events & EPOLLET) === 0) level.push(item);
    }
    // Level-triggered ones go to the end, so that all get their turn when `max` is small.
    for (const item of level) this.#ready.add(item);
    this.#host.ledger.touch(this);
    return events;
  }

  override poll(): number {
    for (const item of this.#ready) if (item.pending() !== 0) return POLLIN | POLLRDNORM;
    return 0;
  }

  override read(): number {
    return -EINVAL;
  }

  override write(): number {
    return -EINVAL;
  }

  override truncate(): number {
    return -EBADF;
  }

  override close(): void {
    for (const list of this.#items.values()) for (const item of list) item.file.queue.remove(item);
    this.#items.clear();
    this.#ready.clear();
  }
}

interface SavedEpoll {
  flags: number;
  items: [number, number, number, string, boolean][];
  ready: number[];
}
