/**
 * A process's timers: setitimer(2), alarm(2) and timer_create(2). Time is passed in: the kernel asks `nextUs` and calls
 * `tick` when it has come.
 */

import type { Plain } from '../checkpoint/ledger.ts';
import { SI_KERNEL, SI_TIMER, SIG_IGN, SIGALRM, SIGPROF, SIGVTALRM, signalBit } from './abi/signal.ts';
import type { Kernel } from './kernel.ts';
import type { Process } from './process.ts';
import { sendToProcess, sendToThread } from './signals.ts';

const ITIMER_REAL = 0;
/** Of ITIMER_REAL, ITIMER_VIRTUAL, ITIMER_PROF. */
const ITIMER_SIGNAL = [SIGALRM, SIGVTALRM, SIGPROF];

const CLOCK_REALTIME = 0;
export const CLOCK_PROCESS_CPUTIME_ID = 2;
export const CLOCK_THREAD_CPUTIME_ID = 3;
const CLOCK_REALTIME_ALARM = 8;
const CLOCK_TAI = 11;

export interface Alarm {
  /** On its clock, µs; null: not set. */
  nextUs: number | null;
  intervalUs: number;
}

export interface PosixTimer extends Alarm {
  readonly clock: number;
  /** For CLOCK_THREAD_CPUTIME_ID: the thread whose time it is. */
  readonly thread: number;
  /** 0: SIGEV_NONE. */
  readonly signo: number;
  /** SIGEV_THREAD_ID: the thread; 0: the process. */
  readonly tid: number;
  /** sigev_value, as unsigned hex digits; null: the timer's id. */
  readonly value: string | null;
  overrun: number;
}

export class ProcessTimers {
  readonly #kernel: Kernel;
  readonly #process: Process;
  readonly #interval: Alarm[] = [0, 1, 2].map(() => ({ nextUs: null, intervalUs: 0 }));
  readonly #posix = new Map<number, PosixTimer>();
  #nextId = 0;

  constructor(kernel: Kernel, process: Process) {
    this.#kernel = kernel;
    this.#process = process;
  }

  save(): Plain {
    return { interval: this.#interval, posix: [...this.#posix], nextId: this.#nextId };
  }

  restore(state: Plain): void {
    const saved = state as { interval: Alarm[]; posix: [number, PosixTimer][]; nextId: number };
    saved.interval.forEach((alarm, i) => {
      this.#interval[i] = { ...alarm };
    });
    for (const [id, timer] of saved.posix) this.#posix.set(id, { ...timer });
    this.#nextId = saved.nextId;
    this.#enroll();
  }

  /** The clock of an interval timer: wall time, or the process's CPU time. */
  #intervalNow(which: number): number {
    return which === ITIMER_REAL ? this.#kernel.monotonicUs() : this.#process.cpuUs;
  }

  #clockNow({ clock, thread }: Pick<PosixTimer, 'clock' | 'thread'>): number {
    switch (clock) {
      case CLOCK_REALTIME:
      case CLOCK_REALTIME_ALARM:
      case CLOCK_TAI:
        return this.#kernel.realtimeUs();
      case CLOCK_PROCESS_CPUTIME_ID:
        return this.#process.cpuUs;
      case CLOCK_THREAD_CPUTIME_ID:
        return this.#process.members.get(thread)?.cpuUs ?? 0;
      default:
        return this.#kernel.monotonicUs();
    }
  }

  /** setitimer(2): `valueUs` from now, 0 disarms. */
  setItimer(which: number, valueUs: number, intervalUs: number): void {
    const alarm = this.#interval[which]!;
    alarm.nextUs = valueUs === 0 ? null : this.#intervalNow(which) + valueUs;
    alarm.intervalUs = intervalUs;
    this.#changed();
  }

  /** getitimer(2). */
  getItimer(which: number): { valueUs: number; intervalUs: number } {
    const { nextUs, intervalUs } = this.#interval[which]!;
    return { valueUs: nextUs === null ? 0 : Math.max(1, nextUs - this.#intervalNow(which)), intervalUs };
  }

  create(timer: Pick<PosixTimer, 'clock' | 'thread' | 'signo' | 'tid' | 'value'>): number {
    const id = this.#nextId++;
    this.#posix.set(id, { ...timer, nextUs: null, intervalUs: 0, overrun: 0 });
    this.#changed();
    return id;
  }

  posix(id: number): PosixTimer | undefined {
    return this.#posix.get(id);
  }

  delete(id: number): boolean {
    const there = this.#posix.delete(id);
    if (there) this.#changed();
    return there;
  }

  setPosix(timer: PosixTimer, valueUs: number, intervalUs: number, absolute: boolean): void {
    timer.nextUs = valueUs === 0 ? null : absolute ? valueUs : this.#clockNow(timer) + valueUs;
    timer.intervalUs = intervalUs;
    timer.overrun = 0;
    this.#changed();
  }

  getPosix(timer: PosixTimer): { valueUs: number; intervalUs: number } {
    const { nextUs, intervalUs } = timer;
    return { valueUs: nextUs === null ? 0 : Math.max(1, nextUs - this.#clockNow(timer)), intervalUs };
  }

  /** execve(2): timers of timer_create are not inherited. */
  clearPosix(): void {
    this.#posix.clear();
    this.#changed();
  }

  /** The process has ended. */
  clear(): void {
    for (const alarm of this.#interval) alarm.nextUs = null;
    this.clearPosix();
  }

  #alarms(): Alarm[] {
    return [...this.#interval, ...this.#posix.values()];
  }

  #changed(): void {
    this.#process.touch();
    this.#enroll();
  }

  /** The kernel looks only at processes that have a timer running. */
  #enroll(): void {
    this.#kernel.armProcess(
      this.#process,
      this.#alarms().some(({ nextUs }) => nextUs !== null),
    );
  }

  /**
   * When `tick` has work at the earliest, monotonic µs. Timers on CPU time cannot tell: they are looked at whenever the
   * kernel looks, which is often while the process runs. One whose signal is pending, or ignored, has none: it only counts,
   * and catches up when it is looked at.
   */
  get nextUs(): number | null {
    const nowUs = this.#kernel.monotonicUs();
    const { pending, actions, members } = this.#process;
    let first: number | null = null;
    const consider = (leftUs: number): void => {
      if (first === null || nowUs + leftUs < first) first = nowUs + leftUs;
    };
    const isHeard = (signo: number): boolean => actions[signo]!.handler !== SIG_IGN;
    const real = this.#interval[ITIMER_REAL]!;
    if (real.nextUs !== null && isHeard(SIGALRM) && (pending.set & signalBit(SIGALRM)) === 0n)
      consider(real.nextUs - nowUs);
    for (const [id, timer] of this.#posix) {
      const { nextUs, clock, signo, tid } = timer;
      if (nextUs === null || clock === CLOCK_PROCESS_CPUTIME_ID || clock === CLOCK_THREAD_CPUTIME_ID) continue;
      const queue = tid === 0 ? pending : members.get(tid)?.pending;
      if (signo !== 0 && isHeard(signo) && queue?.hasTimer(id) === false) consider(nextUs - this.#clockNow(timer));
    }
    return first;
  }

  /** `tick` would change something now. */
  get isDue(): boolean {
    const has = ({ nextUs }: Alarm, nowUs: number): boolean => nextUs !== null && nextUs <= nowUs;
    if (this.#interval.some((alarm, which) => has(alarm, this.#intervalNow(which)))) return true;
    for (const timer of this.#posix.values()) if (has(timer, this.#clockNow(timer))) return true;
    return false;
  }

  tick(): void {
    this.#interval.forEach((alarm, which) => {
      if (this.#fires(alarm, this.#intervalNow(which)) === 0) return;
      sendToProcess(this.#kernel, this.#process, { signo: ITIMER_SIGNAL[which]!, code: SI_KERNEL, pid: 0, uid: 0 });
    });
    for (const [id, timer] of [...this.#posix]) {
      const times = this.#fires(timer, this.#clockNow(timer));
      if (times > 0 && timer.signo !== 0) this.#send(id, timer, times);
    }
  }

  /** Of a timer at most one signal is pending; it says how often the timer went off besides. */
  #send(id: number, timer: PosixTimer, times: number): void {
    const { signo, tid } = timer;
    const thread = tid === 0 ? null : this.#process.members.get(tid);
    if (thread === undefined) return;
    timer.overrun = (thread ?? this.#process).pending.overrun(id, times);
    if (timer.overrun > 0) {
      if (thread !== null) this.#kernel.touch(thread);
      return;
    }
    timer.overrun = times - 1;
    const value = timer.value === null ? BigInt(id) : BigInt(`0x${timer.value}`);
    const info = { signo, code: SI_TIMER, pid: 0, uid: 0, timer: id, overrun: timer.overrun, value };
    if (thread === null) sendToProcess(this.#kernel, this.#process, info);
    else sendToThread(this.#kernel, thread, info);
  }

  /** How often the alarm has gone off; sets the next time. */
  #fires(alarm: Alarm, nowUs: number): number {
    if (alarm.nextUs === null || nowUs < alarm.nextUs) return 0;
    let times = 1;
    if (alarm.intervalUs > 0) {
      times = Math.floor((nowUs - alarm.nextUs) / alarm.intervalUs) + 1;
      alarm.nextUs += times * alarm.intervalUs;
    } else {
      alarm.nextUs = null;
    }
    this.#changed();
    return times;
  }
}
