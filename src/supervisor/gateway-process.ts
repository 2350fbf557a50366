/** The gateway's process: started, and started again when it dies (its clients' connections are lost with it). */

import { type ChildProcess, fork } from 'node:child_process';
import type { FromGateway, GatewayProcessOptions } from '../gateway/ipc.ts';
import { CodedFailure } from './coded-failure.ts';

const MODULE = new URL('../gateway/main.ts', import.meta.url);
/** Between a gateway's end and the next one's start, doubled while they end at once. */
const RESTART_MIN_MS = 20;
const RESTART_MAX_MS = 2000;
/** A gateway that lived so long did not end at once. */
const STEADY_MS = 5000;

export interface GatewayHandlers {
  lost(pid: number, reason: string): void;
}

export class GatewayProcess {
  readonly #options: GatewayProcessOptions;
  readonly #handlers: GatewayHandlers;
  #child: ChildProcess | null = null;
  #closed = false;
  /** It listened once: its options are right, and it is to be there for good. */
  #established = false;
  #restartMs = RESTART_MIN_MS;
  #restart: NodeJS.Timeout | null = null;

  constructor(options: GatewayProcessOptions, handlers: GatewayHandlers) {
    this.#options = options;
    this.#handlers = handlers;
  }

  get pid(): number | null {
    return this.#child?.pid ?? null;
  }

  /** Until clients can connect. Throws CodedFailure. */
  start(): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const child = fork(MODULE, [JSON.stringify(this.#options)], { stdio: ['ignore', 2, 2, 'ipc'] });
    this.#child = child;
    const startedMs = performance.now();
    child.on('message', (message: FromGateway) => {
      if (message.kind === 'listening') {
        this.#established = true;
        resolve();
      } else if (message.kind === 'failed') reject(new CodedFailure(message));
    });
    const end = (reason: string): void => {
      if (this.#child !== child) return;
      this.#child = null;
      reject(new CodedFailure({ code: 'TG_INTERNAL', message: `the gateway ended: ${reason}` }));
      if (this.#closed || !this.#established) return;
      this.#handlers.lost(child.pid ?? 0, reason);
      if (performance.now() - startedMs >= STEADY_MS) this.#restartMs = RESTART_MIN_MS;
      this.#restart = setTimeout(() => this.start().catch(() => {}), this.#restartMs);
      this.#restartMs = Math.min(RESTART_MAX_MS, this.#restartMs * 2);
    };
    child.once('exit', (code, signal) => end(signal ?? `exit status ${code}`));
    child.once('error', (error) => end(error.message));
    return promise;
  }

  close(): void {
    this.#closed = true;
    if (this.#restart !== null) clearTimeout(this.#restart);
    if (this.#child?.connected) this.#child.disconnect();
  }
}
