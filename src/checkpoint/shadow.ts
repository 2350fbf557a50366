/**
 * The shadow: what a backup holds of the primary's machine — memories, parts as bytes, image files — kept current by
 * applying deltas. It understands none of it until it is promoted.
 */

import { AddressSpace } from '../lvm/address-space.ts';
import { PAGE_SIZE } from '../lvm/layout.ts';
import { applyPatch } from './baseline.ts';
import type { Capturable } from './capture.ts';
import { type Blob, type Delta, decodeDelta, type SpaceDelta } from './delta.ts';
import { CheckpointError } from './errors.ts';
import { stateHash } from './hash.ts';

export class Shadow {
  readonly spaces = new Map<number, AddressSpace>();
  /**
   * msgpack bytes by key. The order of the keys is *not* the primary's (a transfer sends parts in chunks): a restorer must
   * not depend on it; `sortedParts` gives an order that is the same everywhere.
   */
  readonly parts = new Map<string, Uint8Array>();
  readonly blobs = new Map<string, Uint8Array>();
  /** What is worth translating ahead (VirtualCpu.takeTranslated), by space. */
  readonly entries = new Map<number, Set<number>>();
  host: Uint8Array = new Uint8Array(0);
  epoch = 0;
  instructions = 0;

  /** A machine that is primary no more becomes a shadow; the machine must not be used afterwards. `entries`: `Capturer.entries`. */
  static of(
    machine: Capturable,
    epoch: number,
    host: Uint8Array,
    blobs: Iterable<Blob>,
    entries: (space: AddressSpace) => Iterable<number> = () => [],
  ): Shadow {
    const shadow = new Shadow();
    for (const [id, space] of machine.spaces) {
      machine.cpu.unload(space);
      space.takeDirty();
      space.onCodeChange = null;
      shadow.spaces.set(id, space);
      shadow.entries.set(id, new Set(entries(space)));
    }
    for (const { key, bytes } of machine.ledger.all()) shadow.parts.set(key, bytes!);
    for (const blob of blobs) shadow.blobs.set(blob.id, blob.bytes);
    shadow.host = host;
    shadow.epoch = epoch;
    shadow.instructions = machine.instructions;
    return shadow;
  }

  /** Applies an encoded delta whole or, throwing CheckpointError, not at all. `bytes` may be reused afterwards. */
  apply(bytes: Uint8Array): Delta {
    const delta = decodeDelta(bytes);
    const fresh = new Map<number, AddressSpace>();
    for (const space of delta.spaces) {
      if (space.created) continue;
      if (!this.spaces.has(space.id)) bad(`it changes space ${space.id}, which is not known`);
    }
    for (const space of delta.spaces) checkPages(space, space.created ? null : this.spaces.get(space.id)!);
    // May throw RangeError where the host has no address space left: before anything is changed.
    for (const space of delta.spaces) if (space.created) fresh.set(space.id, new AddressSpace(space.id));

    for (let i = 0; i < delta.removed.length; i++) {
      this.spaces.delete(delta.removed[i]!);
      this.entries.delete(delta.removed[i]!);
    }
    let at = 0;
    for (const change of delta.spaces) {
      if (change.created) {
        this.spaces.set(change.id, fresh.get(change.id)!);
        this.entries.delete(change.id);
      }
      const space = this.spaces.get(change.id)!;
      if (change.range) space.applyMappings(change.runs, change.range.first, change.range.end);
      at = loadPages(space, change, delta.content, at);
      this.#remember(change);
    }
    for (const { key, bytes } of delta.parts) {
      if (bytes === null) this.parts.delete(key);
      else this.parts.set(key, bytes.slice());
    }
    for (const blob of delta.blobs) if (!this.blobs.has(blob.id)) this.blobs.set(blob.id, blob.bytes.slice());
    if (delta.hasHost) this.host = delta.host.slice();
    this.epoch = delta.epoch;
    this.instructions = delta.instructions;
    return delta;
  }

  /** Parts by key: areas in string order, ids in number order. */
  sortedParts(): Map<string, Uint8Array> {
    return new Map([...this.parts].sort(([a], [b]) => compareKeys(a, b)));
  }

  /** See hash.ts. */
  hash(): bigint {
    return stateHash(this.spaces, this.parts);
  }

  #remember(change: SpaceDelta): void {
    if (change.entries.length === 0) return;
    let known = this.entries.get(change.id);
    if (!known) this.entries.set(change.id, (known = new Set()));
    for (let i = 0; i < change.entries.length; i++) known.add(change.entries[i]!);
  }
}

/** Every page with contents must be mapped once the delta is applied: an absent page is zero. */
function checkPages(change: SpaceDelta, known: AddressSpace | null): void {
  for (const list of [change.pages, change.zeros, change.patched]) {
    let run = 0;
    for (let i = 0; i < list.length; i++) {
      const page = list[i]!;
      let mapped: boolean;
      if (change.range && page >= change.range.first && page < change.range.end) {
        while (run < change.runs.length && change.runs[run]!.page + change.runs[run]!.count <= page) run++;
        mapped = run < change.runs.length && change.runs[run]!.page <= page;
      } else {
        mapped = known !== null && known.prot[page] !== 0;
      }
      if (!mapped) bad(`it has page ${page} of space ${change.id}, which is not mapped`);
    }
  }
}

const ZERO_PAGE = new Uint8Array(PAGE_SIZE);

function loadPages(space: AddressSpace, change: SpaceDelta, content: Uint8Array, at: number): number {
  for (let i = 0; i < change.zeros.length; i++) {
    if (!space.isZero(change.zeros[i]!)) space.loadPage(change.zeros[i]!, ZERO_PAGE);
  }
  for (let i = 0; i < change.pages.length; i++) {
    space.loadPage(change.pages[i]!, content.subarray(at, at + PAGE_SIZE));
    at += PAGE_SIZE;
  }
  const { patches } = change;
  const view = new DataView(patches.buffer, patches.byteOffset, patches.length);
  for (let i = 0, next = 0; i < change.patched.length; i++) {
    space.willPatch(change.patched[i]!);
    next = applyPatch(space.u8, change.patched[i]!, patches, view, next);
  }
  return at;
}

function bad(what: string): never {
  throw new CheckpointError('TG_DELTA_MISMATCH', `the delta does not fit this state: ${what}`);
}

function compareKeys(a: string, b: string): number {
  const left = a.split('/');
  const right = b.split('/');
  for (let i = 0; i < Math.min(left.length, right.length); i++) {
    const x = left[i]!;
    const y = right[i]!;
    if (x === y) continue;
    const numeric = /^\d+$/.test(x) && /^\d+$/.test(y);
    if (numeric) return Number(x) - Number(y);
    return x < y ? -1 : 1;
  }
  return left.length - right.length;
}
