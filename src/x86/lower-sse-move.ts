/**
 * SSE, SSE2 and MMX data movement: Intel SDM vol. 1, 10.4.1.1, 10.4.6, 11.4.1.1 and 11.4.4, and vol. 2.
 *
 * Non-temporal stores, prefetches and fences are ordinary stores and nothing: a guest's threads share one host thread.
 */

import type { Access } from './access.ts';
import type { Instruction, Operand } from './instruction.ts';
import {
  checkPending,
  enterMmx,
  isMmx,
  lowSource,
  pushLowHalf,
  setMmx,
  setVector,
  source,
  usesMmx,
} from './lower-sse-common.ts';
import { asImmediate, asRegister, type Lowering, type LoweringContext } from './lowering.ts';

/** 16 bytes, whole. */
function moveAll(aligned: boolean): Lowering {
  return (ctx, insn) => {
    const code = ctx.code;
    const [to, from] = insn.operands as [Operand, Operand];
    if (to.kind === 'mem') {
      const at = aligned ? ctx.checkedAligned(to, true) : ctx.checked(to, 16, true);
      code
        .localGet(at.local)
        .localGet(ctx.xmm(asRegister(from).index))
        .v128Store(at.offset);
      return;
    }
    if (from.kind === 'reg') {
      // Compilers copy doubles with it.
      ctx.copyXmm(asRegister(to).index, from.index, insn.op === 'movapd');
      return;
    }
    code.localGet(source(ctx, from, !aligned));
    setVector(ctx, to);
  };
}

/** movss: a load clears the rest of the register, a move between registers keeps it. */
function moveSingle(ctx: LoweringContext, insn: Instruction): void {
  const [to, from] = insn.operands as [Operand, Operand];
  if (to.kind === 'mem') {
    storeLane(ctx, ctx.checked(to, 4, true), ctx.xmm(asRegister(from).index), 4, 0);
  } else if (from.kind === 'mem') {
    ctx.code.localGet(source(ctx, from));
    setVector(ctx, to);
  } else {
    ctx.code.localGet(lowSource(ctx, from, 4));
    ctx.setLow(asRegister(to).index, 4);
  }
}

/** movsd: as movss. */
function moveDouble(ctx: LoweringContext, insn: Instruction): void {
  const [to, from] = insn.operands as [Operand, Operand];
  if (to.kind === 'mem') {
    storeLow(ctx, ctx.checked(to, 8, true), asRegister(from).index);
    return;
  }
  ctx.code.localGet(lowSource(ctx, from, 8));
  if (from.kind === 'mem') ctx.setLowOnly(asRegister(to).index);
  else ctx.setLow(asRegister(to).index, 8);
}

/** Stores the low half of an XMM register. */
function storeLow(ctx: LoweringContext, at: Access, index: number): void {
  ctx.code.localGet(at.local).localGet(ctx.low(index, 8)).f64Store(at.offset);
}

function storeLane(ctx: LoweringContext, at: Access, value: number, size: 4 | 8, lane: number): void {
  ctx.code.localGet(at.local).localGet(value);
  if (size === 8) ctx.code.v128Store64Lane(lane, at.offset);
  else ctx.code.v128Store32Lane(lane, at.offset);
}

/** movlps, movhps and so on: one half to or from memory. */
function moveHalf(lane: 0 | 1): Lowering {
  return (ctx, insn) => {
    const [to, from] = insn.operands as [Operand, Operand];
    if (to.kind === 'mem') {
      const at = ctx.checked(to, 8, true);
      if (lane === 0) storeLow(ctx, at, asRegister(from).index);
      else storeLane(ctx, at, ctx.xmm(asRegister(from).index), 8, lane);
      return;
    }
    if (from.kind !== 'mem') throw new Error('operand');
    if (lane === 0) {
      ctx.code.localGet(lowSource(ctx, from, 8));
      ctx.setLow(asRegister(to).index, 8);
      return;
    }
    const at = ctx.checked(from, 8, false);
    ctx.code.localGet(at.local);
    pushLowHalf(ctx, to);
    ctx.code.v128Load64Lane(1, at.offset);
    setVector(ctx, to);
  };
}

/** movhlps, movlhps: the other half of the source into one half of the destination. */
function moveAcross(lane: 0 | 1): Lowering {
  return (ctx, insn) => {
    const [to, from] = insn.operands as [Operand, Operand];
    if (lane === 0) ctx.code.localGet(ctx.xmm(asRegister(to).index)).localGet(source(ctx, from));
    else for (const operand of [to, from]) pushLowHalf(ctx, operand);
    const half = (start: number): number[] => Array.from({ length: 8 }, (_, i) => start + i);
    ctx.code.i8x16Shuffle(lane === 0 ? [...half(24), ...half(8)] : [...half(0), ...half(16)]);
    setVector(ctx, to);
  };
}

/** movd and movq in all directions. */
function moveLow(size: 4 | 8): Lowering {
  return (ctx, insn) => {
    const code = ctx.code;
    const [to, from] = insn.operands as [Operand, Operand];
    const mmx = usesMmx(insn);
    if (mmx) checkPending(ctx);
    if (to.kind === 'mem' && from.kind === 'reg' && from.file === 'xmm') {
      const at = ctx.checked(to, size, true);
      if (size === 8) storeLow(ctx, at, from.index);
      else storeLane(ctx, at, ctx.xmm(from.index), size, 0);
      return;
    }
    if (size === 8 && !mmx && from.kind === 'reg' && from.file === 'xmm') {
      code.localGet(ctx.low(from.index, 8));
      if (asRegister(to).file === 'xmm') {
        ctx.setLowOnly(asRegister(to).index);
      } else {
        code.i64ReinterpretF64();
        ctx.setReg(asRegister(to).index, 8);
      }
      return;
    }
    if (from.kind === 'mem' && !mmx) {
      code.localGet(source(ctx, { ...from, size }));
      setVector(ctx, to);
      return;
    }
    const at = to.kind === 'mem' ? ctx.checked(to, size, true) : null;
    if (from.kind === 'reg' && from.file !== 'gpr') {
      code.localGet(source(ctx, from));
      if (size === 8) code.i64x2ExtractLane(0);
      else code.i32x4ExtractLane(0).i64ExtendI32U();
    } else {
      ctx.getOperand(from, size);
    }
    const value = ctx.toTemp('i64');
    if (mmx) enterMmx(ctx);
    if (at !== null) {
      ctx.storeAt(at, size, value);
    } else if (isMmx(to)) {
      code.localGet(value);
      setMmx(ctx, asRegister(to).index);
    } else if (asRegister(to).file === 'gpr') {
      code.localGet(value);
      ctx.setReg(asRegister(to).index, size);
    } else if (size === 8) {
      code.localGet(value).f64ReinterpretI64();
      ctx.setLowOnly(asRegister(to).index);
    } else {
      code.v128Const(0n, 0n).localGet(value).i64x2ReplaceLane(0);
      setVector(ctx, to);
    }
  };
}

/** movmskps, movmskpd, pmovmskb: the lanes' sign bits. */
function mask(kind: 'ps' | 'pd' | 'b'): Lowering {
  return (ctx, insn) => {
    const code = ctx.code;
    const [to, from] = insn.operands as [Operand, Operand];
    const mmx = usesMmx(insn);
    if (mmx) checkPending(ctx);
    code.localGet(source(ctx, from));
    if (mmx) enterMmx(ctx);
    if (kind === 'ps') code.i32x4Bitmask();
    else if (kind === 'pd') code.i64x2Bitmask();
    else code.i8x16Bitmask();
    code.i64ExtendI32U();
    ctx.setReg(asRegister(to).index, 8);
  };
}

/**
 * maskmovdqu, maskmovq: bytes whose mask byte has its top bit set go to (e/r)di. As processors do, the upper eight bytes
 * are checked first, and MMX state is entered although the store faults.
 */
function moveMasked(ctx: LoweringContext, insn: Instruction): void {
  const code = ctx.code;
  const [to, from, select] = insn.operands as [Operand, Operand, Operand];
  if (to.kind !== 'mem') throw new Error('operand');
  const mmx = usesMmx(insn);
  if (mmx) {
    checkPending(ctx);
    enterMmx(ctx);
  } else {
    ctx.address(to);
    code.i64Const(8).i64Add();
    ctx.checkedAddress(8, true);
  }
  const { local, offset } = ctx.checked(to, 8, true);
  const value = source(ctx, from);
  const bits = source(ctx, select);
  code.localGet(local).localGet(value).localGet(local);
  if (mmx) code.v128Load64Zero(offset);
  else code.v128Load(offset);
  code.localGet(bits).i32Const(7).i8x16ShrS().v128Bitselect();
  if (mmx) code.v128Store64Lane(0, offset);
  else code.v128Store(offset);
}

/** The number of the lane that an immediate names, of 16 or (MMX) 8 bytes. */
function laneOf(imm: Operand, size: number, mmx: boolean): number {
  return Number(asImmediate(imm)) & ((mmx ? 8 : 16) / size - 1);
}

/** pextrb, pextrw, pextrd, pextrq, extractps: zero-extended in a register. */
function extractLane(size: 1 | 2 | 4 | 8): Lowering {
  return (ctx, insn) => {
    const code = ctx.code;
    const [to, from, imm] = insn.operands as [Operand, Operand, Operand];
    const mmx = usesMmx(insn);
    const lane = laneOf(imm, size, mmx);
    if (mmx) checkPending(ctx);
    if (to.kind === 'mem') {
      const { local, offset } = ctx.checked(to, size, true);
      code.localGet(local).localGet(source(ctx, from));
      if (size === 8) code.v128Store64Lane(lane, offset);
      else if (size === 4) code.v128Store32Lane(lane, offset);
      else if (size === 2) code.v128Store16Lane(lane, offset);
      else code.v128Store8Lane(lane, offset);
      return;
    }
    code.localGet(source(ctx, from));
    if (mmx) enterMmx(ctx);
    if (size === 8) code.i64x2ExtractLane(lane);
    else if (size === 4) code.i32x4ExtractLane(lane).i64ExtendI32U();
    else if (size === 2) code.i16x8ExtractLaneU(lane).i64ExtendI32U();
    else code.i8x16ExtractLaneU(lane).i64ExtendI32U();
    ctx.setReg(asRegister(to).index, 8);
  };
}

/** pinsrb, pinsrw, pinsrd, pinsrq */
function insertLane(size: 1 | 2 | 4 | 8): Lowering {
  return (ctx, insn) => {
    const code = ctx.code;
    const [to, from, imm] = insn.operands as [Operand, Operand, Operand];
    const mmx = usesMmx(insn);
    const lane = laneOf(imm, size, mmx);
    if (mmx) checkPending(ctx);
    ctx.getOperand(from, size);
    const value = ctx.toTemp('i64');
    code.localGet(source(ctx, to)).localGet(value);
    if (mmx) enterMmx(ctx);
    if (size === 8) code.i64x2ReplaceLane(lane);
    else if (size === 4) code.i32WrapI64().i32x4ReplaceLane(lane);
    else if (size === 2) code.i32WrapI64().i16x8ReplaceLane(lane);
    else code.i32WrapI64().i8x16ReplaceLane(lane);
    setVector(ctx, to);
  };
}

function nothing(): void {}

export function addMoveLowerings(map: Map<string, Lowering>): void {
  for (const op of ['movaps', 'movapd', 'movdqa', 'movntps', 'movntpd', 'movntdq', 'movntdqa'])
    map.set(op, moveAll(true));
  for (const op of ['movups', 'movupd', 'movdqu', 'lddqu']) map.set(op, moveAll(false));
  map.set('movss', moveSingle);
  map.set('movsd', moveDouble);
  for (const op of ['movlps', 'movlpd']) map.set(op, moveHalf(0));
  for (const op of ['movhps', 'movhpd']) map.set(op, moveHalf(1));
  map.set('movhlps', moveAcross(0));
  map.set('movlhps', moveAcross(1));
  map.set('movd', moveLow(4));
  for (const op of ['movq', 'movntq', 'movq2dq', 'movdq2q']) map.set(op, moveLow(8));
  map.set('movmskps', mask('ps'));
  map.set('movmskpd', mask('pd'));
  map.set('pmovmskb', mask('b'));
  map.set('maskmovdqu', moveMasked);
  map.set('maskmovq', moveMasked);
  map.set('movnti', (ctx, insn) => {
    const [to, from] = insn.operands as [Operand, Operand];
    if (to.kind !== 'mem') throw new Error('operand');
    ctx.storeAt(ctx.checked(to, to.size, true), to.size, ctx.gpr(asRegister(from).index));
  });
  for (const [letter, size] of [
    ['b', 1],
    ['w', 2],
    ['d', 4],
    ['q', 8],
  ] as const) {
    map.set(`pextr${letter}`, extractLane(size));
    map.set(`pinsr${letter}`, insertLane(size));
  }
  map.set('extractps', extractLane(4));
  for (const op of ['sfence', 'lfence', 'mfence']) map.set(op, nothing);
  // A line that cannot be read faults.
  map.set('clflush', (ctx, insn) => {
    const operand = insn.operands[0]!;
    if (operand.kind === 'mem') ctx.checked(operand, 1, false);
  });
}
