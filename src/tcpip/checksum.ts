/**
 * The Internet checksum (RFC 1071): the ones' complement of the ones' complement sum of 16-bit words.
 *
 * The sum does not care about byte order (RFC 1071, 2B): long runs are added as native 32-bit words and the result is
 * swapped once at the end, four times as fast as byte by byte.
 */

const LITTLE_ENDIAN = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1;
/** Below this many bytes, making a typed array view costs more than it saves. */
const VIEW_MIN = 192;

/** Adds bytes [start, end) to `sum`; both in and out are folded big-endian 16-bit sums. `end - start` may be odd. */
export function sum(bytes: Uint8Array, start: number, end: number, initial: number): number {
  let total = initial;
  let i = start;
  if (end - start >= VIEW_MIN) {
    const skip = -(bytes.byteOffset + start) & 3;
    for (; i < start + skip; i++) total += (i - start) & 1 ? bytes[i]! : bytes[i]! << 8;
    const count = (end - i) >>> 2;
    const native = sumWords(new Int32Array(bytes.buffer, bytes.byteOffset + i, count));
    // Words that begin at an odd byte have their halves swapped, too (RFC 1071, 2B).
    total += LITTLE_ENDIAN !== ((skip & 1) === 1) ? swap(native) : native;
    i += count << 2;
    if ((i - start) & 1 && i < end) total += bytes[i++]!;
  }
  for (; i + 1 < end; i += 2) total += (bytes[i]! << 8) | bytes[i + 1]!;
  if (i < end) total += bytes[i]! << 8;
  return fold(total);
}

function sumWords(words: Int32Array): number {
  const count = words.length;
  let sum = 0;
  let w = 0;
  while (w < count) {
    // 8192 words of two halves stay below 2^30: the sum remains a small integer.
    const stop = Math.min(count, w + 8192);
    let part = 0;
    for (; w < stop; w++) {
      const word = words[w]!;
      part += (word & 0xffff) + (word >>> 16);
    }
    sum = fold(sum + part);
  }
  return sum;
}

function swap(value: number): number {
  return ((value & 0xff) << 8) | (value >>> 8);
}

function fold(value: number): number {
  let folded = (value & 0xffff) + (value >>> 16);
  folded = (folded & 0xffff) + (folded >>> 16);
  return folded;
}

/** The checksum field over [start, end), with `initial` (a pseudo-header's sum) added. 0 when the bytes hold a right one. */
export function checksum(bytes: Uint8Array, start: number, end: number, initial = 0): number {
  return ~sum(bytes, start, end, initial) & 0xffff;
}

/** Sum of the IPv4 pseudo-header (RFC 9293 3.1, RFC 768). */
export function pseudoHeader(source: number, destination: number, protocol: number, length: number): number {
  return fold((source >>> 16) + (source & 0xffff) + (destination >>> 16) + (destination & 0xffff) + protocol + length);
}
