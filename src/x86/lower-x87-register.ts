/** x87 instructions that move or look at registers without computing: Intel SDM vol. 1, 8.3.3, 8.3.5 and 8.3.11; vol. 2. */

import {
  begin,
  constantArg,
  helper,
  physical,
  pop,
  pushOffset,
  pushTag,
  readRegister,
  runX87,
  ST,
  stackIndex,
  writeRegister,
  writeStack,
} from './lower-x87-common.ts';
import { A, fpu, R } from './lower-x87-fpu.ts';
import type { Lowering } from './lowering.ts';
import { setIndefinite } from './softfloat.ts';
import {
  DENORMAL,
  INFINITE,
  type Kind,
  NORMAL,
  QUIET_NAN,
  SIGNALING_NAN,
  UNSUPPORTED,
  ZERO,
} from './softfloat-core.ts';
import { registerHelper } from './support.ts';
import { FSW_C0, FSW_C1, FSW_C2, FSW_C3 } from './x87-words.ts';

const fxch: Lowering = (ctx, insn) => {
  const stack = begin(ctx);
  const code = ctx.code;
  const index = stackIndex(insn.operands[1]!);
  const a = physical(ctx, stack, 0);
  const b = physical(ctx, stack, index);
  pushTag(ctx, stack, a);
  pushTag(ctx, stack, b);
  code.i32And().if();
  const [aSignificand, aExponent] = readRegister(ctx, a);
  const [bSignificand, bExponent] = readRegister(ctx, b);
  writeRegister(ctx, a, bSignificand, bExponent);
  writeRegister(ctx, b, aSignificand, aExponent);
  writeStack(ctx, stack);
  code.else();
  runX87(ctx, 'x87 fxch', constantArg(ctx, index));
  code.end();
};

function sign(negate: boolean): Lowering {
  return (ctx) => {
    const stack = begin(ctx);
    const code = ctx.code;
    const top = physical(ctx, stack, 0);
    pushTag(ctx, stack, top);
    code.if();
    pushOffset(ctx, top);
    pushOffset(ctx, top);
    code.i32Load16U(ST + 8);
    if (negate) code.i32Const(0x8000).i32Xor();
    else code.i32Const(0x7fff).i32And();
    code.i32Store16(ST + 8);
    writeStack(ctx, stack);
    code.else();
    runX87(ctx, 'x87 underflow');
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
    const stack = begin(ctx);
    const code = ctx.code;
    const top = physical(ctx, stack, 0);
    const source = physical(ctx, stack, stackIndex(insn.operands[1]!));
    ctx.condition(cc);
    const condition = ctx.toTemp('i32');
    pushTag(ctx, stack, top);
    pushTag(ctx, stack, source);
    code.i32And().if();
    code.localGet(condition).if();
    const [significand, signExponent] = readRegister(ctx, source);
    writeRegister(ctx, top, significand, signExponent);
    code.end();
    code.else();
    runX87(ctx, 'x87 underflow');
    code.end();
  };
}

/** fincstp, fdecstp. */
function turn(by: number): Lowering {
  return (ctx) => {
    const stack = begin(ctx);
    writeStack(ctx, stack, { top: physical(ctx, stack, by & 7) });
  };
}

function free(pops: boolean): Lowering {
  return (ctx, insn) => {
    const stack = begin(ctx);
    const register = physical(ctx, stack, stackIndex(insn.operands[0]!));
    if (pops) pop(ctx, stack, { empty: [register] });
    else writeStack(ctx, stack, { empty: [register] });
  };
}

// --- helpers ---

/** ST(0), which should have been written or stored, is empty. */
registerHelper('x87 underflow', (machine) => {
  fpu.enter(machine);
  if (fpu.stackFault(false)) fpu.set(0, setIndefinite(R));
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

export function addRegisterLowerings(map: Map<string, Lowering>): void {
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
