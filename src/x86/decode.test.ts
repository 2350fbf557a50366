/** The decoder against iced-x86: random encodings of every row, and whole libraries by linear sweep. */

import { existsSync, readFileSync } from 'node:fs';
import {
  CpuidFeature,
  Decoder,
  Instruction as IcedInstruction,
  MemorySizeExt,
  Mnemonic,
  OpKind,
  Register,
} from 'iced-x86';
import { expect, test } from 'vitest';
import { Random } from '../../test/cpu/random.ts';
import { decode, isDecodeError } from './decode.ts';
import type { Instruction, MemoryOperand, Operand } from './instruction.ts';
import { AF, CF, OF, PF, SF, ZF } from './state.ts';
import { FORMS, type Form, MAPS } from './table.ts';

const CC = ['o', 'no', 'b', 'ae', 'e', 'ne', 'be', 'a', 's', 'ns', 'p', 'np', 'l', 'ge', 'le', 'g'];
const SIZE_SUFFIX: Record<number, string> = { 1: 'b', 2: 'w', 4: 'd', 8: 'q' };
const ALIAS: Record<string, string> = {
  sal: 'shl',
  wait: 'fwait',
  xlatb: 'xlat',
  pushfq: 'pushf',
  popfq: 'popf',
  reservednop: 'nop',
  prefetchnta: 'prefetch',
  prefetcht0: 'prefetch',
  prefetcht1: 'prefetch',
  prefetcht2: 'prefetch',
  prefetchw: 'prefetch',
  prefetchwt1: 'prefetch',
  prefetchreserved: 'prefetch',
};

function mnemonic(i: Instruction): string {
  if (i.cc >= 0) return i.op.slice(0, -2) + CC[i.cc];
  if (FORMS[i.form]!.area === 'string') return i.op + SIZE_SUFFIX[i.size];
  return i.op === 'mov_seg' ? 'mov' : i.op;
}

function icedMnemonic(i: IcedInstruction): string {
  const name = Mnemonic[i.mnemonic]!.toLowerCase();
  return ALIAS[name] ?? name;
}

const NAMES8 = ['AL', 'CL', 'DL', 'BL', 'SPL', 'BPL', 'SIL', 'DIL'];
const NAMES16 = ['AX', 'CX', 'DX', 'BX', 'SP', 'BP', 'SI', 'DI'];

function gprName(index: number, size: number): string {
  if (size === 1) return index < 8 ? NAMES8[index]! : `R${index}L`;
  if (size === 2) return index < 8 ? NAMES16[index]! : `R${index}W`;
  if (index < 8) return (size === 4 ? 'E' : 'R') + NAMES16[index];
  return size === 4 ? `R${index}D` : `R${index}`;
}

function memoryText(m: MemoryOperand): string {
  const base = m.base < 0 ? '' : gprName(m.base, m.addressSize);
  const index = m.index < 0 ? '' : gprName(m.index, m.addressSize);
  return `[${base} ${index}*${m.scale} ${BigInt.asUintN(m.addressSize * 8, BigInt(m.disp))} ${m.segment}] ${m.size}`;
}

function operandText(o: Operand): string {
  switch (o.kind) {
    case 'target':
      return `target ${BigInt.asUintN(64, BigInt(o.address))}`;
    case 'imm':
      return `imm ${BigInt.asUintN(64, o.value)}`;
    case 'mem':
      return memoryText(o);
    default:
      if (o.high) return `${NAMES8[o.index]![0]}H`;
      if (o.file === 'gpr') return gprName(o.index, o.size);
      if (o.file === 'xmm') return `XMM${o.index}`;
      if (o.file === 'mmx') return `MM${o.index}`;
      if (o.file === 'st') return `ST${o.index}`;
      return ['ES', 'CS', 'SS', 'DS', 'FS', 'GS'][o.index]!;
  }
}

/** iced's AL added to XLAT's base is not an operand here. */
function icedOperandText(i: IcedInstruction, n: number): string {
  const kind = i.opKind(n);
  const segment = i.segmentPrefix === Register.FS ? 'fs' : i.segmentPrefix === Register.GS ? 'gs' : 'none';
  const size = MemorySizeExt.size(i.memorySize);
  const implicit = (register: string, segmented: boolean) =>
    `[${register} *1 0 ${segmented ? segment : 'none'}] ${size}`;
  const value = (v: bigint) => `imm ${BigInt.asUintN(64, v)}`;
  switch (kind) {
    case OpKind.Register:
      return Register[i.opRegister(n)]!;
    case OpKind.NearBranch64:
      return `target ${i.nearBranch64}`;
    case OpKind.Memory: {
      const ripRelative = i.memoryBase === Register.RIP || i.memoryBase === Register.EIP;
      const base = i.memoryBase === Register.None || ripRelative ? '' : Register[i.memoryBase]!;
      const index = i.memoryIndex === Register.None || i.memoryIndex === Register.AL ? '' : Register[i.memoryIndex]!;
      const scale = index === '' ? 1 : i.memoryIndexScale;
      return `[${base} ${index}*${scale} ${BigInt.asUintN(64, i.memoryDisplacement)} ${segment}] ${size}`;
    }
    case OpKind.MemorySegRSI:
      return implicit('RSI', true);
    case OpKind.MemorySegESI:
      return implicit('ESI', true);
    case OpKind.MemoryESRDI:
      return implicit('RDI', false);
    case OpKind.MemoryESEDI:
      return implicit('EDI', false);
    case OpKind.MemorySegRDI:
      return implicit('RDI', true);
    case OpKind.MemorySegEDI:
      return implicit('EDI', true);
    case OpKind.Immediate8:
      return value(BigInt(i.immediate8));
    case OpKind.Immediate8_2nd:
      return value(BigInt(i.immediate8_2nd));
    case OpKind.Immediate16:
      return value(BigInt(i.immediate16));
    case OpKind.Immediate32:
      return value(BigInt(i.immediate32));
    case OpKind.Immediate64:
      return value(i.immediate64);
    case OpKind.Immediate8to16:
      return value(BigInt(i.immediate8to16));
    case OpKind.Immediate8to32:
      return value(BigInt(i.immediate8to32));
    case OpKind.Immediate8to64:
      return value(i.immediate8to64);
    case OpKind.Immediate32to64:
      return value(i.immediate32to64);
    default:
      return `kind ${OpKind[kind]}`;
  }
}

/** iced gives immediates unsigned at the operand's size; ours are signed. */
function sameOperand(ours: Operand, op: string, text: string, theirs: string): boolean {
  if (text === theirs) return true;
  // Only 8, 16 or 32 bits are read, or written with zeros above, whatever the register is called.
  if (/^(p(ins|ext)r[bw]|extractps|mov_seg|ver[rw])$/.test(op) && ours.kind === 'reg' && ours.file === 'gpr')
    return true;
  // An address of 64 bits, far above any that is mapped: exact to 53 bits.
  if (op === 'mov' && ours.kind === 'mem' && Math.abs(ours.disp) >= 2 ** 53) {
    return Math.abs(Number(text.split(' ')[2]) - Number(theirs.split(' ')[2])) < 4096;
  }
  if (ours.kind !== 'imm' || !theirs.startsWith('imm ')) return false;
  return BigInt.asUintN(ours.size * 8, ours.value) === BigInt(theirs.slice(4));
}

const ICED_FLAG: readonly (readonly [number, number])[] = [
  [1, OF],
  [2, SF],
  [4, ZF],
  [8, AF],
  [16, CF],
  [32, PF],
];

function flagsOf(bits: number): number {
  let flags = 0;
  for (const [theirs, ours] of ICED_FLAG) if (bits & theirs) flags |= ours;
  return flags;
}

const FEATURES = new Set(
  [
    'INTEL8086 INTEL8086_ONLY INTEL186 INTEL286 INTEL286_ONLY INTEL386 INTEL386_ONLY INTEL386_A0_ONLY INTEL486',
    'INTEL486_A_ONLY X64 CLFSH CMOV CMPXCHG16B CPUID CX8 FPU FPU287 FPU287XL_ONLY FPU387 FPU387SL_ONLY FXSR MMX MSR',
    'MULTIBYTENOP PAUSE PREFETCHW RDPMC SMX SEP SSE SSE2 SYSCALL TSC UDBG CET_IBT',
    'SSE3 SSSE3 SSE4_1 SSE4_2 POPCNT',
  ]
    .join(' ')
    .split(' '),
);

function isKnown(i: IcedInstruction): boolean {
  return [...i.cpuidFeatures()].every((f) => FEATURES.has(CpuidFeature[f]!));
}

/** Null where both agree, else what differs. */
function compare(ours: ReturnType<typeof decode>, theirs: IcedInstruction): string | null {
  const text = Mnemonic[theirs.mnemonic]!;
  if (isDecodeError(ours)) return theirs.isInvalid || !isKnown(theirs) ? null : `${ours.error} where iced has ${text}`;
  // Of these the table has no operands.
  if (FORMS[ours.form]!.area === 'privileged' || /^(push|pop)_seg$/.test(ours.op)) return null;
  if (theirs.isInvalid) return `${ours.op} where iced has nothing`;
  if (!isKnown(theirs)) return null;
  if (ours.length !== theirs.length) return `${ours.op}: length ${ours.length}, iced ${theirs.length}`;
  // Hints are all the same to us.
  if (ours.op === 'prefetch' || ours.op === 'nop')
    return /nop|prefetch/.test(icedMnemonic(theirs)) ? null : 'not a nop';
  if (mnemonic(ours) !== icedMnemonic(theirs)) return `mnemonic ${mnemonic(ours)}, iced ${icedMnemonic(theirs)}`;
  if (ours.operands.length !== theirs.opCount)
    return `${ours.op}: ${ours.operands.length} operands, iced ${theirs.opCount}`;
  for (let n = 0; n < ours.operands.length; n++) {
    const operand = ours.operands[n]!;
    const a = operandText(operand);
    const b = icedOperandText(theirs, n);
    if (!sameOperand(operand, ours.op, a, b)) return `${ours.op}: operand ${n} is ${a}, iced ${b}`;
  }
  return null;
}

function compareFlags(ours: Instruction, theirs: IcedInstruction): string | null {
  const area = FORMS[ours.form]!.area;
  const written = flagsOf(theirs.rflagsWritten | theirs.rflagsCleared | theirs.rflagsSet);
  const undefinedFlags = flagsOf(theirs.rflagsUndefined);
  const read = flagsOf(theirs.rflagsRead);
  const text = (r: number, w: number, u: number) =>
    `read ${r.toString(16)} written ${w.toString(16)} undefined ${u.toString(16)}`;
  const ok =
    area === 'privileged' ||
    ours.op === 'syscall' ||
    ((read & ~ours.flagsRead) === 0 &&
      (ours.flagsWritten | ours.flagsUndefined) === (written | undefinedFlags) &&
      (ours.flagsWritten & ~written) === 0);
  if (ok) return null;
  const a = text(ours.flagsRead, ours.flagsWritten, ours.flagsUndefined);
  return `${ours.op}: ${a}, iced ${text(read, written, undefinedFlags)}`;
}

/** Random bytes that begin as an encoding of the form: prefixes, opcode, modrm; the rest is random too. */
function randomBytes(form: Form, random: Random): Uint8Array {
  const bytes: number[] = [];
  const prefixes = [0x66, 0x67, 0xf2, 0xf3, 0xf0, 0x64, 0x65, 0x2e, 0x36, 0x3e, 0x26];
  while (random.oneIn(4)) bytes.push(random.pick(prefixes));
  if (form.prefix === '66' || form.prefix === 'f2' || form.prefix === 'f3')
    bytes.push(Number.parseInt(form.prefix, 16));
  if (random.oneIn(2)) bytes.push(0x40 | random.below(16));
  bytes.push(...Buffer.from(MAPS[form.opcode >> 8]!, 'hex'));
  const low = form.plus === 'r' ? random.below(8) : form.plus === 'cc' ? random.below(16) : 0;
  bytes.push((form.opcode & 0xff) + low);
  if (form.modrm >= 0) bytes.push(form.modrm);
  else if (form.hasModrm) {
    let modrm = random.below(256);
    if (form.mod === 'reg') modrm |= 0xc0;
    if (form.mod === 'mem' && modrm >= 0xc0) modrm -= 0x40;
    if (form.digit >= 0) modrm = (modrm & 0xc7) | (form.digit << 3);
    bytes.push(modrm);
  }
  while (bytes.length < 24) bytes.push(random.below(256));
  return Uint8Array.from(bytes);
}

function differences(found: Map<string, string>): string {
  return [...found].map(([what, bytes]) => `${what}   ${bytes}`).join('\n');
}

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');

test('random encodings of every row, as iced decodes them', () => {
  const seed = Number(process.env.SEED ?? 1);
  console.log(`seed ${seed}`);
  const random = new Random(seed);
  const found = new Map<string, string>();
  const theirs = new IcedInstruction();
  for (const form of FORMS) {
    for (let n = 0; n < 60; n++) {
      const bytes = randomBytes(form, random);
      const rip = 0x40_0000;
      const decoder = new Decoder(64, bytes, 0);
      decoder.ip = BigInt(rip);
      decoder.decodeOut(theirs);
      const ours = decode(bytes, 0, rip);
      const difference = compare(ours, theirs);
      if (difference) found.set(`${form.text}: ${difference}`, hex(bytes));
      else if (!isDecodeError(ours) && !theirs.isInvalid && isKnown(theirs)) {
        const flags = compareFlags(ours, theirs);
        if (flags) found.set(`${form.text}: ${flags}`, hex(bytes));
      }
      decoder.free();
    }
  }
  expect(differences(found)).toBe('');
});

function textSection(path: string): { bytes: Uint8Array; address: number } {
  const file = readFileSync(path);
  const sections = Number(file.readBigUInt64LE(40));
  const count = file.readUInt16LE(60);
  const names = sections + file.readUInt16LE(62) * 64;
  const strings = Number(file.readBigUInt64LE(names + 24));
  for (let i = 0; i < count; i++) {
    const header = sections + i * 64;
    const at = strings + file.readUInt32LE(header);
    if (file.toString('latin1', at, at + 6) !== '.text\0') continue;
    const offset = Number(file.readBigUInt64LE(header + 24));
    const size = Number(file.readBigUInt64LE(header + 32));
    return { bytes: file.subarray(offset, offset + size), address: Number(file.readBigUInt64LE(header + 16)) };
  }
  throw new Error('no .text');
}

const LIBRARIES = ['/usr/bin/redis-server', '/lib/x86_64-linux-gnu/libc.so.6', '/lib/x86_64-linux-gnu/libm.so.6'];

for (const path of LIBRARIES) {
  test.skipIf(!existsSync(path))(
    `linear sweep of ${path}`,
    () => {
      const { bytes, address } = textSection(path);
      const found = new Map<string, string>();
      const theirs = new IcedInstruction();
      const decoder = new Decoder(64, bytes, 0);
      decoder.ip = BigInt(address);
      // A slice from the middle at most: whole files take half a minute.
      const from = process.env.SWEEP_ALL ? 0 : Math.floor(bytes.length / 4);
      const end = process.env.SWEEP_ALL ? bytes.length - 15 : Math.min(bytes.length - 15, from + 250_000);
      decoder.position = from;
      decoder.ip = BigInt(address + from);
      let count = 0;
      let different = 0;
      while (decoder.position < end) {
        const position = decoder.position;
        decoder.decodeOut(theirs);
        count++;
        const ours = decode(bytes, position, address + position);
        const difference = compare(ours, theirs);
        if (difference) {
          different++;
          if (found.size < 50) found.set(difference, hex(bytes.subarray(position, position + 15)));
        }
      }
      decoder.free();
      console.log(`${path}: ${count} instructions, ${different} differences`);
      expect(differences(found)).toBe('');
    },
    120_000,
  );
}

test('truncated, too long, unknown', () => {
  expect(decode(Uint8Array.of(0x48, 0x8b), 0, 0)).toMatchObject({ error: 'truncated' });
  expect(decode(new Uint8Array(20).fill(0x66), 0, 0)).toMatchObject({ error: 'too-long' });
  expect(decode(Uint8Array.of(0x06, 0, 0), 0, 0)).toMatchObject({ error: 'unknown' });
  expect(decode(Uint8Array.of(0xf0, 0x90, 0), 0, 0)).toMatchObject({ error: 'unknown' });
});
