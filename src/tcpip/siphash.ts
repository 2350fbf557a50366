/**
 * SipHash-2-4 (Aumasson, Bernstein 2012) on 32-bit halves, low word of the result: the keyed hash behind initial sequence
 * numbers (RFC 6528), timestamp offsets (RFC 7323 7.1) and port choice (RFC 6056).
 */

/** `key`: 16 bytes. `words`: the message as 32-bit words, an even number of them. A signed 32-bit integer. */
export function sipHash(key: Uint8Array, words: readonly number[]): number {
  const k = (i: number): number => key[i]! | (key[i + 1]! << 8) | (key[i + 2]! << 16) | (key[i + 3]! << 24);
  // v0…v3, each as low and high half.
  const v = [
    k(0) ^ 0x70736575,
    k(4) ^ 0x736f6d65,
    k(8) ^ 0x6e646f6d,
    k(12) ^ 0x646f7261,
    k(0) ^ 0x6e657261,
    k(4) ^ 0x6c796765,
    k(8) ^ 0x79746573,
    k(12) ^ 0x74656462,
  ];
  for (let i = 0; i + 1 < words.length; i += 2) block(v, words[i]!, words[i + 1]!);
  block(v, 0, ((words.length * 4) & 0xff) << 24);
  v[4]! ^= 0xff;
  for (let i = 0; i < 4; i++) round(v);
  return v[0]! ^ v[2]! ^ v[4]! ^ v[6]!;
}

function block(v: number[], low: number, high: number): void {
  v[6]! ^= low;
  v[7]! ^= high;
  round(v);
  round(v);
  v[0]! ^= low;
  v[1]! ^= high;
}

function round(v: number[]): void {
  add(v, 0, 2);
  rotateXor(v, 2, 13, 0);
  swap(v, 0);
  add(v, 4, 6);
  rotateXor(v, 6, 16, 4);
  add(v, 0, 6);
  rotateXor(v, 6, 21, 0);
  add(v, 4, 2);
  rotateXor(v, 2, 17, 4);
  swap(v, 4);
}

/** v[a] += v[b], 64 bits. */
function add(v: number[], a: number, b: number): void {
  const low = (v[a]! >>> 0) + (v[b]! >>> 0);
  v[a + 1] = (v[a + 1]! + v[b + 1]! + (low > 0xffffffff ? 1 : 0)) | 0;
  v[a] = low | 0;
}

/** v[a] = rotl(v[a], n) ^ v[b], n < 32. */
function rotateXor(v: number[], a: number, n: number, b: number): void {
  const low = v[a]!;
  const high = v[a + 1]!;
  v[a] = ((low << n) | (high >>> (32 - n))) ^ v[b]!;
  v[a + 1] = ((high << n) | (low >>> (32 - n))) ^ v[b + 1]!;
}

/** rotl by 32. */
function swap(v: number[], a: number): void {
  const low = v[a]!;
  v[a] = v[a + 1]!;
  v[a + 1] = low;
}
