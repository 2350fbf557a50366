/** Bytes of an instruction of a form: random registers, memory operands, immediates, prefixes; every addressing mode of the SDM. */

import { type Form, MAPS } from '../../src/x86/table.ts';
import { CODE, GS_BASE, WINDOW, WINDOW_SIZE } from './case.ts';
import type { Random } from './random.ts';
import { integer } from './values.ts';

/** Registers that point into the data: two bases and an index. */
export type Pointers = readonly [base: number, base2: number, index: number];

export interface Place {
  readonly pointers: Pointers;
  /** Of the instruction, in the code page. */
  readonly place: number;
  /** Memory operands are aligned as most SSE instructions want them. */
  readonly aligned: boolean;
}

export class Encoder {
  readonly #random: Random;

  constructor(random: Random) {
    this.#random = random;
  }

  form(form: Form, { pointers, place, aligned }: Place): number[] {
    const random = this.#random;
    const bytes: number[] = [];
    // AMD's processors give a near branch with an operand-size prefix a 16-bit target, Intel's ignore the prefix.
    const branch = form.operands.some((o) => o.at === 'J');
    const sized =
      !branch && (form.operands.some((o) => 'vzypsPScghikm'.includes(o.type)) || ['cbw', 'cwd'].includes(form.op));
    const stack = form.stackSize || form.operands.some((o) => o.type === 'p');
    const width = sized ? random.below(3) : 0;
    let rex = 0;
    const small = width === 1 && (form.area === 'integer' || form.prefix === 'any') && (!stack || random.oneIn(4));
    if (form.prefix === '66' || small) bytes.push(0x66);
    if (form.prefix === 'f2' || form.prefix === 'f3') bytes.push(Number.parseInt(form.prefix, 16));
    // Where REX.W means nothing it may stand all the same.
    if (width === 2 || (!sized && !branch && random.oneIn(16))) rex |= 0x48;
    if (form.area === 'string' && !random.oneIn(3)) bytes.push(random.pick([0xf2, 0xf3]));
    if (form.lock && random.oneIn(6)) bytes.push(0xf0);

    let tail: number[] = [];
    if (form.modrm >= 0) {
      tail.push(form.modrm);
    } else if (form.hasModrm) {
      const reg = form.digit >= 0 ? form.digit : random.below(16);
      if (form.digit >= 0 && random.oneIn(16)) rex |= 0x44;
      if (reg & 8) rex |= 0x44;
      const useMemory = form.mod === 'mem' || (form.mod === 'any' && random.oneIn(2));
      if (!useMemory) {
        const rm = random.below(16);
        if (rm & 8) rex |= 0x41;
        const mod = form.mod === 'ignored' ? random.below(4) << 6 : 0xc0;
        tail.push(mod | ((reg & 7) << 3) | (rm & 7));
      } else {
        const made = this.#address((reg & 7) << 3, pointers, place, aligned);
        tail = made.bytes;
        rex |= made.rex;
        for (const prefix of made.prefixes) bytes.unshift(prefix);
      }
    } else if (random.oneIn(8)) {
      // With REX.B PAUSE is XCHG R8, RAX to AMD's processors.
      rex |= 0x40 | (form.op === 'pause' ? 0 : random.below(2));
    }
    // A byte register above 3 without REX is AH … BH.
    if (random.oneIn(3)) rex |= rex === 0 ? random.pick([0, 0x40]) : 0x40;
    if (rex !== 0) bytes.push(rex);
    bytes.push(...Buffer.from(MAPS[form.opcode >> 8]!, 'hex'));
    const low = form.plus === 'r' ? random.below(8) : form.plus === 'cc' ? random.below(16) : 0;
    bytes.push((form.opcode & 0xff) + low, ...tail);
    const operandSize = rex & 8 ? 8 : bytes.includes(0x66) ? 2 : 4;
    for (const operand of form.operands) {
      if (operand.at === 'J') {
        // Over the UD2 that `case` puts behind a branch.
        bytes.push(...[2, 0, 0, 0].slice(0, operand.type === 'b' ? 1 : 4));
      } else if (operand.at === 'O') {
        const target = BigInt(WINDOW + random.below(WINDOW_SIZE - 8));
        for (let i = 0n; i < 8n; i++) bytes.push(Number((target >> (8n * i)) & 0xffn));
      } else if (operand.at === 'I') {
        let count = 1;
        if (operand.type === 'W') count = 2;
        else if (operand.type === 'z' || operand.type === 'P') count = operandSize === 2 ? 2 : 4;
        else if (operand.type === 'v') count = operandSize;
        const value = random.oneIn(2) ? integer(random) : random.u64();
        const nibble = operand.type === 'u' && random.oneIn(2);
        if (form.op === 'enter') {
          // A small frame, without nesting levels.
          bytes.push(...(operand.type === 'W' ? [random.below(128), 0] : [0]));
          continue;
        }
        for (let i = 0n; i < BigInt(count); i++) bytes.push(Number((value >> (8n * i)) & 0xffn) & (nibble ? 15 : 255));
      }
    }
    return bytes;
  }

  /** A memory operand in one of all addressing modes. */
  #address(reg: number, [base, base2, index]: Pointers, place: number, aligned: boolean) {
    const random = this.#random;
    let rex = 0;
    const prefixes: number[] = [];
    const bytes: number[] = [];
    const disp32 = (value: number) =>
      bytes.push(value & 255, (value >> 8) & 255, (value >> 16) & 255, (value >> 24) & 255);
    const kind = random.below(8);
    const b = random.oneIn(2) ? base : base2;
    let bias = 0;
    if (random.oneIn(12)) {
      prefixes.push(0x65);
      bias = GS_BASE;
    } else if (random.oneIn(16)) prefixes.push(random.pick([0x26, 0x2e, 0x36, 0x3e]));
    if (kind === 0) {
      // [rip + disp32] is near the code only; [disp32] through SIB without base reaches the data.
      bytes.push(reg | 4, 0x25);
      disp32(((WINDOW + random.below(WINDOW_SIZE)) & (aligned ? ~15 : ~0)) - bias);
      return { bytes, rex, prefixes };
    }
    if (random.oneIn(16)) prefixes.push(0x67);
    if (kind === 1) {
      bytes.push(reg | 5);
      // Right to within the instruction's length.
      disp32(WINDOW + 32 + random.below(WINDOW_SIZE - 64) - CODE - place - bias);
      return { bytes, rex, prefixes };
    }
    if (b & 8) rex |= 0x41;
    const wide = random.oneIn(3);
    const mod = wide ? 2 : bias === 0 && (b & 7) !== 5 && random.oneIn(3) ? 0 : bias === 0 ? 1 : 2;
    const displacement = mod === 0 ? 0 : (random.below(96) - 48) & (aligned ? ~15 : ~0);
    if (kind < 4) {
      const scale = random.below(4);
      if (index & 8) rex |= 0x42;
      bytes.push((mod << 6) | reg | 4, (scale << 6) | ((index & 7) << 3) | (b & 7));
    } else if ((b & 7) === 4) {
      bytes.push((mod << 6) | reg | 4, 0x24);
    } else {
      bytes.push((mod << 6) | reg | (b & 7));
    }
    if (mod === 1) bytes.push(displacement & 255);
    else if (mod === 2) disp32(displacement - bias);
    return { bytes, rex, prefixes };
  }
}
