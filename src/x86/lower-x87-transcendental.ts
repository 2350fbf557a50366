/** FSIN, FCOS, FSINCOS, FPTAN, FPATAN, F2XM1, FYL2X, FYL2XP1: Intel SDM vol. 1, 8.3.7; vol. 2. All by helpers. */

import { binaryOnTop, unary, unaryToTwo } from './lower-x87-arithmetic.ts';
import { fpu } from './lower-x87-fpu.ts';
import type { Lowering } from './lowering.ts';
import {
  arctangent,
  cosine,
  powerOfTwo,
  setOne,
  sine,
  sineCosine,
  tangent,
  yLog2,
  yLog2Plus1,
} from './softfloat-x87-transcendental.ts';
import { FSW_C2 } from './x87-words.ts';

/** C2 tells that the angle was out of range. */
function inRange(done: boolean): boolean {
  if (!done) fpu.status |= FSW_C2;
  return done;
}

export function addTranscendentalLowerings(map: Map<string, Lowering>): void {
  unary(map, 'fsin', (e, r, a) => inRange(sine(e, [r], a)), FSW_C2);
  unary(map, 'fcos', (e, r, a) => inRange(cosine(e, [r], a)), FSW_C2);
  unaryToTwo(map, 'fsincos', (e, first, top, a) => inRange(sineCosine(e, [first, top], a)), FSW_C2);
  unaryToTwo(
    map,
    'fptan',
    (e, first, top, a) => {
      if (!inRange(tangent(e, [first], a))) return false;
      if (first.isFinite) setOne(top);
      else top.copy(first);
      return true;
    },
    FSW_C2,
  );
  unary(map, 'f2xm1', (e, r, a) => {
    powerOfTwo(e, r, a);
    return true;
  });
  binaryOnTop(map, 'fpatan', arctangent, true);
  binaryOnTop(map, 'fyl2x', yLog2, true);
  binaryOnTop(map, 'fyl2xp1', yLog2Plus1, true);
}
