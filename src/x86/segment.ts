/**
 * Which of an instruction's accesses are through the stack segment: for an address that is not canonical they raise #SS, not
 * #GP, and Linux makes SIGBUS of it (SDM vol. 1, 3.7.4; vol. 3, 6.15).
 */

import type { Instruction, MemoryOperand } from './instruction.ts';
import { type Context, RBP, RSP } from './state.ts';

const STACK = /^(push|pop|call|ret|enter|leave)/;
/** Whether the access of `insn` to `address` was through SS; the registers are as before the instruction. */
export function isStackAccess(insn: Instruction, context: Context, address: bigint): boolean {
  const implicit = STACK.test(insn.op);
  for (const operand of insn.operands) {
    if (operand.kind !== 'mem' || operand.size === 0) continue;
    if (implicit && BigInt.asUintN(64, address - effectiveAddress(operand, context)) >= 8n) continue;
    return operand.segment === 'none' && (operand.base === RSP || operand.base === RBP);
  }
  return implicit;
}

/** The linear address of a memory operand. */
export function effectiveAddress(mem: MemoryOperand, context: Pick<Context, 'get' | 'fsBase' | 'gsBase'>): bigint {
  let address = BigInt(mem.disp);
  if (mem.base >= 0) address += context.get(mem.base);
  if (mem.index >= 0) address += context.get(mem.index) * BigInt(mem.scale);
  if (mem.addressSize === 4) address = BigInt.asUintN(32, address);
  if (mem.segment !== 'none') address += mem.segment === 'fs' ? context.fsBase : context.gsBase;
  return BigInt.asUintN(64, address);
}
