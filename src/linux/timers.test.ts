import { describe, expect, test } from 'vitest';
import { SIG_IGN, SIGALRM, SIGRTMIN, signalBit } from './abi/signal.ts';
import {
  SYS_alarm,
  SYS_getitimer,
  SYS_rt_sigaction,
  SYS_rt_sigprocmask,
  SYS_setitimer,
  SYS_timer_create,
  SYS_timer_delete,
  SYS_timer_getoverrun,
  SYS_timer_gettime,
  SYS_timer_settime,
} from './abi/syscall-numbers.ts';
import { TestKernel } from './test-kernel.ts';

const MS = 1000;

/** With all signals blocked, so that they stay pending. */
function blocked(): TestKernel {
  const host = new TestKernel();
  expect(host.call(SYS_rt_sigprocmask, 2, host.put(0, (1n << 64n) - 1n), 0, 8)).toBe(0);
  return host;
}

/** struct itimerval or itimerspec of µs: interval, value. */
const interval = (host: TestKernel, place: number, intervalUs: number, valueUs: number, unit = 1): number =>
  host.put(place, 0, intervalUs * unit, 0, valueUs * unit);

/** struct sigevent: a value, the signal, SIGEV_SIGNAL. */
const event = (host: TestKernel, place: number, signo: number, value: number): number => host.put(place, value, signo);

const pending = (host: TestKernel, signo: number): boolean => (host.init.pending.set & signalBit(signo)) !== 0n;

describe('interval timers', () => {
  test('the signal comes when it is due, not before; a single shot once', () => {
    const host = blocked();
    expect(host.call(SYS_setitimer, 0, interval(host, 1, 0, 10 * MS), 0)).toBe(0);
    expect(host.kernel.run(1)).toEqual({ kind: 'budget' });
    host.later(10 * MS - 1);
    expect(pending(host, SIGALRM)).toBe(false);
    host.later(1);
    expect(pending(host, SIGALRM)).toBe(true);
    host.init.pending.discard(signalBit(SIGALRM));
    host.later(100 * MS);
    expect(pending(host, SIGALRM)).toBe(false);
  });

  test('an interval keeps its rhythm however late it is looked at', () => {
    const host = blocked();
    host.call(SYS_setitimer, 0, interval(host, 1, 10 * MS, 10 * MS), 0);
    host.later(34 * MS);
    expect(pending(host, SIGALRM)).toBe(true);
    expect(host.call(SYS_getitimer, 0, host.put(2, 0, 0, 0, 0))).toBe(0);
    expect(host.word(host.at(2) + 24)).toBe(BigInt(6 * MS));
  });

  test('a deadline only as long as somebody would hear of it', () => {
    const host = blocked();
    host.call(SYS_setitimer, 0, interval(host, 1, 10 * MS, 10 * MS), 0);
    expect(host.init.timers.nextUs).toBe(host.monotonicUs + 10 * MS);
    host.later(10 * MS);
    expect(host.init.timers.nextUs).toBeNull();
    host.init.pending.discard(signalBit(SIGALRM));
    expect(host.init.timers.nextUs).toBe(host.monotonicUs + 10 * MS);
    host.call(SYS_rt_sigaction, SIGALRM, host.put(4, SIG_IGN, 0, 0, 0), 0, 8);
    expect(host.init.timers.nextUs).toBeNull();
  });

  test('alarm tells what was left, never zero while one was set', () => {
    const host = blocked();
    expect(host.call(SYS_alarm, 10)).toBe(0);
    host.later(9_900_000);
    expect(host.call(SYS_alarm, 2)).toBe(1);
    expect(host.call(SYS_alarm, 0)).toBe(2);
    expect(host.call(SYS_alarm, 0)).toBe(0);
  });
});

describe('timers of timer_create', () => {
  test('one signal at a time is pending, and says how often the timer went off besides', () => {
    const host = blocked();
    const id = host.put(2, 0);
    expect(host.call(SYS_timer_create, 1, event(host, 1, SIGRTMIN, 77), id)).toBe(0);
    expect(host.call(SYS_timer_settime, 0, 0, interval(host, 3, MS, MS, 1000), 0)).toBe(0);
    host.later(MS);
    host.later(5 * MS);
    host.later(2 * MS);
    expect(host.call(SYS_timer_getoverrun, 0)).toBe(7);
    const info = host.init.pending.take(signalBit(SIGRTMIN));
    expect(info).toMatchObject({ signo: SIGRTMIN, timer: 0, overrun: 7, value: 77n });
    expect(host.init.pending.take(signalBit(SIGRTMIN))).toBeNull();
  });

  test('a deleted timer is gone; so is one that could not be told', () => {
    const host = blocked();
    expect(host.call(SYS_timer_create, 1, 0, 0x1000)).toBe(-14);
    expect(host.call(SYS_timer_create, 1, 0, host.put(1, 0))).toBe(0);
    const id = Number(host.word(host.at(1)));
    expect(host.call(SYS_timer_gettime, id, host.put(3, 0, 0, 0, 0))).toBe(0);
    expect(host.call(SYS_timer_delete, id)).toBe(0);
    expect(host.call(SYS_timer_gettime, id, host.put(3, 0, 0, 0, 0))).toBe(-22);
  });

  test('on CPU time they go on only while the process runs', () => {
    const host = blocked();
    host.call(SYS_timer_create, 2, event(host, 1, SIGRTMIN, 0), host.put(2, 0));
    host.call(SYS_timer_settime, 0, 0, interval(host, 3, 0, 100 * MS, 1000), 0);
    expect(host.init.timers.nextUs).toBeNull();
    host.monotonicUs += 1_000_000;
    host.kernel.run(1);
    expect(pending(host, SIGRTMIN)).toBe(false);
    // A thousand instructions are a microsecond; a run here is ten million.
    for (let i = 0; i < 12; i++) host.later(1);
    expect(pending(host, SIGRTMIN)).toBe(true);
  });

  test('what is set is restored', () => {
    const host = blocked();
    host.call(SYS_timer_create, 1, event(host, 1, SIGRTMIN, 5), host.put(2, 0));
    host.call(SYS_timer_settime, 0, 0, interval(host, 3, MS, 2 * MS, 1000), 0);
    const saved = structuredClone(host.init.timers.save());
    host.init.timers.clear();
    expect(host.init.timers.nextUs).toBeNull();
    host.init.timers.restore(saved);
    expect(host.init.timers.save()).toEqual(saved);
    host.later(2 * MS);
    expect(pending(host, SIGRTMIN)).toBe(true);
  });
});
