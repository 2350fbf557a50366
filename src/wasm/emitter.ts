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

import {
  LANE,
  type LaneOp,
  MEMORY,
  MEMORY_LANE,
  type MemoryLaneOp,
  type MemoryOp,
  SIMPLE,
  type SimpleOp,
  VALUE_TYPE,
  type ValueType,
} from './opcodes.ts';

export type { ValueType } from './opcodes.ts';

/** A block's type: nothing, one result, or the index of a function type (parameters and several results). */
export type BlockType = ValueType | 'void' | number;

const BLOCK_VOID = 0x40;

/** A growing run of bytes with LEB128. */
export class ByteWriter {
  bytes: Uint8Array;
  length = 0;

  constructor(capacity = 256) {
    this.bytes = new Uint8Array(capacity);
  }

  #grow(more: number): void {
    let capacity = this.bytes.length * 2;
    while (capacity < this.length + more) capacity *= 2;
    const bigger = new Uint8Array(capacity);
    bigger.set(this.bytes);
    this.bytes = bigger;
  }

  byte(value: number): void {
    if (this.length === this.bytes.length) this.#grow(1);
    this.bytes[this.length++] = value;
  }

  append(source: Uint8Array): void {
    if (this.length + source.length > this.bytes.length) this.#grow(source.length);
    this.bytes.set(source, this.length);
    this.length += source.length;
  }

  /** Unsigned LEB128 of an integer below 2^32. */
  u32(value: number): void {
    let v = value >>> 0;
    while (v >= 0x80) {
      this.byte((v & 0x7f) | 0x80);
      v >>>= 7;
    }
    this.byte(v);
  }

  /** Signed LEB128 of a 32-bit integer (unsigned ones are taken modulo 2^32). */
  s32(value: number): void {
    let v = value | 0;
    while (v < -64 || v > 63) {
      this.byte((v & 0x7f) | 0x80);
      v >>= 7;
    }
    this.byte(v & 0x7f);
  }

  /** Signed LEB128 of a 64-bit integer (unsigned bigints are taken modulo 2^64; numbers must be safe integers). */
  s64(value: bigint | number): void {
    if (typeof value === 'number') {
      if (value === (value | 0)) {
        this.s32(value);
        return;
      }
      let v = value;
      while (v < -64 || v > 63) {
        const low = ((v % 128) + 128) % 128;
        this.byte(low | 0x80);
        v = (v - low) / 128;
      }
      this.byte(((v % 128) + 128) % 128);
      return;
    }
    let v = BigInt.asIntN(64, value);
    if (v >= -0x8000_0000n && v <= 0x7fff_ffffn) {
      this.s32(Number(v));
      return;
    }
    while (v < -64n || v > 63n) {
      this.byte(Number(v & 0x7fn) | 0x80);
      v >>= 7n;
    }
    this.byte(Number(v & 0x7fn));
  }

  f32(value: number): void {
    FLOAT.setFloat32(0, value, true);
    for (let i = 0; i < 4; i++) this.byte(FLOAT.getUint8(i));
  }

  f64(value: number): void {
    FLOAT.setFloat64(0, value, true);
    for (let i = 0; i < 8; i++) this.byte(FLOAT.getUint8(i));
  }

  name(text: string): void {
    this.u32(text.length);
    for (let i = 0; i < text.length; i++) this.byte(text.charCodeAt(i));
  }

  /** The bytes written so far; a view. */
  view(): Uint8Array {
    return this.bytes.subarray(0, this.length);
  }
}

const FLOAT = new DataView(new ArrayBuffer(8));

type SimpleMethods = { [K in SimpleOp]: () => Code };
type MemoryMethods = { [K in MemoryOp]: (offset?: number, align?: number) => Code };
type MemoryLaneMethods = { [K in MemoryLaneOp]: (lane: number, offset?: number) => Code };
type LaneMethods = { [K in LaneOp]: (lane: number) => Code };

// The methods are made from the opcode tables at the end of this file.
export interface Code extends SimpleMethods, MemoryMethods, MemoryLaneMethods, LaneMethods {}

/**
 * One function's instructions. Every opcode is a method (`i32Add()`, `i64Load(offset)`, `i32x4ExtractLane(lane)`), besides
 * the ones written out below. Labels are counted by `depth`: 0 is the function's body.
 */
// biome-ignore lint/suspicious/noUnsafeDeclarationMerging: see above
export class Code {
  readonly w: ByteWriter;
  /** Function index in the module. */
  readonly index: number;
  /** Open blocks; a block opened at depth d has relative label `depth - d - 1`. */
  depth = 0;
  readonly params: number;
  readonly #locals: number[] = [];

  constructor(index: number, params: number, capacity = 1024) {
    this.index = index;
    this.params = params;
    this.w = new ByteWriter(capacity);
  }

  /** Declares a local; may be called at any time. Returns its index. Locals start as zero. */
  local(type: ValueType): number {
    this.#locals.push(VALUE_TYPE[type]);
    return this.params + this.#locals.length - 1;
  }

  /** Forgets all instructions and locals. */
  reset(): void {
    this.w.length = 0;
    this.#locals.length = 0;
    this.depth = 0;
  }

  /** Bytes of instructions so far. */
  get size(): number {
    return this.w.length;
  }

  /** An opcode of opcodes.ts without its immediates. */
  op(opcode: number): this {
    if (opcode < 0x100) {
      this.w.byte(opcode);
    } else {
      this.w.byte(opcode >>> 8);
      this.w.u32(opcode & 0xff);
    }
    return this;
  }

  /** A load or store of MEMORY. */
  memory(opcode: number, offset = 0, align = 0): this {
    this.op(opcode);
    this.w.u32(align);
    this.w.u32(offset);
    return this;
  }

  #blockType(type: BlockType): void {
    if (typeof type === 'number') this.w.s32(type);
    else this.w.byte(type === 'void' ? BLOCK_VOID : VALUE_TYPE[type]);
  }

  /** Opens a block; returns its depth for `brTo`. */
  block(type: BlockType = 'void'): number {
    this.w.byte(0x02);
    this.#blockType(type);
    return this.depth++;
  }

  loop(type: BlockType = 'void'): number {
    this.w.byte(0x03);
    this.#blockType(type);
    return this.depth++;
  }

  if(type: BlockType = 'void'): number {
    this.w.byte(0x04);
    this.#blockType(type);
    return this.depth++;
  }

  else(): this {
    this.w.byte(0x05);
    return this;
  }

  /** Closes the innermost block; at depth 0 the function. */
  end(): this {
    this.w.byte(0x0b);
    this.depth--;
    return this;
  }

  /** Branches with a relative label. */
  br(label: number): this {
    this.w.byte(0x0c);
    this.w.u32(label);
    return this;
  }

  brIf(label: number): this {
    this.w.byte(0x0d);
    this.w.u32(label);
    return this;
  }

  /** Branches to a block by what `block`, `loop` or `if` returned. */
  brTo(block: number): this {
    return this.br(this.depth - block - 1);
  }

  brIfTo(block: number): this {
    return this.brIf(this.depth - block - 1);
  }

  /** br_table with relative labels. */
  brTable(labels: readonly number[], otherwise: number): this {
    this.w.byte(0x0e);
    this.w.u32(labels.length);
    for (let i = 0; i < labels.length; i++) this.w.u32(labels[i]!);
    this.w.u32(otherwise);
    return this;
  }

  call(func: number): this {
    this.w.byte(0x10);
    this.w.u32(func);
    return this;
  }

  /** Operands on the stack: arguments, then the i32 table index. */
  callIndirect(type: number, table = 0): this {
    this.w.byte(0x11);
    this.w.u32(type);
    this.w.u32(table);
    return this;
  }

  returnCall(func: number): this {
    this.w.byte(0x12);
    this.w.u32(func);
    return this;
  }

  returnCallIndirect(type: number, table = 0): this {
    this.w.byte(0x13);
    this.w.u32(type);
    this.w.u32(table);
    return this;
  }

  selectTyped(type: ValueType): this {
    this.w.byte(0x1c);
    this.w.byte(1);
    this.w.byte(VALUE_TYPE[type]);
    return this;
  }

  localGet(local: number): this {
    this.w.byte(0x20);
    this.w.u32(local);
    return this;
  }

  localSet(local: number): this {
    this.w.byte(0x21);
    this.w.u32(local);
    return this;
  }

  localTee(local: number): this {
    this.w.byte(0x22);
    this.w.u32(local);
    return this;
  }

  globalGet(global: number): this {
    this.w.byte(0x23);
    this.w.u32(global);
    return this;
  }

  globalSet(global: number): this {
    this.w.byte(0x24);
    this.w.u32(global);
    return this;
  }

  tableGet(table: number): this {
    this.w.byte(0x25);
    this.w.u32(table);
    return this;
  }

  tableSet(table: number): this {
    this.w.byte(0x26);
    this.w.u32(table);
    return this;
  }

  memorySize(): this {
    this.w.byte(0x3f);
    this.w.byte(0);
    return this;
  }

  memoryGrow(): this {
    this.w.byte(0x40);
    this.w.byte(0);
    return this;
  }

  /** Bulk memory: operands (destination, source, length). */
  memoryCopy(): this {
    this.w.byte(0xfc);
    this.w.byte(10);
    this.w.byte(0);
    this.w.byte(0);
    return this;
  }

  /** Operands (destination, byte value, length). */
  memoryFill(): this {
    this.w.byte(0xfc);
    this.w.byte(11);
    this.w.byte(0);
    return this;
  }

  refFunc(func: number): this {
    this.w.byte(0xd2);
    this.w.u32(func);
    return this;
  }

  /** Any integer that fits 32 bits, signed or unsigned. */
  i32Const(value: number): this {
    this.w.byte(0x41);
    this.w.s32(value);
    return this;
  }

  i64Const(value: bigint | number): this {
    this.w.byte(0x42);
    this.w.s64(value);
    return this;
  }

  /** NaNs lose their payload on the way through a JavaScript number: reinterpret an integer constant instead. */
  f32Const(value: number): this {
    this.w.byte(0x43);
    this.w.f32(value);
    return this;
  }

  f64Const(value: number): this {
    this.w.byte(0x44);
    this.w.f64(value);
    return this;
  }

  /** A v128 from its two 64-bit halves. */
  v128Const(low: bigint, high: bigint): this {
    this.op(0xfd0c);
    FLOAT.setBigUint64(0, BigInt.asUintN(64, low), true);
    for (let i = 0; i < 8; i++) this.w.byte(FLOAT.getUint8(i));
    FLOAT.setBigUint64(0, BigInt.asUintN(64, high), true);
    for (let i = 0; i < 8; i++) this.w.byte(FLOAT.getUint8(i));
    return this;
  }

  /** 16 lane numbers: 0 … 15 the first operand's bytes, 16 … 31 the second's. */
  i8x16Shuffle(lanes: ArrayLike<number>): this {
    this.op(0xfd0d);
    for (let i = 0; i < 16; i++) this.w.byte(lanes[i]!);
    return this;
  }

  /** Writes the function's entry in the code section. */
  encode(out: ByteWriter): void {
    const head = new ByteWriter(16);
    const runs: number[] = [];
    for (const type of this.#locals) {
      if (runs.length > 0 && runs.at(-1) === type) runs[runs.length - 2]!++;
      else runs.push(1, type);
    }
    head.u32(runs.length / 2);
    for (let i = 0; i < runs.length; i += 2) {
      head.u32(runs[i]!);
      head.byte(runs[i + 1]!);
    }
    out.u32(head.length + this.w.length);
    out.append(head.view());
    out.append(this.w.view());
  }
}

for (const [name, opcode] of Object.entries(SIMPLE)) {
  method(name, function (this: Code) {
    return this.op(opcode);
  });
}
for (const [name, opcode] of Object.entries(MEMORY)) {
  method(name, function (this: Code, offset?: number, align?: number) {
    return this.memory(opcode, offset, align);
  });
}
for (const [name, opcode] of Object.entries(MEMORY_LANE)) {
  method(name, function (this: Code, lane: number, offset?: number) {
    this.memory(opcode, offset);
    this.w.byte(lane);
    return this;
  });
}
for (const [name, opcode] of Object.entries(LANE)) {
  method(name, function (this: Code, lane: number) {
    this.op(opcode);
    this.w.byte(lane);
    return this;
  });
}

// biome-ignore lint/suspicious/noExplicitAny: prototype methods of several shapes
function method(name: string, value: any): void {
  Object.defineProperty(Code.prototype, name, { value });
}

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

  /** A funcref table; returns its index. */
  importTable(module: string, name: string, min: number, max?: number): number {
    const w = this.#import(module, name);
    w.byte(0x01);
    w.byte(VALUE_TYPE.funcref);
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
    for (const func of this.#funcs) size += func.size + 64;
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
    for (const func of this.#funcs) func.encode(code);
    section(out, 10, this.#funcs.length, code);
    return out.bytes.slice(0, out.length) as Uint8Array<ArrayBuffer>;
  }
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
