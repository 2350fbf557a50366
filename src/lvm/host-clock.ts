/**
 * The host's clocks as the guest sees them (`Lvm.clock`): never backwards, also not across a failover, where the next
 * replica goes on from the last sample that the state it takes over was made with.
 */

import type { ClockSample } from './api.ts';

/** What the clock is made from; `performance.now()` and `Date.now()` unless a test says otherwise. */
export interface ClockSource {
  /** Milliseconds of a clock that does not go backwards. */
  monotonicMs(): number;
  /** Milliseconds since 1970, whole ones: it may be set, forwards and backwards. */
  wallMs(): number;
}

const HOST: ClockSource = { monotonicMs: () => performance.now(), wallMs: () => Date.now() };

/** The wall clock counts whole milliseconds; further away than this it has been set. */
const STEP_US = 2000;

export class HostClock {
  readonly #source: ClockSource;
  /** Added to the source's monotonic time. */
  readonly #offsetUs: number;
  /** Real time − monotonic time: between two steps of the wall clock, real time has the monotonic one's resolution. */
  #wallUs: number;
  #last: ClockSample;

  /** `from`: the last sample of the replica before this one; time in which nobody served does not count as monotonic. */
  constructor(from: ClockSample | null = null, source: ClockSource = HOST) {
    this.#source = source;
    const nowUs = Math.floor(source.monotonicMs() * 1000);
    this.#last = from ?? { monotonicUs: 0, realtimeUs: 0 };
    this.#offsetUs = this.#last.monotonicUs - nowUs;
    this.#wallUs = source.wallMs() * 1000 - this.#last.monotonicUs;
  }

  /** The last answer of `sample`: what a successor begins with. */
  get last(): ClockSample {
    return this.#last;
  }

  sample(): ClockSample {
    const last = this.#last;
    const monotonicUs = Math.max(last.monotonicUs, Math.floor(this.#source.monotonicMs() * 1000) + this.#offsetUs);
    const wallUs = this.#source.wallMs() * 1000;
    if (Math.abs(wallUs - (monotonicUs + this.#wallUs)) > STEP_US) this.#wallUs = wallUs - monotonicUs;
    // A wall clock that was set back stands still until it has caught up.
    const realtimeUs = Math.max(last.realtimeUs, monotonicUs + this.#wallUs);
    this.#last = { monotonicUs, realtimeUs };
    return this.#last;
  }
}
