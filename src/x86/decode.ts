/**
 * Decodes one instruction of 64-bit mode by the table of table.ts.
 *
 * Source: Intel SDM, vol. 2, chapter 2 "Instruction Format".
 *
 * What the operands look like where the SDM's text leaves it open:
 * - string instructions carry their memory operands: movs [rdi] [rsi], cmps [rsi] [rdi], stos [rdi] rAX, lods rAX [rsi],
 *   scas rAX [rdi]; maskmovdqu/maskmovq [rdi] xmm xmm; xlat [rbx] (AL is added);
 * - shifts by one have an immediate 1; shifts by CL have the register CL (size 1) as last operand;
 * - x87 register forms name both registers (ST(0) and ST(i), destination first); memory forms only the memory;
 * - mul, div and the one-operand imul name only the explicit operand.
 */

import type {
  Flow,
  ImmediateOperand,
  Instruction,
  MemoryOperand,
  Operand,
  RegisterFile,
  RegisterOperand,
  RepPrefix,
} from './instruction.ts';
import { ARITHMETIC_FLAGS, OF } from './state.ts';
import { CONDITION_FLAGS, FORMS, type Form, formsOf, OPCODES, type OperandSpec } from './table.ts';

export interface DecodeError {
  /**
   * truncated: `bytes` ended inside the instruction; unknown: not in the table (#UD); too-long: over 15 bytes (#GP).
   */
  readonly error: 'truncated' | 'unknown' | 'too-long';
  /** Bytes looked at. */
  readonly length: number;
}

export const MAX_INSTRUCTION_LENGTH = 15;

/** Tells a failed decoding from an instruction. */
export function isDecodeError(result: Instruction | DecodeError): result is DecodeError {
  return 'error' in result;
}

/**
 * Decodes the instruction at `bytes[offset]`, whose address is `rip`. Never throws.
 */
export function decode(bytes: Uint8Array, offset: number, rip: number): Instruction | DecodeError {
  return DECODER.decode(bytes, offset, rip);
}

const SHIFTS = new Set(['rol', 'ror', 'rcl', 'rcr', 'shl', 'shr', 'sar', 'shld', 'shrd']);
const NO_BYTES: Uint8Array = new Uint8Array();

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** The state of one decoding; used again for the next. */
class Decoder {
  #bytes = NO_BYTES;
  #start = 0;
  #rip = 0;
  #end = 0;
  #pos = 0;
  #overrun = false;

  #operandSize = 4;
  #addressSize: 4 | 8 = 8;
  #prefix66 = false;
  #repeat = 0;
  #lock = false;
  #segment: MemoryOperand['segment'] = 'none';
  #rex = 0;
  #modrm = 0;
  #opcode = 0;
  /** What modrm says of memory. */
  #base = -1;
  #index = -1;
  #scale: MemoryOperand['scale'] = 1;
  #disp = 0;
  /** The memory operand is relative to the next instruction, whose address is known at the end. */
  #ripRelative = false;

  decode(bytes: Uint8Array, offset: number, rip: number): Instruction | DecodeError {
    this.#bytes = bytes;
    this.#start = offset;
    this.#pos = offset;
    this.#rip = rip;
    this.#end = Math.min(bytes.length, offset + MAX_INSTRUCTION_LENGTH);
    this.#overrun = false;
    this.#addressSize = 8;
    this.#prefix66 = false;
    this.#repeat = 0;
    this.#lock = false;
    this.#segment = 'none';
    this.#rex = 0;
    this.#modrm = 0;
    this.#ripRelative = false;
    return this.#run();
  }

  #byte(): number {
    if (this.#pos >= this.#end) {
      this.#overrun = true;
      return 0;
    }
    return this.#bytes[this.#pos++]!;
  }

  #i8(): number {
    return (this.#byte() << 24) >> 24;
  }

  #u16(): number {
    return this.#byte() | (this.#byte() << 8);
  }

  #i32(): number {
    return this.#byte() | (this.#byte() << 8) | (this.#byte() << 16) | (this.#byte() << 24);
  }

  #error(error: DecodeError['error']): DecodeError {
    if (this.#overrun) error = this.#end - this.#start === MAX_INSTRUCTION_LENGTH ? 'too-long' : 'truncated';
    return { error, length: this.#pos - this.#start };
  }

  /** SDM vol. 2, 2.1.1; a REX prefix counts only directly before the opcode (2.2.1). */
  #prefixes(): void {
    for (;;) {
      const byte = this.#byte();
      if (this.#overrun) return;
      switch (byte) {
        case 0x66:
          this.#prefix66 = true;
          break;
        case 0x67:
          this.#addressSize = 4;
          break;
        case 0xf0:
          this.#lock = true;
          break;
        case 0xf2:
        case 0xf3:
          this.#repeat = byte;
          break;
        case 0x64:
          this.#segment = 'fs';
          break;
        case 0x65:
          this.#segment = 'gs';
          break;
        case 0x26:
        case 0x2e:
        case 0x36:
        case 0x3e:
          break;
        default:
          if ((byte & 0xf0) === 0x40) {
            this.#rex = byte;
            continue;
          }
          this.#opcode = byte === 0x0f ? this.#escaped() : byte;
          return;
      }
      this.#rex = 0;
    }
  }

  /** The opcode behind 0f: SDM vol. 2, appendix A.2.3 and A.2.4. */
  #escaped(): number {
    const byte = this.#byte();
    if (byte === 0x38) return 0x200 | this.#byte();
    return byte === 0x3a ? 0x300 | this.#byte() : 0x100 | byte;
  }

  #run(): Instruction | DecodeError {
    this.#prefixes();
    if (this.#overrun) return this.#error('truncated');
    const rexW = (this.#rex & 8) !== 0;
    this.#operandSize = rexW ? 8 : this.#prefix66 ? 2 : 4;

    const form = this.#findForm();
    if (form === null) return this.#error('unknown');
    if (form.hasModrm) {
      this.#modrm = this.#byte();
      if (this.#modrm < 0xc0 && form.mod !== 'ignored') this.#memoryAddress();
    }
    const operands: Operand[] = [];
    for (const spec of form.operands) {
      const operand = this.#operand(spec, form);
      if (operand === null) return this.#error('unknown');
      operands.push(operand);
    }
    if (this.#overrun) return this.#error('truncated');
    if (this.#lock && !(form.lock && operands[0]?.kind === 'mem')) return this.#error('unknown');

    const length = this.#pos - this.#start;
    if (this.#ripRelative) this.#resolveRelative(operands, length);
    return this.#finish(form, operands, length);
  }

  #findForm(): Form | null {
    const prefix = this.#repeat === 0xf3 ? 3 : this.#repeat === 0xf2 ? 2 : this.#prefix66 ? 1 : 0;
    let modrm = 0;
    if (USES_MODRM[this.#opcode] === 1) {
      if (this.#pos >= this.#end) {
        this.#overrun = true;
        return null;
      }
      modrm = this.#bytes[this.#pos]!;
    }
    const at = (((this.#opcode << 2) | prefix) << 8) | modrm;
    const found = FOUND[at]!;
    if (found > 0) return FORMS[found - 1]!;
    if (found === NO_FORM) return null;
    const form = searchForm(this.#opcode, PREFIXES[prefix]!, modrm);
    FOUND[at] = form === null ? NO_FORM : form.id + 1;
    return form;
  }

  /** SDM vol. 2, tables 2-2, 2-3 and 2-5. */
  #memoryAddress(): void {
    const mod = this.#modrm >> 6;
    const rm = this.#modrm & 7;
    const rexB = (this.#rex & 1) << 3;
    let base = rm | rexB;
    let index = -1;
    let scale: MemoryOperand['scale'] = 1;
    let disp = 0;
    if (rm === 4) {
      const sib = this.#byte();
      index = ((sib >> 3) & 7) | ((this.#rex & 2) << 2);
      if (index === 4) index = -1;
      else scale = (1 << (sib >> 6)) as MemoryOperand['scale'];
      base = (sib & 7) | rexB;
      if ((sib & 7) === 5 && mod === 0) {
        base = -1;
        disp = this.#i32();
      }
    } else if (rm === 5 && mod === 0) {
      base = -1;
      disp = this.#i32();
      this.#ripRelative = true;
    }
    if (mod === 1) disp = this.#i8();
    else if (mod === 2) disp = this.#i32();
    this.#base = base;
    this.#index = index;
    this.#scale = scale;
    this.#disp = disp;
  }

  #size(type: string, register: boolean): number {
    switch (type) {
      case 'b':
        return 1;
      case 'w':
        return 2;
      case 'd':
        return 4;
      case 'q':
        return 8;
      case 'x':
        return 16;
      case 't':
        return 10;
      case 'v':
        return this.#operandSize;
      case 'y':
        return (this.#rex & 8) !== 0 ? 8 : 4;
      case 'p':
        return this.#operandSize === 2 ? 2 : 8;
      case 'e':
        return this.#operandSize === 2 ? 14 : 28;
      case 'a':
        return this.#operandSize === 2 ? 94 : 108;
      case 'f':
        return 512;
      case 'm':
        return this.#operandSize === 2 ? 2 : 4;
      case 'c':
        return (this.#rex & 8) !== 0 ? 16 : 8;
      case 'g':
        return this.#operandSize + 2;
      case 'h':
        return register ? this.#operandSize : 2;
      case 'i':
        return register ? 4 : 2;
      case 'k':
        return register ? 4 : 1;
      default:
        return 0;
    }
  }

  #operand(spec: OperandSpec, form: Form): Operand | null {
    const { at, type } = spec;
    const rm = (this.#modrm & 7) | ((this.#rex & 1) << 3);
    const reg = ((this.#modrm >> 3) & 7) | ((this.#rex & 4) << 1);
    switch (at) {
      case 'E':
        return this.#memory(type) ?? this.#gpr(rm, this.#size(type, true));
      case 'M':
        return this.#memory(type);
      case 'R':
        return this.#gpr(rm, this.#size(type, true));
      case 'G':
        return this.#gpr(reg, this.#size(type, true));
      case 'Z':
        return this.#gpr((this.#opcode & 7) | ((this.#rex & 1) << 3), this.#size(type, true));
      case 'V':
        return register('xmm', reg, this.#size(type, true));
      case 'W':
        return this.#memory(type) ?? register('xmm', rm, this.#size(type, true));
      case 'U':
        return register('xmm', rm, this.#size(type, true));
      case 'P':
        return register('mmx', reg & 7, 8);
      case 'Q':
        return this.#memory(type) ?? register('mmx', rm & 7, 8);
      case 'N':
        return register('mmx', rm & 7, 8);
      case 'T':
        return register('st', rm & 7, 10);
      case 'H':
        return register('st', 0, 10);
      case 'A':
        return register('gpr', 0, this.#size(type, true));
      case 'C':
        return register('gpr', 1, 1);
      case 'S':
        // There are six segment registers, and CS is not loaded by a move.
        if (((this.#modrm >> 3) & 7) > 5) return null;
        if (form.operands[0] === spec && ((this.#modrm >> 3) & 7) === 1) return null;
        return register('seg', (this.#modrm >> 3) & 7, 2);
      case 'K':
        return CONTROL_REGISTERS.has(reg) ? register('control', reg, 8) : null;
      case 'D':
        return reg < 8 ? register('debug', reg, 8) : null;
      case 'X':
        return this.#implicit(6, this.#segment, type);
      case 'Y':
        return this.#implicit(7, form.area === 'string' ? 'none' : this.#segment, type);
      case 'B':
        return this.#implicit(3, this.#segment, type);
      case 'O':
        return {
          kind: 'mem',
          base: -1,
          index: -1,
          scale: 1,
          disp: this.#addressSize === 4 ? this.#i32() >>> 0 : Number(this.#i64()),
          segment: this.#segment,
          addressSize: this.#addressSize,
          size: this.#size(type, false),
        };
      case 'J': {
        const disp = type === 'b' ? this.#i8() : this.#i32();
        // The displacement of a branch is its last part.
        return { kind: 'target', address: this.#rip + (this.#pos - this.#start) + disp };
      }
      case 'I':
        return this.#immediate(type);
      case '1':
        return immediate(1, 1);
      default:
        throw new Error(`operand ${at}${type}`);
    }
  }

  #memory(type: string): MemoryOperand | null {
    if (this.#modrm >= 0xc0) return null;
    return {
      kind: 'mem',
      base: this.#base,
      index: this.#index,
      scale: this.#scale,
      disp: this.#disp,
      segment: this.#segment,
      addressSize: this.#addressSize,
      size: this.#size(type, false),
    };
  }

  #implicit(base: number, segment: MemoryOperand['segment'], type: string): MemoryOperand {
    const size = this.#size(type, false);
    return { kind: 'mem', base, index: -1, scale: 1, disp: 0, segment, addressSize: this.#addressSize, size };
  }

  #gpr(index: number, size: number): RegisterOperand {
    // Without REX, encodings 4 … 7 of byte registers are AH, CH, DH, BH (SDM vol. 2, table 3-1).
    if (size === 1 && this.#rex === 0 && index >= 4) {
      return HIGH_BYTES[index - 4]!;
    }
    return register('gpr', index, size);
  }

  #i64(): bigint {
    const low = this.#i32() >>> 0;
    return (BigInt(this.#i32()) << 32n) | BigInt(low);
  }

  #immediate(type: string): ImmediateOperand {
    switch (type) {
      case 'b':
        return immediate(this.#i8(), 1);
      case 'u':
        return immediate(this.#byte(), 1);
      case 'W':
        return immediate(this.#u16(), 2);
      case 's':
        return immediate(this.#i8(), this.#operandSize);
      case 'S':
        return immediate(this.#i8(), this.#size('p', false));
      case 'P':
        return immediate(this.#operandSize === 2 ? (this.#u16() << 16) >> 16 : this.#i32(), this.#size('p', false));
      case 'v':
        if (this.#operandSize === 8) return { kind: 'imm', value: this.#i64(), size: 8 };
        break;
      default:
    }
    return immediate(this.#operandSize === 2 ? (this.#u16() << 16) >> 16 : this.#i32(), this.#operandSize);
  }

  #resolveRelative(operands: readonly Operand[], length: number): void {
    for (const operand of operands) {
      if (operand.kind !== 'mem') continue;
      let disp = operand.disp + this.#rip + length;
      if (this.#addressSize === 4) disp %= 4294967296;
      (operand as Mutable<MemoryOperand>).disp = disp;
    }
  }

  #finish(form: Form, operands: Operand[], length: number): Instruction {
    const integer = form.area === 'integer' || form.area === 'string';
    let op = (this.#rex & 8) !== 0 && form.opW !== null ? form.opW : form.op;
    let size = integer ? this.#integerSize(form, operands) : 0;
    let cc = -1;
    let flow: Flow = form.flow;
    let { flagsRead, flagsWritten, flagsUndefined } = form;
    let rep: RepPrefix = 'none';
    if (form.plus === 'cc') {
      cc = this.#opcode & 15;
      flagsRead = CONDITION_FLAGS[cc]!;
    } else if (form.area === 'string') {
      rep = this.#repeat === 0xf3 ? 'rep' : this.#repeat === 0xf2 ? 'repne' : 'none';
      // With rcx = 0 the flags keep their values.
      if (rep !== 'none' && flagsWritten !== 0) flagsRead = ARITHMETIC_FLAGS;
    } else if (SHIFTS.has(op)) {
      const count = operands.at(-1)!;
      if (count.kind !== 'imm') {
        // A count of zero leaves all flags, a count of one defines OF.
        flagsRead |= flagsWritten | flagsUndefined;
      } else {
        let masked = Number(count.value) & (size === 8 ? 63 : 31);
        // Rotations through CF by a multiple of 9 or 17 bits do nothing.
        if (op === 'rcl' || op === 'rcr') masked = size > 2 ? masked : masked % (size * 8 + 1) === 0 ? 0 : masked;
        if (masked === 0) {
          flagsRead = flagsWritten = flagsUndefined = 0;
        } else if (masked === 1) {
          flagsWritten |= OF;
          flagsUndefined &= ~OF;
        }
        if (masked > size * 8 && (op === 'shld' || op === 'shrd')) {
          flagsUndefined |= flagsWritten;
          flagsWritten = 0;
        }
      }
    } else if (op === 'cbw') {
      op = size === 8 ? 'cdqe' : size === 4 ? 'cwde' : 'cbw';
    } else if (op === 'cwd') {
      op = size === 8 ? 'cqo' : size === 4 ? 'cdq' : 'cwd';
    } else if (op === 'jrcxz' && this.#addressSize === 4) {
      op = 'jecxz';
    } else if (this.#opcode === 0x90 && op === 'xchg' && (this.#rex & 1) === 0) {
      op = 'nop';
      operands = [];
      size = 0;
    }
    if (op === 'nop') flow = 'next';
    return {
      rip: this.#rip,
      length,
      op,
      cc,
      size,
      operands,
      rep,
      addressSize: this.#addressSize,
      form: form.id,
      lock: this.#lock,
      flow,
      flagsRead,
      flagsWritten,
      flagsUndefined,
    };
  }

  #integerSize(form: Form, operands: Operand[]): number {
    if (form.stackSize) return this.#size('p', false);
    const first = operands[0];
    if (first === undefined) return this.#operandSize;
    if (first.kind === 'target') return 8;
    return first.size === 0 ? this.#operandSize : first.size;
  }
}

const DECODER = new Decoder();

/** CR0, CR2, CR3, CR4 and CR8: naming another one is #UD (SDM vol. 2, MOV to and from control registers). */
const CONTROL_REGISTERS: ReadonlySet<number> = new Set([0, 2, 3, 4, 8]);
const PREFIXES = ['np', '66', 'f2', 'f3'] as const;
/** Opcodes of which the byte behind tells the form. */
export const USES_MODRM: Uint8Array = Uint8Array.from({ length: OPCODES }, (_, opcode) =>
  Number(formsOf(opcode).some((f) => f.hasModrm)),
);
/** By (opcode, prefix, modrm): 1 + the form's number; 0 where it was not searched for yet. */
const FOUND = new Int16Array(OPCODES * 4 * 256);
const NO_FORM = -1;

function searchForm(opcode: number, prefix: string, modrm: number): Form | null {
  for (const form of formsOf(opcode)) {
    if (form.prefix !== 'any' && form.prefix !== prefix) continue;
    if (form.modrm >= 0 && form.modrm !== modrm) continue;
    if (form.digit >= 0 && form.digit !== ((modrm >> 3) & 7)) continue;
    if (form.mod === 'mem' && modrm >= 0xc0) continue;
    if (form.mod === 'reg' && modrm < 0xc0) continue;
    return form;
  }
  return null;
}

// Operands that say only a register or a small number are made once.

const REGISTERS: Record<RegisterFile, RegisterOperand[]> = {
  gpr: [],
  xmm: [],
  mmx: [],
  st: [],
  seg: [],
  control: [],
  debug: [],
};
const HIGH_BYTES: readonly RegisterOperand[] = [0, 1, 2, 3].map((index) => {
  return { kind: 'reg', file: 'gpr', index, size: 1, high: true };
});

function register(file: RegisterFile, index: number, size: number): RegisterOperand {
  const made = REGISTERS[file];
  const at = size * 16 + index;
  made[at] ??= { kind: 'reg', file, index, size, high: false };
  return made[at];
}

const SMALL = 128;
const IMMEDIATES: (ImmediateOperand | undefined)[] = new Array(9 * 2 * SMALL);

function immediate(value: number, size: number): ImmediateOperand {
  if (value < -SMALL || value >= SMALL) return { kind: 'imm', value: BigInt(value), size };
  const at = size * 2 * SMALL + value + SMALL;
  IMMEDIATES[at] ??= { kind: 'imm', value: BigInt(value), size };
  return IMMEDIATES[at];
}
