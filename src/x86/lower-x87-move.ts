/**
 * x87 data movement: Intel SDM vol. 1, 8.3.3 and 8.3.4. What needs no rounding and meets no empty or full register is
 * WebAssembly; the rest goes to helpers.
 */

import { REGISTER_FILE } from '../lvm/layout.ts';
import type { MemoryOperand } from './instruction.ts';
import { begin, callWith, checkedOperand, helper, memory, stackIndex } from './lower-x87-arithmetic.ts';
import { A, fpu, R } from './lower-x87-fpu.ts';
import type { Lowering, LoweringContext } from './lowering.ts';
import { IE, OE, setIndefinite, UE } from './softfloat.ts';
import { fromDouble, fromSingle, toDouble, toSingle } from './softfloat-binary.ts';
import {
  DENORMAL,
  INFINITE,
  type Kind,
  NEAREST,
  NORMAL,
  QUIET_NAN,
  SIGNALING_NAN,
  UNSUPPORTED,
  UP,
  ZERO,
} from './softfloat-core.ts';
import { signExponentOf } from './softfloat-x87.ts';
import { fromDecimal, loaded, toDecimal } from './softfloat-x87-convert.ts';
import { OFF_FSW, OFF_FTW, OFF_ST } from './state.ts';
import { registerHelper } from './support.ts';
import { FSW_C0, FSW_C1, FSW_C2, FSW_C3, FSW_TOP, FSW_TOP_SHIFT } from './x87-words.ts';

const TOP_BIT = -0x8000_0000_0000_0000n;

/** Exceptions that, unmasked, prevent a store to memory (SDM vol. 1, 8.5.4 and 8.5.5). */
const NO_STORE = IE | OE | UE;

// --- code for the stack ---

/** The status word, as a local. */
function readStatus(ctx: LoweringContext): number {
  ctx.code.i32Const(REGISTER_FILE).i32Load16U(OFF_FSW);
  return ctx.toTemp('i32');
}

/** The number of the physical register that is ST(i), as a local. */
function physical(ctx: LoweringContext, status: number, i: number): number {
  const code = ctx.code.localGet(status).i32Const(FSW_TOP_SHIFT).i32ShrU();
  if (i !== 0) code.i32Const(i).i32Add();
  code.i32Const(7).i32And();
  return ctx.toTemp('i32');
}

/** Pushes an i32: the tag of a physical register, 1 when it is valid. */
function pushTag(ctx: LoweringContext, register: number): void {
  ctx.code.i32Const(REGISTER_FILE).i32Load16U(OFF_FTW).localGet(register).i32ShrU().i32Const(1).i32And();
}

/** Pushes the offset of a physical register, to which OFF_ST + REGISTER_FILE is to be added. */
function pushOffset(ctx: LoweringContext, register: number): void {
  ctx.code.localGet(register).i32Const(4).i32Shl();
}

const ST = REGISTER_FILE + OFF_ST;

/** Copies the i64 and i32 locals into a physical register. */
function writeRegister(ctx: LoweringContext, register: number, significand: number, signExponent: number): void {
  pushOffset(ctx, register);
  ctx.code.localGet(significand).i64Store(ST);
  pushOffset(ctx, register);
  ctx.code.localGet(signExponent).i32Store16(ST + 8);
}

/** A physical register's content as locals: significand (i64), sign and exponent (i32). */
function readRegister(ctx: LoweringContext, register: number): [number, number] {
  pushOffset(ctx, register);
  ctx.code.i64Load(ST);
  const significand = ctx.toTemp('i64');
  pushOffset(ctx, register);
  ctx.code.i32Load16U(ST + 8);
  return [significand, ctx.toTemp('i32')];
}

/** Clears C1 and makes TOP the local `top` (-1: leaves it). */
function writeStatus(ctx: LoweringContext, status: number, top = -1): void {
  const code = ctx.code;
  code.i32Const(REGISTER_FILE).localGet(status);
  code.i32Const(0xffff & ~(top >= 0 ? FSW_C1 | FSW_TOP : FSW_C1)).i32And();
  if (top >= 0) code.localGet(top).i32Const(FSW_TOP_SHIFT).i32Shl().i32Or();
  code.i32Store16(OFF_FSW);
}

/** Marks a physical register valid or empty. */
function writeTag(ctx: LoweringContext, register: number, valid: boolean): void {
  const code = ctx.code;
  code.i32Const(REGISTER_FILE).i32Const(REGISTER_FILE).i32Load16U(OFF_FTW);
  code.i32Const(1).localGet(register).i32Shl();
  if (valid) code.i32Or();
  else code.i32Const(-1).i32Xor().i32And();
  code.i32Store16(OFF_FTW);
}

/** Drops ST(0), which is physical register `top`. */
function pop(ctx: LoweringContext, status: number, top: number): void {
  writeTag(ctx, top, false);
  writeStatus(ctx, status, physical(ctx, status, 1));
}

// --- loads ---

interface Load {
  /** The helper for everything else, and its argument (a local, -1: none). */
  readonly slow: string;
  readonly arg: number;
  /** Pushes an i32: the value is one that `value` can make. */
  readonly condition?: () => void;
  /** Leaves significand (i64) and sign with exponent (i32) in locals. */
  readonly value: () => [significand: number, signExponent: number];
}

/** Pushes a number onto the stack. */
function load(ctx: LoweringContext, l: Load): void {
  const code = ctx.code;
  const status = readStatus(ctx);
  const target = physical(ctx, status, 7);
  pushTag(ctx, target);
  code.i32Eqz();
  if (l.condition !== undefined) {
    l.condition();
    code.i32And();
  }
  code.if();
  const [significand, signExponent] = l.value();
  writeRegister(ctx, target, significand, signExponent);
  writeTag(ctx, target, true);
  writeStatus(ctx, status, target);
  code.else();
  ctx.callHelper(l.slow, l.arg);
  code.end();
}

/** fld m32 and m64: zeros and normal numbers. */
function loadFloat(ctx: LoweringContext, operand: MemoryOperand): void {
  const code = ctx.code;
  const address = checkedOperand(ctx, operand, false);
  const wide = operand.size === 8;
  const fractionBits = wide ? 52 : 23;
  const maximum = wide ? 0x7ff : 0xff;
  ctx.loadAt(address, operand.size);
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
  load(ctx, {
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
  begin(ctx);
  const code = ctx.code;
  const operand = insn.operands[0]!;
  if (operand.kind === 'reg') {
    const arg = ctx.temp('i32');
    code.i32Const(operand.index).localSet(arg);
    const source = physical(ctx, readStatus(ctx), operand.index);
    const condition = () => pushTag(ctx, source);
    load(ctx, { slow: 'x87 fld st', arg, condition, value: () => readRegister(ctx, source) });
  } else if (operand.kind === 'mem' && operand.size === 10) {
    const address = checkedOperand(ctx, operand, false);
    const value = (): [number, number] => {
      code.localGet(address).i64Load();
      const significand = ctx.toTemp('i64');
      code.localGet(address).i32Load16U(8);
      return [significand, ctx.toTemp('i32')];
    };
    load(ctx, { slow: 'x87 overflow', arg: address, value });
  } else if (operand.kind === 'mem') {
    loadFloat(ctx, operand);
  }
};

const fild: Lowering = (ctx, insn) => {
  begin(ctx);
  const code = ctx.code;
  const operand = memory(insn);
  const address = checkedOperand(ctx, operand, false);
  const value = (): [number, number] => {
    ctx.loadAt(address, operand.size);
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
  load(ctx, { slow: 'x87 overflow', arg: address, value });
};

function constant(signExponent: number, significand: bigint): Lowering {
  return (ctx) => {
    begin(ctx);
    const value = (): [number, number] => {
      ctx.code.i64Const(BigInt.asIntN(64, significand));
      const local = ctx.toTemp('i64');
      ctx.code.i32Const(signExponent);
      return [local, ctx.toTemp('i32')];
    };
    load(ctx, { slow: 'x87 overflow', arg: -1, value });
  };
}

// --- stores ---

function storeExtended(ctx: LoweringContext, operand: MemoryOperand): void {
  const code = ctx.code;
  const address = checkedOperand(ctx, operand, true);
  const status = readStatus(ctx);
  const top = physical(ctx, status, 0);
  pushTag(ctx, top);
  code.if();
  const [significand, signExponent] = readRegister(ctx, top);
  code.localGet(address).localGet(significand).i64Store();
  code.localGet(address).localGet(signExponent).i32Store16(8);
  pop(ctx, status, top);
  code.else();
  ctx.callHelper('x87 fstp m80', address);
  code.end();
}

/** fst and fstp m32 and m64: zeros, and numbers that are normal and exact in the format. */
function storeFloat(ctx: LoweringContext, operand: MemoryOperand, pops: boolean): void {
  const code = ctx.code;
  const wide = operand.size === 8;
  const fractionBits = wide ? 52 : 23;
  const maximum = wide ? 0x7ff : 0xff;
  const address = checkedOperand(ctx, operand, true);
  const status = readStatus(ctx);
  const top = physical(ctx, status, 0);
  const [significand, signExponent] = readRegister(ctx, top);
  code.localGet(signExponent).i32Const(0x7fff).i32And();
  code.i32Const(16383 - (maximum >> 1)).i32Sub();
  const exponent = ctx.toTemp('i32');
  pushTag(ctx, top);
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
  ctx.storeAt(address, operand.size, ctx.toTemp('i64'));
  if (pops) pop(ctx, status, top);
  else writeStatus(ctx, status);
  code.else();
  ctx.callHelper(`x87 fst${pops ? 'p' : ''} m${operand.size * 8}`, address);
  code.end();
}

function storeRegister(ctx: LoweringContext, index: number, pops: boolean): void {
  const code = ctx.code;
  const status = readStatus(ctx);
  const top = physical(ctx, status, 0);
  pushTag(ctx, top);
  code.if();
  if (index !== 0) {
    const target = physical(ctx, status, index);
    const [significand, signExponent] = readRegister(ctx, top);
    writeRegister(ctx, target, significand, signExponent);
    writeTag(ctx, target, true);
  }
  if (pops) pop(ctx, status, top);
  else writeStatus(ctx, status);
  code.else();
  callWith(ctx, 'x87 fst st', index | (pops ? 8 : 0));
  code.end();
}

function fst(pops: boolean): Lowering {
  return (ctx, insn) => {
    begin(ctx);
    const operand = insn.operands[0]!;
    if (operand.kind === 'reg') storeRegister(ctx, operand.index, pops);
    else if (operand.kind !== 'mem') throw new Error('operand');
    else if (operand.size === 10) storeExtended(ctx, operand);
    else storeFloat(ctx, operand, pops);
  };
}

// --- between registers ---

const fxch: Lowering = (ctx, insn) => {
  begin(ctx);
  const code = ctx.code;
  const index = stackIndex(insn.operands[1]!);
  const status = readStatus(ctx);
  const a = physical(ctx, status, 0);
  const b = physical(ctx, status, index);
  pushTag(ctx, a);
  pushTag(ctx, b);
  code.i32And().if();
  const [aSignificand, aExponent] = readRegister(ctx, a);
  const [bSignificand, bExponent] = readRegister(ctx, b);
  writeRegister(ctx, a, bSignificand, bExponent);
  writeRegister(ctx, b, aSignificand, aExponent);
  writeStatus(ctx, status);
  code.else();
  callWith(ctx, 'x87 fxch', index);
  code.end();
};

function sign(negate: boolean): Lowering {
  return (ctx) => {
    begin(ctx);
    const code = ctx.code;
    const status = readStatus(ctx);
    const top = physical(ctx, status, 0);
    pushTag(ctx, top);
    code.if();
    pushOffset(ctx, top);
    pushOffset(ctx, top);
    code.i32Load16U(ST + 8);
    if (negate) code.i32Const(0x8000).i32Xor();
    else code.i32Const(0x7fff).i32And();
    code.i32Store16(ST + 8);
    writeStatus(ctx, status);
    code.else();
    ctx.callHelper('x87 underflow');
    code.end();
  };
}

/** Condition codes (SDM vol. 2, appendix B.1) by mnemonic. */
const FCMOV = {
  fcmovb: 2,
  fcmovnb: 3,
  fcmove: 4,
  fcmovne: 5,
  fcmovbe: 6,
  fcmovnbe: 7,
  fcmovu: 10,
  fcmovnu: 11,
};

function conditional(cc: number): Lowering {
  return (ctx, insn) => {
    begin(ctx);
    const code = ctx.code;
    const status = readStatus(ctx);
    const top = physical(ctx, status, 0);
    const source = physical(ctx, status, stackIndex(insn.operands[1]!));
    ctx.condition(cc);
    const condition = ctx.toTemp('i32');
    pushTag(ctx, top);
    pushTag(ctx, source);
    code.i32And().if();
    code.localGet(condition).if();
    const [significand, signExponent] = readRegister(ctx, source);
    writeRegister(ctx, top, significand, signExponent);
    code.end();
    code.else();
    ctx.callHelper('x87 underflow');
    code.end();
  };
}

/** fincstp, fdecstp. */
function turn(by: number): Lowering {
  return (ctx) => {
    begin(ctx);
    const status = readStatus(ctx);
    writeStatus(ctx, status, physical(ctx, status, by & 7));
  };
}

function free(pops: boolean): Lowering {
  return (ctx, insn) => {
    begin(ctx);
    const status = readStatus(ctx);
    writeTag(ctx, physical(ctx, status, stackIndex(insn.operands[0]!)), false);
    if (pops) pop(ctx, status, physical(ctx, status, 0));
    else writeStatus(ctx, status);
  };
}

// --- helpers ---

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

/** ST(0), which should have been written or stored, is empty. */
registerHelper('x87 underflow', (machine) => {
  fpu.enter(machine);
  if (fpu.stackFault(false)) fpu.set(0, setIndefinite(R));
  return fpu.leave();
});

registerHelper('x87 fst st', (machine, arg) => {
  fpu.enter(machine);
  if (fpu.stackFault(false)) {
    fpu.set(arg & 7, setIndefinite(R));
    if (arg > 7) fpu.pop();
  }
  return fpu.leave();
});

registerHelper('x87 fxch', (machine, index) => {
  fpu.enter(machine);
  if (fpu.stackFault(false)) {
    if (fpu.isEmpty(0)) fpu.set(0, setIndefinite(R));
    if (fpu.isEmpty(index)) fpu.set(index, setIndefinite(R));
    fpu.exchange(index);
  }
  return fpu.leave();
});

/** Stores of ST(0); `write` gets it in A and prepares R or what it returns. */
function storeHelper(name: string, convert: () => void, write: (view: DataView, address: number) => void): void {
  for (const p of ['', 'p']) {
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
  storeHelper(
    `fist m${bits}`,
    () => fpu.arithmetic.toInteger(R, A, bits),
    (view, at) => {
      if (bits === 16) view.setInt16(at, R.low, true);
      else if (bits === 32) view.setInt32(at, R.low, true);
      else storeWords(view, at);
    },
  );
}

let decimal: readonly number[] = [];

storeHelper(
  'fbst m80',
  () => {
    decimal = toDecimal(fpu.arithmetic, R, A);
  },
  (view, at) => {
    decimal.forEach((byte, i) => {
      view.setUint8(at + i, byte);
    });
  },
);

/** C3, C2, C0 of FXAM by kind (SDM vol. 2, FXAM). */
const CLASSES: Record<Kind, number> = {
  [UNSUPPORTED]: 0,
  [QUIET_NAN]: FSW_C0,
  [SIGNALING_NAN]: FSW_C0,
  [NORMAL]: FSW_C2,
  [INFINITE]: FSW_C2 | FSW_C0,
  [ZERO]: FSW_C3,
  [DENORMAL]: FSW_C3 | FSW_C2,
};

registerHelper('x87 fxam', (machine) => {
  fpu.enter(machine);
  const kind = fpu.get(0, A).kind;
  fpu.status &= ~(FSW_C0 | FSW_C2 | FSW_C3);
  fpu.status |= fpu.isEmpty(0) ? FSW_C3 | FSW_C0 : CLASSES[kind];
  if (A.negative) fpu.status |= FSW_C1;
  return fpu.leave();
});

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

/** A store by a helper, named by the bits of the operand. */
function storeBy(op: string): Lowering {
  return (ctx, insn) => {
    begin(ctx);
    const operand = memory(insn);
    ctx.callHelper(`x87 ${op} m${operand.size * 8}`, checkedOperand(ctx, operand, true));
  };
}

export function addMoveLowerings(map: Map<string, Lowering>): void {
  map.set('fld', fld);
  map.set('fild', fild);
  map.set('fst', fst(false));
  map.set('fstp', fst(true));
  map.set('fist', storeBy('fist'));
  map.set('fistp', storeBy('fistp'));
  map.set('fbstp', storeBy('fbstp'));
  map.set('fbld', (ctx, insn) => {
    begin(ctx);
    ctx.callHelper('x87 fbld', checkedOperand(ctx, memory(insn), false));
  });
  map.set('fld1', constant(0x3fff, 1n << 63n));
  map.set('fldz', constant(0, 0n));
  for (const [op] of ROUNDED) map.set(op, helper(`x87 ${op}`));
  map.set('fxch', fxch);
  map.set('fchs', sign(true));
  map.set('fabs', sign(false));
  map.set('fxam', helper('x87 fxam'));
  for (const [op, cc] of Object.entries(FCMOV)) map.set(op, conditional(cc));
  map.set('fincstp', turn(1));
  map.set('fdecstp', turn(-1));
  map.set('ffree', free(false));
  map.set('ffreep', free(true));
}
