import { describe, expect, test } from 'vitest';
import { SI_TIMER, SIGCHLD, SIGHUP, SIGKILL, SIGRTMIN, SIGSEGV, SIGUSR1, signalBit } from './abi/signal.ts';
import { SignalQueue } from './signal-queue.ts';
import type { SignalInfo } from './signalfd.ts';

const ALL = (1n << 64n) - 1n;
const of = (signo: number, more: Partial<SignalInfo> = {}): SignalInfo => ({ signo, code: 0, pid: 1, uid: 0, ...more });

function drained(queue: SignalQueue, mask = ALL): number[] {
  const taken: number[] = [];
  for (let info = queue.take(mask); info !== null; info = queue.take(mask)) taken.push(info.signo);
  return taken;
}

describe('pending signals', () => {
  test('the lowest number first; those that a CPU raises before all others', () => {
    const queue = new SignalQueue();
    for (const signo of [SIGRTMIN, SIGCHLD, SIGSEGV, SIGHUP, SIGKILL]) queue.add(of(signo));
    expect(drained(queue)).toEqual([SIGSEGV, SIGHUP, SIGKILL, SIGCHLD, SIGRTMIN]);
    expect(queue.set).toBe(0n);
  });

  test('a standard signal is pending once, with its first information; real-time ones queue in order', () => {
    const queue = new SignalQueue();
    for (const pid of [1, 2]) {
      expect(queue.add(of(SIGUSR1, { pid }))).toBe(true);
      expect(queue.add(of(SIGRTMIN + 1, { pid }))).toBe(true);
    }
    expect(queue.take(signalBit(SIGUSR1))).toEqual(of(SIGUSR1, { pid: 1 }));
    expect(queue.take(ALL)?.pid).toBe(1);
    expect(queue.set).toBe(signalBit(SIGRTMIN + 1));
    expect(queue.take(ALL)?.pid).toBe(2);
    expect(queue.take(ALL)).toBeNull();
  });

  test('only what the mask has is seen, taken or forgotten', () => {
    const queue = new SignalQueue();
    for (const signo of [SIGHUP, SIGUSR1, SIGRTMIN]) queue.add(of(signo));
    expect(queue.peek(signalBit(SIGUSR1))?.signo).toBe(SIGUSR1);
    expect(queue.discard(signalBit(SIGCHLD))).toBe(false);
    expect(queue.discard(signalBit(SIGHUP) | signalBit(SIGUSR1))).toBe(true);
    expect(drained(queue)).toEqual([SIGRTMIN]);
  });

  test('a queue that is full refuses more real-time signals', () => {
    const queue = new SignalQueue();
    let count = 0;
    while (queue.add(of(SIGRTMIN))) count++;
    expect(count).toBe(4096);
    expect(queue.add(of(SIGRTMIN + 1))).toBe(false);
  });

  test("a timer's signal counts how often it went off while it was pending", () => {
    const queue = new SignalQueue();
    expect(queue.overrun(3, 1)).toBe(0);
    queue.add(of(SIGUSR1, { code: SI_TIMER, timer: 3, overrun: 1 }));
    expect(queue.hasTimer(3)).toBe(true);
    expect(queue.hasTimer(4)).toBe(false);
    expect(queue.overrun(3, 5)).toBe(6);
    expect(queue.overrun(3, 2 ** 40)).toBe(0x7fff_ffff);
    expect(queue.take(ALL)?.overrun).toBe(0x7fff_ffff);
  });

  test('is restored as it was', () => {
    const queue = new SignalQueue();
    queue.add(of(SIGCHLD, { code: 1, status: 7 }));
    queue.add(of(SIGSEGV, { address: (1n << 63n) + 5n }));
    queue.add(of(SIGRTMIN, { value: (1n << 64n) - 1n }));
    queue.add(of(SIGRTMIN, { code: SI_TIMER, timer: 0, overrun: 0, value: 0n }));
    const copy = new SignalQueue();
    copy.restore(structuredClone(queue.save()));
    expect(copy.save()).toEqual(queue.save());
    expect(copy.set).toBe(queue.set);
    expect(copy.take(signalBit(SIGRTMIN))).toEqual(of(SIGRTMIN, { value: (1n << 64n) - 1n }));
  });
});
