/**
 * Lazy arithmetic flags: what the register file's OFF_FLAG_OP, _RESULT, _A and _B mean, and their bits.
 *
 * OFF_FLAG_OP = kind × 4 + log2(operand size); the operands and the result are zero-extended to 64 bits. Most kinds keep two values,
 * such as are in registers anyway: the result and the second operand, from which the first one is computed.
 * Instructions that set only CF or OF leave all that and put these two into higher bits of OFF_FLAG_OP (CHANGED_…).
 * Flags that an instruction leaves undefined have fixed values here (AF of logic and shifts is 0).
 * Source: Intel SDM vol. 1, 3.4.3.1 and appendix A.
 */

import {
  AF,
  ARITHMETIC_FLAGS,
  CF,
  type Context,
  DF,
  FLAGS_BITS,
  OF,
  OFF_DF,
  OFF_FLAG_A,
  OFF_FLAG_B,
  OFF_FLAG_OP,
  OFF_FLAG_RESULT,
  OFF_RFLAGS_OTHER,
  PF,
  SF,
  ZF,
} from './state.ts';

/** result = a + b; a is computed from them */
export const KIND_ADD = 1;
/** result = a + b + carry */
export const KIND_ADC = 2;
/** a - b: a comparison, which keeps no result; a stands in its place */
export const KIND_COMPARE = 3;
/** result = a - b - carry */
export const KIND_SBB = 4;
/** CF = OF = AF = 0 */
export const KIND_LOGIC = 5;
/** result = a + 1; CF is b */
export const KIND_INC = 6;
/** result = a - 1; CF is b */
export const KIND_DEC = 7;
/** ZF, SF, PF by the result; CF, OF, AF are bits of b */
export const KIND_RESULT = 8;
/** comparison of the floats whose bits are a, in the result's place, and b (UCOMISS, UCOMISD): ZF, PF, CF */
export const KIND_FLOAT = 9;
/** result = a × b, both sign-extended to 64 bits; CF = OF: it is not the whole product */
export const KIND_IMUL = 10;
/** result = a - b; a is computed from them */
export const KIND_SUB = 11;

/** The parts of the lazy flags, as bits. */
export const PART_OP = 1;
export const PART_RESULT = 2;
export const PART_A = 4;
export const PART_B = 8;
export const ALL_PARTS = 15;

/** The parts that mean something for a kind; the others may hold anything. */
export function partsOf(kind: number): number {
  switch (kind) {
    case KIND_LOGIC:
      return PART_OP | PART_RESULT;
    case KIND_ADC:
    case KIND_SBB:
    case KIND_IMUL:
      return ALL_PARTS;
    default:
      return PART_OP | PART_RESULT | PART_B;
  }
}

/** OFF_FLAG_OP: the operation; CF (OF) is not its but the next higher bit. */
export const FLAG_OPERATION = 0xff;
export const CHANGED_CARRY = 0x100;
export const CHANGED_OVERFLOW = 0x400;

/** The arithmetic flags of a saved context, in their RFLAGS positions. */
export function arithmeticFlags(context: Context): number {
  const whole = context.u32[OFF_FLAG_OP >> 2]!;
  const base = operationFlags(context, whole & FLAG_OPERATION);
  const mask = (whole & CHANGED_CARRY ? CF : 0) | (whole & CHANGED_OVERFLOW ? OF : 0);
  const changed = (whole & (CHANGED_CARRY << 1) ? CF : 0) | (whole & (CHANGED_OVERFLOW << 1) ? OF : 0);
  return (base & ~mask) | (changed & mask);
}

function operationFlags(context: Context, op: number): number {
  let r = context.u64[OFF_FLAG_RESULT >> 3]!;
  if (op === FLAGS_BITS) return Number(r & BigInt(ARITHMETIC_FLAGS));
  let a = context.u64[OFF_FLAG_A >> 3]!;
  const b = context.u64[OFF_FLAG_B >> 3]!;
  const kind = op >> 2;
  if (kind === KIND_FLOAT) return floatFlags(op & 3, r, b);
  const top = BigInt((8 << (op & 3)) - 1);
  const truncate = (value: bigint): bigint => BigInt.asUintN(Number(top) + 1, value);
  if (kind === KIND_ADD) a = truncate(r - b);
  else if (kind === KIND_SUB) a = truncate(r + b);
  else if (kind === KIND_COMPARE) {
    a = r;
    r = truncate(a - b);
  }
  let flags = 0;
  if (r === 0n) flags |= ZF;
  if ((r >> top) & 1n) flags |= SF;
  let parity = Number(r & 255n);
  parity ^= parity >> 4;
  if (((0x6996 >> (parity & 15)) & 1) === 0) flags |= PF;
  let carry = 0n;
  let overflow = 0n;
  let adjust = 0n;
  switch (kind) {
    case KIND_ADD:
    case KIND_ADC:
      carry = ((a & b) | ((a | b) & ~r)) >> top;
      overflow = ((a ^ r) & (b ^ r)) >> top;
      adjust = (a ^ b ^ r) >> 4n;
      break;
    case KIND_SUB:
    case KIND_SBB:
    case KIND_COMPARE:
      carry = ((~a & b) | ((~a | b) & r)) >> top;
      overflow = ((a ^ b) & (a ^ r)) >> top;
      adjust = (a ^ b ^ r) >> 4n;
      break;
    case KIND_INC:
      carry = b;
      overflow = r === 1n << top ? 1n : 0n;
      adjust = (r & 15n) === 0n ? 1n : 0n;
      break;
    case KIND_DEC:
      carry = b;
      overflow = r === (1n << top) - 1n ? 1n : 0n;
      adjust = (r & 15n) === 15n ? 1n : 0n;
      break;
    case KIND_IMUL: {
      const product = BigInt.asIntN(64, a) * BigInt.asIntN(64, b);
      if (product !== BigInt.asIntN(Number(top) + 1, r)) flags |= CF | OF;
      break;
    }
    case KIND_RESULT:
      return flags | (Number(b & BigInt(ARITHMETIC_FLAGS)) & (CF | OF | AF));
    default:
  }
  if (carry & 1n) flags |= CF;
  if (overflow & 1n) flags |= OF;
  if (adjust & 1n) flags |= AF;
  return flags;
}

const FLOATS = new DataView(new ArrayBuffer(8));

function floatFlags(log2Size: number, a: bigint, b: bigint): number {
  const value = (bits: bigint): number => {
    FLOATS.setBigUint64(0, bits, true);
    return log2Size === 3 ? FLOATS.getFloat64(0, true) : FLOATS.getFloat32(0, true);
  };
  const [x, y] = [value(a), value(b)];
  return x > y ? 0 : x < y ? CF : x === y ? ZF : ZF | PF | CF;
}

/** Turns the lazy flags of a context into FLAGS_BITS form, the only one that leaves the CPU. */
export function canonicalFlags(context: Context): void {
  const flags = arithmeticFlags(context);
  context.u32[OFF_FLAG_OP >> 2] = FLAGS_BITS;
  context.u64[OFF_FLAG_RESULT >> 3] = BigInt(flags);
  context.u64[OFF_FLAG_A >> 3] = 0n;
  context.u64[OFF_FLAG_B >> 3] = 0n;
}

/** RFLAGS as PUSHF in user mode shows it: bit 1 and IF are set. */
export function rflags(context: Context): number {
  const other = context.u32[OFF_RFLAGS_OTHER >> 2]!;
  return arithmeticFlags(context) | (context.u32[OFF_DF >> 2] ? DF : 0) | other | 0x202;
}

/** RFLAGS bits besides the arithmetic ones and DF that user mode may set: TF, AC, ID. */
export const OTHER_FLAGS = 0x0024_0100;

export function setRflags(context: Context, value: number): void {
  context.u32[OFF_FLAG_OP >> 2] = FLAGS_BITS;
  context.u64[OFF_FLAG_RESULT >> 3] = BigInt(value & ARITHMETIC_FLAGS);
  context.u64[OFF_FLAG_A >> 3] = 0n;
  context.u64[OFF_FLAG_B >> 3] = 0n;
  context.u32[OFF_DF >> 2] = value & DF ? 1 : 0;
  context.u32[OFF_RFLAGS_OTHER >> 2] = value & OTHER_FLAGS;
}
