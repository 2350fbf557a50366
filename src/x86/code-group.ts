/**
 * Translated code as data: what was made of which guest bytes. Nothing here belongs to an address space, so a group can be
 * used in every space that has the same bytes at the same addresses, in other processes too (pack.ts).
 */

import type { AddressSpace } from '../lvm/address-space.ts';
import { PAGE_SHIFT, PAGE_SIZE } from '../lvm/layout.ts';

/** One wasm function and the guest code that it was made of. */
export interface Piece {
  readonly entry: number;
  /** [start, end) of each block, flat, the entry's first. */
  readonly spans: Uint32Array;
  /** The guest's bytes there, one block after the other. */
  readonly bytes: Uint8Array;
}

/** Where code is looked for: an address space. */
export interface CodeSpace {
  readonly space: AddressSpace;
  /** True when the space has the piece's bytes at its addresses. */
  hasBytes(piece: Piece): boolean;
  /** A region that begins there has been used already. */
  isReached(rip: number): boolean;
  /** Where the indirect jump at `rip` has gone, and how often. */
  targetsOf(rip: number): ReadonlyMap<number, number>;
  /** The instruction at `rip` is part of a dispatch loop. */
  isInLoop(rip: number): boolean;
  /** How often cold regions have executed the block at `rip`, or others with it. */
  countOf(rip: number): number;
}

/**
 * How a group came to be. COLD: a region to which control has come often. HOT: a larger region that the guest spends time in.
 * LOOP: as HOT, a dispatch loop (hub.ts), which is entered at many places: the second function and those behind it are these.
 */
export const KIND_COLD = 0;
export const KIND_HOT = 1;
export const KIND_LOOP = 2;
export type GroupKind = typeof KIND_COLD | typeof KIND_HOT | typeof KIND_LOOP;

/** Bytes of a module, compiled when it is first needed. */
export class CodeModule {
  #bytes: Uint8Array<ArrayBuffer> | null;
  #compiled: WebAssembly.Module | null = null;

  constructor(bytes: Uint8Array<ArrayBuffer>) {
    this.#bytes = bytes;
  }

  /** Throws a CompileError when the bytes are no module. */
  compile(): WebAssembly.Module {
    if (this.#compiled === null) {
      this.#compiled = new WebAssembly.Module(this.#bytes!);
      // V8 keeps a copy of its own.
      this.#bytes = null;
    }
    return this.#compiled;
  }
}

/** The function of a region, and those of its other entries, which call it: they are used and dropped together. */
export class CodeGroup {
  readonly kind: GroupKind;
  readonly pieces: readonly Piece[];
  #pages: readonly number[] | null = null;
  /** Where the functions are: exports f`first`, … in the order of the pieces. */
  module: CodeModule;
  first: number;

  constructor(kind: GroupKind, pieces: readonly Piece[], module: CodeModule, first: number) {
    this.kind = kind;
    this.pieces = pieces;
    this.module = module;
    this.first = first;
  }

  get entry(): number {
    return this.pieces[0]!.entry;
  }

  /** Pages with code of any piece, ascending. */
  get pages(): readonly number[] {
    this.#pages ??= pagesOf(this.pieces);
    return this.#pages;
  }

  /** True when the space has exactly the code that the group was made of. */
  matches(code: CodeSpace): boolean {
    for (const page of this.pages) if (!code.space.isExecutable(page * PAGE_SIZE)) return false;
    for (const piece of this.pieces) if (!code.hasBytes(piece)) return false;
    return true;
  }
}

export function covers({ spans }: Piece, rip: number): boolean {
  for (let i = 0; i < spans.length; i += 2) if (rip >= spans[i]! && rip < spans[i + 1]!) return true;
  return false;
}

/** The bytes of the spans. */
export function bytesOf(space: AddressSpace, spans: Uint32Array): Uint8Array {
  let length = 0;
  for (let i = 0; i < spans.length; i += 2) length += spans[i + 1]! - spans[i]!;
  const bytes = new Uint8Array(length);
  let at = 0;
  for (let i = 0; i < spans.length; i += 2) {
    bytes.set(space.u8.subarray(spans[i]!, spans[i + 1]!), at);
    at += spans[i + 1]! - spans[i]!;
  }
  return bytes;
}

function pagesOf(pieces: readonly Piece[]): number[] {
  const pages: number[] = [];
  for (const { spans } of pieces) {
    for (let i = 0; i < spans.length; i += 2) {
      const last = (spans[i + 1]! - 1) >>> PAGE_SHIFT;
      for (let page = spans[i]! >>> PAGE_SHIFT; page <= last; page++) if (!pages.includes(page)) pages.push(page);
    }
  }
  return pages.sort((a, b) => a - b);
}
