/** The areas of a memory map: an ordered list of address ranges of equal attributes, as Linux's VMAs. */

import { PAGE_SIZE } from '../../lvm/layout.ts';
import type { Inode } from '../fs/inode.ts';

/** What stands behind an area that is not private anonymous memory. */
export interface Backing {
  readonly inode: Inode;
  /** Of the area's first byte in the file. */
  readonly offset: number;
  /** As /proc/PID/maps shows it. */
  readonly path: string;
}

export interface Area {
  start: number;
  end: number;
  /** PROT_*, without PROT_MAPPED. */
  prot: number;
  /** Others see what is written to it: then there is a file. */
  readonly shared: boolean;
  /** False: a shared mapping of a file that was opened for reading only. */
  readonly mayWrite: boolean;
  file: Backing | null;
  /** '[heap]', '[stack]' or ''. */
  readonly name: string;
  /** What a forked process has in its place (madvise(2), MADV_DONTFORK and MADV_WIPEONFORK). */
  fork: 'copy' | 'nothing' | 'zeroes';
}

/** The offset in the file of an address in the area. */
export function offsetAt({ start, file }: Area, address: number): number {
  return (file?.offset ?? 0) + address - start;
}

export class AreaList {
  /** Ascending, disjoint. */
  #areas: Area[] = [];

  get all(): readonly Area[] {
    return this.#areas;
  }

  /** Index of the first area that ends behind `address`. */
  #at(address: number): number {
    let low = 0;
    let high = this.#areas.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#areas[middle]!.end > address) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  find(address: number): Area | null {
    const area = this.#areas[this.#at(address)];
    return area !== undefined && area.start <= address ? area : null;
  }

  /** Those that overlap [start, end), ascending. */
  between(start: number, end: number): Area[] {
    const found: Area[] = [];
    for (let i = this.#at(start); i < this.#areas.length && this.#areas[i]!.start < end; i++)
      found.push(this.#areas[i]!);
    return found;
  }

  overlaps(start: number, end: number): boolean {
    const area = this.#areas[this.#at(start)];
    return area !== undefined && area.start < end;
  }

  /** The first address in [start, end) that is not mapped; `end`: all are. */
  mappedUntil(start: number, end: number): number {
    let at = start;
    for (const area of this.between(start, end)) {
      if (area.start > at) return at;
      at = area.end;
    }
    return Math.min(at, end);
  }

  /** `at` becomes the edge of an area, where it is inside of one. */
  split(at: number): void {
    const index = this.#at(at);
    const area = this.#areas[index];
    if (area === undefined || area.start >= at) return;
    const { file } = area;
    const tail: Area = { ...area, start: at, file: file === null ? null : { ...file, offset: offsetAt(area, at) } };
    area.end = at;
    this.#areas.splice(index + 1, 0, tail);
  }

  /** Takes [start, end) out; returns what was there. */
  cut(start: number, end: number): Area[] {
    this.split(start);
    this.split(end);
    const taken = this.between(start, end);
    if (taken.length > 0) this.#areas.splice(this.#at(start), taken.length);
    return taken;
  }

  /** Where nothing is. */
  insert(area: Area): void {
    this.#areas.splice(this.#at(area.start), 0, area);
  }

  /** Anonymous neighbours of equal attributes become one. */
  merge(): void {
    const merged: Area[] = [];
    for (const area of this.#areas) {
      const last = merged.at(-1);
      if (last !== undefined && last.end === area.start && isAlike(last, area)) last.end = area.end;
      else merged.push(area);
    }
    this.#areas = merged;
  }

  /** A free range as high as possible in [low, top); null: none. */
  highestFree(length: number, low: number, top: number): number | null {
    let end = top;
    for (let i = this.#areas.length - 1; i >= 0; i--) {
      const area = this.#areas[i]!;
      if (area.start >= end) continue;
      if (area.end + length <= end) break;
      end = Math.min(end, area.start);
    }
    return end - length >= low ? end - length : null;
  }
}

function isAlike(a: Area, b: Area): boolean {
  return a.file === null && b.file === null && a.prot === b.prot && a.name === b.name && a.fork === b.fork;
}

export function pageUp(value: number): number {
  return Math.ceil(value / PAGE_SIZE) * PAGE_SIZE;
}

export function pageDown(value: number): number {
  return Math.floor(value / PAGE_SIZE) * PAGE_SIZE;
}
