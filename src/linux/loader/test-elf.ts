/** For tests: the smallest program that can be loaded. Its instructions are zeroes: nobody executes them. */

const BASE = 0x40_0000;
const SIZE = 0x1000;
const HEADER = 64;
const PROGRAM_HEADER = 56;

export function tinyElf(): Uint8Array {
  const bytes = new Uint8Array(SIZE);
  const view = new DataView(bytes.buffer);
  // Magic, 64 bits, little-endian, version 1.
  bytes.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  // ET_EXEC for x86-64, entry, one program header behind this one.
  view.setUint16(16, 2, true);
  view.setUint16(18, 62, true);
  view.setUint32(20, 1, true);
  view.setBigUint64(24, BigInt(BASE + 0x100), true);
  view.setBigUint64(32, BigInt(HEADER), true);
  view.setUint16(52, HEADER, true);
  view.setUint16(54, PROGRAM_HEADER, true);
  view.setUint16(56, 1, true);
  // PT_LOAD, readable and executable: the whole file.
  view.setUint32(HEADER, 1, true);
  view.setUint32(HEADER + 4, 5, true);
  view.setBigUint64(HEADER + 16, BigInt(BASE), true);
  view.setBigUint64(HEADER + 24, BigInt(BASE), true);
  view.setBigUint64(HEADER + 32, BigInt(SIZE), true);
  view.setBigUint64(HEADER + 40, BigInt(SIZE), true);
  return bytes;
}
