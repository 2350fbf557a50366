/**
 * The virtual CPU against the host's: random instructions and short sequences, run natively and translated from the same
 * state; everything defined is compared (test/cpu/).
 *
 *     npm run fuzz:cpu -- [--cases 100000 | --per-form 10000] [--minutes 60] [--seed 1] [--tier liftoff|turbofan|default]
 *                         [--filter OP,…|--area AREA,…] [--length 6] [--states 20] [--step N] [--report FILE] [--replay FILE]
 *                         [--often N] [--summary FILE] [--forms]
 *
 * --per-form: so many cases made for each form of the instruction table, and not less than --cases in all. --states: cases
 * made of each piece of code; the first --often of them (half) are interpreted, the others translated. --step: in exact slices of N instructions. --forms: how many cases each form got. Exit status 1
 * when there were differences; the report has one JSON line a difference, which --replay takes.
 */

import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { setFlagsFromString } from 'node:v8';
import { FORMS, type Form } from '../src/x86/table.ts';
import {
  type CpuCase,
  caseFromJson,
  caseToJson,
  OUT_CODE,
  OUT_SIGNO,
  OUT_VECTOR,
  RESULT_SIZE,
} from '../test/cpu/case.ts';
import { COMPARED, compareBatch } from '../test/cpu/engine.ts';
import { Generator, whyNotCompared } from '../test/cpu/generate.ts';
import { NativeCpu } from '../test/cpu/native.ts';
import { Random } from '../test/cpu/random.ts';

/** Pieces of code that one instance of the CPU runs: it keeps a module of each, and V8 has room for some 30,000. */
const DRAFTS = 400;
/** How often it is said on stderr how far it is. */
const PROGRESS_MS = 60_000;
/** Differences written to the report for each form. */
const REPORTED_MAX = 50;

const { values } = parseArgs({
  options: {
    cases: { type: 'string', default: '10000' },
    'per-form': { type: 'string', default: '0' },
    minutes: { type: 'string', default: '1e9' },
    seed: { type: 'string', default: '1' },
    filter: { type: 'string' },
    area: { type: 'string' },
    length: { type: 'string', default: '6' },
    states: { type: 'string', default: '20' },
    often: { type: 'string' },
    step: { type: 'string', default: '0' },
    tier: { type: 'string', default: 'default' },
    report: { type: 'string', default: '/tmp/fuzz-cpu.jsonl' },
    summary: { type: 'string' },
    replay: { type: 'string' },
    forms: { type: 'boolean', default: false },
  },
});

if (values.tier === 'liftoff') setFlagsFromString('--liftoff-only');
if (values.tier === 'turbofan') setFlagsFromString('--no-liftoff');

const seed = Number(values.seed);
const states = Number(values.states);
const often = Number(values.often ?? states / 2);
const areas = values.area?.split(',');
const ops = values.filter?.split(',');
const forms = COMPARED.filter((form) => (!areas || areas.includes(form.area)) && (!ops || ops.includes(form.op)));
if (forms.length === 0) throw new Error('no such forms');
const started = Date.now();
const host = cpus()[0]!.model.trim();
const native = new NativeCpu();

/** Cases by form: made for it, made for it with nothing else in them, with it in them. */
const made = new Uint32Array(FORMS.length);
const alone = new Uint32Array(FORMS.length);
const within = new Uint32Array(FORMS.length);
/** Cases by how they ended on the host. */
const endings = new Map<string, number>();
const differing = new Map<string, number>();
const known = new Map<string, number>();
const notComparable = new Map<string, number>();
let compared = 0;
let endless = 0;
let differences = 0;
let told = started;

writeFileSync(values.report, '');
console.log(`seed ${seed}, ${forms.length} of ${FORMS.length} forms, tier ${values.tier}, host ${host}`);
if (values.replay) replay(values.replay);
else fuzz();
native.close();
print();
process.exitCode = differences > 0 ? 1 : 0;

function replay(file: string): void {
  const lines = readFileSync(file, 'utf8').split('\n').filter(Boolean);
  run(lines.map((line) => caseFromJson(JSON.parse(line).case)));
}

function fuzz(): void {
  const random = new Random(seed);
  const generator = new Generator(random, { forms, maxLength: Number(values.length) });
  const perForm = Number(values['per-form']);
  const total = Number(values.cases);
  const end = started + Number(values.minutes) * 60_000;
  let left: Form[] = [];
  let count = 0;
  const isEnough = (): boolean => count >= total && forms.every(({ id }) => made[id]! >= perForm);
  while (!isEnough() && Date.now() < end) {
    const cases: CpuCase[] = [];
    for (let d = 0; d < DRAFTS && !(perForm === 0 && count >= total); d++) {
      if (left.length === 0) left = shuffled(random, forms);
      const form = left.pop()!;
      const draft = generator.draft(form);
      for (let s = 0; s < states; s++) cases.push(generator.state(draft));
      made[form.id]! += states;
      count += states;
    }
    run(cases);
    if (Date.now() - told < PROGRESS_MS) continue;
    told = Date.now();
    console.error(`${count} cases, ${differences} differences, ${Math.round((told - started) / 1000)} s`);
  }
}

function shuffled<T>(random: Random, items: readonly T[]): T[] {
  const list = [...items];
  for (let i = list.length - 1; i > 0; i--) {
    const j = random.below(i + 1);
    [list[i], list[j]] = [list[j]!, list[i]!];
  }
  return list;
}

function add(counts: Map<string, number>, key: string): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}

function run(cases: readonly CpuCase[]): void {
  const batch = compareBatch(native, cases, Number(values.step), often);
  compared += batch.compared;
  endless += batch.endless;
  differences += batch.differences.length;
  for (const why of batch.notComparable) add(notComparable, why);
  for (const what of batch.known) add(known, what);
  cases.forEach((c, i) => {
    if (c.forms.length === 1) alone[c.forms[0]!]!++;
    for (const id of new Set(c.forms)) within[id]!++;
    const at = (i * RESULT_SIZE) >> 2;
    const [vector, signo, code] = [OUT_VECTOR, OUT_SIGNO, OUT_CODE].map(
      (offset) => batch.results.words[at + (offset >> 2)],
    );
    const ending = `vector ${vector}, signal ${signo}, si_code ${code}`;
    add(endings, ending);
  });
  for (const { case: c, texts } of batch.differences) {
    const names = c.forms.map((id) => FORMS[id]!.text);
    const key = names.length === 1 ? names[0]! : '(sequence)';
    add(differing, key);
    if (differing.get(key)! > REPORTED_MAX) continue;
    const line = { code: Buffer.from(c.code).toString('hex'), forms: names, differences: texts, case: caseToJson(c) };
    appendFileSync(values.report, `${JSON.stringify(line)}\n`);
  }
}

function print(): void {
  const seconds = (Date.now() - started) / 1000;
  for (const [ending, count] of [...endings].sort((a, b) => b[1] - a[1])) console.log(`${count}\t${ending}`);
  const byForm = forms.map(({ id, text }) => ({ text, made: made[id]!, alone: alone[id]!, within: within[id]! }));
  byForm.sort((a, b) => a.made - b.made || a.alone - b.alone);
  console.log('made for it / alone / with it in them: the forms with fewest');
  for (const f of values.forms ? byForm : byForm.slice(0, 10)) {
    console.log(`${f.made}\t${f.alone}\t${f.within}\t${f.text}`);
  }
  console.log('not compared:');
  for (const form of FORMS) {
    const why = whyNotCompared(form);
    if (why !== null) console.log(`\t${form.text}: ${why}`);
  }
  for (const [why, count] of notComparable) console.log(`\t${count} cases: ${why}`);
  for (const [what, count] of known) console.log(`${count} times a known deviation (docs/limits.md): ${what}`);
  for (const [op, count] of [...differing].sort((a, b) => b[1] - a[1])) console.log(`${count} differences\t${op}`);
  const rate = Math.round((compared + endless) / seconds);
  const summary = `${compared} cases, ${endless} endless, ${differences} differences, ${rate} cases/s`;
  console.log(`${summary}${differences > 0 ? ` (${values.report})` : ''}`);
  if (values.summary === undefined) return;
  const line = {
    date: new Date().toISOString(),
    host,
    node: process.version,
    tier: values.tier,
    seed,
    forms: forms.length,
    fewestAForm: byForm[0]!.made,
    fewestAlone: Math.min(...byForm.map((f) => f.alone)),
    compared,
    endless,
    notComparable: Object.fromEntries(notComparable),
    known: Object.fromEntries(known),
    differences,
    seconds: Math.round(seconds),
    endings: Object.fromEntries(endings),
  };
  appendFileSync(values.summary, `${JSON.stringify(line)}\n`);
}
