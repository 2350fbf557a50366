/**
 * The model guest: a log of requests, of which only a count, a chained hash and some cells are kept, as a program keeps
 * results and not its input. Each request changes one cell; a delta has the cells changed in an epoch; a chunk of a state
 * transfer has some cells whole. A state put together wrongly has cells that do not belong to its chain.
 */

import { mix } from './random.ts';

export const CELLS = 16;
const CHUNK_CELLS = 5;

/** What a client sees of a request: its place in the history, and a hash of all history up to it. */
export interface Answer {
  readonly index: number;
  readonly chain: number;
}

export class ModelState {
  count = 0;
  chain = 1;
  readonly cells = new Uint32Array(CELLS);

  digest(): number {
    let hash = mix(this.chain, this.count);
    for (const cell of this.cells) hash = mix(hash, cell);
    return hash;
  }

  copy(): ModelState {
    const copy = new ModelState();
    copy.count = this.count;
    copy.chain = this.chain;
    copy.cells.set(this.cells);
    return copy;
  }

  /** Deltas and chunks are the same: the count, the chain, and cells by number. */
  apply(bytes: Uint8Array): void {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.count = view.getUint32(0, true);
    this.chain = view.getUint32(4, true);
    for (let at = 8; at < bytes.length; at += 5) this.cells[bytes[at]!] = view.getUint32(at + 1, true);
  }
}

export class ModelGuest {
  readonly state: ModelState;
  readonly #dirty = new Set<number>();

  constructor(state: ModelState) {
    this.state = state;
  }

  request(id: number): Answer {
    const { state } = this;
    const cell = id % CELLS;
    state.count++;
    state.chain = mix(state.chain, id);
    state.cells[cell] = mix(state.cells[cell]!, id);
    this.#dirty.add(cell);
    return { index: state.count, chain: state.chain };
  }

  capture(): Uint8Array {
    const bytes = encode(this.state, [...this.#dirty]);
    this.#dirty.clear();
    return bytes;
  }
}

export class ModelTransfer {
  readonly #guest: ModelGuest;
  #next = 0;

  constructor(guest: ModelGuest) {
    this.#guest = guest;
  }

  next(): { bytes: Uint8Array; done: boolean } {
    const cells: number[] = [];
    while (cells.length < CHUNK_CELLS && this.#next < CELLS) cells.push(this.#next++);
    return { bytes: encode(this.#guest.state, cells), done: this.#next === CELLS };
  }
}

function encode(state: ModelState, cells: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(8 + cells.length * 5);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, state.count, true);
  view.setUint32(4, state.chain, true);
  cells.forEach((cell, i) => {
    bytes[8 + i * 5] = cell;
    view.setUint32(9 + i * 5, state.cells[cell]!, true);
  });
  return bytes;
}
