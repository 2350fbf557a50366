/**
 * Translates on a backup, while it has nothing else to do, what its primary has translated, so that a take-over does not
 * begin with translating everything. Works a little at a time: heartbeats and epochs come first, and the primary may be
 * on the same host.
 */

import type { AddressSpace } from '../lvm/address-space.ts';
import { assert } from '../lvm/assert.ts';
import type { CpuEnvironment, VirtualCpu } from '../lvm/cpu.ts';

/** Of a shadow. */
export interface Translatable {
  readonly spaces: ReadonlyMap<number, AddressSpace>;
  /** What is worth translating (VirtualCpu.takeTranslated), by space; a set only grows. */
  readonly entries: ReadonlyMap<number, ReadonlySet<number>>;
}

/** Of one space's entries, which keep their order. */
interface Progress {
  /** So many are translated or wait. */
  seen: number;
  /** The newest comes first: what the guest does now, not how it began. */
  readonly waiting: number[];
}

export class Warmer {
  readonly #cpu: VirtualCpu;
  /** The machine's, once there is one: nothing runs before. */
  #environment: CpuEnvironment | null = null;
  readonly #spaces = new Map<AddressSpace, Progress>();

  constructor(makeCpu: (environment: CpuEnvironment) => VirtualCpu) {
    this.#cpu = makeCpu({
      readTsc: () => {
        assert(this.#environment !== null, 'nothing runs on a backup');
        return this.#environment.readTsc();
      },
      systemCall: () => this.#environment?.systemCall?.() ?? 'undone',
    });
  }

  /** Translates until `until` says so or nothing is left. True: something is left. */
  work(shadow: Translatable, until: () => boolean): boolean {
    this.#forget(shadow);
    for (const [id, entries] of shadow.entries) {
      const space = shadow.spaces.get(id);
      if (space === undefined) continue;
      const { waiting } = this.#look(space, entries);
      while (waiting.length > 0) {
        this.#cpu.warm(space, [waiting.pop()!]);
        if (until()) return true;
      }
    }
    return false;
  }

  #look(space: AddressSpace, entries: ReadonlySet<number>): Progress {
    let progress = this.#spaces.get(space);
    if (progress === undefined) {
      progress = { seen: 0, waiting: [] };
      this.#spaces.set(space, progress);
    }
    if (entries.size === progress.seen) return progress;
    let at = 0;
    for (const entry of entries) if (at++ >= progress.seen) progress.waiting.push(entry);
    progress.seen = entries.size;
    return progress;
  }

  /** How many entries are translated, and how many are left. */
  progress(shadow: Translatable): { done: number; left: number } {
    let done = 0;
    let all = 0;
    for (const [id, entries] of shadow.entries) {
      const space = shadow.spaces.get(id);
      const progress = space === undefined ? undefined : this.#spaces.get(space);
      if (progress !== undefined) done += progress.seen - progress.waiting.length;
      all += entries.size;
    }
    return { done, left: all - done };
  }

  /** The CPU, for the machine that is made of the shadow. The warmer is of no more use. */
  adopt(environment: CpuEnvironment): VirtualCpu {
    assert(this.#environment === null, 'a CPU has one machine');
    this.#environment = environment;
    return this.#cpu;
  }

  /** Spaces that are no more must not be kept: each is 4 GiB of address space. */
  #forget(shadow: Translatable): void {
    for (const space of this.#spaces.keys()) {
      if (shadow.spaces.get(space.id) === space) continue;
      this.#cpu.drop(space);
      this.#spaces.delete(space);
    }
  }
}
