/**
 * Memory accesses of a region that need no check of their own. The first access through some registers is checked
 * together with those that follow it in its block through the same values, or those moved by constants (the stack
 * pointer): first and last byte of all of them, at most a page apart, so that what they touch is what they would have touched
 * one by one. A check that fails leaves for the interpreter at the first of them, which looks at each. A load is checked with what
 * is probably loaded later through the same pointer, which costs nothing: where its page and the next can be read one test tells
 * (STATE_EDGE).
 *
 * What is checked stays so in the blocks behind, also where paths meet that all passed the check, as long as the registers have
 * the values that they had: nothing but a guest call or a helper can change a page's state within a region.
 */

import { USER_END, USER_START } from '../lvm/layout.ts';
import type { Instruction, MemoryOperand } from './instruction.ts';
import { isStill, type StackFrame } from './stack-frame.ts';
import { RBP, RSP } from './state.ts';

/** Bytes that one check may span: the pages of its ends are all its pages. */
const SPAN = 4096;
/** What is checked below what is pushed: for calls, and the frames of those called within the region. */
const BELOW = 128;
/** Instructions to look ahead. */
const AHEAD = 32;
/** What is checked for a load through a pointer: so many bytes from there, if the load is not too far from it to be of one object. */
const OBJECT = 64;
const OBJECT_MAX = 256;

/** Instructions that write no general register but their first operand, and the stack pointer. */
const SIMPLE = new Set(
  'mov movzx movsx movsxd lea add sub adc sbb and or xor cmp test inc dec neg not shl shr sar imul cmovcc setcc popcnt crc32 nop endbr64 push pop'.split(
    ' ',
  ),
);
const READS_FIRST = new Set(['cmp', 'test', 'imul', 'push']);

/** Where checked bytes are: the address in an i32 local plus a constant, as a wasm load or store takes it. */
export interface Access {
  readonly local: number;
  readonly offset: number;
}

/** Accesses [low, high) relative to the values that the registers had in these versions; `write` includes reading. */
export interface Checked {
  readonly mem: MemoryOperand;
  readonly baseVersion: number;
  readonly indexVersion: number;
  readonly low: number;
  readonly high: number;
  readonly write: boolean;
  /** The i32 local with the address of `low`. */
  readonly local: number;
}

/** Displacements [low, high) to check for an access. */
export interface Range {
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
  /** Versions up to this one are from before the innermost loop. */
  readonly outside: number;
}

/** How far below or above an address within 4 GiB it is sure that nothing is mapped that a wrapped address would hit. */
const SURROUNDINGS = Math.min(USER_START, 2 ** 32 - USER_END);
/** A register that need not have the same value on all paths. */
const UNKNOWN: Value = { version: -1, offset: 0 };
/** After a guest call: every register may be another one, and every page. */
export const NOTHING_KNOWN: Known = { checked: [], values: new Array(32).fill(UNKNOWN), outside: 0 };

export class RegionAccesses {
  readonly #isVector: (op: string) => boolean;
  #insns: readonly Instruction[] = [];
  #frame: StackFrame = new Map();
  #at = 0;
  #newest = 0;
  #outside = 0;
  #values: Value[] = Array.from({ length: 32 }, () => ({ version: ++this.#newest, offset: 0 }));
  #checked: Checked[] = [];

  /** `isVector` tells the mnemonics that write general registers only as their first operand. */
  constructor(isVector: (op: string) => boolean) {
    this.#isVector = isVector;
  }

  /** A new block, of a function with this stack frame. */
  begin(insns: readonly Instruction[], frame: StackFrame): void {
    this.#insns = insns;
    this.#frame = frame;
  }

  /** What is known here, and back to it. */
  get known(): Known {
    return { checked: [...this.#checked], values: [...this.#values], outside: this.#outside };
  }

  set known({ checked, values, outside }: Known) {
    this.#checked = [...checked];
    this.#values = [...values];
    this.#outside = outside;
  }

  /** Instruction `i` is lowered next. */
  instruction(i: number): void {
    this.#at = i;
  }

  /** A general register gets a new value. */
  written(register: number): void {
    this.#values[register] = { version: ++this.#newest, offset: 0 };
  }

  valueOf(register: number): Value {
    return this.#values[register]!;
  }

  /** The register's value is what one had at `before` plus a constant. */
  moved(register: number, before: Value, by: number): void {
    this.#values[register] = { version: before.version, offset: before.offset + by };
  }

  /** Where the access is, if it has been checked already. */
  find(mem: MemoryOperand, size: number, write: boolean): Access | null {
    const low = mem.disp + this.#offset(mem);
    for (const c of this.#checked) {
      if (write && !c.write) continue;
      if (low < c.low || low + size > c.high || !this.#isThrough(mem, c)) continue;
      return { local: c.local, offset: low - c.low };
    }
    return null;
  }

  /**
   * True when the address, as a 64-bit sum, is below 4 GiB or else so near to that that its low 32 bits are in pages that are never
   * mapped: the test of the page suffices. `narrow`: registers (a mask) that are below 4 GiB.
   */
  isNarrow(mem: MemoryOperand, disp: number, narrow: number): boolean {
    if (mem.index >= 0 || mem.segment !== 'none' || mem.base < 0 || Math.abs(disp) > SURROUNDINGS / 2) return false;
    if ((narrow >> mem.base) & 1) return true;
    const low = disp + this.#offset(mem);
    return this.#checked.some((c) => this.#isThrough(mem, c) && Math.abs(c.low - low) < SURROUNDINGS / 2);
  }

  /** The accesses of an entry are through the same values, in whatever registers. */
  #isThrough(mem: MemoryOperand, c: Checked): boolean {
    if (!sameForm(mem, c.mem)) return false;
    if (mem.base >= 0 && this.#values[mem.base]!.version !== c.baseVersion) return false;
    return mem.index < 0 || this.#values[mem.index]!.version === c.indexVersion;
  }

  /** How much of an address comes from what has been added to its registers since their versions. */
  #offset({ base, index, scale }: MemoryOperand): number {
    const ofBase = base >= 0 ? this.#values[base]!.offset : 0;
    return ofBase + (index >= 0 ? scale * this.#values[index]!.offset : 0);
  }

  // --- where paths meet ---

  /** What holds after either of two paths. */
  static common(a: Known, b: Known): Known {
    const values = a.values.map((value, i) => {
      const other = b.values[i]!;
      return value.version === other.version && value.offset === other.offset ? value : UNKNOWN;
    });
    return { checked: a.checked.filter((c) => b.checked.includes(c)), values, outside: Math.min(a.outside, b.outside) };
  }

  /** What of `known` holds at the head of a loop in which the registers `changing` (a mask) may change. */
  static inLoop(known: Known, changing: number): Known {
    const values = known.values.map((value, i) => ((changing >> i) & 1 ? UNKNOWN : value));
    return { checked: known.checked, values, outside: known.outside };
  }

  /** The registers (a mask) that have not the values of `known` any more; -1 where less is checked. */
  changedSince({ checked, values }: Known): number {
    if (!checked.every((c) => this.#checked.includes(c))) return -1;
    return values.reduce((mask, value, i) => {
      const mine = this.#values[i]!;
      const same = value === UNKNOWN || (value.version === mine.version && value.offset === mine.offset);
      return same ? mask : mask | (1 << i);
    }, 0);
  }

  /** Goes on with what is known on all paths; `loop`: at a loop's head. */
  meet({ checked, values, outside }: Known, loop = false): void {
    this.#outside = loop ? this.#newest : outside;
    this.#checked = [...checked];
    this.#values = values.map((value) => {
      return value === UNKNOWN ? { version: ++this.#newest, offset: 0 } : value;
    });
  }

  /** The range to check for this access. */
  plan(mem: MemoryOperand, size: number, write: boolean): Range {
    let low = mem.disp;
    let high = mem.disp + size;
    const include = (from: number, length: number): void => {
      const l = Math.min(low, from);
      const h = Math.max(high, from + length);
      if (h - l > SPAN) return;
      low = l;
      high = h;
    };
    /** Registers that have the base's present value plus a constant. */
    const bases = new Map([[mem.base, 0]]);
    const alone = mem.index < 0 && mem.segment === 'none';
    /** Where rsp points to, relative to the base; null: somewhere else. */
    const stack = (): number | null => (alone ? (bases.get(RSP) ?? null) : null);
    const end = Math.min(this.#insns.length, this.#at + AHEAD);
    for (let i = this.#at; i < end && bases.size > 0; i++) {
      const insn = this.#insns[i]!;
      const { op, operands, size } = insn;
      const top = stack();
      if (top !== null && insn.flow === 'call' && write) include(top - 8, 8);
      if (top !== null && insn.flow === 'ret' && !write) include(top, size);
      const simple = SIMPLE.has(op);
      if (insn.flow !== 'next' || (!simple && !this.#isVector(op))) break;
      for (let k = 0; k < operands.length; k++) {
        const operand = operands[k]!;
        if (operand.kind !== 'mem' || operand.size === 0 || !sameForm(operand, mem) || operand.index !== mem.index)
          continue;
        const moved = bases.get(operand.base);
        // (the address of what POP writes is computed with what it makes of rsp)
        if (moved === undefined || op === 'pop') continue;
        const writes = k === 0 && (simple || operands.length > 1) && !READS_FIRST.has(op);
        // What is read now and written later is checked for writing at once.
        const place = operand.disp + moved;
        if (writes && place >= low && place + operand.size <= high) write = true;
        if (writes === write) include(place, operand.size);
      }
      if (op === 'push' || op === 'pop') {
        if (mem.index === RSP) break;
        if (top !== null && op === 'push' && write) include(top - size, size);
        if (top !== null && op === 'pop' && !write) include(top, size);
        const base = bases.get(RSP);
        if (base !== undefined) bases.set(RSP, base + (op === 'push' ? -size : size));
        if (op === 'push') continue;
      }
      const to = operands[0];
      if (to?.kind !== 'reg' || to.file !== 'gpr' || (READS_FIRST.has(op) && op !== 'imul')) continue;
      if (to.index === mem.index) break;
      const copy = constantCopy(insn);
      const from = copy === null ? undefined : bases.get(copy.from);
      if (copy === null || from === undefined) {
        bases.delete(to.index);
        continue;
      }
      bases.set(to.index, from + copy.by);
      // The prologue makes a frame pointer: the whole frame at once.
      const frame = alone && write && to.index === RBP ? this.#frame.get(RBP) : undefined;
      if (frame !== undefined) include(from + copy.by + frame.low, frame.high - frame.low);
    }
    const range = withObject(mem, this.#withFrame(mem, { low, high, write }));
    const isPush = range.write && alone && mem.base === RSP;
    return isPush && range.high - range.low + BELOW <= SPAN ? { ...range, low: range.low - BELOW } : range;
  }

  #withFrame(mem: MemoryOperand, range: Range): Range {
    const frame = mem.index < 0 && mem.segment === 'none' ? this.#frame.get(mem.base) : undefined;
    if (frame === undefined || mem.disp < frame.low || mem.disp >= frame.high) return range;
    if (mem.base === RSP && !isStill({ insns: this.#insns })) return range;
    const low = Math.min(range.low, frame.low);
    const high = Math.max(range.high, frame.high);
    // At its end it is only read.
    const write = range.write || (frame.write && this.#insns.at(-1)?.flow !== 'ret');
    return high - low > SPAN ? range : { low, high, write };
  }

  /**
   * The range begins where the base register points to, and the register got its value in the innermost loop: it and the address are
   * to be one value for V8, in one machine register. A value from before the loop would be two then that meet at its head.
   */
  isPointer({ base, index, segment }: MemoryOperand, { low }: Range): boolean {
    return low === 0 && base >= 0 && index < 0 && segment === 'none' && this.#values[base]!.version > this.#outside;
  }

  /** The range has been checked, and the address of its first byte is in a local that nothing else is put in. */
  add(mem: MemoryOperand, range: Range, local: number): void {
    const offset = this.#offset(mem);
    this.#checked.push({
      mem,
      baseVersion: mem.base >= 0 ? this.#values[mem.base]!.version : 0,
      indexVersion: mem.index >= 0 ? this.#values[mem.index]!.version : 0,
      low: range.low + offset,
      high: range.high + offset,
      write: range.write,
      local,
    });
  }
}

/** The range with what else is to be checked for a load: an object, or the page of a constant address. */
function withObject({ base, index, segment }: MemoryOperand, range: Range): Range {
  const { low, high, write } = range;
  if (write || index >= 0 || segment !== 'none') return range;
  if (base < 0) {
    const page = low - (low % SPAN);
    return low >= 0 && high <= page + SPAN ? { low: page, high: page + SPAN, write } : range;
  }
  const from = low > 0 && low <= OBJECT_MAX ? 0 : low;
  const to = Math.max(high, Math.min(OBJECT, from + OBJECT));
  return to - from > SPAN ? range : { low: from, high: to, write };
}

/** What MOV, ADD, SUB or LEA gives its 64-bit register: the value of one plus a constant; null: something else. */
export function constantCopy({ op, size, operands }: Instruction): { from: number; by: number } | null {
  const [to, from] = operands;
  if (to?.kind !== 'reg' || to.file !== 'gpr' || size !== 8) return null;
  if (op === 'mov' && from?.kind === 'reg' && from.file === 'gpr') return { from: from.index, by: 0 };
  if ((op === 'add' || op === 'sub') && from?.kind === 'imm') {
    return { from: to.index, by: op === 'add' ? Number(from.value) : -Number(from.value) };
  }
  if (op === 'lea' && from?.kind === 'mem' && from.base >= 0 && from.index < 0 && from.addressSize === 8) {
    return { from: from.base, by: from.disp };
  }
  return null;
}

/** The addresses are sums of the same parts. */
function sameForm(a: MemoryOperand, b: MemoryOperand): boolean {
  return (
    a.base >= 0 === b.base >= 0 &&
    a.index >= 0 === b.index >= 0 &&
    (a.index < 0 || a.scale === b.scale) &&
    a.segment === b.segment &&
    a.addressSize === b.addressSize
  );
}
