/**
 * Where the guest's registers are at a point of a region: in a local, in the register file, or in both. Which is known at
 * translation time, so nothing is loaded that is not used and nothing stored that was not written on the way to an exit.
 */

import { RSP } from './state.ts';

/** Bit masks; the parts of the flags are more general registers. Of XMM registers see vector-locals.ts. */
export interface RegisterSet {
  gpr: number;
  /** XMM registers in a v128 (lane 0 may be older than `low`), their low halves in an f64, upper halves that are zero. */
  xmm: number;
  low: number;
  zero: number;
}

/** The general registers that this is about: rsp is always in its local. */
export const KEPT_GPRS = 0xffff & ~(1 << RSP);

/** Where the parts of the flags (flags.ts) begin. */
const FLAGS_SHIFT = 16;

export const NONE: Readonly<RegisterSet> = { gpr: 0, xmm: 0, low: 0, zero: 0 };

/** The registers that parts of the flags are. */
export function flagsSet(parts: number): RegisterSet {
  return { ...NONE, gpr: parts << FLAGS_SHIFT };
}

/** The parts of the flags among registers. */
export function flagParts({ gpr }: RegisterSet): number {
  return gpr >> FLAGS_SHIFT;
}

/** XMM registers of which there is anything. */
export function anyXmm({ xmm, low, zero }: RegisterSet): number {
  return xmm | low | zero;
}

export function union(a: RegisterSet, b: RegisterSet): RegisterSet {
  return { gpr: a.gpr | b.gpr, xmm: a.xmm | b.xmm, low: a.low | b.low, zero: a.zero | b.zero };
}

export function intersection(a: RegisterSet, b: RegisterSet): RegisterSet {
  return { gpr: a.gpr & b.gpr, xmm: a.xmm & b.xmm, low: a.low & b.low, zero: a.zero & b.zero };
}

export interface RegisterState {
  /** The local has the register's value. Zero upper halves have no local. */
  readonly valid: RegisterSet;
  /** … and the register file has not. Part of `valid`. */
  readonly dirty: RegisterSet;
}

export function stateOf(valid: RegisterSet, dirty: RegisterSet): RegisterState {
  return { valid: { ...valid }, dirty: { ...dirty } };
}
