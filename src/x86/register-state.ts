/**
 * Where the guest's registers are at a point of a region: in a local, in the register file, or in both. Which is known at
 * translation time, so nothing is loaded that is not used and nothing stored that was not written on the way to an exit.
 */

/** Bit masks; the flags are one more general register. */
export interface RegisterSet {
  gpr: number;
  xmm: number;
}

export const FLAGS_BIT = 1 << 16;

export function union(a: RegisterSet, b: RegisterSet): RegisterSet {
  return { gpr: a.gpr | b.gpr, xmm: a.xmm | b.xmm };
}

export function intersection(a: RegisterSet, b: RegisterSet): RegisterSet {
  return { gpr: a.gpr & b.gpr, xmm: a.xmm & b.xmm };
}

export function includes(whole: RegisterSet, part: RegisterSet): boolean {
  return (part.gpr & ~whole.gpr) === 0 && (part.xmm & ~whole.xmm) === 0;
}

export function without(a: RegisterSet, b: RegisterSet): RegisterSet {
  return { gpr: a.gpr & ~b.gpr, xmm: a.xmm & ~b.xmm };
}

export const NONE: Readonly<RegisterSet> = { gpr: 0, xmm: 0 };

export interface RegisterState {
  /** The local has the register's value. */
  readonly valid: RegisterSet;
  /** … and the register file has not. Part of `valid`. */
  readonly dirty: RegisterSet;
}

export function stateOf(valid: RegisterSet, dirty: RegisterSet): RegisterState {
  return { valid: { ...valid }, dirty: { ...dirty } };
}
