/**
 * The virtual CPU against the host's: random instructions and short sequences, run natively and translated from the same
 * state; everything defined is compared.
 *
 *     npm run fuzz:cpu -- --cases 100000 --seed 1 [--filter OP,…|--area AREA,…] [--length 6] [--step N]
 *                         [--tier liftoff|turbofan|default] [--report FILE] [--replay FILE] [--sticky] [--mxcsr] [--x87] [--states N] [--all]
 *
 * --mxcsr: other settings than the default, with which the sticky flags are compared too.
 * --x87: any x87 control word, status word and tags. --states: how many of them for each case that is one x87 instruction.
 * --all: also forms without a lowering. Exit status 1 when there were differences. The report has one JSON line a difference, which --replay takes.
 */

import { readFileSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { setFlagsFromString } from 'node:v8';
import { FORMS } from '../src/x86/table.ts';
import { type CpuCase, caseFromJson, caseToJson } from '../test/cpu/case.ts';
import { compareResults } from '../test/cpu/compare.ts';
import { isImplemented, newGuestCpu } from '../test/cpu/engine.ts';
import { Generator, isComparable } from '../test/cpu/generate.ts';
import { VECTOR_ENDLESS } from '../test/cpu/guest.ts';
import { NativeCpu } from '../test/cpu/native.ts';
import { Random } from '../test/cpu/random.ts';

/** Every case makes modules of its own; an instance of the CPU keeps them all. */
const BATCH = 2000;

const { values } = parseArgs({
  options: {
    cases: { type: 'string', default: '10000' },
    seed: { type: 'string', default: '1' },
    filter: { type: 'string' },
    area: { type: 'string' },
    length: { type: 'string', default: '6' },
    step: { type: 'string', default: '0' },
    tier: { type: 'string', default: 'default' },
    report: { type: 'string', default: '/tmp/fuzz-cpu.jsonl' },
    replay: { type: 'string' },
    sticky: { type: 'boolean', default: false },
    mxcsr: { type: 'boolean', default: false },
    x87: { type: 'boolean', default: false },
    states: { type: 'string', default: '1' },
    all: { type: 'boolean', default: false },
  },
});

if (values.tier === 'liftoff') setFlagsFromString('--liftoff-only');
if (values.tier === 'turbofan') setFlagsFromString('--no-liftoff');

const seed = Number(values.seed);
const areas = values.area?.split(',');
const ops = values.filter?.split(',');
const forms = FORMS.filter(
  (form) =>
    isComparable(form) &&
    (values.all || isImplemented(form)) &&
    (!areas || areas.includes(form.area)) &&
    (!ops || ops.includes(form.op)),
);
if (forms.length === 0) throw new Error('no such forms');
const generator = new Generator(new Random(seed), {
  forms,
  maxLength: Number(values.length),
  mxcsr: values.mxcsr,
  x87: values.x87,
});
const native = new NativeCpu();
const report: string[] = [];
const byOp = new Map<string, number>();
let compared = 0;
/** Jumps into itself and the like: run out of budget, not compared. */
let endless = 0;

function batch(cases: readonly CpuCase[]): void {
  const expected = native.run(cases);
  const guest = newGuestCpu();
  cases.forEach((c, i) => {
    let differences: string[];
    try {
      const actual = guest.run(c, Number(values.step));
      if (actual.vector === VECTOR_ENDLESS) {
        endless++;
        return;
      }
      differences = compareResults(c, expected[i]!, actual, { sticky: values.sticky });
    } catch (error) {
      differences = [`translator: ${error instanceof Error ? error.stack : error}`];
    }
    compared++;
    if (differences.length === 0) return;
    const names = c.forms.map((id) => FORMS[id]!.text);
    const key = names.length === 1 ? names[0]! : '(sequence)';
    byOp.set(key, (byOp.get(key) ?? 0) + 1);
    report.push(
      JSON.stringify({ code: Buffer.from(c.code).toString('hex'), forms: names, differences, case: caseToJson(c) }),
    );
  });
  guest.close();
}

console.log(`seed ${seed}, ${forms.length} forms, tier ${values.tier}`);
if (values.replay) {
  const cases = readFileSync(values.replay, 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => caseFromJson(JSON.parse(line).case));
  batch(cases);
} else {
  const states = Number(values.states);
  for (let left = Number(values.cases); left > 0; left -= BATCH) {
    const cases: CpuCase[] = [];
    while (cases.length < Math.min(left, BATCH)) {
      const c = generator.case();
      cases.push(c);
      if (c.forms.length !== 1 || FORMS[c.forms[0]!]!.area !== 'x87') continue;
      for (let i = 1; i < states; i++) cases.push(generator.again(c));
    }
    batch(cases);
  }
}
native.close();
writeFileSync(values.report, report.map((line) => `${line}\n`).join(''));
for (const [op, count] of [...byOp].sort((a, b) => b[1] - a[1])) console.log(`${count}\t${op}`);
console.log(
  `${compared} cases, ${endless} endless, ${report.length} differences${report.length > 0 ? ` (${values.report})` : ''}`,
);
process.exitCode = report.length > 0 ? 1 : 0;
