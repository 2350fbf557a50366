/**
 * Random cases. A case is one instruction, or several, of forms picked from the table; every operand encoding, prefix and
 * addressing mode of the SDM can come up. Three registers of a case are pointers that its instructions do not write:
 * memory operands lie in the window (a few across its end), so that most instructions do something.
 */

import { decode, isDecodeError } from '../../src/x86/decode.ts';
import type { Instruction } from '../../src/x86/instruction.ts';
import { ARITHMETIC_FLAGS, DF, OF } from '../../src/x86/state.ts';
import { FORMS, type Form, MAPS } from '../../src/x86/table.ts';
import { CODE, CODE_SIZE, type CpuCase, GS_BASE, WINDOW, WINDOW_SIZE } from './case.ts';
import { APPROXIMATE } from './compare.ts';
import { decimals, extended, images, x87State } from './generate-x87.ts';
import type { Random } from './random.ts';

/**
 * Forms that cannot be compared: what the environment answers (time, CPUID, the kernel), selectors, far transfers,
 * approximations that differ between CPU models, and pointers to the last instruction.
 */
const EXCLUDED = new Set(
  [
    'syscall rdtsc cpuid int iret retf swapgs sysret sldt str smsw sgdt sidt rdpmc push_seg pop_seg call_far jmp_far',
    'lldt ltr lgdt lidt lmsw clts invd wbinvd invlpg mov_dr mov_cr rdmsr wrmsr ins outs',
    'rsqrtps rsqrtss rcpps rcpss ',
    'ldmxcsr popf',
  ]
    .join(' ')
    .split(' '),
);

/**
 * AMD's processors leave C1 where the SDM has FCOMI and its kin clear it. A sequence has the first or the second of these,
 * so that C1 is not seen otherwise than in the status word at the end.
 */
const LEAVE_C1 = new Set('fcomi fcomip fucomi fucomip'.split(' '));
const READ_C1 = new Set(['fnstsw']);
/** These show the last opcode and its selectors, which processors keep or do not. */
const SHOW_POINTERS = new Set('fnstenv fnsave fxsave'.split(' '));
const IMAGE = /^fx(save|rstor)$/;
const TEXT = /^pcmp[ei]str/;

export function isComparable(form: Form): boolean {
  // Without --mxcsr the sticky flags differ.
  if (form.op === 'stmxcsr' || EXCLUDED.has(form.op)) return false;
  // Loading a selector; moves to and from control registers fault in any case.
  if (form.op === 'mov_seg' && form.operands[0]!.at === 'S') return false;
  return true;
}

const F64 = [
  0x0000000000000000n,
  0x8000000000000000n,
  0x3ff0000000000000n,
  0xbff0000000000000n,
  0x7ff0000000000000n,
  0xfff0000000000000n,
  0x7ff8000000000000n,
  0xfff8000000000000n,
  0x7ff8000000001234n,
  0x7ff0000000000001n,
  0xfff4000000000000n,
  0x0000000000000001n,
  0x800fffffffffffffn,
  0x0010000000000000n,
  0x7fefffffffffffffn,
  0x41dfffffffc00000n,
  0x41e0000000000000n,
  0xc1e0000000000000n,
  0x43e0000000000000n,
  0xc3e0000000000000n,
  0x3fe0000000000000n,
  0x4004000000000000n,
  0x47efffffefffffffn,
  0x36a0000000000000n,
];
const F32 = [
  0x00000000, 0x80000000, 0x3f800000, 0xbf800000, 0x7f800000, 0xff800000, 0x7fc00000, 0xffc00000, 0x7fc01234,
  0x7f800001, 0xffa00000, 0x00000001, 0x807fffff, 0x00800000, 0x7f7fffff, 0x4effffff, 0x4f000000, 0xcf000000,
  0x5f000000, 0xdf000000, 0x3f000000, 0x40200000, 0x3fc00000,
];
const INTEGERS = [0n, 1n, 2n, 7n, 8n, 0x7fn, 0x80n, 0xffn, 0x7fffn, 0x8000n, 0xffffn, 0x7fffffffn, 0x80000000n]
  .concat([
    0xffffffffn,
    0x100000000n,
    0x7fffffffffffffffn,
    0x8000000000000000n,
    0xffffffffffffffffn,
    0xfffffffffffffffen,
  ])
  .concat([0xffffffff80000000n, 0xffffffffffffff80n]);

function double(random: Random): bigint {
  switch (random.below(4)) {
    case 0:
      return random.pick(F64);
    case 1:
      return random.u64();
    case 2:
      return BigInt.asUintN(64, bitsOf((random.below(2000) - 1000) / random.pick([1, 2, 3, 16])));
    default:
      return bitsOf((random.u32() / 65536 - 32768) * random.pick([1, 1e-5, 1e9, 1e300, 1e-300]));
  }
}

const SCRATCH = new DataView(new ArrayBuffer(8));

function bitsOf(value: number): bigint {
  SCRATCH.setFloat64(0, value);
  return SCRATCH.getBigUint64(0);
}

function single(random: Random): number {
  switch (random.below(3)) {
    case 0:
      return random.pick(F32);
    case 1:
      return random.u32();
    default:
      SCRATCH.setFloat32(0, (random.below(20000) - 10000) / random.pick([1, 2, 3, 16, 1e20, 1e-20]));
      return SCRATCH.getUint32(0);
  }
}

function integer(random: Random): bigint {
  switch (random.below(5)) {
    case 0:
      return random.pick(INTEGERS);
    case 1:
      return BigInt(random.below(256));
    case 2:
      return BigInt.asUintN(64, BigInt(random.below(65536) - 32768));
    default:
      return random.u64();
  }
}

/** Text of few letters, words or bytes, with zeros here and there. */
function text(random: Random, view: DataView, at: number): void {
  const letters = Array.from({ length: 1 + random.below(4) }, () =>
    random.pick([1, 2, 0x41, 0x61, 0x7f, 0x80, 0xfe, 0xff]),
  );
  const wide = random.oneIn(3);
  const zeros = random.pick([4, 12, 1000]);
  for (let i = 0; i < 16; i++) {
    const zero = random.oneIn(zeros);
    view.setUint8(at + i, zero || (wide && i % 2 === 1 && !random.oneIn(8)) ? 0 : random.pick(letters));
    if (zero && wide) view.setUint8(at + (i ^ 1), 0);
  }
}

/** 16 bytes as one of: two doubles, four floats, random, text, integers. */
function vector(random: Random, view: DataView, at: number): void {
  const kind = random.below(7);
  if (kind === 6) {
    text(random, view, at);
    return;
  }
  for (let i = 0; i < 16; i += 8) {
    if (kind < 2) view.setBigUint64(at + i, double(random), true);
    else if (kind < 4) {
      view.setUint32(at + i, single(random), true);
      view.setUint32(at + i + 4, single(random), true);
    } else if (kind === 4) view.setBigUint64(at + i, random.u64(), true);
    else view.setBigUint64(at + i, integer(random), true);
  }
}

export interface GenerateOptions {
  /** MXCSR is something else than its default: sticky flags are comparable then. */
  readonly mxcsr?: boolean;
  /** Any x87 control word, status word and tags. */
  readonly x87?: boolean;
  /** Forms to draw from. */
  readonly forms: readonly Form[];
  /** Longest sequence. */
  readonly maxLength: number;
}

/** Any rounding, FTZ and DAZ; mostly masked exceptions; sticky flags. Not the default. */
function mxcsr(random: Random): number {
  for (;;) {
    const masks = random.oneIn(2)
      ? 0x1f80
      : 0x1f80 & ~(1 << (7 + random.below(6))) & (random.oneIn(2) ? ~0 : random.u32());
    const sticky = random.oneIn(3) ? random.below(64) : 0;
    const value =
      masks | (random.below(4) << 13) | (random.oneIn(2) ? random.pick([0x40, 0x8000, 0x8040]) : 0) | sticky;
    if ((value & 0xffc0) !== 0x1f80) return value;
  }
}

type Code = Pick<CpuCase, 'code' | 'boundaries' | 'forms'>;

export class Generator {
  readonly #random: Random;
  readonly #options: GenerateOptions;
  #aligned = false;
  /** Mnemonics that the sequence does not have. */
  #excluded: ReadonlySet<string> = LEAVE_C1;
  /** No sequence has both FXRSTOR and SSE instructions, whose sticky flags may differ. */
  readonly #images: boolean;

  constructor(random: Random, options: GenerateOptions) {
    this.#random = random;
    this.#options = options;
    this.#images = options.forms.every((form) => form.area === 'x87' || IMAGE.test(form.op));
  }

  case(): CpuCase {
    const random = this.#random;
    const gpr = new BigUint64Array(16);
    for (let r = 0; r < 16; r++) gpr[r] = integer(random);
    // rbx, rbp, r8 … r15 have no implicit uses but leave and enter.
    const candidates = [3, 5, 8, 9, 10, 11, 12, 13, 14, 15];
    const pointers: number[] = [];
    while (pointers.length < 3) {
      const r = random.pick(candidates);
      if (!pointers.includes(r)) pointers.push(r);
    }
    const [base, base2, index] = pointers as [number, number, number];
    const form = random.pick(this.#options.forms);
    this.#excluded = random.oneIn(2) ? LEAVE_C1 : READ_C1;
    const length = random.oneIn(2) || !this.#inSequence(form) ? 1 : 1 + random.below(this.#options.maxLength);
    const near = random.oneIn(8) ? WINDOW + WINDOW_SIZE - random.below(20) : WINDOW + 300 + random.below(600);
    gpr[base] = BigInt(near);
    gpr[base2] = BigInt(WINDOW + 200 + random.below(600)) & (random.oneIn(2) ? ~15n : ~0n);
    gpr[index] = BigInt(random.below(8));
    // Most SSE memory operands must be aligned.
    this.#aligned = !random.oneIn(4);
    if (this.#aligned) {
      gpr[base] &= ~15n;
      gpr[base2] &= ~15n;
      gpr[index] = BigInt(random.below(3) * 16);
    }
    if (form.op === 'xlat') gpr[3] = BigInt(WINDOW + 100);
    gpr[4] = BigInt(WINDOW + 256 + random.below(32) * 8);
    const string = form.area === 'string' || random.oneIn(4) || form.op.startsWith('maskmov');
    if (string) {
      gpr[6] = BigInt(WINDOW + 100 + random.below(700));
      gpr[7] = BigInt(WINDOW + 100 + random.below(700));
      gpr[1] = BigInt(random.oneIn(10) ? random.below(2000) : random.below(24));
      if (random.oneIn(4)) gpr[7] = gpr[6] + BigInt(random.below(16) - 8);
    } else if (/^(r|s)/.test(form.op) && random.oneIn(2)) {
      gpr[1] = BigInt(random.below(70));
    }
    if ((form.op === 'div' || form.op === 'idiv') && !random.oneIn(6)) {
      // Quotients that fit.
      gpr[2] = form.op === 'idiv' && random.oneIn(2) ? 0xffffffffffffffffn : BigInt(random.below(2));
      if (random.oneIn(2)) gpr[0] &= 0xffn;
    }

    if (form.op.startsWith('pcmpestr') && !random.oneIn(4)) {
      // Lengths of what fits.
      for (const r of [0, 2]) gpr[r] = BigInt.asUintN(64, BigInt(random.below(38) - 18));
    }

    const window = this.#window(form);
    const flags = random.u32() & (ARITHMETIC_FLAGS | (random.oneIn(4) ? DF : 0));
    const state = { gpr, rflags: flags, fx: this.#fx(form), window };
    if (length > 1 && random.oneIn(2)) return { ...state, ...this.#program(gpr, pointers, length * 2) };
    return { ...state, ...this.#sequence(form, gpr, window, [base, base2, index], length) };
  }

  /** The same instruction with other x87 registers and other memory, for a case of one x87 instruction. */
  again(c: CpuCase): CpuCase {
    const form = FORMS[c.forms[0]!]!;
    return { ...c, fx: this.#fx(form), window: this.#window(form) };
  }

  #window(form: Form): Uint8Array {
    const random = this.#random;
    const view = new DataView(new ArrayBuffer(WINDOW_SIZE));
    for (let i = 0; i < WINDOW_SIZE; i += 16) {
      if (form.area === 'x87' && random.oneIn(2)) extended(random, view, i);
      else if (TEXT.test(form.op) && !random.oneIn(8)) text(random, view, i);
      else vector(random, view, i);
    }
    if (form.op === 'fbld') decimals(random, view);
    if (form.op === 'fxrstor') images(random, view);
    const window = new Uint8Array(view.buffer);
    if (random.oneIn(4)) for (let i = 64; i < 512; i++) window[i] = window[i % 64]!;
    return window;
  }

  /** Whether the form may stand among others. */
  #inSequence({ op }: Form): boolean {
    if (this.#excluded.has(op) || APPROXIMATE.has(op) || SHOW_POINTERS.has(op)) return false;
    return this.#images || !IMAGE.test(op);
  }

  /** An instruction of the form, with its bytes, or null where none was found that may stand here. */
  #draft(form: Form, pointers: readonly number[], offset: number, undefinedFlags: number, alone: boolean) {
    if (!alone && !this.#inSequence(form)) return null;
    for (let attempt = 0; attempt < 20; attempt++) {
      const draft = this.#encode(form, pointers as [number, number, number]);
      const bytes = Uint8Array.from([...draft, 0x0f, 0x0b]);
      const decoded = decode(bytes, 0, CODE + offset);
      if (isDecodeError(decoded) || decoded.form !== form.id || decoded.length !== draft.length) continue;
      if (this.#allowed(decoded, pointers, undefinedFlags, !alone)) return { draft, decoded };
    }
    return null;
  }

  /** Straight-line code; a branch jumps over an UD2. */
  #sequence(form: Form, gpr: BigUint64Array, window: Uint8Array, pointers: readonly number[], length: number): Code {
    const code: number[] = [];
    const forms: number[] = [];
    const boundaries: [number, number][] = [];
    let undefinedFlags = 0;
    for (let n = 0; n < length && code.length < CODE_SIZE - 40; n++) {
      const next = n === 0 ? form : this.#random.pick(this.#options.forms);
      const made = this.#draft(next, pointers, code.length, undefinedFlags, length === 1);
      if (made === null) continue;
      boundaries.push([code.length, undefinedFlags]);
      code.push(...made.draft);
      if (made.decoded.operands[0]?.kind === 'target') {
        boundaries.push([code.length, undefinedFlags]);
        code.push(0x0f, 0x0b);
      }
      forms.push(next.id);
      undefinedFlags = this.#undefinedAfter(made.decoded, undefinedFlags);
      // An indirect branch that goes somewhere: to the end of the code.
      if (n === length - 1) this.#aim(made.decoded, gpr, window, CODE + code.length);
    }
    boundaries.push([code.length, undefinedFlags]);
    code.push(0x0f, 0x0b);
    return { code: Uint8Array.from(code), boundaries, forms };
  }

  /**
   * Code with branches forwards and backwards, calls and a function. A comparison stands behind every instruction that
   * leaves flags undefined, so that they are defined whichever way control comes.
   */
  #program(gpr: BigUint64Array, pointers: readonly number[], length: number): Code {
    const random = this.#random;
    const counter = random.pick([3, 8, 9, 10, 11, 12, 13, 14, 15].filter((r) => !pointers.includes(r)));
    gpr[counter] = BigInt(1 + random.below(8));
    const reserved = [...pointers, counter];
    const code: number[] = [];
    const forms: number[] = [];
    const boundaries: [number, number][] = [];
    /** Places of 32-bit displacements to be filled with the offset of a later boundary. */
    const open: number[] = [];
    const calls: number[] = [];
    const straight = this.#options.forms.filter((f) => f.flow === 'next' && f.area !== 'privileged');
    if (straight.length === 0) straight.push(...this.#options.forms);
    const fill = (place: number, target: number) => {
      const disp = target - place - 4;
      for (let i = 0; i < 4; i++) code[place + i] = (disp >> (8 * i)) & 255;
    };
    const instructions = (count: number) => {
      for (let n = 0; n < count && code.length < CODE_SIZE - 60; n++) {
        const form = random.pick(straight);
        const made = this.#draft(form, reserved, code.length, 0, false);
        if (made === null) continue;
        boundaries.push([code.length, 0]);
        code.push(...made.draft);
        forms.push(form.id);
        const flags = this.#undefinedAfter(made.decoded, 0);
        if (flags !== 0) {
          boundaries.push([code.length, flags]);
          code.push(0x48, 0x39, 0xc8);
        }
      }
    };
    while (code.length < CODE_SIZE - 80 && length-- > 0) {
      instructions(1 + random.below(3));
      for (let i = open.length - 1; i >= 0; i--) {
        if (random.oneIn(2)) continue;
        fill(open[i]!, code.length);
        open.splice(i, 1);
      }
      boundaries.push([code.length, 0]);
      switch (random.below(4)) {
        case 0: {
          // While the counter lasts, back to any boundary: dec counter; jg.
          const target = random.pick(boundaries.filter(([, flags]) => flags === 0))[0];
          code.push(0x48 | (counter >> 3), 0xff, 0xc8 | (counter & 7));
          boundaries.push([code.length, 0]);
          code.push(0x0f, 0x8f, 0, 0, 0, 0);
          fill(code.length - 4, target);
          break;
        }
        case 1:
          code.push(0xe8, 0, 0, 0, 0);
          calls.push(code.length - 4);
          break;
        default:
          if (random.oneIn(6)) code.push(0xe9, 0, 0, 0, 0);
          else code.push(0x0f, 0x80 + random.below(16), 0, 0, 0, 0);
          open.push(code.length - 4);
      }
    }
    for (const place of open) fill(place, code.length);
    boundaries.push([code.length, 0]);
    code.push(0x0f, 0x0b);
    for (const place of calls) fill(place, code.length);
    instructions(2);
    boundaries.push([code.length, 0]);
    code.push(0xc3);
    return { code: Uint8Array.from(code), boundaries, forms };
  }

  #fx(form: Form): Uint8Array {
    const random = this.#random;
    const view = new DataView(new ArrayBuffer(512));
    view.setUint16(0, 0x037f, true);
    const top = random.oneIn(3) ? random.below(8) : 0;
    const empty = random.below(4) === 0;
    view.setUint16(2, top << 11, true);
    view.setUint8(4, empty ? random.below(256) : 0xff);
    view.setUint32(24, this.#options.mxcsr ? mxcsr(random) : 0x1f80, true);
    view.setUint32(28, 0xffff, true);
    for (let i = 0; i < 8; i++) extended(random, view, 32 + i * 16);
    if (this.#options.x87) x87State(random, view);
    const fill = TEXT.test(form.op) && !random.oneIn(8) ? text : vector;
    for (let i = 0; i < 16; i++) fill(random, view, 160 + i * 16);
    return new Uint8Array(view.buffer);
  }

  #encode(form: Form, pointers: readonly [number, number, number]): number[] {
    const random = this.#random;
    const bytes: number[] = [];
    // AMD's processors give a near branch with an operand-size prefix a 16-bit target, Intel's ignore the prefix.
    const branch = form.operands.some((o) => o.at === 'J');
    const sized =
      !branch && (form.operands.some((o) => 'vzypsPSchikm'.includes(o.type)) || ['cbw', 'cwd'].includes(form.op));
    const stack = form.stackSize || form.operands.some((o) => o.type === 'p');
    const width = sized ? random.below(3) : 0;
    let rex = 0;
    const small = width === 1 && (form.area === 'integer' || form.prefix === 'any') && (!stack || random.oneIn(4));
    if (form.prefix === '66' || small) bytes.push(0x66);
    if (form.prefix === 'f2' || form.prefix === 'f3') bytes.push(Number.parseInt(form.prefix, 16));
    if (width === 2) rex |= 0x48;
    if (form.area === 'string' && !random.oneIn(3)) bytes.push(random.pick([0xf2, 0xf3]));
    if (form.lock && random.oneIn(6)) bytes.push(0xf0);

    let tail: number[] = [];
    if (form.modrm >= 0) {
      tail.push(form.modrm);
    } else if (form.hasModrm) {
      const reg = form.digit >= 0 ? form.digit : random.below(16);
      if (form.digit >= 0 && random.oneIn(16)) rex |= 0x44;
      if (reg & 8) rex |= 0x44;
      const useMemory = form.mod === 'mem' || (form.mod === 'any' && random.oneIn(2));
      if (!useMemory) {
        const rm = random.below(16);
        if (rm & 8) rex |= 0x41;
        tail.push(0xc0 | ((reg & 7) << 3) | (rm & 7));
      } else {
        const made = this.#address((reg & 7) << 3, pointers);
        tail = made.bytes;
        rex |= made.rex;
        for (const prefix of made.prefixes) bytes.unshift(prefix);
      }
    } else if (random.oneIn(8)) {
      // With REX.B PAUSE is XCHG R8, RAX to AMD's processors.
      rex |= 0x40 | (form.op === 'pause' ? 0 : random.below(2));
    }
    // A byte register above 3 without REX is AH … BH.
    if (random.oneIn(3)) rex |= rex === 0 ? random.pick([0, 0x40]) : 0x40;
    if (rex !== 0) bytes.push(rex);
    bytes.push(...Buffer.from(MAPS[form.opcode >> 8]!, 'hex'));
    const low = form.plus === 'r' ? random.below(8) : form.plus === 'cc' ? random.below(16) : 0;
    bytes.push((form.opcode & 0xff) + low, ...tail);
    const operandSize = rex & 8 ? 8 : bytes.includes(0x66) ? 2 : 4;
    for (const operand of form.operands) {
      if (operand.at === 'J') {
        // Over the UD2 that `case` puts behind a branch.
        bytes.push(...[2, 0, 0, 0].slice(0, operand.type === 'b' ? 1 : 4));
      } else if (operand.at === 'O') {
        const target = BigInt(WINDOW + random.below(WINDOW_SIZE - 8));
        for (let i = 0n; i < 8n; i++) bytes.push(Number((target >> (8n * i)) & 0xffn));
      } else if (operand.at === 'I') {
        let count = 1;
        if (operand.type === 'W') count = 2;
        else if (operand.type === 'z' || operand.type === 'P') count = operandSize === 2 ? 2 : 4;
        else if (operand.type === 'v') count = operandSize;
        const value = random.oneIn(2) ? integer(random) : random.u64();
        const nibble = operand.type === 'u' && random.oneIn(2);
        if (form.op === 'enter') {
          // A small frame, without nesting levels.
          bytes.push(...(operand.type === 'W' ? [random.below(128), 0] : [0]));
          continue;
        }
        for (let i = 0n; i < BigInt(count); i++) bytes.push(Number((value >> (8n * i)) & 0xffn) & (nibble ? 15 : 255));
      }
    }
    return bytes;
  }

  /** A memory operand in one of all addressing modes. */
  #address(reg: number, [base, base2, index]: readonly [number, number, number]) {
    const random = this.#random;
    let rex = 0;
    const prefixes: number[] = [];
    const bytes: number[] = [];
    const disp32 = (value: number) =>
      bytes.push(value & 255, (value >> 8) & 255, (value >> 16) & 255, (value >> 24) & 255);
    const kind = random.below(8);
    const b = random.oneIn(2) ? base : base2;
    let bias = 0;
    if (random.oneIn(12)) {
      prefixes.push(0x65);
      bias = GS_BASE;
    } else if (random.oneIn(16)) prefixes.push(random.pick([0x26, 0x2e, 0x36, 0x3e]));
    if (kind === 0) {
      // [rip + disp32] is near the code only; [disp32] through SIB without base reaches the data.
      bytes.push(reg | 4, 0x25);
      disp32(((WINDOW + random.below(WINDOW_SIZE)) & (this.#aligned ? ~15 : ~0)) - bias);
      return { bytes, rex, prefixes };
    }
    if (random.oneIn(16)) prefixes.push(0x67);
    if (kind === 1) {
      bytes.push(reg | 5);
      // Right to within the instruction's length.
      disp32(WINDOW + 32 + random.below(WINDOW_SIZE - 64) - CODE - bias);
      return { bytes, rex, prefixes };
    }
    if (b & 8) rex |= 0x41;
    const wide = random.oneIn(3);
    const mod = wide ? 2 : bias === 0 && (b & 7) !== 5 && random.oneIn(3) ? 0 : bias === 0 ? 1 : 2;
    const displacement = mod === 0 ? 0 : (random.below(96) - 48) & (this.#aligned ? ~15 : ~0);
    if (kind < 4) {
      const scale = random.below(4);
      if (index & 8) rex |= 0x42;
      bytes.push((mod << 6) | reg | 4, (scale << 6) | ((index & 7) << 3) | (b & 7));
    } else if ((b & 7) === 4) {
      bytes.push((mod << 6) | reg | 4, 0x24);
    } else {
      bytes.push((mod << 6) | reg | (b & 7));
    }
    if (mod === 1) bytes.push(displacement & 255);
    else if (mod === 2) disp32(displacement - bias);
    return { bytes, rex, prefixes };
  }

  #allowed(i: Instruction, pointers: readonly number[], undefinedFlags: number, sequence: boolean): boolean {
    if ((i.flagsRead & undefinedFlags) !== 0) return false;
    for (const operand of i.operands) {
      if (operand.kind === 'reg' && operand.file === 'gpr') {
        if (pointers.includes(operand.index)) return false;
        if (operand.index === 4 && !operand.high && !this.#random.oneIn(6)) return false;
      }
    }
    if (sequence && (i.op === 'leave' || i.op === 'enter') && !this.#random.oneIn(4)) return false;
    // Nesting levels are not implemented.
    if (i.op === 'enter' && i.operands[1]?.kind === 'imm' && (i.operands[1].value & 31n) !== 0n) return false;
    // By more than 16 bits the result is undefined.
    if ((i.op === 'shld' || i.op === 'shrd') && i.size === 2) {
      const count = i.operands[2]!;
      if (count.kind !== 'imm' || (Number(count.value) & 31) > 16) return false;
    }
    return true;
  }

  #undefinedAfter(i: Instruction, before: number): number {
    const count = i.operands[1];
    // By a multiple of 9 or 17 bits: AMD's processors change OF, which is undefined, Intel's nothing.
    const around = /^rc[lr]$/.test(i.op) && i.size <= 2 && count?.kind === 'imm' && (count.value & 31n) > 1n;
    return (before & ~i.flagsWritten) | i.flagsUndefined | (around ? OF : 0);
  }

  /** Makes the last instruction's indirect branch, return or popf find something sensible. */
  #aim(i: Instruction, gpr: BigUint64Array, window: Uint8Array, end: number): void {
    const view = new DataView(window.buffer);
    if (this.#random.oneIn(4)) return;
    if (i.flow === 'ret') {
      const at = Number(gpr[4]) - WINDOW;
      if (at >= 0 && at + 8 <= WINDOW_SIZE) view.setBigUint64(at, BigInt(end), true);
    } else if (i.flow === 'jump-indirect' || i.flow === 'call-indirect') {
      const operand = i.operands[0]!;
      if (operand.kind === 'reg') gpr[operand.index] = BigInt(end);
      else if (operand.kind === 'mem') {
        let address = operand.disp + (operand.segment === 'gs' ? GS_BASE : 0);
        if (operand.base >= 0) address += Number(gpr[operand.base]);
        if (operand.index >= 0) address += Number(gpr[operand.index]) * operand.scale;
        const at = address - WINDOW;
        if (at >= 0 && at + 8 <= WINDOW_SIZE) view.setBigUint64(at, BigInt(end), true);
      }
    }
  }
}
