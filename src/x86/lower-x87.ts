/** Lowerings of the x87 instructions, by mnemonic; FXSAVE and FXRSTOR too. */

import { addArithmeticLowerings } from './lower-x87-arithmetic.ts';
import { addControlLowerings } from './lower-x87-control.ts';
import { addMoveLowerings } from './lower-x87-move.ts';
import { addTranscendentalLowerings } from './lower-x87-transcendental.ts';
import type { Lowering } from './lowering.ts';

export const x87Lowerings = new Map<string, Lowering>();

addMoveLowerings(x87Lowerings);
addArithmeticLowerings(x87Lowerings);
addControlLowerings(x87Lowerings);
addTranscendentalLowerings(x87Lowerings);
