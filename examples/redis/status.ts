/** `tardigrade status --json` of a service, as the demo, the benchmark and the tests read it. */

import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const execute = promisify(execFile);
export const CLI = fileURLToPath(new URL('../../bin/tardigrade.js', import.meta.url));

export interface ReplicaStatus {
  readonly role: string;
  readonly pid: number;
}

export interface Percentiles {
  readonly p50: number | null;
  readonly p99: number | null;
  readonly max: number | null;
}

/** Of all that status says, what is used here. */
export interface ServiceStatus {
  readonly id: string;
  /** Of `tardigrade run`. */
  readonly pid: number;
  readonly view: number;
  /** At least one backup holds everything the primary released. */
  readonly protected: boolean;
  readonly gateway: { readonly pid: number } | null;
  readonly replicas: readonly ReplicaStatus[];
  readonly pauseUs: Percentiles | null;
  readonly commitUs: Percentiles | null;
  readonly bytesPerEpoch: Percentiles | null;
  readonly journal: { readonly bytes: number; readonly durableEpoch: number | null } | null;
}

/** `id` as `tardigrade ps` shows it; without one, the only service there is. */
export async function statusOf(id?: string): Promise<ServiceStatus> {
  const { stdout } = await execute(process.execPath, [CLI, 'status', ...(id === undefined ? [] : [id]), '--json']);
  return JSON.parse(stdout) as ServiceStatus;
}

/** Resident memory of a process in MiB; 0 if it is gone. Source: proc(5), VmRSS. */
export function rssMiB(pid: number): number {
  try {
    const match = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
    return match === null ? 0 : Number(match[1]) / 1024;
  } catch {
    return 0;
  }
}
