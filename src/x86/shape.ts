/**
 * The shape of an instruction: what is left of it without its registers, displacement, immediate and addresses. A program of
 * a hundred thousand instructions has some thousand shapes, so one function for each (step-translate.ts) runs them all; what
 * was left out is the instruction's record (record.ts).
 */

import { type Instruction, isFar, type MemoryOperand, type Operand, type RegisterOperand } from './instruction.ts';

/** Registers that a record may name, of each file; in a shape's instruction they have these numbers and the next. */
export const FIRST_PARAMETER = 16;
export const PARAMETERS = 3;

export interface Shape {
  /** Equal for equal shapes. */
  readonly key: string;
  /** Numbers of the registers that are parameters, in order. */
  readonly gprs: readonly number[];
  readonly xmms: readonly number[];
  /** Of the memory operand or the immediate, where that is a parameter; else 0. */
  readonly disp: number;
  readonly imm: bigint;
  /** The immediate is a parameter. */
  readonly anyImmediate: boolean;
}

/** Where a direct branch goes: a shape, because a run may stop before one that does not go forward (translate.ts). */
export type Direction = 'forward' | 'back' | 'none';

const words = (text: string): Set<string> => new Set(text.split(/\s+/));

/** Mnemonics that touch no general register but their operands, or (stack, shift count) read it before they write. */
const GPR_OPERANDS = words(
  `mov movzx movsx movsxd lea add adc sub sbb cmp and or xor test inc dec neg not bswap cmovcc setcc imul2 push pop xchg xadd
   call jmp shl shr sar rol ror bt bts btr btc bsf bsr tzcnt lzcnt popcnt crc32 movnti nop prefetch endbr64
   lar lsl verr verw lss lfs lgs mov_seg`,
);
/** Vector mnemonics with registers beside their operands. */
const VECTOR_IMPLICIT = words(
  `pcmpestri pcmpestrm pcmpistri pcmpistrm pblendvb blendvps blendvpd maskmovdqu maskmovq fxsave fxrstor`,
);
/** Mnemonics whose immediate goes nowhere but into the operation (LoweringContext.pushImmediate). */
const IMMEDIATE_OPERAND = words('mov add adc sub sbb cmp and or xor test push imul2');

/** True for an operand's displacement that is all of its address. */
export function isAbsolute(mem: MemoryOperand): boolean {
  return mem.base < 0 && mem.index < 0;
}

/** True for a displacement that a record has room for. MOV with an address of 64 bits has others, and what is relative to rip. */
export function isRecorded(mem: MemoryOperand): boolean {
  return !isAbsolute(mem) || (mem.disp >= -(2 ** 31) && mem.disp < 2 ** 32);
}

/** The shape; `isVector` tells the mnemonics of SSE. */
export function shapeOf(insn: Instruction, isVector: (op: string) => boolean): Shape {
  const name = insn.op === 'imul' && insn.operands.length > 1 ? 'imul2' : insn.op;
  const vector = isVector(name) && !VECTOR_IMPLICIT.has(name);
  const anyGpr = vector || GPR_OPERANDS.has(name);
  const anyImmediate = IMMEDIATE_OPERAND.has(name);
  const gprs: number[] = [];
  const xmms: number[] = [];
  let disp = 0;
  let imm = 0n;
  /** The same register is the same parameter, so that nothing is known twice. */
  const parameter = (list: number[], register: number): number => {
    let at = list.indexOf(register);
    if (at < 0) at = list.push(register) - 1;
    return FIRST_PARAMETER + at;
  };
  const gpr = (register: number): number => (register < 0 || !anyGpr ? register : parameter(gprs, register));
  const registerKey = ({ file, index, size, high }: RegisterOperand): string => {
    // A byte register of the high four is the same parameter as the whole one.
    const number = file === 'gpr' ? gpr(index) : file === 'xmm' && vector ? parameter(xmms, index) : index;
    return `${file}${number}.${size}${high ? 'h' : ''}`;
  };
  const memoryKey = (mem: MemoryOperand): string => {
    // pop computes the address with what it makes of rsp.
    const [base, index] = name === 'pop' ? [mem.base, mem.index] : [gpr(mem.base), gpr(mem.index)];
    let address = `[${base}+${index}*${mem.scale}`;
    if (!isRecorded(mem)) address += mem.disp;
    else if (isAbsolute(mem)) address += mem.disp < 0 ? '-' : '+';
    else if (mem.disp !== 0) address += '+d';
    if (isRecorded(mem)) disp = mem.disp;
    return `${address}].${mem.segment}${mem.addressSize}.${mem.size}`;
  };
  const operandKey = (operand: Operand): string => {
    if (operand.kind === 'reg') return registerKey(operand);
    if (operand.kind === 'mem') return memoryKey(operand);
    if (operand.kind === 'target') return isFar(operand) ? `${operand.address}` : directionOf(insn, operand.address);
    if (!anyImmediate) return `#${operand.value}.${operand.size}`;
    imm = operand.value;
    return `#.${operand.size}`;
  };
  const operands = insn.operands.map(operandKey);
  const prefixes = `${insn.rep}${insn.lock ? ' lock' : ''} ${insn.addressSize}`;
  const key = `${insn.form} ${insn.op} ${insn.cc} ${insn.size} ${prefixes} ${operands.join(' ')}`;
  return { key, gprs, xmms, disp, imm, anyImmediate };
}

/** Which way a direct branch goes. */
export function directionOf(insn: Instruction, target: number): Direction {
  if (insn.flow !== 'jump' && insn.flow !== 'branch') return 'none';
  return target <= insn.rip ? 'back' : 'forward';
}
