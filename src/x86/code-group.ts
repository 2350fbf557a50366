/**
 * Translated code as data: what was made of which guest bytes. Nothing here belongs to an address space, so a group can be
 * used in every space that has the same bytes at the same addresses, in other processes too (pack.ts).
 */

import type { AddressSpace } from '../lvm/address-space.ts';
import { PAGE_SHIFT } from '../lvm/layout.ts';

/** One wasm function and the guest code that it was made of. */
export interface Piece {
  readonly entry: number;
  /** [start, end) of each block, flat, the entry's first. */
  readonly spans: readonly number[];
  /** The guest's bytes there, one block after the other. */
  readonly bytes: Uint8Array;
  /** Of careful code: the addresses of its instructions; the function's first argument says with which it begins. */
  readonly starts: readonly number[];
}

/**
 * How a group came to be. COLD: a region when it was first reached. HOT: a larger region that the guest spends time in, with
 * those it calls. CAREFUL: the blocks of a region as careful code (careful.ts).
 */
export const KIND_COLD = 0;
export const KIND_HOT = 1;
export const KIND_CAREFUL = 2;
export type GroupKind = typeof KIND_COLD | typeof KIND_HOT | typeof KIND_CAREFUL;

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

/** Functions that belong together: they call each other directly, so they are used and dropped together. */
export class CodeGroup {
  readonly kind: GroupKind;
  readonly pieces: readonly Piece[];
  /** Pages with code of any piece, ascending. */
  readonly pages: readonly number[];
  /** Where the functions are: exports f`first`, … in the order of the pieces. */
  module: CodeModule;
  first: number;

  constructor(kind: GroupKind, pieces: readonly Piece[], module: CodeModule, first: number) {
    this.kind = kind;
    this.pieces = pieces;
    this.pages = pagesOf(pieces);
    this.module = module;
    this.first = first;
  }

  get entry(): number {
    return this.pieces[0]!.entry;
  }

  /** True when the space has exactly the code that the group was made of. */
  matches(space: AddressSpace): boolean {
    for (const page of this.pages) if (!space.isExecutable((page << PAGE_SHIFT) >>> 0)) return false;
    return this.pieces.every((piece) => hasBytes(space.u8, piece));
  }
}

export function covers({ spans }: Piece, rip: number): boolean {
  for (let i = 0; i < spans.length; i += 2) if (rip >= spans[i]! && rip < spans[i + 1]!) return true;
  return false;
}

/** The bytes of the spans. */
export function bytesOf(space: AddressSpace, spans: readonly number[]): Uint8Array {
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

function hasBytes(memory: Uint8Array, { spans, bytes }: Piece): boolean {
  let at = 0;
  for (let i = 0; i < spans.length; i += 2) {
    const end = spans[i + 1]!;
    for (let rip = spans[i]!; rip < end; rip++) if (memory[rip] !== bytes[at++]) return false;
  }
  return true;
}

function pagesOf(pieces: readonly Piece[]): number[] {
  const pages = new Set<number>();
  for (const { spans } of pieces) {
    for (let i = 0; i < spans.length; i += 2) {
      const last = (spans[i + 1]! - 1) >>> PAGE_SHIFT;
      for (let page = spans[i]! >>> PAGE_SHIFT; page <= last; page++) pages.add(page);
    }
  }
  return [...pages].sort((a, b) => a - b);
}
