/**
 * x87 arithmetic and comparison: Intel SDM vol. 1, 8.3.5 and 8.3.6. The instructions call helpers, which compute in
 * integers (softfloat-x87.ts).
 */

import type { Instruction, MemoryOperand, Operand } from './instruction.ts';
import { begin, callX87, checkedOperand, constantArg, helper, runX87, stackIndex } from './lower-x87-common.ts';
import { A, B, fpu, R } from './lower-x87-fpu.ts';
import type { Lowering } from './lowering.ts';
import { setIndefinite, setZero } from './softfloat.ts';
import { fromDouble, fromInteger, fromSingle } from './softfloat-binary.ts';
import type { Parts } from './softfloat-core.ts';
import type { X87Arithmetic } from './softfloat-x87.ts';
import { extract, NO_QUOTIENT, PARTIAL, remainder, scale } from './softfloat-x87-scale.ts';
import { CF, PF, ZF } from './state.ts';
import { registerHelper } from './support.ts';
import { FSW_C0, FSW_C2, FSW_C3 } from './x87-words.ts';

/** r = d op s */
type Binary = (e: X87Arithmetic, r: Parts, d: Parts, s: Parts) => void;

const BINARY: Record<string, Binary> = {
  add: (e, r, d, s) => e.add(r, d, s, false),
  sub: (e, r, d, s) => e.add(r, d, s, true),
  subr: (e, r, d, s) => e.add(r, s, d, true),
  mul: (e, r, d, s) => e.multiply(r, d, s),
  div: (e, r, d, s) => e.divide(r, d, s),
  divr: (e, r, d, s) => e.divide(r, s, d),
};

/** Memory operands by the name of their format. */
const MEMORY: Record<string, (view: DataView, address: number) => Parts> = {
  m32: (view, at) => fromSingle(B, view.getInt32(at, true)),
  m64: (view, at) => fromDouble(B, view.getInt32(at + 4, true), view.getInt32(at, true)),
  i16: (view, at) => fromInteger(B, view.getInt16(at, true) >> 31, view.getInt16(at, true)),
  i32: (view, at) => fromInteger(B, view.getInt32(at, true) >> 31, view.getInt32(at, true)),
};

/** The format of an instruction's memory operand. */
function formatOf(insn: Instruction, operand: MemoryOperand): string {
  return `${insn.op.startsWith('fi') ? 'i' : 'm'}${operand.size * 8}`;
}

// --- arithmetic ---

function result(destination: number, pop: boolean): boolean {
  if (!fpu.commit()) return false;
  fpu.set(destination, R);
  if (pop) fpu.pop();
  return true;
}

function missing(destination: number, pop: boolean): void {
  if (!fpu.stackFault(false)) return;
  fpu.set(destination, setIndefinite(R));
  if (pop) fpu.pop();
}

for (const [name, run] of Object.entries(BINARY)) {
  // Bits 0 … 2 destination, 3 … 5 source, 6 pop.
  registerHelper(`x87 ${name}`, (machine, arg) => {
    const destination = arg & 7;
    const source = (arg >> 3) & 7;
    const pop = arg > 63;
    fpu.enter(machine);
    if (fpu.isEmpty(destination) || fpu.isEmpty(source)) {
      missing(destination, pop);
    } else {
      run(fpu.arithmetic, R, fpu.get(destination, A), fpu.get(source, B));
      result(destination, pop);
    }
    return fpu.leave();
  });
  for (const [format, read] of Object.entries(MEMORY)) {
    registerHelper(`x87 ${name} ${format}`, (machine, address) => {
      fpu.enter(machine);
      if (fpu.isEmpty(0)) {
        missing(0, false);
      } else {
        run(fpu.arithmetic, R, fpu.get(0, A), read(machine.view, address >>> 0));
        result(0, false);
      }
      return fpu.leave();
    });
  }
}

function arithmetic(name: string, pop: boolean): Lowering {
  return (ctx, insn) => {
    begin(ctx);
    const [first, second] = insn.operands as [Operand, Operand?];
    if (first.kind === 'mem') {
      runX87(ctx, `x87 ${name} ${formatOf(insn, first)}`, checkedOperand(ctx, first, false));
    } else {
      runX87(ctx, `x87 ${name}`, constantArg(ctx, stackIndex(first) | (stackIndex(second!) << 3) | (pop ? 64 : 0)));
    }
  };
}

// --- comparison ---

const UNORDERED = 2;

/** C3, C2, C0 by the order -1, 0, 1, 2. */
function setConditions(order: number): void {
  fpu.status &= ~(FSW_C0 | FSW_C2 | FSW_C3);
  if (order === UNORDERED) fpu.status |= FSW_C0 | FSW_C2 | FSW_C3;
  else if (order === 0) fpu.status |= FSW_C3;
  else if (order === -1) fpu.status |= FSW_C0;
}

/** ZF, PF, CF likewise. */
function rflagsOf(order: number): number {
  return order === UNORDERED ? ZF | PF | CF : order === 0 ? ZF : order === -1 ? CF : 0;
}

/** The order of ST(0) and `s`, or of an empty register where that is null. */
function compare(s: Parts | null, quiet: boolean, pops: number): number {
  let order = UNORDERED;
  let done: boolean;
  if (s === null || fpu.isEmpty(0)) {
    done = fpu.stackFault(false);
  } else {
    order = fpu.arithmetic.compare(fpu.get(0, A), s, quiet);
    done = fpu.commit();
  }
  for (let i = 0; done && i < pops; i++) fpu.pop();
  return order;
}

/** Bits 0 … 2 the register, 3 quiet, 4 … 5 pops. */
function compareRegister(arg: number): number {
  const source = fpu.isEmpty(arg & 7) ? null : fpu.get(arg & 7, B);
  return compare(source, (arg & 8) !== 0, arg >> 4);
}

registerHelper('x87 compare', (machine, arg) => {
  fpu.enter(machine);
  setConditions(compareRegister(arg));
  return fpu.leave();
});

/** FCOMI and its kin: returns the flags. */
registerHelper('x87 compare flags', (machine, arg) => {
  fpu.enter(machine);
  const flags = rflagsOf(compareRegister(arg));
  fpu.leave();
  return flags;
});

for (const [format, read] of Object.entries(MEMORY)) {
  for (const pops of [0, 1]) {
    registerHelper(`x87 compare ${format} ${pops}`, (machine, address) => {
      fpu.enter(machine);
      setConditions(compare(read(machine.view, address >>> 0), false, pops));
      return fpu.leave();
    });
  }
}

registerHelper('x87 ftst', (machine) => {
  fpu.enter(machine);
  setConditions(compare(setZero(B, false), false, 0));
  return fpu.leave();
});

function comparison(quiet: boolean, pops: number, flags: boolean): Lowering {
  return (ctx, insn) => {
    begin(ctx);
    const operand = insn.operands.at(-1);
    if (operand?.kind === 'mem') {
      runX87(ctx, `x87 compare ${formatOf(insn, operand)} ${pops}`, checkedOperand(ctx, operand, false));
      return;
    }
    const source = operand === undefined ? 1 : stackIndex(operand);
    const arg = constantArg(ctx, source | (quiet ? 8 : 0) | (pops << 4));
    if (flags) {
      callX87(ctx, 'x87 compare flags', arg);
      ctx.code.i64ExtendI32U();
      ctx.setFlagsBits();
    } else {
      runX87(ctx, 'x87 compare', arg);
    }
  };
}

// --- one operand ---

/** r = op a; false: there is no result. */
type Unary = (e: X87Arithmetic, r: Parts, a: Parts) => boolean;

/** Bits `cleared` of the status word are, whatever comes. */
export function unary(map: Map<string, Lowering>, op: string, run: Unary, cleared = 0): void {
  registerHelper(`x87 ${op}`, (machine) => {
    fpu.enter(machine);
    fpu.status &= ~cleared;
    if (fpu.isEmpty(0)) {
      missing(0, false);
    } else if (run(fpu.arithmetic, R, fpu.get(0, A))) {
      result(0, false);
    }
    return fpu.leave();
  });
  map.set(op, helper(`x87 ${op}`));
}

// --- ST(0) with ST(1), and results in both ---

/** r = op ST(0), ST(1); with `pop` into ST(1), which becomes ST(0). */
export function binaryOnTop(map: Map<string, Lowering>, op: string, run: Binary, pop: boolean): void {
  registerHelper(`x87 ${op}`, (machine) => {
    const destination = pop ? 1 : 0;
    fpu.enter(machine);
    if (fpu.isEmpty(0) || fpu.isEmpty(1)) {
      missing(destination, pop);
    } else {
      run(fpu.arithmetic, R, fpu.get(0, A), fpu.get(1, B));
      result(destination, pop);
    }
    return fpu.leave();
  });
  map.set(op, helper(`x87 ${op}`));
}

/** C2: the remainder is not complete; C0, C3, C1: bits 2, 1, 0 of the quotient. */
function remainderOf(map: Map<string, Lowering>, op: string, nearest: boolean): void {
  registerHelper(`x87 ${op}`, (machine) => {
    fpu.enter(machine);
    fpu.status &= ~FSW_C2;
    if (fpu.isEmpty(0) || fpu.isEmpty(1)) {
      missing(0, false);
      return fpu.leave();
    }
    const quotient = remainder(fpu.arithmetic, R, fpu.get(0, A), fpu.get(1, B), nearest);
    if (result(0, false) && quotient !== NO_QUOTIENT) {
      const bits = ((quotient & 4) << 6) | ((quotient & 2) << 13) | ((quotient & 1) << 9);
      fpu.status = (fpu.status & ~(FSW_C0 | FSW_C3)) | (quotient === PARTIAL ? FSW_C2 : bits);
    }
    return fpu.leave();
  });
  map.set(op, helper(`x87 ${op}`));
}

/** One operand, two results: `run` makes the new ST(1) of ST(0), and the new ST(0). */
export function unaryToTwo(
  map: Map<string, Lowering>,
  op: string,
  run: (e: X87Arithmetic, first: Parts, top: Parts, a: Parts) => boolean,
  cleared = 0,
): void {
  registerHelper(`x87 ${op}`, (machine) => {
    fpu.enter(machine);
    fpu.status &= ~cleared;
    const underflow = fpu.isEmpty(0);
    if (underflow || !fpu.isEmpty(7)) {
      if (fpu.stackFault(!underflow)) {
        fpu.set(0, setIndefinite(R));
        fpu.push();
        fpu.set(0, R);
      }
    } else if (run(fpu.arithmetic, R, B, fpu.get(0, A)) && fpu.commit()) {
      fpu.set(0, R);
      fpu.push();
      fpu.set(0, B);
    }
    return fpu.leave();
  });
  map.set(op, helper(`x87 ${op}`));
}

export function addArithmeticLowerings(map: Map<string, Lowering>): void {
  for (const name of Object.keys(BINARY)) {
    map.set(`f${name}`, arithmetic(name, false));
    map.set(`f${name}p`, arithmetic(name, true));
    map.set(`fi${name}`, arithmetic(name, false));
  }
  for (const u of ['', 'u']) {
    const quiet = u === 'u';
    map.set(`f${u}com`, comparison(quiet, 0, false));
    map.set(`f${u}comp`, comparison(quiet, 1, false));
    map.set(`f${u}compp`, comparison(quiet, 2, false));
    map.set(`f${u}comi`, comparison(quiet, 0, true));
    map.set(`f${u}comip`, comparison(quiet, 1, true));
  }
  map.set('ficom', comparison(false, 0, false));
  map.set('ficomp', comparison(false, 1, false));
  map.set('ftst', helper('x87 ftst'));
  unary(map, 'fsqrt', (e, r, a) => {
    e.squareRoot(r, a);
    return true;
  });
  remainderOf(map, 'fprem', false);
  remainderOf(map, 'fprem1', true);
  binaryOnTop(map, 'fscale', scale, false);
  unaryToTwo(map, 'fxtract', (e, first, top, a) => {
    extract(e, first, top, a);
    return true;
  });
  unary(map, 'frndint', (e, r, a) => {
    e.roundToInteger(r, a);
    return true;
  });
}
