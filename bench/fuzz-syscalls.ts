/**
 * npm run fuzz:syscalls -- --cases N [--seed S] — random system calls against the kernel, see test/support/syscall-fuzz.ts.
 * A failure prints the seed and the last calls; the same seed repeats it.
 */

import { parseArgs } from 'node:util';
import { seedFrom } from '../test/support/random.ts';
import { fuzzSyscalls } from '../test/support/syscall-fuzz.ts';

const { values } = parseArgs({
  options: {
    cases: { type: 'string', default: '100000' },
    seed: { type: 'string' },
    /** Calls between two checkpoints. */
    epoch: { type: 'string', default: '50' },
    /** Prints how often each call was made and how often it succeeded. */
    counts: { type: 'boolean', default: false },
    /** Prints every call before it is made. */
    trace: { type: 'boolean', default: false },
  },
});

/** A run of the fuzzer: machines, files and processes pile up, so a long one is cut into many. */
const RUN = 20_000;
const trace = values.trace ? { trace: (call: string) => console.error(call) } : {};
let seed = values.seed === undefined ? seedFrom() : Number(values.seed);
const counts = new Map<string, [number, number]>();
for (let left = Number(values.cases); left > 0; left -= RUN, seed++) {
  const began = performance.now();
  const report = fuzzSyscalls({ seed, cases: Math.min(left, RUN), epoch: Number(values.epoch), ...trace });
  const seconds = ((performance.now() - began) / 1000).toFixed(1);
  console.log(
    `seed ${seed}: ${report.calls} calls, ${report.machines} machines, ${report.failovers} failovers, ${seconds} s`,
  );
  for (const line of report.slow) console.log(`  slow: ${line}`);
  for (const [name, [made, succeeded]] of report.counts) {
    const [before, beforeSucceeded] = counts.get(name) ?? [0, 0];
    counts.set(name, [before + made, beforeSucceeded + succeeded]);
  }
}
if (values.counts) {
  for (const [name, [made, succeeded]] of [...counts].sort(([, a], [, b]) => a[1] / a[0] - b[1] / b[0]))
    console.log(`${name.padEnd(24)} ${String(made).padStart(8)} ${String(succeeded).padStart(8)}`);
}
