/**
 * The observer knows everything that happened and says when a rule was broken: what clients saw is one history (no fork);
 * nothing they saw is lost; one primary a view; every state belongs to its history.
 */

import type { MemberId, View } from '../replication/types.ts';
import type { Answer, ModelState } from './guest.ts';

export class Violation extends Error {
  override readonly name = 'Violation';
}

interface Known {
  readonly parent: number;
  readonly index: number;
  readonly digest: number;
}

export class Observer {
  /** Every state that a primary ever was in, by chain. */
  readonly #states = new Map<number, Known>();
  /** What clients saw: the chain at each index. */
  readonly #released = new Map<number, number>();
  /** By generation and view. */
  readonly #primaries = new Map<string, MemberId>();
  maxReleased = 0;
  /** How often things happened, to see that a run tests what it is meant to. */
  readonly counts = {
    released: 0,
    promoted: 0,
    joined: 0,
    evicted: 0,
    handedOver: 0,
    halted: 0,
    faults: 0,
    allLost: 0,
    restarted: 0,
  };

  executed(before: number, state: ModelState): void {
    this.#states.set(state.chain, { parent: before, index: state.count, digest: state.digest() });
  }

  released(answer: Answer, by: MemberId): void {
    const seen = this.#released.get(answer.index);
    if (seen !== undefined && seen !== answer.chain)
      throw new Violation(`fork: ${by} answers request ${answer.index} again`);
    this.#released.set(answer.index, answer.chain);
    this.counts.released++;
    if (answer.index > this.maxReleased) {
      this.#mustDescend(answer.chain, answer.index, by);
      this.maxReleased = answer.index;
    }
  }

  leads(view: View, id: MemberId): void {
    const name = `${view.generation}/${view.view}`;
    const known = this.#primaries.get(name);
    if (known !== undefined && known !== id)
      throw new Violation(`${known} and ${id} are both primary of view ${view.view}`);
    this.#primaries.set(name, id);
  }

  /** `current`: its view is the register's. One that learns late that it won an old view may be promoted, but in vain. */
  promoted(state: ModelState, id: MemberId, current: boolean): void {
    this.counts.promoted++;
    this.whole(state, id);
    if (!current) return;
    if (state.count < this.maxReleased) {
      throw new Violation(`lost: ${id} takes over at request ${state.count}, clients saw ${this.maxReleased}`);
    }
    this.#mustDescend(state.chain, state.count, id);
  }

  /** Everything had stopped; this is what the service goes on from. */
  restarted(state: ModelState): void {
    this.counts.restarted++;
    this.whole(state, 'the restarted service');
    if (state.count < this.maxReleased) {
      throw new Violation(`lost: the service restarts at request ${state.count}, clients saw ${this.maxReleased}`);
    }
    this.#mustDescend(state.chain, state.count, 'the restarted service');
  }

  /** The cells of a state must be those of its chain. */
  whole(state: ModelState, id: MemberId): void {
    if (state.count === 0 && state.chain === 1) return;
    const known = this.#states.get(state.chain);
    if (!known || known.index !== state.count || known.digest !== state.digest()) {
      throw new Violation(`${id} has a state that never was (request ${state.count})`);
    }
  }

  /** What clients saw last is in the history of this state. */
  #mustDescend(chain: number, index: number, id: MemberId): void {
    let at = chain;
    for (let i = index; i > this.maxReleased; i--) at = this.#states.get(at)?.parent ?? -1;
    const seen = this.#released.get(this.maxReleased) ?? 1;
    if (at !== seen)
      throw new Violation(`fork: ${id}'s history at ${index} is not what clients saw at ${this.maxReleased}`);
  }
}
