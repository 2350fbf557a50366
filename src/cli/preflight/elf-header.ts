/**
 * What an executable file is, from its first bytes, in words that help. Only what is asked before a start; the loader
 * proper is in linux/. elf(5), System V ABI.
 */

import { OperatorError } from '../errors.ts';
import type { FileBytes } from './guest-files.ts';

const ELFCLASS64 = 2;
const ELFDATA2LSB = 1;
const EM_X86_64 = 62;
const ET_EXEC = 2;
const ET_DYN = 3;
const HEADER_SIZE = 64;
/** Read of every file: the header, and enough to say what it is instead. */
const HEAD_SIZE = 512;
const PROGRAM_HEADER_SIZE = 56;
const PT_DYNAMIC = 2;
const PT_INTERP = 3;
const PT_LOAD = 1;
const DT_NEEDED = 1;
const DT_STRTAB = 5;
const DT_STRSZ = 10;
const DT_RPATH = 15;
const DT_RUNPATH = 29;

const ELF_TYPES: Readonly<Record<number, string>> = { 1: 'an object file (.o), not linked', 4: 'a core dump' };

/** elf.h's EM_*, those that a user may meet. */
const MACHINES: Readonly<Record<number, string>> = {
  3: 'i386',
  8: 'MIPS',
  20: 'PowerPC',
  21: 'ppc64',
  22: 's390x',
  40: 'ARM (32-bit)',
  43: 'SPARC64',
  183: 'aarch64 (ARM64)',
  243: 'RISC-V',
  258: 'LoongArch',
};

export interface ElfFacts {
  /** PT_INTERP, or null for a static program. */
  readonly interpreter: string | null;
  readonly needed: readonly string[];
  readonly rpath: readonly string[];
  readonly runpath: readonly string[];
}

/** Does the content begin with a script's "#!"? Its interpreter (execve(2): one optional argument follows it). */
export function scriptInterpreter(file: FileBytes): string | null {
  const bytes = file.read(0, 256);
  if (bytes[0] !== 0x23 || bytes[1] !== 0x21) return null;
  const end = bytes.indexOf(10);
  const line = latin1(bytes.subarray(2, end < 0 ? bytes.length : end)).trim();
  return line.split(/[ \t]/)[0] || null;
}

/** Throws TG_NOT_ELF, TG_ELF_32BIT, TG_ELF_MACHINE or TG_BAD_ELF with what would do. `path` is for the message. */
export function inspectElf(path: string, file: FileBytes): ElfFacts {
  const bytes = file.read(0, HEAD_SIZE);
  if (latin1(bytes.subarray(0, 4)) !== '\x7fELF') throw notElf(path, bytes);
  if (bytes.length < 20) throw badElf(path, `is cut short after ${bytes.length} bytes`);
  const view = viewOf(bytes);
  const littleEndian = bytes[5] === ELFDATA2LSB;
  const machine = view.getUint16(18, littleEndian);
  if (machine !== EM_X86_64) {
    const name = MACHINES[machine] ?? `machine ${machine}`;
    if (bytes[4] !== ELFCLASS64) throw elf32(path, name);
    throw new OperatorError(
      'TG_ELF_MACHINE',
      `${path} is built for ${name}; Tardigrade runs x86-64 programs`,
      'Give the x86-64 (amd64) build of the program, on any host. A whole amd64 file tree can be given with --rootfs DIR.',
    );
  }
  // An x32 program has x86-64's machine and 32-bit pointers.
  if (bytes[4] !== ELFCLASS64) throw elf32(path, 'x32');
  if (bytes.length < HEADER_SIZE) throw badElf(path, `is cut short after ${bytes.length} bytes`);
  const type = view.getUint16(16, true);
  if (type !== ET_EXEC && type !== ET_DYN) throw badElf(path, `is ${ELF_TYPES[type] ?? `of ELF type ${type}`}`);
  return readFacts(path, view, file);
}

function readFacts(path: string, header: DataView, file: FileBytes): ElfFacts {
  const tableAt = readOffset(path, header, 32);
  const count = header.getUint16(56, true);
  if (header.getUint16(54, true) !== PROGRAM_HEADER_SIZE && count > 0) {
    throw badElf(path, 'has program headers of an unknown size');
  }
  if (count === 0) throw badElf(path, 'has no program headers, so nothing to load');
  if (tableAt + count * PROGRAM_HEADER_SIZE > file.length) throw badElf(path, 'is cut short in its program headers');

  let interpreter: string | null = null;
  let dynamic: { at: number; size: number } | null = null;
  const view = viewOf(file.read(tableAt, count * PROGRAM_HEADER_SIZE));
  const loads: { offset: number; address: number; size: number }[] = [];
  for (let i = 0; i < count; i++) {
    const at = i * PROGRAM_HEADER_SIZE;
    const kind = view.getUint32(at, true);
    if (kind !== PT_LOAD && kind !== PT_DYNAMIC && kind !== PT_INTERP) continue;
    const offset = readOffset(path, view, at + 8);
    const size = readOffset(path, view, at + 32);
    if (offset + size > file.length) throw badElf(path, 'is cut short: a segment ends after the file does');
    if (kind === PT_LOAD) loads.push({ offset, address: Number(view.getBigUint64(at + 16, true)), size });
    if (kind === PT_DYNAMIC) dynamic = { at: offset, size };
    if (kind === PT_INTERP) interpreter = latin1(file.read(offset, size)).replace(/\0.*$/s, '');
  }
  if (loads.length === 0) throw badElf(path, 'has nothing to load');
  const strings = dynamic === null ? null : readDynamic(file, dynamic, loads);
  return { interpreter, needed: [], rpath: [], runpath: [], ...strings };
}

function readDynamic(
  file: FileBytes,
  dynamic: { at: number; size: number },
  loads: readonly { offset: number; address: number; size: number }[],
): Omit<ElfFacts, 'interpreter'> {
  const entries: [tag: number, value: number][] = [];
  const view = viewOf(file.read(dynamic.at, dynamic.size));
  for (let at = 0; at + 16 <= view.byteLength; at += 16) {
    const tag = Number(view.getBigInt64(at, true));
    if (tag === 0) break;
    entries.push([tag, Number(view.getBigUint64(at + 8, true))]);
  }
  const firstOf = (wanted: number) => entries.find(([tag]) => tag === wanted)?.[1];
  const address = firstOf(DT_STRTAB);
  const size = firstOf(DT_STRSZ) ?? 0;
  const load = loads.find((l) => address !== undefined && address >= l.address && address < l.address + l.size);
  if (address === undefined || load === undefined) return { needed: [], rpath: [], runpath: [] };
  const from = address - load.address + load.offset;
  const table = file.read(from, Math.max(0, Math.min(size, file.length - from)));
  const stringsOf = (wanted: number) =>
    entries
      .filter(([tag, offset]) => tag === wanted && offset < table.length)
      .map(([, offset]) => cString(table, offset));
  const paths = (wanted: number) => stringsOf(wanted).flatMap((list) => list.split(':').filter((p) => p !== ''));
  return { needed: stringsOf(DT_NEEDED), rpath: paths(DT_RPATH), runpath: paths(DT_RUNPATH) };
}

function cString(table: Uint8Array, offset: number): string {
  const end = table.indexOf(0, offset);
  return latin1(table.subarray(offset, end < 0 ? table.length : end));
}

/** A 64-bit file offset or size; one beyond 2^53 is beyond any file. */
function readOffset(path: string, view: DataView, at: number): number {
  const value = view.getBigUint64(at, true);
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw badElf(path, 'has an offset beyond the end of the file');
  return Number(value);
}

function badElf(path: string, what: string): OperatorError {
  return new OperatorError('TG_BAD_ELF', `${path} ${what}`, 'Give a linked x86-64 executable, undamaged.');
}

function elf32(path: string, machine: string): OperatorError {
  return new OperatorError(
    'TG_ELF_32BIT',
    `${path} is a 32-bit program (${machine}); Tardigrade runs 64-bit x86-64 programs`,
    'Install its amd64 build (Debian: apt-get install PACKAGE:amd64), or build it without -m32.',
  );
}

function notElf(path: string, bytes: Uint8Array): OperatorError {
  const head = latin1(bytes.subarray(0, 4));
  const magic = bytes.length >= 4 ? new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0, false) : 0;
  let what = 'not an ELF program';
  if (bytes.length === 0) what = 'an empty file';
  else if (head.startsWith('MZ')) what = 'a Windows program (PE)';
  else if ([0xfeedface, 0xfeedfacf, 0xcefaedfe, 0xcffaedfe, 0xcafebabe].includes(magic)) {
    what = 'a macOS program (Mach-O) or a Java class';
  } else if (head.startsWith('PK')) what = 'a zip or jar archive';
  else if (isText(bytes)) what = 'a text file without "#!" in its first line';
  return new OperatorError(
    'TG_NOT_ELF',
    `${path} is ${what}; Tardigrade runs Linux x86-64 ELF programs`,
    'Name the program that interprets it, for example: -- /bin/sh FILE, -- /usr/bin/java -jar FILE',
  );
}

function isText(bytes: Uint8Array): boolean {
  return bytes.every((byte) => byte >= 32 || (byte >= 9 && byte <= 13));
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
}
