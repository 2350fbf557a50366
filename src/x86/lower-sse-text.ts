/**
 * PCMPESTRI, PCMPESTRM, PCMPISTRI, PCMPISTRM: Intel SDM vol. 1, 12.10.1, and vol. 2, 4.1 "Imm8 control byte operation". Two
 * strings of 16 bytes or 8 words are compared in one of four ways; the result is a bit for each element of the second.
 */

import type { Operand } from './instruction.ts';
import { source } from './lower-sse-common.ts';
import { asImmediate, type Lowering, type LoweringContext } from './lowering.ts';
import { RAX, RCX, RDX } from './state.ts';

/** Imm8[3:2]. */
const EQUAL_ANY = 0;
const RANGES = 1;
const EQUAL_EACH = 2;

/** The operands' locals: strings (v128) and their lengths (i32), at most `count`. */
interface Strings {
  readonly size: 1 | 2;
  readonly signed: boolean;
  readonly count: number;
  readonly a: number;
  readonly b: number;
  readonly lengthA: number;
  readonly lengthB: number;
  /** The elements of `b` that are in the string, as bits. */
  readonly validB: number;
}

/** Turns the mask of lanes on the stack into bits. */
function toBits(ctx: LoweringContext, size: number): void {
  if (size === 1) ctx.code.i8x16Bitmask();
  else ctx.code.i16x8Bitmask();
}

function equal(ctx: LoweringContext, size: number): void {
  if (size === 1) ctx.code.i8x16Eq();
  else ctx.code.i16x8Eq();
}

/** The length of a string that ends before its first zero. */
function implicitLength(ctx: LoweringContext, size: number, value: number): number {
  const code = ctx.code;
  code.localGet(value).v128Const(0n, 0n);
  equal(ctx, size);
  toBits(ctx, size);
  code
    .i32Const(1 << (16 / size))
    .i32Or()
    .i32Ctz();
  return ctx.toTemp('i32');
}

/** The magnitude of a register, at most `count`. */
function explicitLength(ctx: LoweringContext, register: number, size: number, count: number): number {
  const code = ctx.code;
  ctx.getReg(register, size);
  ctx.signExtend(size);
  const value = ctx.toTemp('i64');
  const sign = ctx.temp('i64');
  code.localGet(value).i64Const(63).i64ShrS().localTee(sign);
  code.localGet(value).i64Xor().localGet(sign).i64Sub().localTee(value);
  code.i64Const(count).localGet(value).i64Const(count).i64LtU().select().i32WrapI64();
  return ctx.toTemp('i32');
}

/** Pushes as many ones as the local says. */
function pushOnes(ctx: LoweringContext, length: number): void {
  ctx.code.i32Const(1).localGet(length).i32Shl().i32Const(1).i32Sub();
}

/** Pushes element number `at` (a local) plus `more` of the first string in all lanes. */
function pushElement(ctx: LoweringContext, { size, a }: Strings, at: number, more = 0): void {
  const code = ctx.code;
  code.localGet(a).localGet(at);
  if (more !== 0) code.i32Const(more).i32Add();
  if (size === 1) code.i8x16Splat();
  else code.i32Const(0x0202).i32Mul().i32Const(0x0100).i32Add().i16x8Splat();
  code.i8x16Swizzle();
}

/** A loop over the first string's elements, `step` at a time, while all `step` of them are in it. */
function forElements(ctx: LoweringContext, s: Strings, step: number, body: (at: number) => void): void {
  const code = ctx.code;
  const at = ctx.temp('i32');
  code.i32Const(0).localSet(at);
  const out = code.block();
  const loop = code.loop();
  code.localGet(at);
  if (step > 1) code.i32Const(step - 1).i32Add();
  code.localGet(s.lengthA).i32GeS().brIfTo(out);
  body(at);
  code.localGet(at).i32Const(step).i32Add().localSet(at).brTo(loop);
  code.end().end();
}

/** Pushes whether the lanes of `b` lie between two elements of `a`. */
function pushInRange(ctx: LoweringContext, s: Strings, at: number): void {
  const code = ctx.code;
  const { size, signed, b } = s;
  code.localGet(b);
  pushElement(ctx, s, at);
  if (size === 1) signed ? code.i8x16GeS() : code.i8x16GeU();
  else signed ? code.i16x8GeS() : code.i16x8GeU();
  code.localGet(b);
  pushElement(ctx, s, at, 1);
  if (size === 1) signed ? code.i8x16LeS() : code.i8x16LeU();
  else signed ? code.i16x8LeS() : code.i16x8LeU();
  code.v128And();
}

/** Pushes IntRes1 as an i32. Comparisons with elements beyond a string's end count as table 4-7 says. */
function aggregate(ctx: LoweringContext, s: Strings, mode: number): void {
  const code = ctx.code;
  const { size, count, a, b, lengthA, validB } = s;
  const all = (1 << count) - 1;
  if (mode === EQUAL_EACH) {
    const validA = ctx.temp('i32');
    pushOnes(ctx, lengthA);
    code.localSet(validA);
    code.localGet(a).localGet(b);
    equal(ctx, size);
    toBits(ctx, size);
    code.localGet(validA).i32And().localGet(validB).i32And();
    code.localGet(validA).localGet(validB).i32Or().i32Const(all).i32Xor().i32Or();
    return;
  }
  if (mode === EQUAL_ANY || mode === RANGES) {
    const found = ctx.temp('v128');
    code.v128Const(0n, 0n).localSet(found);
    forElements(ctx, s, mode === RANGES ? 2 : 1, (at) => {
      if (mode === RANGES) {
        pushInRange(ctx, s, at);
      } else {
        code.localGet(b);
        pushElement(ctx, s, at);
        equal(ctx, size);
      }
      code.localGet(found).v128Or().localSet(found);
    });
    code.localGet(found);
    toBits(ctx, size);
    code.localGet(validB).i32And();
    return;
  }
  // Equal ordered: where the first string begins in the second, or may, at its end.
  const starts = ctx.temp('i32');
  code.i32Const(all).localSet(starts);
  forElements(ctx, s, 1, (at) => {
    code.localGet(b);
    pushElement(ctx, s, at);
    equal(ctx, size);
    toBits(ctx, size);
    code.localGet(validB).i32And().localGet(at).i32ShrU();
    code.i32Const(all).localGet(at).i32ShrU().i32Const(-1).i32Xor().i32Or();
    code.localGet(starts).i32And().localSet(starts);
  });
  code.localGet(starts);
}

/** ecx: the number of the lowest, or highest, bit set; `count` where there is none. */
function writeIndex(ctx: LoweringContext, count: number, result: number, highest: boolean): void {
  const code = ctx.code;
  if (highest) {
    code.i32Const(31).localGet(result).i32Clz().i32Sub();
    code.i32Const(count).localGet(result).select();
  } else {
    code
      .localGet(result)
      .i32Const(1 << count)
      .i32Or()
      .i32Ctz();
  }
  code.i64ExtendI32U();
  ctx.setReg(RCX, 4);
}

/** XMM0: the bits, or for each a lane of ones. */
function writeMask(ctx: LoweringContext, size: 1 | 2, result: number, lanes: boolean): void {
  const code = ctx.code;
  if (!lanes) {
    code.v128Const(0n, 0n).localGet(result).i32x4ReplaceLane(0);
  } else if (size === 1) {
    code.localGet(result).i16x8Splat();
    const words = ctx.toTemp('v128');
    code.localGet(words).localGet(words);
    code.i8x16Shuffle([0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1]);
    const bits = 0x8040_2010_0804_0201n;
    code.v128Const(bits, bits).v128And().v128Const(bits, bits).i8x16Eq();
  } else {
    const [low, high] = [0x0008_0004_0002_0001n, 0x0080_0040_0020_0010n];
    code.localGet(result).i16x8Splat().v128Const(low, high).v128And().v128Const(low, high).i16x8Eq();
  }
  ctx.setXmm(0);
}

/** CF: any bit; ZF, SF: the second, the first string ends; OF: the lowest bit. */
function writeFlags(ctx: LoweringContext, s: Strings, result: number): void {
  if (ctx.flagsDead) return;
  const code = ctx.code;
  const { count, lengthA, lengthB } = s;
  code.localGet(result).i32Const(0).i32Ne();
  code.localGet(lengthB).i32Const(count).i32LtU().i32Const(6).i32Shl().i32Or();
  code.localGet(lengthA).i32Const(count).i32LtU().i32Const(7).i32Shl().i32Or();
  code.localGet(result).i32Const(1).i32And().i32Const(11).i32Shl().i32Or();
  code.i64ExtendI32U();
  ctx.setFlagsBits();
}

/** `lengthSize`: bytes of the registers with the lengths, 0 where zeros end the strings. */
function compareStrings(lengthSize: 0 | 4 | 8, toIndex: boolean): Lowering {
  return (ctx, insn) => {
    const code = ctx.code;
    const [first, second, imm] = insn.operands as [Operand, Operand, Operand];
    const control = Number(asImmediate(imm));
    const size = (control & 1) + 1;
    const count = 16 / size;
    // These need not be aligned.
    const b = source(ctx, second, true);
    const a = source(ctx, first);
    const length = (value: number, register: number): number =>
      lengthSize === 0 ? implicitLength(ctx, size, value) : explicitLength(ctx, register, lengthSize, count);
    const lengthA = length(a, RAX);
    const lengthB = length(b, RDX);
    pushOnes(ctx, lengthB);
    const validB = ctx.toTemp('i32');
    const strings: Strings = {
      size: size as 1 | 2,
      signed: (control & 2) !== 0,
      count,
      a,
      b,
      lengthA,
      lengthB,
      validB,
    };
    aggregate(ctx, strings, (control >> 2) & 3);
    // Polarity: of all bits, or of those of the second string only.
    if ((control & 0x10) !== 0) {
      if ((control & 0x20) !== 0) code.localGet(validB);
      else code.i32Const((1 << count) - 1);
      code.i32Xor();
    }
    const result = ctx.toTemp('i32');
    const option = (control & 0x40) !== 0;
    if (toIndex) writeIndex(ctx, count, result, option);
    else writeMask(ctx, strings.size, result, option);
    writeFlags(ctx, strings, result);
  };
}

export function addTextLowerings(map: Map<string, Lowering>): void {
  map.set('pcmpistri', compareStrings(0, true));
  map.set('pcmpistrm', compareStrings(0, false));
  map.set('pcmpestri', compareStrings(4, true));
  map.set('pcmpestrm', compareStrings(4, false));
  map.set('pcmpestri64', compareStrings(8, true));
  map.set('pcmpestrm64', compareStrings(8, false));
}
