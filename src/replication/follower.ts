/**
 * A learner, a backup or a sealed candidate: takes epochs from the primary, acknowledges them, and applies them to the
 * shadow once they are known to be safe (rules 4 to 6 of replication.md).
 */

import { assert } from '../lvm/assert.ts';
import type { Core } from './core.ts';
import { EpochLog } from './epoch-log.ts';
import { HELD_MAX } from './messages.ts';
import type { MemberId, Message, Position } from './types.ts';

type EpochMessage = Extract<Message, { kind: 'epoch' }>;
type HeartbeatMessage = Extract<Message, { kind: 'heartbeat' }>;

const NOTHING: Position = { epoch: 0, origin: 0 };

export class Follower {
  readonly #core: Core;
  /** Messages of lower views are refused (rule 5). */
  acceptView = 0;
  /** The primary that was last heard, and of which view. */
  primary: MemberId | null = null;
  view = 0;
  members: readonly MemberId[] = [];
  /** The state is whole: every page, part and blob as of the log's base. */
  complete = false;
  /** A transfer has begun, so the log's base means something. */
  #begun = false;
  #log = new EpochLog(NOTHING);
  /** Up to here the log is known to be the history of the primary of this view; -1: not known. */
  #matched = -1;
  #statusMs = Number.NEGATIVE_INFINITY;
  #ackMs = Number.NEGATIVE_INFINITY;

  constructor(core: Core) {
    this.#core = core;
  }

  /** A primary that handed over: its machine is a whole state as of `position`. */
  static demoted(core: Core, position: Position, acceptView: number): Follower {
    const follower = new Follower(core);
    follower.acceptView = acceptView;
    follower.complete = follower.#begun = true;
    follower.#log = new EpochLog(position);
    return follower;
  }

  get last(): Position {
    return this.#log.last;
  }

  lacks(position: Position): boolean {
    return this.#log.lacks(position);
  }

  /** For a takeover: applies all that is held and gives the log, whose base is what was known to be safe. */
  surrender(): EpochLog {
    assert(this.complete, 'only a whole state can be promoted');
    for (let epoch = this.#log.base.epoch + 1; epoch <= this.#log.last.epoch; epoch++) {
      const entry = this.#log.entry(epoch)!;
      this.#core.emit({ kind: 'apply', epoch, bytes: entry.delta!, hash: entry.hash });
    }
    return this.#log;
  }

  /** A message that only a primary sends. False: it is of a view that is refused (rule 5). */
  accept(from: MemberId, view: number): boolean {
    if (view < this.acceptView) {
      this.#core.send(from, { kind: 'stale', view: this.acceptView });
      return false;
    }
    if (this.view !== view || this.primary !== from) {
      this.acceptView = view;
      this.view = view;
      this.primary = from;
      this.members = [];
      this.#matched = -1;
      this.#statusMs = Number.NEGATIVE_INFINITY;
    }
    return true;
  }

  heartbeat(message: HeartbeatMessage): void {
    const { last, members, commit } = message;
    // The same array while they are the same: every heartbeat brings a new copy.
    if (this.members.join() !== members.join()) this.members = members;
    if (this.#matched === -1 && !members.includes(this.#core.self)) {
      // Not in the view: the primary is to teach us, or to say where it was with that.
      this.status();
    } else if (this.#begun && this.#log.holds(last)) {
      this.#matched = Math.max(this.#matched, last.epoch);
      if (this.complete) this.#commit(commit);
      this.#acknowledge(true);
    } else if (this.#begun && this.#matched >= last.epoch) {
      this.#acknowledge(false);
    } else this.status();
  }

  epoch(message: EpochMessage): void {
    const { position, previous } = message;
    if (message.start) {
      this.#start(message);
    } else if (this.#begun && position.epoch <= this.#log.base.epoch) {
      this.#acknowledge(true);
    } else if (!this.#begun || !this.#log.holds(previous)) {
      this.status();
    } else if (!this.complete) {
      // An unfinished transfer is applied at once: nobody can be promoted from this state yet.
      this.#core.emit({ kind: 'apply', epoch: position.epoch, bytes: message.delta, hash: 0n });
      this.#receive(message);
    } else {
      if (!this.#log.holds(position)) {
        this.#log.truncate(previous.epoch);
        this.#log.append({ position, delta: message.delta, hash: message.hash });
      }
      this.#matched = Math.max(this.#matched, position.epoch);
      // It is held: clients wait for that, and nobody for the applying.
      this.#acknowledge(true);
      this.#commit(message.commit);
    }
  }

  /** A transfer begins: what was held is forgotten. One that is older than what is held is a late copy. */
  #start(message: EpochMessage): void {
    if (this.#begun && this.#matched !== -1 && message.position.epoch <= this.#log.last.epoch) {
      this.#acknowledge(true);
      return;
    }
    this.#core.emit({ kind: 'reset' });
    this.#begun = true;
    this.#receive(message);
  }

  #receive(message: EpochMessage): void {
    const { position, chunk, done } = message;
    const hash = done ? message.hash : 0n;
    if (chunk.length > 0) this.#core.emit({ kind: 'apply', epoch: position.epoch, bytes: chunk, hash });
    this.#log = new EpochLog(position);
    this.#matched = position.epoch;
    this.complete = done;
    this.#acknowledge(true);
  }

  /** Applies what is safe and known to be the primary's history. */
  #commit(commit: number): void {
    for (const { position, delta, hash } of this.#log.advance(Math.min(commit, this.#matched))) {
      this.#core.emit({ kind: 'apply', epoch: position.epoch, bytes: delta!, hash });
    }
  }

  #acknowledge(fresh: boolean): void {
    if (this.primary === null || this.#matched === -1) return;
    if (!fresh && this.#core.nowMs - this.#ackMs < this.#core.options.heartbeatMs / 2) return;
    this.#ackMs = this.#core.nowMs;
    this.#core.send(this.primary, { kind: 'ack', view: this.view, epoch: this.#matched });
  }

  /** Tells the primary what is held; at most once in a while. */
  status(): void {
    const { nowMs, options } = this.#core;
    if (this.primary === null || nowMs - this.#statusMs < options.heartbeatMs / 2) return;
    this.#statusMs = nowMs;
    const held = this.#begun ? this.#log.positions(HELD_MAX) : [];
    this.#core.send(this.primary, { kind: 'status', view: this.view, complete: this.complete, held });
  }

  /** Every so often the primary hears that this replica lives. */
  tick(): void {
    const { nowMs, options } = this.#core;
    if (this.primary === null || nowMs - this.#ackMs < options.heartbeatMs) return;
    if (this.#matched === -1) this.status();
    else this.#acknowledge(true);
  }
}
