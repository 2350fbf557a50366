/** Lowerings of the SSE instructions, by mnemonic. */

import type { Lowering } from './lowering.ts';

export const sseLowerings = new Map<string, Lowering>();
