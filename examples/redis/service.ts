/**
 * The service under test: a redis-server on a port of this machine, run natively or by Tardigrade. The demo, the benchmark
 * and the end-to-end tests see only this.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { connect, createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileOptions, nativeEnvironment, type Packages } from './packages.ts';
import { CLI, type ServiceStatus, statusOf } from './status.ts';

export interface Service {
  readonly port: number;
  /** The process that executes the program now. */
  primaryPid(): Promise<number>;
  /** Process ids by role; empty for a native run. */
  backupPids(): Promise<number[]>;
  /** Null for a native run. */
  status(): Promise<ServiceStatus | null>;
  /** Until another replica holds everything, so that a further failure is survived. Throws after `timeoutMs`. */
  untilProtected(timeoutMs: number): Promise<void>;
  stop(): Promise<void>;
  /** What was said on stderr, the last part. */
  log(): string;
}

export interface Program {
  /** Guest path, or a host path for a native run. */
  readonly path: string;
  readonly args: readonly string[];
  /** The port it listens on. */
  readonly port: number;
  /** Bytes to send, and how the answer of a running service begins. */
  readonly probe: readonly [request: string, answer: string];
}

export const REDIS_PROBE = ['PING\r\n', '+PONG'] as const;

/** As a service: no snapshots on a timer, open to clients that are not on its own loopback. */
export const REDIS_ARGS = ['--save', '', '--appendonly', 'no', '--protected-mode', 'no'];

const LOG_BYTES = 64 << 10;

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

export async function startNative(program: Program, packages: Packages): Promise<Service> {
  const child = spawn(program.path, program.args, {
    env: nativeEnvironment(packages),
    stdio: ['ignore', 'pipe', 'pipe'],
    cwd: '/tmp',
  });
  const log = collect(child);
  await untilServing(program, program.port, child, log);
  return {
    port: program.port,
    primaryPid: async () => child.pid!,
    backupPids: async () => [],
    status: async () => null,
    untilProtected: async () => {},
    stop: () => end(child),
    log,
  };
}

export interface TardigradeOptions {
  readonly replicas: number;
  readonly epochMs?: number;
  readonly extra?: readonly string[];
  /** Node options for the replicas' V8, for tests. */
  readonly env?: NodeJS.ProcessEnv;
}

export async function startTardigrade(
  program: Program,
  packages: Packages,
  options: TardigradeOptions,
): Promise<Service> {
  const port = await freePort();
  const args = [
    ...['run', '--replicas', String(options.replicas), '--publish', `127.0.0.1:${port}:${program.port}`],
    ...(options.epochMs === undefined || options.replicas === 1 ? [] : ['--epoch', String(options.epochMs)]),
    ...fileOptions(packages),
    ...(options.extra ?? []),
    ...['--', program.path, ...program.args],
  ];
  const child = spawn(process.execPath, [CLI, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...options.env },
  });
  const log = collect(child);
  try {
    await untilServing(program, port, child, log);
  } catch (error) {
    await end(child);
    throw error;
  }
  const status = () => statusOf(String(child.pid));
  const withRole = async (role: string) =>
    (await status()).replicas.filter((replica) => replica.role === role).map((replica) => replica.pid);
  return {
    port,
    primaryPid: async () => {
      const [pid] = await withRole('primary');
      if (pid === undefined) throw new Error('the service has no primary now');
      return pid;
    },
    backupPids: () => withRole('backup'),
    status,
    untilProtected: async (timeoutMs) => {
      const deadline = Date.now() + timeoutMs;
      for (;;) {
        try {
          if (options.replicas === 1 || (await status()).protected) return;
        } catch (error) {
          if (Date.now() > deadline) throw error;
        }
        if (Date.now() > deadline) throw new Error(`not protected again after ${timeoutMs} ms\n${log()}`);
        await sleep(20);
      }
    },
    stop: () => end(child),
    log,
  };
}

function collect(child: ChildProcess): () => string {
  let text = '';
  const add = (bytes: Buffer) => {
    text = (text + bytes.toString('utf8')).slice(-LOG_BYTES);
  };
  child.stdout?.on('data', add);
  child.stderr?.on('data', add);
  return () => text;
}

async function untilServing(
  { probe }: Program,
  port: number,
  child: ChildProcess,
  log: () => string,
  timeoutMs = 60_000,
): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  while (!(await answers(port, probe))) {
    if (child.exitCode !== null || child.signalCode !== null) throw new Error(`the service ended at once:\n${log()}`);
    if (Date.now() > deadline) throw new Error(`the service does not answer on port ${port}:\n${log()}`);
    await sleep(50);
  }
}

/** A connection that is accepted is not enough: the gateway may accept before the guest listens. */
function answers(port: number, [request, answer]: Program['probe']): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const socket = connect({ port, host: '127.0.0.1' }, () => socket.write(request));
  const done = (right: boolean) => {
    socket.destroy();
    resolve(right);
  };
  socket.setTimeout(5000, () => done(false));
  socket.once('data', (bytes) => done(bytes.toString('latin1').startsWith(answer)));
  socket.once('error', () => done(false));
  socket.once('close', () => done(false));
  return promise;
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), 10_000);
  await ended;
  clearTimeout(timer);
}
