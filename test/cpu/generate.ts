/**
 * Random code for cases. A draft is one instruction, or several, of forms picked from the table; every operand encoding, prefix
 * and addressing mode of the SDM can come up, and now and then what is no instruction: a LOCK where none is allowed, more
 * than fifteen bytes. Three registers of a draft are pointers that its instructions do not write. initial.ts gives it
 * registers and memory, any number of times: the translation of the code costs more than running it.
 */

import { decode, isDecodeError } from '../../src/x86/decode.ts';
import type { Instruction } from '../../src/x86/instruction.ts';
import { OF } from '../../src/x86/state.ts';
import type { Form } from '../../src/x86/table.ts';
import { CODE, CODE_SIZE, type CpuCase, PAGE, TAIL_ABSENT, TAIL_READ_ONLY, TAIL_WRITABLE, type Tail } from './case.ts';
import { APPROXIMATE, APPROXIMATE_SSE } from './compare.ts';
import { Encoder, type Place, type Pointers } from './encode.ts';
import { InitialStates } from './initial.ts';
import type { Random } from './random.ts';

/** Forms that are not compared with the host's, and why. */
const NOT_COMPARED: Readonly<Record<string, string>> = {
  rdtsc: 'virtual time',
  cpuid: 'one model, whatever the host is (cpuid.test.ts)',
  sgdt: 'Linux emulates it where the processor has UMIP',
  sidt: 'Linux emulates it where the processor has UMIP',
  sldt: 'Linux emulates it where the processor has UMIP',
  smsw: 'Linux emulates it where the processor has UMIP',
  str: 'Linux emulates it where the processor has UMIP',
};

/**
 * AMD's processors leave C1 where the SDM has FCOMI and its kin clear it. A sequence has the first or the second of these,
 * so that C1 is not seen otherwise than in the status word at the end.
 */
const LEAVE_C1 = new Set('fcomi fcomip fucomi fucomip'.split(' '));
const READ_C1 = new Set(['fnstsw']);
/**
 * Not among others: these show the last opcode and its selectors, which processors keep or do not, …
 */
const ALONE = new Set(
  'fnstenv fnsave fxsave'.split(' ').concat(
    // … set flags that the generator does not follow, or end in another place, …
    'popf syscall int iret retf call_far jmp_far'.split(' '),
    // … are approximations.
    [...APPROXIMATE, ...APPROXIMATE_SSE],
  ),
);
/** Among x87 and MMX instructions only: the sticky flags of SSE instructions before them may differ. */
const IMAGE = /^fx(save|rstor)(64)?$/;
/** Where MXCSR is never the default, sticky flags are kept. */
const MXCSR = new Set(['ldmxcsr', 'stmxcsr']);

/** Why forms like this are not compared; null: they are. */
export function whyNotCompared(form: Form): string | null {
  return NOT_COMPARED[form.op] ?? null;
}

export interface GenerateOptions {
  /** Forms to draw from. */
  readonly forms: readonly Form[];
  /** Longest sequence. */
  readonly maxLength: number;
}

/** What is decided before the instructions are drawn. */
interface Common extends Place {
  /** The form that it is for. */
  readonly head: Form;
  readonly tail: Tail;
  /** MXCSR is at its default when it begins; else it never is. */
  readonly plainMxcsr: boolean;
}

export interface Draft extends Common {
  readonly code: Uint8Array;
  readonly boundaries: readonly (readonly [number, number])[];
  readonly forms: readonly number[];
  /** A register that counts a loop's rounds, or -1. */
  readonly counter: number;
  /** The last instruction of a straight line: where it goes the initial state says. */
  readonly last: Instruction | null;
}

export class Generator {
  readonly #random: Random;
  readonly #options: GenerateOptions;
  readonly #encoder: Encoder;
  readonly #states: InitialStates;
  readonly #plain: readonly Form[];
  readonly #images: readonly Form[];
  /** Mnemonics that the sequence does not have. */
  #excluded: ReadonlySet<string> = LEAVE_C1;

  constructor(random: Random, options: GenerateOptions) {
    this.#random = random;
    this.#options = options;
    this.#encoder = new Encoder(random);
    this.#states = new InitialStates(random);
    this.#plain = options.forms.filter(({ op }) => !ALONE.has(op) && !IMAGE.test(op));
    // Conversions between MMX and XMM registers set sticky flags.
    const isX87 = ({ op, area }: Form): boolean => area === 'x87' || (area === 'mmx' && !op.startsWith('cvt'));
    this.#images = options.forms.filter((form) => (isX87(form) && !ALONE.has(form.op)) || /^fxrstor/.test(form.op));
  }

  /** A case of any form. */
  case(): CpuCase {
    return this.state(this.draft(this.#random.pick(this.#options.forms)));
  }

  /** A case of a draft. */
  state(draft: Draft): CpuCase {
    return this.#states.of(draft);
  }

  /** Code with an instruction of the form: alone, in a straight line, or in a program with branches. */
  draft(head: Form): Draft {
    const random = this.#random;
    // rbx, rbp, r8 … r15 have no implicit uses but leave and enter.
    const candidates = head.op === 'xlat' ? [3, 5, 8, 9] : [3, 5, 8, 9, 10, 11, 12, 13, 14, 15];
    const pointers: number[] = head.op === 'xlat' ? [3] : [];
    while (pointers.length < 3) {
      const r = random.pick(candidates);
      if (!pointers.includes(r)) pointers.push(r);
    }
    this.#excluded = random.oneIn(2) ? LEAVE_C1 : READ_C1;
    const among = !ALONE.has(head.op) && !this.#excluded.has(head.op) && !head.op.startsWith('fxsave');
    const common: Common = {
      head,
      pointers: pointers as unknown as Pointers,
      // Now and then over the end of its page.
      place: random.oneIn(32) ? PAGE - 1 - random.below(24) : random.oneIn(4) ? random.below(1024) : 0,
      aligned: !random.oneIn(4),
      tail: random.pick([TAIL_ABSENT, TAIL_ABSENT, TAIL_READ_ONLY, TAIL_WRITABLE]),
      plainMxcsr: MXCSR.has(head.op) && among ? random.oneIn(4) : random.oneIn(2),
    };
    const alone = !among || random.oneIn(2) || (MXCSR.has(head.op) && common.plainMxcsr);
    if (alone) {
      const broken = random.oneIn(32) ? this.#broken(head, common) : null;
      if (broken !== null) return broken;
      return this.#line(head, common, 1);
    }
    const length = 1 + random.below(this.#options.maxLength);
    return random.oneIn(2) ? this.#program(head, common, length * 2) : this.#line(head, common, length);
  }

  /** Forms that may stand with the head. */
  #company(head: Form, plainMxcsr: boolean): readonly Form[] {
    const images = head.op.startsWith('fxrstor') || (['x87', 'mmx'].includes(head.area) && this.#random.oneIn(4));
    const forms = images ? this.#images : this.#plain;
    return plainMxcsr ? forms.filter(({ op }) => !MXCSR.has(op)) : forms;
  }

  #straight(head: Form, plainMxcsr: boolean): readonly Form[] {
    const straight = this.#company(head, plainMxcsr).filter((f) => f.flow === 'next' && f.area !== 'privileged');
    return straight.length > 0 ? straight : [head];
  }

  /** An instruction with a LOCK that it must not have, or too long. Null: there is none of the form. */
  #broken(head: Form, common: Common): Draft | null {
    const random = this.#random;
    const made = this.#instruction(head, common, common.pointers, 0, false);
    if (made === null) return null;
    const long = random.oneIn(3);
    const bytes = long ? [...new Array(15).fill(0x2e), ...made.bytes] : [0xf0, ...made.bytes];
    // To AMD's processors LOCK MOV CR0 is MOV CR8.
    const decoded = decode(Uint8Array.from(bytes), 0, CODE);
    if (!isDecodeError(decoded) || head.op === 'mov_cr') return null;
    const code = Uint8Array.from([...bytes, 0x0f, 0x0b]);
    return {
      ...common,
      place: Math.min(common.place, PAGE - 64),
      code,
      boundaries: [
        [0, 0],
        [bytes.length, 0],
      ],
      forms: [head.id],
      counter: -1,
      last: null,
    };
  }

  /** An instruction of the form with its bytes, or null where none was found that may stand here. */
  #instruction(form: Form, place: Place, reserved: readonly number[], undefinedFlags: number, among: boolean) {
    if (among && (this.#excluded.has(form.op) || ALONE.has(form.op))) return null;
    for (let attempt = 0; attempt < 20; attempt++) {
      const draft = this.#encoder.form(form, place);
      const bytes = Uint8Array.from([...draft, 0x0f, 0x0b]);
      const decoded = decode(bytes, 0, CODE + place.place);
      if (isDecodeError(decoded) || decoded.form !== form.id || decoded.length !== draft.length) continue;
      if (this.#allowed(decoded, reserved, undefinedFlags, among)) return { bytes: draft, decoded };
    }
    return null;
  }

  /** Straight-line code; a branch jumps over an UD2. */
  #line(head: Form, common: Common, length: number): Draft {
    const code: number[] = [];
    const forms: number[] = [];
    const boundaries: [number, number][] = [];
    /** Of the UD2 behind calls, where a return leads with the flags as they are there. */
    const returns: number[] = [];
    let undefinedFlags = 0;
    let last: Instruction | null = null;
    const company = length === 1 ? [head] : this.#company(head, common.plainMxcsr);
    for (let n = 0; n < length && code.length < CODE_SIZE - 40; n++) {
      const form = n === 0 || company.length === 0 ? head : this.#random.pick(company);
      const place = { ...common, place: common.place + code.length };
      const made = this.#instruction(form, place, common.pointers, undefinedFlags, length > 1);
      if (made === null) continue;
      boundaries.push([code.length, undefinedFlags]);
      code.push(...made.bytes);
      if (made.decoded.flow === 'ret') for (const i of returns) boundaries[i]![1] |= undefinedFlags;
      if (made.decoded.operands[0]?.kind === 'target') {
        if (made.decoded.flow === 'call') returns.push(boundaries.length);
        boundaries.push([code.length, undefinedFlags]);
        code.push(0x0f, 0x0b);
      }
      forms.push(form.id);
      undefinedFlags = this.#undefinedAfter(made.decoded, undefinedFlags);
      last = made.decoded;
    }
    boundaries.push([code.length, undefinedFlags]);
    code.push(0x0f, 0x0b);
    return { ...common, code: Uint8Array.from(code), boundaries, forms, counter: -1, last };
  }

  /**
   * Code with branches forwards and backwards, calls and a function. A comparison stands behind every instruction that
   * leaves flags undefined, so that they are defined whichever way control comes.
   */
  #program(head: Form, common: Common, length: number): Draft {
    const random = this.#random;
    const counter = random.pick([3, 8, 9, 10, 11, 12, 13, 14, 15].filter((r) => !common.pointers.includes(r)));
    const reserved = [...common.pointers, counter];
    const code: number[] = [];
    const forms: number[] = [];
    const boundaries: [number, number][] = [];
    /** Places of 32-bit displacements to be filled with the offset of a later boundary. */
    const open: number[] = [];
    const calls: number[] = [];
    const straight = this.#straight(head, common.plainMxcsr);
    const fill = (place: number, target: number) => {
      const disp = target - place - 4;
      for (let i = 0; i < 4; i++) code[place + i] = (disp >> (8 * i)) & 255;
    };
    const instructions = (count: number) => {
      for (let n = 0; n < count && code.length < CODE_SIZE - 60; n++) {
        const form = forms.length === 0 && head.flow === 'next' ? head : random.pick(straight);
        const made = this.#instruction(form, { ...common, place: common.place + code.length }, reserved, 0, true);
        if (made === null) continue;
        boundaries.push([code.length, 0]);
        code.push(...made.bytes);
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
    return { ...common, code: Uint8Array.from(code), boundaries, forms, counter, last: null };
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
    // AMD's processors look for so many bytes more on the stack first.
    if (i.op === 'retf' && i.operands[0]?.kind === 'imm' && i.operands[0].value > 64n) return false;
    // A system call of the 32-bit interface.
    if (i.op === 'int' && i.operands[0]?.kind === 'imm' && (i.operands[0].value & 0xffn) === 0x80n) return false;
    // To AMD's processors a far pointer with REX.W has an offset of 32 bits, as without.
    if (/^l[sfg]s$/.test(i.op) && i.size === 8) return false;
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
}
