/**
 * Writes WebAssembly modules byte by byte: `ModuleBuilder` for the sections, `Code` for a function's instructions.
 * Nothing is checked here: WebAssembly.Module validates. No garbage is made per instruction.
 *
 *     const m = new ModuleBuilder();
 *     m.importMemory('env', 'memory', 65536, 65536);
 *     const f = m.func(m.type(['i32', 'i32'], ['i32']));
 *     f.localGet(0).localGet(1).i32Add().end();
 *     m.exportFunc('add', f.index);
 *     const module = new WebAssembly.Module(m.build());
 *
 * Source: WebAssembly Core Specification 2.0, chapter 5 "Binary Format"; tail calls: WebAssembly 3.0.
 */

import { ByteWriter } from './bytes.ts';
import { Code } from './code.ts';
import { VALUE_TYPE, type ValueType } from './opcodes.ts';

export type { BlockType } from './code.ts';
export { Code } from './code.ts';
export type { ValueType } from './opcodes.ts';

interface FunctionType {
  readonly params: number;
  readonly bytes: Uint8Array;
}

/** A module under construction. Imports must be declared before the first function of the same kind is defined. */
export class ModuleBuilder {
  readonly #types: FunctionType[] = [];
  readonly #typeIndex = new Map<string, number>();
  readonly #imports = new ByteWriter();
  #importCount = 0;
  #importedFuncs = 0;
  #importedTables = 0;
  #importedGlobals = 0;
  readonly #funcs: Code[] = [];
  readonly #funcTypes: number[] = [];
  readonly #tables = new ByteWriter();
  #tableCount = 0;
  readonly #globals = new ByteWriter();
  #globalCount = 0;
  readonly #exports = new ByteWriter();
  #exportCount = 0;
  readonly #elements = new ByteWriter();
  #elementCount = 0;
  #memory: ByteWriter | null = null;

  /** Index of a function type, made once. */
  type(params: readonly ValueType[], results: readonly ValueType[]): number {
    const key = `${params.join()}>${results.join()}`;
    const known = this.#typeIndex.get(key);
    if (known !== undefined) return known;
    const w = new ByteWriter(16);
    w.byte(0x60);
    w.u32(params.length);
    for (const type of params) w.byte(VALUE_TYPE[type]);
    w.u32(results.length);
    for (const type of results) w.byte(VALUE_TYPE[type]);
    this.#types.push({ params: params.length, bytes: w.view() });
    this.#typeIndex.set(key, this.#types.length - 1);
    return this.#types.length - 1;
  }

  #import(module: string, name: string): ByteWriter {
    this.#importCount++;
    this.#imports.name(module);
    this.#imports.name(name);
    return this.#imports;
  }

  /** Pages of 64 KiB. */
  importMemory(module: string, name: string, min: number, max?: number): void {
    const w = this.#import(module, name);
    w.byte(0x02);
    limits(w, min, max);
  }

  /** A memory of the module's own. Pages of 64 KiB. */
  memory(min: number, max?: number): void {
    this.#memory = new ByteWriter(16);
    this.#memory.u32(1);
    limits(this.#memory, min, max);
  }

  /** A table of functions of a type (never null), or of funcref; returns its index. */
  importTable(module: string, name: string, min: number, max?: number, type = -1): number {
    const w = this.#import(module, name);
    w.byte(0x01);
    tableType(w, type);
    limits(w, min, max);
    return this.#importedTables++;
  }

  importGlobal(module: string, name: string, type: ValueType, mutable: boolean): number {
    const w = this.#import(module, name);
    w.byte(0x03);
    w.byte(VALUE_TYPE[type]);
    w.byte(mutable ? 1 : 0);
    return this.#importedGlobals++;
  }

  /** Returns the function's index. */
  importFunc(module: string, name: string, type: number): number {
    if (this.#funcs.length > 0) throw new Error('importFunc after func');
    const w = this.#import(module, name);
    w.byte(0x00);
    w.u32(type);
    return this.#importedFuncs++;
  }

  /** A new function; write its instructions up to the closing `end()`. */
  func(type: number, capacity?: number): Code {
    const code = new Code(this.#importedFuncs + this.#funcs.length, this.#types[type]!.params, capacity);
    this.#funcs.push(code);
    this.#funcTypes.push(type);
    return code;
  }

  table(min: number, max?: number): number {
    this.#tables.byte(VALUE_TYPE.funcref);
    limits(this.#tables, min, max);
    return this.#importedTables + this.#tableCount++;
  }

  /** A table of functions of a type, none of them null: at first all of them `initial`. */
  typedTable(type: number, initial: number, min: number, max?: number): number {
    const w = this.#tables;
    w.byte(0x40);
    w.byte(0);
    tableType(w, type);
    limits(w, min, max);
    w.byte(0xd2);
    w.u32(initial);
    w.byte(0x0b);
    return this.#importedTables + this.#tableCount++;
  }

  /** An i32 or i64 global of the module's own. */
  global(type: 'i32' | 'i64', mutable: boolean, initial: bigint | number): number {
    const w = this.#globals;
    w.byte(VALUE_TYPE[type]);
    w.byte(mutable ? 1 : 0);
    w.byte(type === 'i32' ? 0x41 : 0x42);
    if (type === 'i32') w.s32(Number(initial));
    else w.s64(initial);
    w.byte(0x0b);
    return this.#importedGlobals + this.#globalCount++;
  }

  /** An active element segment: functions placed in table `table` from `offset` at instantiation. */
  element(table: number, offset: number, funcs: readonly number[]): void {
    const w = this.#elements;
    this.#elementCount++;
    w.u32(2);
    w.u32(table);
    w.byte(0x41);
    w.s32(offset);
    w.byte(0x0b);
    w.byte(0);
    w.u32(funcs.length);
    for (const func of funcs) w.u32(func);
  }

  /** Functions named by ref.func must be declared (or exported, or in an element segment). */
  declare(funcs: readonly number[]): void {
    const w = this.#elements;
    this.#elementCount++;
    w.u32(3);
    w.byte(0);
    w.u32(funcs.length);
    for (const func of funcs) w.u32(func);
  }

  exportFunc(name: string, func: number): void {
    this.#export(name, 0, func);
  }

  exportTable(name: string, table: number): void {
    this.#export(name, 1, table);
  }

  exportMemory(name: string): void {
    this.#export(name, 2, 0);
  }

  #export(name: string, kind: number, index: number): void {
    this.#exportCount++;
    this.#exports.name(name);
    this.#exports.byte(kind);
    this.#exports.u32(index);
  }

  /** The module's bytes. */
  build(): Uint8Array<ArrayBuffer> {
    let size = 4096;
    for (const func of this.#funcs) size += func.length + 64;
    const out = new ByteWriter(size);
    for (const byte of [0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00]) out.byte(byte);
    const types = new ByteWriter();
    for (const type of this.#types) types.append(type.bytes);
    section(out, 1, this.#types.length, types);
    section(out, 2, this.#importCount, this.#imports);
    const funcs = new ByteWriter();
    for (const type of this.#funcTypes) funcs.u32(type);
    section(out, 3, this.#funcs.length, funcs);
    section(out, 4, this.#tableCount, this.#tables);
    if (this.#memory) {
      out.byte(5);
      out.u32(this.#memory.length);
      out.append(this.#memory.view());
    }
    section(out, 6, this.#globalCount, this.#globals);
    section(out, 7, this.#exportCount, this.#exports);
    section(out, 9, this.#elementCount, this.#elements);
    const code = new ByteWriter(size);
    for (const func of this.#funcs) {
      const { bytes } = func.body();
      code.u32(bytes.length);
      code.append(bytes);
    }
    section(out, 10, this.#funcs.length, code);
    return out.bytes.slice(0, out.length) as Uint8Array<ArrayBuffer>;
  }
}

/** funcref (-1), or (ref type). */
function tableType(w: ByteWriter, type: number): void {
  if (type < 0) {
    w.byte(VALUE_TYPE.funcref);
    return;
  }
  w.byte(0x64);
  w.s32(type);
}

function limits(w: ByteWriter, min: number, max: number | undefined): void {
  w.byte(max === undefined ? 0 : 1);
  w.u32(min);
  if (max !== undefined) w.u32(max);
}

function section(out: ByteWriter, id: number, count: number, content: ByteWriter): void {
  if (count === 0) return;
  const head = new ByteWriter(8);
  head.u32(count);
  out.byte(id);
  out.u32(head.length + content.length);
  out.append(head.view());
  out.append(content.view());
}
