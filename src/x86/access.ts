/**
 * Memory accesses of a basic block that need no check of their own. The first access through some registers is checked
 * together with those that follow it in the block through the same registers, unchanged or moved by constants (the stack pointer): first and last byte of all of
 * them, at most a page apart, so that what they touch is what they would have touched one by one. A check that fails
 * leaves for the interpreter at the first of them, which looks at each.
 */

import type { Instruction, MemoryOperand } from './instruction.ts';
import { RSP } from './state.ts';

/** Bytes that one check may span: the pages of its ends are all its pages. */
const SPAN = 4096;
/** Instructions to look ahead. */
const AHEAD = 32;

/** Instructions that write no general register but their first operand, and the stack pointer. */
const SIMPLE = new Set(
  'mov movzx movsx movsxd lea add sub adc sbb and or xor cmp test inc dec neg not shl shr sar imul cmovcc setcc popcnt crc32 nop endbr64 push pop'.split(
    ' ',
  ),
);
const READS_FIRST = new Set(['cmp', 'test', 'imul', 'push']);

/** Accesses [low, high) relative to the values that the registers had in these versions; `write` includes reading. */
export interface Checked {
  readonly mem: MemoryOperand;
  readonly baseVersion: number;
  readonly indexVersion: number;
  readonly low: number;
  readonly high: number;
  readonly write: boolean;
}

/** A register's value: that of a version plus an offset. */
interface Value {
  readonly version: number;
  readonly offset: number;
}

export interface Known {
  readonly checked: readonly Checked[];
  readonly values: readonly Value[];
}

export class BlockAccesses {
  readonly #isVector: (op: string) => boolean;
  #insns: readonly Instruction[] = [];
  #at = 0;
  #newest = 0;
  #values: Value[] = Array.from({ length: 32 }, () => ({ version: 0, offset: 0 }));
  #checked: Checked[] = [];

  /** `isVector` tells the mnemonics that write general registers only as their first operand. */
  constructor(isVector: (op: string) => boolean) {
    this.#isVector = isVector;
  }

  /** A new block; what is known holds on if only one path leads to it. */
  begin(insns: readonly Instruction[]): void {
    this.#insns = insns;
  }

  /** What is known here, and back to it. */
  get known(): Known {
    return { checked: [...this.#checked], values: [...this.#values] };
  }

  set known({ checked, values }: Known) {
    this.#checked = [...checked];
    this.#values = [...values];
  }

  /** Instruction `i` is lowered next. */
  instruction(i: number): void {
    this.#at = i;
  }

  /** Nothing is known any more. */
  clear(): void {
    this.#checked = [];
  }

  /** A general register gets a new value. */
  written(register: number): void {
    this.#values[register] = { version: ++this.#newest, offset: 0 };
  }

  valueOf(register: number): Value {
    return this.#values[register]!;
  }

  /** The register's value is what it was at `before` plus a constant. */
  moved(register: number, before: Value, by: number): void {
    this.#values[register] = { version: before.version, offset: before.offset + by };
  }

  /** True when the access has been checked already. */
  covers(mem: MemoryOperand, size: number, write: boolean): boolean {
    const low = mem.disp + this.#offset(mem);
    for (const c of this.#checked) {
      if (write && !c.write) continue;
      if (low < c.low || low + size > c.high || !sameRegisters(mem, c.mem)) continue;
      if (mem.base >= 0 && this.#values[mem.base]!.version !== c.baseVersion) continue;
      if (mem.index >= 0 && this.#values[mem.index]!.version !== c.indexVersion) continue;
      return true;
    }
    return false;
  }

  /** How much of an address comes from what has been added to its registers since their versions. */
  #offset({ base, index, scale }: MemoryOperand): number {
    const ofBase = base >= 0 ? this.#values[base]!.offset : 0;
    return ofBase + (index >= 0 ? scale * this.#values[index]!.offset : 0);
  }

  /** The range to check for this access: [low, high) displacements. It counts as checked from here on. */
  plan(mem: MemoryOperand, size: number, write: boolean): { low: number; high: number; write: boolean } {
    let low = mem.disp;
    let high = mem.disp + size;
    /** By how much the base will have been moved. */
    let moved = 0;
    const include = (from: number, length: number): void => {
      const l = Math.min(low, from + moved);
      const h = Math.max(high, from + moved + length);
      if (h - l > SPAN) return;
      low = l;
      high = h;
    };
    const onStack = mem.base === RSP && mem.index < 0 && mem.segment === 'none';
    const end = Math.min(this.#insns.length, this.#at + AHEAD);
    for (let i = this.#at; i < end; i++) {
      const insn = this.#insns[i]!;
      const { op, operands, size } = insn;
      if (onStack && insn.flow === 'call' && write) include(-8, 8);
      if (onStack && insn.flow === 'ret' && !write) include(0, size);
      const simple = SIMPLE.has(op);
      if (insn.flow !== 'next' || (!simple && !this.#isVector(op))) break;
      for (let k = 0; k < operands.length; k++) {
        const operand = operands[k]!;
        if (operand.kind !== 'mem' || operand.size === 0 || !sameRegisters(operand, mem)) continue;
        const writes = k === 0 && (simple || operands.length > 1) && !READS_FIRST.has(op);
        // (the address of what POP writes is computed with what it makes of rsp)
        if (op === 'pop') continue;
        // What is read now and written later is checked for writing at once.
        const place = operand.disp + moved;
        if (writes && place >= low && place + operand.size <= high) write = true;
        if (writes === write) include(operand.disp, operand.size);
      }
      if (onStack && op === 'push' && write) include(-size, size);
      if (onStack && op === 'pop' && !write) include(0, size);
      if (op === 'push' || op === 'pop') {
        if (mem.index === RSP) break;
        if (mem.base === RSP) moved += op === 'push' ? -size : size;
        if (op === 'push') continue;
      }
      const to = operands[0];
      if (to?.kind !== 'reg' || to.file !== 'gpr' || (READS_FIRST.has(op) && op !== 'imul')) continue;
      if (to.index === mem.index) break;
      if (to.index !== mem.base) continue;
      const by = constantMove(insn);
      if (by === null) break;
      moved += by;
    }
    const offset = this.#offset(mem);
    this.#checked.push({
      mem,
      baseVersion: mem.base >= 0 ? this.#values[mem.base]!.version : 0,
      indexVersion: mem.index >= 0 ? this.#values[mem.index]!.version : 0,
      low: low + offset,
      high: high + offset,
      write,
    });
    return { low, high, write };
  }
}

/** What ADD, SUB or LEA with constants adds to its 64-bit register; null: it is none of these. */
export function constantMove({ op, size, operands }: Instruction): number | null {
  const [to, from] = operands;
  if (to?.kind !== 'reg' || size !== 8) return null;
  if ((op === 'add' || op === 'sub') && from?.kind === 'imm') {
    return op === 'add' ? Number(from.value) : -Number(from.value);
  }
  if (op === 'lea' && from?.kind === 'mem' && from.base === to.index && from.index < 0 && from.addressSize === 8) {
    return from.disp;
  }
  return null;
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
