/**
 * `npm run sim -- --seeds N --seed S`: runs the production replication code under N seeds of faults, beginning with S.
 * Exit status 1 at a broken rule; the seed reproduces it. The last line is JSON.
 */

import { parseArgs } from 'node:util';
import { simulate } from '../src/sim/world.ts';

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '1000' },
    seed: { type: 'string', default: '1' },
    /** Go on after a broken rule. */
    all: { type: 'boolean', default: false },
    quiet: { type: 'boolean', default: false },
  },
});

const seeds = Number(values.seeds);
const first = Number(values.seed);
const total = {
  seeds: 0,
  events: 0,
  released: 0,
  promoted: 0,
  joined: 0,
  evicted: 0,
  handedOver: 0,
  halted: 0,
  faults: 0,
};
let broken = 0;
const startMs = performance.now();
for (let seed = first; seed < first + seeds; seed++) {
  const result = simulate(seed);
  total.seeds++;
  total.events += result.events;
  for (const [name, count] of Object.entries(result.counts)) total[name as keyof typeof result.counts] += count;
  if (result.violation !== null) {
    broken++;
    console.error(`seed ${seed}: ${result.violation}`);
    if (!values.all) break;
  }
  if (!values.quiet && total.seeds % 1000 === 0) console.error(`${total.seeds} seeds, ${total.faults} faults`);
}
const seconds = Number(((performance.now() - startMs) / 1000).toFixed(1));
console.log(JSON.stringify({ ...total, broken, seconds }));
process.exitCode = broken > 0 ? 1 : 0;
