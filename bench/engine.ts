/**
 * The engine beside the processor and beside QEMU's user mode: `npm run bench:engine -- [--json] [--runs N] [--scale X]
 * [--only kernels,programs,startup] [--kernels a,b] [--programs a,b]`. The three take turns within a round, so that a slow
 * minute of the machine hits all of them.
 *
 * Kernels time themselves, the first rounds left out: code that is translated already. Programs are timed whole, their start included;
 * with the default scale they take two and a half to six seconds natively (1: half a second), and all of them some six minutes
 * a run. How long they take with nothing to do is measured as well ("idle"), and the ratios without that are "working".
 * Start-up: from the command to the program's end, or until redis accepts, less an empty Node process.
 *
 * Prints a table (with --json one line of JSON per measurement), then one line of JSON:
 * {"geomeanVsNative":{"kernels":…,"programs":…,"working":…},"geomeanVsQemu":{…},"worstKernel":…,"startup":{…}}
 * A ratio to native: how many times as long. To QEMU: how many times as fast.
 */

import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { createConnection } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { freePort } from '../examples/redis/service.ts';
import { CLI } from '../examples/redis/status.ts';
import { table } from '../src/cli/output.ts';
import { compileKernels, KERNELS, OPTIMIZATIONS, programJobs, redisScript } from './engine/jobs.ts';

const { values: options } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    runs: { type: 'string', default: '5' },
    scale: { type: 'string', default: '8' },
    only: { type: 'string', default: 'kernels,programs,startup' },
    kernels: { type: 'string' },
    programs: { type: 'string' },
  },
});
const runs = Number(options.runs);
const scale = Number(options.scale);
const parts = new Set(options.only.split(','));
const QEMU = ['/usr/bin/qemu-x86_64-static', '/usr/bin/qemu-x86_64'].find((path) => existsSync(path)) ?? null;
/** Rounds of a kernel that are not counted, and that are. */
const WARM_UP = 4;
/** By then a service has written its translated code. */
const STORE_MS = 5000;
const ROUNDS = 5;

type Mode = 'native' | 'qemu' | 'engine';

interface Row {
  readonly kind: 'kernel' | 'program' | 'idle';
  readonly name: string;
  readonly nativeMs: number;
  readonly qemuMs: number | null;
  readonly engineMs: number;
}

const folder = mkdtempSync(join(tmpdir(), 'tardigrade-bench-'));
const cache = join(folder, 'cache');
const environment = { ...process.env, TARDIGRADE_CACHE: cache };
const modes: Mode[] = QEMU === null ? ['native', 'engine'] : ['native', 'qemu', 'engine'];
const rows: Row[] = [];
const startup: Record<string, number> = {};
try {
  if (QEMU === null) console.error('qemu-x86_64-static is not installed (package qemu-user-static): left out');
  if (parts.has('kernels')) kernels();
  if (parts.has('programs')) await programs();
  if (parts.has('startup')) await startups();
  report();
} finally {
  rmSync(folder, { recursive: true, force: true });
}

// --- how each of the three runs a program ---

function commandFor(mode: Mode, program: string, args: readonly string[]): [string, readonly string[]] {
  if (mode === 'native') return [program, args];
  if (mode === 'qemu') return [QEMU!, [program, ...args]];
  return [CLI, ['run', '--replicas', '1', '--', program, ...args]];
}

/** Runs to the end; what it printed, and how long it took. */
function run(mode: Mode, program: string, args: readonly string[]): { readonly output: string; readonly ms: number } {
  const [command, all] = commandFor(mode, program, args);
  const start = performance.now();
  const result = spawnSync(command, all, {
    env: environment,
    stdio: ['ignore', 'pipe', 'inherit'],
    maxBuffer: 1 << 30,
  });
  const ms = performance.now() - start;
  if (result.status !== 0) throw new Error(`${mode}: ${program} ${args.join(' ')}: status ${result.status}`);
  return { output: result.stdout.toString('latin1'), ms };
}

/** Medians of what `measure` gives, the modes taking turns. The first turn is to fill caches. */
function compare(kind: Row['kind'], name: string, measure: (mode: Mode) => number, turns: number): void {
  const times = new Map<Mode, number[]>(modes.map((mode) => [mode, []]));
  for (let turn = 0; turn < turns; turn++) {
    for (const mode of modes) times.get(mode)!.push(measure(mode));
  }
  const of = (mode: Mode): number => round(median(times.get(mode)!));
  const row = { kind, name, nativeMs: of('native'), qemuMs: QEMU === null ? null : of('qemu'), engineMs: of('engine') };
  rows.push(row);
  if (options.json) console.log(JSON.stringify(row));
}

// --- parts ---

function kernels(): void {
  const wanted = new Set(options.kernels?.split(',') ?? KERNELS);
  for (const optimization of OPTIMIZATIONS) {
    const path = compileKernels(folder, optimization);
    if (path === null) {
      console.error('gcc is not installed: no kernels');
      return;
    }
    for (const kernel of KERNELS) {
      if (!wanted.has(kernel)) continue;
      let sum: string | null = null;
      const measure = (mode: Mode): number => {
        const lines = run(mode, path, [kernel, `${WARM_UP + ROUNDS}`])
          .output.trim()
          .split('\n');
        const end = lines.pop()!;
        if (sum !== null && sum !== end) throw new Error(`${mode}: ${kernel} -${optimization}: another result`);
        sum = end;
        return median(lines.slice(WARM_UP).map(Number));
      };
      compare('kernel', `${kernel} -${optimization}`, measure, runs);
    }
  }
}

async function programs(): Promise<void> {
  const wanted = options.programs?.split(',');
  for (const { name, program, args, idle } of programJobs(folder, scale)) {
    if (wanted !== undefined && !wanted.includes(name)) continue;
    let expected: string | null = null;
    const measure = (mode: Mode): number => {
      const { output, ms } = run(mode, program, args);
      if (expected !== null && expected !== output) throw new Error(`${mode}: ${name}: another output`);
      expected = output;
      return ms;
    };
    compare('idle', name, (mode) => run(mode, program, idle).ms, runs);
    compare('program', name, measure, runs);
  }
  if (wanted === undefined || wanted.includes('redis')) await redis();
}

/** redis running commands of its own, in its Lua; timed by its client. */
async function redis(): Promise<void> {
  if (!existsSync('/usr/bin/redis-server')) return;
  const times = new Map<Mode, number[]>(modes.map((mode) => [mode, []]));
  const script = redisScript(scale);
  for (let turn = 0; turn < runs; turn++) {
    for (const mode of modes) {
      const server = await startRedis(mode);
      const start = performance.now();
      const answer = await ask(server.port, ['EVAL', script, '0']);
      if (!answer.startsWith(':')) throw new Error(`${mode}: redis: ${answer}`);
      times.get(mode)!.push(performance.now() - start);
      await server.stop();
    }
  }
  const of = (mode: Mode): number => round(median(times.get(mode)!));
  const row: Row = {
    kind: 'program',
    name: 'redis',
    nativeMs: of('native'),
    qemuMs: QEMU === null ? null : of('qemu'),
    engineMs: of('engine'),
  };
  rows.push(row);
  if (options.json) console.log(JSON.stringify(row));
}

async function startups(): Promise<void> {
  const node = (): number => {
    const start = performance.now();
    execFileSync(process.execPath, ['-e', '0']);
    return performance.now() - start;
  };
  const times: Record<string, number[]> = { node: [], true: [], redisCold: [], redisWarm: [] };
  run('engine', '/bin/true', []);
  for (let turn = 0; turn < runs; turn++) {
    times.node!.push(node());
    times.true!.push(run('engine', '/bin/true', []).ms);
    if (!existsSync('/usr/bin/redis-server')) continue;
    rmSync(cache, { recursive: true, force: true });
    // What Node keeps of our own sources is not what is measured.
    run('engine', '/bin/true', []);
    for (const name of ['redisCold', 'redisWarm']) {
      const server = await startRedis('engine');
      times[name]!.push(server.ms);
      // A service runs on: what was translated is written some seconds later (src/lvm/node-code-store.ts).
      if (name === 'redisCold') await new Promise((resolve) => setTimeout(resolve, STORE_MS));
      await server.stop();
    }
  }
  const nodeMs = median(times.node!);
  startup.nodeMs = round(nodeMs);
  startup.trueOverNodeMs = round(median(times.true!) - nodeMs);
  if (times.redisCold!.length > 0) {
    startup.redisColdMs = round(median(times.redisCold!));
    startup.redisWarmMs = round(median(times.redisWarm!));
  }
}

interface Server {
  readonly port: number;
  /** From the start until it accepted. */
  readonly ms: number;
  stop(): Promise<void>;
}

async function startRedis(mode: Mode): Promise<Server> {
  const port = await freePort();
  const args = ['--port', `${mode === 'engine' ? 6379 : port}`, '--save', '', '--protected-mode', 'no'];
  let [command, all] = commandFor(mode, '/usr/bin/redis-server', args);
  if (mode === 'engine') {
    [command, all] = [
      CLI,
      ['run', '--replicas', '1', '--publish', `${port}:6379`, '--', '/usr/bin/redis-server', ...args],
    ];
  }
  const start = performance.now();
  const child = spawn(command, all, { env: environment, stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  // (asking it again and again would take part of its time)
  await new Promise<void>((resolve, reject) => {
    let said = '';
    child.stdout.on('data', (text) => {
      said += text;
      if (said.includes('Ready to accept connections')) resolve();
    });
    child.once('exit', () => reject(new Error(`${mode}: redis-server ended: ${said}`)));
  });
  const ms = performance.now() - start;
  return {
    port,
    ms,
    stop: async () => {
      child.kill('SIGTERM');
      await ended;
    },
  };
}

/** One command to redis, and its answer. */
function ask(port: number, words: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = createConnection(port, '127.0.0.1');
    socket.once('error', reject);
    socket.once('close', () => reject(new Error('closed')));
    socket.once('data', (data) => {
      resolve(data.toString('latin1'));
      socket.destroy();
    });
    const bulk = words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`);
    socket.write(`*${words.length}\r\n${bulk.join('')}`);
  });
}

// --- figures ---

function report(): void {
  if (!options.json) {
    const lines = rows.map(({ name, nativeMs, qemuMs, engineMs }) => [
      name,
      `${nativeMs}`,
      qemuMs === null ? '-' : `${qemuMs}`,
      `${engineMs}`,
      (engineMs / nativeMs).toFixed(2),
      qemuMs === null ? '-' : (qemuMs / engineMs).toFixed(2),
    ]);
    console.log(table(['', 'native ms', 'qemu ms', 'engine ms', '÷ native', 'qemu ÷'], lines));
  }
  const programs = rows.filter(({ kind }) => kind === 'program');
  const groups = { kernels: rows.filter(({ kind }) => kind === 'kernel'), programs, working: programs.map(working) };
  const vsNative: Record<string, number> = {};
  const vsQemu: Record<string, number> = {};
  for (const [name, of] of Object.entries(groups)) {
    if (of.length === 0) continue;
    vsNative[name] = geomean(of.map(({ engineMs, nativeMs }) => engineMs / nativeMs));
    if (QEMU !== null) vsQemu[name] = geomean(of.map(({ engineMs, qemuMs }) => qemuMs! / engineMs));
  }
  const ratios = rows.filter(({ kind }) => kind === 'kernel').map(({ engineMs, nativeMs }) => engineMs / nativeMs);
  const figures = {
    geomeanVsNative: vsNative,
    geomeanVsQemu: vsQemu,
    ...(ratios.length > 0 ? { worstKernel: round(Math.max(...ratios)) } : {}),
    startup,
  };
  console.log(JSON.stringify(figures));
}

/** A program's row without what it takes with nothing to do; redis is timed by its client. */
function working(row: Row): Row {
  const idle = rows.find(({ kind, name }) => kind === 'idle' && name === row.name);
  if (idle === undefined) return row;
  const qemuMs = row.qemuMs === null ? null : row.qemuMs - idle.qemuMs!;
  return { ...row, qemuMs, nativeMs: row.nativeMs - idle.nativeMs, engineMs: row.engineMs - idle.engineMs };
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)]!;
}

function geomean(values: readonly number[]): number {
  return round(Math.exp(values.reduce((sum, value) => sum + Math.log(value), 0) / values.length));
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}
