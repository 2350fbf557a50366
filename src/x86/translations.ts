/**
 * All translated code of a process, for every address space and CPU in it: found by its entry and the guest's bytes, made
 * when there is none, and kept beyond the process in packs if there is a store.
 *
 * Groups are looked for among those known, then in the store, then translated, each into a module of its own. When there
 * are PACK_GROUPS new ones they are sealed: linked into one module, which is used for them from then on. Hot ones stay where
 * V8 has optimised them until they are too many.
 */

import type { AddressSpace } from '../lvm/address-space.ts';
import { PROT_WRITE } from '../lvm/layout.ts';
import type { FunctionBody } from '../wasm/code.ts';
import { REGION_TYPE } from './calling.ts';
import {
  bytesOf,
  CodeGroup,
  CodeModule,
  type CodeSpace,
  type GroupKind,
  KIND_COLD,
  KIND_HOT,
  KIND_LOOP,
  type Piece,
} from './code-group.ts';
import { type CodeKey, type CodeStore, codeKey, type StoredPack } from './code-store.ts';
import { dispatchLoop, LOOP_LIMIT, withTargets } from './hub.ts';
import { inlineCalls } from './inline.ts';
import { endAtLoopHeads } from './loop-heads.ts';
import { helpersModule, linkModule } from './module.ts';
import { type FreshGroup, openPack, sealPack } from './pack.ts';
import { type Block, discover, type Region } from './region.ts';
import { StepFunctions } from './step-functions.ts';
import { Translator } from './translate.ts';

/** Instructions of a region when control comes there often … */
const COLD_LIMIT = 100;
/** … and when the guest spends time in it. TurboFan's time grows faster than a function's size. */
const HOT_LIMIT = 150;
/** … and with the small functions that are called in it. */
const INLINED_LIMIT = 700;
/** Groups of a pack. */
const PACK_GROUPS = 32;
/** Hot groups that stay in modules of their own: V8 cannot have more than 30,000 modules, and dies of it. */
const STAYING_MAX = 4096;
/** Groups of one entry, with other bytes or of another kind; the oldest is forgotten. */
const CANDIDATES = 8;

/** What was done; for tests and measurements. */
export interface TranslationFigures {
  /** Made here. */
  groups: number;
  instructions: number;
  /** Groups used that came from the store, and packs that could not be used. */
  loaded: number;
  rejected: number;
}

export class Translations {
  readonly figures: TranslationFigures = { groups: 0, instructions: 0, loaded: 0, rejected: 0 };
  readonly #store: CodeStore | null;
  readonly #translator = new Translator();
  #helpers: WebAssembly.Module | null = null;
  /** For what is not translated. */
  readonly steps: StepFunctions;
  /** By entry, the most promising first: by kind, then the newest. */
  readonly #regions = new Map<number, CodeGroup[]>();
  /** Packs opened, and from which one a module is. */
  readonly #opened = new Set<string>();
  readonly #origin = new Map<CodeModule, StoredPack>();
  /** Made here and not sealed. */
  #unsealed: Unsealed[] = [];
  /** Sealed, and still used where they were before. */
  #staying: CodeGroup[] = [];
  readonly #stayingMax: number;
  /** Those who use groups: told which have moved into another module. */
  readonly users = new Set<(moved: ReadonlySet<CodeGroup>) => void>();

  constructor(store: CodeStore | null = null, stayingMax = STAYING_MAX) {
    this.#store = store;
    this.steps = new StepFunctions(store, () => this.figures.rejected++);
    this.#stayingMax = stayingMax;
  }

  /** The functions of an address space that its translated code calls. */
  get helpers(): WebAssembly.Module {
    this.#helpers ??= new WebAssembly.Module(helpersModule());
    return this.#helpers;
  }

  /**
   * The region that begins at `rip`; null when the instruction there cannot be fetched or decoded. A new one ends where
   * another begins that is in use.
   */
  region(code: CodeSpace, rip: number): CodeGroup | null {
    const known = this.#find(code, KIND_COLD, rip);
    if (known !== null) return known;
    const region = endAtLoopHeads(
      discover(code.space, rip, { size: COLD_LIMIT, isElsewhere: (next) => code.isReached(next) }),
    );
    return region.blocks.length === 0 ? null : this.#make(code.space, KIND_COLD, region);
  }

  /** The region at `rip` as the guest spends time in it. */
  hotRegion(code: CodeSpace, rip: number): CodeGroup | null {
    const known = this.#find(code, KIND_HOT, rip);
    if (known !== null) return known;
    const region = loopRegion(code, rip) ?? hotRegion(code, rip);
    return region.blocks.length === 0
      ? null
      : this.#make(code.space, region.hub?.isEntry ? KIND_LOOP : KIND_HOT, region);
  }

  /** Links groups that are in modules of their own, and gives them to the store. */
  readonly seal = (): void => {
    const list = this.#unsealed;
    this.#unsealed = [];
    // What another process has added meanwhile need not be there twice.
    const isKept = ({ keys, isNew }: Unsealed): boolean =>
      keys.length > 0 && !(isNew && this.#store !== null && this.#store.find(keys[0]!).length > 0);
    const kept = list.filter(isKept);
    const others = list.filter((unsealed) => !kept.includes(unsealed));
    for (let i = 0; i < kept.length; i += PACK_GROUPS) {
      const part = kept.slice(i, i + PACK_GROUPS);
      const pack = sealPack(part);
      const keys = part.flatMap((unsealed) => unsealed.keys);
      this.#store?.add(keys, pack);
    }
    for (let i = 0; i < others.length; i += PACK_GROUPS) sealPack(others.slice(i, i + PACK_GROUPS));
    this.#move(list.map(({ group }) => group));
  };

  #move(sealed: readonly CodeGroup[]): void {
    this.#staying.push(...sealed.filter(({ kind }) => kind !== KIND_COLD));
    const moved = new Set(sealed.filter(({ kind }) => kind === KIND_COLD));
    if (this.#staying.length > this.#stayingMax) {
      for (const group of this.#staying) moved.add(group);
      this.#staying = [];
    }
    for (const move of this.users) move(moved);
  }

  // --- finding ---

  /** A group of the kind (a hot one where a cold one is asked for) with the space's code. */
  #find(code: CodeSpace, kind: GroupKind, entry: number): CodeGroup | null {
    const known = this.#pick(code, kind, entry);
    if (known !== null || this.#store === null) return known;
    for (const stored of this.#store.find(codeKey(code.space, entry))) {
      if (this.#opened.has(stored.id)) continue;
      this.#opened.add(stored.id);
      const found = this.#open(stored) ? this.#pick(code, kind, entry) : null;
      if (found !== null) return found;
    }
    return null;
  }

  #pick(code: CodeSpace, kind: GroupKind, entry: number): CodeGroup | null {
    for (const group of this.#regions.get(entry) ?? []) {
      if (group.kind < kind || !group.matches(code)) continue;
      const stored = this.#origin.get(group.module);
      if (stored === undefined) return group;
      if (this.#compiles(group.module, stored)) {
        this.figures.loaded++;
        return group;
      }
    }
    return null;
  }

  #open(stored: StoredPack): boolean {
    const pack = stored.read();
    if (pack === null) return false;
    const groups = openPack(pack);
    if (groups === null || groups.length === 0) {
      this.#reject(stored);
      return false;
    }
    this.#origin.set(groups[0]!.module, stored);
    for (const group of groups) this.#index(group);
    return true;
  }

  #compiles(module: CodeModule, stored: StoredPack): boolean {
    try {
      module.compile();
      return true;
    } catch (error) {
      if (!(error instanceof WebAssembly.CompileError)) throw error;
      for (const groups of this.#regions.values()) {
        for (const group of groups.filter((group) => group.module === module)) this.#remove(group);
      }
      this.#reject(stored);
      return false;
    }
  }

  #reject(stored: StoredPack): void {
    this.figures.rejected++;
    stored.reject();
  }

  #index(group: CodeGroup): void {
    const map = this.#regions;
    for (const { entry } of group.pieces) {
      const groups = map.get(entry);
      if (groups === undefined) {
        map.set(entry, [group]);
        continue;
      }
      const worse = groups.findIndex(({ kind }) => kind <= group.kind);
      groups.splice(worse < 0 ? groups.length : worse, 0, group);
      if (groups.length > CANDIDATES) groups.pop();
    }
  }

  #remove(group: CodeGroup): void {
    const map = this.#regions;
    for (const { entry } of group.pieces) {
      const left = map.get(entry)?.filter((other) => other !== group) ?? [];
      if (left.length > 0) map.set(entry, left);
      else map.delete(entry);
    }
  }

  // --- making ---

  #make(space: AddressSpace, kind: GroupKind, region: Region): CodeGroup {
    const { entry, blocks } = region;
    const bodies: FunctionBody[] = [];
    const pieces: Piece[] = [];
    const add = (entry: number, blocks: readonly Block[], body: FunctionBody): void => {
      const spans = spansOf(blocks);
      pieces.push({ entry, spans, bytes: bytesOf(space, spans) });
      bodies.push(body);
    };
    add(entry, blocks, this.#translator.translate(region, kind === KIND_COLD));
    for (const { insns } of blocks) this.figures.instructions += insns.length;
    for (const block of otherEntries(region)) add(block.start, [block], this.#translator.alias(entry));
    this.figures.groups++;
    const wasm = linkModule(REGION_TYPE, [pieces.map(({ entry }, i) => ({ name: entry, body: bodies[i]! }))]);
    return this.#keep(space, { group: new CodeGroup(kind, pieces, new CodeModule(wasm), 0), bodies });
  }

  #keep(space: AddressSpace, fresh: FreshGroup): CodeGroup {
    const { group } = fresh;
    this.#index(group);
    const keys = keysOf(space, group);
    const isNew = group.kind === KIND_COLD && keys.length > 0 && this.#store?.find(keys[0]!).length === 0;
    this.#unsealed.push({ ...fresh, keys, isNew });
    if (this.#unsealed.length >= PACK_GROUPS) this.seal();
    else this.#store?.announce(this.seal);
    return group;
  }
}

/** [start, end) of each block, where the same code is there several times once. */
function spansOf(blocks: readonly Block[]): Uint32Array {
  const ends = new Map<number, number>();
  for (const { start, end } of blocks) ends.set(start, Math.max(end, ends.get(start) ?? 0));
  return Uint32Array.from([...ends].flat());
}

interface Unsealed extends FreshGroup {
  /** None: it is not for the store. */
  readonly keys: readonly CodeKey[];
  /** The store had nothing for it when it was made. */
  readonly isNew: boolean;
}

/** The keys that the group is to be found by. */
function keysOf(space: AddressSpace, { pages, pieces }: CodeGroup): CodeKey[] {
  // Code that may be written is not worth keeping: it will be other code the next time.
  if (pages.some((page) => (space.prot[page]! & PROT_WRITE) !== 0)) return [];
  return pieces.map(({ entry }) => codeKey(space, entry));
}

/** The blocks besides the entry's that control comes to from outside of the region. */
function otherEntries({ hub, blocks, entry }: Region): Block[] {
  return hub?.isEntry ? hub.targets.map((node) => blocks[node]!).filter(({ start }) => start !== entry) : [];
}

/** With the small functions that it calls. */
function hotRegion(code: CodeSpace, rip: number): Region {
  return inlineCalls(code, withTargets(code, rip, HOT_LIMIT), INLINED_LIMIT);
}

function loopRegion(code: CodeSpace, rip: number): Region | null {
  const loop = dispatchLoop(code, rip);
  return loop === null ? null : inlineCalls(code, loop, LOOP_LIMIT);
}
