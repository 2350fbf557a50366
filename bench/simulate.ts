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
const total: Record<string, number> = {};
let broken = 0;
const startMs = performance.now();
for (let seed = first; seed < first + seeds; seed++) {
  const result = simulate(seed);
  const { events, counts } = result;
  for (const [name, n] of Object.entries({ seeds: 1, events, ...counts })) total[name] = (total[name] ?? 0) + n;
  if (result.violation !== null) {
    broken++;
    console.error(`seed ${seed}: ${result.violation}`);
    if (!values.all) break;
  }
  if (!values.quiet && (seed - first + 1) % 1000 === 0) console.error(`${seed} done, ${JSON.stringify(total)}`);
}
const seconds = Number(((performance.now() - startMs) / 1000).toFixed(1));
console.log(JSON.stringify({ ...total, broken, seconds }));
process.exitCode = broken > 0 ? 1 : 0;
