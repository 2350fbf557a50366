/**
 * A guest process's address space: one 4 GiB WebAssembly memory, a protection byte and a state byte for every page.
 *
 * This is where a page becomes dirty: `#makeDirty`. Translated code tests the state byte before every access and calls
 * `resolve` when it is not plain; the library OS uses `readable`, `writable`, `read` and `write`, which do the same test.
 * Untouched pages cost nothing: the memory is reserved, not resident.
 */

import { assert } from './assert.ts';
import {
  type Address,
  PAGE_SHIFT,
  PAGE_SIZE,
  PAGE_STATE,
  PROT_EXEC,
  PROT_MAPPED,
  PROT_READ,
  PROT_WRITE,
  STATE_ABSENT,
  STATE_CLEAN,
  STATE_CODE,
  STATE_EDGE,
  STATE_NO_READ,
  STATE_NO_WRITE,
  STATE_SHARED,
  USER_END,
  USER_PAGES,
  USER_START,
} from './layout.ts';

/** A run of pages of equal protection. */
export interface PageRun {
  readonly page: number;
  readonly count: number;
  /** PROT_* bits with PROT_MAPPED. */
  readonly prot: number;
}

const WASM_PAGES = 65536;
/** Longest list of dirty pages before doubles are dropped from it. */
const LIST_LIMIT = 2 * USER_PAGES;
const NO_BYTES = new Uint8Array(0);
const pattern64 = new Float64Array(1);
const pattern8 = new Uint8Array(pattern64.buffer);

export class AddressSpace {
  readonly id: number;
  readonly memory: WebAssembly.Memory;
  readonly u8: Uint8Array;
  readonly view: DataView;
  /** PROT_* | PROT_MAPPED of each page; 0 = unmapped. */
  readonly prot: Uint8Array;
  /** The state bytes that translated code reads. */
  readonly state: Uint8Array;
  /** Called when pages that hold translated code change, are unmapped or lose PROT_EXEC. Set by the code cache. */
  onCodeChange: ((firstPage: number, count: number) => void) | null = null;
  /** The pages [first, end) whose mappings changed since the last `takeMappingRange`; first = end: none. */
  #changedFirst = 0;
  #changedEnd = USER_PAGES;
  /** Pages that became dirty since the last `takeDirty`, in the order in which they did; some perhaps twice. */
  #dirty: number[] = [];
  /** Pages that are shared and were written since the last `takeWritten`. */
  #written: number[] = [];
  /** Pages whose bytes an `unmap` made zero since the last `takeDirty`: mapped again, they differ from what a backup has. */
  #zeroed: number[] = [];
  /** Eight protection bytes at a time, to pass over long runs. Never a NaN: bytes of `prot` are below 16. */
  readonly #prot64: Float64Array;
  readonly #words: Int32Array;
  /** 1: the page may have been written since it was mapped. The others are zero, and looking would make them resident. */
  readonly #touched = new Uint8Array(USER_PAGES);

  constructor(id: number) {
    this.id = id;
    this.memory = new WebAssembly.Memory({ initial: WASM_PAGES, maximum: WASM_PAGES });
    this.u8 = new Uint8Array(this.memory.buffer);
    this.view = new DataView(this.memory.buffer);
    this.#words = new Int32Array(this.memory.buffer);
    this.prot = new Uint8Array(USER_PAGES);
    this.#prot64 = new Float64Array(this.prot.buffer);
    this.state = new Uint8Array(this.memory.buffer, PAGE_STATE, 1 << 20);
    this.state.fill(STATE_ABSENT | STATE_EDGE);
  }

  /** Maps zero-filled pages, replacing what was there. `start` and `length` are multiples of PAGE_SIZE. */
  map(start: Address, length: number, prot: number): void {
    assert(start >= USER_START, 'nothing is mapped below USER_START');
    this.unmap(start, length);
    const first = start >>> PAGE_SHIFT;
    const count = length / PAGE_SIZE;
    this.prot.fill(prot | PROT_MAPPED, first, first + count);
    this.#setStates(first, first + count, stateOf(prot) | STATE_CLEAN);
    this.#mappingChange(first, first + count);
  }

  /** Unmaps pages. Their bytes become zero, so that an absent page always is. */
  unmap(start: Address, length: number): void {
    const { first, count } = this.#range(start, length);
    this.#codeChange(first, count);
    for (let page = first; page < first + count; page++) {
      if (this.prot[page] === 0) continue;
      if (this.#zero(page)) this.#zeroed.push(page);
      this.prot[page] = 0;
      this.#setState(page, STATE_ABSENT);
    }
    if (this.#zeroed.length > LIST_LIMIT) this.#zeroed = [...new Set(this.#zeroed)];
    this.#mappingChange(first, first + count);
  }

  /** Changes the protection of mapped pages. */
  protect(start: Address, length: number, prot: number): void {
    const { first, count } = this.#range(start, length);
    for (let page = first; page < first + count; page++) {
      assert(this.prot[page] !== 0, 'protect of an unmapped page');
      if ((this.prot[page]! & PROT_EXEC) !== 0 && (prot & PROT_EXEC) === 0) this.#codeChange(page, 1);
      this.prot[page] = prot | PROT_MAPPED;
      this.#setState(page, stateOf(prot) | (this.state[page]! & (STATE_CLEAN | STATE_CODE | STATE_SHARED)));
    }
    this.#mappingChange(first, first + count);
  }

  /** True where a page table would have a present entry: a page that is mapped PROT_NONE has none. */
  isPresent(address: Address): boolean {
    return address < USER_END && (this.prot[address >>> PAGE_SHIFT]! & (PROT_READ | PROT_WRITE | PROT_EXEC)) !== 0;
  }

  /**
   * Makes [address, address+length) ready for an access of translated code or the library OS: pages that may be written
   * become dirty and their translated code is dropped. Returns -1 when every byte is accessible, else the first address
   * that is not.
   */
  resolve(address: Address, length: number, write: boolean): number {
    if (length <= 0) return -1;
    if (address < 0 || address + length > USER_END) return address < 0 || address >= USER_END ? address : USER_END;
    const last = (address + length - 1) >>> PAGE_SHIFT;
    const need = write ? PROT_WRITE : PROT_READ;
    for (let page = address >>> PAGE_SHIFT; page <= last; page++) {
      if ((this.prot[page]! & need) === 0 && !(!write && (this.prot[page]! & (PROT_WRITE | PROT_EXEC)) !== 0)) {
        return Math.max(address, page * PAGE_SIZE);
      }
    }
    if (write) {
      for (let page = address >>> PAGE_SHIFT; page <= last; page++) {
        const state = this.state[page]!;
        if ((state & ~STATE_EDGE) === 0) continue;
        if ((state & STATE_CODE) !== 0) this.#codeChange(page, 1);
        if ((state & STATE_CLEAN) !== 0) this.#makeDirty(page);
        if ((state & STATE_SHARED) !== 0) {
          this.state[page]! &= ~STATE_SHARED;
          this.#written.push(page);
        }
      }
    }
    return -1;
  }

  /** Stores to these pages are noted: other spaces show them too. Each page once, until it is watched again. */
  watch(start: Address, length: number): void {
    const { first, count } = this.#range(start, length);
    for (let page = first; page < first + count; page++) {
      if (this.prot[page] !== 0) this.state[page]! |= STATE_SHARED;
    }
  }

  get hasWritten(): boolean {
    return this.#written.length > 0;
  }

  /** The watched pages that were written since the last call, in the order in which they were first. */
  takeWritten(): number[] {
    const written = this.#written;
    this.#written = [];
    return written;
  }

  /** The one place where a page becomes dirty. */
  #makeDirty(page: number): void {
    this.state[page]! &= ~STATE_CLEAN;
    this.#touched[page] = 1;
    this.#dirty.push(page);
    // Where nobody takes them (an unreplicated run), pages mapped again and again must not fill the memory.
    if (this.#dirty.length > LIST_LIMIT) this.#dirty = [...new Set(this.#dirty)];
  }

  /** Gives a page another state. Its edge stays, being about the next page; that of the page before is about this one. */
  #setState(page: number, state: number): void {
    this.state[page] = (state & ~STATE_EDGE) | (this.state[page]! & STATE_EDGE);
    this.state[page - 1] = (this.state[page - 1]! & ~STATE_EDGE) | edgeBefore(state);
  }

  #setStates(first: number, end: number, state: number): void {
    if (first === end) return;
    this.#setState(first, state);
    this.#setState(end - 1, state);
    this.state.fill(state | edgeBefore(state), first, end - 1);
  }

  #mappingChange(first: number, end: number): void {
    if (first === end) return;
    if (this.#changedFirst === this.#changedEnd) {
      this.#changedFirst = first;
      this.#changedEnd = end;
    } else {
      this.#changedFirst = Math.min(this.#changedFirst, first);
      this.#changedEnd = Math.max(this.#changedEnd, end);
    }
  }

  /** A page that now holds translated code: a store to it takes the slow path. */
  markCode(page: number): void {
    this.state[page]! |= STATE_CODE;
  }

  /** Bytes of the guest (a view, valid until the guest runs), or null where any byte is not readable (-EFAULT). */
  read(address: Address, length: number): Uint8Array | null {
    if (this.resolve(address, length, false) !== -1) return null;
    return this.u8.subarray(address, address + length);
  }

  /** Copies into the guest. False, and nothing written, where any byte is not writable (-EFAULT). */
  write(address: Address, bytes: Uint8Array): boolean {
    if (this.resolve(address, bytes.length, true) !== -1) return false;
    // Nothing may be written anywhere.
    if (bytes.length > 0) this.u8.set(bytes, address);
    return true;
  }

  /** Copies into the guest whatever the protection says: loaders, ptrace-like writes. The pages must be mapped. */
  poke(address: Address, bytes: Uint8Array): void {
    this.overwritten(address, bytes.length).set(bytes);
  }

  /** Bytes of the guest for the caller to write all of, at once, instead of `poke`. */
  overwritten(address: Address, length: number): Uint8Array {
    if (length === 0) return NO_BYTES;
    const last = (address + length - 1) >>> PAGE_SHIFT;
    for (let page = address >>> PAGE_SHIFT; page <= last; page++) {
      assert(this.prot[page] !== 0, 'poke of an unmapped page');
      if ((this.state[page]! & STATE_CODE) !== 0) this.#codeChange(page, 1);
      if ((this.state[page]! & STATE_CLEAN) !== 0) this.#makeDirty(page);
    }
    return this.u8.subarray(address, address + length);
  }

  /** True where an instruction may be fetched from `address`. */
  isExecutable(address: Address): boolean {
    return address < USER_END && (this.prot[address >>> PAGE_SHIFT]! & PROT_EXEC) !== 0;
  }

  /**
   * Pages that are mapped and differ from what they were at the last call: written since, or zero again after an unmap.
   * Ascending; they are clean from now on.
   */
  takeDirty(): number[] {
    const pages = new Set<number>();
    for (const page of this.#dirty) {
      if (this.prot[page] === 0 || (this.state[page]! & STATE_CLEAN) !== 0) continue;
      this.state[page]! |= STATE_CLEAN;
      pages.add(page);
    }
    for (const page of this.#zeroed) if (this.prot[page] !== 0) pages.add(page);
    this.#dirty = [];
    this.#zeroed = [];
    return [...pages].sort((a, b) => a - b);
  }

  /** Pages dirty now, without cleaning them. */
  get dirtyCount(): number {
    return this.#dirty.length;
  }

  /** True once after mappings or protections changed. */
  takeMappingChange(): boolean {
    return this.takeMappingRange() !== null;
  }

  /** The pages within which mappings or protections changed since the last call, or null. */
  takeMappingRange(): { first: number; end: number } | null {
    const range = { first: this.#changedFirst, end: this.#changedEnd };
    this.#changedFirst = this.#changedEnd = 0;
    return range.first === range.end ? null : range;
  }

  /** The mapped pages in [first, end) as runs of equal protection. */
  mappings(first = 0, end = USER_PAGES): PageRun[] {
    const runs: PageRun[] = [];
    let page = first;
    while (page < end) {
      const prot = this.prot[page]!;
      const next = this.runEnd(page, end);
      if (prot !== 0) runs.push({ page, count: next - page, prot });
      page = next;
    }
    return runs;
  }

  /** The first page after `page`, at most `end`, that has another protection. */
  runEnd(page: number, end = USER_PAGES): number {
    const prot = this.prot[page]!;
    let next = page + 1;
    while (next < end && (next & 7) !== 0 && this.prot[next] === prot) next++;
    if (next < end && (next & 7) === 0) {
      pattern8.fill(prot);
      const eight = pattern64[0]!;
      while (next + 8 <= end && this.#prot64[next >>> 3] === eight) next += 8;
      while (next < end && this.prot[next] === prot) next++;
    }
    return next;
  }

  /**
   * Makes the mapping of the pages in [first, end) exactly `runs`: pages mapped before and after keep their bytes, others
   * become zero. For backups and restores; every page is left clean.
   */
  applyMappings(runs: readonly PageRun[], first = 0, end = USER_PAGES): void {
    let page = first;
    const drop = (from: number, to: number): void => {
      while (from < to) {
        const next = this.runEnd(from, to);
        if (this.prot[from] !== 0) {
          for (let p = from; p < next; p++) {
            this.#codeChange(p, 1);
            this.#zero(p);
            this.prot[p] = 0;
            this.#setState(p, STATE_ABSENT);
          }
        }
        from = next;
      }
    };
    for (const run of runs) {
      drop(page, run.page);
      for (let p = run.page; p < run.page + run.count; p++) {
        if ((run.prot & PROT_EXEC) === 0) this.#codeChange(p, 1);
        this.#setState(p, stateOf(run.prot) | STATE_CLEAN | (this.state[p]! & STATE_CODE));
        this.prot[p] = run.prot;
      }
      page = run.page + run.count;
    }
    drop(page, end);
    this.#dirty = [];
    this.#zeroed = [];
    this.#mappingChange(first, end);
  }

  /** Overwrites a page with a checkpoint's bytes; it is clean afterwards. */
  loadPage(page: number, bytes: Uint8Array): void {
    assert(bytes.length === PAGE_SIZE && page < USER_PAGES, 'page');
    this.#codeChange(page, 1);
    this.#touched[page] = 1;
    this.u8.set(bytes, page * PAGE_SIZE);
    this.state[page]! |= STATE_CLEAN;
  }

  /** A page's bytes are about to be changed in place by a checkpoint: what was translated of it is forgotten. */
  willPatch(page: number): void {
    this.#codeChange(page, 1);
    this.#touched[page] = 1;
  }

  /** A page's bytes: a view, valid until the guest runs. */
  page(page: number): Uint8Array {
    return this.u8.subarray(page * PAGE_SIZE, (page + 1) * PAGE_SIZE);
  }

  /** True when the page is all zero: a mapped page that was never written reads as such. */
  isZero(page: number): boolean {
    if (this.#touched[page] === 0) return true;
    const words = this.#words;
    const first = (page * PAGE_SIZE) / 4;
    const end = first + PAGE_SIZE / 4;
    // Most pages that are not zero show it at their edges.
    if (words[first] !== 0 || words[end - 1] !== 0) return false;
    for (let i = first; i < end; i += 4) {
      if ((words[i]! | words[i + 1]! | words[i + 2]! | words[i + 3]!) !== 0) return false;
    }
    return true;
  }

  /** A copy for a forked process. Every nonzero page of the copy is dirty. */
  fork(id: number): AddressSpace {
    const child = new AddressSpace(id);
    child.prot.set(this.prot);
    for (const run of this.mappings()) {
      const end = run.page + run.count;
      child.#setStates(run.page, end, stateOf(run.prot) | STATE_CLEAN);
      for (let page = run.page; page < end; page++) {
        if (this.isZero(page)) continue;
        child.page(page).set(this.page(page));
        child.#makeDirty(page);
      }
    }
    return child;
  }

  #range(start: Address, length: number): { first: number; count: number } {
    assert(start % PAGE_SIZE === 0 && length % PAGE_SIZE === 0, 'page-aligned range');
    assert(start >= 0 && length >= 0 && start + length <= USER_END, 'range inside the user area');
    return { first: start >>> PAGE_SHIFT, count: length / PAGE_SIZE };
  }

  /** True when there was something to make zero. */
  #zero(page: number): boolean {
    const zero = this.isZero(page);
    if (!zero) this.page(page).fill(0);
    this.#touched[page] = 0;
    return !zero;
  }

  #codeChange(first: number, count: number): void {
    let any = false;
    for (let page = first; page < first + count; page++) {
      if ((this.state[page]! & STATE_CODE) === 0) continue;
      this.state[page]! &= ~STATE_CODE;
      any = true;
    }
    if (any) this.onCodeChange?.(first, count);
  }
}

function edgeBefore(state: number): number {
  return (state & STATE_NO_READ) === 0 ? 0 : STATE_EDGE;
}

function stateOf(prot: number): number {
  let state = 0;
  // x86 has no execute-only or write-only pages without protection keys: PROT_WRITE and PROT_EXEC imply reading.
  if ((prot & (PROT_READ | PROT_WRITE | PROT_EXEC)) === 0) state |= STATE_NO_READ;
  if ((prot & PROT_WRITE) === 0) state |= STATE_NO_WRITE;
  return state;
}
