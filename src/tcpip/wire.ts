/** Bytes of a packet in network order, without a DataView for each one. */

export function get16(bytes: Uint8Array, offset: number): number {
  return (bytes[offset]! << 8) | bytes[offset + 1]!;
}

/** Unsigned. */
export function get32(bytes: Uint8Array, offset: number): number {
  return getSeq(bytes, offset) >>> 0;
}

/** As a signed integer: sequence numbers and timestamps are compared by the sign of their difference. */
export function getSeq(bytes: Uint8Array, offset: number): number {
  return (bytes[offset]! << 24) | (bytes[offset + 1]! << 16) | (bytes[offset + 2]! << 8) | bytes[offset + 3]!;
}

export function put16(bytes: Uint8Array, offset: number, value: number): void {
  bytes[offset] = value >>> 8;
  bytes[offset + 1] = value;
}

export function put32(bytes: Uint8Array, offset: number, value: number): void {
  bytes[offset] = value >>> 24;
  bytes[offset + 1] = value >>> 16;
  bytes[offset + 2] = value >>> 8;
  bytes[offset + 3] = value;
}

/**
 * A copy of bytes [start, end). Not `slice`: of a Node Buffer that is a view, and what it shows is overwritten when the
 * buffer's owner uses it again. So also for what comes out of a decoder.
 */
export function copyOf(bytes: Uint8Array, start = 0, end = bytes.length): Uint8Array {
  const copy = new Uint8Array(end - start);
  copy.set(bytes.subarray(start, end));
  return copy;
}
