/**
 * The hash of a machine's state: equal on two replicas exactly when (but for 2^-64) memory, mappings and parts are.
 * A sum of independent hashes, so the order of spaces, pages and parts does not matter and untouched zero pages cost
 * nothing. Not cryptographic: it finds divergence, not forgery.
 */

import type { AddressSpace } from '../lvm/address-space.ts';
import { PAGE_SIZE } from '../lvm/layout.ts';

/** Two 32-bit lanes of a multiply-rotate hash (constants of xxHash32 and MurmurHash3). */
class Mixer {
  a = 0;
  b = 0;

  start(x: number, y: number): void {
    this.a = (x ^ 0x9e3779b1) | 0;
    this.b = (y ^ 0x85ebca77) | 0;
    this.word(y);
    this.word(x);
  }

  word(word: number): void {
    let a = (this.a + Math.imul(word, 0xcc9e2d51)) | 0;
    a = Math.imul((a << 15) | (a >>> 17), 0x1b873593);
    let b = (this.b ^ Math.imul(word, 0x85ebca77)) | 0;
    b = (Math.imul((b << 13) | (b >>> 19), 5) + a) | 0;
    this.a = a;
    this.b = b;
  }

  finish(): bigint {
    const a = avalanche(this.a ^ this.b);
    const b = avalanche(this.b + Math.imul(a, 0x9e3779b1));
    return (BigInt(a) << 32n) | BigInt(b);
  }
}

function avalanche(x: number): number {
  x ^= x >>> 16;
  x = Math.imul(x, 0x85ebca6b);
  x ^= x >>> 13;
  x = Math.imul(x, 0xc2b2ae35);
  return (x ^ (x >>> 16)) >>> 0;
}

/** Hash of bytes, 64 bits; `seed` tells uses apart. */
export function hashBytes(bytes: Uint8Array, seed: number): bigint {
  const mixer = new Mixer();
  mixer.start(seed, bytes.length);
  const whole = bytes.length & ~3;
  for (let i = 0; i < whole; i += 4) {
    mixer.word(bytes[i]! | (bytes[i + 1]! << 8) | (bytes[i + 2]! << 16) | (bytes[i + 3]! << 24));
  }
  for (let i = whole; i < bytes.length; i++) mixer.word(bytes[i]!);
  return mixer.finish();
}

/** `parts`: msgpack bytes by key. */
export function stateHash(spaces: ReadonlyMap<number, AddressSpace>, parts: ReadonlyMap<string, Uint8Array>): bigint {
  const mixer = new Mixer();
  const utf8 = new TextEncoder();
  let sum = 0n;
  for (const [id, space] of spaces) {
    const words = new Int32Array(space.memory.buffer);
    for (const run of space.mappings()) {
      mixer.start(id, run.page);
      mixer.word(run.count);
      mixer.word(run.prot);
      sum += mixer.finish();
      for (let page = run.page; page < run.page + run.count; page++) {
        if (space.isZero(page)) continue;
        mixer.start(id, ~page);
        const end = ((page + 1) * PAGE_SIZE) / 4;
        for (let i = (page * PAGE_SIZE) / 4; i < end; i++) mixer.word(words[i]!);
        sum += mixer.finish();
      }
    }
  }
  for (const [key, bytes] of parts) {
    const name = hashBytes(utf8.encode(key), 1);
    sum += hashBytes(bytes, Number(name & 0x7fff_ffffn)) ^ name;
  }
  return BigInt.asUintN(64, sum);
}
