/**
 * One measurement with redis-benchmark: operations a second and latency percentiles. redis-benchmark is a C program, so
 * that the client costs little of what is measured.
 */

import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { nativeEnvironment, type Packages, programPath } from './packages.ts';

const execute = promisify(execFile);

export interface Load {
  readonly tests: readonly string[];
  readonly requests: number;
  readonly clients: number;
  readonly pipeline: number;
}

export interface Measured {
  readonly test: string;
  readonly opsPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

/** Runs redis-benchmark against 127.0.0.1:port. Throws if it says or implies that a request failed. */
export async function redisBenchmark(
  packages: Packages,
  port: number,
  load: Load,
  timeoutMs = 300_000,
): Promise<Measured[]> {
  const program = programPath(packages, 'redis-benchmark');
  if (program === null) throw new Error('redis-benchmark is not there; install redis-tools');
  const args = [
    ...['-h', '127.0.0.1', '-p', String(port), '--csv'],
    ...['-n', String(load.requests), '-c', String(load.clients), '-P', String(load.pipeline)],
    ...['-t', load.tests.join(',')],
  ];
  const { stdout, stderr } = await execute(program, args, {
    env: nativeEnvironment(packages),
    timeout: timeoutMs,
    killSignal: 'SIGKILL',
    maxBuffer: 1 << 26,
  });
  if (/error|ERR |closed|refused|reset/i.test(stderr + stdout)) throw new Error(`redis-benchmark: ${stderr || stdout}`);
  return parseCsv(stdout);
}

/** `"test","rps","avg_latency_ms","min_latency_ms","p50_latency_ms","p95_…","p99_…","max_…"` */
export function parseCsv(text: string): Measured[] {
  const rows = text
    .split('\n')
    .filter((line) => line.startsWith('"'))
    .map((line) => [...line.matchAll(/"([^"]*)"/g)].map((match) => match[1]!));
  const [header, ...lines] = rows;
  if (header === undefined) throw new Error(`redis-benchmark said: ${text}`);
  const column = (name: string) => {
    const index = header.indexOf(name);
    if (index < 0) throw new Error(`redis-benchmark gives no column ${name}: ${header.join(', ')}`);
    return index;
  };
  const [rps, p50, p99, max] = ['rps', 'p50_latency_ms', 'p99_latency_ms', 'max_latency_ms'].map(column);
  return lines.map((line) => ({
    test: line[0]!,
    opsPerSecond: Number(line[rps!]),
    p50Ms: Number(line[p50!]),
    p99Ms: Number(line[p99!]),
    maxMs: Number(line[max!]),
  }));
}
