/**
 * Which registers a region will touch, before it is lowered: a guest call in its middle must store all that are written.
 *
 * Lowerings are not described a second time: the model learns from each form's first lowering what it touches, by operand
 * position and beside its operands (push: rsp). It may be wrong — a form may touch more the next time — so the translator
 * compares afterwards and lowers again.
 */

import type { Instruction } from './instruction.ts';

/** Bit masks of registers. */
export interface Usage {
  gprUsed: number;
  gprWritten: number;
  xmmUsed: number;
  xmmWritten: number;
  /** … of which more than the low half is used or written; the upper half becomes zero; the whole is one register's copy. */
  xmmWhole: number;
  xmmZeroed: number;
  xmmCopied: number;
}

export function noUsage(): Usage {
  return { gprUsed: 0, gprWritten: 0, xmmUsed: 0, xmmWritten: 0, xmmWhole: 0, xmmZeroed: 0, xmmCopied: 0 };
}

export function addUsage(to: Usage, more: Usage): void {
  to.gprUsed |= more.gprUsed;
  to.gprWritten |= more.gprWritten;
  to.xmmUsed |= more.xmmUsed;
  to.xmmWritten |= more.xmmWritten;
  to.xmmWhole |= more.xmmWhole;
  to.xmmZeroed |= more.xmmZeroed;
  to.xmmCopied |= more.xmmCopied;
}

/** True when everything in `part` is in `whole`. */
export function covers(whole: Usage, part: Usage): boolean {
  return (
    (part.gprUsed & ~whole.gprUsed) === 0 &&
    (part.gprWritten & ~whole.gprWritten) === 0 &&
    (part.xmmUsed & ~whole.xmmUsed) === 0 &&
    (part.xmmWritten & ~whole.xmmWritten) === 0
  );
}

interface FormUsage {
  /** Operand positions whose register is written, used as a whole, zeroed above, a copy (Usage). */
  written: number;
  whole: number;
  zeroed: number;
  copied: number;
  /** Touched without being an operand. */
  readonly implicit: Usage;
}

export class UsageModel {
  readonly #forms: (FormUsage | undefined)[] = [];

  /** Takes note of what lowering `insn` has touched. */
  learn(insn: Instruction, touched: Usage): void {
    const key = keyOf(insn);
    let form = this.#forms[key];
    if (form === undefined) {
      form = { written: 0, whole: 0, zeroed: 0, copied: 0, implicit: noUsage() };
      this.#forms[key] = form;
    }
    let gpr = 0;
    let xmm = 0;
    const { operands } = insn;
    for (let i = 0; i < operands.length; i++) {
      const operand = operands[i]!;
      if (operand.kind === 'mem') {
        gpr |= maskOf(operand.base) | maskOf(operand.index);
      } else if (operand.kind === 'reg') {
        const bit = 1 << operand.index;
        if (operand.file === 'gpr') {
          gpr |= bit;
          if ((touched.gprWritten & bit) !== 0) form.written |= 1 << i;
        } else if (operand.file === 'xmm') {
          xmm |= bit;
          if ((touched.xmmWritten & bit) !== 0) form.written |= 1 << i;
          if ((touched.xmmWhole & bit) !== 0) form.whole |= 1 << i;
          if ((touched.xmmZeroed & bit) !== 0) form.zeroed |= 1 << i;
          if ((touched.xmmCopied & bit) !== 0) form.copied |= 1 << i;
        }
      }
    }
    const { implicit } = form;
    implicit.gprUsed |= touched.gprUsed & ~gpr;
    implicit.gprWritten |= touched.gprWritten & ~gpr;
    implicit.xmmUsed |= touched.xmmUsed & ~xmm;
    implicit.xmmWritten |= touched.xmmWritten & ~xmm;
    implicit.xmmWhole |= touched.xmmWhole & ~xmm;
  }

  /** Adds to `usage` what lowering `insn` is expected to touch. */
  expect(insn: Instruction, usage: Usage): void {
    const form = this.#forms[keyOf(insn)];
    if (form === undefined) return;
    addUsage(usage, form.implicit);
    const { operands } = insn;
    for (let i = 0; i < operands.length; i++) {
      const operand = operands[i]!;
      if (operand.kind === 'mem') {
        usage.gprUsed |= maskOf(operand.base) | maskOf(operand.index);
      } else if (operand.kind === 'reg') {
        const bit = 1 << operand.index;
        const written = (form.written >> i) & 1;
        if (operand.file === 'gpr') {
          usage.gprUsed |= bit;
          if (written) usage.gprWritten |= bit;
        } else if (operand.file === 'xmm') {
          usage.xmmUsed |= bit;
          if (written) usage.xmmWritten |= bit;
          if ((form.whole >> i) & 1) usage.xmmWhole |= bit;
          if ((form.zeroed >> i) & 1) usage.xmmZeroed |= bit;
          if ((form.copied >> i) & 1) usage.xmmCopied |= bit;
        }
      }
    }
  }
}

/** A form with two registers is another matter than with memory (MOVSD), and so with one twice, which may become zero. */
function keyOf({ form, operands: [a, b] }: Instruction): number {
  const registers = a?.kind === 'reg' && b?.kind === 'reg';
  return 3 * form + (registers ? (a.index === b.index ? 2 : 1) : 0);
}

function maskOf(register: number): number {
  return register < 0 ? 0 : 1 << register;
}
