/**
 * A growing run of bytes with LEB128.
 *
 * Source: WebAssembly Core Specification 2.0, 5.2.2 "Integers".
 */

const FLOAT = new DataView(new ArrayBuffer(8));

export class ByteWriter {
  bytes: Uint8Array;
  length = 0;

  constructor(capacity = 256) {
    this.bytes = new Uint8Array(capacity);
  }

  #grow(more: number): void {
    let capacity = this.bytes.length * 2;
    while (capacity < this.length + more) capacity *= 2;
    const bigger = new Uint8Array(capacity);
    bigger.set(this.bytes);
    this.bytes = bigger;
  }

  byte(value: number): void {
    if (this.length === this.bytes.length) this.#grow(1);
    this.bytes[this.length++] = value;
  }

  append(source: Uint8Array): void {
    if (this.length + source.length > this.bytes.length) this.#grow(source.length);
    this.bytes.set(source, this.length);
    this.length += source.length;
  }

  /** Unsigned LEB128 of an integer below 2^32. */
  u32(value: number): void {
    let v = value >>> 0;
    while (v >= 0x80) {
      this.byte((v & 0x7f) | 0x80);
      v >>>= 7;
    }
    this.byte(v);
  }

  /** Signed LEB128 of a 32-bit integer (unsigned ones are taken modulo 2^32). */
  s32(value: number): void {
    let v = value | 0;
    while (v < -64 || v > 63) {
      this.byte((v & 0x7f) | 0x80);
      v >>= 7;
    }
    this.byte(v & 0x7f);
  }

  /** Signed LEB128 of a 64-bit integer (unsigned ones are taken modulo 2^64). */
  s64(value: bigint | number): void {
    if (typeof value === 'number') {
      if (value === (value | 0)) {
        this.s32(value);
        return;
      }
      if (Number.isSafeInteger(value)) {
        let v = value;
        while (v < -64 || v > 63) {
          const low = ((v % 128) + 128) % 128;
          this.byte(low | 0x80);
          v = (v - low) / 128;
        }
        this.byte(((v % 128) + 128) % 128);
        return;
      }
    }
    let v = BigInt.asIntN(64, BigInt(value));
    if (v >= -0x8000_0000n && v <= 0x7fff_ffffn) {
      this.s32(Number(v));
      return;
    }
    while (v < -64n || v > 63n) {
      this.byte(Number(v & 0x7fn) | 0x80);
      v >>= 7n;
    }
    this.byte(Number(v & 0x7fn));
  }

  /** 64 bits, least significant byte first. */
  fixed64(value: bigint): void {
    FLOAT.setBigUint64(0, BigInt.asUintN(64, value), true);
    for (let i = 0; i < 8; i++) this.byte(FLOAT.getUint8(i));
  }

  f32(value: number): void {
    FLOAT.setFloat32(0, value, true);
    for (let i = 0; i < 4; i++) this.byte(FLOAT.getUint8(i));
  }

  f64(value: number): void {
    FLOAT.setFloat64(0, value, true);
    for (let i = 0; i < 8; i++) this.byte(FLOAT.getUint8(i));
  }

  name(text: string): void {
    this.u32(text.length);
    for (let i = 0; i < text.length; i++) this.byte(text.charCodeAt(i));
  }

  /** The bytes written so far; a view. */
  view(): Uint8Array {
    return this.bytes.subarray(0, this.length);
  }
}
