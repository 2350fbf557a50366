/**
 * A process's memory map: what is mapped where and why (mmap(2)). The pages themselves — bytes, protection, dirtiness —
 * are the AddressSpace's; this is the list of areas over it.
 *
 * Content of a private file mapping is copied in when it is mapped. There is no address randomisation: the layout is the
 * same on every run.
 */

import type { Part, Plain } from '../../checkpoint/ledger.ts';
import type { AddressSpace } from '../../lvm/address-space.ts';
import { PAGE_SIZE, PROT_READ, PROT_WRITE, USER_END, USER_START } from '../../lvm/layout.ts';
import { EACCES, EEXIST, EFAULT, EINVAL, ENODEV, ENOMEM } from '../abi/errno.ts';
import type { Inode } from '../fs/inode.ts';
import type { ProcMapping } from '../fs/proc-view.ts';
import { readContent } from '../fs/regular-file.ts';
import type { Vfs } from '../fs/vfs.ts';

export const MAP_SHARED = 0x01;
export const MAP_PRIVATE = 0x02;
export const MAP_SHARED_VALIDATE = 0x03;
export const MAP_TYPE = 0x0f;
export const MAP_FIXED = 0x10;
export const MAP_ANONYMOUS = 0x20;
export const MAP_FIXED_NOREPLACE = 0x100000;

export const MREMAP_MAYMOVE = 1;
export const MREMAP_FIXED = 2;
export const MREMAP_DONTUNMAP = 4;

export const STACK_TOP = USER_END - 0x10000;
export const STACK_SIZE = 8 << 20;
/** mmap goes downwards from here. */
const MMAP_TOP = STACK_TOP - STACK_SIZE - (1 << 20);
const PROT_MASK = 7;

/** One area of equal attributes. */
export interface Area {
  start: number;
  end: number;
  /** PROT_*, without PROT_MAPPED. */
  prot: number;
  shared: boolean;
  /** Null: anonymous. */
  file: { readonly inode: Inode; readonly offset: number; readonly path: string } | null;
  /** '[heap]', '[stack]' or ''. */
  name: string;
}

type SavedArea = [
  start: number,
  end: number,
  prot: number,
  shared: boolean,
  file: [number, number, string] | null,
  name: string,
];

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
  readonly file?: { readonly inode: Inode; readonly offset: number; readonly path: string } | null;
  readonly name?: string;
}

export function pageUp(value: number): number {
  return Math.ceil(value / PAGE_SIZE) * PAGE_SIZE;
}

function pageDown(value: number): number {
  return Math.floor(value / PAGE_SIZE) * PAGE_SIZE;
}

export class MemoryMap implements Part {
  readonly key: string;
  readonly space: AddressSpace;
  readonly #host: MapHost;
  /** Ascending, disjoint. */
  #areas: Area[] = [];
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
  }

  save(): Plain {
    const areas = this.#areas.map(({ start, end, prot, shared, file, name }): SavedArea => {
      return [start, end, prot, shared, file === null ? null : [file.inode.ino, file.offset, file.path], name];
    });
    return { areas, brkStart: this.#brkStart, brk: this.#brk, charged: this.#charged };
  }

  static restore(host: MapHost, space: AddressSpace, state: Plain): MemoryMap {
    const saved = state as { areas: SavedArea[]; brkStart: number; brk: number; charged: number };
    const map = new MemoryMap(host, space);
    map.#areas = saved.areas.map(([start, end, prot, shared, file, name]) => {
      const inode = file === null ? undefined : host.vfs.inode(file[0]);
      if (inode !== undefined) host.vfs.hold(inode);
      const from = file === null || inode === undefined ? null : { inode, offset: file[1], path: file[2] };
      return { start, end, prot, shared, file: from, name };
    });
    map.#brkStart = saved.brkStart;
    map.#brk = saved.brk;
    map.#charged = saved.charged;
    return map;
  }

  /** For fork(2), over a copy of the space; null when there is not enough memory. */
  clone(space: AddressSpace): MemoryMap | null {
    if (!this.#host.charge(this.#charged)) return null;
    const copy = new MemoryMap(this.#host, space);
    copy.#areas = this.#areas.map((area) => ({ ...area }));
    for (const { file } of copy.#areas) if (file !== null) this.#host.vfs.hold(file.inode);
    copy.#brkStart = this.#brkStart;
    copy.#brk = this.#brk;
    copy.#charged = this.#charged;
    return copy;
  }

  /** The process is gone or has a new map. */
  release(): void {
    for (const { file } of this.#areas) if (file !== null) this.#host.vfs.letGo(file.inode);
    this.#areas = [];
    this.#host.charge(-this.#charged);
    this.#charged = 0;
  }

  /** True where memory is shared that another process would have to see: what fork(2) here cannot give. */
  get hasSharedAnonymous(): boolean {
    return this.#areas.some((area) => area.shared && area.file === null && (area.prot & PROT_WRITE) !== 0);
  }

  /** mmap(2): the address or -errno. */
  map(request: MapRequest): number {
    const { flags, prot } = request;
    const type = flags & MAP_TYPE;
    const shared = type !== MAP_PRIVATE;
    if (type !== MAP_PRIVATE && type !== MAP_SHARED && type !== MAP_SHARED_VALIDATE) return -EINVAL;
    if (request.length <= 0) return -EINVAL;
    const length = pageUp(request.length);
    if (length > USER_END) return -ENOMEM;
    const file = request.file ?? null;
    if (file !== null && file.offset % PAGE_SIZE !== 0) return -EINVAL;
    // Writes would have to reach the file and other mappings of it.
    if (file !== null && shared && (prot & PROT_WRITE) !== 0) return -ENODEV;
    let start: number;
    if ((flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)) !== 0) {
      start = request.address;
      if (start % PAGE_SIZE !== 0) return -EINVAL;
      if (start < USER_START || start + length > USER_END) return -ENOMEM;
      if ((flags & MAP_FIXED_NOREPLACE) !== 0 && this.#overlaps(start, start + length)) return -EEXIST;
    } else {
      start = this.#place(pageDown(request.address), length);
      if (start < 0) return start;
    }
    const charge = isCharged(prot, shared) ? length : 0;
    if (charge > 0 && !this.#host.charge(charge)) return -ENOMEM;
    this.#cut(start, start + length);
    this.#charged += charge;
    this.space.map(start, length, prot & PROT_MASK);
    if (file !== null) {
      this.#host.vfs.hold(file.inode);
      this.#fill(start, length, file.inode, file.offset);
    }
    this.#insert({ start, end: start + length, prot: prot & PROT_MASK, shared, file, name: request.name ?? '' });
    this.#host.touch(this);
    return start;
  }

  #fill(start: number, length: number, inode: Inode, offset: number): void {
    const count = Math.min(length, Math.max(0, inode.size - offset));
    if (count > 0) this.space.poke(start, readContent(inode, offset, count));
  }

  munmap(start: number, length: number): number {
    if (start % PAGE_SIZE !== 0 || length <= 0) return -EINVAL;
    const end = start + pageUp(length);
    if (start < 0 || end > USER_END) return -EINVAL;
    this.#cut(start, end);
    this.space.unmap(start, end - start);
    this.#host.touch(this);
    return 0;
  }

  mprotect(start: number, length: number, prot: number): number {
    if (start % PAGE_SIZE !== 0) return -EINVAL;
    const end = start + pageUp(length);
    if (end > USER_END) return -ENOMEM;
    if (length === 0) return 0;
    if (!this.#isMapped(start, end)) return -ENOMEM;
    this.#split(start);
    this.#split(end);
    for (const area of this.#between(start, end)) {
      if (area.file !== null && area.shared && (prot & PROT_WRITE) !== 0) return -EACCES;
      const before = isCharged(area.prot, area.shared);
      const after = isCharged(prot, area.shared);
      // As Linux: once charged, a private area stays so.
      if (after && !before) {
        if (!this.#host.charge(area.end - area.start)) return -ENOMEM;
        this.#charged += area.end - area.start;
      } else if (before && !after) {
        this.#host.charge(area.start - area.end);
        this.#charged -= area.end - area.start;
      }
      area.prot = prot & PROT_MASK;
      this.space.protect(area.start, area.end - area.start, prot & PROT_MASK);
    }
    this.#merge();
    this.#host.touch(this);
    return 0;
  }

  /** mremap(2): the address or -errno. */
  mremap(old: number, oldLength: number, newLength: number, flags: number, target: number): number {
    if (old % PAGE_SIZE !== 0 || newLength <= 0) return -EINVAL;
    if ((flags & ~(MREMAP_MAYMOVE | MREMAP_FIXED)) !== 0) return -EINVAL;
    if ((flags & MREMAP_FIXED) !== 0 && (flags & MREMAP_MAYMOVE) === 0) return -EINVAL;
    const from = pageUp(oldLength);
    const to = pageUp(newLength);
    const area = this.find(old);
    if (area === null || old + from > area.end || from === 0) return -EFAULT;
    if ((flags & MREMAP_FIXED) === 0) {
      if (to === from) return old;
      if (to < from) return this.munmap(old + to, from - to) || old;
      const grown = old + to <= MMAP_TOP + (1 << 20) && !this.#overlaps(old + from, old + to);
      if (grown && old + from === area.end) {
        const more = this.#extend(area, old + from, to - from);
        return more < 0 ? more : old;
      }
      if ((flags & MREMAP_MAYMOVE) === 0) return -ENOMEM;
    } else if (target % PAGE_SIZE !== 0 || (target < old + from && old < target + to)) {
      return -EINVAL;
    }
    const { prot, shared, file } = area;
    const inFile = file === null ? null : { ...file, offset: file.offset + old - area.start };
    const start = this.map({
      address: target,
      length: to,
      prot,
      flags: (shared ? MAP_SHARED : MAP_PRIVATE) | ((flags & MREMAP_FIXED) !== 0 ? MAP_FIXED : 0),
      file: inFile,
      name: area.name,
    });
    if (start < 0) return start;
    const count = Math.min(from, to) / PAGE_SIZE;
    for (let i = 0; i < count; i++) {
      const page = old / PAGE_SIZE + i;
      if (file !== null || !this.space.isZero(page)) this.space.poke(start + i * PAGE_SIZE, this.space.page(page));
    }
    this.munmap(old, from);
    return start;
  }

  #extend(area: Area, start: number, length: number): number {
    const { prot, shared, file } = area;
    return this.map({
      address: start,
      length,
      prot,
      flags: (shared ? MAP_SHARED : MAP_PRIVATE) | MAP_FIXED,
      file: file === null ? null : { ...file, offset: file.offset + start - area.start },
      name: area.name,
    });
  }

  /** madvise(MADV_DONTNEED): anonymous memory reads as zero again, private file pages as the file. */
  discard(start: number, length: number): number {
    if (start % PAGE_SIZE !== 0) return -EINVAL;
    const end = start + pageUp(length);
    if (end > USER_END || !this.#isMapped(start, end)) return -ENOMEM;
    for (const area of this.#between(start, end)) {
      const from = Math.max(start, area.start);
      const to = Math.min(end, area.end);
      this.space.map(from, to - from, area.prot);
      if (area.file !== null) this.#fill(from, to - from, area.file.inode, area.file.offset + from - area.start);
    }
    return 0;
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
      if (after > MMAP_TOP || this.#overlaps(before, after)) return this.#brk;
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
    return this.#areas.find((area) => address >= area.start && address < area.end) ?? null;
  }

  isMapped(start: number, length: number): boolean {
    return this.#isMapped(start, start + pageUp(length));
  }

  /** Rows of /proc/self/maps. */
  rows(): ProcMapping[] {
    return this.#areas.map(({ start, end, prot, shared, file, name }) => ({
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
    return this.#areas.reduce((sum, { start, end }) => sum + end - start, 0);
  }

  // --- the list ---

  #place(hint: number, length: number): number {
    if (hint >= USER_START && hint + length <= MMAP_TOP && !this.#overlaps(hint, hint + length)) return hint;
    let end = MMAP_TOP;
    for (let i = this.#areas.length - 1; i >= 0; i--) {
      const area = this.#areas[i]!;
      if (area.start >= end) continue;
      if (area.end + length <= end) return end - length;
      end = Math.min(end, area.start);
    }
    return end - length >= Math.max(USER_START, pageUp(this.#brk)) ? end - length : -ENOMEM;
  }

  #overlaps(start: number, end: number): boolean {
    return this.#areas.some((area) => area.start < end && start < area.end);
  }

  #between(start: number, end: number): Area[] {
    return this.#areas.filter((area) => area.start < end && start < area.end);
  }

  #isMapped(start: number, end: number): boolean {
    let at = start;
    for (const area of this.#between(start, end)) {
      if (area.start > at) return false;
      at = area.end;
    }
    return at >= end;
  }

  #split(at: number): void {
    const i = this.#areas.findIndex((area) => area.start < at && at < area.end);
    if (i < 0) return;
    const area = this.#areas[i]!;
    const tail: Area = { ...area, start: at };
    if (area.file !== null) {
      tail.file = { ...area.file, offset: area.file.offset + at - area.start };
      this.#host.vfs.hold(area.file.inode);
    }
    area.end = at;
    this.#areas.splice(i + 1, 0, tail);
  }

  /** Takes [start, end) out of the list. */
  #cut(start: number, end: number): void {
    this.#split(start);
    this.#split(end);
    for (const area of this.#between(start, end)) {
      if (isCharged(area.prot, area.shared)) {
        this.#host.charge(area.start - area.end);
        this.#charged -= area.end - area.start;
      }
      if (area.file !== null) this.#host.vfs.letGo(area.file.inode);
    }
    this.#areas = this.#areas.filter((area) => area.end <= start || area.start >= end);
  }

  #insert(area: Area): void {
    const i = this.#areas.findIndex((other) => other.start > area.start);
    this.#areas.splice(i < 0 ? this.#areas.length : i, 0, area);
    this.#merge();
  }

  /** Anonymous neighbours of equal attributes become one. */
  #merge(): void {
    const merged: Area[] = [];
    for (const area of this.#areas) {
      const last = merged.at(-1);
      const same =
        last !== undefined &&
        last.end === area.start &&
        last.prot === area.prot &&
        last.shared === area.shared &&
        last.file === null &&
        area.file === null &&
        last.name === area.name;
      if (same) last.end = area.end;
      else merged.push(area);
    }
    this.#areas = merged;
  }
}

/** Private writable memory counts (Documentation/mm/overcommit-accounting.rst). */
function isCharged(prot: number, shared: boolean): boolean {
  return !shared && (prot & PROT_WRITE) !== 0;
}
