/**
 * A CPU in front of the virtual one, run in exact steps of one instruction, that sets MXCSR's sticky flags also where they are not
 * followed. What the virtual CPU does otherwise than the host's and this one does not, is for want of these flags.
 */

import type { AddressSpace } from '../../src/lvm/address-space.ts';
import type { CpuExit } from '../../src/lvm/cpu.ts';
import { ObservingCpu } from '../../src/trace/observing-cpu.ts';
import { fetch, isFailure } from '../../src/x86/region.ts';
import { type Context, MXCSR_EXACT, OFF_MXCSR } from '../../src/x86/state.ts';

/** They store MXCSR as it stands in the register file. */
const READ_MXCSR = /^(stmxcsr|fxsave)/;

export class StickyCpu extends ObservingCpu {
  run(space: AddressSpace, context: Context): CpuExit {
    const insn = fetch(space, context.rip);
    if (!isFailure(insn) && !READ_MXCSR.test(insn.op)) context.u32[OFF_MXCSR >> 2]! |= MXCSR_EXACT;
    const exit = this.cpu.run(space, context, 1, true);
    context.u32[OFF_MXCSR >> 2]! &= ~MXCSR_EXACT;
    return exit;
  }
}
