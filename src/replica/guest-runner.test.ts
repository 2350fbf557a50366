import { describe, expect, test } from 'vitest';
import type { RunResult } from '../lvm/api.ts';
import { HostClock } from '../lvm/host-clock.ts';
import { openImage } from '../lvm/node-image.ts';
import { NodeLvm } from '../lvm/node-lvm.ts';
import { GuestRunner } from './guest-runner.ts';
import type { Machine } from './machine.ts';
import { Meter } from './meters.ts';
import { SafeInput } from './safe-input.ts';
import { SliceBudget } from './slice-budget.ts';

describe('a slice', () => {
  test('is about a millisecond, at any speed', () => {
    const budget = new SliceBudget();
    for (const perMs of [400_000, 2_000_000, 50_000]) {
      for (let i = 0; i < 20; i++) budget.ran(budget.next, budget.next / perMs);
      expect(budget.next / perMs).toBeCloseTo(1, 1);
    }
  });

  test('becomes short at once where code must be translated, and long step by step', () => {
    const budget = new SliceBudget();
    for (let i = 0; i < 20; i++) budget.ran(budget.next, budget.next / 1_000_000);
    budget.ran(300_000, 100);
    expect(budget.next).toBeLessThan(10_000);
    const before = budget.next;
    budget.ran(before, 0.01);
    expect(budget.next).toBe(2 * before);
  });

  test('that ended early because the guest went to sleep says nothing', () => {
    const budget = new SliceBudget();
    for (let i = 0; i < 20; i++) budget.ran(budget.next, budget.next / 1_000_000);
    const before = budget.next;
    budget.ran(10, 0.05);
    expect(budget.next).toBe(before);
  });
});

describe('a guest', () => {
  function guest(results: RunResult[]) {
    const output = { send: () => {}, console: () => {}, exit: () => {} };
    const lvm = new NodeLvm({ image: openImage('/'), clock: new HostClock(), output });
    const machine = {
      instructions: 0,
      consoleInput: { available: 0 },
      run() {
        this.instructions += 10;
        return results.shift()!;
      },
    };
    return { lvm, machine, runner: new GuestRunner(machine as unknown as Machine, lvm) };
  }

  test('runs at first, while it is busy, and when something comes', () => {
    const { lvm, runner } = guest([{ kind: 'budget' }, { kind: 'wait', deadlineUs: null }]);
    expect([runner.hasWork, runner.busy]).toEqual([true, true]);
    runner.run();
    expect(runner.hasWork).toBe(true);
    runner.run();
    expect([runner.hasWork, runner.busy, runner.sleepMs]).toEqual([false, false, Number.POSITIVE_INFINITY]);
    lvm.packet(new Uint8Array(20));
    expect(runner.hasWork).toBe(true);
  });

  test('that makes nothing but system calls has slices as long as another', () => {
    const { machine, runner } = guest([]);
    let budget = 0;
    Object.assign(machine, {
      run(given: number) {
        budget = given;
        machine.instructions += given / 100;
        return { kind: 'budget' };
      },
    });
    for (let i = 0; i < 10; i++) runner.run();
    // It takes no time: always twice as much as before.
    expect(budget).toBeGreaterThan(100_000);
  });

  test('sleeps until its deadline', () => {
    const { lvm, runner } = guest([]);
    const results = [{ kind: 'wait', deadlineUs: lvm.clock().monotonicUs + 50_000 } as const];
    const timed = guest(results);
    timed.runner.run();
    expect(timed.runner.sleepMs).toBeGreaterThan(0);
    expect(timed.runner.hasWork).toBe(false);
    expect(runner.ended).toBe(false);
    const past = guest([{ kind: 'wait', deadlineUs: 0 }]);
    past.runner.run();
    expect(past.runner.hasWork).toBe(true);
  });

  test('that has ended has no more work, whatever comes', () => {
    const { lvm, runner } = guest([{ kind: 'exit', status: { code: 0, signal: null } }]);
    runner.run();
    lvm.packet(new Uint8Array(20));
    expect([runner.ended, runner.hasWork]).toEqual([true, false]);
  });

  test('that does not read its standard input is not given more', () => {
    const { lvm, machine, runner } = guest([{ kind: 'budget' }, { kind: 'budget' }]);
    machine.consoleInput.available = 1 << 20;
    runner.run();
    expect(lvm.stdinHeld).toBe(true);
    machine.consoleInput.available = 0;
    runner.run();
    expect(lvm.stdinHeld).toBe(false);
  });
});

test('input is safe when the epoch that took it is', () => {
  const safe: unknown[] = [];
  const input = new SafeInput((taken) => safe.push(taken));
  input.captured(1, { stdin: 0, signals: 0 });
  input.captured(2, { stdin: 1, signals: 0 });
  input.captured(3, { stdin: 1, signals: 0 });
  input.captured(4, { stdin: 5, signals: 1 });
  input.committed(1);
  expect(safe).toEqual([]);
  input.committed(3);
  expect(safe).toEqual([{ stdin: 1, signals: 0 }]);
  input.committed(9);
  input.committed(10);
  expect(safe).toEqual([
    { stdin: 1, signals: 0 },
    { stdin: 5, signals: 1 },
  ]);
});

test('percentiles are of the last few thousand values', () => {
  const meter = new Meter();
  expect(meter.percentiles()).toBeNull();
  for (let i = 0; i < 10_000; i++) meter.add(1_000_000);
  for (let i = 1; i <= 4096; i++) meter.add(i);
  expect(meter.percentiles()).toEqual({ p50: 2049, p99: 4056, max: 4096 });
  expect(meter.count).toBe(14_096);
});
