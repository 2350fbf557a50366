/**
 * What is known of encodings. A program of a hundred thousand instructions has some thousand _heads_: prefixes, opcode and
 * addressing bytes. What follows of a head, its length, shape and registers, is found out once (decode.ts, shape.ts); from
 * then on a record is made of the bytes, with the displacement and the immediate that stand behind the head.
 */

import { USES_MODRM } from './decode.ts';
import type { Instruction } from './instruction.ts';
import type { Shape } from './shape.ts';
import type { StepFunction } from './step-functions.ts';

/** A displacement to registers, … */
const BASED = 1;
/** … one that is all of an address, or to the next instruction's; the distance of a direct branch. */
const ABSOLUTE = 2;
const RELATIVE = 3;
const TARGET = 4;

export interface Encoding {
  readonly length: number;
  /** Control does not go on behind it. */
  readonly ends: boolean;
  /** BASED …; 0: nothing of that. */
  readonly dispKind: number;
  /** Of the displacement or the distance, from the instruction's first byte. */
  readonly dispAt: number;
  readonly dispSize: number;
  /** Bytes of the immediate, the last ones, where the record has it. */
  readonly immSize: number;
  /** What the record has of registers: REC_GPR and what follows, without REC_HEAT. */
  readonly registers: readonly [number, number];
  /** Step functions: in general; and where the displacement is 0, or the branch goes back. */
  readonly steps: [StepFunction | null, StepFunction | null];
}

/** No encoding is kept for a head. */
const NEVER = -1;
/** Longest key, in bytes. */
const KEY_MAX = 7;
/** In a key's length: its last bytes are the immediate. */
const WITH_IMMEDIATE = 0x80;
const SIZE_MIN = 1 << 12;
const IS_PREFIX = new Uint8Array(256);
for (const byte of [0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf0, 0xf2, 0xf3]) IS_PREFIX[byte] = 1;

/** Of `save` and `load`, for each key. */
export const SAVED_WORDS = 8;

/** True where control does not go on behind the instruction. */
export function isLast({ flow }: Instruction): boolean {
  return flow === 'jump' || flow === 'ret' || flow === 'jump-indirect' || flow === 'trap';
}

export class Encodings {
  /** Of what `find` has found. */
  disp = 0;
  immLow = 0;
  immHigh = 0;
  step: StepFunction | null = null;
  #variant = 0;
  /**
   * A table of open addressing by keys of two words, the bytes and their number. A number instead of an encoding: NEVER, or so
   * many bytes of an immediate belong to the key, too.
   */
  #lows = new Int32Array(SIZE_MIN);
  #highs = new Int32Array(SIZE_MIN);
  #found: (Encoding | number | undefined)[] = new Array(SIZE_MIN).fill(undefined);
  #used = 0;
  /** Keys of what was learned and not saved, two words each. */
  #fresh: number[] = [];
  /** The head being looked at, and its key. */
  #length = 0;
  #dispKind = 0;
  #dispSize = 0;
  #low = 0;
  #high = 0;

  /** The encoding of the instruction at `rip`; null where it is not known. 16 bytes can be read there. */
  find(view: DataView, rip: number): Encoding | null {
    if (!this.#head(view, rip)) return null;
    let found = this.#found[this.#place()];
    if (typeof found === 'number') {
      if (found === NEVER) return null;
      this.#addImmediate(view, rip, found);
      found = this.#found[this.#place()];
    }
    if (found === undefined || typeof found === 'number' || !this.#read(found, view, rip)) return null;
    this.step = found.steps[this.#variant]!;
    return this.step === null ? null : found;
  }

  /** Keeps what is to be known of the encoding of an instruction that `find` has not found. */
  learn(view: DataView, insn: Instruction, shape: Shape, step: StepFunction): void {
    const { rip, length, operands } = insn;
    if (!this.#head(view, rip)) return;
    const rest = length - this.#length - this.#dispSize;
    const first = operands[0];
    const target = first?.kind === 'target';
    const recorded = shape.anyImmediate && operands.some(({ kind }) => kind === 'imm');
    if (rest > 0 && !target && !recorded) {
      if (this.#found[this.#place()] === undefined) {
        this.#put(this.#length + rest > KEY_MAX ? NEVER : rest);
        this.#fresh.push(this.#low, this.#high);
      }
      if (this.#found[this.#place()] !== rest) return;
      this.#addImmediate(view, rip, rest);
    }
    const known = this.#found[this.#place()];
    if (typeof known === 'number') return;
    const encoding = known ?? this.#encoding(insn, shape, target, recorded ? rest : 0);
    if (rest >= 0 && !this.#read(encoding, view, rip)) return;
    const imm = (BigInt(this.immHigh) << 32n) | BigInt(this.immLow >>> 0);
    const disp = target ? first.address | 0 : shape.disp | 0;
    if (rest < 0 || encoding.length !== length || this.disp !== disp || imm !== shape.imm) {
      this.#put(NEVER);
      return;
    }
    encoding.steps[this.#variant] = step;
    if (known === undefined) this.#put(encoding);
    this.#fresh.push(this.#low, this.#high);
  }

  /** How much has been learned that was not saved. */
  get unsaved(): number {
    return this.#fresh.length / 2;
  }

  /** What was learned since the last time, SAVED_WORDS each; `indexOf` numbers the step functions. */
  save(indexOf: (step: StepFunction) => number): Int32Array<ArrayBuffer> {
    const words: number[] = [];
    const number = (step: StepFunction | null): number => (step === null ? -1 : indexOf(step));
    for (let i = 0; i < this.#fresh.length; i += 2) {
      this.#low = this.#fresh[i]!;
      this.#high = this.#fresh[i + 1]!;
      const found = this.#found[this.#place()]!;
      words.push(this.#low, this.#high);
      if (typeof found === 'number') {
        words.push(found, 0, 0, 0, -1, -1);
        continue;
      }
      const { length, ends, dispKind, dispAt, dispSize, immSize, registers, steps } = found;
      words.push(immSize | (Number(ends) << 4) | (length << 8), dispKind | (dispAt << 8) | (dispSize << 16));
      words.push(...registers, number(steps[0]), number(steps[1]));
    }
    this.#fresh = [];
    return Int32Array.from(words);
  }

  /** Takes in what another process has saved; `stepOf` gives the step functions by their numbers, null for -1. */
  load(words: Int32Array, stepOf: (index: number) => StepFunction | null): void {
    for (let i = 0; i + SAVED_WORDS <= words.length; i += SAVED_WORDS) {
      this.#low = words[i]!;
      this.#high = words[i + 1]!;
      const [what, disp] = [words[i + 2]!, words[i + 3]!];
      const steps: [StepFunction | null, StepFunction | null] = [stepOf(words[i + 6]!), stepOf(words[i + 7]!)];
      const known = this.#found[this.#place()];
      // Twice in different packs, perhaps for different variants.
      if (typeof known === 'object') {
        known.steps[0] ??= steps[0];
        known.steps[1] ??= steps[1];
      } else if (known === undefined && what < 1 << 8) {
        this.#put(what);
      } else if (known === undefined) {
        this.#put({
          length: what >> 8,
          ends: (what & 16) !== 0,
          dispKind: disp & 255,
          dispAt: (disp >> 8) & 255,
          dispSize: disp >> 16,
          immSize: what & 15,
          registers: [words[i + 4]!, words[i + 5]!],
          steps,
        });
      }
    }
  }

  #encoding(insn: Instruction, { gprs, xmms }: Shape, target: boolean, immSize: number): Encoding {
    const gpr = (i: number): number => (gprs[i] ?? 0) * 8;
    const xmm = (i: number): number => (xmms[i] ?? 0) * 16;
    return {
      length: insn.length,
      ends: isLast(insn),
      dispKind: target ? TARGET : this.#dispKind,
      dispAt: this.#length,
      dispSize: target ? insn.length - this.#length : this.#dispSize,
      immSize,
      registers: [gpr(0) | (gpr(1) << 8) | (gpr(2) << 16) | (xmm(0) << 24), xmm(1) | (xmm(2) << 8)],
      steps: [null, null],
    };
  }

  /** Takes the head apart (SDM vol. 2, 2.1 and 2.2.1). False where it is too long, or a REX prefix does not count. */
  #head(view: DataView, rip: number): boolean {
    let at = rip;
    let byte = view.getUint8(at++);
    while (IS_PREFIX[byte] === 1) {
      if (at - rip === KEY_MAX) return false;
      byte = view.getUint8(at++);
    }
    let rex = 0;
    if ((byte & 0xf0) === 0x40) {
      rex = byte;
      byte = view.getUint8(at++);
      if (IS_PREFIX[byte] === 1 || (byte & 0xf0) === 0x40) return false;
    }
    let opcode = byte;
    if (byte === 0x0f) {
      byte = view.getUint8(at++);
      if (byte === 0x38) opcode = 0x200 | view.getUint8(at++);
      else opcode = byte === 0x3a ? 0x300 | view.getUint8(at++) : 0x100 | byte;
    }
    let kind = 0;
    let size = 0;
    if (USES_MODRM[opcode] === 1) {
      const modrm = view.getUint8(at++);
      const mod = modrm >> 6;
      if (mod !== 3) {
        if (mod !== 0) [kind, size] = [BASED, mod === 1 ? 1 : 4];
        if ((modrm & 7) === 4) {
          const sib = view.getUint8(at++);
          // Without a base; index 4 is none, but with REX.X.
          if ((sib & 7) === 5 && mod === 0) {
            size = 4;
            kind = ((sib >> 3) & 7) === 4 && (rex & 2) === 0 ? ABSOLUTE : BASED;
          }
        } else if ((modrm & 7) === 5 && mod === 0) {
          kind = RELATIVE;
          size = 4;
        }
      }
    }
    const length = at - rip;
    if (length > KEY_MAX) return false;
    this.#length = length;
    this.#dispKind = kind;
    this.#dispSize = size;
    this.#low = view.getInt32(rip, true);
    this.#high = 0;
    if (length < 4) this.#low &= (1 << (8 * length)) - 1;
    else if (length > 4) this.#high = view.getInt32(rip + 4, true) & ((1 << (8 * (length - 4))) - 1);
    this.#high |= length << 24;
    return true;
  }

  /** The key of the head becomes one with the instruction's last bytes. */
  #addImmediate(view: DataView, rip: number, size: number): void {
    const from = rip + this.#length + this.#dispSize;
    let length = this.#length;
    let high = this.#high & 0xff_ffff;
    for (let i = 0; i < size; i++, length++) {
      const byte = view.getUint8(from + i);
      if (length < 4) this.#low |= byte << (8 * length);
      else high |= byte << (8 * (length - 4));
    }
    this.#high = high | ((length | WITH_IMMEDIATE) << 24);
  }

  /** Reads what stands behind the head. False where it is beyond what a record can have. */
  #read({ length, dispKind, dispAt, dispSize, immSize }: Encoding, view: DataView, rip: number): boolean {
    let disp = 0;
    this.#variant = 0;
    if (dispKind !== 0) {
      disp =
        dispSize === 1 ? view.getInt8(rip + dispAt) : dispSize === 4 ? view.getInt32(rip + dispAt, true) : Number.NaN;
      if (dispKind === BASED) {
        if (disp === 0) this.#variant = 1;
      } else {
        if (dispKind !== ABSOLUTE) disp += rip + length;
        if (!(disp >= 0 && disp < 4294967296)) return false;
        if (dispKind === TARGET && disp <= rip) this.#variant = 1;
      }
    }
    this.disp = disp | 0;
    const immAt = rip + length - immSize;
    this.immHigh = 0;
    if (immSize === 0) this.immLow = 0;
    else {
      if (immSize === 1) this.immLow = view.getInt8(immAt);
      else this.immLow = immSize === 2 ? view.getInt16(immAt, true) : view.getInt32(immAt, true);
      this.immHigh = immSize === 8 ? view.getInt32(immAt + 4, true) : this.immLow >> 31;
    }
    return true;
  }

  /** Where the key is, or where it would be. */
  #place(): number {
    const lows = this.#lows;
    const highs = this.#highs;
    const low = this.#low;
    const high = this.#high;
    const mask = lows.length - 1;
    let at = (Math.imul(low ^ Math.imul(high, 0x85eb_ca6b), 0x9e37_79b1) >>> 10) & mask;
    while (highs[at] !== 0 && (lows[at] !== low || highs[at] !== high)) at = (at + 1) & mask;
    return at;
  }

  #put(value: Encoding | number): void {
    let at = this.#place();
    if (this.#highs[at] === 0) {
      if (++this.#used > this.#lows.length >> 1) {
        this.#grow();
        at = this.#place();
      }
      this.#lows[at] = this.#low;
      this.#highs[at] = this.#high;
    }
    this.#found[at] = value;
  }

  #grow(): void {
    const [lows, highs, found, low, high] = [this.#lows, this.#highs, this.#found, this.#low, this.#high];
    this.#lows = new Int32Array(lows.length * 2);
    this.#highs = new Int32Array(lows.length * 2);
    this.#found = new Array(lows.length * 2).fill(undefined);
    for (let i = 0; i < lows.length; i++) {
      if (highs[i] === 0) continue;
      this.#low = lows[i]!;
      this.#high = highs[i]!;
      const at = this.#place();
      this.#lows[at] = this.#low;
      this.#highs[at] = this.#high;
      this.#found[at] = found[i];
    }
    this.#low = low;
    this.#high = high;
  }
}
