/** What of a result is defined, and where two results differ in that. */

import { decode, isDecodeError } from '../../src/x86/decode.ts';
import type { Instruction } from '../../src/x86/instruction.ts';
import { effectiveAddress } from '../../src/x86/segment.ts';
import {
  ARITHMETIC_FLAGS,
  DF,
  MXCSR_DEFAULT,
  TF,
  VECTOR_DB,
  VECTOR_GP,
  VECTOR_PF,
  VECTOR_SS,
  VECTOR_UD,
} from '../../src/x86/state.ts';
import { FORMS } from '../../src/x86/table.ts';
import {
  CODE,
  type CpuCase,
  type CpuResult,
  followsFlags,
  GS_BASE,
  OUT_ADDRESS,
  OUT_ERROR,
  OUT_FX,
  OUT_RFLAGS,
  OUT_SIGNO,
  OUT_VECTOR,
  OUT_WINDOW,
  RESULT_SIZE,
  type Results,
  WINDOW,
} from './case.ts';

const NAMES = 'rax rcx rdx rbx rsp rbp rsi rdi r8 r9 r10 r11 r12 r13 r14 r15'.split(' ');
/** Of a page fault's error code: write, user, fetch. Whether the page was present depends on what the host had touched. */
const ERROR_COMPARED = 0x16;
const FLAGS = ARITHMETIC_FLAGS | DF;
/** Where an FXSAVE image's XMM registers end. */
const FX_END = 416;

const hex = (v: bigint | number) => v.toString(16);

/** True when everything agrees, even what need not: a quick look before `compareResults`. */
export function areEqual(c: CpuCase, expected: Results, actual: Results, i: number): boolean {
  const e = expected.words;
  const a = actual.words;
  const at = (i * RESULT_SIZE) >> 2;
  const equal = (from: number, to: number): boolean => {
    for (let w = at + (from >> 2); w < at + (to >> 2); w++) if (e[w] !== a[w]) return false;
    return true;
  };
  const word = (offset: number) => at + (offset >> 2);
  const vector = e[word(OUT_VECTOR)]!;
  if (!equal(0, OUT_RFLAGS) || vector !== a[word(OUT_VECTOR)]) return false;
  if (((e[word(OUT_RFLAGS)]! ^ a[word(OUT_RFLAGS)]!) & FLAGS) !== 0) return false;
  if (vector === VECTOR_PF) {
    if (((e[word(OUT_ERROR)]! ^ a[word(OUT_ERROR)]!) & ERROR_COMPARED) !== 0) return false;
    if (!equal(OUT_ADDRESS, OUT_SIGNO)) return false;
  }
  if (!equal(OUT_SIGNO, OUT_SIGNO + 16)) return false;
  const mxcsr = word(OUT_FX + 24);
  if (((e[mxcsr]! ^ a[mxcsr]!) & mxcsrMask(c)) !== 0) return false;
  if (!equal(OUT_FX, OUT_FX + 24) || !equal(OUT_FX + 32, OUT_FX + FX_END)) return false;
  const from = i * RESULT_SIZE + OUT_WINDOW;
  const to = (i + 1) * RESULT_SIZE;
  return expected.bytes.compare(actual.bytes, from, to, from, to) === 0;
}

/** The sticky flags are set except with the default MXCSR where they are not followed. */
function mxcsrMask(c: CpuCase): number {
  const control = (c.fx[24]! | (c.fx[25]! << 8)) & 0xffc0;
  return control === MXCSR_DEFAULT && !followsFlags(c) ? 0xffc0 : 0xffff;
}

/**
 * Differences of `actual` from `expected`, one text each; empty where both agree in all that is defined. `expected` is the
 * host's.
 */
export function compareResults(c: CpuCase, expected: CpuResult, actual: CpuResult): string[] {
  const out: string[] = [];
  const check = (what: string, e: bigint | number, a: bigint | number) => {
    if (e !== a) out.push(`${what}: native ${hex(e)}, translated ${hex(a)}`);
  };
  const forms = c.forms.map((id) => FORMS[id]!);
  const only = forms.length === 1 ? forms[0]! : null;
  // A hypervisor reports INT1 at the instruction where the processor reports it behind.
  const early = expected.vector === VECTOR_DB && BigInt.asUintN(64, actual.rip - expected.rip) < 15n;
  if (!early) check('rip', expected.rip, actual.rip);
  for (let r = 0; r < 16; r++) check(NAMES[r]!, expected.gpr[r]!, actual.gpr[r]!);
  const offset = Number(expected.rip) - CODE - c.place;
  const boundary = c.boundaries.find(([at]) => at === offset);
  const unknown = boundary ? boundary[1] : c.boundaries.reduce((all, [, flags]) => all | flags, 0);
  // A fault within REP CMPS or SCAS leaves the flags as before the instruction; here they are those of the last iteration.
  // The instruction is started again, so that only a signal handler could tell.
  const access = [VECTOR_PF, VECTOR_GP, VECTOR_SS].includes(expected.vector);
  const faulted = access ? instructionAt(c, offset) : null;
  const partial = faulted !== null && faulted.rep !== 'none';
  // CMPS and ENTER access two places: which of two faults comes first is nowhere said (and differs with REP). Of an x87
  // image processors touch some byte or other first.
  const several = faulted?.op === 'cmps' || faulted?.op === 'enter';
  const image = /^f(n?save|n?stenv|rstor|ldenv|xsave|xrstor)/.test(faulted?.op ?? '');
  const two = (several || image) && actual.vector !== expected.vector;
  // Some processors want an address to be canonical before its segment's base is added too.
  const based =
    expected.vector === VECTOR_GP &&
    actual.vector === VECTOR_PF &&
    faulted?.operands.some((o) => o.kind === 'mem' && o.segment !== 'none');
  // Of MASKMOVDQU Intel's processors touch the upper eight bytes first, AMD's the lower.
  const halves = faulted?.op === 'maskmovdqu' && expected.vector === VECTOR_PF;
  if (!two && !based) {
    check('vector', expected.vector, actual.vector);
    check('signal', expected.signo, actual.signo);
    if (!halves) check('si_code', expected.code, actual.code);
  }
  const defined = partial ? DF : FLAGS & ~unknown;
  check('flags', expected.rflags & defined, actual.rflags & defined);
  if (expected.vector === VECTOR_PF && actual.vector === VECTOR_PF) {
    const isNear = image && BigInt.asUintN(32, expected.address - actual.address + 1024n) < 2048n;
    if (!several && !halves && !isNear) check('address', expected.address, actual.address);
    if (!several && !halves) check('error', expected.error & ERROR_COMPARED, actual.error & ERROR_COMPARED);
  } else if (!early && !two && !based) {
    check('si_addr', expected.signalAddress, actual.signalAddress);
  }
  const mask = mxcsrMask(c);
  const ev = new DataView(expected.fx.buffer, expected.fx.byteOffset);
  const av = new DataView(actual.fx.buffer, actual.fx.byteOffset);
  check('mxcsr', ev.getUint16(24, true) & mask, av.getUint16(24, true) & mask);
  const approximate = only !== null && APPROXIMATE_SSE.has(only.op);
  for (let i = 0; i < 16; i++) {
    const at = 160 + i * 16;
    if (approximate && isNear(ev, av, at)) continue;
    const e = (ev.getBigUint64(at + 8, true) << 64n) | ev.getBigUint64(at, true);
    const a = (av.getBigUint64(at + 8, true) << 64n) | av.getBigUint64(at, true);
    check(`xmm${i}`, e, a);
  }
  // Whether a faulting store of an MMX register has entered MMX state is nowhere said, and processors vary.
  const unsaid =
    faulted?.operands[0]?.kind === 'mem' && faulted.operands.some((o) => o.kind === 'reg' && o.file === 'mmx');
  if (isBeyond(c)) return out;

  if (!unsaid) compareX87(c, ev, av, check);
  const saves = forms.some((form) => form.op === 'fxsave');
  // What an ENTER that faults has written below the stack pointer by then is nowhere said.
  if (faulted?.op === 'enter') return out;
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

/** Why two results cannot be compared; null: they can. */
export function whyNotComparable(c: CpuCase, expected: CpuResult, actual: CpuResult): string | null {
  if (isNarrowBranch(expected, actual)) return "a branch with an operand-size prefix: 16 bits wide on AMD's processors";
  if (isShortUndefined(c, expected, actual)) return "UD0 or UD1 at a page's end: AMD's processors read no ModRM byte";
  if (isWideMove(c, expected)) return "MOVSXD of 16 bits at a page's end: AMD's processors read 32";
  if (isEmulated(c, actual)) return 'SGDT and the like, jumped to: Linux emulates them where the processor has UMIP';
  if (isExtended(c, actual)) return 'AVX, MOVBE and the like, jumped to: the host has it';
  if (usesFs(c, actual)) return "an access through FS, jumped to: the harness's own thread-local memory";
  if (isFarTransfer(c, expected, actual)) return 'far transfers that get as far as the stack: here all are refused';
  if (expected.vector === VECTOR_DB && (expected.rflags & TF) !== 0) return 'single steps (docs/limits.md)';
  if (isMisalignedMode(c, actual)) return "MXCSR's bit 17: a mode of AMD's processors";
  return null;
}

/**
 * Whether it may be that `actual` lacks sticky flags of MXCSR and nothing else: the case has loaded MXCSR with FXRSTOR, and the flags are
 * missing there, or STMXCSR has given them to others. That they are what differs sticky-cpu.ts must show.
 */
export function mayLackStickyFlags(
  c: CpuCase,
  texts: readonly string[],
  expected: CpuResult,
  actual: CpuResult,
): boolean {
  const has = (ops: RegExp): boolean => c.forms.some((id) => ops.test(FORMS[id]!.op));
  if (followsFlags(c) || !has(/^fxrstor/)) return false;
  if (has(/^stmxcsr/)) return true;
  const of = ({ fx }: CpuResult): number => (fx[24]! | (fx[25]! << 8)) & mxcsrMask(c);
  const missing = of(expected) ^ of(actual);
  return texts.length === 1 && missing < 64 && (missing & of(expected)) === missing;
}

/** AMD's processors give a near branch with an operand-size prefix a 16-bit target, Intel's ignore the prefix. */
function isNarrowBranch(expected: CpuResult, actual: CpuResult): boolean {
  const { vector, rip, address } = expected;
  return vector === VECTOR_PF && rip === address && rip < 0x1_0000n && actual.rip !== rip;
}

function isShortUndefined(c: CpuCase, expected: CpuResult, actual: CpuResult): boolean {
  if (expected.vector !== VECTOR_UD || actual.vector !== VECTOR_PF || expected.rip !== actual.rip) return false;
  return /^ud[01]$/.test(instructionAt(c, Number(actual.rip) - CODE - c.place)?.op ?? '');
}

/** SDM vol. 2, MOVSXD: r16, r/m16. */
function isWideMove(c: CpuCase, { vector, rip, address, gpr }: CpuResult): boolean {
  if (vector !== VECTOR_PF) return false;
  const insn = instructionAt(c, Number(rip) - CODE - c.place);
  const from = insn?.operands[1];
  if (insn?.op !== 'movsxd' || from?.kind !== 'mem' || from.size !== 2) return false;
  const registers = { get: (r: number) => gpr[r]!, fsBase: 0n, gsBase: BigInt(GS_BASE) };
  const beyond = address - effectiveAddress(from, registers);
  return beyond === 2n || beyond === 3n;
}

/** The generator makes none of these (generate.ts), but code can jump into the middle of an instruction. */
function isEmulated(c: CpuCase, actual: CpuResult): boolean {
  if (actual.vector !== VECTOR_GP) return false;
  return /^(sgdt|sidt|sldt|smsw|str)$/.test(instructionAt(c, Number(actual.rip) - CODE - c.place)?.op ?? '');
}

/** The generator makes none. */
function usesFs(c: CpuCase, actual: CpuResult): boolean {
  const insn = instructionAt(c, Number(actual.rip) - CODE - c.place);
  return actual.vector === VECTOR_PF && (insn?.operands.some((o) => o.kind === 'mem' && o.segment === 'fs') ?? false);
}

/** VEX and EVEX prefixes and MOVBE, which the generator does not make. */
function isExtended(c: CpuCase, actual: CpuResult): boolean {
  if (actual.vector !== VECTOR_UD) return false;
  const at = Number(actual.rip) - CODE - c.place;
  return /^(c4|c5|62|((66|2e|36|3e|26|64|65|4.)*0f38f[01]))/.test(
    Buffer.from(c.code.subarray(at, at + 15)).toString('hex'),
  );
}

/** The processor reads the stack; if a far return's selector is one, by chance, also the new one. */
function isFarTransfer(c: CpuCase, expected: CpuResult, actual: CpuResult): boolean {
  const stack = expected.vector === VECTOR_PF || expected.vector === VECTOR_SS;
  if (actual.vector !== VECTOR_GP || !stack || expected.rip !== actual.rip) return false;
  return /^(retf|iret|call_far|jmp_far)/.test(instructionAt(c, Number(actual.rip) - CODE - c.place)?.op ?? '');
}

/** MXCSR's bit 17, which the virtual CPU refuses to load, is a mode of AMD's processors (misaligned SSE). */
function isMisalignedMode(c: CpuCase, actual: CpuResult): boolean {
  if (actual.vector !== VECTOR_GP) return false;
  const insn = instructionAt(c, Number(actual.rip) - CODE - c.place);
  const operand = insn?.operands[0];
  if (!/^(fxrstor|ldmxcsr)/.test(insn?.op ?? '') || operand?.kind !== 'mem') return false;
  const registers = { get: (r: number) => actual.gpr[r]!, fsBase: 0n, gsBase: BigInt(GS_BASE) };
  const at = Number(effectiveAddress(operand, registers)) - WINDOW + (insn!.op === 'ldmxcsr' ? 0 : 24);
  return at >= 0 && at + 4 <= actual.window.length && (actual.window[at + 2]! & 2) !== 0;
}

function instructionAt(c: CpuCase, offset: number): Instruction | null {
  if (offset < 0 || offset >= c.code.length) return null;
  // Behind the code stands INT3.
  const bytes = new Uint8Array(c.code.length + 15).fill(0xcc);
  bytes.set(c.code);
  const decoded = decode(bytes, offset, CODE + c.place + offset);
  return isDecodeError(decoded) ? null : decoded;
}

/** Transcendental functions of x87: the SDM's bound, 1 ulp, is all that two processors agree on. */
export const APPROXIMATE: ReadonlySet<string> = new Set(
  'f2xm1 fyl2x fyl2xp1 fptan fpatan fsin fcos fsincos'.split(' '),
);
/** The SDM's bound is a relative error of 1.5 × 2^-12. */
export const APPROXIMATE_SSE: ReadonlySet<string> = new Set('rcpss rcpps rsqrtss rsqrtps'.split(' '));

/** Every float of two vectors within twice that bound, or the same. */
function isNear(ev: DataView, av: DataView, at: number): boolean {
  for (let i = at; i < at + 16; i += 4) {
    if (ev.getUint32(i, true) === av.getUint32(i, true)) continue;
    const [e, a] = [ev.getFloat32(i, true), av.getFloat32(i, true)];
    if (!(Math.abs(e - a) <= Math.abs(e) * 3 * 2 ** -12)) return false;
  }
  return true;
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
    // Of those that FXRSTOR loads AMD's processors keep 48 bits.
    const bits = c.forms.some((id) => FORMS[id]!.op === 'fxrstor') ? 48 : 64;
    const pointer = (view: DataView, at: number) => BigInt.asUintN(bits, view.getBigUint64(at, true));
    check('fip', pointer(ev, 8), pointer(av, 8));
    check('fdp', pointer(ev, 16), pointer(av, 16));
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
