/**
 * ROUNDPS, ROUNDPD, ROUNDSS, ROUNDSD: Intel SDM vol. 2. The immediate's bits 0 and 1 are a rounding mode as MXCSR has it,
 * bit 2 takes MXCSR's instead, bit 3 suppresses the precision exception.
 */

import type { Operand } from './instruction.ts';
import { setVector, source, v128Bytes } from './lower-sse-common.ts';
import { type FloatSize, mergeLow, repairNans } from './lower-sse-float.ts';
import { floating } from './lower-sse-mxcsr.ts';
import { asImmediate, type Lowering } from './lowering.ts';

const MODES = {
  4: ['f32x4Nearest', 'f32x4Floor', 'f32x4Ceil', 'f32x4Trunc'],
  8: ['f64x2Nearest', 'f64x2Floor', 'f64x2Ceil', 'f64x2Trunc'],
} as const;

function round(size: FloatSize, isScalar: boolean): Lowering {
  const lowest = v128Bytes(Array.from({ length: 16 }, (_, i) => (i < size ? 255 : 0)));
  return (ctx, insn) => {
    const code = ctx.code;
    const [to, from, imm] = insn.operands as [Operand, Operand, Operand];
    const control = Number(asImmediate(imm)) & 15;
    let b = source(ctx, from);
    const a = isScalar ? source(ctx, to) : b;
    if (isScalar && from.kind === 'reg') {
      // NaNs above are no concern of it.
      code
        .localGet(b)
        .v128Const(...lowest)
        .v128And();
      b = ctx.toTemp('v128');
    }
    floating(ctx, { op: insn.op, imm: control, a, b, type: 'v128' }, () => {
      // This way is taken where MXCSR says: to nearest.
      const mode = (control & 4) !== 0 ? 0 : control & 3;
      code.localGet(b)[MODES[size][mode]!]();
      repairNans(ctx, size, -1, b);
      if (isScalar) mergeLow(ctx, size, a);
    });
    setVector(ctx, to);
  };
}

export function addRoundLowerings(map: Map<string, Lowering>): void {
  map.set('roundps', round(4, false));
  map.set('roundss', round(4, true));
  map.set('roundpd', round(8, false));
  map.set('roundsd', round(8, true));
}
