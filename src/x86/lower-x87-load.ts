/**
 * x87 loads, which push: Intel SDM vol. 1, 8.3.3 and 8.3.4. Zeros and normal numbers onto an empty register are WebAssembly;
 * the rest goes to helpers.
 */

import type { MemoryOperand } from './instruction.ts';
import {
  begin,
  checkedOperand,
  constantArg,
  helper,
  memory,
  physical,
  pushTag,
  readRegister,
  runX87,
  writeRegister,
  writeStack,
} from './lower-x87-common.ts';
import { A, fpu, R } from './lower-x87-fpu.ts';
import type { Lowering, LoweringContext } from './lowering.ts';
import { IE, setIndefinite } from './softfloat.ts';
import { fromDouble, fromSingle } from './softfloat-binary.ts';
import { NEAREST, UP } from './softfloat-core.ts';
import { fromDecimal, loaded } from './softfloat-x87-convert.ts';
import { registerHelper } from './support.ts';

const TOP_BIT = -0x8000_0000_0000_0000n;

interface Load {
  /** The helper for everything else, and its argument (a local, -1: none). */
  readonly slow: string;
  readonly arg: number;
  /** Pushes an i32: the value is one that `value` can make. */
  readonly condition?: () => void;
  /** Leaves significand (i64) and sign with exponent (i32) in locals. */
  readonly value: () => [significand: number, signExponent: number];
}

/** Pushes a number onto the stack (`stack` as `begin` returns it). */
function load(ctx: LoweringContext, stack: number, l: Load): void {
  const code = ctx.code;
  const target = physical(ctx, stack, 7);
  pushTag(ctx, stack, target);
  code.i32Eqz();
  if (l.condition !== undefined) {
    l.condition();
    code.i32And();
  }
  code.if();
  const [significand, signExponent] = l.value();
  writeRegister(ctx, target, significand, signExponent);
  writeStack(ctx, stack, { top: target, valid: target });
  code.else();
  runX87(ctx, l.slow, l.arg);
  code.end();
}

/** fld m32 and m64: zeros and normal numbers. */
function loadFloat(ctx: LoweringContext, stack: number, operand: MemoryOperand): void {
  const code = ctx.code;
  const address = checkedOperand(ctx, operand, false);
  const wide = operand.size === 8;
  const fractionBits = wide ? 52 : 23;
  const maximum = wide ? 0x7ff : 0xff;
  ctx.loadAt({ local: address, offset: 0 }, operand.size);
  const bits = ctx.toTemp('i64');
  code.localGet(bits).i64Const(fractionBits).i64ShrU().i32WrapI64().i32Const(maximum).i32And();
  const exponent = ctx.toTemp('i32');
  code
    .localGet(exponent)
    .i32Const(1)
    .i32Sub()
    .i32Const(maximum - 1)
    .i32LtU();
  const normal = ctx.toTemp('i32');
  load(ctx, stack, {
    slow: wide ? 'x87 fld m64' : 'x87 fld m32',
    arg: address,
    condition: () => {
      code
        .localGet(normal)
        .localGet(bits)
        .i64Const(wide ? 1 : 33)
        .i64Shl()
        .i64Eqz()
        .i32Or();
    },
    value: () => {
      code
        .localGet(bits)
        .i64Const(63 - fractionBits)
        .i64Shl()
        .i64Const(TOP_BIT)
        .i64Or();
      code.i64Const(0).localGet(normal).select();
      const significand = ctx.toTemp('i64');
      code
        .localGet(exponent)
        .i32Const(16383 - (maximum >> 1))
        .i32Add();
      code.i32Const(0).localGet(normal).select();
      code
        .localGet(bits)
        .i64Const(wide ? 63 : 31)
        .i64ShrU()
        .i32WrapI64()
        .i32Const(15)
        .i32Shl()
        .i32Or();
      return [significand, ctx.toTemp('i32')];
    },
  });
}

const fld: Lowering = (ctx, insn) => {
  const stack = begin(ctx);
  const code = ctx.code;
  const operand = insn.operands[0]!;
  if (operand.kind === 'reg') {
    const arg = constantArg(ctx, operand.index);
    const source = physical(ctx, stack, operand.index);
    const condition = () => pushTag(ctx, stack, source);
    load(ctx, stack, { slow: 'x87 fld st', arg, condition, value: () => readRegister(ctx, source) });
  } else if (operand.kind === 'mem' && operand.size === 10) {
    const address = checkedOperand(ctx, operand, false);
    const value = (): [number, number] => {
      code.localGet(address).i64Load();
      const significand = ctx.toTemp('i64');
      code.localGet(address).i32Load16U(8);
      return [significand, ctx.toTemp('i32')];
    };
    load(ctx, stack, { slow: 'x87 overflow', arg: address, value });
  } else if (operand.kind === 'mem') {
    loadFloat(ctx, stack, operand);
  }
};

const fild: Lowering = (ctx, insn) => {
  const stack = begin(ctx);
  const code = ctx.code;
  const operand = memory(insn);
  const address = checkedOperand(ctx, operand, false);
  const value = (): [number, number] => {
    ctx.loadAt({ local: address, offset: 0 }, operand.size);
    ctx.signExtend(operand.size);
    const integer = ctx.toTemp('i64');
    // The magnitude: (v ^ s) - s with s all ones for a negative v.
    code.localGet(integer).i64Const(63).i64ShrS();
    const sign = ctx.toTemp('i64');
    code.localGet(integer).localGet(sign).i64Xor().localGet(sign).i64Sub();
    const magnitude = ctx.toTemp('i64');
    const zeros = ctx.temp('i64');
    code.localGet(magnitude).localGet(magnitude).i64Clz().localTee(zeros).i64Shl();
    const significand = ctx.toTemp('i64');
    code
      .i32Const(16383 + 63)
      .localGet(zeros)
      .i32WrapI64()
      .i32Sub();
    code.localGet(sign).i32WrapI64().i32Const(0x8000).i32And().i32Or();
    code.i32Const(0).localGet(integer).i64Const(0).i64Ne().select();
    return [significand, ctx.toTemp('i32')];
  };
  load(ctx, stack, { slow: 'x87 overflow', arg: address, value });
};

function constant(signExponent: number, significand: bigint): Lowering {
  return (ctx) => {
    const stack = begin(ctx);
    const value = (): [number, number] => {
      ctx.code.i64Const(BigInt.asIntN(64, significand));
      const local = ctx.toTemp('i64');
      ctx.code.i32Const(signExponent);
      return [local, ctx.toTemp('i32')];
    };
    load(ctx, stack, { slow: 'x87 overflow', arg: -1, value });
  };
}

// --- helpers ---

/** A push that meets a stack fault. */
function push(overflow: boolean): void {
  if (!fpu.stackFault(overflow)) return;
  fpu.push();
  fpu.set(0, setIndefinite(R));
}

registerHelper('x87 overflow', (machine) => {
  fpu.enter(machine);
  push(true);
  return fpu.leave();
});

/** ST(index) is empty, or there is no room for it; where both, the first is reported. */
registerHelper('x87 fld st', (machine, index) => {
  fpu.enter(machine);
  push(!fpu.isEmpty(index));
  return fpu.leave();
});

/** Loads whose value may be something special. */
function loadHelper(name: string, read: (view: DataView, address: number) => void): void {
  registerHelper(`x87 ${name}`, (machine, address) => {
    fpu.enter(machine);
    if (!fpu.isEmpty(7)) {
      push(true);
    } else {
      read(machine.view, address >>> 0);
      loaded(fpu.arithmetic, A);
      if (fpu.commit(IE)) {
        fpu.push();
        fpu.set(0, A);
      }
    }
    return fpu.leave();
  });
}

loadHelper('fld m32', (view, at) => fromSingle(A, view.getInt32(at, true)));
loadHelper('fld m64', (view, at) => fromDouble(A, view.getInt32(at + 4, true), view.getInt32(at, true)));
loadHelper('fbld', (view, at) => fromDecimal(A, (i) => view.getUint8(at + i)));

/** Constants that the rounding mode decides (SDM vol. 2, FLD1/FLDL2T/…): what is added when rounding down, and up. */
const ROUNDED: readonly [op: string, signExponent: number, high: number, low: number, down: number, up: number][] = [
  ['fldl2t', 0x4000, 0xd49a_784b, 0xcd1b_8afe, 0, 1],
  ['fldl2e', 0x3fff, 0xb8aa_3b29, 0x5c17_f0bc, -1, 0],
  ['fldpi', 0x4000, 0xc90f_daa2, 0x2168_c235, -1, 0],
  ['fldlg2', 0x3ffd, 0x9a20_9a84, 0xfbcf_f799, -1, 0],
  ['fldln2', 0x3ffe, 0xb172_17f7, 0xd1cf_79ac, -1, 0],
];

for (const [op, signExponent, high, low, down, up] of ROUNDED) {
  registerHelper(`x87 ${op}`, (machine) => {
    fpu.enter(machine);
    if (!fpu.isEmpty(7)) {
      push(true);
    } else {
      const { rounding } = fpu.arithmetic;
      fpu.push();
      fpu.setRaw(0, signExponent, high, low + (rounding === NEAREST ? 0 : rounding === UP ? up : down));
    }
    return fpu.leave();
  });
}

export function addLoadLowerings(map: Map<string, Lowering>): void {
  map.set('fld', fld);
  map.set('fild', fild);
  map.set('fbld', (ctx, insn) => {
    begin(ctx);
    runX87(ctx, 'x87 fbld', checkedOperand(ctx, memory(insn), false));
  });
  map.set('fld1', constant(0x3fff, 1n << 63n));
  map.set('fldz', constant(0, 0n));
  for (const [op] of ROUNDED) map.set(op, helper(`x87 ${op}`));
}
