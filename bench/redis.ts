/**
 * redis natively, with one replica and with two, side by side in one run: `npm run bench:redis -- [--json] [--requests N]
 * [--failovers N]`. The modes take turns within a round, so that a slow minute of the machine hits all of them.
 *
 * Prints a table (with --json one line of JSON per measurement instead), then one line of JSON:
 * {"throughputRatio":…,"addedP50Ms":…,"pauseMsP99":…,"blackoutMsP50":…,"blackoutMsMax":…,"rssMiBMax":…}
 * throughputRatio: two replicas ÷ native, SET at 50 clients unpipelined. addedP50Ms: a write's p50 at one client, two
 * replicas − native. rssMiBMax: of an idle replica process, before the load.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { type Load, redisBenchmark } from '../examples/redis/benchmark.ts';
import { ensurePackages, type Packages, programPath } from '../examples/redis/packages.ts';
import {
  freePort,
  REDIS_ARGS,
  REDIS_PROBE,
  type Service,
  startNative,
  startTardigrade,
} from '../examples/redis/service.ts';
import { rssMiB } from '../examples/redis/status.ts';
import { Writers } from '../examples/redis/writers.ts';
import { table } from '../src/cli/output.ts';

const { values: options } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    requests: { type: 'string', default: '20000' },
    rounds: { type: 'string', default: '3' },
    failovers: { type: 'string', default: '5' },
    modes: { type: 'string', default: 'native,1,2' },
  },
});

const SHAPES = [
  { clients: 1, pipeline: 1 },
  { clients: 50, pipeline: 1 },
  { clients: 1, pipeline: 16 },
  { clients: 50, pipeline: 16 },
] as const;
const TESTS = ['set', 'get'] as const;
/** One unpipelined client needs a round trip for each. */
const SINGLE_SHARE = 0.1;

interface Row {
  readonly mode: string;
  readonly test: string;
  readonly clients: number;
  readonly pipeline: number;
  readonly opsPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

const say = (text: string) => console.error(text);
const packages = await ensurePackages(['redis-server', 'redis-benchmark'], ['redis-server', 'redis-tools'], say);
const services = await startAll(options.modes.split(','), packages);
try {
  await sleep(5000);
  const idle = await idleMemory();
  const rows = await measureAll();
  const epochs = await epochFigures();
  await sleep(1000);
  const loaded = await idleMemory();
  const blackouts = services.has('2') ? await failovers(services.get('2')!, Number(options.failovers)) : [];
  print(rows, epochs, blackouts, idle, loaded);
} finally {
  await Promise.all([...services.values()].map((service) => service.stop()));
}

async function startAll(modes: readonly string[], from: Packages): Promise<Map<string, Service>> {
  const host = programPath(from, 'redis-server')!;
  const guest = from.root === null ? host : host.slice(from.root.length);
  const started = new Map<string, Service>();
  for (const mode of modes) {
    const port = mode === 'native' ? await freePort() : 6379;
    const program = {
      path: mode === 'native' ? host : guest,
      args: ['--port', String(port), ...REDIS_ARGS],
      port,
      probe: REDIS_PROBE,
    };
    const service =
      mode === 'native'
        ? await startNative(program, from)
        : await startTardigrade(program, from, { replicas: Number(mode) });
    await service.untilProtected(60_000);
    started.set(mode, service);
    say(`${modeName(mode)} serves on port ${service.port}`);
  }
  return started;
}

async function measureAll(): Promise<Row[]> {
  const rounds: Row[] = [];
  // The first round warms the translator's code up and is thrown away.
  for (let round = 0; round <= Number(options.rounds); round++) {
    for (const shape of SHAPES) {
      for (const [mode, service] of services) {
        const whole = Number(options.requests);
        const requests = Math.ceil(shape.clients * shape.pipeline === 1 ? whole * SINGLE_SHARE : whole);
        const load: Load = { tests: TESTS, requests, ...shape };
        const measured = await redisBenchmark(packages, service.port, load);
        if (round === 0) continue;
        for (const { test, opsPerSecond, p50Ms, p99Ms } of measured) {
          rounds.push({ mode, test, ...shape, opsPerSecond, p50Ms, p99Ms });
        }
      }
      say(`round ${round} of ${options.rounds}: ${shape.clients} clients, pipeline ${shape.pipeline}`);
    }
  }
  return medians(rounds);
}

/** Of the rounds of one mode, test and shape: the median of each figure. */
function medians(rounds: readonly Row[]): Row[] {
  const groups = Map.groupBy(rounds, ({ mode, test, clients, pipeline }) => `${mode} ${test} ${clients} ${pipeline}`);
  return [...groups.values()].map((group) => ({
    ...group[0]!,
    opsPerSecond: median(group.map((row) => row.opsPerSecond)),
    p50Ms: median(group.map((row) => row.p50Ms)),
    p99Ms: median(group.map((row) => row.p99Ms)),
  }));
}

interface EpochFigures {
  readonly pauseMsP50: number | null;
  readonly pauseMsP99: number | null;
  readonly bytesPerEpochP50: number | null;
  readonly commitMsP50: number | null;
}

async function epochFigures(): Promise<EpochFigures> {
  const status = await services.get('2')?.status();
  const ms = (us: number | null | undefined) => (us === null || us === undefined ? null : us / 1000);
  return {
    pauseMsP50: ms(status?.pauseUs?.p50),
    pauseMsP99: ms(status?.pauseUs?.p99),
    bytesPerEpochP50: status?.bytesPerEpoch?.p50 ?? null,
    commitMsP50: ms(status?.commitUs?.p50),
  };
}

/** MiB of the largest replica process of the two-replica service. */
async function idleMemory(): Promise<number> {
  const status = await services.get('2')?.status();
  return Math.max(0, ...(status?.replicas ?? []).map((replica) => rssMiB(replica.pid)));
}

/** Milliseconds in which nobody was answered, of each kill. */
async function failovers(service: Service, count: number): Promise<number[]> {
  const writers = new Writers(1);
  await writers.start(service.port, 16);
  const blackouts: number[] = [];
  for (let i = 0; i < count; i++) {
    await service.untilProtected(60_000);
    await sleep(500);
    const from = performance.now();
    process.kill(await service.primaryPid(), 'SIGKILL');
    await sleep(100);
    await service.untilProtected(60_000);
    blackouts.push(writers.timeline.longestGap(from, performance.now()));
    say(`failover ${i + 1}: ${blackouts.at(-1)!.toFixed(0)} ms`);
  }
  await writers.finish();
  const lost = await writers.verify(service.port);
  if (lost > 0 || writers.tally.resets > 0) throw new Error(`${lost} lost, ${writers.tally.resets} connections broken`);
  return blackouts.sort((a, b) => a - b);
}

function print(
  rows: readonly Row[],
  epochs: EpochFigures,
  blackouts: readonly number[],
  idle: number,
  loaded: number,
): void {
  const find = (mode: string, clients: number, pipeline: number) =>
    rows.find((r) => r.mode === mode && /^SET/i.test(r.test) && r.clients === clients && r.pipeline === pipeline);
  if (options.json) {
    for (const row of rows) console.log(JSON.stringify(row));
    const blackoutsMs = blackouts.map((ms) => round(ms));
    console.log(JSON.stringify({ ...epochs, blackoutsMs, rssMiBAfterLoad: round(loaded) }));
  } else {
    const header = ['mode', 'test', 'clients', 'pipeline', 'ops/s', 'p50 ms', 'p99 ms'];
    const cells = rows.map((r) => [
      modeName(r.mode),
      r.test,
      r.clients,
      r.pipeline,
      Math.round(r.opsPerSecond),
      r.p50Ms,
      r.p99Ms,
    ]);
    console.log(table(header, cells));
    console.log(`\nepochs: ${JSON.stringify(epochs)}; after the load a replica has ${round(loaded)} MiB`);
  }
  const [native, two] = [find('native', 50, 1), find('2', 50, 1)];
  const [nativeOne, twoOne] = [find('native', 1, 1), find('2', 1, 1)];
  const summary = {
    throughputRatio: native && two ? round(two.opsPerSecond / native.opsPerSecond, 4) : null,
    addedP50Ms: nativeOne && twoOne ? round(twoOne.p50Ms - nativeOne.p50Ms, 3) : null,
    pauseMsP99: epochs.pauseMsP99 === null ? null : round(epochs.pauseMsP99, 3),
    blackoutMsP50: blackouts.length === 0 ? null : round(median(blackouts)),
    blackoutMsMax: blackouts.length === 0 ? null : round(blackouts.at(-1)!),
    rssMiBMax: round(idle),
  };
  console.log(JSON.stringify(summary));
}

function modeName(mode: string): string {
  if (mode === 'native') return 'native';
  return mode === '1' ? '1 replica' : `${mode} replicas`;
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor((sorted.length - 1) / 2)] ?? Number.NaN;
}

function round(value: number, digits = 1): number {
  return Number(value.toFixed(digits));
}
