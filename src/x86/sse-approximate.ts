/**
 * RCPSS, RCPPS, RSQRTSS, RSQRTPS. The SDM (vol. 2) allows a relative error of 1.5 × 2^-12; these are the results of Intel's
 * processors (compared for every entry of their tables): the function's value in the middle of each of 2048 (1024)
 * intervals, rounded to 12 bits. They do not depend on MXCSR and raise nothing; denormals count as zero.
 */

/** Bits of a positive number below 1 from its value × 2^13, scaled by 2^-scale; 0 where that would be denormal. */
function scaled(value: number, scale: number): number {
  const exponent = 126 - scale;
  return exponent <= 0 ? 0 : (exponent << 23) | ((value - 4096) << 11);
}

/** Bits of the approximate 1 ÷ x, from bits. */
export function approximateReciprocal(bits: number): number {
  const sign = bits & 0x8000_0000;
  const magnitude = bits & 0x7fff_ffff;
  if (magnitude > 0x7f80_0000) return (bits | 0x0040_0000) >>> 0;
  if (magnitude < 0x0080_0000) return (sign | 0x7f80_0000) >>> 0;
  if (magnitude === 0x7f80_0000) return sign >>> 0;
  const middle = 1 + (((magnitude >> 12) & 0x7ff) + 0.5) / 2048;
  return (sign | scaled(Math.round(8192 / middle), (magnitude >> 23) - 127)) >>> 0;
}

/** Bits of the approximate 1 ÷ √x, from bits. */
export function approximateRoot(bits: number): number {
  const sign = bits & 0x8000_0000;
  const magnitude = bits & 0x7fff_ffff;
  if (magnitude > 0x7f80_0000) return (bits | 0x0040_0000) >>> 0;
  if (magnitude < 0x0080_0000) return (sign | 0x7f80_0000) >>> 0;
  if (sign !== 0) return 0xffc0_0000;
  if (magnitude === 0x7f80_0000) return 0;
  const middle = 1 + (((magnitude >> 13) & 0x3ff) + 0.5) / 1024;
  const exponent = (magnitude >> 23) - 127;
  const odd = exponent & 1;
  return scaled(Math.round(8192 / Math.sqrt(odd ? 2 * middle : middle)), (exponent - odd) / 2);
}
