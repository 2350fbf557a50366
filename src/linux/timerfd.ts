/** timerfd_create(2). Time is passed in: the kernel asks `expiresAtUs` for its deadline and calls `tick` when time went on. */

import type { Plain } from '../checkpoint/ledger.ts';
import { EAGAIN, EINVAL } from './abi/errno.ts';
import { anonymousStat } from './console.ts';
import type { FileHost } from './fs/file-host.ts';
import { DEV_ANON } from './fs/node.ts';
import { OpenFile, POLLIN, POLLRDNORM, type Stat } from './open-file.ts';

const CLOCK_REALTIME = 0;
const CLOCK_REALTIME_ALARM = 8;

export interface TimerHost extends FileHost {
  /** The description has (or no more has) a deadline: `tick` is to be called when `expiresAtUs` is reached. */
  armTimer(timer: TimerFile): void;
}

export class TimerFile extends OpenFile {
  readonly #host: TimerHost;
  readonly clock: number;
  /** On the timer's own clock; null: disarmed. */
  #nextUs: number | null = null;
  #intervalUs = 0;
  #ticks = 0;

  constructor(host: TimerHost, id: number, flags: number, clock: number) {
    super(id, flags);
    this.#host = host;
    this.clock = clock;
  }

  override save(): unknown {
    const { flags, clock } = this;
    return { kind: 'timerfd', flags, clock, next: this.#nextUs, interval: this.#intervalUs, ticks: this.#ticks };
  }

  static restore(host: TimerHost, id: number, state: Plain): TimerFile {
    const saved = state as { flags: number; clock: number; next: number | null; interval: number; ticks: number };
    const timer = new TimerFile(host, id, saved.flags, saved.clock);
    timer.#nextUs = saved.next;
    timer.#intervalUs = saved.interval;
    timer.#ticks = saved.ticks;
    host.armTimer(timer);
    return timer;
  }

  get path(): string {
    return 'anon_inode:[timerfd]';
  }

  override stat(): Stat {
    return anonymousStat(9, 0o600, DEV_ANON);
  }

  get #realtime(): boolean {
    return this.clock === CLOCK_REALTIME || this.clock === CLOCK_REALTIME_ALARM;
  }

  #nowUs(): number {
    return this.#realtime ? this.#host.realtimeUs() : this.#host.monotonicUs();
  }

  /**
   * Monotonic µs at which it next has something to tell, or null. Once it has fired nothing more is told before it is
   * read: reading counts how often it has, as in Linux.
   */
  get expiresAtUs(): number | null {
    if (this.#nextUs === null || this.#ticks > 0) return null;
    return this.#realtime ? this.#nextUs - this.#host.realtimeUs() + this.#host.monotonicUs() : this.#nextUs;
  }

  /** `tick` would change something now. */
  get isDue(): boolean {
    return this.#nextUs !== null && this.#nextUs <= this.#nowUs();
  }

  /** Time went on. */
  tick(): void {
    if (this.#nextUs === null || !this.isDue) return;
    const now = this.#nowUs();
    if (this.#intervalUs > 0) {
      const times = Math.floor((now - this.#nextUs) / this.#intervalUs) + 1;
      this.#ticks += times;
      this.#nextUs += times * this.#intervalUs;
    } else {
      this.#ticks++;
      this.#nextUs = null;
    }
    this.#host.ledger.touch(this);
    this.#host.armTimer(this);
    this.queue.wake();
  }

  /** timerfd_settime(2): `valueUs` 0 disarms. */
  set(valueUs: number, intervalUs: number, absolute: boolean): void {
    this.#ticks = 0;
    this.#intervalUs = intervalUs;
    this.#nextUs = valueUs === 0 ? null : absolute ? valueUs : this.#nowUs() + valueUs;
    this.#host.ledger.touch(this);
    this.#host.armTimer(this);
    this.tick();
  }

  /** timerfd_gettime(2): time left and interval, µs. */
  get(): { valueUs: number; intervalUs: number } {
    this.tick();
    const valueUs = this.#nextUs === null ? 0 : Math.max(1, this.#nextUs - this.#nowUs());
    return { valueUs, intervalUs: this.#intervalUs };
  }

  override read(length: number): Uint8Array | number {
    if (length < 8) return -EINVAL;
    this.tick();
    if (this.#ticks === 0) return -EAGAIN;
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setBigUint64(0, BigInt(this.#ticks), true);
    this.#ticks = 0;
    this.#host.ledger.touch(this);
    this.#host.armTimer(this);
    return bytes;
  }

  override write(): number {
    return -EINVAL;
  }

  override poll(): number {
    this.tick();
    return this.#ticks > 0 ? POLLIN | POLLRDNORM : 0;
  }

  override close(): void {
    this.#nextUs = null;
    this.#host.armTimer(this);
  }
}
