/**
 * Where the guest's registers are at a point of a region: in a local, in the register file, or in both. Which is known at
 * translation time, so nothing is loaded that is not used and nothing stored that was not written on the way to an exit.
 */

/** Bit masks; the parts of the flags are more general registers. */
export interface RegisterSet {
  gpr: number;
  xmm: number;
}

/** Where the parts of the flags (flags.ts) begin. */
const FLAGS_SHIFT = 16;

/** The registers that parts of the flags are. */
export function flagsSet(parts: number): RegisterSet {
  return { gpr: parts << FLAGS_SHIFT, xmm: 0 };
}

/** The parts of the flags among registers. */
export function flagParts({ gpr }: RegisterSet): number {
  return gpr >> FLAGS_SHIFT;
}

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
