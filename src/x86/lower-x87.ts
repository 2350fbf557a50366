/** Lowerings of the X87 instructions, by mnemonic. */

import type { Lowering } from './lowering.ts';

export const x87Lowerings = new Map<string, Lowering>();
