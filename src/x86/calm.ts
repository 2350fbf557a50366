/**
 * Whether a floating-point operation raises sticky flags of MXCSR that are not set, judged by its operands and its result: what
 * translated code asks once a thread's flags are followed (lower-sse-mxcsr.ts). Intel SDM vol. 1, 11.5.2.
 *
 * An operation is _calm_ when its operands and its result are normal or zero: then nothing but an inexact result can be, whose
 * flag has to be set already. It stays set until the program clears it, so that nearly all operations are calm. Where one is
 * not, the interpreter does it exactly.
 */

import { REGISTER_FILE } from '../lvm/layout.ts';
import type { Code, ValueType } from '../wasm/emitter.ts';
import { OFF_MXCSR } from './state.ts';

/** The flag of inexact results. */
export const MXCSR_PE = 0x20;

/** The result may be inexact. */
export const CALM_INEXACT = 1;
/** … and zero without an exception only where an operand is. */
export const CALM_PRODUCT = 2;

/** Types of operands, in the order of FUNC_CALM…. */
export const CALM_TYPES = ['f32', 'f64', 'f32x4', 'f64x2'] as const;
export type CalmType = (typeof CALM_TYPES)[number];

export function calmParameters(type: CalmType): ValueType[] {
  const value = type.includes('x') ? 'v128' : (type as 'f32' | 'f64');
  return [value, value, value, 'i32'];
}

const SMALLEST = { f32: 2 ** -126, f64: 2 ** -1022 };
const LARGEST = { f32: 2 ** 128 - 2 ** 104, f64: Number.MAX_VALUE };
const SMALLEST_BITS = { f32x4: 0x0080_0000_0080_0000n, f64x2: 0x0010_0000_0000_0000n };
const LARGEST_BITS = { f32x4: 0x7f7f_ffff_7f7f_ffffn, f64x2: 0x7fef_ffff_ffff_ffffn };

/** (a, b, result, what: CALM_…) → 1 or 0. */
export function calm(f: Code, type: CalmType): Code {
  const [a, b, result, what] = [0, 1, 2, 3];
  f.localGet(what).i32Const(CALM_INEXACT).i32And().if();
  f.i32Const(REGISTER_FILE).i32Load(OFF_MXCSR).i32Const(MXCSR_PE).i32And().i32Eqz().if();
  f.i32Const(0).return();
  f.end().end();
  f.localGet(what).i32Const(CALM_PRODUCT).i32And().if();
  if (type === 'f32' || type === 'f64') {
    const zero = type === 'f32' ? f.f32Const(0) : f.f64Const(0);
    zero.localGet(result)[`${type}Eq`]();
    for (const factor of [a, b]) {
      (type === 'f32' ? f.f32Const(0) : f.f64Const(0)).localGet(factor)[`${type}Ne`]().i32And();
    }
  } else {
    f.v128Const(0n, 0n).localGet(result)[`${type}Eq`]();
    for (const factor of [a, b]) f.v128Const(0n, 0n).localGet(factor)[`${type}Ne`]().v128And();
    f.v128AnyTrue();
  }
  f.if();
  f.i32Const(0).return();
  f.end().end();
  // What is too small may have been rounded to the smallest normal number.
  for (const value of [a, b]) isOrdinary(f, type, value, 'Ge');
  isOrdinary(f, type, result, 'Gt');
  if (type === 'f32' || type === 'f64') f.i32And().i32And();
  else f.v128And().v128And().i8x16AllTrue();
  return f.end();
}

/** Pushes whether a value is zero, or `beyond` the smallest normal number and finite: an i32, or a mask of lanes. */
function isOrdinary(f: Code, type: CalmType, value: number, beyond: 'Ge' | 'Gt'): void {
  if (type === 'f32' || type === 'f64') {
    const constant = (number: number): Code => (type === 'f32' ? f.f32Const(number) : f.f64Const(number));
    constant(LARGEST[type]);
    f.localGet(value)[`${type}Abs`]()[`${type}Ge`]();
    f.localGet(value)[`${type}Abs`]();
    constant(SMALLEST[type])[`${type}${beyond}`]();
    f.localGet(value);
    constant(0)[`${type}Eq`]().i32Or().i32And();
    return;
  }
  const constant = (bits: bigint): Code => f.v128Const(bits, bits);
  constant(LARGEST_BITS[type]).localGet(value)[`${type}Abs`]()[`${type}Ge`]();
  f.localGet(value)[`${type}Abs`]();
  constant(SMALLEST_BITS[type])[`${type}${beyond}`]();
  f.localGet(value);
  constant(0n)[`${type}Eq`]().v128Or().v128And();
}
