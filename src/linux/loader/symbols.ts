/**
 * The functions of an ELF file by address: from .symtab where there is one, else from .dynsym. A file without either, or
 * with headers that are wrong, has none: symbols are for people, and nothing that runs depends on them.
 * Source: System V ABI, chapter 4 (sections, symbol table).
 */

import { ElfError, PT_LOAD, parseElf, type Segment } from './elf.ts';

export interface FunctionSymbol {
  readonly name: string;
  /** In the file's own addresses, as the segments have them. */
  readonly start: number;
  readonly end: number;
}

export type ReadFile = (offset: number, length: number) => Uint8Array;

const SECTION_SIZE = 64;
const SYMBOL_SIZE = 24;
const SHT_SYMTAB = 2;
const SHT_DYNSYM = 11;
const SHF_EXECINSTR = 4;
const STT_NOTYPE = 0;
const STT_FUNC = 2;
const STT_GNU_IFUNC = 10;
const SHN_UNDEF = 0;
const SECTIONS_MAX = 0xff00;
/** Of one table: the largest programs have a tenth. */
const TABLE_BYTES_MAX = 1 << 28;

interface Section {
  readonly type: number;
  readonly flags: number;
  readonly address: number;
  readonly offset: number;
  readonly size: number;
  readonly link: number;
}

export class SymbolTable {
  readonly #segments: readonly Segment[];
  /** Ascending, disjoint. */
  readonly #functions: readonly FunctionSymbol[];

  private constructor(segments: readonly Segment[], functions: readonly FunctionSymbol[]) {
    this.#segments = segments;
    this.#functions = functions;
  }

  /** Null: no ELF file. */
  static of(read: ReadFile): SymbolTable | null {
    try {
      const { segments } = parseElf(read);
      return new SymbolTable(
        segments.filter(({ type }) => type === PT_LOAD),
        functionsOf(read),
      );
    } catch (error) {
      if (error instanceof ElfError) return null;
      throw error;
    }
  }

  /** The file's own address of what stands at `offset` in the file; null: no segment has it. */
  addressOf(offset: number): number | null {
    const segment = this.#segments.find((one) => offset >= one.offset && offset < one.offset + one.fileSize);
    return segment === undefined ? null : segment.address + offset - segment.offset;
  }

  /** The function that `address` is in. */
  find(address: number): FunctionSymbol | null {
    let low = 0;
    let high = this.#functions.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#functions[middle]!.end > address) high = middle;
      else low = middle + 1;
    }
    const found = this.#functions[low];
    return found !== undefined && found.start <= address ? found : null;
  }
}

function functionsOf(read: ReadFile): FunctionSymbol[] {
  const sections = sectionsOf(read);
  const table = sections.find(({ type }) => type === SHT_SYMTAB) ?? sections.find(({ type }) => type === SHT_DYNSYM);
  if (table === undefined || table.size > TABLE_BYTES_MAX) return [];
  const strings = sections[table.link];
  if (strings === undefined || strings.size > TABLE_BYTES_MAX) return [];
  return disjoint(entries(read(table.offset, table.size), read(strings.offset, strings.size), sections), sections);
}

function sectionsOf(read: ReadFile): Section[] {
  const head = read(0, 64);
  const header = new DataView(head.buffer, head.byteOffset, head.length);
  const offset = Number(header.getBigUint64(40, true));
  const count = header.getUint16(60, true);
  if (header.getUint16(58, true) !== SECTION_SIZE || count === 0 || count > SECTIONS_MAX) return [];
  const bytes = read(offset, count * SECTION_SIZE);
  if (bytes.length < count * SECTION_SIZE) return [];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return Array.from({ length: count }, (_, i): Section => {
    const at = i * SECTION_SIZE;
    const number = (field: number): number => Number(view.getBigUint64(at + field, true));
    return {
      type: view.getUint32(at + 4, true),
      flags: number(8),
      address: number(16),
      offset: number(24),
      size: number(32),
      link: view.getUint32(at + 40, true),
    };
  });
}

interface Entry extends FunctionSymbol {
  /** Of several names for one place the best is taken: one with a size, then a global one, then the shortest. */
  readonly rank: number;
}

function entries(table: Uint8Array, strings: Uint8Array, sections: readonly Section[]): Entry[] {
  const view = new DataView(table.buffer, table.byteOffset, table.length);
  const decoder = new TextDecoder();
  const found: Entry[] = [];
  for (let at = 0; at + SYMBOL_SIZE <= table.length; at += SYMBOL_SIZE) {
    const type = table[at + 4]! & 15;
    if (type !== STT_FUNC && type !== STT_GNU_IFUNC && type !== STT_NOTYPE) continue;
    const section = view.getUint16(at + 6, true);
    if (section === SHN_UNDEF || section >= sections.length) continue;
    // What assembly has written is of no type, and so are marks in data.
    if (type === STT_NOTYPE && (sections[section]!.flags & SHF_EXECINSTR) === 0) continue;
    const nameAt = view.getUint32(at, true);
    const nameEnd = strings.indexOf(0, nameAt);
    if (nameEnd <= nameAt) continue;
    const start = Number(view.getBigUint64(at + 8, true));
    const size = Number(view.getBigUint64(at + 16, true));
    const isGlobal = table[at + 4]! >>> 4 !== 0;
    found.push({
      name: decoder.decode(strings.subarray(nameAt, nameEnd)),
      start,
      end: start + size,
      rank: (size > 0 ? 2 : 0) + (isGlobal ? 1 : 0),
    });
  }
  return found;
}

/** One name for each address. Without a size a function goes on to the next one, or to its section's end. */
function disjoint(found: Entry[], sections: readonly Section[]): FunctionSymbol[] {
  found.sort(
    (a, b) => a.start - b.start || b.rank - a.rank || a.name.length - b.name.length || (a.name < b.name ? -1 : 1),
  );
  const firsts = found.filter(({ start }, i) => i === 0 || found[i - 1]!.start !== start);
  return firsts.map(({ name, start, end }, i) => {
    const next = firsts[i + 1]?.start ?? Number.POSITIVE_INFINITY;
    const ownEnd = end > start ? end : sectionEnd(sections, start);
    return { name, start, end: Math.min(ownEnd, next) };
  });
}

function sectionEnd(sections: readonly Section[], address: number): number {
  const section = sections.find(
    ({ flags, address: start, size }) => (flags & SHF_EXECINSTR) !== 0 && address >= start && address < start + size,
  );
  return section === undefined ? address : section.address + section.size;
}
