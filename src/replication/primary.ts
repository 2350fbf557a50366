/**
 * The primary: sends epochs, counts acknowledgements, releases what every member holds (rule 1), brings learners up and
 * proposes changes of the view (rules 3, 4 and 7 of replication.md).
 */

import { assert } from '../lvm/assert.ts';
import type { Core } from './core.ts';
import type { Entry, EpochLog } from './epoch-log.ts';
import { JournalProgress } from './journal-progress.ts';
import type { Chunk, Event, MemberId, Message, Position, View } from './types.ts';

type Captured = Extract<Event, { kind: 'captured' }>;
type StatusMessage = Extract<Message, { kind: 'status' }>;

interface Learner {
  /** The epoch of the first chunk; null: not sent yet. */
  start: number | null;
  /** The epoch of the last chunk; null: not sent yet. */
  done: number | null;
  acked: number;
  /** When its transfer was last sent from the start, and how long its first message may be on its way. */
  sentMs: number;
  patienceMs: number;
  /** Chunks not yet acknowledged, by epoch. */
  readonly chunks: Map<number, Chunk>;
}

/** A change of the view that was proposed and whose outcome is not known. */
export interface Proposal {
  readonly next: View;
  /** The guest has stopped for an orderly hand-over. */
  readonly handover: boolean;
}

/** An orderly hand-over under way. */
interface Handover {
  readonly to: MemberId;
  readonly sinceMs: number;
  /** The last epoch, after which the guest stands still; null: not captured yet. */
  final: number | null;
}

type Propose = (next: View, handover: boolean) => void;

const EMPTY = new Uint8Array(0);

export class Primary {
  readonly #core: Core;
  readonly #log: EpochLog;
  /** The view as the register has it, as far as is known for sure. */
  view: View;
  proposal: Proposal | null = null;
  /** Every epoch up to this one is held by all members. */
  commit: number;
  /** Output of every epoch up to this one has left: held by all members, and durable where there is a journal. */
  released: number;
  readonly #journal: JournalProgress | null;
  /** The last epoch inherited from the primary before: a newcomer must hold it (rule 4). */
  #start: number;
  /** Acknowledged in this view. */
  #acks = new Map<MemberId, number>();
  readonly #learners = new Map<MemberId, Learner>();
  /** Since when a member owes an acknowledgement without progress. */
  readonly #owing = new Map<MemberId, number>();
  /** Members that have sealed this view (they lost sight of us) and need a new one. */
  readonly #sealed = new Set<MemberId>();
  /** Members whose state is of no use. */
  readonly #unfit = new Set<MemberId>();
  #heartbeatMs = Number.NEGATIVE_INFINITY;
  #stalled = false;
  #handover: Handover | null = null;

  constructor(core: Core, view: View, log: EpochLog) {
    this.#core = core;
    this.view = view;
    this.#log = log;
    this.commit = this.released = log.base.epoch;
    this.#journal = core.options.journal ? new JournalProgress(core) : null;
    this.#start = log.last.epoch;
  }

  get last(): Position {
    return this.#log.last;
  }

  lacks(position: Position): boolean {
    return this.#log.lacks(position);
  }

  get nextEpoch(): number {
    return this.#log.last.epoch + 1;
  }

  /** A learner whose transfer begins with the next epoch needs none: its chunks are of the state after it. */
  get deltaNeeded(): boolean {
    if (this.#others().length > 0 || this.#journal?.deltaNeeded) return true;
    for (const { start } of this.#learners.values()) if (start !== null) return true;
    return false;
  }

  get chunksWanted(): MemberId[] {
    const { maxChunks } = this.#core.options;
    return [...this.#learners]
      .filter(([, learner]) => learner.done === null && learner.chunks.size < maxChunks)
      .map(([id]) => id);
  }

  get rootWanted(): boolean {
    return this.#journal?.rootWanted ?? false;
  }

  get durable(): number | null {
    return this.#journal === null || this.#journal.durable < 0 ? null : this.#journal.durable;
  }

  get epochWanted(): boolean {
    if (this.#handover?.final != null) return false;
    if (this.#handover !== null && this.#mayBeFinal) return true;
    return this.chunksWanted.length > 0 || this.rootWanted;
  }

  /** The output of an epoch captured now can be released although no epoch follows it. */
  get #mayBeFinal(): boolean {
    return this.#journal?.complete ?? true;
  }

  get throttled(): boolean {
    if (this.#handover !== null && this.#handover.final !== null) return true;
    if (this.#journal?.throttled) return true;
    const { maxInFlight, maxInFlightBytes } = this.#core.options;
    return this.#log.last.epoch - this.commit >= maxInFlight || this.#log.bytesAfter(this.commit) >= maxInFlightBytes;
  }

  /** Acknowledged epoch of each member and learner, for status. */
  get acknowledged(): ReadonlyMap<MemberId, number> {
    return this.#acks;
  }

  captured(event: Captured): void {
    assert(event.epoch === this.nextEpoch, 'epochs are captured one after another');
    assert(this.#handover?.final == null, 'nothing is captured after the last epoch of a hand-over');
    assert(event.delta !== null || !this.deltaNeeded, 'a delta is needed');
    const position = { epoch: event.epoch, origin: this.view.view };
    const entry = { position, delta: event.delta, hash: event.hash ?? 0n };
    const previous = this.#log.last;
    this.#log.append(entry);
    for (const chunk of event.chunks) {
      const learner = this.#learners.get(chunk.learner);
      if (!learner || learner.done !== null) continue;
      learner.chunks.set(event.epoch, chunk);
      learner.start ??= event.epoch;
      if (chunk.done) learner.done = event.epoch;
    }
    for (const id of this.#others()) if (!this.#learners.has(id)) this.#sendEpoch(id, entry, previous, null);
    for (const [id, learner] of this.#learners) {
      if (learner.start !== null) this.#sendEpoch(id, entry, previous, learner);
    }
    this.#journal?.captured(position, event.delta, event.root ?? null);
    if (this.#handover && this.#mayBeFinal) {
      this.#handover.final = event.epoch;
      this.#core.emit({ kind: 'pause' });
    }
  }

  ack(from: MemberId, view: number, epoch: number): void {
    if (view !== this.view.view || epoch > this.#log.last.epoch) return;
    const learner = this.#learners.get(from);
    // What a learner held before its transfer began does not count.
    if (learner && (learner.start === null || epoch < learner.start)) return;
    if (learner) this.#learned(learner, epoch);
    if (learner || this.#isMember(from)) this.#acknowledged(from, epoch);
  }

  journalled(written: number, durable: number): void {
    if (written <= this.#log.last.epoch && durable <= written) this.#journal?.progressed(written, durable);
  }

  journalGrown(): void {
    this.#journal?.renew();
  }

  #learned(learner: Learner, epoch: number): void {
    learner.acked = Math.max(learner.acked, epoch);
    for (const sent of [...learner.chunks.keys()]) if (sent <= learner.acked) learner.chunks.delete(sent);
  }

  #acknowledged(from: MemberId, epoch: number): void {
    if (epoch <= (this.#acks.get(from) ?? -1)) return;
    this.#acks.set(from, epoch);
    this.#owing.set(from, this.#core.nowMs);
  }

  /** What a peer holds: sends what it misses, or begins a transfer. */
  status(from: MemberId, message: StatusMessage): void {
    if (message.view !== this.view.view) return;
    const learner = this.#learners.get(from);
    if (learner) this.#resume(from, learner, message);
    else if (!this.#isMember(from)) this.#teach(from);
    else {
      // A late status, from before what it acknowledged in this view: our log has gone on since.
      const acked = this.#acks.get(from) ?? -1;
      const late = message.complete && (message.held.at(-1)?.epoch ?? -1) <= acked;
      const match = late ? acked : message.complete ? this.#match(message.held) : null;
      if (match === null) {
        // It can not be helped: out of the view, and in again as a learner.
        this.#unfit.add(from);
      } else {
        this.#acknowledged(from, match);
        this.#resend(from, match, null);
      }
    }
  }

  #teach(learner: MemberId): void {
    this.#learners.set(learner, {
      start: null,
      done: null,
      acked: -1,
      sentMs: this.#core.nowMs,
      patienceMs: this.#core.options.slowMs,
      chunks: new Map(),
    });
    this.#core.emit({ kind: 'transfer-start', learner });
  }

  /** A learner tells where it is: after what it has, or from the start of its transfer. */
  #resume(from: MemberId, learner: Learner, message: StatusMessage): void {
    if (learner.start === null) return;
    const match = this.#match(message.held);
    if (match !== null && match >= learner.start) {
      this.#learned(learner, match);
      this.#acknowledged(from, match);
      this.#resend(from, match, learner);
    } else if (learner.acked === -1 && this.#core.nowMs - learner.sentMs >= learner.patienceMs) {
      // Megabytes: most likely they are still on their way.
      learner.sentMs = this.#core.nowMs;
      learner.patienceMs *= 2;
      this.#resend(from, learner.start - 1, learner);
    }
    // Otherwise a late message of its past: it has acknowledged more since.
  }

  /** The last position that both hold; null: none. */
  #match(held: readonly Position[]): number | null {
    for (let i = held.length - 1; i >= 0; i--) if (this.#log.holds(held[i]!)) return held[i]!.epoch;
    return null;
  }

  #resend(to: MemberId, after: number, learner: Learner | null): void {
    for (let epoch = after + 1; epoch <= this.#log.last.epoch; epoch++) {
      const entry = this.#log.entry(epoch);
      const previous = this.#log.at(epoch - 1);
      if (!entry || (!previous && epoch !== learner?.start)) return;
      this.#sendEpoch(to, entry, previous ?? { epoch: 0, origin: 0 }, learner);
    }
  }

  #sendEpoch(to: MemberId, entry: Entry, previous: Position, learner: Learner | null): void {
    const chunk = learner?.chunks.get(entry.position.epoch);
    const start = learner !== null && entry.position.epoch === learner.start;
    assert(start || entry.delta !== null, 'an epoch that is sent has a delta');
    this.#core.send(to, {
      kind: 'epoch',
      view: this.view.view,
      previous,
      position: entry.position,
      commit: this.commit,
      start,
      done: chunk?.done ?? false,
      hash: entry.hash,
      delta: start ? EMPTY : entry.delta!,
      chunk: chunk?.bytes ?? EMPTY,
    });
  }

  stale(from: MemberId): void {
    if (this.#isMember(from)) this.#sealed.add(from);
  }

  unfit(from: MemberId): void {
    if (this.#isMember(from)) this.#unfit.add(from);
  }

  down(peer: MemberId): void {
    this.#forget(peer, 'its connection is gone');
  }

  #forget(learner: MemberId, reason: string): void {
    // A learner that is proposed as a member counts as one until the answer is known: only its transfer ends.
    if (!this.#learners.delete(learner)) return;
    if (!this.#isMember(learner)) this.#acks.delete(learner);
    this.#core.emit({ kind: 'transfer-end', learner, reason });
  }

  /** Called at the end of every step: releases, proposes, sends heartbeats. `propose` makes the compare-and-swap. */
  settle(propose: Propose): void {
    this.#release();
    this.#watch();
    if (this.proposal === null) this.#plan(propose);
    const { nowMs, options } = this.#core;
    if (nowMs - this.#heartbeatMs >= options.heartbeatMs) this.heartbeat();
  }

  heartbeat(): void {
    this.#heartbeatMs = this.#core.nowMs;
    for (const peer of this.#core.upPeers()) this.heartbeatTo(peer);
  }

  heartbeatTo(peer: MemberId): void {
    const { view, members } = this.view;
    this.#core.send(peer, { kind: 'heartbeat', view, last: this.#log.last, commit: this.commit, members });
  }

  /** The proposed view is the register's now. */
  adopt(view: View): void {
    this.proposal = null;
    this.view = view;
    this.#start = this.#log.last.epoch;
    this.#acks = new Map();
    this.#owing.clear();
    this.#sealed.clear();
    for (const member of view.members) {
      if (this.#learners.delete(member)) {
        this.#core.emit({ kind: 'transfer-end', learner: member, reason: 'it is a member now' });
      }
    }
    for (const id of this.#unfit) if (!view.members.includes(id)) this.#unfit.delete(id);
    this.heartbeat();
  }

  /** Everybody of the current and of a proposed view but this replica (rule 3). */
  #others(): MemberId[] {
    const all = new Set(this.view.members);
    for (const member of this.proposal?.next.members ?? []) all.add(member);
    all.delete(this.#core.self);
    return [...all];
  }

  /** Learners that lack only what is on its way. */
  #arriving(): MemberId[] {
    const arriving: MemberId[] = [];
    for (const [id, { done, acked }] of this.#learners) if (done !== null && acked >= done) arriving.push(id);
    return arriving;
  }

  /**
   * Those whose acknowledgement output waits for: all of `#others`, and arriving learners while they keep up. A newcomer
   * must hold everything released (rule 4), and under load something always has been since its last acknowledgement.
   */
  #awaited(): MemberId[] {
    const others = this.#others();
    return [...others, ...this.#arriving().filter((id) => !others.includes(id) && !this.#isBad(id))];
  }

  #isMember(id: MemberId): boolean {
    return this.view.members.includes(id) || this.proposal?.next.members.includes(id) === true;
  }

  #release(): void {
    let safe = this.#log.last.epoch;
    for (const id of this.#awaited()) safe = Math.min(safe, this.#acks.get(id) ?? -1);
    if (safe > this.commit && this.view.members.length >= this.#core.options.minMembers) {
      this.commit = safe;
    }
    const out = this.#journal === null ? this.commit : Math.min(this.commit, this.#journal.durable);
    if (out > this.released) {
      this.released = out;
      this.#core.emit({ kind: 'release', epoch: out });
    }
    let keep = Math.min(safe, this.commit);
    for (const learner of this.#learners.values()) {
      if (learner.start !== null) keep = Math.min(keep, Math.max(learner.acked, learner.start - 1));
    }
    this.#log.advance(keep);
  }

  /** Who owes acknowledgements, and which learner is hopelessly behind. */
  #watch(): void {
    const { nowMs, options } = this.#core;
    for (const id of [...this.#others(), ...this.#arriving()]) {
      if ((this.#acks.get(id) ?? -1) >= this.#log.last.epoch) this.#owing.delete(id);
      else if (!this.#owing.has(id)) this.#owing.set(id, nowMs);
    }
    if (this.#log.bytes >= 2 * options.maxInFlightBytes || this.#log.length >= 16 * options.maxInFlight) {
      for (const id of [...this.#learners.keys()]) if (!this.#isMember(id)) this.#forget(id, 'it is too slow');
    }
  }

  #isBad(id: MemberId): boolean {
    const { nowMs, options } = this.#core;
    if (this.#core.isDead(id) || this.#unfit.has(id)) return true;
    if (nowMs - this.#core.heardMs(id) > options.timeoutMs) return true;
    const owing = this.#owing.get(id);
    return owing !== undefined && nowMs - owing > options.slowMs;
  }

  /** Whether the view should change, and how. */
  #plan(propose: Propose): void {
    const { self, options } = this.#core;
    const now = this.view.members;
    const bad = now.filter((id) => id !== self && this.#isBad(id));
    const good = now.filter((id) => !bad.includes(id));
    const ready = [...this.#learners].filter(([id, learner]) => this.#mayJoin(id, learner, good)).map(([id]) => id);
    let members = [...good, ...ready].sort();
    if (members.length < options.minMembers && bad.length > 0) {
      if (!this.#stalled) {
        const text = `output stalls: ${bad.join(', ')} can not be put out of the view, which needs ${options.minMembers} members`;
        this.#core.emit({ kind: 'alarm', code: 'TG_STALLED', text });
      }
      this.#stalled = true;
      members = [...now, ...ready].sort();
    } else this.#stalled = false;
    const same = members.length === now.length && members.every((id) => now.includes(id));
    if (!same || this.#sealed.size > 0) {
      propose({ ...this.view, view: this.view.view + 1, members }, false);
    } else if (this.#handover) this.#handOver(this.#handover, propose);
  }

  /**
   * Rule 4: a newcomer holds everything this primary released and everything it inherited. And what it can not take back,
   * the epochs of its transfer, is held by the members that stay: so any of them can be its primary.
   */
  #mayJoin(id: MemberId, learner: Learner, staying: readonly MemberId[]): boolean {
    const { done } = learner;
    if (done === null || !this.#core.isWell(id)) return false;
    if (!staying.every((member) => member === this.#core.self || (this.#acks.get(member) ?? -1) >= done)) return false;
    return (this.#acks.get(id) ?? -1) >= Math.max(done, this.commit, this.#start);
  }

  /** Begins an orderly hand-over, to `to` or the member that is furthest. Says why not in an alarm. */
  failover(to: MemberId | undefined): void {
    if (this.#handover) return;
    const { self, nowMs } = this.#core;
    const able = this.view.members
      .filter((id) => id !== self && this.#core.isWell(id) && !this.#isBad(id))
      .sort((a, b) => (this.#acks.get(b) ?? -1) - (this.#acks.get(a) ?? -1));
    const target = to === undefined ? able[0] : able.find((id) => id === to);
    if (target === undefined) {
      const text = `no hand-over: ${to ?? 'no other replica'} ${to ? 'is not a backup in step' : 'is in step'}`;
      this.#core.emit({ kind: 'alarm', code: 'TG_NO_BACKUP', text });
      return;
    }
    this.#handover = { to: target, sinceMs: nowMs, final: null };
  }

  #handOver(handover: Handover, propose: Propose): void {
    const { nowMs, options } = this.#core;
    const { to, final, sinceMs } = handover;
    if (!this.#isMember(to) || this.#isBad(to) || nowMs - sinceMs > 2 * options.slowMs) {
      this.#handover = null;
      if (final !== null) this.#core.emit({ kind: 'resume' });
      this.#core.emit({ kind: 'alarm', code: 'TG_NO_BACKUP', text: `no hand-over: ${to} is not in step` });
    } else if (final !== null && this.released >= final) {
      propose({ ...this.view, view: this.view.view + 1, primary: to }, true);
    }
  }
}
