/** What can be traced, apart from what does it: the command line reads this alone. */

/** In the order in which help shows them. `registers`: instructions with what they have changed. */
export const TRACE_KINDS = ['syscalls', 'blocks', 'instructions', 'registers'] as const;
export type TraceKind = (typeof TRACE_KINDS)[number];
