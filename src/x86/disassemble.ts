/** Decoded instructions as text in Intel's syntax, for people: traces, messages. */

import type { Instruction, MemoryOperand, Operand, RegisterOperand } from './instruction.ts';
import { FORMS } from './table.ts';

/** SDM vol. 2, appendix B.1. */
export const CONDITIONS = ['o', 'no', 'b', 'ae', 'e', 'ne', 'be', 'a', 's', 'ns', 'p', 'np', 'l', 'ge', 'le', 'g'];
const LOW = ['ax', 'cx', 'dx', 'bx', 'sp', 'bp', 'si', 'di'];
const BYTES = ['al', 'cl', 'dl', 'bl', 'spl', 'bpl', 'sil', 'dil'];
const HIGH_BYTES = ['ah', 'ch', 'dh', 'bh'];
const SEGMENTS = ['es', 'cs', 'ss', 'ds', 'fs', 'gs'];
const STRING_SUFFIX: Readonly<Record<number, string>> = { 1: 'b', 2: 'w', 4: 'd', 8: 'q' };
const POINTERS: Readonly<Record<number, string>> = {
  1: 'byte ptr ',
  2: 'word ptr ',
  4: 'dword ptr ',
  8: 'qword ptr ',
  10: 'tbyte ptr ',
  16: 'xmmword ptr ',
};

export function disassemble(insn: Instruction): string {
  const mnemonic = mnemonicOf(insn);
  // What string instructions work on is in their name.
  const operands = isString(insn) ? [] : insn.operands.map((operand) => operandText(operand, insn));
  return operands.length === 0 ? mnemonic : `${mnemonic} ${operands.join(', ')}`;
}

export function mnemonicOf(insn: Instruction): string {
  const { op, cc, rep, lock } = insn;
  if (cc >= 0) return op.slice(0, -2) + CONDITIONS[cc];
  if (isString(insn)) {
    const compares = op === 'cmps' || op === 'scas';
    const prefix = rep === 'none' ? '' : rep === 'repne' ? 'repne ' : compares ? 'repe ' : 'rep ';
    return `${prefix}${op}${STRING_SUFFIX[insn.size] ?? ''}`;
  }
  const name = op === 'mov_seg' ? 'mov' : op;
  return lock ? `lock ${name}` : name;
}

/** `rax`, `r10d`, `dil`. */
export function gprName(index: number, size: number): string {
  if (size === 1) return index < 8 ? BYTES[index]! : `r${index}b`;
  if (index >= 8) return `r${index}${size === 8 ? '' : size === 4 ? 'd' : 'w'}`;
  return `${size === 8 ? 'r' : size === 4 ? 'e' : ''}${LOW[index]}`;
}

function isString({ form }: Instruction): boolean {
  return FORMS[form]!.area === 'string';
}

function operandText(operand: Operand, insn: Instruction): string {
  switch (operand.kind) {
    case 'reg':
      return registerName(operand);
    case 'mem':
      return memoryText(operand);
    case 'target':
      return hex(BigInt.asUintN(64, BigInt(operand.address)));
    default:
      return hex(BigInt.asUintN(8 * Math.max(operand.size, insn.size), operand.value));
  }
}

function registerName({ file, index, size, high }: RegisterOperand): string {
  switch (file) {
    case 'gpr':
      return high ? HIGH_BYTES[index]! : gprName(index, size);
    case 'xmm':
      return `xmm${index}`;
    case 'mmx':
      return `mm${index}`;
    case 'st':
      return `st(${index})`;
    case 'seg':
      return SEGMENTS[index]!;
    default:
      return `${file === 'control' ? 'cr' : 'dr'}${index}`;
  }
}

function memoryText({ base, index, scale, disp, segment, addressSize, size }: MemoryOperand): string {
  const parts: string[] = [];
  if (base >= 0) parts.push(gprName(base, addressSize));
  if (index >= 0) parts.push(`${gprName(index, addressSize)}${scale === 1 ? '' : `*${scale}`}`);
  let text = parts.join('+');
  if (text === '') text = hex(BigInt.asUintN(8 * addressSize, BigInt(disp)));
  else if (disp !== 0) text += disp < 0 ? `-${hex(BigInt(-disp))}` : `+${hex(BigInt(disp))}`;
  return `${POINTERS[size] ?? ''}${segment === 'none' ? '' : `${segment}:`}[${text}]`;
}

function hex(value: bigint): string {
  return `0x${value.toString(16)}`;
}
