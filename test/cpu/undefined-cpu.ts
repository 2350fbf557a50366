/**
 * A CPU in front of the virtual one, run in exact steps of one instruction, that notices where code that was jumped into the
 * middle of (a return address that the case itself has changed) reads flags which an instruction has left undefined, or ends with
 * some. The generator sees to it that the code as it was made does not, and knows which those are.
 */

import type { AddressSpace } from '../../src/lvm/address-space.ts';
import type { CpuExit, VirtualCpu } from '../../src/lvm/cpu.ts';
import { ObservingCpu } from '../../src/trace/observing-cpu.ts';
import { fetch, isFailure } from '../../src/x86/region.ts';
import type { Context } from '../../src/x86/state.ts';

export class UndefinedCpu extends ObservingCpu {
  readonly #isInstruction: (rip: number) => boolean;
  #undefined = 0;
  #inMiddle = false;
  #hasRead = false;

  /** `isInstruction`: one of the code as it was made begins there. */
  constructor(cpu: VirtualCpu, isInstruction: (rip: number) => boolean) {
    super(cpu);
    this.#isInstruction = isInstruction;
  }

  /** After a jump into the middle of an instruction: flags were read that nothing had defined, or nothing defines these. */
  leavesOpen(flags: number): boolean {
    return this.#inMiddle && (this.#hasRead || (flags !== 0 && (flags & ~this.#undefined) === 0));
  }

  run(space: AddressSpace, context: Context): CpuExit {
    const insn = fetch(space, context.rip);
    if (!isFailure(insn)) {
      this.#inMiddle ||= !this.#isInstruction(context.rip);
      this.#hasRead ||= (insn.flagsRead & this.#undefined) !== 0;
    }
    const exit = this.cpu.run(space, context, 1, true);
    if (!isFailure(insn) && exit.kind !== 'fault') {
      this.#undefined = (this.#undefined & ~insn.flagsWritten) | insn.flagsUndefined;
    }
    return exit;
  }
}
