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
}

export function noUsage(): Usage {
  return { gprUsed: 0, gprWritten: 0, xmmUsed: 0, xmmWritten: 0 };
}

export function addUsage(to: Usage, more: Usage): void {
  to.gprUsed |= more.gprUsed;
  to.gprWritten |= more.gprWritten;
  to.xmmUsed |= more.xmmUsed;
  to.xmmWritten |= more.xmmWritten;
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
  /** Operand positions whose register is written. */
  written: number;
  /** Touched without being an operand. */
  readonly implicit: Usage;
}

export class UsageModel {
  readonly #forms: (FormUsage | undefined)[] = [];

  /** Takes note of what lowering `insn` has touched. */
  learn(insn: Instruction, touched: Usage): void {
    let form = this.#forms[insn.form];
    if (form === undefined) {
      form = { written: 0, implicit: noUsage() };
      this.#forms[insn.form] = form;
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
        }
      }
    }
    const { implicit } = form;
    implicit.gprUsed |= touched.gprUsed & ~gpr;
    implicit.gprWritten |= touched.gprWritten & ~gpr;
    implicit.xmmUsed |= touched.xmmUsed & ~xmm;
    implicit.xmmWritten |= touched.xmmWritten & ~xmm;
  }

  /** Adds to `usage` what lowering `insn` is expected to touch. */
  expect(insn: Instruction, usage: Usage): void {
    const form = this.#forms[insn.form];
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
        }
      }
    }
  }
}

function maskOf(register: number): number {
  return register < 0 ? 0 : 1 << register;
}
