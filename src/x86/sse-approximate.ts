/**
 * RCPSS, RCPPS, RSQRTSS, RSQRTPS: approximations of at most 1.5 × 2^-12 relative error (Intel SDM vol. 2). They do not
 * depend on MXCSR and raise nothing; denormals count as zero.
 */

const SCRATCH = new DataView(new ArrayBuffer(8));

function toNumber(bits: number): number {
  SCRATCH.setUint32(0, bits);
  return SCRATCH.getFloat32(0);
}

function toBits(value: number): number {
  SCRATCH.setFloat32(0, value);
  return SCRATCH.getUint32(0);
}

/** Bits of the approximate 1 ÷ x, from bits. */
export function approximateReciprocal(bits: number): number {
  const sign = bits & 0x8000_0000;
  const magnitude = bits & 0x7fff_ffff;
  if (magnitude > 0x7f80_0000) return (bits | 0x0040_0000) >>> 0;
  if (magnitude < 0x0080_0000) return (sign | 0x7f80_0000) >>> 0;
  if (magnitude === 0x7f80_0000) return sign >>> 0;
  const result = (toBits(1 / toNumber(magnitude)) + 0x400) & ~0x7ff;
  // Results that would be denormal are zero.
  return (sign | (result < 0x0080_0000 ? 0 : result)) >>> 0;
}

/** Bits of the approximate 1 ÷ √x, from bits. */
export function approximateRoot(bits: number): number {
  const sign = bits & 0x8000_0000;
  const magnitude = bits & 0x7fff_ffff;
  if (magnitude > 0x7f80_0000) return (bits | 0x0040_0000) >>> 0;
  if (magnitude < 0x0080_0000) return (sign | 0x7f80_0000) >>> 0;
  if (sign !== 0) return 0xffc0_0000;
  if (magnitude === 0x7f80_0000) return 0;
  return ((toBits(1 / Math.sqrt(toNumber(magnitude))) + 0x400) & ~0x7ff) >>> 0;
}
