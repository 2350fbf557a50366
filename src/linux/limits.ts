/** Resource limits (getrlimit(2)). They are kept and shown; RLIMIT_NOFILE, RLIMIT_STACK and RLIMIT_CORE are what programs look at. */

export const RLIMIT_STACK = 3;
export const RLIMIT_CORE = 4;
export const RLIMIT_NOFILE = 7;
export const RLIMIT_COUNT = 16;

/** [soft, hard] by RLIMIT_* number; null: unlimited. */
export type Limits = [number | null, number | null][];

const DEFAULTS: Readonly<Record<number, readonly [number | null, number | null]>> = {
  [RLIMIT_STACK]: [8 << 20, null],
  [RLIMIT_CORE]: [0, null],
  /** RLIMIT_NPROC, RLIMIT_SIGPENDING */
  6: [32768, 32768],
  11: [4096, 4096],
  [RLIMIT_NOFILE]: [1024, 1048576],
  /** RLIMIT_MEMLOCK, RLIMIT_MSGQUEUE, RLIMIT_NICE, RLIMIT_RTPRIO */
  8: [8 << 20, 8 << 20],
  12: [819200, 819200],
  13: [0, 0],
  14: [0, 0],
};

export function defaultLimits(): Limits {
  return Array.from({ length: RLIMIT_COUNT }, (_, i) => [...(DEFAULTS[i] ?? [null, null])] as Limits[number]);
}

export function copyLimits(limits: Readonly<Limits>): Limits {
  return limits.map(([soft, hard]) => [soft, hard]);
}
