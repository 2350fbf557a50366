/** The virtual CPU against the host's CPU on random instructions. `npm run fuzz:cpu` runs more. */

import { expect, test } from 'vitest';
import { FORMS } from '../src/x86/table.ts';
import type { CpuCase } from './cpu/case.ts';
import { compareResults } from './cpu/compare.ts';
import { newGuestCpu } from './cpu/engine.ts';
import { Generator, isComparable } from './cpu/generate.ts';
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

for (const areas of [
  ['integer', 'string', 'privileged'],
  ['sse', 'sse2'],
  ['x87', 'mmx'],
]) {
  test.skipIf(!NativeCpu.available)(
    `random ${areas.join(', ')} instructions`,
    () => {
      console.log(`seed ${SEED}`);
      const forms = FORMS.filter((form) => isComparable(form) && areas.includes(form.area));
      const generator = new Generator(new Random(SEED), { forms, maxLength: 5 });
      const cases = Array.from({ length: 1500 }, () => generator.case());
      expect(differencesOf(cases)).toEqual([]);
    },
    60_000,
  );
}

test.skipIf(!NativeCpu.available)(
  'the same in exact steps of one instruction',
  () => {
    const forms = FORMS.filter((form) => isComparable(form) && form.area !== 'x87' && form.area !== 'mmx');
    const generator = new Generator(new Random(SEED + 1), { forms, maxLength: 6 });
    const cases = Array.from({ length: 500 }, () => generator.case());
    expect(differencesOf(cases, 1)).toEqual([]);
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
    const retired = guest.retired;
    const sliced = guest.run(c, 1 + (i % 7));
    expect(guest.retired, Buffer.from(c.code).toString('hex')).toBe(retired);
    expect(compareResults(c, whole, sliced, { sticky: true })).toEqual([]);
  }
  guest.close();
}, 60_000);
