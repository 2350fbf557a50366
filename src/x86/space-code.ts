/**
 * What one address space runs, by guest address: the table of its regions, and its interpreter for what is not
 * translated yet. The jump cache in the guest's memory maps guest addresses to either; what it misses is looked up here.
 */

import type { AddressSpace } from '../lvm/address-space.ts';
import { type CodeTier, ENTRY_KIND } from '../lvm/cpu.ts';
import {
  COMPARED,
  COMPARED_SIZE,
  JUMP_CACHE,
  JUMP_RECORDS,
  PAGE_SHIFT,
  RECORDS,
  REGISTER_FILE,
  STATE_CODE,
} from '../lvm/layout.ts';
import { SLOT_INTERPRET } from './calling.ts';
import {
  type CodeGroup,
  type CodeModule,
  type CodeSpace,
  covers,
  KIND_COLD,
  KIND_LOOP,
  type Piece,
} from './code-group.ts';
import { Interpreter } from './interpreter.ts';
import { type HelperImports, jumpCacheEntry, type ModuleImports } from './module.ts';
import { countOf, targetsOf } from './profile.ts';
import { EXIT_FETCH, EXIT_RESUME, OFF_AHEAD, OFF_AHEAD_SIZE, OFF_EXIT, OFF_RIP } from './state.ts';
import type { Translations } from './translations.ts';

/** As JavaScript has what is of REGION_TYPE. */
export type RegionFunction = (depth: number, budget: bigint, rsp: bigint) => unknown;

/** Samples after which a region is hot. */
const HOT_SAMPLES = 8;

interface Loaded {
  readonly exports: WebAssembly.Exports;
  /** Groups in use. */
  groups: number;
}

export class SpaceCode implements CodeSpace {
  readonly space: AddressSpace;
  readonly interpreter: Interpreter;
  readonly #translations: Translations;
  /** Of regions, and of step functions (the first: none). */
  readonly #table: WebAssembly.Table;
  readonly #steps: WebAssembly.Table;
  readonly #unfetchable: WebAssembly.ExportValue;
  #stepCount = 1;
  readonly #imports: { readonly env: ModuleImports & WebAssembly.ModuleImports };
  readonly #same: (a: number, b: number, length: number) => number;
  /** (slot, rip): runs what is in the slot. Returns the next rip or 0: as a signed 32-bit integer, the way wasm gives it. */
  readonly #enter: (slot: number, rip: number) => number;
  readonly #singles: (record: number, most: number) => number;
  readonly #often: number;
  readonly #slots = new Map<number, number>();
  /** By slot: the group that its function is of. */
  readonly #owners: (CodeGroup | null)[] = [null, null];
  readonly #freeSlots: number[] = [];
  readonly #loaded = new Map<CodeModule, Loaded>();
  /** The groups in use, and where their functions were found: a group may move (pack.ts). */
  readonly #groups = new Map<CodeGroup, { readonly module: CodeModule; readonly first: number }>();
  readonly #byPage = new Map<number, Set<CodeGroup>>();
  readonly #samples = new Map<number, number>();
  #translated: number[] = [];

  /**
   * `imports`: what code calls that is not this class's. A region is translated when control has come to it `often` times
   * (0: at once; Infinity: never).
   */
  constructor(
    space: AddressSpace,
    translations: Translations,
    imports: Pick<ModuleImports, 'fix' | 'helper'>,
    often: number,
  ) {
    this.space = space;
    this.#translations = translations;
    const { memory } = space;
    this.#often = often;
    this.interpreter = new Interpreter(space, translations.steps, this, Math.min(often, 0x1_0000));
    const env: HelperImports & WebAssembly.ModuleImports = {
      memory,
      resolve: (rip) => this.resolve(rip >>> 0),
      record: (rip) => this.#record(rip >>> 0),
      heat: (rip) => {
        if (often !== Number.POSITIVE_INFINITY) this.#region(rip >>> 0);
      },
    };
    const {
      regions,
      steps,
      lookup,
      flags,
      mulhu,
      divlu,
      crc32c,
      noteJump,
      calmF32,
      calmF64,
      calmF32x4,
      calmF64x2,
      resume,
      unfetchable,
      interpret,
      enter,
      singles,
      same,
    } = new WebAssembly.Instance(translations.helpers, { env }).exports as Record<string, WebAssembly.ExportValue>;
    this.#table = regions as WebAssembly.Table;
    this.#steps = steps as WebAssembly.Table;
    this.#unfetchable = unfetchable!;
    this.#table.set(SLOT_INTERPRET, interpret);
    this.#enter = enter as (slot: number, rip: number) => number;
    this.#singles = singles as (record: number, most: number) => number;
    this.#same = same as (a: number, b: number, length: number) => number;
    const arithmetic = { mulhu: mulhu!, divlu: divlu!, crc32c: crc32c! };
    const calm = { calmF32: calmF32!, calmF64: calmF64!, calmF32x4: calmF32x4!, calmF64x2: calmF64x2! };
    const exported = { lookup: lookup!, flags: flags!, ...arithmetic, ...calm, noteJump: noteJump!, resume: resume! };
    const hot = (rip: number): void => this.#heat(rip >>> 0);
    this.#imports = { env: { ...imports, memory, regions: regions!, ...exported, hot } };
  }

  /** What there is for `rip`, a record's address or a table slot; 0 where nothing can be fetched. The jump cache has it then. */
  resolve(rip: number): number {
    let found = this.#slots.get(rip);
    // Without room it is translated, which needs none.
    if (found === undefined && this.#often > 0 && !this.interpreter.isFull) {
      found = this.interpreter.enter(rip);
      if (found === 0) return 0;
    }
    found ??= this.#region(rip);
    if (found === 0) return 0;
    const at = jumpCacheEntry(rip);
    const { view } = this.space;
    view.setUint32(at, rip, true);
    view.setUint32(at + 4, found >= RECORDS ? SLOT_INTERPRET : found, true);
    if (found >= RECORDS) view.setUint32(JUMP_RECORDS + (at - JUMP_CACHE) / 2, found, true);
    return found;
  }

  /** The slot of the region at `rip`, which is translated if need be; 0 where nothing can be fetched. */
  #region(rip: number): number {
    if (!this.#slots.has(rip)) {
      const group = this.#translations.region(this, rip);
      if (group === null) return 0;
      this.#place(group);
    }
    return this.#slots.get(rip)!;
  }

  /** The record of the instruction at `rip`, or 0 and a reason. */
  #record(rip: number): number {
    const { view } = this.space;
    this.#prepareAhead();
    const isFull = this.interpreter.isFull;
    const record = isFull ? 0 : this.interpreter.record(rip);
    if (record === 0) {
      // Where there is no room it goes on here when nothing is on the wasm stack.
      view.setBigUint64(REGISTER_FILE + OFF_RIP, BigInt(rip), true);
      view.setUint32(REGISTER_FILE + OFF_EXIT, isFull ? EXIT_RESUME : EXIT_FETCH, true);
    }
    return record;
  }

  /** Makes pages ready for stores as a region has asked for (OFF_AHEAD), if they can be and hold no code. */
  #prepareAhead(): void {
    const { view, state } = this.space;
    const size = view.getUint32(REGISTER_FILE + OFF_AHEAD_SIZE, true);
    if (size === 0) return;
    view.setUint32(REGISTER_FILE + OFF_AHEAD_SIZE, 0, true);
    const first = view.getUint32(REGISTER_FILE + OFF_AHEAD, true);
    const pages = [first, first + size - 1].map((address) => address >>> PAGE_SHIFT);
    if (pages.every((page) => (state[page]! & STATE_CODE) === 0)) this.space.resolve(first, size, true);
  }

  /** Runs at most so many instructions, and at least one, of a repeated string instruction perhaps one iteration. Returns the next rip or 0. */
  singles(rip: number, most: number): number {
    const record = this.#record(rip);
    return record === 0 ? 0 : this.#singles(record, most) >>> 0;
  }

  // --- for the interpreter ---

  instantiate(module: CodeModule): WebAssembly.Exports {
    return new WebAssembly.Instance(module.compile(), this.#imports).exports;
  }

  add(run: WebAssembly.ExportValue): number {
    if (this.#stepCount === this.#steps.length) this.#steps.grow(this.#stepCount, run);
    this.#steps.set(this.#stepCount, run);
    return this.#stepCount++;
  }

  isRegion(rip: number): boolean {
    return this.#slots.has(rip);
  }

  // --- regions ---

  /** By wasm: there are very many bytes to compare when a program starts. */
  hasBytes({ spans, bytes }: Piece): boolean {
    if (bytes.length > COMPARED_SIZE) return false;
    this.space.u8.set(bytes, COMPARED);
    let at = COMPARED;
    for (let i = 0; i < spans.length; i += 2) {
      const length = spans[i + 1]! - spans[i]!;
      if (this.#same(spans[i]!, at, length) === 0) return false;
      at += length;
    }
    return true;
  }

  /** Runs what `resolve` has found for `rip`. Returns the next rip or 0. */
  call(found: number, rip: number): number {
    return this.#enter(found >= RECORDS ? SLOT_INTERPRET : found, rip) >>> 0;
  }

  isReached(rip: number): boolean {
    return this.#slots.has(rip);
  }

  targetsOf(rip: number): Map<number, number> {
    return targetsOf(this.space.view, rip);
  }

  isInLoop(rip: number): boolean {
    const groups = [...(this.#byPage.get(rip >>> PAGE_SHIFT) ?? [])];
    return groups.some(({ kind, pieces }) => kind === KIND_LOOP && covers(pieces[0]!, rip));
  }

  countOf(rip: number): number {
    return countOf(this.space.view, rip);
  }

  /** The guest is at `rip` after another slice of instructions: where it is often, its code gets better. */
  sample(rip: number): void {
    let most = 0;
    let hottest = -1;
    for (const group of this.#byPage.get(rip >>> PAGE_SHIFT) ?? []) {
      if (group.kind !== KIND_COLD || !covers(group.pieces[0]!, rip)) continue;
      const { entry } = group;
      const samples = (this.#samples.get(entry) ?? 0) + 1;
      this.#samples.set(entry, samples);
      if (samples > most) {
        most = samples;
        hottest = entry;
      }
    }
    if (most >= HOT_SAMPLES) this.#heat(hottest);
  }

  /** As VirtualCpu.tierAt has it. */
  tierAt(rip: number): CodeTier {
    let tier: CodeTier = 'interpreted';
    for (const group of this.#byPage.get(rip >>> PAGE_SHIFT) ?? []) {
      if (!group.pieces.some((piece) => covers(piece, rip))) continue;
      if (group.kind !== KIND_COLD) return 'hot';
      tier = 'translated';
    }
    return tier;
  }

  /** The region at `rip`, or if `hot` the hot code for it, is ready to run afterwards. */
  warm(rip: number, hot: boolean): void {
    if (hot) this.#heat(rip);
    else this.#region(rip);
    const slot = this.#slots.get(rip);
    const group = slot === undefined ? null : this.#owners[slot]!;
    if (group !== null) for (const run of this.load(group)) run(-1, 0n, 0n);
  }

  /** Puts hot code in the place of the region at `rip`. */
  #heat(rip: number): void {
    const group = this.#translations.hotRegion(this, rip);
    if (group !== null) this.#place(group);
  }

  /** Puts the group's functions into slots, in the place of worse ones. */
  #place(group: CodeGroup): void {
    const run = this.load(group);
    const replaced = new Set<CodeGroup>();
    group.pieces.forEach(({ entry }, i) => {
      let slot = this.#slots.get(entry);
      if (slot === undefined) {
        slot = this.#newSlot();
        this.#slots.set(entry, slot);
        this.interpreter.leaveTo(entry);
        this.#forget(entry);
      } else {
        const owner = this.#owners[slot]!;
        if (owner.kind >= group.kind) return;
        replaced.add(owner);
      }
      this.#owners[slot] = group;
      this.#table.set(slot, run[i]!);
    });
    for (const other of replaced) if (!this.#isUsed(other)) this.#release(other);
    for (const page of group.pages) {
      const groups = this.#byPage.get(page);
      if (groups === undefined) this.#byPage.set(page, new Set([group]));
      else groups.add(group);
    }
  }

  /** A function of the group is in a slot. */
  #isUsed(group: CodeGroup): boolean {
    return group.pieces.some(({ entry }) => this.#owners[this.#slots.get(entry) ?? 0] === group);
  }

  #newSlot(): number {
    const free = this.#freeSlots.pop();
    if (free !== undefined) return free;
    const slot = this.#owners.length;
    this.#owners.push(null);
    if (slot >= this.#table.length) this.#table.grow(this.#table.length, this.#unfetchable);
    return slot;
  }

  /** The group's functions for this space. Its pages are watched from now on. */
  load(group: CodeGroup): RegionFunction[] {
    if (!this.#groups.has(group)) {
      this.#link(group);
      this.#translated.push(group.entry + group.kind * ENTRY_KIND);
      for (const page of group.pages) this.space.markCode(page);
    }
    const { module, first } = this.#groups.get(group)!;
    const { exports } = this.#loaded.get(module)!;
    return group.pieces.map((_piece, i) => exports[`f${first + i}`] as RegionFunction);
  }

  #link(group: CodeGroup): void {
    const { module, first } = group;
    this.#groups.set(group, { module, first });
    let loaded = this.#loaded.get(module);
    if (loaded === undefined) {
      const instance = new WebAssembly.Instance(module.compile(), this.#imports);
      loaded = { exports: instance.exports, groups: 0 };
      this.#loaded.set(module, loaded);
    }
    loaded.groups++;
  }

  /** The group's functions are of no more use. */
  unload(group: CodeGroup): void {
    const place = this.#groups.get(group);
    if (place === undefined) return;
    this.#groups.delete(group);
    const loaded = this.#loaded.get(place.module)!;
    if (--loaded.groups === 0) this.#loaded.delete(place.module);
  }

  /** The groups are in other modules now: uses those. */
  move(moved: ReadonlySet<CodeGroup>): void {
    for (const group of moved) {
      if (!this.#groups.has(group)) continue;
      this.unload(group);
      this.#link(group);
      const run = this.load(group);
      group.pieces.forEach(({ entry }, i) => {
        const slot = this.#slots.get(entry);
        if (slot === undefined || this.#owners[slot] !== group) return;
        this.#table.set(slot, run[i]!);
      });
    }
  }

  /** Code on the pages has changed. */
  dropPages(first: number, count: number): void {
    this.interpreter.dropPages(first, count);
    for (const [page, groups] of this.#byPage) {
      if (page < first || page >= first + count) continue;
      for (const group of [...groups]) this.#drop(group);
      this.#byPage.delete(page);
    }
  }

  #drop(group: CodeGroup): void {
    this.#release(group);
    for (const { entry } of group.pieces) {
      const slot = this.#slots.get(entry);
      if (slot === undefined || this.#owners[slot] !== group) continue;
      this.#slots.delete(entry);
      this.#owners[slot] = null;
      this.#table.set(slot, this.#unfetchable);
      this.#freeSlots.push(slot);
      this.#forget(entry);
    }
  }

  /** The jump cache knows nothing for the address any more. */
  #forget(rip: number): void {
    const at = jumpCacheEntry(rip);
    const { view } = this.space;
    if (view.getUint32(at, true) === rip) view.setUint32(at, 0, true);
  }

  #release(group: CodeGroup): void {
    for (const page of group.pages) this.#byPage.get(page)?.delete(group);
    this.unload(group);
  }

  /** The space will not run again; what is in the jump cache must not outlive it. */
  close(): void {
    for (const group of new Set(this.#groups.keys())) this.#drop(group);
    this.interpreter.clear();
  }

  /** What was translated since the last call, as VirtualCpu.takeTranslated has it. */
  takeTranslated(): number[] {
    const list = this.#translated;
    this.#translated = [];
    return list;
  }
}
