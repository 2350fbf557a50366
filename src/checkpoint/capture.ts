/**
 * Capture: what a machine changed since the last time, as an encoded delta. The machine stands at an instruction boundary;
 * page contents are copied once, from the memories into the message.
 */

import type { AddressSpace } from '../lvm/address-space.ts';
import type { VirtualCpu } from '../lvm/cpu.ts';
import { Baselines } from './baseline.ts';
import { type Blob, type DeltaSource, encodeDelta, type SpaceDelta } from './delta.ts';
import type { Ledger } from './ledger.ts';

/** A machine as this folder sees it. */
export interface Capturable {
  /** The guest processes' memories, by id. An id that is used again for another space means a new space. */
  readonly spaces: ReadonlyMap<number, AddressSpace>;
  readonly ledger: Ledger;
  readonly instructions: number;
  readonly cpu: Pick<VirtualCpu, 'unload' | 'takeTranslated'>;
}

/** Pages of which a copy is kept, to send only what changed in them: 16 MiB. */
const BASELINE_PAGES = 4096;

type SourceSpace = DeltaSource['spaces'][number];

export class Capturer {
  readonly #machine: Capturable;
  /** The spaces that the last delta (or the state this machine was restored from) knows. */
  #known: Map<number, AddressSpace>;

  readonly #baselinePages: number;
  #baselines: Baselines;
  /** What was translated, of the spaces there are: later learners are to translate it ahead too. */
  readonly #entries = new Map<AddressSpace, Set<number>>();

  /** The state at construction counts as known: learners begin with a StateTransfer, not with the first delta. */
  constructor(machine: Capturable, baselinePages = BASELINE_PAGES) {
    this.#machine = machine;
    this.#baselinePages = baselinePages;
    this.#baselines = new Baselines(baselinePages);
    this.#known = new Map(machine.spaces);
  }

  /**
   * The delta since the last `capture`. `host`: opaque bytes of the replica process that go with this state; `blobs`:
   * image files first read since the last capture.
   */
  capture(epoch: number, host: Uint8Array, blobs: readonly Blob[] = []): Uint8Array {
    const { spaces, ledger, instructions, cpu } = this.#machine;
    const changed: SourceSpace[] = [];
    const removed: number[] = [];
    this.#baselines.begin();
    for (const [id, space] of this.#known) {
      if (spaces.get(id) !== space) {
        this.#baselines.drop(space);
        this.#entries.delete(space);
      }
      if (!spaces.has(id)) removed.push(id);
    }
    for (const [id, space] of spaces) {
      cpu.unload(space);
      const created = this.#known.get(id) !== space;
      const range = space.takeMappingRange();
      const dirty = space.takeDirty();
      const entries = cpu.takeTranslated(space);
      this.#remember(space, entries);
      if (!created && range === null && dirty.length === 0 && entries.length === 0) continue;
      const runs = range === null ? [] : space.mappings(range.first, range.end);
      changed.push({ id, created, range, runs, ...this.#split(space, range, dirty), entries, memory: space.u8 });
      if (created) this.#known.set(id, space);
    }
    for (const id of removed) this.#known.delete(id);
    return encodeDelta({ epoch, instructions, host, removed, spaces: changed, parts: ledger.take(), blobs });
  }

  /** What was translated up to the last capture (VirtualCpu.takeTranslated). */
  entries(space: AddressSpace): Iterable<number> {
    return this.#entries.get(space) ?? [];
  }

  #remember(space: AddressSpace, entries: readonly number[]): void {
    if (entries.length === 0) return;
    let known = this.#entries.get(space);
    if (!known) this.#entries.set(space, (known = new Set()));
    for (const entry of entries) known.add(entry);
  }

  #split(
    space: AddressSpace,
    range: SpaceDelta['range'],
    dirty: readonly number[],
  ): Pick<SpaceDelta, 'pages' | 'zeros' | 'patched' | 'patches'> {
    const zeros: number[] = [];
    const rest: number[] = [];
    for (const page of dirty) (space.isZero(page) ? zeros : rest).push(page);
    if (range) this.#baselines.unmapped(space, range.first, range.end);
    this.#baselines.forget(space, zeros);
    return { zeros, ...this.#baselines.split(space, rest) };
  }

  /** In place of `capture` while nobody needs deltas: keeps what is remembered about changes small. */
  skip(): void {
    this.#machine.ledger.forget();
  }

  /** In place of `capture` where nobody knows the state yet: the next delta begins here. */
  begin(): void {
    const { spaces, ledger, cpu } = this.#machine;
    this.#baselines = new Baselines(this.#baselinePages);
    for (const space of this.#known.values()) if (spaces.get(space.id) !== space) this.#entries.delete(space);
    for (const space of spaces.values()) {
      cpu.unload(space);
      space.takeMappingRange();
      space.takeDirty();
      this.#remember(space, cpu.takeTranslated(space));
    }
    this.#known = new Map(spaces);
    ledger.forget();
  }
}

/** The whole state as one delta: a saved checkpoint, or what a shadow is made of in tests. Leaves the dirty pages dirty. */
export function captureAll(
  machine: Capturable,
  epoch: number,
  host: Uint8Array,
  blobs: readonly Blob[] = [],
): Uint8Array {
  const spaces = [...machine.spaces].map(([id, space]): SourceSpace => {
    machine.cpu.unload(space);
    const runs = space.mappings();
    const pages: number[] = [];
    for (const run of runs) {
      for (let page = run.page; page < run.page + run.count; page++) if (!space.isZero(page)) pages.push(page);
    }
    return { ...wholeMapping(id, space), pages };
  });
  const { instructions, ledger } = machine;
  return encodeDelta({ epoch, instructions, host, removed: [], spaces, parts: ledger.all(), blobs });
}

/** A new space with all its mappings and no contents yet. */
export function wholeMapping(id: number, space: AddressSpace): SourceSpace {
  return {
    ...someContents(id, space),
    created: true,
    range: { first: 0, end: space.prot.length },
    runs: space.mappings(),
  };
}

/** A known space of which nothing changed, to add contents to. */
export function someContents(id: number, space: AddressSpace): SourceSpace {
  const none = { range: null, runs: [], pages: [], zeros: [], patched: [], patches: new Uint8Array(0), entries: [] };
  return { id, created: false, ...none, memory: space.u8 };
}
