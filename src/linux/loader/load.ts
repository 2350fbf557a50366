/**
 * Puts a program into an empty memory map: segments, interpreter, initial stack (argv, envp, auxiliary vector).
 * Source: System V ABI, AMD64 supplement, 3.4.1; fs/binfmt_elf.c.
 */

import { PAGE_SIZE, PROT_EXEC, PROT_READ, PROT_WRITE } from '../../lvm/layout.ts';
import { HWCAP } from '../../x86/cpuid.ts';
import type { Inode } from '../fs/inode.ts';
import { pageUp } from '../mm/areas.ts';
import { MAP_ANONYMOUS, MAP_FIXED, MAP_PRIVATE, type MemoryMap, STACK_SIZE, STACK_TOP } from '../mm/memory-map.ts';
import { type Elf, ElfError, PT_LOAD, PT_PHDR, parseElf } from './elf.ts';

const PIE_BASE = 0x1000_0000;

const AT = {
  NULL: 0,
  PHDR: 3,
  PHENT: 4,
  PHNUM: 5,
  PAGESZ: 6,
  BASE: 7,
  FLAGS: 8,
  ENTRY: 9,
  UID: 11,
  EUID: 12,
  GID: 13,
  EGID: 14,
  PLATFORM: 15,
  HWCAP: 16,
  CLKTCK: 17,
  SECURE: 23,
  RANDOM: 25,
  HWCAP2: 26,
  EXECFN: 31,
  MINSIGSTKSZ: 51,
} as const;

const MINSIGSTKSZ = 1008;

export interface ProgramFile {
  readonly inode: Inode;
  readonly path: string;
}

export interface LoadRequest {
  readonly program: ProgramFile;
  /** Opens the interpreter named by the program; throws ElfError. */
  readonly openInterpreter: (path: string) => ProgramFile;
  readonly args: readonly Uint8Array[];
  readonly env: readonly Uint8Array[];
  /** AT_EXECFN. */
  readonly fileName: Uint8Array;
  /** 16 bytes for AT_RANDOM. */
  readonly random: Uint8Array;
}

export interface Loaded {
  readonly entry: number;
  readonly stackPointer: number;
  /** Where arguments, environment and auxiliary vector stand: [address, length]. */
  readonly argRange: readonly [number, number];
  readonly envRange: readonly [number, number];
  readonly auxRange: readonly [number, number];
}

/** Throws ElfError (TG_ELF_…, TG_NO_MEMORY). */
export function loadProgram(map: MemoryMap, request: LoadRequest): Loaded {
  const { program } = request;
  const elf = parseElf((offset, length) => program.inode.read(offset, length));
  const bias = loadSegments(map, program, elf, elf.relocatable ? PIE_BASE : 0, true);
  let entry = elf.entry + bias;
  let base = 0;
  if (elf.interpreter !== null) {
    const file = request.openInterpreter(elf.interpreter);
    const interpreter = parseElf((offset, length) => file.inode.read(offset, length));
    base = loadSegments(map, file, interpreter, interpreter.relocatable ? -1 : 0, false);
    entry = interpreter.entry + base;
  }
  const end = Math.max(...loads(elf).map((segment) => segment.address + segment.memorySize)) + bias;
  map.setBrk(end);
  const stack = map.map({
    address: STACK_TOP - STACK_SIZE,
    length: STACK_SIZE,
    prot: PROT_READ | PROT_WRITE | (elf.executableStack ? PROT_EXEC : 0),
    flags: MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
    name: '[stack]',
  });
  if (stack < 0) throw new ElfError('TG_NO_MEMORY', 'not enough memory for the stack');
  const header = elf.segments.find((segment) => segment.type === PT_PHDR);
  const first = loads(elf).find(
    ({ offset, fileSize }) => elf.programHeaderOffset >= offset && elf.programHeaderOffset < offset + fileSize,
  );
  const headers = header?.address ?? (first === undefined ? 0 : first.address + elf.programHeaderOffset - first.offset);
  return { entry, ...buildStack(map, request, elf, headers + bias, elf.entry + bias, base) };
}

function loads(elf: Elf): Elf['segments'] {
  return elf.segments.filter((segment) => segment.type === PT_LOAD);
}

/** Maps the PT_LOAD segments; `base` -1: anywhere. Returns what is added to the file's addresses. */
function loadSegments(map: MemoryMap, file: ProgramFile, elf: Elf, base: number, fixed: boolean): number {
  const segments = loads(elf);
  const low = Math.floor(Math.min(...segments.map((s) => s.address)) / PAGE_SIZE) * PAGE_SIZE;
  const high = pageUp(Math.max(...segments.map((s) => s.address + s.memorySize)));
  let bias = base;
  if (!fixed && base === -1) {
    // Reserve the whole span first, so that the segments keep their distances.
    const at = map.map({ address: 0, length: high - low, prot: 0, flags: MAP_PRIVATE | MAP_ANONYMOUS });
    if (at < 0) throw new ElfError('TG_NO_MEMORY', `no room for ${file.path}`);
    bias = at - low;
  }
  for (const segment of segments) {
    const prot =
      ((segment.flags & 4) !== 0 ? PROT_READ : 0) |
      ((segment.flags & 2) !== 0 ? PROT_WRITE : 0) |
      ((segment.flags & 1) !== 0 ? PROT_EXEC : 0);
    const skew = segment.address % PAGE_SIZE;
    if ((segment.offset - skew) % PAGE_SIZE !== 0) throw new ElfError('TG_ELF_HEADERS', 'a segment is not aligned');
    const start = segment.address - skew + bias;
    const fileEnd = segment.address + segment.fileSize + bias;
    const end = pageUp(segment.address + segment.memorySize + bias);
    const filePages = segment.fileSize === 0 ? start : pageUp(fileEnd);
    if (filePages > start) {
      const at = map.map({
        address: start,
        length: filePages - start,
        prot,
        flags: MAP_PRIVATE | MAP_FIXED,
        file: { inode: file.inode, offset: segment.offset - skew, path: file.path },
      });
      if (at < 0) throw new ElfError('TG_NO_MEMORY', `${file.path} does not fit at 0x${start.toString(16)}`);
      // What the file has behind the segment must read as zero where memory goes on.
      if (segment.memorySize > segment.fileSize && filePages > fileEnd) {
        map.space.poke(fileEnd, new Uint8Array(filePages - fileEnd));
      }
    }
    if (end > filePages) {
      const flags = MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS;
      const at = map.map({ address: filePages, length: end - filePages, prot, flags });
      if (at < 0) throw new ElfError('TG_NO_MEMORY', `${file.path} does not fit at 0x${filePages.toString(16)}`);
    }
  }
  return bias;
}

function buildStack(
  map: MemoryMap,
  request: LoadRequest,
  elf: Elf,
  headers: number,
  entry: number,
  base: number,
): Omit<Loaded, 'entry'> {
  const { space } = map;
  // (Above the stack there is nothing: to read in the last page takes a longer check.)
  let top = STACK_TOP - PAGE_SIZE - 8;
  const push = (bytes: Uint8Array): number => {
    top -= bytes.length;
    space.poke(top, bytes);
    return top;
  };
  const strings = (list: readonly Uint8Array[]): { addresses: number[]; range: [number, number] } => {
    const end = top;
    const addresses = [...list].reverse().map((text) => {
      top--;
      return push(text);
    });
    return { addresses: addresses.reverse(), range: [top, end - top] };
  };
  top--;
  const name = push(request.fileName);
  const env = strings(request.env);
  const args = strings(request.args);
  top--;
  const platform = push(new TextEncoder().encode('x86_64'));
  top &= ~15;
  top >>>= 0;
  const random = push(request.random);
  const auxv: [number, number][] = [
    [AT.HWCAP, HWCAP],
    [AT.PAGESZ, PAGE_SIZE],
    [AT.CLKTCK, 100],
    [AT.PHDR, headers],
    [AT.PHENT, 56],
    [AT.PHNUM, elf.programHeaders],
    [AT.BASE, base],
    [AT.FLAGS, 0],
    [AT.ENTRY, entry],
    [AT.UID, 0],
    [AT.EUID, 0],
    [AT.GID, 0],
    [AT.EGID, 0],
    [AT.SECURE, 0],
    [AT.RANDOM, random],
    [AT.HWCAP2, 0],
    [AT.EXECFN, name],
    [AT.PLATFORM, platform],
    [AT.MINSIGSTKSZ, MINSIGSTKSZ],
    [AT.NULL, 0],
  ];
  const words = [args.addresses.length, ...args.addresses, 0, ...env.addresses, 0, ...auxv.flat()];
  const sp = top - words.length * 8 - ((top - words.length * 8) % 16);
  if (sp < STACK_TOP - STACK_SIZE / 4) throw new ElfError('TG_ARGS_TOO_LONG', 'arguments and environment are too long');
  const bytes = new DataView(new ArrayBuffer(words.length * 8));
  for (const [i, word] of words.entries()) bytes.setBigUint64(i * 8, BigInt(word), true);
  space.poke(sp, new Uint8Array(bytes.buffer));
  const aux = sp + (args.addresses.length + env.addresses.length + 3) * 8;
  return { stackPointer: sp, argRange: args.range, envRange: env.range, auxRange: [aux, auxv.length * 16] };
}
