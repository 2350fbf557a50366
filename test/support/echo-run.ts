/** A service of echo machines (echo-service.ts) as tests see it: what it said, its processes, its end. */

import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { ServiceStatus } from '../../src/cli/supervisor.ts';
import { ask } from '../../src/supervisor/control-socket.ts';
import { type RunFolder, runFolders } from '../../src/supervisor/run-folder.ts';

const SERVICE = fileURLToPath(new URL('./echo-service.ts', import.meta.url));

export interface EchoOptions {
  /** XDG_RUNTIME_DIR. */
  readonly runtime: string;
  readonly replicas: number;
  readonly program?: string;
  readonly dataDir?: string;
  /** Shell commands before its start. */
  readonly shell?: string;
}

export class EchoRun {
  readonly child: ChildProcess;
  readonly ended: Promise<{ code: number | null; signal: string | null }>;
  out = '';
  err = '';
  readonly #root: string;
  #changed: () => void = () => {};

  constructor({ runtime, replicas, program = '/echo', dataDir, shell }: EchoOptions) {
    const args = [SERVICE, String(replicas), program, ...(dataDir === undefined ? [] : [dataDir])];
    const [file, ...words] =
      shell === undefined
        ? [process.execPath, ...args]
        : ['/bin/sh', '-c', `${shell}\nexec "$0" "$@"`, process.execPath, ...args];
    this.#root = join(runtime, 'tardigrade');
    this.child = spawn(file!, words, { env: { ...process.env, XDG_RUNTIME_DIR: runtime }, stdio: 'pipe' });
    this.child.stdout!.on('data', (bytes: Buffer) => {
      this.out += bytes;
      this.#changed();
    });
    this.child.stderr!.on('data', (bytes: Buffer) => {
      this.err += bytes;
      this.#changed();
    });
    this.child.stdin!.on('error', () => {});
    this.ended = new Promise((resolve) => {
      this.child.once('exit', (code, signal) => {
        this.#changed();
        resolve({ code, signal });
      });
    });
  }

  write(text: string): void {
    this.child.stdin!.write(text);
  }

  /** Until it has said something. */
  async until(condition: (service: this) => boolean): Promise<void> {
    while (!condition(this)) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#changed = resolve;
      await promise;
    }
  }

  get events(): { event: string; [key: string]: unknown }[] {
    const lines = this.err.split('\n').filter((line) => line.startsWith('{'));
    return lines.map((line) => JSON.parse(line));
  }

  /** Until the n-th event of this kind. */
  event(kind: string, n = 1): Promise<void> {
    return this.until(({ events }) => events.filter(({ event }) => event === kind).length >= n);
  }

  get folder(): RunFolder {
    return runFolders(this.#root).find(({ path }) => existsSync(join(path, 'control')))!;
  }

  ask(command: 'status' | 'failover' | 'stop'): Promise<ServiceStatus | null> {
    return ask(join(this.folder.path, 'control'), command, 20_000);
  }

  async pid(role: string): Promise<number> {
    const status = await this.ask('status');
    return status!.replicas.find((replica) => replica.role === role)!.pid;
  }

  /** Every process of it, this one first. */
  async pids(): Promise<number[]> {
    const status = (await this.ask('status'))!;
    return [status.pid, ...status.replicas.map(({ pid }) => pid)];
  }

  async end(): Promise<void> {
    this.child.kill('SIGKILL');
    await this.ended;
  }
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

export async function untilGone(pids: readonly number[]): Promise<void> {
  while (pids.some(isAlive)) await new Promise((resolve) => setTimeout(resolve, 10));
}
