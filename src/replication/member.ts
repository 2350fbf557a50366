/**
 * A member of the replicated service: a pure state machine. types.ts says how it is driven; the rules are those of
 * replication.md. This file has the roles and what concerns the register: suspicion, sealing, takeover, hand-over.
 *
 * A candidate seals (refuses everything of the view it knows), then compares-and-swaps. A proposal is kept, and made
 * again, until its outcome is known: the register answers 'ok' also for a swap that was made by an earlier copy of it.
 */

import { assert } from '../lvm/assert.ts';
import { sameView } from '../register/register.ts';
import { Core } from './core.ts';
import { EpochLog } from './epoch-log.ts';
import { Follower } from './follower.ts';
import { Primary } from './primary.ts';
import type { Effect, Event, MemberId, MemberOptions, Message, Position, Role, View } from './types.ts';

type RegisterEvent = Extract<Event, { kind: 'register' }>;

/** A request to the register that has no answer yet, or whose answer was 'unknown'. */
interface Request {
  readonly id: number;
  readonly sinceMs: number;
  answered: boolean;
}

export class Member {
  readonly #core: Core;
  #follower: Follower;
  #primary: Primary | null = null;
  #role: Role = 'learner';
  /** The register's value as last read. */
  #known: View | null = null;
  /** A candidate's proposal. */
  #candidacy: { readonly expected: View; readonly next: View } | null = null;
  #read: Request | null = null;
  #lookAgain = false;
  #cas: Request | null = null;
  #nextId = 1;
  #started = false;
  #booting: boolean;
  /** Since when the primary is silent: it was last heard, or became known. */
  #primaryMs = Number.NEGATIVE_INFINITY;
  #stepMs: number | null = null;
  /** What the last `view` effect was made of. */
  #shown: { role: Role | null; source: unknown; primary: MemberId | null } = {
    role: null,
    source: null,
    primary: null,
  };

  constructor(options: MemberOptions) {
    this.#core = new Core(options);
    this.#follower = new Follower(this.#core);
    this.#booting = this.#core.options.bootstrap;
  }

  get self(): MemberId {
    return this.#core.self;
  }

  get role(): Role {
    return this.#role;
  }

  /** The view as this member knows it; null: none yet. */
  get view(): View | null {
    if (this.#primary) return this.#primary.view;
    const { primary, view, members } = this.#follower;
    if (primary === null || view < (this.#known?.view ?? 0) || members.length === 0) return this.#known;
    return { generation: this.#core.options.generation, view, primary, members };
  }

  /** Primary: the epoch to capture next. */
  get nextEpoch(): number {
    return this.#primary?.nextEpoch ?? 0;
  }

  /** Primary: the last epoch released. */
  get committed(): number {
    return this.#primary?.released ?? 0;
  }

  /** The last epoch held. */
  get lastEpoch(): number {
    return (this.#primary?.last ?? this.#follower.last).epoch;
  }

  /** True where this member's history is known not to have that position: for checks. */
  lacks(position: Position): boolean {
    return (this.#primary ?? this.#follower).lacks(position);
  }

  /** Primary: somebody needs the next epoch's delta. */
  get deltaNeeded(): boolean {
    return this.#primary?.deltaNeeded ?? false;
  }

  /** Primary: learners to which the next `captured` should bring a chunk. */
  get chunksWanted(): MemberId[] {
    return this.#primary?.chunksWanted ?? [];
  }

  /** Primary: the next `captured` should bring a chunk for the journal. */
  get rootWanted(): boolean {
    return this.#primary?.rootWanted ?? false;
  }

  /** Primary: the last epoch that the journal has for good; null: it keeps none, or has nothing yet. */
  get durable(): number | null {
    return this.#primary?.durable ?? null;
  }

  /** Primary: end the epoch soon, although no output waits. */
  get epochWanted(): boolean {
    return this.#primary?.epochWanted ?? false;
  }

  /** Primary: so much is on its way that no epoch may be captured now. */
  get throttled(): boolean {
    return this.#primary?.throttled ?? false;
  }

  /** Primary: how far each member and learner has acknowledged. */
  get acknowledged(): ReadonlyMap<MemberId, number> {
    return this.#primary?.acknowledged ?? new Map();
  }

  /** `nowMs`: any clock that does not go backwards. Effects are to be carried out in order, before the next step. */
  step(event: Event, nowMs: number): Effect[] {
    if (this.#role === 'halted') return [];
    this.#clock(nowMs);
    this.#handle(event);
    this.#settle();
    return this.#core.takeEffects();
  }

  #clock(nowMs: number): void {
    const gap = this.#stepMs === null ? 0 : nowMs - this.#stepMs;
    // This process was stopped (or starved) itself: what it did not hear in that time says nothing about the others.
    if (gap > this.#core.options.timeoutMs / 2) {
      this.#core.forgive(gap);
      this.#primaryMs += gap;
    }
    this.#stepMs = this.#core.nowMs = nowMs;
  }

  #handle(event: Event): void {
    switch (event.kind) {
      case 'start':
        this.#started = true;
        this.#look();
        break;
      case 'tick':
        break;
      case 'up':
        this.#core.up(event.peer);
        this.#primary?.heartbeatTo(event.peer);
        break;
      case 'down':
        this.#core.down(event.peer, event.dead);
        this.#primary?.down(event.peer);
        break;
      case 'heard':
        this.#core.heard(event.peer);
        if (event.peer === this.#follower.primary) this.#primaryMs = this.#core.nowMs;
        break;
      case 'message':
        this.#core.heard(event.from);
        this.#message(event.from, event.message);
        break;
      case 'register':
        this.#registerAnswer(event);
        break;
      case 'captured':
        // A hand-over may have ended its time as primary while the guest came to a stop.
        this.#primary?.captured(event);
        break;
      case 'journalled':
        this.#primary?.journalled(event.written, event.durable);
        break;
      case 'journal-grown':
        this.#primary?.journalGrown();
        break;
      case 'diverged':
        this.#diverged(event.epoch, event.reason);
        break;
      default:
        if (this.#primary) this.#primary.failover(event.to);
        else this.#core.emit({ kind: 'alarm', code: 'TG_NOT_PRIMARY', text: 'this replica is not the primary' });
    }
  }

  #message(from: MemberId, message: Message): void {
    switch (message.kind) {
      case 'epoch':
      case 'heartbeat':
        this.#fromPrimary(from, message);
        break;
      case 'ack':
        if (this.#primary) this.#primary.ack(from, message.view, message.epoch);
        break;
      case 'status':
        this.#primary?.status(from, message);
        break;
      case 'stale':
        if (!this.#primary || message.view <= this.#primary.view.view) break;
        // Sealed by somebody who lost sight of us; or there is a later view already.
        if (message.view === this.#primary.view.view + 1) this.#primary.stale(from);
        this.#look();
        break;
      case 'look':
        if (message.view > (this.view?.view ?? 0)) this.#look();
        break;
      default:
        this.#primary?.unfit(from);
        this.#core.emit({
          kind: 'alarm',
          code: 'TG_DIVERGED',
          text: `${from} differs from the primary after epoch ${message.epoch}`,
        });
    }
  }

  #fromPrimary(from: MemberId, message: Extract<Message, { kind: 'epoch' | 'heartbeat' }>): void {
    if (this.#primary) {
      if (message.view > this.#primary.view.view) this.#look();
      else this.#core.send(from, { kind: 'stale', view: this.#primary.view.view });
      return;
    }
    if (!this.#follower.accept(from, message.view)) return;
    this.#primaryMs = this.#core.nowMs;
    // A later view has a primary: a candidacy for it, or for an earlier one, is lost.
    this.#candidacy = null;
    this.#cas = null;
    if (message.kind === 'epoch') this.#follower.epoch(message);
    else this.#follower.heartbeat(message);
    // The members are unknown until the view's first heartbeat.
    const { complete, members } = this.#follower;
    const belongs = members.length > 0 ? members.includes(this.self) : this.#role !== 'learner';
    this.#role = complete && belongs ? 'backup' : 'learner';
  }

  #diverged(epoch: number, reason: string): void {
    const { primary, view } = this.#follower;
    if (primary !== null) this.#core.send(primary, { kind: 'diverged', view, epoch });
    this.#halt('TG_DIVERGED', `the state after epoch ${epoch} is not the primary's: ${reason}`);
  }

  /** What follows from time and from what the event changed. */
  #settle(): void {
    if (this.#role === 'halted' || !this.#started) return;
    this.#retry();
    if (this.#primary) {
      this.#primary.settle((next, handover) => {
        this.#primary!.proposal = { next, handover };
        this.#swap(this.#primary!.view, next);
      });
    } else {
      this.#follower.tick();
      if (this.#candidacy === null && this.#read === null && this.#suspects()) this.#look();
    }
    this.#show();
  }

  /** The primary is unknown, gone, or silent for too long. */
  #suspects(): boolean {
    if (this.#booting || this.#known === null) return true;
    const { primary, view } = this.#follower;
    return this.#isSuspect(primary !== null && view >= this.#known.view ? primary : this.#known.primary);
  }

  #isSuspect(primary: MemberId): boolean {
    if (primary === this.self) return true;
    return this.#core.isDead(primary) || this.#core.nowMs - this.#primaryMs > this.#core.options.timeoutMs;
  }

  /** Reads the register. A read that is under way, or just over, may have missed why: then again when it is forgotten. */
  #look(): void {
    if (this.#read !== null) {
      this.#lookAgain = true;
      return;
    }
    this.#lookAgain = false;
    this.#read = { id: this.#nextId++, sinceMs: this.#core.nowMs, answered: false };
    this.#core.emit({ kind: 'read', id: this.#read.id });
  }

  #swap(expected: View, next: View): void {
    this.#cas = { id: this.#nextId++, sinceMs: this.#core.nowMs, answered: false };
    this.#core.emit({ kind: 'cas', id: this.#cas.id, expected, next });
  }

  /** Requests that were not answered are made again: a read is forgotten, a proposal repeated as it was. */
  #retry(): void {
    const { nowMs, options } = this.#core;
    const due = (request: Request): boolean =>
      nowMs - request.sinceMs >= (request.answered ? options.heartbeatMs : 2 * options.timeoutMs);
    if (this.#read && due(this.#read)) this.#read = null;
    if (this.#lookAgain && this.#read === null) this.#look();
    if (this.#cas && due(this.#cas)) {
      const proposal = this.#primary?.proposal;
      if (this.#primary && proposal) this.#swap(this.#primary.view, proposal.next);
      else if (this.#candidacy) this.#swap(this.#candidacy.expected, this.#candidacy.next);
      else this.#cas = null;
    }
  }

  #registerAnswer(event: RegisterEvent): void {
    const { id, answer, value } = event;
    if (this.#read?.id === id) {
      this.#read.answered = true;
      if (answer === 'ok' && value !== null) this.#learned(value);
    } else if (this.#cas?.id === id) {
      if (answer === 'unknown' || value === null) {
        this.#cas.answered = true;
        return;
      }
      this.#cas = null;
      if (answer === 'ok') this.#won(value);
      else this.#learned(value);
    }
  }

  /** A proposal was accepted. */
  #won(value: View): void {
    this.#known = value;
    if (this.#primary) {
      const { proposal } = this.#primary;
      assert(proposal !== null && sameView(proposal.next, value), 'the register holds what was proposed');
      if (value.primary === this.self) this.#primary.adopt(value);
      else this.#demote(value);
    } else if (this.#candidacy && sameView(this.#candidacy.next, value)) this.#promote(value);
  }

  /** The register's value is known: a read, or a proposal that was not accepted. */
  #learned(value: View): void {
    if (value.generation !== this.#core.options.generation) {
      this.#halt('TG_GENERATION', `the service is of generation ${value.generation} now`);
      return;
    }
    const before = this.#known;
    if (before !== null && value.view < before.view) return;
    this.#known = value;
    if (this.#primary) this.#learnedAsPrimary(this.#primary, value);
    else this.#learnedAsFollower(value, before);
  }

  #learnedAsPrimary(primary: Primary, value: View): void {
    if (value.view <= primary.view.view) return;
    if (primary.proposal && sameView(primary.proposal.next, value)) {
      this.#cas = null;
      this.#won(value);
    } else this.#halt('TG_REPLACED', `${value.primary} is the primary of view ${value.view}`);
  }

  #learnedAsFollower(value: View, before: View | null): void {
    if (this.#booting) {
      this.#booting = false;
      if (value.primary === this.self && value.members.length === 1) {
        this.#core.emit({ kind: 'boot', view: value });
        this.#lead(value, new EpochLog({ epoch: 0, origin: 0 }));
        return;
      }
    }
    const member = value.members.includes(this.self);
    if (this.#candidacy && value.view > this.#candidacy.expected.view && !sameView(this.#candidacy.next, value)) {
      this.#candidacy = null;
      this.#cas = null;
    }
    const able = member && this.#follower.complete;
    if (able && value.primary === this.self) {
      // Handed over to us, or a swap of ours whose answer was lost.
      if (value.view >= this.#follower.acceptView) this.#promote(value);
      return;
    }
    if (!able) this.#role = 'learner';
    else if (this.#candidacy === null) this.#role = 'backup';
    if (before?.view !== value.view && this.#follower.view < value.view) {
      // Another primary than the one we knew: it has the time-out to let itself be heard.
      this.#primaryMs = this.#core.nowMs;
    }
    if (able && this.#candidacy === null && this.#isSuspect(value.primary)) this.#seal(value);
  }

  /**
   * Rule 2: seals the register's view, then proposes the next one. It may have fewer than `minMembers` members: nothing
   * is released in it before a learner has joined, and without a primary none could.
   */
  #seal(value: View): void {
    const members = value.members.filter((id) => id === this.self || (id !== value.primary && this.#core.isWell(id)));
    if (this.#follower.acceptView > value.view + 1) return;
    this.#follower.acceptView = value.view + 1;
    this.#role = 'sealed';
    const next = { ...value, view: value.view + 1, primary: this.self, members };
    this.#candidacy = { expected: value, next };
    this.#swap(value, next);
  }

  #promote(view: View): void {
    this.#candidacy = null;
    this.#cas = null;
    this.#follower.acceptView = Math.max(this.#follower.acceptView, view.view);
    const log = this.#follower.surrender();
    this.#core.emit({ kind: 'promote', view, epoch: log.last.epoch });
    this.#lead(view, log);
  }

  #lead(view: View, log: EpochLog): void {
    this.#known = view;
    this.#role = 'primary';
    this.#primary = new Primary(this.#core, view, log);
    this.#primary.heartbeat();
  }

  /** The view was handed over: everything was acknowledged, the machine's state is that of the last epoch. */
  #demote(view: View): void {
    const { last } = this.#primary!;
    this.#primary = null;
    this.#core.emit({ kind: 'demote', epoch: last.epoch });
    this.#follower = Follower.demoted(this.#core, last, view.view);
    this.#role = 'backup';
    this.#primaryMs = this.#core.nowMs;
    this.#core.send(view.primary, { kind: 'look', view: view.view });
  }

  #halt(code: string, reason: string): void {
    this.#role = 'halted';
    this.#primary = null;
    this.#core.emit({ kind: 'view', view: this.#known, role: 'halted' });
    this.#core.emit({ kind: 'halt', code, reason });
  }

  /** Says once what has changed. Called at every step: compares before it makes anything. */
  #show(): void {
    const { primary, view, members } = this.#follower;
    const source = this.#primary ? this.#primary.view : view >= (this.#known?.view ?? 0) ? members : this.#known;
    const shown = this.#shown;
    if (shown.role === this.#role && shown.source === source && shown.primary === primary) return;
    this.#shown = { role: this.#role, source, primary };
    this.#core.emit({ kind: 'view', view: this.view, role: this.#role });
  }
}
