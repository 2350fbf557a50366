/** Lowerings of the MMX and SSE instructions up to SSE4.2, by mnemonic. */

import { checkPending, enterMmx } from './lower-sse-common.ts';
import { addConvertLowerings } from './lower-sse-convert.ts';
import { addFloatLowerings } from './lower-sse-float.ts';
import { addHorizontalLowerings } from './lower-sse-horizontal.ts';
import { addPackedLowerings } from './lower-sse-int.ts';
import { addMoveLowerings } from './lower-sse-move.ts';
import { addRoundLowerings } from './lower-sse-round.ts';
import { addShuffleLowerings } from './lower-sse-shuffle.ts';
import { addSse4Lowerings } from './lower-sse-sse4.ts';
import { addSsse3Lowerings } from './lower-sse-ssse3.ts';
import { addTextLowerings } from './lower-sse-text.ts';
import './softfloat-sse.ts';
import { REGISTER_FILE } from '../lvm/layout.ts';
import { MXCSR_MASK } from './fxsave.ts';
import type { Lowering } from './lowering.ts';
import { MXCSR_EXACT, OFF_FTW, OFF_MXCSR, VECTOR_GP } from './state.ts';

export const sseLowerings = new Map<string, Lowering>();

addMoveLowerings(sseLowerings);
addPackedLowerings(sseLowerings);
addShuffleLowerings(sseLowerings);
addFloatLowerings(sseLowerings);
addConvertLowerings(sseLowerings);
addHorizontalLowerings(sseLowerings);
addRoundLowerings(sseLowerings);
addSsse3Lowerings(sseLowerings);
addSse4Lowerings(sseLowerings);
addTextLowerings(sseLowerings);

// Bits 16 … 31 are reserved: MXCSR_MASK is 0xffff.
sseLowerings.set('ldmxcsr', (ctx, insn) => {
  const code = ctx.code;
  ctx.getOperand(insn.operands[0]!, 4);
  code.i32WrapI64();
  const value = ctx.toTemp('i32');
  code.localGet(value).i32Const(16).i32ShrU().if();
  ctx.exception(VECTOR_GP);
  code.end();
  // From here on the sticky flags are followed: a program that loads MXCSR may have cleared them to look at them later.
  code.localGet(value).i32Const(MXCSR_EXACT).i32Or();
  ctx.storeState32(OFF_MXCSR, ctx.toTemp('i32'));
  ctx.mxcsrChecked = false;
});

sseLowerings.set('stmxcsr', (ctx, insn) => {
  const operand = insn.operands[0]!;
  if (operand.kind !== 'mem') throw new Error('operand');
  const { local, offset } = ctx.checked(operand, 4, true);
  ctx.code.localGet(local);
  ctx.loadState32(OFF_MXCSR);
  ctx.code.i32Const(MXCSR_MASK).i32And().i32Store(offset);
});

// The tag word says: all empty. TOP becomes 0 too, as with every MMX instruction.
sseLowerings.set('emms', (ctx) => {
  checkPending(ctx);
  enterMmx(ctx);
  ctx.code.i32Const(REGISTER_FILE).i32Const(0).i32Store16(OFF_FTW);
});
