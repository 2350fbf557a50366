/** Lowerings of the SSE, SSE2 and MMX instructions, by mnemonic. */

import { addPackedLowerings } from './lower-sse-int.ts';
import { addMoveLowerings } from './lower-sse-move.ts';
import { addShuffleLowerings } from './lower-sse-shuffle.ts';
import type { Lowering } from './lowering.ts';

export const sseLowerings = new Map<string, Lowering>();

addMoveLowerings(sseLowerings);
addPackedLowerings(sseLowerings);
addShuffleLowerings(sseLowerings);
