/** The virtual CPU against the host's CPU on random instructions. `npm run fuzz:cpu` runs more. */

import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { FORMS, type Form } from '../src/x86/table.ts';
import type { CpuCase } from './cpu/case.ts';
import { compareResults } from './cpu/compare.ts';
import { COMPARED, compareBatch, newGuestCpu } from './cpu/engine.ts';
import { Generator } from './cpu/generate.ts';
import { VECTOR_ENDLESS } from './cpu/guest.ts';
import { NativeCpu } from './cpu/native.ts';
import { Random } from './cpu/random.ts';
import { full } from './support/product.ts';

const execute = promisify(execFile);
const FUZZER = fileURLToPath(new URL('../bench/fuzz-cpu.ts', import.meta.url));

const SEED = Number(process.env.SEED ?? 1);
/** Cases made of each piece of code. */
const STATES = 8;

/** At most ten differences as text: the instructions' bytes and what differs. */
function differencesOf(cases: readonly CpuCase[], step = 0): string[] {
  const native = new NativeCpu();
  const { differences } = compareBatch(native, cases, step);
  native.close();
  return differences.slice(0, 10).map(({ case: c, texts }) => {
    const names = c.forms.map((id) => FORMS[id]!.text).join('; ');
    return `${texts.slice(0, 6).join(', ')}: ${names} ${Buffer.from(c.code).toString('hex')}`;
  });
}

function casesOf(forms: readonly Form[], seed: number, count: number, states = STATES): CpuCase[] {
  console.log(`seed ${seed}, ${forms.length} forms`);
  const random = new Random(seed);
  const generator = new Generator(random, { forms, maxLength: 5 });
  const cases: CpuCase[] = [];
  while (cases.length < count) {
    const draft = generator.draft(random.pick(forms));
    for (let i = 0; i < states; i++) cases.push(generator.state(draft));
  }
  return cases;
}

for (const areas of [
  ['integer', 'string', 'privileged'],
  ['sse', 'sse2'],
  ['sse3', 'ssse3'],
  ['sse4.1', 'sse4.2'],
  ['mmx'],
  ['x87'],
]) {
  const forms = COMPARED.filter((form) => areas.includes(form.area));
  test.skipIf(!NativeCpu.available)(
    `random ${areas.join(', ')} instructions`,
    () => {
      expect(differencesOf(casesOf(forms, SEED, 6000))).toEqual([]);
    },
    60_000,
  );
}

test.skipIf(!NativeCpu.available)(
  'the same in exact steps of one instruction',
  () => {
    expect(differencesOf(casesOf(COMPARED, SEED + 1, 1000, 2), 1)).toEqual([]);
  },
  60_000,
);

test.skipIf(!NativeCpu.available)('sticky flags are followed after MXCSR was loaded with its default', () => {
  const ops = ['ldmxcsr', 'stmxcsr', 'divps', 'addsd', 'cvttsd2si', 'ucomiss'];
  const forms = COMPARED.filter(({ op }) => ops.includes(op));
  const native = new NativeCpu();
  const { known, differences } = compareBatch(native, casesOf(forms, SEED, 6000));
  native.close();
  expect(differences).toEqual([]);
  expect(known).toEqual([]);
});

test.runIf(NativeCpu.available && (full || process.env.CI !== undefined))(
  '200,000 cases, to each form its share',
  async () => {
    const folder = mkdtempSync(join(tmpdir(), 'tardigrade-fuzz-'));
    const summary = join(folder, 'summary');
    const report = join(folder, 'report');
    const options = ['--per-form', '250', '--cases', '200000', '--seed', `${SEED}`];
    try {
      await execute(process.execPath, [FUZZER, ...options, '--report', report, '--summary', summary]).catch(() => {});
      const { compared, fewestAForm, seed, host } = JSON.parse(readFileSync(summary, 'utf8'));
      console.log(`seed ${seed}: ${compared} cases, ${fewestAForm} a form at least, beside ${host}`);
      const differences = readFileSync(report, 'utf8').split('\n').filter(Boolean);
      expect(differences.slice(0, 5)).toEqual([]);
      expect(compared).toBeGreaterThan(199_000);
      expect(fewestAForm).toBeGreaterThanOrEqual(240);
    } finally {
      rmSync(folder, { recursive: true });
    }
  },
  600_000,
);

test('instruction counts do not depend on how a run is sliced', () => {
  const forms = COMPARED.filter((form) => ['integer', 'string'].includes(form.area));
  const guest = newGuestCpu();
  casesOf(forms, SEED + 2, 400, 1).forEach((c, i) => {
    const whole = guest.run(c);
    if (whole.vector === VECTOR_ENDLESS) return;
    const retired = guest.retired;
    const sliced = guest.run(c, 1 + (i % 7));
    expect(guest.retired, Buffer.from(c.code).toString('hex')).toBe(retired);
    expect(compareResults(c, whole, sliced)).toEqual([]);
  });
  guest.close();
}, 60_000);
