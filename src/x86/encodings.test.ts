import { expect, test } from 'vitest';
import { Random } from '../../test/cpu/random.ts';
import { decode, isDecodeError } from './decode.ts';
import { Encodings, isLast } from './encodings.ts';
import { shapeOf } from './shape.ts';
import type { StepFunction } from './step-functions.ts';
import { FORMS, MAPS } from './table.ts';
import { isVector } from './translate.ts';

const SEED = Number(process.env.SEED ?? 1);
const COUNT = 100_000;
const PREFIXES = [0x66, 0x67, 0xf2, 0xf3, 0xf0, 0x64, 0x65, 0x2e];
const INTERESTING = [0, 1, 0x7f, 0x80, 0xff];
const SIB = [0x25, 0x24, 0x65, 0x05];

/** Writes random bytes to a random place that begin as an instruction of some form: few registers, so that heads come again. */
function write(random: Random, bytes: Uint8Array): number {
  const rip = 1 + random.below(bytes.length - 32);
  const form = random.pick(FORMS);
  const made: number[] = [];
  if (random.oneIn(4)) made.push(random.pick(PREFIXES));
  if (/^(66|f2|f3)$/.test(form.prefix)) made.push(Number.parseInt(form.prefix, 16));
  if (random.oneIn(2)) made.push(0x40 | random.below(16));
  made.push(...Buffer.from(MAPS[form.opcode >> 8]!, 'hex'), form.opcode & 0xff);
  const mask = 0xc7 & random.pick([0xff, 0xfc]);
  if (form.modrm >= 0) made.push(form.modrm);
  else if (form.hasModrm) made.push((random.below(256) & mask) | (Math.max(0, form.digit) << 3));
  if (random.oneIn(2)) made.push(random.pick(SIB));
  while (made.length < 16) made.push(random.oneIn(3) ? random.below(256) : random.pick(INTERESTING));
  bytes.set(made, rip);
  return rip;
}

/** What is found, as text. */
function found(encodings: Encodings, view: DataView, rip: number): string | null {
  const encoding = encodings.find(view, rip);
  if (encoding === null) return null;
  const { disp, immLow, immHigh, step } = encodings;
  return [encoding.length, encoding.ends, step!.id, disp, immLow, immHigh, ...encoding.registers].join(' ');
}

test('what is known of an encoding gives the record that decoding gives, also in another process', () => {
  const random = new Random(SEED);
  const bytes = new Uint8Array(1 << 16);
  const view = new DataView(bytes.buffer);
  const encodings = new Encodings();
  const steps = new Map<string, StepFunction>();
  const stepOf = (key: string): StepFunction => {
    let step = steps.get(key);
    if (step === undefined) steps.set(key, (step = { module: null as never, index: 0, id: steps.size, key }));
    return step;
  };
  let known = 0;
  for (let n = 0; n < COUNT; n++) {
    const rip = write(random, bytes);
    const is = found(encodings, view, rip);
    const insn = decode(bytes, rip, rip);
    if (isDecodeError(insn)) {
      expect(is).toBeNull();
      continue;
    }
    const shape = shapeOf(insn, isVector);
    const step = stepOf(shape.key);
    if (is === null) {
      encodings.learn(view, insn, shape, step);
      continue;
    }
    known++;
    const [target] = insn.operands;
    const disp = target?.kind === 'target' ? target.address : shape.disp;
    const imm = [Number(BigInt.asIntN(32, shape.imm)), Number(BigInt.asIntN(32, shape.imm >> 32n))];
    const [gpr, xmm] = [(i: number) => (shape.gprs[i] ?? 0) * 8, (i: number) => (shape.xmms[i] ?? 0) * 16];
    const registers = [gpr(0) | (gpr(1) << 8) | (gpr(2) << 16) | (xmm(0) << 24), xmm(1) | (xmm(2) << 8)];
    const wanted = [insn.length, isLast(insn), step.id, disp | 0, ...imm, ...registers].join(' ');
    if (is !== wanted) expect(is, Buffer.from(bytes.subarray(rip, rip + insn.length)).toString('hex')).toBe(wanted);
  }
  // Else nothing has been tested.
  expect(known).toBeGreaterThan(COUNT / 10);

  const other = new Encodings();
  const list = [...steps.values()];
  other.load(
    encodings.save(({ id }) => id),
    (index) => list[index] ?? null,
  );
  expect(encodings.unsaved).toBe(0);
  for (let n = 0; n < COUNT / 10; n++) {
    const rip = write(random, bytes);
    expect(found(other, view, rip)).toBe(found(encodings, view, rip));
  }
}, 60_000);
