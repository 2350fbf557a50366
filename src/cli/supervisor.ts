/** What the command line needs of a running service; src/supervisor/control.ts provides it. */

import type { RunRequest } from './run-options.ts';
import type { Named } from './services.ts';

/** p50, p99 and max of the last few thousand; null when nothing was measured yet. */
export interface Percentiles {
  readonly p50: number | null;
  readonly p99: number | null;
  readonly max: number | null;
}

export interface ReplicaStatus {
  readonly role: string;
  readonly pid: number;
}

export interface ServiceStatus extends Named {
  readonly program: string;
  readonly publish: readonly string[];
  readonly view: number;
  /** At least one backup holds everything the primary released. */
  readonly protected: boolean;
  readonly gateway: { readonly pid: number } | null;
  readonly replicas: readonly ReplicaStatus[];
  readonly epochs: number;
  readonly pauseUs: Percentiles | null;
  readonly commitUs: Percentiles | null;
  readonly dirtyPagesPerEpoch: Percentiles | null;
  readonly bytesPerEpoch: Percentiles | null;
  readonly heldPackets: number;
  /** What is kept in the data directory: size, last epoch that is there for good, time of a sync. Null: nothing is kept. */
  readonly journal: {
    readonly folder: string;
    readonly bytes: number;
    readonly durableEpoch: number | null;
    readonly syncUs: Percentiles | null;
  } | null;
  /** System calls that were answered ENOSYS, by name. */
  readonly unimplemented: Readonly<Record<string, number>>;
}

/** How the guest's first process ended. */
export interface Ended {
  readonly code: number | null;
  readonly signal: number | null;
}

export interface Supervisor {
  /** Runs until the guest ends or `stop` is called; SIGINT and SIGTERM go to the guest. */
  run(request: RunRequest): Promise<Ended>;
  list(): Promise<ServiceStatus[]>;
  failover(id: string): Promise<ServiceStatus>;
  stop(id: string): Promise<void>;
}

/** Loaded when it is wanted: help and version need none of it. */
export async function supervisor(): Promise<Supervisor> {
  return import('../supervisor/control.ts');
}
