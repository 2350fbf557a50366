/** A CPU that stands in front of another: it decides how that one runs, and passes on everything else. */

import type { AddressSpace } from '../lvm/address-space.ts';
import type { CodeTier, CpuExit, VirtualCpu } from '../lvm/cpu.ts';
import type { Context } from '../x86/state.ts';

export abstract class ObservingCpu implements VirtualCpu {
  retired = 0;
  protected readonly cpu: VirtualCpu;

  constructor(cpu: VirtualCpu) {
    this.cpu = cpu;
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
