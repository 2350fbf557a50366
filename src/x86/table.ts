/**
 * The instruction table, parsed: `FORMS` for tests, fuzzer and documents, `formsOf` for the decoder. The rows stand in
 * table-rows.ts; what they do to the arithmetic flags and to the control flow, which belongs to the mnemonic, stands here.
 */

import type { Flow } from './instruction.ts';
import { AF, ARITHMETIC_FLAGS, CF, OF, PF, SF, ZF } from './state.ts';
import { type Area, ROWS } from './table-rows.ts';

export type { Area } from './table-rows.ts';

export interface OperandSpec {
  /** Addressing letter and type letter of table-rows.ts. */
  readonly at: string;
  readonly type: string;
}

export interface Form {
  /** Position in FORMS. */
  readonly id: number;
  readonly area: Area;
  /** 0x00 … 0xff the one-byte map, 0x100 … the 0f map, 0x200 … 0f38, 0x300 … 0f3a; the first of the range with `plus`. */
  readonly opcode: number;
  /** Register (8 opcodes) or condition (16 opcodes) in the opcode's low bits. */
  readonly plus: 'none' | 'r' | 'cc';
  readonly prefix: 'any' | 'np' | '66' | 'f3' | 'f2';
  /** modrm.reg, or -1. */
  readonly digit: number;
  /** The whole modrm byte, or -1. */
  readonly modrm: number;
  /** `ignored`: modrm.rm is a register whatever it says. */
  readonly mod: 'any' | 'mem' | 'reg' | 'ignored';
  readonly hasModrm: boolean;
  readonly op: string;
  /** The mnemonic with REX.W, or null where it is the same. */
  readonly opW: string | null;
  readonly operands: readonly OperandSpec[];
  readonly lock: boolean;
  /** Operation size is the stack's width. */
  readonly stackSize: boolean;
  readonly flow: Flow;
  readonly flagsRead: number;
  readonly flagsWritten: number;
  readonly flagsUndefined: number;
  /** The row as written. */
  readonly text: string;
}

interface FlagEffect {
  readonly read?: number;
  readonly written?: number;
  readonly undefined?: number;
}

const ALL = ARITHMETIC_FLAGS;

/** SDM vol. 1, appendix A "EFLAGS Cross-Reference". */
const FLAGS: Record<string, FlagEffect> = {
  add: { written: ALL },
  sub: { written: ALL },
  cmp: { written: ALL },
  neg: { written: ALL },
  xadd: { written: ALL },
  cmpxchg: { written: ALL },
  adc: { read: CF, written: ALL },
  sbb: { read: CF, written: ALL },
  inc: { written: ALL & ~CF },
  dec: { written: ALL & ~CF },
  and: { written: ALL & ~AF, undefined: AF },
  or: { written: ALL & ~AF, undefined: AF },
  xor: { written: ALL & ~AF, undefined: AF },
  test: { written: ALL & ~AF, undefined: AF },
  mul: { written: CF | OF, undefined: SF | ZF | AF | PF },
  imul: { written: CF | OF, undefined: SF | ZF | AF | PF },
  div: { undefined: ALL },
  idiv: { undefined: ALL },
  bt: { written: CF, undefined: OF | SF | AF | PF },
  bts: { written: CF, undefined: OF | SF | AF | PF },
  btr: { written: CF, undefined: OF | SF | AF | PF },
  btc: { written: CF, undefined: OF | SF | AF | PF },
  bsf: { written: ZF, undefined: CF | OF | SF | AF | PF },
  bsr: { written: ZF, undefined: CF | OF | SF | AF | PF },
  cmpxchg8b: { written: ZF },
  lar: { written: ZF },
  lsl: { written: ZF },
  verr: { written: ZF },
  verw: { written: ZF },
  popcnt: { written: ALL },
  // Shifts by a nonzero count; the decoder adjusts to immediate counts and to CL (see `shiftFlags`).
  shl: { written: ALL & ~(AF | OF), undefined: AF | OF },
  shr: { written: ALL & ~(AF | OF), undefined: AF | OF },
  sar: { written: ALL & ~(AF | OF), undefined: AF | OF },
  shld: { written: ALL & ~(AF | OF), undefined: AF | OF },
  shrd: { written: ALL & ~(AF | OF), undefined: AF | OF },
  rol: { written: CF, undefined: OF },
  ror: { written: CF, undefined: OF },
  rcl: { read: CF, written: CF, undefined: OF },
  rcr: { read: CF, written: CF, undefined: OF },
  clc: { written: CF },
  stc: { written: CF },
  cmc: { read: CF, written: CF },
  lahf: { read: ALL & ~OF },
  sahf: { written: ALL & ~OF },
  pushf: { read: ALL },
  popf: { written: ALL },
  syscall: { read: ALL },
  loope: { read: ZF },
  loopne: { read: ZF },
  cmps: { written: ALL },
  scas: { written: ALL },
  ucomiss: { written: ALL },
  ucomisd: { written: ALL },
  comiss: { written: ALL },
  comisd: { written: ALL },
  ptest: { written: ALL },
  pcmpestrm: { written: ALL },
  pcmpestri: { written: ALL },
  pcmpistrm: { written: ALL },
  pcmpistri: { written: ALL },
  fcomi: { written: ALL },
  fcomip: { written: ALL },
  fucomi: { written: ALL },
  fucomip: { written: ALL },
  fcmovb: { read: CF },
  fcmove: { read: ZF },
  fcmovbe: { read: CF | ZF },
  fcmovu: { read: PF },
  fcmovnb: { read: CF },
  fcmovne: { read: ZF },
  fcmovnbe: { read: CF | ZF },
  fcmovnu: { read: PF },
};

const FLOW: Record<string, Flow> = {
  jcc: 'branch',
  loop: 'branch',
  loope: 'branch',
  loopne: 'branch',
  jrcxz: 'branch',
  ret: 'ret',
  syscall: 'syscall',
  ud0: 'trap',
  ud1: 'trap',
  ud2: 'trap',
  int: 'trap',
  int1: 'trap',
  int3: 'trap',
};

/** Flags that condition `cc` reads (SDM vol. 2, appendix B.1). */
export const CONDITION_FLAGS: readonly number[] = [OF, CF, ZF, CF | ZF, SF, PF, SF | OF, SF | OF | ZF].flatMap((f) => [
  f,
  f,
]);

const QUALIFIERS = new Set(['np', '66', 'f3', 'f2', 'mem', 'reg']);
const MODRM_OPERANDS = 'EGMRVWUPQNSTKD';

/** What stands before the last byte of an opcode, by bits 8 … of the form's. */
export const MAPS = ['', '0f', '0f38', '0f3a'];
/** One more than the largest opcode. */
export const OPCODES = MAPS.length << 8;

function parse(area: Area, text: string, id: number): Form {
  const tokens = text.split(/\s+/);
  let opcodeText = tokens.shift()!;
  let plus: Form['plus'] = 'none';
  if (opcodeText.includes('+')) {
    const [hex, kind] = opcodeText.split('+') as [string, 'r' | 'cc'];
    opcodeText = hex;
    plus = kind;
  }
  const opcode = Number.parseInt(opcodeText.slice(-2), 16) | (MAPS.indexOf(opcodeText.slice(0, -2)) << 8);
  let prefix: Form['prefix'] = 'any';
  let digit = -1;
  let modrm = -1;
  let mod: Form['mod'] = 'any';
  for (;;) {
    const token = tokens[0]!;
    if (token.startsWith('/')) digit = Number(token.slice(1));
    else if (token.startsWith('=')) modrm = Number.parseInt(token.slice(1), 16);
    else if (!QUALIFIERS.has(token)) break;
    else if (token === 'mem' || token === 'reg') mod = token;
    else prefix = token as Form['prefix'];
    tokens.shift();
  }
  const [op, opW = null] = tokens.shift()!.split('|') as [string, string?];
  const operandText = tokens.shift() ?? '-';
  const attributes = new Set(tokens);
  if (operandText === 'lock' || operandText === 'wp') throw new Error(`table row without operands: ${text}`);
  const operands = operandText === '-' ? [] : operandText.split(',').map((o) => ({ at: o[0]!, type: o.slice(1) }));
  if (operands.some((o) => o.at === 'R')) mod = 'ignored';
  const indirect = (op === 'jmp' || op === 'call') && operands[0]!.at === 'E';
  const flags = FLAGS[op] ?? {};
  let flow: Flow = FLOW[op] ?? 'next';
  if (area === 'privileged') flow = 'trap';
  else if (op === 'jmp') flow = indirect ? 'jump-indirect' : 'jump';
  else if (op === 'call') flow = indirect ? 'call-indirect' : 'call';
  return {
    id,
    area,
    opcode,
    plus,
    prefix,
    digit,
    modrm,
    mod,
    hasModrm: digit >= 0 || modrm >= 0 || mod !== 'any' || operands.some((o) => MODRM_OPERANDS.includes(o.at)),
    op,
    opW,
    operands,
    lock: attributes.has('lock'),
    stackSize: attributes.has('wp'),
    flow,
    flagsRead: flags.read ?? 0,
    flagsWritten: flags.written ?? 0,
    flagsUndefined: flags.undefined ?? 0,
    text,
  };
}

/** Every instruction form. */
export const FORMS: readonly Form[] = ROWS.flatMap(([area, rows]) =>
  rows
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '')
    .map((line): [Area, string] => [area, line]),
).map(([area, line], id) => parse(area, line, id));

/** Forms by opcode, those naming the whole modrm byte or a mandatory prefix first. */
const BY_OPCODE: Form[][] = Array.from({ length: OPCODES }, () => []);
for (const form of FORMS) {
  const count = form.plus === 'r' ? 8 : form.plus === 'cc' ? 16 : 1;
  for (let i = 0; i < count; i++) BY_OPCODE[form.opcode + i]!.push(form);
}
for (const forms of BY_OPCODE) {
  const weight = (form: Form) => (form.modrm >= 0 ? 2 : 0) + (form.prefix === 'any' ? 0 : 1);
  forms.sort((a, b) => weight(b) - weight(a) || a.id - b.id);
}

/** The forms that an opcode may be; empty: an undefined opcode. */
export function formsOf(opcode: number): readonly Form[] {
  return BY_OPCODE[opcode]!;
}
