/**
 * Shuffles, unpacks and byte shifts, and the packs that narrow: Intel SDM vol. 2. All are constant byte shuffles: lanes
 * 0 … 15 are the first vector's bytes, 16 … 31 the second's.
 */

import type { Operand } from './instruction.ts';
import { checkPending, enterMmx, pushLowHalf, setVector, source, usesMmx } from './lower-sse-common.ts';
import { asImmediate, type Lowering, type LoweringContext } from './lowering.ts';

/** Bytes of lane `lane` of `size` bytes. */
export function bytesOf(size: number, lane: number): number[] {
  return Array.from({ length: size }, (_, i) => lane * size + i);
}

/** A destination and a source interleaved from lane 0, or from the middle. */
function unpack(size: number, high: boolean): Lowering {
  return (ctx, insn) => {
    const [to, from] = insn.operands as [Operand, Operand];
    const mmx = usesMmx(insn);
    if (mmx) checkPending(ctx);
    if (high || mmx || from.kind !== 'reg') {
      const b = source(ctx, from);
      ctx.code.localGet(source(ctx, to)).localGet(b);
    } else {
      pushLowHalf(ctx, to);
      pushLowHalf(ctx, from);
    }
    if (mmx) enterMmx(ctx);
    const first = high ? (mmx ? 4 : 8) / size : 0;
    const lanes: number[] = [];
    for (let i = 0; lanes.length < 16; i++) {
      const lane = (first + i) % (16 / size);
      lanes.push(...bytesOf(size, lane), ...bytesOf(size, lane + 16 / size));
    }
    ctx.code.i8x16Shuffle(lanes);
    setVector(ctx, to);
  };
}

/** Lane numbers from 2-bit fields of an immediate. */
function fields(imm: number): number[] {
  return [0, 2, 4, 6].map((shift) => (imm >> shift) & 3);
}

/** `pick` gives the byte numbers from the immediate; the vectors are the source twice, or destination and source. */
export function shuffle(two: boolean, pick: (imm: number) => number[]): Lowering {
  return (ctx, insn) => {
    const [to, from, imm] = insn.operands as [Operand, Operand, Operand];
    const mmx = usesMmx(insn);
    if (mmx) checkPending(ctx);
    const b = source(ctx, from);
    const a = two ? source(ctx, to) : b;
    if (mmx) enterMmx(ctx);
    ctx.code
      .localGet(a)
      .localGet(b)
      .i8x16Shuffle(pick(Number(asImmediate(imm))));
    setVector(ctx, to);
  };
}

function words(base: number, imm: number): number[] {
  return fields(imm).flatMap((field) => bytesOf(2, base + field));
}

function shiftBytes(left: boolean): Lowering {
  return (ctx, insn) => {
    const [to, imm] = insn.operands as [Operand, Operand];
    const count = Math.min(16, Number(asImmediate(imm)));
    const lanes = Array.from({ length: 16 }, (_, i) => {
      const lane = left ? i - count : i + count;
      return lane >= 0 && lane < 16 ? lane : 16;
    });
    ctx.code.localGet(source(ctx, to)).v128Const(0n, 0n).i8x16Shuffle(lanes);
    setVector(ctx, to);
  };
}

function pack(emit: (ctx: LoweringContext) => void): Lowering {
  return (ctx, insn) => {
    const [to, from] = insn.operands as [Operand, Operand];
    const code = ctx.code;
    const mmx = usesMmx(insn);
    if (mmx) checkPending(ctx);
    const b = source(ctx, from);
    const a = source(ctx, to);
    code.localGet(a).localGet(b);
    if (mmx) {
      enterMmx(ctx);
      code.i8x16Shuffle([...bytesOf(8, 0), ...bytesOf(8, 2)]);
      const both = ctx.toTemp('v128');
      code.localGet(both).localGet(both);
    }
    emit(ctx);
    setVector(ctx, to);
  };
}

export function addShuffleLowerings(map: Map<string, Lowering>): void {
  for (const [suffix, size] of [
    ['bw', 1],
    ['wd', 2],
    ['dq', 4],
    ['qdq', 8],
  ] as const) {
    map.set(`punpckl${suffix}`, unpack(size, false));
    map.set(`punpckh${suffix}`, unpack(size, true));
  }
  map.set('unpcklps', unpack(4, false));
  map.set('unpckhps', unpack(4, true));
  map.set('unpcklpd', unpack(8, false));
  map.set('unpckhpd', unpack(8, true));
  map.set(
    'pshufd',
    shuffle(false, (imm) => fields(imm).flatMap((field) => bytesOf(4, field))),
  );
  map.set(
    'pshuflw',
    shuffle(false, (imm) => [...words(0, imm), ...bytesOf(8, 1)]),
  );
  map.set(
    'pshufhw',
    shuffle(false, (imm) => [...bytesOf(8, 0), ...words(4, imm)]),
  );
  map.set(
    'pshufw',
    shuffle(false, (imm) => [...words(0, imm), ...bytesOf(8, 1)]),
  );
  map.set(
    'shufps',
    shuffle(true, (imm) => fields(imm).flatMap((field, i) => bytesOf(4, i < 2 ? field : field + 4))),
  );
  map.set(
    'shufpd',
    shuffle(true, (imm) => [...bytesOf(8, imm & 1), ...bytesOf(8, 2 + ((imm >> 1) & 1))]),
  );
  for (const [op, size, lanes] of [
    ['movsldup', 4, [0, 0, 2, 2]],
    ['movshdup', 4, [1, 1, 3, 3]],
    ['movddup', 8, [0, 0]],
  ] as const) {
    map.set(op, (ctx, insn) => {
      const [to, from] = insn.operands as [Operand, Operand];
      const value = source(ctx, from);
      ctx.code
        .localGet(value)
        .localGet(value)
        .i8x16Shuffle(lanes.flatMap((lane) => bytesOf(size, lane)));
      setVector(ctx, to);
    });
  }
  map.set('pslldq', shiftBytes(true));
  map.set('psrldq', shiftBytes(false));
  map.set(
    'packsswb',
    pack((ctx) => ctx.code.i8x16NarrowI16x8S()),
  );
  map.set(
    'packuswb',
    pack((ctx) => ctx.code.i8x16NarrowI16x8U()),
  );
  map.set(
    'packssdw',
    pack((ctx) => ctx.code.i16x8NarrowI32x4S()),
  );
}
