/** A CPU that stands in front of another: it decides how that one runs, and passes on everything else. */

import type { AddressSpace } from '../lvm/address-space.ts';
import type { CodeTier, CpuExit, VirtualCpu } from '../lvm/cpu.ts';
import type { Context } from '../x86/state.ts';

export abstract class ObservingCpu implements VirtualCpu {
  protected readonly cpu: VirtualCpu;
  /** Instructions of this run before the one of the CPU behind that is in progress, or was the last. */
  protected before = 0;

  constructor(cpu: VirtualCpu) {
    this.cpu = cpu;
  }

  get retired(): number {
    return this.before + this.cpu.retired;
  }

  abstract run(space: AddressSpace, context: Context, budget: number, exact: boolean): CpuExit;

  unload(space: AddressSpace): void {
    this.cpu.unload(space);
  }

  drop(space: AddressSpace): void {
    this.cpu.drop(space);
  }

  takeTranslated(space: AddressSpace): number[] {
    return this.cpu.takeTranslated(space);
  }

  warm(space: AddressSpace, entries: readonly number[]): void {
    this.cpu.warm(space, entries);
  }

  tierAt(space: AddressSpace, rip: number): CodeTier {
    return this.cpu.tierAt(space, rip);
  }
}
