/** FSIN, FCOS, FSINCOS, FPTAN, FPATAN, F2XM1, FYL2X, FYL2XP1: Intel SDM vol. 1, 8.3.7; vol. 2. All by helpers. */

import { binaryOnTop, unary, unaryToTwo } from './lower-x87-arithmetic.ts';
import { fpu } from './lower-x87-fpu.ts';
import type { Lowering } from './lowering.ts';
import {
  arctangent,
  cosine,
  type OfAngle,
  powerOfTwo,
  setOne,
  sine,
  sineCosine,
  tangent,
  yLog2,
  yLog2Plus1,
} from './softfloat-x87-transcendental.ts';
import { FSW_C2 } from './x87-words.ts';

/** Runs with C2 as the SDM has it: the angle was out of range. */
function inRange(run: () => boolean): boolean {
  fpu.status &= ~FSW_C2;
  if (run()) return true;
  fpu.status |= FSW_C2;
  return false;
}

export function addTranscendentalLowerings(map: Map<string, Lowering>): void {
  const angles: [string, OfAngle][] = [
    ['fsin', sine],
    ['fcos', cosine],
  ];
  for (const [op, compute] of angles) unary(map, op, (e, r, a) => inRange(() => compute(e, [r], a)));
  unaryToTwo(map, 'fsincos', (e, first, top, a) => inRange(() => sineCosine(e, [first, top], a)));
  unaryToTwo(map, 'fptan', (e, first, top, a) =>
    inRange(() => {
      if (!tangent(e, [first], a)) return false;
      if (first.isFinite) setOne(top);
      else top.copy(first);
      return true;
    }),
  );
  unary(map, 'f2xm1', (e, r, a) => {
    powerOfTwo(e, r, a);
    return true;
  });
  binaryOnTop(map, 'fpatan', arctangent, true);
  binaryOnTop(map, 'fyl2x', yLog2, true);
  binaryOnTop(map, 'fyl2xp1', yLog2Plus1, true);
}
