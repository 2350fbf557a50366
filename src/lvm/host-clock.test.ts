import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { ClockSample } from './api.ts';
import { HostClock } from './host-clock.ts';

/** A host whose clocks are set by the test. */
function host(monotonicMs: number, wallMs: number) {
  return {
    monotonicMs: monotonicMs,
    wallMs: wallMs,
    source() {
      return { monotonicMs: () => this.monotonicMs, wallMs: () => this.wallMs };
    },
  };
}

test('begins at zero and at the wall clock, with microseconds between its milliseconds', () => {
  const clocks = host(5000.25, 1_700_000_000_000);
  const clock = new HostClock(null, clocks.source());
  expect(clock.sample()).toEqual({ monotonicUs: 0, realtimeUs: 1_700_000_000_000_000 });
  clocks.monotonicMs += 0.5;
  expect(clock.sample()).toEqual({ monotonicUs: 500, realtimeUs: 1_700_000_000_000_500 });
});

test('goes on from the last replica’s sample, with a host whose clocks say something else', () => {
  const last = { monotonicUs: 90_000_000, realtimeUs: 1_700_000_000_000_000 };
  const behind = new HostClock(last, host(7, 1_699_999_000_000).source());
  expect(behind.sample()).toEqual(last);
  const ahead = new HostClock(last, host(7, 1_700_000_005_000).source());
  expect(ahead.sample()).toEqual({ monotonicUs: 90_000_000, realtimeUs: 1_700_000_005_000_000 });
});

test('follows a wall clock that is set forwards, waits for one that is set back', () => {
  const clocks = host(0, 1_000_000);
  const clock = new HostClock(null, clocks.source());
  clocks.monotonicMs = 10;
  clocks.wallMs = 2_000_010;
  expect(clock.sample().realtimeUs).toBe(2_000_010_000);
  clocks.monotonicMs = 20;
  clocks.wallMs = 1_999_020;
  expect(clock.sample().realtimeUs).toBe(2_000_010_000);
  clocks.monotonicMs = 2020;
  clocks.wallMs = 2_001_020;
  expect(clock.sample().realtimeUs).toBe(2_001_020_000);
});

test('never goes backwards, whatever the host does and however often it is taken over', () => {
  const step = fc.record({
    monotonicMs: fc.double({ min: 0, max: 5000, noNaN: true }),
    wallMs: fc.integer({ min: -10_000, max: 10_000 }),
    takeOver: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(step), (steps) => {
      const clocks = host(1000, 1_000_000);
      let clock = new HostClock(null, clocks.source());
      let last: ClockSample = clock.sample();
      for (const { monotonicMs, wallMs, takeOver } of steps) {
        clocks.monotonicMs += monotonicMs;
        clocks.wallMs += wallMs;
        if (takeOver) {
          clocks.monotonicMs = wallMs + 20_000;
          clock = new HostClock(clock.last, clocks.source());
        }
        const now = clock.sample();
        expect(now.monotonicUs).toBeGreaterThanOrEqual(last.monotonicUs);
        expect(now.realtimeUs).toBeGreaterThanOrEqual(last.realtimeUs);
        expect(Number.isInteger(now.monotonicUs) && Number.isInteger(now.realtimeUs)).toBe(true);
        last = now;
      }
    }),
  );
});
