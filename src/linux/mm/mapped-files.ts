/**
 * What of a memory map comes from files, or is shared.
 *
 * Content of a file is copied in when it is mapped; later changes of the file are told to all who show it. Processes have
 * separate memories, so each has its own copy of the pages that it shares. One thread runs at a time: what it wrote to
 * such pages (the space keeps a list) is copied to all others that show them when it leaves its code, in `publish`. While
 * the kernel executes, all copies agree; so files, futexes and checkpoints see one memory. What is shared is a file, of
 * which the kernel has the content too, or anonymous memory: a file without a name (like Linux's /dev/zero mappings)
 * whose content is the pages themselves.
 */

import type { AddressSpace } from '../../lvm/address-space.ts';
import { PAGE_SIZE, PROT_WRITE } from '../../lvm/layout.ts';
import { S_IFREG } from '../abi/stat.ts';
import type { ContentViewer, Inode } from '../fs/inode.ts';
import { DEV_SHM } from '../fs/node.ts';
import { readContent } from '../fs/regular-file.ts';
import type { Vfs } from '../fs/vfs.ts';
import { type Area, type AreaList, type Backing, offsetAt, pageDown, pageUp } from './areas.ts';

export class MappedFiles implements ContentViewer {
  readonly #vfs: Vfs;
  readonly #space: AddressSpace;
  readonly #areas: AreaList;

  constructor(vfs: Vfs, space: AddressSpace, areas: AreaList) {
    this.#vfs = vfs;
    this.#space = space;
    this.#areas = areas;
  }

  /** Shared anonymous memory: nobody holds it yet. */
  makeMemory(size: number): Backing {
    const inode = this.#vfs.makeInode({ mode: S_IFREG | 0o777, dev: DEV_SHM, size, timeUs: 0 });
    inode.nlink = 0;
    inode.memory = true;
    return { inode, offset: 0, path: '/dev/zero (deleted)' };
  }

  /** The area is in the list now. */
  enter(area: Area): void {
    const inode = area.file?.inode;
    if (inode !== undefined && !inode.viewers.has(this)) {
      this.#vfs.hold(inode);
      inode.viewers.add(this);
    }
    this.watch(area);
  }

  /** It is no more. */
  leave({ file }: Area): void {
    const inode = file?.inode;
    if (inode === undefined || !inode.viewers.has(this) || this.#areasOf(inode).length > 0) return;
    inode.viewers.delete(this);
    this.#vfs.letGo(inode);
  }

  #areasOf(inode: Inode): Area[] {
    return this.#areas.all.filter(({ file }) => file?.inode === inode);
  }

  /** Copies the content of the area's file into its pages. */
  fill(area: Area, start: number, end: number): void {
    const { inode } = area.file!;
    const offset = offsetAt(area, start);
    if (inode.memory) {
      for (let at = start; at < end; at += PAGE_SIZE) {
        const page = pageOfAny(inode, offset + at - start);
        if (page !== null) this.#space.poke(at, page);
      }
    } else {
      const count = Math.min(end - start, Math.max(0, inode.size - offset));
      if (count > 0) inode.readInto(offset, this.#space.overwritten(start, count));
    }
    this.expose(area, start, end);
  }

  /** Gives the pages the area's protection; those behind the end of its file have none: touching them is SIGBUS. */
  expose(area: Area, start: number, end: number): void {
    let visible = end;
    if (area.file !== null) {
      const rest = Math.max(0, pageUp(area.file.inode.size) - offsetAt(area, start));
      visible = Math.min(end, start + rest);
    }
    if (visible > start) this.#space.protect(start, visible - start, area.prot);
    if (end > visible) this.#space.protect(visible, end - visible, 0);
    this.watch(area);
  }

  /** Stores to the area's pages are to be noted, where somebody has to be told of them. */
  watch({ start, end, prot, shared, file }: Area): void {
    if (shared && (prot & PROT_WRITE) !== 0 && this.#hasOthers(file!.inode)) this.#space.watch(start, end - start);
  }

  #hasOthers(inode: Inode): boolean {
    return !inode.memory || inode.viewers.size > 1 || this.#areasOf(inode).length > 1;
  }

  /** The guest, or a system call for it, has written to pages that are shared: everybody gets them. */
  publish(): void {
    for (const page of this.#space.takeWritten()) {
      const address = page * PAGE_SIZE;
      const area = this.#areas.find(address);
      if (area?.shared !== true) continue;
      const { inode } = area.file!;
      const offset = offsetAt(area, address);
      const bytes = this.#space.page(page);
      if (inode.memory) for (const viewer of inode.viewers) viewer.showPage(inode, offset, bytes);
      else if (offset < inode.size) inode.write(offset, bytes.subarray(0, Math.min(PAGE_SIZE, inode.size - offset)));
      if (this.#hasOthers(inode)) this.#space.watch(address, PAGE_SIZE);
    }
  }

  /** Names what is shared at the address, the same for all who share it; null: nothing is. */
  placeOf(address: number): string | null {
    const area = this.#areas.find(address);
    return area?.shared === true ? `inode/${area.file!.inode.ino}:${offsetAt(area, address)}` : null;
  }

  // --- ContentViewer

  mayWrite(inode: Inode): boolean {
    return this.#areasOf(inode).some(({ shared, mayWrite }) => shared && mayWrite);
  }

  pageOf(inode: Inode, offset: number): Uint8Array | null {
    const area = this.#areasOf(inode).find((one) => one.shared && covers(one, offset));
    return area === undefined ? null : this.#space.page((area.start + offset - area.file!.offset) / PAGE_SIZE);
  }

  showPage(inode: Inode, offset: number, bytes: Uint8Array): void {
    for (const area of this.#areasOf(inode)) {
      if (!area.shared || !covers(area, offset)) continue;
      const address = area.start + offset - area.file!.offset;
      if (!isEqual(this.#space.page(address / PAGE_SIZE), bytes)) this.#space.poke(address, bytes);
    }
  }

  contentChanged(inode: Inode, start: number, end: number, oldSize: number): void {
    const areas = this.#areasOf(inode);
    const [oldEnd, newEnd] = [pageUp(oldSize), pageUp(inode.size)];
    for (const area of areas) {
      const addressOf = (offset: number): number =>
        Math.max(area.start, Math.min(area.end, area.start + offset - area.file!.offset));
      const [was, is] = [addressOf(oldEnd), addressOf(newEnd)];
      if (is > was) this.fill(area, was, is);
      if (is < was) this.#space.map(is, was - is, 0);
    }
    if (!areas.some(({ shared }) => shared)) return;
    for (let offset = pageDown(start); offset < Math.min(end, newEnd); offset += PAGE_SIZE) {
      this.showPage(inode, offset, readContent(inode, offset, PAGE_SIZE));
    }
  }
}

/** A page of shared anonymous memory as somebody has it; null: nobody does, it is zero. */
function pageOfAny(inode: Inode, offset: number): Uint8Array | null {
  for (const viewer of inode.viewers) {
    const page = viewer.pageOf(inode, offset);
    if (page !== null) return page;
  }
  return null;
}

function covers({ start, end, file }: Area, offset: number): boolean {
  return offset >= file!.offset && offset < file!.offset + end - start;
}

function isEqual(a: Uint8Array, b: Uint8Array): boolean {
  const words = (bytes: Uint8Array) => new Int32Array(bytes.buffer, bytes.byteOffset, PAGE_SIZE / 4);
  const [left, right] = [words(a), words(b)];
  for (let i = 0; i < left.length; i++) if (left[i] !== right[i]) return false;
  return true;
}
