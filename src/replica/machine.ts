/**
 * The machine that a replica runs: a library OS with its virtual CPU, made new or from a shadow. src/linux/kernel.ts is
 * the one there is; tests have a small one of their own.
 */

import type { Capturable } from '../checkpoint/capture.ts';
import type { AddressSpace } from '../lvm/address-space.ts';
import type { Guest, Lvm } from '../lvm/api.ts';
import type { CpuEnvironment, VirtualCpu } from '../lvm/cpu.ts';

export interface MachineDeps {
  readonly lvm: Lvm;
  readonly makeCpu: (environment: CpuEnvironment) => VirtualCpu;
}

export interface BootOptions {
  /** Guest path. */
  readonly program: string;
  /** argv[1…]. */
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  /** Bytes. */
  readonly memoryLimit: number;
}

/** What a restored machine is made of: a shadow's. */
export interface MachineState {
  readonly spaces: ReadonlyMap<number, AddressSpace>;
  readonly parts: ReadonlyMap<string, Uint8Array>;
  readonly instructions: number;
}

export interface Machine extends Guest, Capturable {
  /** After a take-over: what was in flight is lost. */
  resync(): void;
  /** Standard input that the guest was given and has not read. */
  readonly consoleInput: { readonly available: number };
  /** What made a guest process dump core, the last time since this machine was made. */
  readonly lastCrash: string | null;
  /** Name → count; part of the state. */
  readonly unimplementedCalls: ReadonlyMap<string, number>;
}

export interface MachineFactory {
  /** Throws errors that carry a TG_ code where the program can not be run. */
  boot(deps: MachineDeps, options: BootOptions): Machine;
  restore(deps: MachineDeps, state: MachineState): Machine;
}
