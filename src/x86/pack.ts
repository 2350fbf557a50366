/**
 * A pack: groups of translated code linked into one module, with the guest bytes that they were made of. What is translated
 * one after another is packed together, because it will be needed one after another again; a module for each would cost
 * more to load than its code.
 *
 * Layout, all integers u32, little-endian:
 *   bytes before the module
 *   number of groups
 *   each group: kind, number of pieces
 *     each piece: entry, number of spans, their starts and ends
 *   the pieces' guest bytes, in order, padded to 4
 *   the module, to the end
 */

import type { FunctionBody } from '../wasm/code.ts';
import { REGION_TYPE } from './calling.ts';
import { CodeGroup, CodeModule, type GroupKind, KIND_LOOP, type Piece } from './code-group.ts';
import { linkModule } from './module.ts';

/** A group whose function bodies are still at hand. */
export interface FreshGroup {
  readonly group: CodeGroup;
  readonly bodies: readonly FunctionBody[];
}

/** Links the groups into a module of their own, and moves them there. Returns the pack. */
export function sealPack(fresh: readonly FreshGroup[]): Uint8Array<ArrayBuffer> {
  const words: number[] = [0, fresh.length];
  let length = 0;
  for (const { group } of fresh) {
    words.push(group.kind, group.pieces.length);
    for (const { entry, spans, bytes } of group.pieces) {
      words.push(entry, spans.length / 2, ...spans);
      length += bytes.length;
    }
  }
  const room = words.length * 4 + ((length + 3) & ~3);
  words[0] = room;
  const pack = linkModule(
    REGION_TYPE,
    fresh.map(({ group, bodies }) => group.pieces.map(({ entry }, i) => ({ name: entry, body: bodies[i]! }))),
    room,
  );
  const view = new DataView(pack.buffer);
  for (let i = 0; i < words.length; i++) view.setUint32(i * 4, words[i]!, true);
  let at = words.length * 4;
  for (const { group } of fresh) {
    for (const { bytes } of group.pieces) {
      pack.set(bytes, at);
      at += bytes.length;
    }
  }
  const module = new CodeModule(pack.subarray(room));
  let first = 0;
  for (const { group } of fresh) {
    group.module = module;
    group.first = first;
    first += group.pieces.length;
  }
  return pack;
}

/** The groups of a pack; null when it is none. */
export function openPack(pack: Uint8Array<ArrayBuffer>): CodeGroup[] | null {
  try {
    return new PackReader(pack).groups();
  } catch (error) {
    if (error instanceof RangeError) return null;
    throw error;
  }
}

class PackReader {
  /** A copy of what stands before the module, so that the module's bytes can be let go once it is compiled. */
  readonly #head: Uint8Array<ArrayBuffer>;
  readonly #words: Uint32Array;
  readonly #module: Uint8Array<ArrayBuffer>;
  #at = 1;

  constructor(pack: Uint8Array<ArrayBuffer>) {
    if (pack.length < 4) throw new RangeError('end');
    const room = new DataView(pack.buffer, pack.byteOffset).getUint32(0, true);
    if (room > pack.length || room % 4 !== 0) throw new RangeError('room');
    // Not pack.slice, which copies nothing where the pack is a Buffer.
    this.#head = new Uint8Array(pack.subarray(0, room));
    this.#words = new Uint32Array(this.#head.buffer);
    this.#module = pack.subarray(room);
  }

  groups(): CodeGroup[] {
    const found: { kind: GroupKind; pieces: Omit<Piece, 'bytes'>[] }[] = [];
    for (let left = this.#word(); left > 0; left--) {
      const kind = this.#word();
      if (kind > KIND_LOOP) throw new RangeError('kind');
      const pieces: Omit<Piece, 'bytes'>[] = [];
      for (let n = this.#word(); n > 0; n--) {
        const entry = this.#word();
        pieces.push({ entry, spans: this.#list(2) });
      }
      if (pieces.length === 0) throw new RangeError('group');
      found.push({ kind: kind as GroupKind, pieces });
    }
    let at = this.#at * 4;
    const whole = found.map(({ kind, pieces }) => ({
      kind,
      pieces: pieces.map((piece) => {
        const bytes = this.#head.subarray(at, at + lengthOf(piece.spans));
        at += bytes.length;
        return { ...piece, bytes };
      }),
    }));
    if (((at + 3) & ~3) !== this.#head.length) throw new RangeError('bytes');
    const module = new CodeModule(this.#module);
    let first = 0;
    return whole.map(({ kind, pieces }) => {
      const group = new CodeGroup(kind, pieces, module, first);
      first += pieces.length;
      return group;
    });
  }

  #word(): number {
    const word = this.#words[this.#at++];
    if (word === undefined) throw new RangeError('end');
    return word;
  }

  /** A counted list of so many words each. */
  #list(size: number): Uint32Array {
    const length = this.#word() * size;
    const end = this.#at + length;
    if (end > this.#words.length) throw new RangeError('list');
    const list = this.#words.subarray(this.#at, end);
    this.#at = end;
    return list;
  }
}

/** Bytes of the spans, of which there is one at least. */
function lengthOf(spans: Uint32Array): number {
  let length = 0;
  for (let i = 0; i < spans.length; i += 2) {
    if (spans[i + 1]! <= spans[i]!) throw new RangeError('span');
    length += spans[i + 1]! - spans[i]!;
  }
  if (length === 0) throw new RangeError('spans');
  return length;
}
