/**
 * Runs a program on a machine of its own, stops it at random instruction counts, and prints hashes of its whole state there:
 * `node [--liftoff-only | --no-liftoff] budgets.ts SEED STOPS HOW PROGRAM ARGS…`, ROOTFS in the environment. The counts are
 * the seed's, whatever HOW is:
 * `plain` stops nowhere else; `often` at three times as many other counts between, and all is interpreted; `losing` also
 * forgets translations and what is dirty there, and nothing is interpreted. Prints the output at the end.
 */

import { stateHash } from '../../src/checkpoint/hash.ts';
import { Machine } from '../support/machine.ts';
import { Random } from '../support/random.ts';

const [seedText, stopsText, how, program, ...args] = process.argv.slice(2);
const seed = Number(seedText);
/** Counts that follow each other, so that every instruction around a call or a signal is stopped at. */
const RUN = 50;

/** How many times code is interpreted before it is translated. */
const INTERPRETED: Readonly<Record<string, number>> = { often: Number.POSITIVE_INFINITY, losing: 0 };
const rootfs = process.env.ROOTFS ?? '/';
const newMachine = () => new Machine({ program: program!, args, rootfs, still: true, often: INTERPRETED[how!] });

/** Random counts, half of them in runs. */
function countsOf(random: Random, total: number, count: number): Set<number> {
  const counts = new Set<number>();
  while (counts.size < Math.min(count, total / 2)) {
    const first = 1 + random.below(total);
    const length = random.below(RUN) === 0 ? RUN : 1;
    for (let i = 0; i < length && first + i < total; i++) counts.add(first + i);
  }
  return counts;
}

const whole = newMachine();
whole.finish();
const total = whole.kernel.instructions;
const hashed = countsOf(new Random(seed), total, Number(stopsText));
const others = how === 'plain' ? [] : countsOf(new Random(seed + 1), total, 3 * hashed.size);
const random = new Random(seed + 2);

const machine = newMachine();
for (const count of [...new Set([...hashed, ...others])].sort((a, b) => a - b)) {
  while (machine.kernel.instructions < count) {
    if (!machine.run(count - machine.kernel.instructions, true)) throw new Error('it ended early');
  }
  if (machine.kernel.instructions !== count) throw new Error(`stopped at ${machine.kernel.instructions}, not ${count}`);
  const { spaces, ledger } = machine.kernel;
  if (hashed.has(count)) {
    for (const space of spaces.values()) machine.cpu.unload(space);
    const parts = new Map(ledger.all().map(({ key, bytes }) => [key, bytes!]));
    console.log(`${count} ${stateHash(spaces, parts).toString(16)}`);
  }
  if (how !== 'losing') continue;
  for (const space of spaces.values()) {
    if (random.below(30) === 0) machine.cpu.drop(space);
    if (random.below(3) === 0) space.takeDirty();
  }
}
machine.finish();
console.log(`${machine.kernel.instructions} ${machine.stdout}`);
