/** What of a result is defined, and where two results differ in that. */

import { decode, isDecodeError } from '../../src/x86/decode.ts';
import { ARITHMETIC_FLAGS, DF } from '../../src/x86/state.ts';
import { FORMS, type Form } from '../../src/x86/table.ts';
import { CODE, type CpuCase, type CpuResult, WINDOW } from './case.ts';

const NAMES = 'rax rcx rdx rbx rsp rbp rsi rdi r8 r9 r10 r11 r12 r13 r14 r15'.split(' ');
const VECTOR_SS = 12;
const VECTOR_GP = 13;
const VECTOR_PF = 14;

export interface CompareOptions {
  /** Compare MXCSR's sticky exception flags. */
  readonly sticky: boolean;
}

const hex = (v: bigint | number) => v.toString(16);

/** Differences of `actual` from `expected`, one text each; empty where both agree. */
export function compareResults(c: CpuCase, expected: CpuResult, actual: CpuResult, options: CompareOptions): string[] {
  const out: string[] = [];
  const check = (what: string, e: bigint | number, a: bigint | number) => {
    if (e !== a) out.push(`${what}: native ${hex(e)}, translated ${hex(a)}`);
  };
  // Known deviations, for addresses that are not canonical: #SS is reported as #GP, and a branch there faults after the
  // branch, not at it. In Linux both are the same SIGSEGV.
  const wild = (address: bigint) => BigInt.asIntN(48, address) !== BigInt.asIntN(64, address);
  if (expected.vector === VECTOR_GP && wild(actual.rip)) return [];
  check('rip', expected.rip, actual.rip);
  for (let r = 0; r < 16; r++) check(NAMES[r]!, expected.gpr[r]!, actual.gpr[r]!);
  const offset = Number(expected.rip) - CODE;
  const boundary = c.boundaries.find(([at]) => at === offset);
  const unknown = boundary ? boundary[1] : c.boundaries.reduce((all, [, flags]) => all | flags, 0);
  // A fault within REP CMPS or SCAS leaves the flags as before the instruction; here they are those of the last iteration.
  // The instruction is started again, so that only a signal handler could tell.
  const access = expected.vector === VECTOR_PF || expected.vector === VECTOR_GP;
  const decoded = access && boundary !== undefined ? decode(c.code, offset, CODE) : null;
  const faulted = decoded !== null && !isDecodeError(decoded) ? decoded : null;
  const partial = faulted !== null && faulted.rep !== 'none';
  // CMPS reads two places: which of two faults comes first is nowhere said (and differs with REP).
  const two = faulted?.op === 'cmps';
  const vectorOf = (r: CpuResult) => (r.vector === VECTOR_SS || (two && r.vector === VECTOR_PF) ? VECTOR_GP : r.vector);
  check('vector', vectorOf(expected), vectorOf(actual));
  const defined = partial ? DF : (ARITHMETIC_FLAGS | DF) & ~unknown;
  check('flags', expected.rflags & defined, actual.rflags & defined);
  if (expected.vector === VECTOR_PF && actual.vector === VECTOR_PF) {
    // Of an x87 image over a page's end processors touch some byte of the absent page first.
    const image = /^f(n?save|n?stenv|rstor|ldenv|xsave|xrstor)/.test(faulted?.op ?? '');
    const place = (r: CpuResult) => (image ? r.address & ~0xfffn : r.address);
    // Of MASKMOVDQU Intel's processors touch the upper eight bytes first, AMD's the lower.
    const halves = faulted?.op === 'maskmovdqu';
    if (!two && !halves) check('address', place(expected), place(actual));
    check('error', expected.error & 0x16, actual.error & 0x16);
  }
  // The sticky flags are kept except with the default MXCSR.
  const control = new DataView(c.fx.buffer, c.fx.byteOffset).getUint16(24, true) & 0xffc0;
  const mask = options.sticky || control !== 0x1f80 ? 0xffff : 0xffc0;
  const ev = new DataView(expected.fx.buffer, expected.fx.byteOffset);
  const av = new DataView(actual.fx.buffer, actual.fx.byteOffset);
  check('mxcsr', ev.getUint16(24, true) & mask, av.getUint16(24, true) & mask);
  for (let i = 0; i < 16; i++) {
    const at = 160 + i * 16;
    const e = (ev.getBigUint64(at + 8, true) << 64n) | ev.getBigUint64(at, true);
    const a = (av.getBigUint64(at + 8, true) << 64n) | av.getBigUint64(at, true);
    check(`xmm${i}`, e, a);
  }
  // Whether a faulting store of an MMX register has entered MMX state is nowhere said, and processors vary.
  const unsaid =
    faulted?.operands[0]?.kind === 'mem' && faulted.operands.some((o) => o.kind === 'reg' && o.file === 'mmx');
  if (isBeyond(c)) return out;
  const x87 = c.forms.some((id) => FORMS[id]!.area === 'x87' || usesMmx(FORMS[id]!));
  if (x87 && !unsaid) compareX87(c, ev, av, check);
  const saves = c.forms.some((id) => FORMS[id]!.op === 'fxsave');
  for (let i = 0; i < expected.window.length; i++) {
    if (expected.window[i] === actual.window[i]) continue;
    // AMD's MXCSR_MASK in an FXSAVE image has bit 17.
    if (saves && i % 16 === 14 && expected.window[i] === 2 && actual.window[i] === 0) continue;
    const from = Math.max(0, i & ~7);
    const text = (w: Uint8Array) => Buffer.from(w.subarray(from, from + 24)).toString('hex');
    out.push(
      `memory ${hex(WINDOW + i)}: native ${text(expected.window)}, translated ${text(actual.window)} at ${hex(WINDOW + from)}`,
    );
    break;
  }
  return out;
}

/** Transcendental functions of x87: the SDM's bound, 1 ulp, is all that two processors agree on. */
export const APPROXIMATE: ReadonlySet<string> = new Set(
  'f2xm1 fyl2x fyl2xp1 fptan fpatan fsin fcos fsincos'.split(' '),
);

/** MMX registers are the x87's. */
function usesMmx(form: Form): boolean {
  return form.area === 'mmx' || form.operands.some((operand) => 'PQN'.includes(operand.at));
}

/** F2XM1 and FYL2XP1 with an argument for which the SDM leaves the result undefined. */
function isBeyond(c: CpuCase): boolean {
  if (c.forms.length !== 1) return false;
  const { op } = FORMS[c.forms[0]!]!;
  if (op !== 'f2xm1' && op !== 'fyl2xp1') return false;
  const view = new DataView(c.fx.buffer, c.fx.byteOffset);
  const exponent = view.getUint16(40, true) & 0x7fff;
  const significand = view.getBigUint64(32, true);
  if (op === 'f2xm1') return exponent >= 16383 && !(exponent === 16383 && significand === 1n << 63n);
  // 1 - √½
  return exponent > 16381 || (exponent === 16381 && significand > 0x95f6_1998_0c43_36f7n);
}

/** The number's place among the 80-bit numbers of its sign, or -1 for what is none. */
function placeOf(bits: bigint): bigint {
  const exponent = (bits >> 64n) & 0x7fffn;
  return exponent === 0x7fffn ? -1n : (exponent << 63n) | (bits & ((1n << 63n) - 1n));
}

function within1Ulp(a: bigint, b: bigint): boolean {
  const [x, y] = [placeOf(a), placeOf(b)];
  const distance = x - y;
  return x >= 0n && y >= 0n && a >> 79n === b >> 79n && distance <= 1n && distance >= -1n;
}

function compareX87(
  c: CpuCase,
  ev: DataView,
  av: DataView,
  check: (what: string, e: bigint | number, a: bigint | number) => void,
): void {
  // The SDM has FCOMI and its kin clear C1; AMD's processors leave it.
  // An approximation's rounding is known as little as its last bit.
  const approximate = c.forms.some((id) => APPROXIMATE.has(FORMS[id]!.op));
  const status = approximate || c.forms.some((id) => /^fu?comip?$/.test(FORMS[id]!.op)) ? 0xfdff : 0xffff;
  check('fcw', ev.getUint16(0, true), av.getUint16(0, true));
  check('fsw', ev.getUint16(2, true) & status, av.getUint16(2, true) & status);
  // Without a pending exception AMD's processors save no pointers. Intel's newer ones set FOP only with one.
  if ((ev.getUint16(2, true) & 0x80) !== 0) {
    if (c.forms.length === 1) check('fop', ev.getUint16(6, true), av.getUint16(6, true));
    check('fip', ev.getBigUint64(8, true), av.getBigUint64(8, true));
    check('fdp', ev.getBigUint64(16, true), av.getBigUint64(16, true));
  }
  check('ftw', ev.getUint8(4), av.getUint8(4));
  const top = (ev.getUint16(2, true) >> 11) & 7;
  for (let i = 0; i < 8; i++) {
    // An empty register's content is nobody's business.
    if (((ev.getUint8(4) >> ((top + i) & 7)) & 1) === 0) continue;
    const at = 32 + i * 16;
    const e = (BigInt(ev.getUint16(at + 8, true)) << 64n) | ev.getBigUint64(at, true);
    const a = (BigInt(av.getUint16(at + 8, true)) << 64n) | av.getBigUint64(at, true);
    if (!approximate || !within1Ulp(e, a)) check(`st${i}`, e, a);
  }
}
