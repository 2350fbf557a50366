/** Random system calls; `npm run fuzz:syscalls` makes more of them. SEED=n chooses others. */

import { expect, test } from 'vitest';
import { fuzzSyscalls } from './support/syscall-fuzz.ts';

test('random system calls, checkpoints and failovers among them', { timeout: 120_000 }, () => {
  const { calls, failovers, counts } = fuzzSyscalls({ seed: Number(process.env.SEED ?? 1), cases: 5000 });
  expect(calls).toBeGreaterThanOrEqual(5000);
  expect(failovers).toBeGreaterThan(5);
  // It gets somewhere: most calls succeed now and then.
  const successful = [...counts.values()].filter(([, succeeded]) => succeeded > 0);
  expect(successful.length).toBeGreaterThan(counts.size / 2);
});
