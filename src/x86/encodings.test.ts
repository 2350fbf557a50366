import { expect, test } from 'vitest';
import { Random } from '../../test/cpu/random.ts';
import { decode, isDecodeError } from './decode.ts';
import { Encodings, isLast } from './encodings.ts';
import { shapeOf } from './shape.ts';
import type { StepFunction } from './step-functions.ts';
import { FORMS, MAPS } from './table.ts';
import { isVector } from './translate.ts';

const PREFIXES = [0x66, 0x67, 0xf2, 0xf3, 0xf0, 0x64, 0x65, 0x2e];
const IMMEDIATES = [0, 1, 0x7f, 0x80, 0xff];

test('what is known of an encoding gives the record that decoding gives', () => {
  const random = new Random(Number(process.env.SEED ?? 1));
  const bytes = new Uint8Array(1 << 16);
  const view = new DataView(bytes.buffer);
  const encodings = new Encodings();
  const steps = new Map<string, StepFunction>();
  let found = 0;
  for (let n = 0; n < 300_000; n++) {
    const rip = 1 + random.below(bytes.length - 32);
    const form = random.pick(FORMS);
    let at = rip;
    if (random.oneIn(4)) bytes[at++] = random.pick(PREFIXES);
    if (/^(66|f2|f3)$/.test(form.prefix)) bytes[at++] = Number.parseInt(form.prefix, 16);
    if (random.oneIn(2)) bytes[at++] = 0x40 | random.below(16);
    for (const byte of Buffer.from(MAPS[form.opcode >> 8]!, 'hex')) bytes[at++] = byte;
    bytes[at++] = form.opcode & 0xff;
    // Few registers, so that heads come again.
    if (form.hasModrm)
      bytes[at++] = form.modrm >= 0 ? form.modrm : random.below(256) & 0xc7 & random.pick([0xff, 0xfc]);
    if (random.oneIn(2)) bytes[at++] = random.pick([0x25, 0x24, 0x65, 0x05]);
    while (at < rip + 16) bytes[at++] = random.oneIn(3) ? random.below(256) : random.pick(IMMEDIATES);
    const insn = decode(bytes, rip, rip);
    if (isDecodeError(insn)) {
      expect(encodings.find(view, rip), `${rip}`).toBeNull();
      continue;
    }
    const shape = shapeOf(insn, isVector);
    let step = steps.get(shape.key);
    if (step === undefined) {
      step = { module: null as never, index: 0, id: steps.size };
      steps.set(shape.key, step);
    }
    const encoding = encodings.find(view, rip);
    if (encoding === null) {
      encodings.learn(view, insn, shape, step);
      continue;
    }
    found++;
    const target = insn.operands[0]?.kind === 'target' ? insn.operands[0].address : shape.disp;
    const [gpr, xmm] = [(i: number) => (shape.gprs[i] ?? 0) * 8, (i: number) => (shape.xmms[i] ?? 0) * 16];
    const is = {
      length: encoding.length,
      ends: encoding.ends,
      step: encodings.step!.id,
      disp: encodings.disp,
      imm: (BigInt(encodings.immHigh) << 32n) | BigInt(encodings.immLow >>> 0),
      registers: encoding.registers,
    };
    const wanted = {
      length: insn.length,
      ends: isLast(insn),
      step: step.id,
      disp: target | 0,
      imm: shape.imm,
      registers: [gpr(0) | (gpr(1) << 8) | (gpr(2) << 16) | (xmm(0) << 24), xmm(1) | (xmm(2) << 8)],
    };
    if (JSON.stringify({ ...is, imm: `${is.imm}` }) === JSON.stringify({ ...wanted, imm: `${wanted.imm}` })) continue;
    expect(is, `${form.text}: ${Buffer.from(bytes.subarray(rip, rip + insn.length)).toString('hex')}`).toEqual(wanted);
  }
  // Else nothing has been tested.
  expect(found).toBeGreaterThan(50_000);
}, 60_000);
