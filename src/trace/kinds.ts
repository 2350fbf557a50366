/** What can be traced, apart from what does it: the command line reads this alone. */

/** In the order in which help shows them. */
export const TRACE_KINDS = ['syscalls'] as const;
export type TraceKind = (typeof TRACE_KINDS)[number];
