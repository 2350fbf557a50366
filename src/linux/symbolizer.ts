/**
 * What a guest address is called: the function of the mapped file that stands there, or the file and an offset. Reads the
 * files as the guest has them; nothing of the guest's state changes by it.
 */

import type { Inode } from './fs/inode.ts';
import { SymbolTable } from './loader/symbols.ts';
import { offsetAt } from './mm/areas.ts';
import type { MemoryMap } from './mm/memory-map.ts';

export interface Place {
  /** The mapped file's path, or what the map calls the area ('[heap]', '[anon]'); '[unmapped]'. */
  readonly module: string;
  /** Null: there is no symbol for it. */
  readonly symbol: string | null;
  /** In the function; without one the ELF file's own address (as objdump shows it), or the offset in the file or area. */
  readonly offset: number;
}

export class Symbolizer {
  /** Null: no ELF file. */
  readonly #tables = new WeakMap<Inode, SymbolTable | null>();

  find(map: MemoryMap, address: number): Place {
    const area = map.find(address);
    if (area === null) return { module: '[unmapped]', symbol: null, offset: address };
    const { file } = area;
    if (file === null) return { module: area.name || '[anon]', symbol: null, offset: address - area.start };
    const offset = offsetAt(area, address);
    const table = this.#table(file.inode);
    const own = table?.addressOf(offset) ?? null;
    const found = own === null ? null : table!.find(own);
    if (found !== null) return { module: file.path, symbol: found.name, offset: own! - found.start };
    return { module: file.path, symbol: null, offset: own ?? offset };
  }

  #table(inode: Inode): SymbolTable | null {
    let table = this.#tables.get(inode);
    if (table === undefined) {
      // A mapped file's content is there. Where it is not, reading would bring it into the guest's state.
      table = inode.complete ? SymbolTable.of((offset, length) => inode.read(offset, length)) : null;
      this.#tables.set(inode, table);
    }
    return table;
  }
}

/** `main+0x12 (/usr/bin/cat)`, or `/usr/bin/cat+0x2f10` without a symbol. */
export function placeText({ module, symbol, offset }: Place): string {
  const hex = `+0x${offset.toString(16)}`;
  return symbol === null ? `${module}${hex}` : `${symbol}${offset === 0 ? '' : hex} (${module})`;
}
