/**
 * A process's memory map: what is mapped where and why (mmap(2)). The pages themselves — bytes, protection, dirtiness —
 * are the AddressSpace's; this is the list of areas over it (areas.ts), and what of them comes from files or is shared
 * (mapped-files.ts). There is no address randomisation: the layout is the same on every run.
 */

import type { Part, Plain } from '../../checkpoint/ledger.ts';
import type { AddressSpace } from '../../lvm/address-space.ts';
import { PAGE_SIZE, PROT_READ, PROT_WRITE, USER_END, USER_START } from '../../lvm/layout.ts';
import { EACCES, EEXIST, EFAULT, EINVAL, ENOMEM } from '../abi/errno.ts';
import type { ProcMapping } from '../fs/proc-view.ts';
import type { Vfs } from '../fs/vfs.ts';
import { type Area, AreaList, type Backing, offsetAt, pageDown, pageUp } from './areas.ts';
import { MappedFiles } from './mapped-files.ts';

export const MAP_SHARED = 0x01;
export const MAP_PRIVATE = 0x02;
export const MAP_SHARED_VALIDATE = 0x03;
export const MAP_TYPE = 0x0f;
export const MAP_FIXED = 0x10;
export const MAP_ANONYMOUS = 0x20;
export const MAP_FIXED_NOREPLACE = 0x100000;

export const MREMAP_MAYMOVE = 1;
export const MREMAP_FIXED = 2;

export const STACK_TOP = USER_END - 0x10000;
export const STACK_SIZE = 8 << 20;
/** mmap goes downwards from here. */
const MMAP_TOP = STACK_TOP - STACK_SIZE - (1 << 20);
const PROT_MASK = 7;

type SavedArea = [start: number, end: number, prot: number, flags: number, file: SavedBacking | null, name: string];
type SavedBacking = [ino: number, offset: number, path: string];
const SAVED_SHARED = 1;
const SAVED_READ_ONLY = 2;
const SAVED_FORK = ['copy', 'nothing', 'zeroes'] as const;

export interface MapHost {
  readonly vfs: Vfs;
  touch(part: Part): void;
  /** `--memory`: bytes of writable memory that all processes together may map. */
  readonly memoryLimit: number;
  /** Takes (or gives back) so many bytes; false: there are not so many. */
  charge(bytes: number): boolean;
}

export interface MapRequest {
  readonly address: number;
  readonly length: number;
  readonly prot: number;
  readonly flags: number;
  readonly file?: Backing | null;
  readonly mayWrite?: boolean;
  readonly name?: string;
}

export class MemoryMap implements Part {
  readonly key: string;
  readonly space: AddressSpace;
  readonly #host: MapHost;
  readonly #areas = new AreaList();
  readonly #files: MappedFiles;
  #brkStart = 0;
  #brk = 0;
  /** Processes that use it. Not saved: a restore counts them. */
  users = 0;
  /** Bytes charged. */
  #charged = 0;

  constructor(host: MapHost, space: AddressSpace) {
    this.#host = host;
    this.space = space;
    this.key = `mm/${space.id}`;
    this.#files = new MappedFiles(host.vfs, space, this.#areas);
  }

  save(): Plain {
    const areas = this.#areas.all.map(({ start, end, prot, shared, mayWrite, file, name, fork }): SavedArea => {
      const flags = (shared ? SAVED_SHARED : 0) | (mayWrite ? 0 : SAVED_READ_ONLY) | (SAVED_FORK.indexOf(fork) << 2);
      return [start, end, prot, flags, file === null ? null : [file.inode.ino, file.offset, file.path], name];
    });
    return { areas, brkStart: this.#brkStart, brk: this.#brk, charged: this.#charged };
  }

  static restore(host: MapHost, space: AddressSpace, state: Plain): MemoryMap {
    const saved = state as { areas: SavedArea[]; brkStart: number; brk: number; charged: number };
    const map = new MemoryMap(host, space);
    for (const [start, end, prot, flags, file, name] of saved.areas) {
      const inode = file === null ? undefined : host.vfs.inode(file[0]);
      const backing = file === null || inode === undefined ? null : { inode, offset: file[1], path: file[2] };
      const shared = (flags & SAVED_SHARED) !== 0;
      const mayWrite = (flags & SAVED_READ_ONLY) === 0;
      map.#insert({ start, end, prot, shared, mayWrite, file: backing, name, fork: SAVED_FORK[flags >> 2]! });
      // Whoever shares them may be restored later.
      if (shared) space.watch(start, end - start);
    }
    map.#brkStart = saved.brkStart;
    map.#brk = saved.brk;
    map.#charged = saved.charged;
    return map;
  }

  /** For fork(2), over a copy of the space; null when there is not enough memory. */
  clone(space: AddressSpace): MemoryMap | null {
    if (!this.#host.charge(this.#charged)) return null;
    const copy = new MemoryMap(this.#host, space);
    for (const area of this.#areas.all) copy.#insert({ ...area });
    copy.#brkStart = this.#brkStart;
    copy.#brk = this.#brk;
    copy.#charged = this.#charged;
    for (const { start, end, prot, fork } of this.#areas.all) {
      if (fork === 'nothing') copy.munmap(start, end - start);
      else if (fork === 'zeroes') space.map(start, end - start, prot);
    }
    // From now on somebody else has the pages that are shared.
    for (const area of this.#areas.all) this.#files.watch(area);
    return copy;
  }

  /** The process is gone or has a new map. */
  release(): void {
    this.#drop(this.#areas.cut(0, USER_END));
  }

  /** mmap(2): the address or -errno. */
  map(request: MapRequest): number {
    const { flags } = request;
    const prot = request.prot & PROT_MASK;
    const shared = (flags & MAP_TYPE) !== MAP_PRIVATE;
    if (request.length <= 0) return -EINVAL;
    const length = pageUp(request.length);
    if (length > USER_END) return -ENOMEM;
    let start: number;
    if ((flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)) !== 0) {
      start = request.address;
      if (start % PAGE_SIZE !== 0) return -EINVAL;
      if (start < USER_START || start + length > USER_END) return -ENOMEM;
      if ((flags & MAP_FIXED_NOREPLACE) !== 0 && this.#areas.overlaps(start, start + length)) return -EEXIST;
    } else {
      start = this.#place(pageDown(request.address), length);
      if (start < 0) return start;
    }
    const file = request.file ?? (shared ? this.#files.makeMemory(length) : null);
    const { mayWrite = true, name = '' } = request;
    const area: Area = { start, end: start + length, prot, shared, mayWrite, file, name, fork: 'copy' };
    // Held meanwhile: what is replaced may be all that there is of it.
    if (file !== null) this.#host.vfs.hold(file.inode);
    const done = this.#enter(area);
    if (file !== null) this.#host.vfs.letGo(file.inode);
    return done ? start : -ENOMEM;
  }

  /** Puts the area in place of what is there; false: not enough memory. */
  #enter(area: Area): boolean {
    const { start, end, prot, file } = area;
    const charge = isCharged(area) ? end - start : 0;
    if (charge > 0 && !this.#host.charge(charge)) return false;
    this.#charged += charge;
    this.#drop(this.#areas.cut(start, end));
    this.space.map(start, end - start, prot);
    if (file !== null) this.#files.fill(area, start, end);
    this.#insert(area);
    this.#areas.merge();
    this.#host.touch(this);
    return true;
  }

  munmap(start: number, length: number): number {
    if (start % PAGE_SIZE !== 0 || length <= 0) return -EINVAL;
    const end = start + pageUp(length);
    if (start < 0 || end > USER_END) return -EINVAL;
    this.space.unmap(start, end - start);
    this.#drop(this.#areas.cut(start, end));
    this.#host.touch(this);
    return 0;
  }

  mprotect(start: number, length: number, prot: number): number {
    if (start % PAGE_SIZE !== 0) return -EINVAL;
    if (length === 0) return 0;
    if (start + pageUp(length) > USER_END) return -ENOMEM;
    // As in Linux what stands before a hole is changed all the same.
    const end = this.#areas.mappedUntil(start, start + pageUp(length));
    this.#areas.split(start);
    this.#areas.split(end);
    let result = end === start + pageUp(length) ? 0 : -ENOMEM;
    for (const area of this.#areas.between(start, end)) {
      const failed = this.#protect(area, prot & PROT_MASK);
      if (failed === 0) continue;
      result = failed;
      break;
    }
    this.#areas.merge();
    this.#host.touch(this);
    return result;
  }

  #protect(area: Area, prot: number): number {
    if (!area.mayWrite && (prot & PROT_WRITE) !== 0) return -EACCES;
    const bytes = area.end - area.start;
    const change = (isCharged({ ...area, prot }) ? bytes : 0) - (isCharged(area) ? bytes : 0);
    if (!this.#host.charge(change)) return -ENOMEM;
    this.#charged += change;
    area.prot = prot;
    this.#files.expose(area, area.start, area.end);
    return 0;
  }

  /** mremap(2): the address or -errno. */
  mremap(old: number, oldLength: number, newLength: number, flags: number, target: number): number {
    if (old % PAGE_SIZE !== 0 || newLength <= 0) return -EINVAL;
    if ((flags & ~(MREMAP_MAYMOVE | MREMAP_FIXED)) !== 0) return -EINVAL;
    const fixed = (flags & MREMAP_FIXED) !== 0;
    if (fixed && (flags & MREMAP_MAYMOVE) === 0) return -EINVAL;
    const from = pageUp(oldLength);
    const to = pageUp(newLength);
    if (fixed && (target % PAGE_SIZE !== 0 || (target < old + from && old < target + to))) return -EINVAL;
    const area = this.find(old);
    if (area === null || old + from > area.end) return -EFAULT;
    // A second mapping of what is shared; the first one stays.
    if (from === 0 && !area.shared) return -EINVAL;
    if (!fixed && from > 0) {
      if (to <= from) return to === from ? old : this.munmap(old + to, from - to) || old;
      if (old + from === area.end && old + to <= MMAP_TOP && !this.#areas.overlaps(area.end, old + to)) {
        const more = this.#mapLike(area, area.end, to - from, MAP_FIXED, area.end);
        return more < 0 ? more : old;
      }
    }
    if ((flags & MREMAP_MAYMOVE) === 0) return -ENOMEM;
    const start = this.#mapLike(area, old, to, fixed ? MAP_FIXED : 0, fixed ? target : 0);
    if (start < 0) return start;
    // What is shared was copied in by the mapping; what is private is copied here, also where it differs from its file.
    for (let at = 0; !area.shared && at < Math.min(from, to); at += PAGE_SIZE) {
      const page = (old + at) / PAGE_SIZE;
      if (area.file !== null || !this.space.isZero(page)) this.space.poke(start + at, this.space.page(page));
    }
    if (from > 0) this.munmap(old, from);
    return start;
  }

  /** Maps what the area has, or would have, at `address` to another place. */
  #mapLike(area: Area, address: number, length: number, flags: number, place: number): number {
    const { prot, shared, mayWrite, file, name } = area;
    return this.map({
      address: place,
      length,
      prot,
      flags: (shared ? MAP_SHARED : MAP_PRIVATE) | flags,
      file: file === null ? null : { ...file, offset: offsetAt(area, address) },
      mayWrite,
      name,
    });
  }

  /** madvise(MADV_DONTNEED): anonymous memory reads as zero again, private file pages as the file. */
  discard(start: number, length: number): number {
    const end = start + pageUp(length);
    for (const area of this.#areas.between(start, end)) {
      // Pages that are shared belong to the file.
      if (area.shared) continue;
      const from = Math.max(start, area.start);
      const to = Math.min(end, area.end);
      this.space.map(from, to - from, area.prot);
      if (area.file !== null) this.#files.fill(area, from, to);
    }
    return this.#areas.mappedUntil(start, end) < end ? -ENOMEM : 0;
  }

  /** madvise(MADV_DONTFORK) and its relatives. */
  setFork(start: number, length: number, fork: Area['fork']): number {
    const end = start + pageUp(length);
    const isAnonymous = ({ file }: Area) => file === null;
    if (fork === 'zeroes' && !this.#areas.between(start, end).every(isAnonymous)) return -EINVAL;
    this.#areas.split(start);
    this.#areas.split(end);
    for (const area of this.#areas.between(start, end)) area.fork = fork;
    this.#areas.merge();
    this.#host.touch(this);
    return this.#areas.mappedUntil(start, end) < end ? -ENOMEM : 0;
  }

  /** The heap begins behind the program. */
  setBrk(start: number): void {
    this.#brkStart = this.#brk = pageUp(start);
    this.#host.touch(this);
  }

  /** brk(2): the new end, or the old where it cannot be. */
  brk(address: number): number {
    if (address < this.#brkStart) return this.#brk;
    const before = pageUp(this.#brk);
    const after = pageUp(address);
    if (after > before) {
      if (after > MMAP_TOP || this.#areas.overlaps(before, after)) return this.#brk;
      const flags = MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS;
      const prot = PROT_READ | PROT_WRITE;
      if (this.map({ address: before, length: after - before, prot, flags, name: '[heap]' }) < 0) return this.#brk;
    } else if (after < before) {
      this.munmap(after, before - after);
    }
    this.#brk = address;
    this.#host.touch(this);
    return address;
  }

  find(address: number): Area | null {
    return this.#areas.find(address);
  }

  isMapped(start: number, length: number): boolean {
    const end = start + pageUp(length);
    return this.#areas.mappedUntil(start, end) === end;
  }

  /** Names the place of a futex: the same for all processes that share its page. */
  futexKey(address: number): string {
    return this.#files.placeOf(address) ?? `${this.space.id}:${address}`;
  }

  /** What the guest has written to pages that are shared: everybody gets it. */
  publish(): void {
    this.#files.publish();
  }

  /** Rows of /proc/self/maps. */
  rows(): ProcMapping[] {
    return this.#areas.all.map(({ start, end, prot, shared, file, name }) => ({
      start,
      end,
      prot,
      shared,
      offset: file?.offset ?? 0,
      dev: file?.inode.dev ?? 0,
      ino: file?.inode.ino ?? 0,
      name: file?.path ?? name,
      residentBytes: end - start,
    }));
  }

  get mappedBytes(): number {
    return this.#areas.all.reduce((sum, { start, end }) => sum + end - start, 0);
  }

  // --- the list, with what depends on it ---

  #place(hint: number, length: number): number {
    if (hint >= USER_START && hint + length <= MMAP_TOP && !this.#areas.overlaps(hint, hint + length)) return hint;
    return this.#areas.highestFree(length, Math.max(USER_START, pageUp(this.#brk)), MMAP_TOP) ?? -ENOMEM;
  }

  #insert(area: Area): void {
    this.#areas.insert(area);
    this.#files.enter(area);
  }

  /** The areas are in the list no more. */
  #drop(areas: readonly Area[]): void {
    for (const area of areas) {
      if (isCharged(area)) {
        this.#host.charge(area.start - area.end);
        this.#charged -= area.end - area.start;
      }
      this.#files.leave(area);
    }
  }
}

/** Writable memory that no file stands behind counts (Documentation/mm/overcommit-accounting.rst), in every process. */
function isCharged({ prot, shared, file }: Area): boolean {
  return (prot & PROT_WRITE) !== 0 && (!shared || file === null || file.inode.memory);
}
