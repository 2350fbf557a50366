/**
 * x87 stores: Intel SDM vol. 1, 8.3.3. Numbers that are normal and exact in the operand's
 * format are stored by WebAssembly; the rest goes to helpers.
 */

import type { MemoryOperand } from './instruction.ts';
import {
  begin,
  checkedOperand,
  constantArg,
  memory,
  physical,
  pop,
  pushTag,
  readRegister,
  runX87,
  writeRegister,
  writeStack,
} from './lower-x87-common.ts';
import { A, fpu, R } from './lower-x87-fpu.ts';
import type { Lowering, LoweringContext } from './lowering.ts';
import { IE, OE, setIndefinite, UE } from './softfloat.ts';
import { toDouble, toSingle } from './softfloat-binary.ts';
import { TRUNCATE } from './softfloat-core.ts';
import { signExponentOf } from './softfloat-x87.ts';
import { toDecimal } from './softfloat-x87-convert.ts';
import { registerHelper } from './support.ts';

/** Exceptions that, unmasked, prevent a store to memory (SDM vol. 1, 8.5.4 and 8.5.5). */
const NO_STORE = IE | OE | UE;

function storeExtended(ctx: LoweringContext, stack: number, operand: MemoryOperand): void {
  const code = ctx.code;
  const address = checkedOperand(ctx, operand, true);
  const top = physical(ctx, stack, 0);
  pushTag(ctx, stack, top);
  code.if();
  const [significand, signExponent] = readRegister(ctx, top);
  code.localGet(address).localGet(significand).i64Store();
  code.localGet(address).localGet(signExponent).i32Store16(8);
  pop(ctx, stack);
  code.else();
  runX87(ctx, 'x87 fstp m80', address);
  code.end();
}

/** fst and fstp m32 and m64: zeros, and numbers that are normal and exact in the format. */
function storeFloat(ctx: LoweringContext, stack: number, operand: MemoryOperand, pops: boolean): void {
  const code = ctx.code;
  const wide = operand.size === 8;
  const fractionBits = wide ? 52 : 23;
  const maximum = wide ? 0x7ff : 0xff;
  const address = checkedOperand(ctx, operand, true);
  const top = physical(ctx, stack, 0);
  const [significand, signExponent] = readRegister(ctx, top);
  code.localGet(signExponent).i32Const(0x7fff).i32And();
  code.i32Const(16383 - (maximum >> 1)).i32Sub();
  const exponent = ctx.toTemp('i32');
  pushTag(ctx, stack, top);
  code
    .localGet(significand)
    .i64Const(1 + fractionBits)
    .i64Shl()
    .i64Eqz()
    .i32And();
  code
    .localGet(exponent)
    .i32Const(1)
    .i32Sub()
    .i32Const(maximum - 1)
    .i32LtU()
    .i32And();
  code.localGet(significand).i64Const(63).i64ShrU().i32WrapI64().i32And();
  code.if();
  code
    .localGet(significand)
    .i64Const(1)
    .i64Shl()
    .i64Const(64 - fractionBits)
    .i64ShrU();
  code.localGet(exponent).i64ExtendI32U().i64Const(fractionBits).i64Shl().i64Or();
  code
    .localGet(signExponent)
    .i32Const(15)
    .i32ShrU()
    .i64ExtendI32U()
    .i64Const(wide ? 63 : 31)
    .i64Shl()
    .i64Or();
  ctx.storeAt({ local: address, offset: 0 }, operand.size, ctx.toTemp('i64'));
  if (pops) pop(ctx, stack);
  else writeStack(ctx, stack);
  code.else();
  runX87(ctx, `x87 fst${pops ? 'p' : ''} m${operand.size * 8}`, address);
  code.end();
}

function storeRegister(ctx: LoweringContext, stack: number, index: number, pops: boolean): void {
  const code = ctx.code;
  const top = physical(ctx, stack, 0);
  pushTag(ctx, stack, top);
  code.if();
  const target = physical(ctx, stack, index);
  if (index !== 0) {
    const [significand, signExponent] = readRegister(ctx, top);
    writeRegister(ctx, target, significand, signExponent);
  }
  if (pops) pop(ctx, stack, index === 0 ? {} : { valid: target });
  else writeStack(ctx, stack, { valid: target });
  code.else();
  runX87(ctx, 'x87 fst st', constantArg(ctx, index | (pops ? 8 : 0)));
  code.end();
}

function fst(pops: boolean): Lowering {
  return (ctx, insn) => {
    const stack = begin(ctx);
    const operand = insn.operands[0]!;
    if (operand.kind === 'reg') storeRegister(ctx, stack, operand.index, pops);
    else if (operand.kind !== 'mem') throw new Error('operand');
    else if (operand.size === 10) storeExtended(ctx, stack, operand);
    else storeFloat(ctx, stack, operand, pops);
  };
}

/** A store by a helper, named by the bits of the operand. */
function storeBy(op: string): Lowering {
  return (ctx, insn) => {
    begin(ctx);
    const operand = memory(insn);
    runX87(ctx, `x87 ${op} m${operand.size * 8}`, checkedOperand(ctx, operand, true));
  };
}

// --- helpers ---

registerHelper('x87 fst st', (machine, arg) => {
  fpu.enter(machine);
  if (fpu.stackFault(false)) {
    fpu.set(arg & 7, setIndefinite(R));
    if (arg > 7) fpu.pop();
  }
  return fpu.leave();
});

/** Stores of ST(0), which is in A for `convert`; `write` takes it from R. `ways`: with and without a pop. */
function storeHelper(
  name: string,
  convert: () => void,
  write: (view: DataView, address: number) => void,
  ways: readonly string[] = ['', 'p'],
): void {
  for (const p of ways) {
    registerHelper(`x87 ${name.replace(' ', `${p} `)}`, (machine, address) => {
      fpu.enter(machine);
      let stores: boolean;
      if (fpu.isEmpty(0)) {
        stores = fpu.stackFault(false);
        setIndefinite(A);
        convert();
      } else {
        fpu.get(0, A);
        convert();
        stores = fpu.commit(NO_STORE);
      }
      if (stores) {
        write(machine.view, address >>> 0);
        if (p === 'p') fpu.pop();
      }
      return fpu.leave();
    });
  }
}

function storeWords(view: DataView, at: number): void {
  view.setInt32(at, R.low, true);
  view.setInt32(at + 4, R.high, true);
}

storeHelper(
  'fst m32',
  () => {
    toSingle(fpu.arithmetic, R, A);
  },
  (view, at) => view.setInt32(at, R.low, true),
);
storeHelper('fst m64', () => toDouble(fpu.arithmetic, R, A), storeWords);
storeHelper(
  'fst m80',
  () => R.copy(A),
  (view, at) => {
    storeWords(view, at);
    view.setUint16(at + 8, signExponentOf(R), true);
  },
);

for (const bits of [16, 32, 64]) {
  const write = (view: DataView, at: number): void => {
    if (bits === 16) view.setInt16(at, R.low, true);
    else if (bits === 32) view.setInt32(at, R.low, true);
    else storeWords(view, at);
  };
  storeHelper(`fist m${bits}`, () => fpu.arithmetic.toInteger(R, A, bits), write);
  storeHelper(`fistt m${bits}`, () => fpu.arithmetic.toInteger(R, A, bits, TRUNCATE), write, ['p']);
}

storeHelper(
  'fbst m80',
  () => toDecimal(fpu.arithmetic, R, A),
  (view, at) => {
    storeWords(view, at);
    view.setUint16(at + 8, R.exponent, true);
  },
);

export function addStoreLowerings(map: Map<string, Lowering>): void {
  map.set('fst', fst(false));
  map.set('fstp', fst(true));
  map.set('fist', storeBy('fist'));
  map.set('fistp', storeBy('fistp'));
  map.set('fisttp', storeBy('fisttp'));
  map.set('fbstp', storeBy('fbstp'));
}
