/** SSSE3's packed integer instructions on XMM and MMX registers: Intel SDM vol. 1, 12.6, and vol. 2. */

import type { Operand } from './instruction.ts';
import { checkPending, enterMmx, setVector, source, usesMmx } from './lower-sse-common.ts';
import { type Emit, packed } from './lower-sse-int.ts';
import { bytesOf } from './lower-sse-shuffle.ts';
import { asImmediate, type Lowering, type LoweringContext } from './lowering.ts';

/** An index with its top bit set gives zero, as one that is out of range does in WebAssembly. */
function shuffleBytes(ctx: LoweringContext, a: number, b: number, mmx: boolean): void {
  const mask = mmx ? 0x8787_8787_8787_8787n : 0x8f8f_8f8f_8f8f_8f8fn;
  ctx.code.localGet(a).localGet(b).v128Const(mask, mask).v128And().i8x16Swizzle();
}

/** Neighbouring lanes of the destination, then of the source, combined. */
function horizontal(size: 2 | 4, combine: (ctx: LoweringContext) => void): Emit {
  const lanes = (odd: number): number[] =>
    Array.from({ length: 16 / size }, (_, i) => bytesOf(size, 2 * i + odd)).flat();
  return (ctx, a, b, mmx) => {
    const code = ctx.code;
    if (mmx) {
      code
        .localGet(a)
        .localGet(b)
        .i8x16Shuffle([...bytesOf(8, 0), ...bytesOf(8, 2)]);
      a = ctx.toTemp('v128');
      b = a;
    }
    code.localGet(a).localGet(b).i8x16Shuffle(lanes(0));
    code.localGet(a).localGet(b).i8x16Shuffle(lanes(1));
    combine(ctx);
  };
}

/** Unsigned bytes of the destination times signed ones of the source, pairs added with saturation. */
function multiplyAddBytes(ctx: LoweringContext, a: number, b: number): void {
  const code = ctx.code;
  const low = 0x00ff_00ff_00ff_00ffn;
  code.localGet(a).v128Const(low, low).v128And();
  code.localGet(b).i32Const(8).i16x8Shl().i32Const(8).i16x8ShrS().i16x8Mul();
  code.localGet(a).i32Const(8).i16x8ShrU();
  code.localGet(b).i32Const(8).i16x8ShrS().i16x8Mul();
  code.i16x8AddSatS();
}

/** As q15mulr_sat, without its one saturation: of -32768 × -32768. */
function multiplyRounded(ctx: LoweringContext, a: number, b: number): void {
  const code = ctx.code;
  const lowest = 0x8000_8000_8000_8000n;
  code.localGet(a).localGet(b).i16x8Q15mulrSatS();
  for (const operand of [a, b]) code.localGet(operand).v128Const(lowest, lowest).i16x8Eq();
  code.v128And().v128Xor();
}

/** The destination's lanes with the sign of the source's: negated, zero or as they are. */
function applySign(size: 1 | 2 | 4): Emit {
  return (ctx, a, b) => {
    const code = ctx.code;
    code.localGet(b).i32Const(size * 8 - 1);
    if (size === 1) code.i8x16ShrS();
    else if (size === 2) code.i16x8ShrS();
    else code.i32x4ShrS();
    const sign = ctx.toTemp('v128');
    code.localGet(a).localGet(sign).v128Xor().localGet(sign);
    if (size === 1) code.i8x16Sub();
    else if (size === 2) code.i16x8Sub();
    else code.i32x4Sub();
    code.localGet(b).v128Const(0n, 0n);
    if (size === 1) code.i8x16Eq();
    else if (size === 2) code.i16x8Eq();
    else code.i32x4Eq();
    code.v128Andnot();
  };
}

/** palignr: destination and source side by side, shifted right by bytes. */
function alignRight(ctx: LoweringContext, insn: Parameters<Lowering>[1]): void {
  const code = ctx.code;
  const [to, from, imm] = insn.operands as [Operand, Operand, Operand];
  const mmx = usesMmx(insn);
  const width = mmx ? 8 : 16;
  const count = Number(asImmediate(imm));
  if (mmx) checkPending(ctx);
  const b = source(ctx, from);
  const a = source(ctx, to);
  if (mmx) enterMmx(ctx);
  if (count >= 2 * width) {
    code.v128Const(0n, 0n);
  } else if (count >= width) {
    // The upper half of an MMX register's local is zero already.
    const lanes = Array.from({ length: 16 }, (_, i) => Math.min(16, i + count - width));
    code.localGet(a).v128Const(0n, 0n).i8x16Shuffle(lanes);
  } else {
    // In the local of an MMX register's value eight bytes of zeros stand behind it.
    const lanes = Array.from({ length: 16 }, (_, i) =>
      i + count < width ? i + count : 16 + ((i + count - width) & 15),
    );
    code.localGet(b).localGet(a).i8x16Shuffle(lanes);
  }
  setVector(ctx, to);
}

export function addSsse3Lowerings(map: Map<string, Lowering>): void {
  map.set('pshufb', packed(shuffleBytes));
  map.set('phaddw', packed(horizontal(2, (ctx) => ctx.code.i16x8Add())));
  map.set('phaddd', packed(horizontal(4, (ctx) => ctx.code.i32x4Add())));
  map.set('phaddsw', packed(horizontal(2, (ctx) => ctx.code.i16x8AddSatS())));
  map.set('phsubw', packed(horizontal(2, (ctx) => ctx.code.i16x8Sub())));
  map.set('phsubd', packed(horizontal(4, (ctx) => ctx.code.i32x4Sub())));
  map.set('phsubsw', packed(horizontal(2, (ctx) => ctx.code.i16x8SubSatS())));
  map.set('pmaddubsw', packed(multiplyAddBytes));
  map.set('pmulhrsw', packed(multiplyRounded));
  map.set('psignb', packed(applySign(1)));
  map.set('psignw', packed(applySign(2)));
  map.set('psignd', packed(applySign(4)));
  map.set(
    'pabsb',
    packed((ctx, _a, b) => ctx.code.localGet(b).i8x16Abs()),
  );
  map.set(
    'pabsw',
    packed((ctx, _a, b) => ctx.code.localGet(b).i16x8Abs()),
  );
  map.set(
    'pabsd',
    packed((ctx, _a, b) => ctx.code.localGet(b).i32x4Abs()),
  );
  map.set('palignr', alignRight);
}
