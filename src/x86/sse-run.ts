/**
 * Runs: consecutive instructions of a block that only compute in XMM registers. A region keeps the registers of a run's
 * beginning until its end, so that whatever fails inside leaves for the interpreter at the run's first instruction.
 *
 * That makes most NaN checks needless: a sum, difference, product, quotient or root of a NaN is a NaN, so a result that such
 * an operation of the same run takes in is checked with the later result (nbody: 25 checks a pair become 9). A NaN found
 * makes the interpreter, which computes its bits in place, do the run again.
 */

import type { Instruction } from './instruction.ts';

/** Instructions: bounds what is done again. */
const LIMIT = 48;

const PROPAGATING = new Set(
  ['add', 'sub', 'mul', 'div', 'sqrt'].flatMap((op) => ['ss', 'sd', 'ps', 'pd'].map((type) => op + type)),
);
/** These call a helper or set flags or other registers. */
const EXCLUDED = /^(u?comis|rcp|rsqrt|ptest|pcmp[ei]str)/;

export interface Run {
  /** Index behind the last instruction. */
  readonly end: number;
  /** Instructions whose result needs no check. */
  readonly covered: ReadonlySet<number>;
}

/** The run that begins at instruction `start`; null where there is none or it would save nothing. */
export function findRun(insns: readonly Instruction[], start: number, has: (op: string) => boolean): Run | null {
  if (!PROPAGATING.has(insns[start]!.op)) return null;
  const covered = new Set<number>();
  /** The instruction whose result an XMM register holds. */
  const holder: number[] = new Array(16).fill(-1);
  let end = start;
  for (let i = start; i < insns.length && i < start + LIMIT; i++) {
    const insn = insns[i]!;
    const [to, from] = insn.operands;
    if (to?.kind !== 'reg' || to.file !== 'xmm' || EXCLUDED.test(insn.op) || !has(insn.op)) break;
    if (from?.kind === 'reg' && from.file === 'mmx') break;
    if (PROPAGATING.has(insn.op)) {
      const kind = insn.op.slice(-2);
      const cover = (register: number): void => {
        const by = holder[register]!;
        if (by >= 0 && insns[by]!.op.endsWith(kind)) covered.add(by);
      };
      if (from?.kind === 'reg') cover(from.index);
      if (!insn.op.startsWith('sqrt')) cover(to.index);
      holder[to.index] = i;
      end = i + 1;
    } else {
      // A copy of all 16 bytes holds the same result.
      const copies = from?.kind === 'reg' && from.file === 'xmm' && /^mov(ap|up|dq)/.test(insn.op);
      holder[to.index] = copies ? holder[from.index]! : -1;
    }
  }
  return covered.size > 0 ? { end, covered } : null;
}
