/** Sequence-number arithmetic modulo 2^32 (RFC 9293 3.4): signed 32-bit integers, compared by their difference. */

export function before(a: number, b: number): boolean {
  return ((a - b) | 0) < 0;
}

export function after(a: number, b: number): boolean {
  return ((a - b) | 0) > 0;
}

export function atOrAfter(a: number, b: number): boolean {
  return ((a - b) | 0) >= 0;
}

export function atOrBefore(a: number, b: number): boolean {
  return ((a - b) | 0) <= 0;
}

/** b - a where b is not before a. */
export function distance(a: number, b: number): number {
  return (b - a) | 0;
}

export function maxSeq(a: number, b: number): number {
  return after(a, b) ? a : b;
}
