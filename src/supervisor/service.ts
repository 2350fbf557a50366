/**
 * A replicated service, as `tardigrade run` keeps it: starts the gateway and the replicas, holds the view register,
 * replaces what dies, passes the operator's input in and the guest's output out.
 *
 * The register's cell decides who is what; what replicas say of themselves is only shown. The processes end when this one
 * does: their channels end.
 */

import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import type { Writable } from 'node:stream';
import type { RunRequest } from '../cli/run-options.ts';
import type { Ended, ServiceStatus } from '../cli/supervisor.ts';
import { RegisterCell } from '../register/register.ts';
import { type FromReplica, JOURNAL_WRITE, type ReplicaOptions } from '../replica/protocol.ts';
import type { View } from '../replication/types.ts';
import { CodedFailure } from './coded-failure.ts';
import type { Controlled } from './control-socket.ts';
import type { DataDir } from './data-dir.ts';
import type { Tell } from './events.ts';
import { GatewayProcess } from './gateway-process.ts';
import { ReplicaProcess } from './replica-process.ts';
import type { RunFolder } from './run-folder.ts';
import { composeStatus, publishedAs } from './status.ts';
import { ServiceStreams } from './streams.ts';

export interface ServiceOptions {
  readonly request: RunRequest;
  readonly folder: RunFolder;
  readonly tell: Tell;
  /** Where the state is kept; null: nowhere. */
  readonly dataDir: DataDir | null;
  /** Where the guest's output goes. */
  readonly out: Writable;
  readonly err: Writable;
  /** What a replica's process executes; tests have another than src/replica/main.ts. */
  readonly replicaModule?: URL;
}

const FIRST_GENERATION = 1;
const SIGTERM = 15;
/** A program that was asked to end and does not is ended after so long, … */
const STOP_MS = 10_000;
/** … or when it is asked again after so long: timeout(1), for one, sends its signal twice at once. */
const AGAIN_TO_END_MS = 1000;
/** Between looks at the replicas. */
const WATCH_MS = 500;
/** A replica that is not in the view and did not answer for so long is ended: a process that is stopped, or hangs. */
const SILENT_MS = 3000;
/** A replica's place is filled anew when the others have settled, or at last after so long. */
const REPLACE_MS = 1000;
/** Doubled while replicas end soon after their start. */
const AGAIN_MIN_MS = 50;
const AGAIN_MAX_MS = 10_000;
const STEADY_MS = 5000;
/** For an answer of a replica that is asked for its status. */
const STATUS_MS = 300;
const FAILOVER_MS = 10_000;
/** A released process has so long to end by itself. */
const RELEASE_MS = 2000;

export class ReplicatedService implements Controlled {
  readonly #options: ServiceOptions;
  readonly #cluster = Uint8Array.from(randomBytes(16));
  readonly #cell: RegisterCell;
  readonly #gateway: GatewayProcess | null;
  readonly #replicas = new Set<ReplicaProcess>();
  readonly #streams: ServiceStreams;
  readonly #result = Promise.withResolvers<Ended>();
  readonly #over: Promise<unknown>;
  #incarnation = 0;
  /** The primary that runs the guest. */
  #serving: ReplicaProcess | null = null;
  #everServed = false;
  readonly #generation: number;
  /** The guest has ended, and its last output is being written. */
  draining = false;
  /** The service has ended because its program has, not because somebody ended the service. */
  programEnded = false;
  #ending = false;
  /** When the program was first asked to end. */
  #endingMs: number | null = null;
  #againMs = AGAIN_MIN_MS;
  readonly #vacant = new Map<number, NodeJS.Timeout>();
  #watch: NodeJS.Timeout | null = null;
  /** Who waits for something about the service to change. */
  readonly #waiting = new Set<() => void>();
  #toldState = '';

  constructor(options: ServiceOptions) {
    this.#options = options;
    const { request, folder, tell, out, err, dataDir } = options;
    this.#generation = dataDir?.generation ?? FIRST_GENERATION;
    const first = this.#newMember(1);
    this.#cell = new RegisterCell({ generation: this.#generation, view: 1, primary: first, members: [first] });
    this.#streams = new ServiceStreams(out, err, (message) => this.#serving?.send(message));
    this.#over = this.#result.promise.catch(() => {});
    if (request.publish.length === 0) this.#gateway = null;
    else {
      const cluster = Buffer.from(this.#cluster).toString('hex');
      const path = join(folder.path, 'gateway');
      const publish = [...request.publish];
      this.#gateway = new GatewayProcess(
        { cluster, generation: this.#generation, path, publish },
        { lost: (pid, reason) => tell({ event: 'gateway-lost', pid, reason }) },
      );
    }
  }

  /** Until the guest has ended and its output is written. Throws coded errors. */
  async run(): Promise<Ended> {
    const { request, folder, tell, dataDir } = this.#options;
    try {
      await this.#gateway?.start();
      tell({ event: 'started', id: folder.id, publish: publishedAs(request.publish) });
      this.#start(1, this.#cell.value.primary);
      this.#watch = setInterval(() => this.#look(), WATCH_MS);
      const ended = await this.#result.promise;
      this.draining = true;
      await this.#streams.flush();
      if (dataDir !== null && !this.programEnded) tell({ event: 'kept', folder: dataDir.path });
      else tell({ event: 'ended', ...ended });
      return ended;
    } finally {
      await this.#release();
    }
  }

  /**
   * A signal for the guest's first process. Whoever asks it to end a second time, ends it. Where the state is kept, the
   * service ends and not the program, which would have nothing to go on from.
   */
  signal(signo: number, ending: boolean): void {
    if (ending && this.#options.dataDir !== null) {
      this.#end({ code: null, signal: signo }, false);
      return;
    }
    const nowMs = performance.now();
    if (ending && this.#endingMs !== null && nowMs - this.#endingMs >= AGAIN_TO_END_MS) {
      this.#end({ code: null, signal: signo }, true);
      return;
    }
    this.#streams.signal(signo);
    if (!ending || this.#endingMs !== null) return;
    this.#endingMs = nowMs;
    const timer = setTimeout(() => this.#end({ code: null, signal: signo }, true), STOP_MS);
    this.#over.finally(() => clearTimeout(timer)).catch(() => {});
  }

  /** The first reason counts. */
  #end(ended: Ended, byProgram: boolean): void {
    if (this.#ending) return;
    this.#ending = true;
    this.programEnded = byProgram;
    this.#result.resolve(ended);
  }

  // --- control ---

  async status(): Promise<ServiceStatus> {
    const asked = performance.now();
    for (const replica of this.#replicas) replica.send({ kind: 'status' });
    const all = (): boolean => [...this.#replicas].every((one) => one.figuresMs >= asked || !one.listening);
    await this.#until(all, STATUS_MS);
    return composeStatus({
      ...this.#options,
      view: this.#cell.value,
      replicas: [...this.#replicas],
      serving: this.#serving,
      gateway: this.#gateway,
    });
  }

  async failover(): Promise<ServiceStatus> {
    const before = this.#serving;
    if (before === null || !this.#isProtected()) {
      throw new CodedFailure({
        code: 'TG_NO_BACKUP',
        message: 'no backup is in step, so there is nobody to hand over to',
        advice: 'tardigrade status shows when one is.',
      });
    }
    before.send({ kind: 'failover' });
    const changed = (): boolean => this.#serving !== null && this.#serving !== before;
    if (!(await this.#until(changed, FAILOVER_MS))) {
      throw new CodedFailure({
        code: 'TG_NO_BACKUP',
        message: 'the hand-over was given up; the service goes on as it was',
      });
    }
    return this.status();
  }

  async stop(): Promise<void> {
    if (this.#options.dataDir !== null) this.#end({ code: 0, signal: null }, false);
    else if (this.#endingMs === null) this.signal(SIGTERM, true);
    await this.#over;
  }

  /** True when `condition` holds, false after `timeoutMs` or when the service has ended. */
  async #until(condition: () => boolean, timeoutMs: number): Promise<boolean> {
    if (condition()) return true;
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const check = (): void => {
      if (condition()) resolve(true);
    };
    this.#waiting.add(check);
    const timer = setTimeout(() => resolve(false), timeoutMs);
    const over = this.#over.then(() => false);
    try {
      return await Promise.race([promise, over]);
    } finally {
      clearTimeout(timer);
      this.#waiting.delete(check);
    }
  }

  #changed(): void {
    for (const check of this.#waiting) check();
  }

  // --- replicas ---

  #newMember(slot: number): string {
    this.#incarnation += 1;
    return `r${slot}.${this.#incarnation}`;
  }

  #start(slot: number, member = this.#newMember(slot)): void {
    const { request, folder, replicaModule, dataDir } = this.#options;
    const options: ReplicaOptions = {
      self: member,
      cluster: this.#cluster,
      generation: this.#generation,
      bootstrap: !this.#everServed,
      path: join(folder.path, member),
      gateway: this.#gateway === null ? null : join(folder.path, 'gateway'),
      epochMs: request.epochMs,
      rootfs: request.rootfs,
      files: request.files,
      boot: {
        program: request.program,
        args: request.args,
        env: request.env,
        cwd: request.cwd,
        memoryLimit: request.memory,
      },
      journal: dataDir?.options ?? null,
    };
    const handlers = {
      born: (pid: number) => dataDir?.born(pid),
      message: (replica: ReplicaProcess, message: FromReplica) => this.#message(replica, message),
      ended: (replica: ReplicaProcess, reason: string) => this.#lost(replica, reason),
    };
    this.#replicas.add(new ReplicaProcess(slot, options, handlers, replicaModule));
  }

  #message(replica: ReplicaProcess, message: FromReplica): void {
    replica.heardMs = performance.now();
    switch (message.kind) {
      case 'listening':
        replica.listening = true;
        this.#introduce();
        break;
      case 'register': {
        const before = this.#cell.value;
        const answer = this.#cell.handle(message.request);
        if (this.#cell.value !== before) this.#viewChanged(this.#cell.value);
        replica.send({ kind: 'register', answer });
        break;
      }
      case 'view':
        replica.role = message.role;
        break;
      case 'serving':
        this.#serves(replica);
        this.#streams.serve(message.taken);
        break;
      case 'settled':
        if (this.#serving === replica) this.#fill();
        break;
      case 'safe':
        this.#streams.safe(message.taken);
        break;
      case 'console':
        this.#streams.console(message.stream, message.offset, message.bytes);
        break;
      case 'exit':
        this.#end(message.status, true);
        break;
      case 'status':
        replica.figures = message.status;
        replica.figuresMs = performance.now();
        break;
      case 'alarm':
        this.#options.tell({ event: 'alarm', member: replica.member, code: message.code, text: message.text });
        break;
      default:
        // The process's end is what counts.
        break;
    }
    this.#changed();
  }

  /** Every replica hears of every other. */
  #introduce(): void {
    const peers = [...this.#replicas].filter((one) => one.listening).map(({ member, path }) => ({ member, path }));
    for (const one of this.#replicas) {
      one.send({ kind: 'peers', peers: peers.filter(({ member }) => member !== one.member) });
    }
  }

  #serves(replica: ReplicaProcess): void {
    this.#serving = replica;
    const { dataDir, tell } = this.#options;
    if (!this.#everServed && dataDir !== null && dataDir.restore !== null) {
      tell({ event: 'restarted', folder: dataDir.path, generation: this.#generation });
    }
    tell({
      event: 'serving',
      member: replica.member,
      pid: replica.pid,
      view: this.#cell.value.view,
    });
    if (!this.#everServed) {
      this.#everServed = true;
      // Only now: the first start has the machine to itself, and what cannot be run is not started many times.
      for (let slot = 2; slot <= this.#options.request.replicas; slot++) this.#start(slot);
    }
  }

  #viewChanged(view: View): void {
    for (const one of this.#replicas) if (view.members.includes(one.member)) one.belonged = true;
    if (this.#serving !== null && this.#serving.member !== view.primary) this.#serving = null;
    this.#tellState();
  }

  #tellState(): void {
    const { tell } = this.#options;
    const { view, members, primary } = this.#cell.value;
    if (!this.#everServed) return;
    const state = this.#isProtected() ? members.join() : 'alone';
    if (state === this.#toldState) return;
    this.#toldState = state;
    if (this.#isProtected()) tell({ event: 'protected', members, view });
    else tell({ event: 'alone', member: primary, view });
  }

  /** At least one backup of the view lives, besides its primary. */
  #isProtected(): boolean {
    const { members, primary } = this.#cell.value;
    const living = [...this.#replicas].map(({ member }) => member);
    return living.includes(primary) && members.filter((member) => living.includes(member)).length > 1;
  }

  #lost(replica: ReplicaProcess, reason: string): void {
    this.#replicas.delete(replica);
    if (this.#serving === replica) this.#serving = null;
    this.#changed();
    if (this.#watch === null) return;
    const { failure, member, pid } = replica;
    const { dataDir } = this.#options;
    if (!this.#everServed) {
      this.#result.reject(
        failure === null
          ? new CodedFailure({ code: 'TG_INTERNAL', message: `the first replica ended before it served: ${reason}` })
          : new CodedFailure({ ...failure, message: failure.text }),
      );
      return;
    }
    this.#options.tell({ event: 'lost', member, pid, reason });
    if (failure?.code === JOURNAL_WRITE) {
      // The others would write to the same folder.
      this.#result.reject(new CodedFailure({ ...failure, message: failure.text }));
      return;
    }
    this.#introduce();
    const living = [...this.#replicas].some((one) => this.#cell.value.members.includes(one.member));
    if (!living) {
      this.#result.reject(
        new CodedFailure({
          code: 'TG_ALL_LOST',
          message: `every replica that had the service's state is gone; the last one's end: ${reason}`,
          advice:
            dataDir === null
              ? 'Start the service anew. With more replicas it survives more failures at a time.'
              : `Run the same command again: it goes on from what ${dataDir.path} has.`,
        }),
      );
      return;
    }
    this.#tellState();
    const young = performance.now() - replica.startedMs < STEADY_MS && !replica.belonged;
    this.#againMs = young ? Math.min(AGAIN_MAX_MS, this.#againMs * 2) : AGAIN_MIN_MS;
    const waitMs = young ? this.#againMs : REPLACE_MS;
    this.#vacant.set(
      replica.slot,
      setTimeout(() => this.#occupy(replica.slot), waitMs),
    );
    if (!young && this.#serving !== null) this.#occupy(replica.slot);
  }

  /**
   * The new primary has answered what waited: places that became vacant are filled. Not before, if it can be helped: a
   * process that starts takes much of a small machine, and first of all clients want their answers.
   */
  #fill(): void {
    if (this.#againMs === AGAIN_MIN_MS) for (const slot of [...this.#vacant.keys()]) this.#occupy(slot);
  }

  #occupy(slot: number): void {
    clearTimeout(this.#vacant.get(slot));
    if (this.#vacant.delete(slot)) this.#start(slot);
  }

  /** Whoever was put out of the view and does not answer is ended. */
  #look(): void {
    const nowMs = performance.now();
    for (const replica of this.#replicas) {
      replica.send({ kind: 'ping' });
      const out = replica.belonged && !this.#cell.value.members.includes(replica.member);
      if (out && nowMs - replica.heardMs > SILENT_MS) replica.kill();
    }
  }

  async #release(): Promise<void> {
    if (this.#watch !== null) clearInterval(this.#watch);
    this.#watch = null;
    for (const timer of this.#vacant.values()) clearTimeout(timer);
    this.#streams.close();
    this.#gateway?.close();
    const replicas = [...this.#replicas];
    for (const replica of replicas) replica.release();
    const timer = setTimeout(() => {
      for (const replica of replicas) replica.kill();
    }, RELEASE_MS);
    await Promise.all(replicas.map(({ ended }) => ended));
    clearTimeout(timer);
  }
}
