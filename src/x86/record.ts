/**
 * A decoded instruction as the interpreter has it: a record in the reserved area of the guest's memory, in front of the
 * record of the instruction that comes next. Step functions (step-translate.ts) read their parameters there.
 */

import type { Instruction } from './instruction.ts';
import type { Shape } from './shape.ts';

/** Bytes of a record, and the offsets of its fields. */
export const RECORD_SIZE = 32;
/** What a step function returns beside 0 and EXIT_KIND_… + 1: nothing was done, OFF_EXIT tells why. */
export const WAY_UNDONE = -1;

/** u32: table slot of the step function; 0: look up what there is for the address. */
export const REC_STEP = 0;
/** u32: the same, also where a region begins. */
export const REC_KEPT = 4;
/** u32: the instruction's address. The next one's is in the next record. */
export const REC_RIP = 8;
export const REC_NEXT = RECORD_SIZE + REC_RIP;
/** i32 (u32 where it is all of the address): displacement; u32: target of a direct branch that is not far. */
export const REC_DISP = 12;
/** i64 */
export const REC_IMM = 16;
/** Three u8 each: register numbers, times 8 and times 16. */
export const REC_GPR = 24;
export const REC_XMM = 27;
/** u16: counted up when control comes here; at 0 it has come often. */
export const REC_HEAT = 30;

/** Writes what is the instruction's: all but the step function and REC_HEAT. */
export function writeRecord(view: DataView, at: number, insn: Instruction, shape: Shape): void {
  const target = insn.operands[0];
  view.setUint32(at + REC_RIP, insn.rip, true);
  view.setInt32(at + REC_DISP, target?.kind === 'target' ? target.address : shape.disp, true);
  view.setBigInt64(at + REC_IMM, shape.imm, true);
  const { gprs, xmms } = shape;
  for (let i = 0; i < gprs.length; i++) view.setUint8(at + REC_GPR + i, gprs[i]! * 8);
  for (let i = 0; i < xmms.length; i++) view.setUint8(at + REC_XMM + i, xmms[i]! * 16);
}
