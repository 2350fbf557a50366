/**
 * A simulated replica process: drives the production `Member` as types.ts says a process must, with the model guest in
 * place of a machine. One object is one incarnation.
 */

import { Member } from '../replication/member.ts';
import type { Effect, Event, MemberId, MemberOptions, Message, Position, View } from '../replication/types.ts';
import { type DataFolder, type JournalWorld, SimJournal } from './data-folder.ts';
import { type Answer, ModelGuest, ModelState, ModelTransfer } from './guest.ts';
import { type Observer, Violation } from './observer.ts';
import type { Random } from './random.ts';

/** What the world does for a node. */
export interface NodeWorld {
  readonly observer: Observer;
  send(from: SimNode, to: MemberId, message: Message): void;
  register(from: SimNode, effect: Extract<Effect, { kind: 'cas' | 'read' }>): void;
  halted(node: SimNode, code: string): void;
  /** The number of the register's view. */
  currentView(): number;
  /** An epoch was released: every living member of the register's view must hold it. */
  released(node: SimNode, position: Position): void;
  /** Where journals are; null: the service keeps none. */
  readonly folder: DataFolder | null;
  /** What a first start begins with. */
  readonly first: ModelState;
  journalWorld(node: SimNode): JournalWorld;
}

export class SimNode {
  readonly id: MemberId;
  readonly slot: number;
  readonly member: Member;
  readonly #world: NodeWorld;
  readonly #random: Random;
  alive = true;
  paused = false;
  /** What came while it was paused. */
  readonly inbox: Event[] = [];
  /** Added to the world's clock; jumps forward. */
  clockOffsetUs = 0;
  #guest: ModelGuest | null = null;
  #shadow = new ModelState();
  #view: View | null = null;
  #open: Answer[] = [];
  readonly #held: { readonly position: Position; readonly answers: readonly Answer[] }[] = [];
  readonly #transfers = new Map<MemberId, ModelTransfer | null>();
  #standing = false;
  #journal: SimJournal | null = null;
  #root: ModelTransfer | null = null;

  constructor(options: MemberOptions, slot: number, world: NodeWorld, random: Random) {
    this.id = options.self;
    this.slot = slot;
    this.member = new Member(options);
    this.#world = world;
    this.#random = random;
  }

  get isPrimary(): boolean {
    return this.#guest !== null;
  }

  step(event: Event, nowUs: number): void {
    for (const effect of this.member.step(event, (nowUs + this.clockOffsetUs) / 1000)) this.#carryOut(effect);
  }

  /** One turn of a primary's loop: requests come, perhaps an epoch ends. */
  turn(requests: readonly number[], nowUs: number): void {
    const { member } = this;
    if (!this.#guest) return;
    if (!this.#standing && !member.throttled) {
      for (const id of requests) {
        const before = this.#guest.state.chain;
        this.#open.push(this.#guest.request(id));
        this.#world.observer.executed(before, this.#guest.state);
      }
    }
    const due = this.#open.length > 0 && !member.throttled && this.#random.chance(0.8);
    if (!due && !member.epochWanted) return;
    const epoch = member.nextEpoch;
    this.#held.push({ position: { epoch, origin: member.view!.view }, answers: this.#open });
    this.#open = [];
    const delta = member.deltaNeeded ? this.#guest.capture() : null;
    const chunks = member.chunksWanted.map((learner) => {
      let transfer = this.#transfers.get(learner);
      if (!transfer) this.#transfers.set(learner, (transfer = new ModelTransfer(this.#guest!)));
      return { learner, ...transfer.next() };
    });
    let root: { bytes: Uint8Array; done: boolean } | null = null;
    if (member.rootWanted) {
      this.#root ??= new ModelTransfer(this.#guest);
      root = this.#root.next();
      if (root.done) this.#root = null;
    }
    const hash = BigInt(this.#guest.state.digest()) + 1n;
    this.step({ kind: 'captured', epoch, delta, chunks, root, hash }, nowUs);
    if (this.#journal !== null && this.#random.chance(0.03)) this.step({ kind: 'journal-grown' }, nowUs);
  }

  #carryOut(effect: Effect): void {
    const { observer } = this.#world;
    switch (effect.kind) {
      case 'send':
        this.#world.send(this, effect.to, effect.message);
        break;
      case 'cas':
      case 'read':
        this.#world.register(this, effect);
        break;
      case 'release':
        this.#release(effect.epoch);
        break;
      case 'boot':
        this.#lead(this.#world.first.copy(), effect.view);
        break;
      case 'journal':
        this.#journal!.append(effect);
        break;
      case 'promote':
        observer.promoted(this.#shadow, this.id, this.#world.currentView() === effect.view.view);
        this.#lead(this.#shadow.copy(), effect.view);
        break;
      case 'pause':
        this.#standing = true;
        break;
      case 'resume':
        this.#standing = false;
        break;
      case 'demote':
        this.#demote();
        break;
      case 'reset':
        // Garbage, to be overwritten: a learner promoted too early shows.
        this.#shadow = new ModelState();
        this.#shadow.cells.fill(0xdead);
        break;
      case 'apply':
        this.#shadow.apply(effect.bytes);
        if (effect.hash !== 0n && effect.hash !== BigInt(this.#shadow.digest()) + 1n) {
          throw new Violation(`${this.id} applied epoch ${effect.epoch} to a state it does not belong to`);
        }
        break;
      case 'transfer-start':
        this.#transfers.set(effect.learner, null);
        break;
      case 'transfer-end':
        this.#transfers.delete(effect.learner);
        break;
      case 'view':
        if (effect.view && effect.role === 'primary') observer.leads(effect.view, this.id);
        this.#count(effect.view, effect.role === 'primary');
        break;
      case 'halt':
        this.#guest = null;
        this.#journal = null;
        observer.counts.halted++;
        this.#world.halted(this, effect.code);
        break;
      default:
    }
  }

  #lead(state: ModelState, { generation, view }: View): void {
    const { folder } = this.#world;
    this.#guest = new ModelGuest(state);
    this.#root = null;
    if (folder !== null) this.#journal = new SimJournal(folder, generation, view, this.#world.journalWorld(this));
  }

  #release(epoch: number): void {
    while (this.#held.length > 0 && this.#held[0]!.position.epoch <= epoch) {
      const { position, answers } = this.#held.shift()!;
      for (const answer of answers) this.#world.observer.released(answer, this.id);
      if (answers.length > 0) this.#world.released(this, position);
    }
  }

  #demote(): void {
    this.#world.observer.counts.handedOver++;
    if (this.#open.length > 0)
      throw new Violation(`${this.id} hands over with output of an epoch that was not captured`);
    if (this.#held.some((held) => held.answers.length > 0))
      throw new Violation(`${this.id} hands over with held output`);
    this.#shadow = this.#guest!.state.copy();
    this.#guest = null;
    this.#journal = null;
    this.#root = null;
    this.#standing = false;
    this.#held.length = 0;
    this.#transfers.clear();
  }

  #count(view: View | null, leads: boolean): void {
    const { counts } = this.#world.observer;
    if (leads && view && this.#view) {
      for (const id of view.members) if (!this.#view.members.includes(id)) counts.joined++;
      for (const id of this.#view.members) if (!view.members.includes(id)) counts.evicted++;
    }
    this.#view = view;
  }
}
