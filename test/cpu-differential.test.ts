/** The virtual CPU against the host's CPU on random instructions. `npm run fuzz:cpu` runs more. */

import { expect, test } from 'vitest';
import { FORMS, type Form } from '../src/x86/table.ts';
import type { CpuCase } from './cpu/case.ts';
import { compareResults } from './cpu/compare.ts';
import { isImplemented, newGuestCpu } from './cpu/engine.ts';
import { type GenerateOptions, Generator, isComparable } from './cpu/generate.ts';
import { VECTOR_ENDLESS } from './cpu/guest.ts';
import { NativeCpu } from './cpu/native.ts';
import { Random } from './cpu/random.ts';

const SEED = Number(process.env.SEED ?? 1);

/** At most ten differences as text: the instructions' bytes and what differs. */
function differencesOf(cases: readonly CpuCase[], step = 0): string[] {
  const native = new NativeCpu();
  const expected = native.run(cases);
  native.close();
  const guest = newGuestCpu();
  const out: string[] = [];
  cases.forEach((c, i) => {
    const actual = guest.run(c, step);
    if (actual.vector === VECTOR_ENDLESS) return;
    const differences = compareResults(c, expected[i]!, actual, { sticky: false });
    if (differences.length > 0 && out.length < 10) {
      const names = c.forms.map((id) => FORMS[id]!.text).join('; ');
      out.push(`${differences.slice(0, 6).join(', ')}: ${names} ${Buffer.from(c.code).toString('hex')}`);
    }
  });
  guest.close();
  return out;
}

type StateOptions = Pick<GenerateOptions, 'mxcsr' | 'x87'>;

const compared = FORMS.filter((form) => isComparable(form) && isImplemented(form));

function casesOf(forms: readonly Form[], seed: number, count: number, state: StateOptions = {}): CpuCase[] {
  const generator = new Generator(new Random(seed), { forms, maxLength: 5, ...state });
  return Array.from({ length: count }, () => generator.case());
}

for (const areas of [
  ['integer', 'string', 'privileged'],
  ['sse', 'sse2'],
  ['sse3', 'ssse3'],
  ['sse4.1', 'sse4.2'],
  ['mmx'],
  ['x87'],
]) {
  const forms = compared.filter((form) => areas.includes(form.area));
  test.skipIf(!NativeCpu.available || forms.length === 0)(
    `random ${areas.join(', ')} instructions`,
    () => {
      console.log(`seed ${SEED}, ${forms.length} forms`);
      expect(differencesOf(casesOf(forms, SEED, 1500))).toEqual([]);
    },
    60_000,
  );
}

test.skipIf(!NativeCpu.available)(
  'SSE with other rounding modes, denormals flushed and exceptions unmasked',
  () => {
    const forms = compared.filter((form) => /^(s*se|mmx)/.test(form.area));
    expect(differencesOf(casesOf(forms, SEED + 3, 1500, { mxcsr: true }))).toEqual([]);
  },
  60_000,
);

test.skipIf(!NativeCpu.available)(
  'x87 under any control word, status word and tags',
  () => {
    const forms = compared.filter((form) => ['x87', 'mmx'].includes(form.area) || /^fx(save|rstor)$/.test(form.op));
    expect(differencesOf(casesOf(forms, SEED + 4, 3000, { x87: true }))).toEqual([]);
  },
  60_000,
);

test.skipIf(!NativeCpu.available)(
  'the same in exact steps of one instruction',
  () => {
    expect(differencesOf(casesOf(compared, SEED + 1, 500), 1)).toEqual([]);
  },
  60_000,
);

test('instruction counts do not depend on how a run is sliced', () => {
  const forms = FORMS.filter((form) => isComparable(form) && ['integer', 'string'].includes(form.area));
  const generator = new Generator(new Random(SEED + 2), { forms, maxLength: 8 });
  const guest = newGuestCpu();
  for (let i = 0; i < 400; i++) {
    const c = generator.case();
    const whole = guest.run(c);
    if (whole.vector === VECTOR_ENDLESS) continue;
    const retired = guest.retired;
    const sliced = guest.run(c, 1 + (i % 7));
    expect(guest.retired, Buffer.from(c.code).toString('hex')).toBe(retired);
    expect(compareResults(c, whole, sliced, { sticky: true })).toEqual([]);
  }
  guest.close();
}, 60_000);
