/**
 * What translated code calls in JavaScript: helpers by name. All guest state is in the register file when one runs.
 * Deterministic: a helper reads nothing but the machine that it is given.
 */

import type { AddressSpace } from '../lvm/address-space.ts';
import type { CpuEnvironment } from '../lvm/cpu.ts';
import { REGISTER_FILE } from '../lvm/layout.ts';
import { EXIT_FAULT, OFF_EXIT, OFF_EXIT_ADDRESS, OFF_EXIT_ERROR, OFF_EXIT_VECTOR } from './state.ts';

export interface Machine {
  readonly space: AddressSpace;
  /** The whole memory; a register-file field is at REGISTER_FILE + OFF_…. */
  readonly view: DataView;
  readonly environment: CpuEnvironment;
  /** Behind a SYSCALL, the budget being in the register file too: 0 to go on, 1 to leave, OFF_EXIT telling why. */
  readonly systemCall: () => number;
}

/** Returns 0, or `raise(machine, vector)` having changed nothing (for `callBehind` see there). `arg` is the lowering's. */
export type Helper = (machine: Machine, arg: number) => number;
export type HelperName = string;

const helpers = new Map<HelperName, Helper>();
/** The helpers by number, once the first number was asked for. */
let numbered: { readonly ids: ReadonlyMap<HelperName, number>; readonly list: readonly Helper[] } | null = null;

/** Adds a helper; call it at a module's top level. */
export function registerHelper(name: HelperName, helper: Helper): void {
  if (helpers.has(name) || numbered !== null) throw new Error(`helper ${name} registered twice or too late`);
  helpers.set(name, helper);
}

/** Numbers are in translated code that is kept, so they must not depend on the order in which modules are loaded. */
function number() {
  if (numbered === null) {
    const names = [...helpers.keys()].sort();
    numbered = { ids: new Map(names.map((name, id) => [name, id])), list: names.map((name) => helpers.get(name)!) };
  }
  return numbered;
}

export function helperId(name: HelperName): number {
  const id = number().ids.get(name);
  if (id === undefined) throw new Error(`no helper ${name}`);
  return id;
}

export function runHelper(id: number, machine: Machine, arg: number): number {
  return number().list[id]!(machine, arg);
}

/** Ends a helper with an exception at the instruction. */
export function raise(machine: Machine, vector: number): number {
  machine.view.setUint32(REGISTER_FILE + OFF_EXIT, EXIT_FAULT, true);
  machine.view.setUint32(REGISTER_FILE + OFF_EXIT_VECTOR, vector, true);
  machine.view.setBigUint64(REGISTER_FILE + OFF_EXIT_ADDRESS, 0n, true);
  machine.view.setUint32(REGISTER_FILE + OFF_EXIT_ERROR, 0, true);
  return 1;
}
