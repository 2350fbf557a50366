/**
 * Memory accesses of a basic block that need no check of their own. The first access through some registers is checked
 * together with those that follow it in the block through the same registers unchanged: first and last byte of all of
 * them, at most a page apart, so that what they touch is what they would have touched one by one. A check that fails
 * leaves for the interpreter at the first of them, which looks at each.
 */

import type { Instruction, MemoryOperand } from './instruction.ts';

/** Bytes that one check may span: the pages of its ends are all its pages. */
const SPAN = 4096;
/** Instructions to look ahead. */
const AHEAD = 32;

/** Instructions that write no general register but their first operand. */
const SIMPLE = new Set(
  'mov movzx movsx movsxd lea add sub adc sbb and or xor cmp test inc dec neg not shl shr sar imul cmovcc setcc popcnt crc32 nop'.split(
    ' ',
  ),
);
const READS_FIRST = new Set(['cmp', 'test', 'imul']);

/** Accesses [low, high) relative to the registers; `write`: for writing, which includes reading. */
export interface Checked {
  readonly mem: MemoryOperand;
  readonly baseVersion: number;
  readonly indexVersion: number;
  readonly low: number;
  readonly high: number;
  readonly write: boolean;
}

export class BlockAccesses {
  readonly #isVector: (op: string) => boolean;
  #insns: readonly Instruction[] = [];
  #at = 0;
  readonly #versions: number[] = new Array(16).fill(0);
  readonly #checked: Checked[] = [];

  /** `isVector` tells the mnemonics that write general registers only as their first operand. */
  constructor(isVector: (op: string) => boolean) {
    this.#isVector = isVector;
  }

  /** A new block; what is known holds on if only one path leads to it. */
  begin(insns: readonly Instruction[]): void {
    this.#insns = insns;
  }

  /** What is known here, and back to it: registers written meanwhile are forgotten on the way. */
  get known(): readonly Checked[] {
    return [...this.#checked];
  }

  set known(list: readonly Checked[]) {
    this.#checked.length = 0;
    this.#checked.push(...list);
  }

  /** Instruction `i` is lowered next. */
  instruction(i: number): void {
    this.#at = i;
  }

  /** Nothing is known any more. */
  clear(): void {
    this.#checked.length = 0;
  }

  /** A general register gets a new value. */
  written(register: number): void {
    this.#versions[register]!++;
  }

  /** True when the access has been checked already. */
  covers(mem: MemoryOperand, size: number, write: boolean): boolean {
    for (const c of this.#checked) {
      if (write && !c.write) continue;
      if (mem.disp < c.low || mem.disp + size > c.high || !sameRegisters(mem, c.mem)) continue;
      if (mem.base >= 0 && this.#versions[mem.base] !== c.baseVersion) continue;
      if (mem.index >= 0 && this.#versions[mem.index] !== c.indexVersion) continue;
      return true;
    }
    return false;
  }

  /** The range to check for this access: [low, high) displacements. It counts as checked from here on. */
  plan(mem: MemoryOperand, size: number, write: boolean): { low: number; high: number } {
    let low = mem.disp;
    let high = mem.disp + size;
    const end = Math.min(this.#insns.length, this.#at + AHEAD);
    for (let i = this.#at; i < end; i++) {
      const { op, operands } = this.#insns[i]!;
      const simple = SIMPLE.has(op);
      if (!simple && !this.#isVector(op)) break;
      for (let k = 0; k < operands.length; k++) {
        const operand = operands[k]!;
        if (operand.kind !== 'mem' || operand.size === 0 || !sameRegisters(operand, mem)) continue;
        const writes = k === 0 && (simple || operands.length > 1) && !READS_FIRST.has(op);
        if (writes !== write) continue;
        const l = Math.min(low, operand.disp);
        const h = Math.max(high, operand.disp + operand.size);
        if (h - l > SPAN) continue;
        low = l;
        high = h;
      }
      const to = operands[0];
      if (to?.kind === 'reg' && to.file === 'gpr' && (to.index === mem.base || to.index === mem.index)) {
        if (!READS_FIRST.has(op) || op === 'imul') break;
      }
    }
    this.#checked.push({
      mem,
      baseVersion: mem.base >= 0 ? this.#versions[mem.base]! : 0,
      indexVersion: mem.index >= 0 ? this.#versions[mem.index]! : 0,
      low,
      high,
      write,
    });
    return { low, high };
  }
}

function sameRegisters(a: MemoryOperand, b: MemoryOperand): boolean {
  return (
    a.base === b.base &&
    a.index === b.index &&
    (a.index < 0 || a.scale === b.scale) &&
    a.segment === b.segment &&
    a.addressSize === b.addressSize
  );
}
