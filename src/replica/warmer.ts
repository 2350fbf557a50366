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
  /** Addresses worth translating, by space; a set only grows. */
  readonly entries: ReadonlyMap<number, ReadonlySet<number>>;
}

export class Warmer {
  readonly #cpu: VirtualCpu;
  /** The machine's, once there is one: nothing runs before. */
  #environment: CpuEnvironment | null = null;
  /** Translated so far of each space's entries, which keep their order. */
  readonly #done = new Map<AddressSpace, number>();

  constructor(makeCpu: (environment: CpuEnvironment) => VirtualCpu) {
    this.#cpu = makeCpu({
      readTsc: () => {
        assert(this.#environment !== null, 'nothing runs on a backup');
        return this.#environment.readTsc();
      },
    });
  }

  /** Translates until `until` says so or nothing is left. True: something is left. */
  work(shadow: Translatable, until: () => boolean): boolean {
    this.#forget(shadow);
    for (const [id, entries] of shadow.entries) {
      const space = shadow.spaces.get(id);
      if (space === undefined) continue;
      const done = this.#done.get(space) ?? 0;
      if (done === entries.size) continue;
      let at = 0;
      for (const entry of entries) {
        if (at++ < done) continue;
        this.#cpu.warm(space, [entry]);
        this.#done.set(space, at);
        if (until()) return true;
      }
    }
    return false;
  }

  /** How many entries are translated, and how many are left. */
  progress(shadow: Translatable): { done: number; left: number } {
    let done = 0;
    let all = 0;
    for (const [id, entries] of shadow.entries) {
      const space = shadow.spaces.get(id);
      if (space !== undefined) done += this.#done.get(space) ?? 0;
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
    for (const space of this.#done.keys()) {
      if (shadow.spaces.get(space.id) === space) continue;
      this.#cpu.drop(space);
      this.#done.delete(space);
    }
  }
}
