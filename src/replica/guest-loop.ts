/**
 * When the guest of a primary runs, and when an epoch ends. One turn runs a slice and ends an epoch if one is due; between
 * turns the event loop sees to packets, acknowledgements and heartbeats, so a guest that spins for ever is replicated, and
 * replaced, as any other. An idle guest costs nothing: the loop sleeps until its deadline, or until `wake` says that
 * something came.
 *
 * Waking a sleeping process takes longer (50 µs) than many a round trip to a backup. So for a short time after an epoch
 * whose output waits the loop does not sleep but turns idly.
 */

import { assert } from '../lvm/assert.ts';
import type { NodeLvm } from '../lvm/node-lvm.ts';
import type { Driver } from '../replication/driver.ts';
import { GuestRunner } from './guest-runner.ts';
import type { Machine } from './machine.ts';
import { Meter } from './meters.ts';

export interface Running {
  readonly machine: Machine;
  readonly lvm: NodeLvm;
  /** The host has no room for what the guest says, beyond the output that is held. */
  readonly blocked: () => boolean;
  /** Bytes for other replicas that the kernel has not taken. */
  readonly queued: () => number;
  /** This epoch ends now. */
  readonly capturing: (epoch: number) => void;
  /** The guest had a slice of time. `idle`: it has nothing more to do. */
  readonly ran: (idle: boolean) => void;
}

/** After an epoch's end, turn idly for at most so long. */
const SPIN_MS = 0.3;
/** Output that waits while another epoch is on its way gathers company for at most so long. */
const GATHER_MS = 2;
/**
 * A kernel takes some 200 KiB a turn. With more than that to send to a replica, the guest stands back for as long as it ran
 * just before (but no longer than this), or what the other replica needs would never get through beside a busy guest.
 */
const QUEUED_MAX = 256 << 10;
const STAND_BACK_MS_MAX = 20;
/** Epochs whose commit is timed; the oldest is forgotten when they are more. */
const TIMED_MAX = 1024;

export class GuestLoop {
  readonly pauseUs = new Meter();
  readonly commitUs = new Meter();
  readonly dirtyPages = new Meter();
  readonly bytes = new Meter();
  readonly #driver: Driver;
  readonly #epochMs: number;
  #running: (Running & { readonly runner: GuestRunner }) | null = null;
  #immediate: NodeJS.Immediate | null = null;
  #timer: NodeJS.Timeout | null = null;
  /** Of the last capture: when, and the guest's instructions. */
  #capturedMs = 0;
  #capturedAt = -1;
  #spinUntilMs = 0;
  #standBackUntilMs = 0;
  /** When each epoch on its way was captured. */
  readonly #sent = new Map<number, number>();
  #committed = 0;

  constructor(driver: Driver, epochMs: number) {
    this.#driver = driver;
    this.#epochMs = epochMs;
  }

  /** Runs this guest from now on. */
  start(running: Running): void {
    assert(this.#running === null, 'one guest at a time');
    this.#running = { ...running, runner: new GuestRunner(running.machine, running.lvm) };
    this.#capturedMs = performance.now();
    this.#capturedAt = -1;
    this.wake();
  }

  stop(): void {
    this.#running = null;
    this.#sent.clear();
    if (this.#timer !== null) clearTimeout(this.#timer);
    if (this.#immediate !== null) clearImmediate(this.#immediate);
    this.#timer = this.#immediate = null;
  }

  /** Something came that may let the guest run or an epoch end: a packet, an acknowledgement. */
  wake(): void {
    if (this.#running !== null) this.#immediate ??= setImmediate(this.#turn);
  }

  readonly #turn = (): void => {
    this.#immediate = null;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    const running = this.#running;
    if (running === null) return;
    this.#timeCommits();
    if (this.#mayRun && running.runner.hasWork) this.#run();
    this.#endEpoch();
    this.#sleep();
  };

  get #mayRun(): boolean {
    if (!this.#driver.mayRun || this.#running === null || this.#running.blocked()) return false;
    return this.#standBackUntilMs === 0 || !this.#standsBack();
  }

  #standsBack(): boolean {
    if (performance.now() < this.#standBackUntilMs && this.#running!.queued() > QUEUED_MAX) return true;
    this.#standBackUntilMs = 0;
    return false;
  }

  #run(): void {
    const { runner, queued, ran } = this.#running!;
    const startMs = performance.now();
    runner.run();
    ran(!runner.busy);
    if (queued() <= QUEUED_MAX) return;
    const endMs = performance.now();
    this.#standBackUntilMs = endMs + Math.min(STAND_BACK_MS_MAX, endMs - startMs);
  }

  #endEpoch(): void {
    const { machine, runner, capturing } = this.#running!;
    const driver = this.#driver;
    const nowMs = performance.now();
    const over = machine.instructions !== this.#capturedAt && nowMs - this.#capturedMs >= this.#epochMs;
    const { lastEpoch, committed } = driver.member;
    const gathering = lastEpoch > committed && nowMs - this.#capturedMs < GATHER_MS;
    if (!driver.epochDue(!runner.busy && !gathering, over)) return;
    let dirty = 0;
    for (const space of machine.spaces.values()) dirty += space.dirtyCount;
    capturing(driver.member.nextEpoch);
    const { epoch, bytes } = driver.capture(nowMs);
    const endMs = performance.now();
    this.#capturedMs = nowMs;
    this.#capturedAt = machine.instructions;
    // Nobody needed it: there was nothing to wait for.
    if (bytes === 0) return;
    this.#sent.set(epoch, nowMs);
    if (this.#sent.size > TIMED_MAX) this.#sent.delete(this.#sent.keys().next().value!);
    this.pauseUs.add((endMs - nowMs) * 1000);
    this.dirtyPages.add(dirty);
    this.bytes.add(bytes);
    this.#spinUntilMs = endMs + SPIN_MS;
  }

  #timeCommits(): void {
    const { committed } = this.#driver.member;
    if (committed === this.#committed) return;
    this.#committed = committed;
    const nowMs = performance.now();
    for (const [epoch, sentMs] of this.#sent) {
      if (epoch > committed) break;
      this.#sent.delete(epoch);
      this.commitUs.add((nowMs - sentMs) * 1000);
    }
  }

  /** Until there is something to do. */
  #sleep(): void {
    // The member may have ended the guest's time here.
    if (this.#running === null) return;
    const { machine, runner } = this.#running;
    const driver = this.#driver;
    const nowMs = performance.now();
    const mayRun = this.#mayRun;
    const output = driver.service?.output;
    const spinning = output !== undefined && output.heldCount > 0 && nowMs < this.#spinUntilMs;
    const standingBack = this.#standBackUntilMs !== 0;
    if ((mayRun && runner.hasWork) || driver.epochDue(false, false) || spinning || standingBack) {
      this.wake();
      return;
    }
    let ms = mayRun ? runner.sleepMs : Number.POSITIVE_INFINITY;
    // While too much is on its way no epoch can end: an acknowledgement will wake us.
    if (!driver.member.throttled) {
      if (output?.waiting) ms = Math.min(ms, this.#capturedMs + GATHER_MS - nowMs);
      if (machine.instructions !== this.#capturedAt) ms = Math.min(ms, this.#capturedMs + this.#epochMs - nowMs);
    }
    if (ms === Number.POSITIVE_INFINITY) return;
    this.#timer = setTimeout(this.#turn, Math.max(1, Math.ceil(ms)));
  }
}
