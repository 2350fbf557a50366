/**
 * CRC-32C of 64 bits, for CRC32 (Intel SDM vol. 2). The remainder is linear: each bit that is set contributes a constant.
 * Four bits are taken at a time, one a lane, each moved to its lane's sign bit.
 */

import type { Code } from '../wasm/emitter.ts';

/** The polynomial 11edc6f41h, bits reflected. */
const POLYNOMIAL = 0x82f6_3b78;

/** What bit `i` of 64, taken in from bit 0 on, leaves of a CRC of 0. */
const CONTRIBUTIONS: readonly bigint[] = Array.from({ length: 64 }, (_, i) => {
  let crc = 1;
  for (let step = i; step < 64; step++) crc = (crc >>> 1) ^ (crc & 1 ? POLYNOMIAL : 0);
  return BigInt(crc >>> 0);
});

/** (bits) → what they leave of a CRC of 0; the CRC itself, exclusive-or-ed into the low bits, makes it a step of one. */
export function crc32c(f: Code): Code {
  const bits = f.local('i32');
  const lanes = f.local('v128');
  const sum = f.local('v128');
  for (let half = 0; half < 64; half += 32) {
    // Lane l has its bit 31 - l on top.
    f.localGet(0).i64Const(half).i64ShrU().i32WrapI64().localTee(bits).i32x4Splat();
    for (let lane = 1; lane < 4; lane++) f.localGet(bits).i32Const(lane).i32Shl().i32x4ReplaceLane(lane);
    f.localSet(lanes);
    for (let shift = 0; shift < 32; shift += 4) {
      const at = (lane: number): bigint => CONTRIBUTIONS[half + 31 - shift - lane]!;
      f.localGet(lanes).i32Const(shift).i32x4Shl().i32Const(31).i32x4ShrS();
      f.v128Const(at(0) | (at(1) << 32n), at(2) | (at(3) << 32n)).v128And();
      f.localGet(sum).v128Xor().localSet(sum);
    }
  }
  f.localGet(sum).localGet(sum).localGet(sum).i8x16Shuffle([8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7]);
  f.v128Xor().i64x2ExtractLane(0);
  const folded = f.local('i64');
  f.localTee(folded).localGet(folded).i64Const(32).i64ShrU().i64Xor();
  return f.i64Const(0xffff_ffff).i64And().end();
}
