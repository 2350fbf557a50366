/**
 * The two ways of a floating-point instruction. With MXCSR's control bits at their reset values — round to nearest, all
 * exceptions masked, no flush-to-zero, no denormals-are-zero — WebAssembly's arithmetic is x86's, NaNs apart. Otherwise
 * the helper `sse` computes it in integers (softfloat-sse.ts).
 *
 * A region tests MXCSR once a basic block and leaves for the interpreter, which tests it at every instruction. Which way
 * is taken depends on guest state alone. The sticky flags (MXCSR bits 0 … 5) are set by the helper only.
 *
 * They are _followed_ from a thread's first LDMXCSR on (MXCSR_EXACT in the field of the register file): the interpreter has the
 * helper do everything then, and a region leaves for it where an operation may raise a flag that is not set (calm.ts).
 */

import { REGISTER_FILE } from '../lvm/layout.ts';
import { EXIT_KIND_SLOW, FUNC_CALM } from './calling.ts';
import { CALM_INEXACT, CALM_PRODUCT, CALM_TYPES, type CalmType, MXCSR_PE } from './calm.ts';
import type { LoweringContext } from './lowering.ts';
import { MXCSR_DEFAULT, MXCSR_EXACT, OFF_MXCSR, OFF_SCRATCH } from './state.ts';

/** Everything but the sticky flags. */
const MXCSR_CONTROL = ~0x3f;

/**
 * What tells that an operation raises no sticky flag that is not set: as calm.ts has it, of a sum or root, a product or quotient, a
 * comparison; that a number became an integer that is not indefinite; at most an inexact result; nothing can be raised.
 */
export type Calm = 'sum' | 'product' | 'order' | 'integer' | 'inexact' | 'always';

/** Where the helper finds its operands and leaves its result, 16 bytes each. */
export const OFF_SSE_A = OFF_SCRATCH;
export const OFF_SSE_B = OFF_SCRATCH + 16;
export const OFF_SSE_RESULT = OFF_SCRATCH + 32;

/** Mnemonics that the helper knows; its argument is the position here, with an immediate from bit 8 on. */
export const SSE_HELPER_OPS: readonly string[] = [
  ...['add', 'sub', 'mul', 'div', 'sqrt', 'min', 'max', 'cmp'].flatMap((op) =>
    ['ss', 'sd', 'ps', 'pd'].map((format) => op + format),
  ),
  ...'ucomiss ucomisd comiss comisd rcpss rcpps rsqrtss rsqrtps'.split(' '),
  ...'addsubps addsubpd haddps haddpd hsubps hsubpd dpps dppd roundss roundsd roundps roundpd'.split(' '),
  ...'cvtsi2ss cvtsi2sd cvtsq2ss cvtsq2sd cvtss2sd cvtsd2ss cvtps2pd cvtpd2ps cvtdq2ps cvtdq2pd cvtpi2ps cvtpi2pd'.split(
    ' ',
  ),
  ...'cvtss2si cvtsd2si cvttss2si cvttsd2si cvtss2sq cvtsd2sq cvttss2sq cvttsd2sq'.split(' '),
  ...'cvtps2dq cvttps2dq cvtpd2dq cvttpd2dq cvtps2pi cvttps2pi cvtpd2pi cvttpd2pi'.split(' '),
];

const OP_INDEX = new Map(SSE_HELPER_OPS.map((op, i) => [op, i]));

/** Pushes an i32: nonzero when MXCSR wants the helper, for these bits of it. */
function pushSpecial(ctx: LoweringContext, bits: number): void {
  ctx.code.i32Const(REGISTER_FILE).i32Load(OFF_MXCSR).i32Const(bits).i32And();
  ctx.code.i32Const(MXCSR_DEFAULT).i32Ne();
}

/** Types of the helper's operands. */
export type OperandType = 'i64' | 'f32' | 'f64' | 'v128';

/** Calls the helper for mnemonic `op` on locals of types (`a` -1: there is only `b`). The result is in the register file. */
export function callSoft(
  ctx: LoweringContext,
  op: string,
  [aType, a]: readonly [OperandType, number],
  [bType, b]: readonly [OperandType, number],
  imm = 0,
): void {
  const code = ctx.code;
  const index = OP_INDEX.get(op);
  if (index === undefined) throw new Error(`no SSE helper for ${op}`);
  const store = (type: OperandType, local: number, offset: number): void => {
    code.i32Const(REGISTER_FILE).localGet(local)[`${type}Store`](offset);
  };
  if (a >= 0) store(aType, a, OFF_SSE_A);
  store(bType, b, OFF_SSE_B);
  const arg = ctx.temp('i32');
  code.i32Const(index | (imm << 8)).localSet(arg);
  ctx.callHelper('sse', arg);
}

export interface Floating {
  /** The helper's mnemonic. */
  readonly op: string;
  readonly imm?: number;
  /** Locals; `a` -1: the instruction has one operand. */
  readonly a: number;
  readonly b: number;
  /** What they are, if not v128: of a scalar operation only the low float matters. */
  readonly operands?: OperandType;
  /** What `fast` pushes, and this function: for a scalar operation the low float. */
  readonly type: OperandType;
  /** Left out: a region leaves for the interpreter wherever flags are followed. */
  readonly calm?: Calm;
}

/** In a region: leaves for the interpreter when MXCSR wants the helper. */
export function guardMxcsr(ctx: LoweringContext): void {
  if (ctx.mxcsrChecked) return;
  pushSpecial(ctx, MXCSR_CONTROL & ~MXCSR_EXACT);
  ctx.code.ifRarely();
  ctx.exit(EXIT_KIND_SLOW, ctx.insn.rip, ctx.remaining);
  ctx.code.end();
  ctx.mxcsrChecked = true;
}

/** In a region, behind an operation of which nothing is committed: leaves for the interpreter where it may raise a followed flag. */
export function leaveUnlessCalm(ctx: LoweringContext, f: Omit<Floating, 'type'>, result: number): void {
  const code = ctx.code;
  code.i32Const(REGISTER_FILE).i32Load(OFF_MXCSR).i32Const(0).i32LtS().ifRarely();
  if (f.calm !== undefined) {
    pushCalm(ctx, f, f.calm, result);
    code.i32Eqz().ifRarely();
  }
  ctx.exit(EXIT_KIND_SLOW, ctx.insn.rip, ctx.remaining);
  if (f.calm !== undefined) code.end();
  code.end();
}

/** Pushes an i32: nonzero when the operation, judged as `by` says, raises no flag that is not set. */
function pushCalm(
  ctx: LoweringContext,
  { op, a, b, operands = 'v128' }: Omit<Floating, 'type'>,
  by: Calm,
  result: number,
): void {
  const code = ctx.code;
  if (by === 'integer' || by === 'inexact') {
    code.i32Const(REGISTER_FILE).i32Load(OFF_MXCSR).i32Const(MXCSR_PE).i32And().i32Const(0).i32Ne();
    if (by === 'inexact') return;
    code
      .localGet(result)
      .i64Const(op.endsWith('q') ? -(2n ** 63n) : 2n ** 31n)
      .i64Ne()
      .i32And();
    return;
  }
  const single = operands === 'f32' || op.endsWith('s');
  const type: CalmType = operands === 'v128' ? (single ? 'f32x4' : 'f64x2') : single ? 'f32' : 'f64';
  // A root has one operand, and a comparison no result that is a number.
  const first = a < 0 || op.startsWith('sqrt') ? b : a;
  code
    .localGet(first)
    .localGet(b)
    .localGet(by === 'order' ? b : result);
  code.i32Const(by === 'order' ? 0 : by === 'sum' ? CALM_INEXACT : CALM_INEXACT | CALM_PRODUCT);
  code.call(FUNC_CALM + CALM_TYPES.indexOf(type));
}

/** Pushes the result of a floating-point instruction; `fast` pushes it for the default MXCSR. After the last check. */
export function floating(ctx: LoweringContext, f: Floating, fast: () => void): void {
  const code = ctx.code;
  if (!ctx.careful) {
    guardMxcsr(ctx);
    fast();
    if (f.calm === 'always') return;
    const result = ctx.toTemp(f.type);
    leaveUnlessCalm(ctx, f, result);
    code.localGet(result);
    return;
  }
  pushSpecial(ctx, MXCSR_CONTROL);
  code.if(f.type);
  const operands = f.operands ?? 'v128';
  callSoft(ctx, f.op, [operands, f.a], [operands, f.b], f.imm);
  code.i32Const(REGISTER_FILE)[`${f.type}Load`](OFF_SSE_RESULT);
  code.else();
  fast();
  code.end();
}
