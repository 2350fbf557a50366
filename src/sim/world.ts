/**
 * The deterministic simulator: replicas, the network between them and the register, with faults drawn from a seed. Time is
 * a number; events are in a heap ordered by time and sequence; nothing else decides what happens next.
 *
 * A run has a time of faults and then a time of peace, in which the service must go on and get all its replicas back.
 */

import { type RegisterAnswer, RegisterCell, type RegisterRequest } from '../register/register.ts';
import { decodeMessage, type Envelope, encodeMessage, MessageError } from '../replication/messages.ts';
import type { Effect, Event, MemberId, Message, Position } from '../replication/types.ts';
import { encodeFrame, FRAME_MESSAGE, FrameError, FrameReader } from '../transport/frame.ts';
import { crc32 } from './crc32.ts';
import { DataFolder, type JournalWorld } from './data-folder.ts';
import { ModelState } from './guest.ts';
import { EventHeap } from './heap.ts';
import { type NodeWorld, SimNode } from './node.ts';
import { Observer, Violation } from './observer.ts';
import { mix, Random } from './random.ts';

const FIRST_GENERATION = 3;
const CLUSTER = new Uint8Array(16).fill(0x5a);
const TICK_US = 10_000;
const TIMES = { heartbeatMs: 20, timeoutMs: 100, slowMs: 300 };
const FAULTS_US = 900_000;
const PEACE_US = 800_000;

/** What goes wrong in a run, drawn once from its seed. */
interface Weather {
  readonly nodes: number;
  readonly minMembers: number;
  readonly maxInFlight: number;
  readonly drop: number;
  readonly duplicate: number;
  readonly corrupt: number;
  /** Longest ordinary delay, and how often a message is delayed much more. */
  readonly delayUs: number;
  readonly straggler: number;
  /** Messages keep their order. */
  readonly ordered: boolean;
  /** Mean time between faults. */
  readonly faultEveryUs: number;
  /** The register's answer is lost so often. */
  readonly registerLoss: number;
  readonly registerUs: number;
  /** The longest write, or sync, of the journal. */
  readonly diskUs: number;
}

export interface RunResult {
  readonly seed: number;
  readonly trace: number;
  readonly events: number;
  readonly counts: Observer['counts'];
  /** Null: every rule was kept. */
  readonly violation: string | null;
}

interface Link {
  up: boolean;
  /** When the last message arrives, for those that keep their order. */
  lastUs: number;
}

export class World implements NodeWorld {
  readonly observer = new Observer();
  readonly #seed: number;
  readonly #random: Random;
  readonly #weather: Weather;
  readonly #heap = new EventHeap();
  #cell: RegisterCell;
  #generation = FIRST_GENERATION;
  /** Draws of its own: with or without a journal, everything else of a seed is the same. */
  readonly #diskRandom: Random;
  readonly folder: DataFolder | null;
  first = new ModelState();
  /** The living process of each slot. */
  readonly #nodes: (SimNode | null)[];
  readonly #incarnations: number[];
  readonly #links = new Map<string, Link>();
  /** Directions 'a>b' of slots in which nothing passes; 'a>R' and 'R>a': to and from the register. */
  readonly #blocked = new Set<string>();
  #nowUs = 0;
  #trace = 0;
  #events = 0;
  #peace = false;
  #nextRequest = 1;

  constructor(seed: number) {
    this.#seed = seed;
    this.#random = new Random(seed);
    const random = this.#random;
    this.#diskRandom = new Random(seed ^ 0x6a6f7572);
    this.folder = this.#diskRandom.chance(0.4) ? new DataFolder() : null;
    const rough = random.chance(0.6);
    const nodes = random.pick([2, 2, 3, 3, 3, 4]);
    this.#weather = {
      nodes,
      minMembers: nodes > 2 && random.chance(0.25) ? 2 : 1,
      maxInFlight: random.pick([4, 64]),
      drop: rough && random.chance(0.5) ? 0.05 : 0,
      duplicate: rough && random.chance(0.5) ? 0.1 : 0,
      corrupt: random.chance(0.2) ? 0.005 : 0,
      delayUs: random.pick([200, 1000, 5000, 15000]),
      straggler: rough ? 0.02 : 0,
      ordered: !rough || random.chance(0.3),
      faultEveryUs: random.pick([40_000, 80_000, 160_000]),
      registerLoss: random.chance(0.5) ? 0.2 : 0,
      registerUs: random.pick([300, 3000, 40_000]),
      diskUs: this.#diskRandom.pick([200, 2000, 20_000]),
    };
    this.#nodes = new Array(nodes).fill(null);
    this.#incarnations = new Array(nodes).fill(0);
    this.#cell = this.#newCell();
  }

  run(): RunResult {
    let violation: string | null = null;
    try {
      this.#bootAll();
      this.#at(this.#fault, this.#random.between(60_000, 200_000));
      for (let n = this.folder === null ? 0 : this.#diskRandom.below(4); n > 0; n--) {
        this.#at(this.#stopEverything, this.#diskRandom.below(FAULTS_US));
      }
      this.#at(this.#makePeace, FAULTS_US);
      this.#until(FAULTS_US + PEACE_US);
      this.#judge();
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      violation = `${error.name}: ${error.message}${error instanceof Violation ? '' : `\n${error.stack}`}`;
    }
    const { counts } = this.observer;
    return { seed: this.#seed, trace: this.#trace, events: this.#events, counts, violation };
  }

  #at(action: () => void, afterUs: number): void {
    this.#heap.push(this.#nowUs + afterUs, action);
  }

  #until(endUs: number): void {
    for (;;) {
      const next = this.#heap.pop();
      if (next === null || next.atUs > endUs) break;
      this.#nowUs = next.atUs;
      this.#events++;
      next.action();
    }
    this.#nowUs = endUs;
  }

  #note(a: number, b: number): void {
    this.#trace = mix(mix(this.#trace, a), b);
  }

  // ---------------------------------------------------------------- processes

  /** The register of a new generation, as the one who starts everything makes it: the first slot's process leads. */
  #newCell(): RegisterCell {
    const first = `n0.${this.#incarnations[0]! + 1}`;
    return new RegisterCell({ generation: this.#generation, view: 1, primary: first, members: [first] });
  }

  #bootAll(): void {
    for (let slot = 0; slot < this.#weather.nodes; slot++) this.#boot(slot, slot === 0);
  }

  #boot(slot: number, bootstrap: boolean): void {
    const self = `n${slot}.${++this.#incarnations[slot]!}`;
    const { minMembers, maxInFlight } = this.#weather;
    const journal = this.folder !== null;
    const options = { self, generation: this.#generation, bootstrap, minMembers, maxInFlight, journal, ...TIMES };
    const node = new SimNode(options, slot, this, this.#random);
    node.clockOffsetUs = this.#random.below(1_000_000);
    this.#nodes[slot] = node;
    this.#deliver(node, { kind: 'start' });
    this.#tick(node);
    this.#turn(node);
    for (const other of this.#nodes) if (other && other !== node) this.#connect(node, other);
  }

  #tick(node: SimNode): void {
    if (!node.alive) return;
    if (!node.paused) this.#deliver(node, { kind: 'tick' });
    this.#at(() => this.#tick(node), TICK_US + this.#random.below(2000));
  }

  #turn(node: SimNode): void {
    if (!node.alive) return;
    if (!node.paused && node.isPrimary) {
      const requests: number[] = [];
      for (let n = this.#random.below(4); n > 0; n--) requests.push(this.#nextRequest++);
      node.turn(requests, this.#nowUs);
    }
    this.#at(() => this.#turn(node), this.#random.between(2000, 12_000));
  }

  /** An event reaches a process: at once, or when it runs again. */
  #deliver(node: SimNode, event: Event): void {
    if (!node.alive) return;
    if (node.paused) {
      node.inbox.push(event);
      return;
    }
    this.#note(node.slot, event.kind.length + this.#nowUs);
    node.step(event, this.#nowUs);
  }

  #resume(node: SimNode): void {
    node.paused = false;
    for (const event of node.inbox.splice(0)) this.#deliver(node, event);
  }

  #crash(node: SimNode, backAfterUs: number): void {
    if (!node.alive) return;
    node.alive = false;
    this.#nodes[node.slot] = null;
    for (const other of this.#nodes) {
      if (!other) continue;
      const link = this.#links.get(linkKey(node.id, other.id));
      if (!link?.up) continue;
      link.up = false;
      // A reset does not pass a partition; where it passes, it is quick.
      if (!this.#isBlocked(node.slot, other.slot)) {
        this.#at(
          () => this.#deliver(other, { kind: 'down', peer: node.id, dead: true }),
          this.#random.between(50, 500),
        );
      }
    }
    this.#at(() => {
      if (this.#nodes[node.slot] === null) this.#boot(node.slot, false);
    }, backAfterUs);
  }

  halted(node: SimNode): void {
    this.#at(() => this.#crash(node, 20_000), 0);
  }

  currentView(): number {
    return this.#cell.value.view;
  }

  released(node: SimNode, position: Position): void {
    if (this.folder !== null && this.folder.surely < this.observer.maxReleased) {
      throw new Violation(`${node.id} releases epoch ${position.epoch}, which is not durable in the journal`);
    }
    if ((node.member.view?.members.length ?? 0) < this.#weather.minMembers) {
      throw new Violation(
        `${node.id} releases epoch ${position.epoch} in a view of fewer than ${this.#weather.minMembers} members`,
      );
    }
    for (const id of this.#cell.value.members) {
      const member = this.#nodes.find((other) => other?.id === id);
      if (!member || member.member.role === 'halted') continue;
      if (member.member.lacks(position)) {
        throw new Violation(`${node.id} releases epoch ${position.epoch}, ${id} is a member and does not hold it`);
      }
    }
  }

  journalWorld(node: SimNode): JournalWorld {
    const later = (action: () => void): void => {
      this.#at(
        () => {
          if (!node.alive) return;
          if (node.paused) later(action);
          else action();
        },
        20 + this.#diskRandom.below(this.#peace ? 200 : this.#weather.diskUs),
      );
    };
    const journalled = (written: number, durable: number): void =>
      this.#deliver(node, { kind: 'journalled', written, durable });
    return { later, journalled };
  }

  /** Every process and the register at once, as when the machine loses its power; then all is started anew. */
  readonly #stopEverything = (): void => {
    for (const node of this.#nodes) if (node) node.alive = false;
    this.#nodes.fill(null);
    this.#links.clear();
    this.first = this.folder!.restart(this.#diskRandom) ?? new ModelState();
    this.observer.restarted(this.first);
    this.#note(this.first.count, this.first.chain);
    this.#generation++;
    this.#cell = this.#newCell();
    this.#bootAll();
  };

  // ---------------------------------------------------------------- network

  #isBlocked(from: number | 'R', to: number | 'R'): boolean {
    return this.#blocked.has(`${from}>${to}`);
  }

  #connect(a: SimNode, b: SimNode): void {
    this.#at(
      () => {
        if (!a.alive || !b.alive) return;
        const key = linkKey(a.id, b.id);
        const link = this.#links.get(key);
        if (link?.up) return;
        if (this.#isBlocked(a.slot, b.slot) || this.#isBlocked(b.slot, a.slot)) {
          this.#connect(a, b);
          return;
        }
        this.#links.set(key, { up: true, lastUs: this.#nowUs });
        this.#deliver(a, { kind: 'up', peer: b.id });
        this.#deliver(b, { kind: 'up', peer: a.id });
      },
      this.#random.between(500, 20_000),
    );
  }

  /** Our side closes a connection because of what came; the other side notices; both connect again. */
  #break(a: SimNode, b: SimNode): void {
    const link = this.#links.get(linkKey(a.id, b.id));
    if (!link?.up) return;
    link.up = false;
    for (const [node, peer] of [[a, b] as const, [b, a] as const]) {
      this.#at(() => this.#deliver(node, { kind: 'down', peer: peer.id, dead: false }), this.#random.between(10, 3000));
    }
    this.#at(() => this.#connect(a, b), 4000);
  }

  send(from: SimNode, to: MemberId, message: Message): void {
    const { drop, duplicate, corrupt } = this.#weather;
    const target = this.#nodes.find((node) => node?.id === to);
    const link = target ? this.#links.get(linkKey(from.id, to)) : undefined;
    if (!target || !link?.up || this.#isBlocked(from.slot, target.slot)) return;
    if (!this.#peace && this.#random.chance(drop)) return;
    const envelope: Envelope = { cluster: CLUSTER, generation: this.#generation, sender: from.id };
    const bytes = concat(encodeFrame(FRAME_MESSAGE, encodeMessage(envelope, message), crc32));
    if (!this.#peace && this.#random.chance(corrupt))
      bytes[this.#random.below(bytes.length)]! ^= 1 << this.#random.below(8);
    this.#transmit(from, target, link, bytes);
    if (!this.#peace && this.#random.chance(duplicate)) this.#transmit(from, target, link, bytes);
  }

  #transmit(from: SimNode, to: SimNode, link: Link, bytes: Uint8Array): void {
    const { delayUs, straggler, ordered } = this.#weather;
    let arrivalUs = this.#nowUs + 50 + this.#random.below(this.#peace ? 500 : delayUs);
    if (!this.#peace && this.#random.chance(straggler)) arrivalUs += this.#random.below(250_000);
    if (ordered || this.#peace) link.lastUs = arrivalUs = Math.max(arrivalUs, link.lastUs);
    this.#heap.push(arrivalUs, () => this.#receive(from, to, bytes));
  }

  #receive(from: SimNode, to: SimNode, bytes: Uint8Array): void {
    if (!to.alive || this.#isBlocked(from.slot, to.slot)) return;
    this.#note(bytes.length, crc32(bytes));
    try {
      for (const frame of new FrameReader(crc32).push(bytes)) {
        const decoded = decodeMessage({ cluster: CLUSTER, generation: this.#generation }, frame.body);
        this.#deliver(to, { kind: 'message', from: decoded.from, message: decoded.message });
      }
    } catch (error) {
      if (!(error instanceof FrameError || error instanceof MessageError)) throw error;
      this.#break(to, from);
    }
  }

  // ---------------------------------------------------------------- register

  register(from: SimNode, effect: Extract<Effect, { kind: 'cas' | 'read' }>): void {
    const request: RegisterRequest = effect;
    const { registerLoss, registerUs } = this.#weather;
    const takesUs = (): number => 50 + this.#random.below(this.#peace ? 300 : registerUs);
    const unknown: RegisterAnswer = { id: request.id, answer: 'unknown', value: null };
    const answer = (result: RegisterAnswer): void => {
      this.#at(() => this.#deliver(from, { kind: 'register', ...result }), takesUs());
    };
    const lost = (): boolean => !this.#peace && this.#random.chance(registerLoss);
    this.#at(() => {
      if (this.#isBlocked(from.slot, 'R') || lost()) {
        if (this.#random.chance(0.5)) answer(unknown);
        return;
      }
      const result = this.#cell.handle(request);
      this.#note(result.answer.length, this.#cell.value.view);
      // Perhaps it comes once more, much later, when nobody expects it.
      if (lost()) this.#at(() => this.#cell.handle(request), this.#random.below(200_000));
      if (this.#isBlocked('R', from.slot) || lost()) {
        if (this.#random.chance(0.5)) answer(unknown);
      } else answer(result);
    }, takesUs());
  }

  // ---------------------------------------------------------------- faults

  readonly #fault = (): void => {
    if (this.#peace) return;
    this.#at(this.#fault, 1 + this.#random.below(2 * this.#weather.faultEveryUs));
    const node = this.#nodes[this.#random.below(this.#nodes.length)] ?? null;
    if (!node?.alive) return;
    this.observer.counts.faults++;
    const forUs = this.#random.pick([20_000, 90_000, 150_000, 400_000]);
    const { slot } = node;
    switch (this.#random.below(12)) {
      case 0:
      case 1:
      case 2:
        if (this.#mayDie(node)) this.#crash(node, this.#random.between(5000, 200_000));
        break;
      case 3:
        node.paused = true;
        this.#at(() => this.#resume(node), forUs);
        break;
      case 4:
        for (const other of this.#nodes.keys())
          if (other !== slot) this.#block([`${slot}>${other}`, `${other}>${slot}`], forUs);
        if (this.#random.chance(0.3)) this.#block([`${slot}>R`, `R>${slot}`], forUs);
        break;
      case 5:
        this.#block(
          [this.#random.chance(0.5) ? `${slot}>${this.#other(slot)}` : `${this.#other(slot)}>${slot}`],
          forUs,
        );
        break;
      case 6:
        this.#block(this.#random.pick([[`${slot}>R`, `R>${slot}`], [`R>${slot}`], [`${slot}>R`]]), forUs);
        break;
      case 7:
        this.#deliver(node, { kind: 'failover' });
        for (const other of this.#nodes) if (other?.isPrimary) this.#deliver(other, { kind: 'failover' });
        break;
      case 8:
        node.clockOffsetUs += this.#random.below(3_000_000);
        break;
      case 9:
      case 10:
        this.#uneven(forUs);
        break;
      default: {
        const other = this.#nodes[this.#other(slot)];
        if (other) this.#break(node, other);
        if (!node.isPrimary && node.member.role === 'backup' && this.#mayDie(node) && this.#random.chance(0.3)) {
          this.#deliver(node, { kind: 'diverged', epoch: node.member.lastEpoch, reason: 'the simulator says so' });
        }
      }
    }
  };

  /** A primary dies or hangs while its backups hold different amounts of what it sent. */
  #uneven(forUs: number): void {
    const primary = this.#nodes.find((node) => node?.isPrimary && !node.paused);
    if (!primary) return;
    const other = this.#other(primary.slot);
    this.#block([`${primary.slot}>${other}`], this.#random.between(20_000, 60_000));
    this.#at(
      () => {
        if (this.#peace || !primary.alive) return;
        if (this.#random.chance(0.6) && this.#mayDie(primary))
          this.#crash(primary, this.#random.between(5000, 100_000));
        else {
          primary.paused = true;
          this.#at(() => this.#resume(primary), forUs);
        }
      },
      this.#random.between(5000, 40_000),
    );
  }

  /** Somebody else has everything: the death of the last one is beyond what can be survived. */
  #mayDie(node: SimNode): boolean {
    const { members } = this.#cell.value;
    if (!members.includes(node.id)) return true;
    return members.some((id) => id !== node.id && this.#nodes.some((other) => other?.id === id));
  }

  /** A primary died in the moment in which its proposal to put everybody else out was accepted: nothing can be done. */
  #allLost(): boolean {
    return !this.#cell.value.members.some((id) => this.#nodes.some((node) => node?.id === id));
  }

  #other(slot: number): number {
    return (slot + 1 + this.#random.below(this.#nodes.length - 1)) % this.#nodes.length;
  }

  #block(directions: readonly string[], forUs: number): void {
    for (const direction of directions) this.#blocked.add(direction);
    this.#at(() => {
      for (const direction of directions) this.#blocked.delete(direction);
    }, forUs);
  }

  // ---------------------------------------------------------------- judgement

  readonly #makePeace = (): void => {
    this.#peace = true;
    this.#blocked.clear();
    for (const node of this.#nodes) if (node) this.#resume(node);
    // What was seen before does not count as progress.
    const before = this.observer.counts.released;
    this.#at(() => {
      if (this.observer.counts.released === before && !this.#allLost()) throw new Violation('no progress in peace');
    }, PEACE_US - 1000);
  };

  #judge(): void {
    if (this.#allLost()) {
      this.observer.counts.allLost++;
      return;
    }
    const { value } = this.#cell;
    const all = this.#nodes.map((node) => node?.id ?? '-').sort();
    if (value.members.join() !== all.join()) {
      throw new Violation(`in peace the view is {${value.members}} of ${value.primary}, the replicas are {${all}}`);
    }
    if (this.#nodes.filter((node) => node?.isPrimary).length !== 1)
      throw new Violation('in peace there is not one primary');
  }
}

function linkKey(a: MemberId, b: MemberId): string {
  return a < b ? `${a} ${b}` : `${b} ${a}`;
}

function concat(pieces: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    out.set(piece, at);
    at += piece.length;
  }
  return out;
}

/** One seed, from beginning to end. */
export function simulate(seed: number): RunResult {
  return new World(seed).run();
}
