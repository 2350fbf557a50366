/** Lowerings of the x87 instructions, by mnemonic; FXSAVE and FXRSTOR too. */

import { addArithmeticLowerings } from './lower-x87-arithmetic.ts';
import { addControlLowerings } from './lower-x87-control.ts';
import { addLoadLowerings } from './lower-x87-load.ts';
import { addRegisterLowerings } from './lower-x87-register.ts';
import { addStoreLowerings } from './lower-x87-store.ts';
import { addTranscendentalLowerings } from './lower-x87-transcendental.ts';
import type { Lowering } from './lowering.ts';

export const x87Lowerings = new Map<string, Lowering>();

addLoadLowerings(x87Lowerings);
addStoreLowerings(x87Lowerings);
addRegisterLowerings(x87Lowerings);
addArithmeticLowerings(x87Lowerings);
addControlLowerings(x87Lowerings);
addTranscendentalLowerings(x87Lowerings);
