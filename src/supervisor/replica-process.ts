/** One replica's process, as the supervisor has it. */

import { type ChildProcess, fork } from 'node:child_process';
import { V8_OPTIONS } from '../../bin/v8-options.js';
import type { FromReplica, ReplicaFigures, ReplicaOptions, ToReplica } from '../replica/protocol.ts';
import type { MemberId, Role } from '../replication/types.ts';
import { compileCachePath } from './run-folder.ts';

/** A larger nursery costs each replica 50 MiB and gains nothing that was measured. */
const REPLICA_OPTIONS = [...V8_OPTIONS, '--max-semi-space-size=4'];
const MODULE = new URL('../replica/main.ts', import.meta.url);

export interface ReplicaHandlers {
  /** It runs, and was told nothing yet. */
  born(pid: number): void;
  message(replica: ReplicaProcess, message: FromReplica): void;
  ended(replica: ReplicaProcess, reason: string): void;
}

export class ReplicaProcess {
  readonly member: MemberId;
  /** Which of the service's copies it is: 1, 2, … */
  readonly slot: number;
  /** Its UNIX socket for other replicas. */
  readonly path: string;
  readonly startedMs = performance.now();
  readonly ended: Promise<void>;
  alive = true;
  listening = false;
  role: Role = 'learner';
  /** It was a member of a view. */
  belonged = false;
  /** Its last status, and when it came. */
  figures: ReplicaFigures | null = null;
  figuresMs = Number.NEGATIVE_INFINITY;
  /** When it last said anything, or was started. */
  heardMs = performance.now();
  /** Why it ended, in its own words. */
  failure: Extract<FromReplica, { kind: 'failed' }> | null = null;
  readonly #child: ChildProcess;

  /** `module`: what it executes (tests have another). */
  constructor(slot: number, options: ReplicaOptions, handlers: ReplicaHandlers, module = MODULE) {
    this.slot = slot;
    this.member = options.self;
    this.path = options.path;
    // Nothing but the guest's output may be on stdout; what V8 has to say of its own death belongs on stderr.
    this.#child = fork(module, [], {
      serialization: 'advanced',
      stdio: ['ignore', 2, 2, 'ipc'],
      execArgv: [...process.execArgv, ...REPLICA_OPTIONS],
      env: { NODE_COMPILE_CACHE: compileCachePath(), ...process.env },
    });
    this.#child.on('message', (message: FromReplica) => {
      if (message.kind === 'failed') this.failure = message;
      handlers.message(this, message);
    });
    this.ended = new Promise((resolve) => {
      const end = (reason: string): void => {
        if (!this.alive) return;
        this.alive = false;
        resolve();
        handlers.ended(this, this.failure === null ? reason : `${this.failure.code}: ${this.failure.text}`);
      };
      this.#child.once('exit', (code, signal) => end(signal ?? `exit status ${code}`));
      this.#child.once('error', (error) => end(error.message));
    });
    if (this.#child.pid !== undefined) handlers.born(this.#child.pid);
    this.send({ kind: 'start', options });
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** Nothing happens where the process is gone. */
  send(message: ToReplica): void {
    if (this.#child.connected) this.#child.send(message, () => {});
  }

  /** Lets it go: its channel ends, and so does it. */
  release(): void {
    if (this.#child.connected) this.#child.disconnect();
  }

  kill(): void {
    this.#child.kill('SIGKILL');
  }
}
