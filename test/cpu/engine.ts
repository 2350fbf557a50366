/** The virtual CPU under test. */

import { TranslatingCpu } from '../../src/x86/cpu.ts';
import { arithmeticFlags } from '../../src/x86/flags.ts';
import { GuestCpu } from './guest.ts';

export function newGuestCpu(): GuestCpu {
  return new GuestCpu(new TranslatingCpu({ readTsc: () => 0n }), 1, arithmeticFlags);
}
