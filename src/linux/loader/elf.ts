/** ELF64 headers, with every offset checked. Source: System V ABI, AMD64 supplement; elf(5). */

export class ElfError extends Error {
  /** TG_ELF_…: stable. */
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

export interface Segment {
  readonly type: number;
  /** PF_X 1, PF_W 2, PF_R 4. */
  readonly flags: number;
  readonly offset: number;
  readonly address: number;
  readonly fileSize: number;
  readonly memorySize: number;
}

export interface Elf {
  /** ET_DYN: goes anywhere. */
  readonly relocatable: boolean;
  readonly entry: number;
  readonly programHeaderOffset: number;
  readonly programHeaders: number;
  readonly segments: readonly Segment[];
  /** PT_INTERP, or null. */
  readonly interpreter: string | null;
  /** PT_GNU_STACK asks for it; without that header it is not (arch/x86/include/asm/elf.h). */
  readonly executableStack: boolean;
}

export const PT_LOAD = 1;
const PT_INTERP = 3;
export const PT_PHDR = 6;
const PT_GNU_STACK = 0x6474e551;
const PF_X = 1;
const ET_EXEC = 2;
const ET_DYN = 3;
const EM_X86_64 = 62;
const PHDR_SIZE = 56;

/** `read(offset, length)` gives the file's bytes, fewer at its end. Throws ElfError. */
export function parseElf(read: (offset: number, length: number) => Uint8Array): Elf {
  const head = read(0, 64);
  const view = new DataView(head.buffer, head.byteOffset, head.length);
  if (head.length < 20 || view.getUint32(0, false) !== 0x7f454c46)
    throw new ElfError('TG_ELF_MAGIC', 'not an ELF file');
  if (head[4] !== 2) throw new ElfError('TG_ELF_CLASS', 'a 32-bit program: only 64-bit ones run');
  if (head[5] !== 1 || view.getUint16(18, true) !== EM_X86_64)
    throw new ElfError(
      'TG_ELF_MACHINE',
      `a program for another machine (e_machine ${view.getUint16(18, head[5] === 1)})`,
    );
  if (head.length < 64) throw new ElfError('TG_ELF_TRUNCATED', 'the ELF header is cut off');
  const type = view.getUint16(16, true);
  if (type !== ET_EXEC && type !== ET_DYN) throw new ElfError('TG_ELF_TYPE', 'not a program (e_type)');
  const offset = Number(view.getBigUint64(32, true));
  const size = view.getUint16(54, true);
  const count = view.getUint16(56, true);
  if (size !== PHDR_SIZE || count === 0 || count > 512) throw new ElfError('TG_ELF_HEADERS', 'bad program headers');
  const table = read(offset, count * PHDR_SIZE);
  if (table.length < count * PHDR_SIZE) throw new ElfError('TG_ELF_TRUNCATED', 'the program headers are cut off');
  const headers = new DataView(table.buffer, table.byteOffset, table.length);
  const segments: Segment[] = [];
  let interpreter: string | null = null;
  for (let i = 0; i < count; i++) {
    const at = i * PHDR_SIZE;
    const number = (field: number): number => Number(headers.getBigUint64(at + field, true));
    const segment: Segment = {
      type: headers.getUint32(at, true),
      flags: headers.getUint32(at + 4, true),
      offset: number(8),
      address: number(16),
      fileSize: number(32),
      memorySize: number(40),
    };
    segments.push(segment);
    if (segment.type === PT_INTERP) {
      if (segment.fileSize < 2 || segment.fileSize > 4096) throw new ElfError('TG_ELF_HEADERS', 'bad PT_INTERP');
      const name = new TextDecoder().decode(read(segment.offset, segment.fileSize));
      interpreter = name.slice(0, Math.max(0, name.indexOf('\0')));
    }
    if (segment.type === PT_LOAD && (segment.fileSize > segment.memorySize || segment.memorySize > 0xffff_ffff))
      throw new ElfError('TG_ELF_HEADERS', 'bad PT_LOAD');
  }
  if (!segments.some(({ type: kind }) => kind === PT_LOAD)) throw new ElfError('TG_ELF_HEADERS', 'nothing to load');
  return {
    relocatable: type === ET_DYN,
    entry: Number(view.getBigUint64(24, true)),
    programHeaderOffset: offset,
    programHeaders: count,
    segments,
    interpreter,
    executableStack: segments.some((segment) => segment.type === PT_GNU_STACK && (segment.flags & PF_X) !== 0),
  };
}
