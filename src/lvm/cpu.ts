/**
 * The virtual CPU as the library OS sees it. x86/ implements it by translating guest code to WebAssembly.
 */

import type { Context } from '../x86/state.ts';
import type { AddressSpace } from './address-space.ts';

export type CpuExit =
  | { readonly kind: 'budget' }
  /** A SYSCALL instruction was retired: rip is behind it, rcx and r11 are set as the SDM says. */
  | { readonly kind: 'syscall' }
  /** As 'syscall', but `CpuEnvironment.systemCall` has done what was asked for. */
  | { readonly kind: 'done' }
  /** An exception; rip and all registers are as of the faulting instruction (traps: #BP, #DB: behind it). */
  | {
      readonly kind: 'fault';
      /** VECTOR_* of x86/state.ts. */
      readonly vector: number;
      /** For #PF: the address. A bigint because it may be any 64-bit value. */
      readonly address: bigint;
      /** For #PF: the SDM's error code (bit 0 present, bit 1 write, bit 4 fetch). */
      readonly error: number;
    };

/** See `takeTranslated`; larger than any address. */
export const ENTRY_KIND = 2 ** 32;

/** What there is to run at an address: nothing but the interpreter's, a translation, a better one (x86/code-group.ts). */
export type CodeTier = 'interpreted' | 'translated' | 'hot';

export interface VirtualCpu {
  /**
   * Runs `context` in `space` until an exit. At least one instruction is retired unless the exit is a fault. `budget` is
   * in guest instructions: with `exact` the run stops after exactly that many (when nothing else stops it), without it
   * at the first convenient instruction boundary at or after that many.
   */
  run(space: AddressSpace, context: Context, budget: number, exact: boolean): CpuExit;

  /** Instructions retired by the last `run`; in `CpuEnvironment.systemCall`, by the one in progress so far. */
  readonly retired: number;

  /** Brings the loaded context (if any) of `space` back into its own buffer: before the space is captured or dropped. */
  unload(space: AddressSpace): void;

  /** Forgets everything about a space that will not run again. */
  drop(space: AddressSpace): void;

  /**
   * What was translated since the last call, for a backup to translate ahead of a failover: addresses plus
   * ENTRY_KIND × a number that only the CPU understands.
   */
  takeTranslated(space: AddressSpace): number[];

  /** Translates ahead of time what another CPU has translated; where nothing is executable (any more) nothing is done. */
  warm(space: AddressSpace, entries: readonly number[]): void;

  /** The best code that there is for an address now. For profiles. */
  tierAt(space: AddressSpace, rip: number): CodeTier;
}

/** What the CPU asks of the machine around it. */
export interface CpuEnvironment {
  /** The time-stamp counter: virtual time, not the host's. */
  readTsc(): bigint;
  /**
   * A SYSCALL instruction was retired, and all is as when a run exits for one: what is asked for may be done now. 'undone': it
   * was not, and the run exits; 'done': it goes on at rip; 'leave': it exits by 'done'. Where it does this shows in nothing
   * that the guest does: a run that has used up its budget ends here in any case. Without it all calls are 'undone'.
   */
  systemCall?(): 'undone' | 'done' | 'leave';
}
