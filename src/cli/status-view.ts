/** `status` for people: the same figures as `status --json`, a line each. */

import { table } from './output.ts';
import type { Percentiles } from './supervisor.ts';

export function microseconds(value: number | null | undefined): string {
  if (value === null || value === undefined) return '-';
  if (value < 1000) return `${value.toFixed(0)} µs`;
  return value < 1_000_000 ? `${(value / 1000).toFixed(1)} ms` : `${(value / 1_000_000).toFixed(2)} s`;
}

export function bytes(value: number | null | undefined): string {
  if (value === null || value === undefined) return '-';
  if (value < 1024) return `${value} B`;
  if (value < 2 ** 20) return `${(value / 1024).toFixed(1)} KiB`;
  return value < 2 ** 30 ? `${(value / 2 ** 20).toFixed(1)} MiB` : `${(value / 2 ** 30).toFixed(2)} GiB`;
}

export function percentiles(value: Percentiles | null | undefined): string {
  if (value === null || value === undefined) return '-';
  return `p50 ${microseconds(value.p50)}, p99 ${microseconds(value.p99)}, max ${microseconds(value.max)}`;
}

/** Names padded, values beside them. */
export function facts(rows: readonly (readonly [name: string, value: string | number])[]): string {
  return table(
    ['', ''],
    rows.map(([name, value]) => [name, String(value)]),
  ).slice(1);
}
