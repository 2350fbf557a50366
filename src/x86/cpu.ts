/**
 * The translating virtual CPU: runs a context until it exits, with exact counts. What it runs is in space-code.ts; where
 * that comes from is translations.ts.
 */

import type { AddressSpace } from '../lvm/address-space.ts';
import { type CodeTier, type CpuEnvironment, type CpuExit, ENTRY_KIND, type VirtualCpu } from '../lvm/cpu.ts';
import { REGISTER_FILE, USER_END } from '../lvm/layout.ts';
import { EXIT_KIND_CALL, EXIT_KIND_CHAIN, EXIT_KIND_FORWARD, EXIT_KIND_RETURN, EXIT_KIND_SLOW } from './calling.ts';
import { type CodeGroup, KIND_HOT } from './code-group.ts';
import { canonicalFlags } from './flags.ts';
import { fetch, isFailure, REGION_LIMIT } from './region.ts';
import { ERROR_FETCH, ERROR_PRESENT, ERROR_USER, isCanonical, Repair } from './repair.ts';
import { isStackAccess } from './segment.ts';
import { SpaceCode } from './space-code.ts';
import {
  type Context,
  EXIT_BUDGET,
  EXIT_DONE,
  EXIT_FAULT,
  EXIT_FETCH,
  EXIT_STALE,
  EXIT_SYSCALL,
  OFF_BUDGET,
  OFF_BUDGET_FLOORS,
  OFF_EXIT,
  OFF_EXIT_ADDRESS,
  OFF_EXIT_ERROR,
  OFF_EXIT_VECTOR,
  OFF_RIP,
  VECTOR_GP,
  VECTOR_PF,
  VECTOR_SS,
  VECTOR_UD,
} from './state.ts';
import { type Machine, runHelper } from './support.ts';
import { isImplemented } from './translate.ts';
import { Translations } from './translations.ts';

/** Instructions after which wasm is left and entered again: V8 replaces baseline code only at a function's entry. */
const SLICE = 1 << 18;
/** More than any path of an exact run without a budget check. */
const SLACK = REGION_LIMIT + 64;
/** By how many instructions a run must be overdue before it stops at a return. */
const RETURN_GRACE = 1 << 16;
/** A region costs about as much as running it so often by the interpreter. */
const OFTEN = 200;
/** Below any budget. */
const NEVER = -(1n << 63n);

/** An address space as this CPU runs it. */
interface GuestSpace extends Machine {
  readonly u32: Uint32Array;
  readonly code: SpaceCode;
  readonly repair: Repair;
  /** Of Translations.users. */
  readonly move: (moved: ReadonlySet<CodeGroup>) => void;
  /** Budget of the run, and what of it is beyond the slice in OFF_BUDGET. */
  total: number;
  later: number;
  /** Translated code was dropped since this was last cleared. */
  codeChanged: boolean;
  /** What OFF_BUDGET_FLOORS is set for. */
  exact: boolean | null;
  loaded: Context | null;
}

export class TranslatingCpu implements VirtualCpu {
  retired = 0;
  /** What raised #UD for want of an implementation: mnemonic or bytes → count. */
  readonly unimplemented = new Map<string, number>();
  readonly #environment: CpuEnvironment;
  readonly #translations: Translations;
  readonly #spaces = new Map<AddressSpace, GuestSpace>();

  readonly #often: number;

  /** CPUs may share their translations. `often`: how many times code is interpreted before it is translated. */
  constructor(environment: CpuEnvironment, translations = new Translations(), often = OFTEN) {
    this.#environment = environment;
    this.#translations = translations;
    this.#often = often;
  }

  run(space: AddressSpace, context: Context, budget: number, exact: boolean): CpuExit {
    const guest = this.#guest(space);
    if (guest.loaded !== context) {
      if (guest.loaded !== null) this.unload(space);
      context.load(space.memory.buffer);
      guest.loaded = context;
    }
    const base = exact ? budget - SLACK : budget;
    guest.total = base;
    guest.later = Math.max(0, base - SLICE);
    setBudget(guest, base - guest.later);
    setFloors(guest, exact);
    const exit = this.#loop(guest, exact ? SLACK : 0);
    this.retired = retired(guest);
    return exit;
  }

  /** `tail`: the instructions at the end of an exact run that are run with care. */
  #loop(guest: GuestSpace, tail: number): CpuExit {
    const { u32, code, repair } = guest;
    let mayStop = tail > 0;
    for (;;) {
      const left = refill(guest);
      if (left <= -tail && mayStop) return { kind: 'budget' };
      mayStop = tail > 0;
      const high = u32[(OFF_RIP >> 2) + 1]!;
      let rip = u32[OFF_RIP >> 2]!;
      if (high !== 0 || rip >= USER_END || rip === 0) return this.#fetchFault(guest);
      if (code.interpreter.isFull) code.interpreter.clear();
      if (repair.alone || (tail > 0 && left <= 0)) {
        const most = repair.alone ? 1 : left + tail;
        repair.alone = false;
        repair.isAlone = true;
        rip = code.singles(rip, most);
        repair.isAlone = false;
      } else {
        do {
          const found = code.resolve(rip);
          if (found === 0) {
            u32[OFF_RIP >> 2] = rip;
            u32[(OFF_RIP >> 2) + 1] = 0;
            return this.#fetchFault(guest);
          }
          rip = code.call(found, rip);
        } while (rip !== 0);
      }
      if (rip !== 0) continue;
      switch (u32[OFF_EXIT >> 2]) {
        case EXIT_SYSCALL:
          return { kind: 'syscall' };
        case EXIT_DONE:
          return { kind: 'done' };
        case EXIT_FAULT:
          return this.#fault(guest);
        case EXIT_FETCH:
          return this.#fetchFault(guest);
        case EXIT_BUDGET:
          mayStop = true;
          code.sample(u32[OFF_RIP >> 2]!);
          continue;
        case EXIT_STALE:
          mayStop = true;
          continue;
        default:
          // EXIT_RESUME: as the loop's head says.
          continue;
      }
    }
  }

  /** Of Machine. What is on the wasm stack must not go on when code of it was changed. */
  #systemCall(guest: GuestSpace): number {
    this.retired = retired(guest);
    guest.codeChanged = false;
    const result = this.#environment.systemCall?.() ?? 'undone';
    if (result === 'done' && !guest.codeChanged) return 0;
    guest.u32[OFF_EXIT >> 2] = result === 'done' ? EXIT_STALE : result === 'leave' ? EXIT_DONE : EXIT_SYSCALL;
    return 1;
  }

  #fault(guest: GuestSpace): CpuExit {
    const { u32, view, space } = guest;
    const vector = u32[OFF_EXIT_VECTOR >> 2]!;
    if (vector === VECTOR_SS) {
      const address = view.getBigUint64(REGISTER_FILE + OFF_EXIT_ADDRESS, true);
      const insn = fetch(space, u32[OFF_RIP >> 2]!);
      const stack = !isFailure(insn) && isStackAccess(insn, guest.loaded!, address);
      return { kind: 'fault', vector: stack ? VECTOR_SS : VECTOR_GP, address: 0n, error: 0 };
    }
    if (vector === VECTOR_UD) this.#countUndefined(space, u32[OFF_RIP >> 2]!);
    return {
      kind: 'fault',
      vector,
      address: view.getBigUint64(REGISTER_FILE + OFF_EXIT_ADDRESS, true),
      error: u32[OFF_EXIT_ERROR >> 2]!,
    };
  }

  /** The exception that fetching the instruction at rip raises. */
  #fetchFault({ view, space }: GuestSpace): CpuExit {
    const full = view.getBigUint64(REGISTER_FILE + OFF_RIP, true);
    let address = full;
    if (full < BigInt(USER_END)) {
      const result = fetch(space, Number(full));
      if (isFailure(result)) {
        if (result.kind === 'fetch') address = BigInt(result.address);
        else {
          if (result.kind === 'undefined') this.#countUndefined(space, Number(full));
          return { kind: 'fault', vector: result.kind === 'undefined' ? VECTOR_UD : VECTOR_GP, address: 0n, error: 0 };
        }
      }
    } else if (!isCanonical(full)) {
      return { kind: 'fault', vector: VECTOR_GP, address: 0n, error: 0 };
    }
    const present = address < BigInt(USER_END) && space.isPresent(Number(address));
    const error = ERROR_FETCH | ERROR_USER | (present ? ERROR_PRESENT : 0);
    return { kind: 'fault', vector: VECTOR_PF, address, error };
  }

  #countUndefined(space: AddressSpace, rip: number): void {
    const insn = fetch(space, rip);
    let key: string;
    if (isFailure(insn)) {
      key = [...space.u8.subarray(rip, rip + 8)].map((b) => b.toString(16).padStart(2, '0')).join('');
    } else if (isImplemented(insn)) {
      return;
    } else {
      key = insn.op;
    }
    this.unimplemented.set(key, (this.unimplemented.get(key) ?? 0) + 1);
  }

  #guest(space: AddressSpace): GuestSpace {
    const known = this.#spaces.get(space);
    if (known !== undefined) return known;
    const u32 = new Uint32Array(space.memory.buffer, REGISTER_FILE, 256);
    const systemCall = (): number => this.#systemCall(guest);
    const machine: Machine = { space, view: space.view, environment: this.#environment, systemCall };
    const translations = this.#translations;
    const repair = new Repair(machine, u32);
    const imports = {
      fix: (access: number) => repair.fix(access),
      helper: (id: number, arg: number) => runHelper(id, machine, arg),
    };
    const code = new SpaceCode(space, translations, imports, this.#often);
    const move = (moved: ReadonlySet<CodeGroup>): void => code.move(moved);
    translations.users.add(move);
    const run = { total: 0, later: 0, codeChanged: false, exact: null, loaded: null };
    const guest: GuestSpace = { ...machine, u32, code, repair, move, ...run };
    this.#spaces.set(space, guest);
    space.onCodeChange = (first, count) => {
      guest.codeChanged = true;
      code.dropPages(first, count);
    };
    return guest;
  }

  unload(space: AddressSpace): void {
    const guest = this.#spaces.get(space);
    if (guest?.loaded == null) return;
    canonicalFlags(guest.loaded);
    guest.loaded.unload();
    guest.loaded = null;
  }

  drop(space: AddressSpace): void {
    this.unload(space);
    const guest = this.#spaces.get(space);
    if (guest === undefined) return;
    guest.code.close();
    this.#translations.users.delete(guest.move);
    space.onCodeChange = null;
    this.#spaces.delete(space);
  }

  takeTranslated(space: AddressSpace): number[] {
    return this.#spaces.get(space)?.code.takeTranslated() ?? [];
  }

  warm(space: AddressSpace, entries: readonly number[]): void {
    const { code } = this.#guest(space);
    for (const entry of entries) {
      const rip = entry % ENTRY_KIND;
      // A loop is made of what its jumps have done, which is not known here: it is found in the store, or becomes hot once it runs.
      if (space.isExecutable(rip)) code.warm(rip, Math.floor(entry / ENTRY_KIND) === KIND_HOT);
    }
  }

  tierAt(space: AddressSpace, rip: number): CodeTier {
    return this.#spaces.get(space)?.code.tierAt(rip) ?? 'interpreted';
  }
}

// --- budget: an i64 that fits a number ---

function getBudget({ view }: GuestSpace): number {
  const at = REGISTER_FILE + OFF_BUDGET;
  return view.getInt32(at + 4, true) * 4294967296 + view.getUint32(at, true);
}

function setBudget({ view }: GuestSpace, budget: number): void {
  const at = REGISTER_FILE + OFF_BUDGET;
  view.setUint32(at, budget >>> 0, true);
  view.setInt32(at + 4, Math.floor(budget / 4294967296), true);
}

/** Instructions of the run so far. */
function retired(guest: GuestSpace): number {
  return guest.total - getBudget(guest) - guest.later;
}

/** Makes the next slice of the budget available when one is used up. Returns what is. */
function refill(guest: GuestSpace): number {
  let left = getBudget(guest);
  while (left <= 0 && guest.later > 0) {
    const slice = Math.min(guest.later, SLICE);
    guest.later -= slice;
    left += slice;
    setBudget(guest, left);
  }
  return left;
}

/** Where code may stop (translate.ts). An exact run stops anywhere and goes on instruction by instruction. */
function setFloors(guest: GuestSpace, exact: boolean): void {
  if (guest.exact === exact) return;
  guest.exact = exact;
  const set = (kind: number, floor: bigint): void => {
    guest.view.setBigInt64(REGISTER_FILE + OFF_BUDGET_FLOORS + 8 * kind, floor, true);
  };
  set(EXIT_KIND_RETURN, exact ? 0n : -BigInt(RETURN_GRACE));
  set(EXIT_KIND_CALL, 0n);
  set(EXIT_KIND_CHAIN, 0n);
  set(EXIT_KIND_FORWARD, exact ? 0n : NEVER);
  set(EXIT_KIND_SLOW, NEVER);
}
