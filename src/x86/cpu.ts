/**
 * The translating virtual CPU: code cache, dispatch, faults, exact budgets.
 *
 * Every address space has a funcref table of translated regions; slot 0 is the function for addresses where nothing can be
 * fetched. The jump cache in the guest's memory maps guest addresses to slots; what it misses is looked up in `slots`.
 * Modules are cached by the guest bytes that they were made from and shared by all spaces.
 *
 * Careful code is code by the basic block, enterable at every instruction, in which a failed page check is repaired in
 * place (`fix`) instead of leaving: it runs from the instruction at which normal code gave up to the end of the function,
 * and, one instruction at a time, the last stretch before an exact budget.
 */

import type { AddressSpace } from '../lvm/address-space.ts';
import type { CpuEnvironment, CpuExit, VirtualCpu } from '../lvm/cpu.ts';
import { PAGE_SHIFT, PAGE_SIZE, REGISTER_FILE, STATE_CODE, USER_END } from '../lvm/layout.ts';
import { canonicalFlags } from './flags.ts';
import { DEPTH_LIMIT } from './lower-control.ts';
import { jumpCacheEntry, moduleFrame } from './module.ts';
import { type Block, discover, discoverBlock, exitsOf, fetch, isFailure, REGION_LIMIT, type Region } from './region.ts';
import {
  type Context,
  EXIT_BUDGET,
  EXIT_FAULT,
  EXIT_SYSCALL,
  OFF_BUDGET,
  OFF_BUDGET_FLOOR,
  OFF_EXIT,
  OFF_EXIT_ADDRESS,
  OFF_EXIT_ERROR,
  OFF_EXIT_VECTOR,
  OFF_RIP,
  VECTOR_GP,
  VECTOR_PF,
  VECTOR_UD,
} from './state.ts';
import { type Machine, runHelper } from './support.ts';
import {
  EXIT_CALLED,
  EXIT_FETCH,
  EXIT_NONE,
  EXIT_RESUME,
  EXIT_RETURNED,
  isImplemented,
  translate,
} from './translate.ts';

/** Instructions of a careful block outside any region. */
const CAREFUL_LIMIT = 32;
/** Careful blocks run one after the other before a region is translated for the place where they have come to. */
const CAREFUL_BLOCKS = 64;
/** Guest calls that a nested call from JavaScript counts for. */
const JS_DEPTH = 4;
/** Regions of a module, and instructions after which no more are added: a module costs 26 KB and two mappings. */
const BATCH_REGIONS = 12;
const BATCH_INSTRUCTIONS = 1000;
/** Instructions after which wasm is left and entered again: V8 replaces baseline code only at a function's entry. */
const SLICE = 1 << 18;
/** More than any path without a budget check. */
const SLACK = REGION_LIMIT + 64;
/** Page-fault error code (SDM vol. 3, 4.7): protection violation, write, user mode, instruction fetch. */
const ERROR_PRESENT = 1;
const ERROR_WRITE = 2;
const ERROR_USER = 4;
const ERROR_FETCH = 16;

/** Returns the next rip or 0: as a signed 32-bit integer, the way wasm gives it. */
type RegionFunction = (depth: number, rip: number) => number;

/** The regions of one module in one space. They call each other directly, so they are dropped together. */
interface Group {
  readonly entries: { readonly rip: number; readonly slot: number }[];
  readonly pages: Set<number>;
  readonly members: readonly Member[];
}

/** What stays of a region once it is compiled: its instructions would be ten times as large. */
interface Member {
  readonly entry: number;
  readonly pages: readonly number[];
  /** [start, end) of each block. */
  readonly spans: readonly number[];
  readonly key: string;
}

interface Compiled {
  readonly module: WebAssembly.Module;
  readonly members: readonly Member[];
}

/** A way into a careful block. */
interface CarefulEntry {
  readonly run: RegionFunction;
  /** The instruction of the block to begin with: the function's first argument. */
  readonly index: number;
  /** Address behind the block: where a call at its end returns to. */
  readonly end: number;
  readonly pages: readonly number[];
}

interface SpaceState extends Machine {
  readonly u32: Uint32Array;
  readonly table: WebAssembly.Table;
  readonly imports: WebAssembly.Imports;
  readonly slots: Map<number, number>;
  /** The functions in the table, for calls from JavaScript. */
  readonly functions: (RegionFunction | null)[];
  /** By the address of the instruction; blocks, and single instructions. */
  readonly careful: Map<number, CarefulEntry>;
  readonly single: Map<number, CarefulEntry>;
  /** The careful code that runs has one instruction: it may drop translated code. */
  inSingle: boolean;
  /** Budget of the run beyond the slice in OFF_BUDGET. */
  later: number;
  /** The next instruction must be run by itself. */
  alone: boolean;
  readonly byPage: Map<number, Set<Group>>;
  readonly freeSlots: number[];
  translated: number[];
  loaded: Context | null;
}

export class TranslatingCpu implements VirtualCpu {
  retired = 0;
  /** What raised #UD for want of an implementation: mnemonic or bytes → count. */
  readonly unimplemented = new Map<string, number>();
  readonly #environment: CpuEnvironment;
  readonly #spaces = new Map<AddressSpace, SpaceState>();
  /** Careful code by content; regions by content, with the others of their module. */
  readonly #modules = new Map<string, WebAssembly.Module>();
  readonly #regions = new Map<string, Compiled>();

  constructor(environment: CpuEnvironment) {
    this.#environment = environment;
  }

  run(space: AddressSpace, context: Context, budget: number, exact: boolean): CpuExit {
    const state = this.#state(space);
    if (state.loaded !== context) {
      if (state.loaded !== null) this.unload(space);
      context.load(space.memory.buffer);
      state.loaded = context;
    }
    const base = exact ? budget - SLACK : budget;
    state.later = Math.max(0, base - SLICE);
    this.#setBudget(state, base - state.later);
    state.view.setBigInt64(REGISTER_FILE + OFF_BUDGET_FLOOR, exact ? 0n : -(1n << 63n), true);
    const exit = this.#loop(state, exact ? budget - base : 0);
    this.retired = base - this.#getBudget(state) - state.later;
    return exit;
  }

  /** `tail`: of an exact run, the instructions that are run one by one. */
  #loop(state: SpaceState, tail: number): CpuExit {
    let mayStop = tail > 0;
    for (;;) {
      let left = this.#getBudget(state);
      while (left <= 0 && state.later > 0) {
        const slice = Math.min(state.later, SLICE);
        state.later -= slice;
        left += slice;
        this.#setBudget(state, left);
      }
      if (left <= -tail && mayStop) return { kind: 'budget' };
      mayStop = tail > 0;
      const single = state.alone || (tail > 0 && left <= 0);
      state.alone = false;
      const high = state.u32[(OFF_RIP >> 2) + 1]!;
      let rip = state.u32[OFF_RIP >> 2]!;
      if (high !== 0 || rip >= USER_END || rip === 0) return this.#fetchFault(state);
      if (single) {
        rip = this.#single(state, rip);
      } else {
        do {
          const slot = this.#resolve(state, rip);
          rip = slot === 0 ? this.#unfetchable(state) : state.functions[slot]!(0, rip) >>> 0;
        } while (rip !== 0);
      }
      if (rip !== 0) continue;
      switch (state.u32[OFF_EXIT >> 2]) {
        case EXIT_SYSCALL:
          return { kind: 'syscall' };
        case EXIT_FAULT:
          return this.#fault(state);
        case EXIT_FETCH:
          return this.#fetchFault(state);
        case EXIT_BUDGET:
          mayStop = true;
          continue;
        default:
          // EXIT_RESUME: as the loop's head says.
          continue;
      }
    }
  }

  #fault(state: SpaceState): CpuExit {
    const vector = state.u32[OFF_EXIT_VECTOR >> 2]!;
    if (vector === VECTOR_UD) this.#countUndefined(state);
    return {
      kind: 'fault',
      vector,
      address: state.view.getBigUint64(REGISTER_FILE + OFF_EXIT_ADDRESS, true),
      error: state.u32[OFF_EXIT_ERROR >> 2]!,
    };
  }

  /** The exception that fetching the instruction at rip raises. */
  #fetchFault(state: SpaceState): CpuExit {
    const full = state.view.getBigUint64(REGISTER_FILE + OFF_RIP, true);
    let address = full;
    if (full < BigInt(USER_END)) {
      const result = fetch(state.space, Number(full));
      if (isFailure(result)) {
        if (result.kind === 'fetch') address = BigInt(result.address);
        else {
          if (result.kind === 'undefined') this.#countUndefined(state);
          return { kind: 'fault', vector: result.kind === 'undefined' ? VECTOR_UD : VECTOR_GP, address: 0n, error: 0 };
        }
      }
    } else if (full >> 47n !== 0n && full >> 47n !== 0x1ffffn) {
      return { kind: 'fault', vector: VECTOR_GP, address: 0n, error: 0 };
    }
    const present = address < BigInt(USER_END) && state.space.isMapped(Number(address));
    return {
      kind: 'fault',
      vector: VECTOR_PF,
      address,
      error: ERROR_FETCH | ERROR_USER | (present ? ERROR_PRESENT : 0),
    };
  }

  #countUndefined(state: SpaceState): void {
    const rip = state.u32[OFF_RIP >> 2]!;
    const insn = fetch(state.space, rip);
    let key: string;
    if (isFailure(insn)) {
      key = [...state.space.u8.subarray(rip, rip + 8)].map((b) => b.toString(16).padStart(2, '0')).join('');
    } else if (isImplemented(insn)) {
      return;
    } else {
      key = insn.op;
    }
    this.unimplemented.set(key, (this.unimplemented.get(key) ?? 0) + 1);
  }

  // --- budget: an i64 that fits a number ---

  #getBudget(state: SpaceState): number {
    const at = REGISTER_FILE + OFF_BUDGET;
    return state.view.getInt32(at + 4, true) * 4294967296 + state.view.getUint32(at, true);
  }

  #setBudget(state: SpaceState, budget: number): void {
    const at = REGISTER_FILE + OFF_BUDGET;
    state.view.setUint32(at, budget >>> 0, true);
    state.view.setInt32(at + 4, Math.floor(budget / 4294967296), true);
  }

  // --- spaces ---

  #state(space: AddressSpace): SpaceState {
    let state = this.#spaces.get(space);
    if (state !== undefined) return state;
    const table = new WebAssembly.Table({ element: 'anyfunc', initial: 1024, maximum: 1 << 22 });
    const created: SpaceState = {
      space,
      view: space.view,
      environment: this.#environment,
      u32: new Uint32Array(space.memory.buffer, REGISTER_FILE, 256),
      table,
      imports: {
        env: {
          memory: space.memory,
          table,
          slow: (depth: number) => this.#slow(created, depth),
          resolve: (rip: number) => this.#resolve(created, rip >>> 0),
          fix: (access: number) => this.#fix(created, access),
          helper: (id: number, arg: number) => runHelper(id, created, arg),
        },
      },
      slots: new Map(),
      functions: [null],
      careful: new Map(),
      single: new Map(),
      inSingle: false,
      alone: false,
      later: 0,
      byPage: new Map(),
      freeSlots: [],
      translated: [],
      loaded: null,
    };
    state = created;
    this.#spaces.set(space, created);
    space.onCodeChange = (first, count) => this.#dropPages(created, first, count);
    table.set(0, this.#unfetchableFunction(created));
    return state;
  }

  /** A wasm function for slot 0: leaves with EXIT_FETCH. */
  #unfetchableFunction(state: SpaceState): RegionFunction {
    const key = 'unfetchable';
    let module = this.#modules.get(key);
    if (module === undefined) {
      const frame = moduleFrame();
      const f = frame.module.func(frame.regionType);
      f.i32Const(REGISTER_FILE).localGet(1).i64ExtendI32U().i64Store(OFF_RIP);
      f.i32Const(REGISTER_FILE).i32Const(EXIT_FETCH).i32Store(OFF_EXIT).i32Const(0).end();
      frame.module.exportFunc('f', f.index);
      module = new WebAssembly.Module(frame.module.build());
      this.#modules.set(key, module);
    }
    return new WebAssembly.Instance(module, state.imports).exports.f as RegionFunction;
  }

  #unfetchable(state: SpaceState): number {
    state.u32[OFF_EXIT >> 2] = EXIT_FETCH;
    return 0;
  }

  // --- translation ---

  /** The table slot of the region at `rip`, translated if need be; 0 where nothing can be fetched. */
  #resolve(state: SpaceState, rip: number): number {
    let slot = state.slots.get(rip);
    if (slot === undefined) {
      const region = discover(state.space, rip);
      if (region.blocks.length === 0) return 0;
      this.#install(state, region);
      slot = state.slots.get(rip)!;
    }
    const at = jumpCacheEntry(rip);
    state.view.setUint32(at, rip, true);
    state.view.setUint32(at + 4, slot, true);
    return slot;
  }

  /** Translates a region and regions that it calls, in one module. */
  #install(state: SpaceState, region: Region): void {
    let compiled = this.#regions.get(contentKey(state.space, region.entry, spansOf(region)));
    // Another space may have other bytes where the module's other regions were.
    if (compiled === undefined || !compiled.members.every((member) => this.#matches(state.space, member))) {
      compiled = this.#compile(state.space, this.#batch(state, region));
    }
    const exports = new WebAssembly.Instance(compiled.module, state.imports).exports;
    const group: Group = { entries: [], pages: new Set(), members: compiled.members };
    compiled.members.forEach((member, i) => {
      for (const page of member.pages) group.pages.add(page);
      if (state.slots.has(member.entry)) return;
      this.#place(state, group, member.entry, exports[`f${i}`] as RegionFunction);
    });
    this.#watch(state, [...group.pages]);
    for (const page of group.pages) state.byPage.get(page)!.add(group);
  }

  #matches(space: AddressSpace, member: Member): boolean {
    for (const page of member.pages) if (!space.isExecutable(page * PAGE_SIZE)) return false;
    return contentKey(space, member.entry, member.spans) === member.key;
  }

  /** The region and those not yet translated that it goes to, breadth first. */
  #batch(state: SpaceState, first: Region): Region[] {
    const regions: Region[] = [];
    const seen = new Set<number>([first.entry]);
    const queue = [first];
    let instructions = 0;
    for (let i = 0; i < queue.length && i < BATCH_REGIONS && instructions < BATCH_INSTRUCTIONS; i++) {
      const region = queue[i]!;
      regions.push(region);
      for (const block of region.blocks) instructions += block.insns.length;
      for (const target of exitsOf(region)) {
        if (queue.length >= BATCH_REGIONS) break;
        if (seen.has(target) || state.slots.has(target)) continue;
        seen.add(target);
        const next = discover(state.space, target);
        if (next.blocks.length > 0) queue.push(next);
      }
    }
    return regions;
  }

  #compile(space: AddressSpace, regions: readonly Region[]): Compiled {
    const frame = moduleFrame();
    const codes = regions.map(() => frame.module.func(frame.regionType, 4096));
    const direct = new Map(regions.map((region, i) => [region.entry, codes[i]!.index]));
    regions.forEach((region, i) => {
      translate(frame, codes[i]!, region, false, direct);
      frame.module.exportFunc(`f${i}`, codes[i]!.index);
    });
    const members = regions.map((region) => {
      const spans = spansOf(region);
      return { entry: region.entry, pages: region.pages, spans, key: contentKey(space, region.entry, spans) };
    });
    const compiled = { module: new WebAssembly.Module(frame.module.build()), members };
    for (const member of members) this.#regions.set(member.key, compiled);
    return compiled;
  }

  #place(state: SpaceState, group: Group, rip: number, run: RegionFunction): void {
    let slot = state.freeSlots.pop();
    if (slot === undefined) {
      slot = state.functions.length;
      state.functions.push(null);
      if (slot >= state.table.length) state.table.grow(state.table.length);
    }
    state.functions[slot] = run;
    state.table.set(slot, run);
    state.slots.set(rip, slot);
    state.translated.push(rip);
    group.entries.push({ rip, slot });
  }

  #watch(state: SpaceState, pages: readonly number[]): void {
    for (const page of pages) {
      state.space.markCode(page);
      if (!state.byPage.has(page)) state.byPage.set(page, new Set());
    }
  }

  // --- careful code ---

  /** Careful functions for the blocks, in one module; entries for all their instructions go to `cache`. */
  #compileCareful(state: SpaceState, blocks: readonly Block[], cache: Map<number, CarefulEntry>): void {
    const spans = blocks.flatMap((block) => [block.start, block.end]);
    const key = `careful${contentKey(state.space, blocks[0]!.start, spans)}`;
    let module = this.#modules.get(key);
    if (module === undefined) {
      const frame = moduleFrame();
      blocks.forEach((block, i) => {
        const code = frame.module.func(frame.regionType, 1024);
        translate(frame, code, singleBlock(block), true, new Map());
        frame.module.exportFunc(`f${i}`, code.index);
      });
      module = new WebAssembly.Module(frame.module.build());
      this.#modules.set(key, module);
    }
    const exports = new WebAssembly.Instance(module, state.imports).exports;
    blocks.forEach((block, i) => {
      const { pages } = singleBlock(block);
      const run = exports[`f${i}`] as RegionFunction;
      this.#watch(state, pages);
      block.insns.forEach((insn, index) => {
        if (!cache.has(insn.rip)) cache.set(insn.rip, { run, index, end: block.end, pages });
      });
    });
  }

  /** The careful code for the instruction at rip, if it can be fetched. */
  #carefulEntry(state: SpaceState, rip: number): CarefulEntry | undefined {
    const known = state.careful.get(rip);
    if (known !== undefined) return known;
    // All blocks of the region that gave up: what comes next is most likely one of them.
    const entry = this.#regionAround(state, rip);
    if (entry !== undefined) {
      this.#compileCareful(state, discover(state.space, entry).blocks, state.careful);
      const found = state.careful.get(rip);
      if (found !== undefined) return found;
    }
    const { blocks } = discoverBlock(state.space, rip, CAREFUL_LIMIT);
    if (blocks.length > 0) this.#compileCareful(state, blocks, state.careful);
    return state.careful.get(rip);
  }

  /** Entry of a translated region that has an instruction at rip. */
  #regionAround(state: SpaceState, rip: number): number | undefined {
    for (const group of state.byPage.get(rip >>> PAGE_SHIFT) ?? []) {
      for (const { entry, spans } of group.members) {
        for (let i = 0; i < spans.length; i += 2) if (rip >= spans[i]! && rip < spans[i + 1]!) return entry;
      }
    }
    return undefined;
  }

  /** Runs one instruction (one iteration of a REP instruction) and returns the next rip, or 0. */
  #single(state: SpaceState, rip: number): number {
    let code = state.single.get(rip);
    if (code === undefined) {
      const { blocks } = discoverBlock(state.space, rip, 1);
      if (blocks.length === 0) return this.#unfetchable(state);
      this.#compileCareful(state, blocks, state.single);
      code = state.single.get(rip)!;
    }
    state.inSingle = true;
    return code.run(0, rip) >>> 0;
  }

  /**
   * Import: the instruction at rip failed a check in normal code. Goes on with careful code in the place of the region
   * that gave up, until it returns or comes to where a region begins. Returns the next rip or 0; OFF_EXIT tells whether
   * it is for the region's caller (EXIT_RETURNED) or to be jumped to.
   */
  #slow(state: SpaceState, depth: number): number {
    const { u32 } = state;
    let rip = u32[OFF_RIP >> 2]!;
    for (let n = 0; n < CAREFUL_BLOCKS; n++) {
      const code = this.#carefulEntry(state, rip);
      if (code === undefined) return this.#unfetchable(state);
      state.inSingle = false;
      u32[OFF_EXIT >> 2] = EXIT_NONE;
      rip = code.run(code.index, rip) >>> 0;
      if (rip === 0 || u32[OFF_EXIT >> 2] === EXIT_RETURNED) return rip;
      if (u32[OFF_EXIT >> 2] === EXIT_CALLED) {
        if (depth < DEPTH_LIMIT) {
          const slot = this.#resolve(state, rip);
          if (slot === 0) return this.#unfetchable(state);
          // JavaScript frames are larger than those of regions.
          rip = state.functions[slot]!(depth + JS_DEPTH, rip) >>> 0;
        }
        if (rip !== code.end) {
          u32[OFF_EXIT >> 2] = rip === 0 ? u32[OFF_EXIT >> 2]! : EXIT_RETURNED;
          return rip;
        }
      }
      if (state.slots.has(rip)) break;
    }
    u32[OFF_EXIT >> 2] = EXIT_NONE;
    return rip;
  }

  /** Import: makes an access possible or raises #PF. `access`: size | write << 16; the address is in OFF_EXIT_ADDRESS. */
  #fix(state: SpaceState, access: number): number {
    const full = state.view.getBigUint64(REGISTER_FILE + OFF_EXIT_ADDRESS, true);
    const size = access & 0xffff;
    const write = access >>> 16 !== 0;
    let failed: bigint;
    if (full >= BigInt(USER_END)) {
      failed = full;
    } else {
      const address = Number(full);
      if (!state.inSingle && write && this.#touchesCode(state, address, size)) {
        // Regions on the wasm stack and the rest of this block may become stale: leave all of them before the store.
        state.alone = true;
        state.u32[OFF_EXIT >> 2] = EXIT_RESUME;
        return 1;
      }
      const first = state.space.resolve(address, size, write);
      if (first === -1) return 0;
      failed = BigInt(first);
    }
    const u32 = state.u32;
    u32[OFF_EXIT >> 2] = EXIT_FAULT;
    u32[OFF_EXIT_ERROR >> 2] = 0;
    if (failed >> 47n !== 0n && failed >> 47n !== 0x1ffffn) {
      // Not canonical (SDM vol. 1, 3.3.7.1).
      u32[OFF_EXIT_VECTOR >> 2] = VECTOR_GP;
      state.view.setBigUint64(REGISTER_FILE + OFF_EXIT_ADDRESS, 0n, true);
      return 1;
    }
    const present = failed < BigInt(USER_END) && state.space.isMapped(Number(failed));
    u32[OFF_EXIT_VECTOR >> 2] = VECTOR_PF;
    u32[OFF_EXIT_ERROR >> 2] = ERROR_USER | (write ? ERROR_WRITE : 0) | (present ? ERROR_PRESENT : 0);
    state.view.setBigUint64(REGISTER_FILE + OFF_EXIT_ADDRESS, failed, true);
    return 1;
  }

  #touchesCode(state: SpaceState, address: number, size: number): boolean {
    const pages = state.space.state;
    return ((pages[address >>> 12]! | pages[(address + size - 1) >>> 12]!) & STATE_CODE) !== 0;
  }

  #dropPages(state: SpaceState, first: number, count: number): void {
    for (const [page, groups] of [...state.byPage]) {
      if (page < first || page >= first + count) continue;
      for (const group of [...groups]) this.#dropGroup(state, group);
    }
    for (const cache of [state.careful, state.single]) {
      for (const [rip, code] of [...cache]) {
        if (code.pages.some((page) => page >= first && page < first + count)) cache.delete(rip);
      }
    }
  }

  #dropGroup(state: SpaceState, group: Group): void {
    for (const page of group.pages) state.byPage.get(page)?.delete(group);
    for (const { rip, slot } of group.entries) {
      state.slots.delete(rip);
      state.functions[slot] = null;
      state.table.set(slot, null);
      state.freeSlots.push(slot);
      const at = jumpCacheEntry(rip);
      if (state.view.getUint32(at, true) === rip) state.view.setUint32(at, 0, true);
    }
  }

  // --- the rest of VirtualCpu ---

  unload(space: AddressSpace): void {
    const state = this.#spaces.get(space);
    if (state?.loaded == null) return;
    canonicalFlags(state.loaded);
    state.loaded.unload();
    state.loaded = null;
  }

  drop(space: AddressSpace): void {
    this.unload(space);
    const state = this.#spaces.get(space);
    if (state !== undefined) {
      for (const groups of state.byPage.values()) for (const group of [...groups]) this.#dropGroup(state, group);
    }
    space.onCodeChange = null;
    this.#spaces.delete(space);
  }

  takeTranslated(space: AddressSpace): number[] {
    const state = this.#spaces.get(space);
    if (state === undefined) return [];
    const list = state.translated;
    state.translated = [];
    return list;
  }

  warm(space: AddressSpace, entries: readonly number[]): void {
    const state = this.#state(space);
    for (const rip of entries) if (space.isExecutable(rip)) this.#resolve(state, rip);
  }
}

/** The block as a region of its own. */
function singleBlock(block: Block): Region {
  const pages: number[] = [];
  for (let page = block.start >>> PAGE_SHIFT; page <= (block.end - 1) >>> PAGE_SHIFT; page++) pages.push(page);
  return { entry: block.start, blocks: [block], index: new Map(), pages, failure: null };
}

/** [start, end) of each block, flat. */
function spansOf(region: Region): number[] {
  return region.blocks.flatMap((block) => [block.start, block.end]);
}

/** The region's bytes and addresses: two spaces with the same get the same module. */
function contentKey(space: AddressSpace, entry: number, spans: readonly number[]): string {
  // Joined, not added up: a rope of single characters takes thirty times as much memory.
  const pieces = [entry.toString(16)];
  for (let i = 0; i < spans.length; i += 2) {
    const start = spans[i]!;
    pieces.push(`:${start.toString(16)}=`, String.fromCharCode(...space.u8.subarray(start, spans[i + 1]!)));
  }
  return pieces.join('');
}
