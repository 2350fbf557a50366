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
}

/** Returns 0, or `raise(machine, vector)` having changed nothing. `arg` is the lowering's. */
export type Helper = (machine: Machine, arg: number) => number;
export type HelperName = string;

const names = new Map<string, number>();
const helpers: Helper[] = [];

/** Adds a helper; call it at a module's top level. */
export function registerHelper(name: HelperName, helper: Helper): void {
  if (names.has(name)) throw new Error(`helper ${name} registered twice`);
  names.set(name, helpers.length);
  helpers.push(helper);
}

export function helperId(name: HelperName): number {
  const id = names.get(name);
  if (id === undefined) throw new Error(`no helper ${name}`);
  return id;
}

export function runHelper(id: number, machine: Machine, arg: number): number {
  return helpers[id]!(machine, arg);
}

/** Ends a helper with an exception at the instruction. */
export function raise(machine: Machine, vector: number): number {
  machine.view.setUint32(REGISTER_FILE + OFF_EXIT, EXIT_FAULT, true);
  machine.view.setUint32(REGISTER_FILE + OFF_EXIT_VECTOR, vector, true);
  machine.view.setBigUint64(REGISTER_FILE + OFF_EXIT_ADDRESS, 0n, true);
  machine.view.setUint32(REGISTER_FILE + OFF_EXIT_ERROR, 0, true);
  return 1;
}
