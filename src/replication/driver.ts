/**
 * The driver: carries a member's effects out on a machine or a shadow, so that a replica process is left with sockets, the
 * register's client and the guest's loop. Pure like the member: the world is passed in. types.ts tells the whole story.
 *
 * The process's loop:   if (driver.mayRun) result = guest.run(…)
 *                       if (driver.epochDue(idle, timeIsOver)) driver.capture(nowMs)
 */

import { type Capturable, Capturer } from '../checkpoint/capture.ts';
import type { Blob } from '../checkpoint/delta.ts';
import { CheckpointError } from '../checkpoint/errors.ts';
import { stateHash } from '../checkpoint/hash.ts';
import { Shadow } from '../checkpoint/shadow.ts';
import { StateTransfer, type TransferOptions } from '../checkpoint/state-transfer.ts';
import { assert } from '../lvm/assert.ts';
import type { RegisterRequest } from '../register/register.ts';
import type { Member } from './member.ts';
import type { OutputCommit } from './output-commit.ts';
import type { Effect, Event, MemberId, Message, Role, RootChunk, View } from './types.ts';

/** A guest that runs here, with the host state that goes with it. */
export interface Service {
  readonly machine: Capturable;
  readonly output: OutputCommit;
  /** What a successor needs beside the machine: the last clock sample, `output.save()`. Called after `output.seal`. */
  host(): Uint8Array;
  /** Image files first read since the last call. */
  takeBlobs(): Blob[];
  /** All image files read so far. */
  allBlobs(): Iterable<Blob>;
}

export interface DriverWorld {
  send(to: MemberId, message: Message): void;
  /** Answered by `step({ kind: 'register', … })`, later. */
  register(request: RegisterRequest): void;
  /** Starts the service from its image, or goes on where a journal of an earlier run ends. */
  boot(view: View): Service;
  /** Restores the service: clock and output from `shadow.host`, then the machine; everything in flight is lost. */
  promote(shadow: Shadow, view: View): Service;
  /** The service is not this replica's any more: its machine is a shadow now. */
  demoted(): void;
  /** Writes to the journal; only where the member keeps one. */
  journal?(entry: JournalEntry): void;
  /** The role, or the view as far as it is known, has changed. */
  view(view: View | null, role: Role): void;
  alarm(code: string, text: string): void;
  /** The end: the process is to exit. Held output is discarded already. */
  halt(code: string, reason: string): void;
}

export type JournalEntry = Extract<Effect, { kind: 'journal' }>;

export interface DriverOptions {
  readonly transfer?: TransferOptions;
  /** Every so many epochs the whole state's hash goes along and is compared (0: never). It costs 1 µs a page. */
  readonly hashEvery?: number;
}

export interface Captured {
  readonly epoch: number;
  /** Length of the delta; 0 when nobody needed one. */
  readonly bytes: number;
  /** Length of the learners' chunks, and of the journal's. */
  readonly chunkBytes: number;
}

export class Driver {
  readonly member: Member;
  readonly #world: DriverWorld;
  readonly #options: DriverOptions;
  #service: Service | null = null;
  #capturer: Capturer | null = null;
  #shadow = new Shadow();
  /** Learners in transfer; null until their first boundary. */
  readonly #transfers = new Map<MemberId, StateTransfer | null>();
  /** The journal's root in progress. */
  #root: StateTransfer | null = null;
  #paused = false;
  #halted = false;
  /** Something the member must hear of once the effects in progress are carried out. */
  #trouble: Event | null = null;

  constructor(member: Member, world: DriverWorld, options: DriverOptions = {}) {
    this.member = member;
    this.#world = world;
    this.#options = options;
  }

  /** The running guest; null on a backup. */
  get service(): Service | null {
    return this.#service;
  }

  get shadow(): Shadow {
    return this.#shadow;
  }

  step(event: Event, nowMs: number): void {
    for (const effect of this.member.step(event, nowMs)) this.#carryOut(effect);
    const trouble = this.#trouble;
    this.#trouble = null;
    if (trouble) this.step(trouble, nowMs);
  }

  /** The guest may run now: it is here, and not too much output or too many epochs are on their way. */
  get mayRun(): boolean {
    return this.#service !== null && !this.#paused && !this.member.throttled && !this.#service.output.throttled;
  }

  /** At an instruction boundary: whether to end the epoch here. `idle`: the guest waits; `over`: the epoch's time is over. */
  epochDue(idle: boolean, over: boolean): boolean {
    if (this.#service === null || this.#paused) return false;
    if (this.member.epochWanted) return true;
    if (this.member.throttled) return false;
    const { output } = this.#service;
    return over || (output.waiting && (idle || output.throttled));
  }

  /** Ends the epoch: captures what changed, and chunks for learners. The machine stands at an instruction boundary. */
  capture(nowMs: number): Captured {
    const { member } = this;
    const service = this.#service;
    const capturer = this.#capturer;
    assert(service !== null && capturer !== null, 'only a primary captures');
    const epoch = member.nextEpoch;
    service.output.seal(epoch);
    const { deltaNeeded, chunksWanted, rootWanted } = member;
    if (!deltaNeeded && chunksWanted.length === 0 && !rootWanted) {
      capturer.skip();
      this.step({ kind: 'captured', epoch, delta: null, chunks: [] }, nowMs);
      return { epoch, bytes: 0, chunkBytes: 0 };
    }
    const host = service.host();
    const blobs = service.takeBlobs();
    if (!deltaNeeded) capturer.begin();
    const delta = deltaNeeded ? capturer.capture(epoch, host, blobs) : null;
    let chunkBytes = 0;
    const chunks = chunksWanted.map((learner) => {
      let transfer = this.#transfers.get(learner) ?? null;
      if (transfer === null) this.#transfers.set(learner, (transfer = this.#transfer(service, capturer)));
      const chunk = transfer.next(epoch, host);
      chunkBytes += chunk.bytes.length;
      return { learner, ...chunk };
    });
    let root: RootChunk | null = null;
    if (rootWanted) {
      this.#root ??= this.#transfer(service, capturer);
      root = this.#root.next(epoch, host);
      chunkBytes += root.bytes.length;
      if (root.done) this.#root = null;
    }
    this.step({ kind: 'captured', epoch, delta, chunks, root, hash: this.#hash(epoch, service.machine) }, nowMs);
    return { epoch, bytes: delta?.length ?? 0, chunkBytes };
  }

  /** From this boundary on, right after a capture. */
  #transfer(service: Service, capturer: Capturer): StateTransfer {
    const entries = capturer.entries.bind(capturer);
    return new StateTransfer(service.machine, service.allBlobs(), this.#options.transfer, entries);
  }

  #hash(epoch: number, machine: Capturable): bigint {
    const every = this.#options.hashEvery ?? 0;
    if (every === 0 || epoch % every !== 0) return 0n;
    return stateHash(machine.spaces, new Map(machine.ledger.all().map(({ key, bytes }) => [key, bytes!])));
  }

  #carryOut(effect: Effect): void {
    const world = this.#world;
    if (this.#halted) return;
    switch (effect.kind) {
      case 'send':
        world.send(effect.to, effect.message);
        break;
      case 'cas':
      case 'read':
        world.register(effect);
        break;
      case 'release':
        this.#service?.output.release(effect.epoch);
        break;
      case 'journal':
        world.journal?.(effect);
        break;
      case 'boot':
        this.#lead(world.boot(effect.view));
        break;
      case 'promote':
        this.#lead(world.promote(this.#shadow, effect.view));
        this.#shadow = new Shadow();
        break;
      case 'pause':
      case 'resume':
        this.#paused = effect.kind === 'pause';
        break;
      case 'demote':
        this.#demote(effect.epoch);
        break;
      case 'reset':
        this.#shadow = new Shadow();
        break;
      case 'apply':
        this.#apply(effect);
        break;
      case 'transfer-start':
        this.#transfers.set(effect.learner, null);
        break;
      case 'transfer-end':
        this.#transfers.delete(effect.learner);
        break;
      case 'view':
        world.view(effect.view, effect.role);
        break;
      case 'alarm':
        world.alarm(effect.code, effect.text);
        break;
      default:
        this.#halted = true;
        this.#service?.output.discard();
        this.#service = null;
        world.halt(effect.code, effect.reason);
    }
  }

  #lead(service: Service): void {
    this.#service = service;
    this.#capturer = new Capturer(service.machine);
    this.#paused = false;
    this.#transfers.clear();
    this.#root = null;
  }

  #demote(epoch: number): void {
    const service = this.#service;
    assert(service !== null, 'only a primary is demoted');
    assert(service.output.heldCount === 0, 'a hand-over leaves no held output');
    const capturer = this.#capturer;
    const entries = capturer ? capturer.entries.bind(capturer) : undefined;
    this.#shadow = Shadow.of(service.machine, epoch, service.host(), service.allBlobs(), entries);
    this.#service = null;
    this.#capturer = null;
    this.#transfers.clear();
    this.#root = null;
    this.#paused = false;
    this.#world.demoted();
  }

  #apply({ epoch, bytes, hash }: Extract<Effect, { kind: 'apply' }>): void {
    if (this.#trouble) return;
    try {
      this.#shadow.apply(bytes);
      if (hash === 0n || this.#shadow.hash() === hash) return;
      this.#trouble = { kind: 'diverged', epoch, reason: "the state's hash is another one" };
    } catch (error) {
      if (!(error instanceof CheckpointError)) throw error;
      this.#trouble = { kind: 'diverged', epoch, reason: `${error.code}: ${error.message}` };
    }
  }
}
