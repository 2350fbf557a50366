/**
 * One WebAssembly function's instructions. No garbage is made per instruction and nothing is checked.
 *
 * Source: WebAssembly Core Specification 2.0, 5.4 "Instructions"; tail calls: WebAssembly 3.0.
 */

import { ByteWriter } from './bytes.ts';
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

/** A block's type: nothing, one result, or the index of a function type (parameters and several results). */
export type BlockType = ValueType | 'void' | number;

const BLOCK_VOID = 0x40;
/** Bytes of a function index that is filled in later: LEB128 with as many as a 32-bit integer may need. */
const PADDED_INDEX = 5;

/** A finished function: what stands in the code section behind its size. */
export interface FunctionBody {
  readonly bytes: Uint8Array;
  /** Calls of functions not known when it was written: [offset of the padded index in `bytes`, the caller's name for it]. */
  readonly calls: readonly (readonly [number, number])[];
  /** Branch hints: [offset of the branch in `bytes`, HINT_…], ascending. */
  readonly hints: readonly (readonly [number, number])[];
}

/** WebAssembly branch hinting proposal, "metadata.code.branch_hint". */
export const HINT_UNLIKELY = 0;
export const HINT_LIKELY = 1;

/** Fills in the function index of a call of `FunctionBody.calls`. */
export function patchIndex(bytes: Uint8Array, offset: number, index: number): void {
  for (let i = 0; i < PADDED_INDEX; i++) {
    bytes[offset + i] = (index & 0x7f) | (i < PADDED_INDEX - 1 ? 0x80 : 0);
    index >>>= 7;
  }
}

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
export class Code extends ByteWriter {
  /** Function index in the module. */
  readonly index: number;
  /** Open blocks; a block opened at depth d has relative label `depth - d - 1`. */
  depth = 0;
  readonly params: number;
  readonly #locals: number[] = [];
  #calls: [number, number][] = [];
  #hints: [number, number][] = [];

  constructor(index: number, params: number, capacity = 1024) {
    super(capacity);
    this.index = index;
    this.params = params;
  }

  /** Declares a local; may be called at any time. Returns its index. Locals start as zero. */
  local(type: ValueType): number {
    this.#locals.push(VALUE_TYPE[type]);
    return this.params + this.#locals.length - 1;
  }

  /** Opens blocks at an earlier place, around all that has been written since; labels to blocks inside stay right. */
  openBlocks(at: number, count: number): void {
    const opened = new Uint8Array(2 * count);
    for (let i = 0; i < opened.length; i += 2) {
      opened[i] = 0x02;
      opened[i + 1] = BLOCK_VOID;
    }
    const inside = this.bytes.slice(at, this.length);
    this.length = at;
    this.append(opened);
    this.append(inside);
    for (const noted of [this.#calls, this.#hints]) {
      for (const place of noted) if (place[0] >= at) place[0] += opened.length;
    }
    this.depth += count;
  }

  /** Forgets all instructions and locals. */
  reset(): void {
    this.length = 0;
    this.#locals.length = 0;
    this.#calls = [];
    this.#hints = [];
    this.depth = 0;
  }

  /** An opcode of opcodes.ts without its immediates. */
  op(opcode: number): this {
    if (opcode < 0x100) {
      this.byte(opcode);
    } else {
      this.byte(opcode >>> 8);
      this.u32(opcode & 0xff);
    }
    return this;
  }

  /** A load or store of MEMORY. */
  memory(opcode: number, offset = 0, align = 0): this {
    this.op(opcode);
    this.u32(align);
    this.u32(offset);
    return this;
  }

  #blockType(type: BlockType): void {
    if (typeof type === 'number') this.s32(type);
    else this.byte(type === 'void' ? BLOCK_VOID : VALUE_TYPE[type]);
  }

  /** Opens a block; returns its depth for `brTo`. */
  block(type: BlockType = 'void'): number {
    this.byte(0x02);
    this.#blockType(type);
    return this.depth++;
  }

  loop(type: BlockType = 'void'): number {
    this.byte(0x03);
    this.#blockType(type);
    return this.depth++;
  }

  if(type: BlockType = 'void'): number {
    this.byte(0x04);
    this.#blockType(type);
    return this.depth++;
  }

  /** As `if`, with a hint for the compiler: mostly false (true). */
  ifRarely(type: BlockType = 'void'): number {
    this.#hints.push([this.length, HINT_UNLIKELY]);
    return this.if(type);
  }

  ifMostly(type: BlockType = 'void'): number {
    this.#hints.push([this.length, HINT_LIKELY]);
    return this.if(type);
  }

  else(): this {
    this.byte(0x05);
    return this;
  }

  /** Closes the innermost block; at depth 0 the function. */
  end(): this {
    this.byte(0x0b);
    this.depth--;
    return this;
  }

  /** Branches with a relative label. */
  br(label: number): this {
    this.byte(0x0c);
    this.u32(label);
    return this;
  }

  brIf(label: number): this {
    this.byte(0x0d);
    this.u32(label);
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
    this.byte(0x0e);
    this.u32(labels.length);
    for (let i = 0; i < labels.length; i++) this.u32(labels[i]!);
    this.u32(otherwise);
    return this;
  }

  call(func: number): this {
    this.byte(0x10);
    this.u32(func);
    return this;
  }

  /** A call of a function whose index is not known yet; `name` is the caller's for it. */
  callLater(name: number): this {
    this.byte(0x10);
    return this.#laterIndex(name);
  }

  /** Operands on the stack: arguments, then the i32 table index. */
  callIndirect(type: number, table = 0): this {
    this.byte(0x11);
    this.u32(type);
    this.u32(table);
    return this;
  }

  returnCall(func: number): this {
    this.byte(0x12);
    this.u32(func);
    return this;
  }

  /** As `callLater`. */
  returnCallLater(name: number): this {
    this.byte(0x12);
    return this.#laterIndex(name);
  }

  #laterIndex(name: number): this {
    this.#calls.push([this.length, name]);
    for (let i = 0; i < PADDED_INDEX; i++) this.byte(0);
    return this;
  }

  returnCallIndirect(type: number, table = 0): this {
    this.byte(0x13);
    this.u32(type);
    this.u32(table);
    return this;
  }

  selectTyped(type: ValueType): this {
    this.byte(0x1c);
    this.byte(1);
    this.byte(VALUE_TYPE[type]);
    return this;
  }

  localGet(local: number): this {
    this.byte(0x20);
    this.u32(local);
    return this;
  }

  localSet(local: number): this {
    this.byte(0x21);
    this.u32(local);
    return this;
  }

  localTee(local: number): this {
    this.byte(0x22);
    this.u32(local);
    return this;
  }

  globalGet(global: number): this {
    this.byte(0x23);
    this.u32(global);
    return this;
  }

  globalSet(global: number): this {
    this.byte(0x24);
    this.u32(global);
    return this;
  }

  tableGet(table: number): this {
    this.byte(0x25);
    this.u32(table);
    return this;
  }

  tableSet(table: number): this {
    this.byte(0x26);
    this.u32(table);
    return this;
  }

  memorySize(): this {
    this.byte(0x3f);
    this.byte(0);
    return this;
  }

  memoryGrow(): this {
    this.byte(0x40);
    this.byte(0);
    return this;
  }

  /** Bulk memory: operands (destination, source, length). */
  memoryCopy(): this {
    this.byte(0xfc);
    this.byte(10);
    this.byte(0);
    this.byte(0);
    return this;
  }

  /** Operands (destination, byte value, length). */
  memoryFill(): this {
    this.byte(0xfc);
    this.byte(11);
    this.byte(0);
    return this;
  }

  refFunc(func: number): this {
    this.byte(0xd2);
    this.u32(func);
    return this;
  }

  /** Any integer that fits 32 bits, signed or unsigned. */
  i32Const(value: number): this {
    this.byte(0x41);
    this.s32(value);
    return this;
  }

  i64Const(value: bigint | number): this {
    this.byte(0x42);
    this.s64(value);
    return this;
  }

  /** NaNs lose their payload on the way through a JavaScript number: reinterpret an integer constant instead. */
  f32Const(value: number): this {
    this.byte(0x43);
    this.f32(value);
    return this;
  }

  f64Const(value: number): this {
    this.byte(0x44);
    this.f64(value);
    return this;
  }

  /** A v128 from its two 64-bit halves. */
  v128Const(low: bigint, high: bigint): this {
    this.op(0xfd0c);
    this.fixed64(low);
    this.fixed64(high);
    return this;
  }

  /** 16 lane numbers: 0 … 15 the first operand's bytes, 16 … 31 the second's. */
  i8x16Shuffle(lanes: ArrayLike<number>): this {
    this.op(0xfd0d);
    for (let i = 0; i < 16; i++) this.byte(lanes[i]!);
    return this;
  }

  /** The function as it stands in the code section behind its size. */
  body(): FunctionBody {
    const runs: number[] = [];
    for (const type of this.#locals) {
      if (runs.length > 0 && runs[runs.length - 1] === type) runs[runs.length - 2]!++;
      else runs.push(1, type);
    }
    const head = new ByteWriter(runs.length * 3 + 8);
    head.u32(runs.length / 2);
    for (let i = 0; i < runs.length; i += 2) {
      head.u32(runs[i]!);
      head.byte(runs[i + 1]!);
    }
    const bytes = new Uint8Array(head.length + this.length);
    bytes.set(head.view());
    bytes.set(this.view(), head.length);
    const later = ([offset, value]: [number, number]): [number, number] => [head.length + offset, value];
    return { bytes, calls: this.#calls.map(later), hints: this.#hints.map(later) };
  }
}

// The methods of the opcode tables. They are put on an object of their own, which then becomes part of the prototype chain:
// V8 takes 50 ms to add so many to an object that is a prototype already.
const METHODS: Record<string, (this: Code, ...immediates: number[]) => Code> = {};
for (const [name, opcode] of Object.entries(SIMPLE)) {
  METHODS[name] =
    opcode < 0x100
      ? function () {
          this.byte(opcode);
          return this;
        }
      : function () {
          return this.op(opcode);
        };
}
for (const [name, opcode] of Object.entries(MEMORY)) {
  METHODS[name] = function (offset, align) {
    return this.memory(opcode, offset, align);
  };
}
for (const [name, opcode] of Object.entries(MEMORY_LANE)) {
  METHODS[name] = function (lane, offset) {
    this.memory(opcode, offset);
    this.byte(lane!);
    return this;
  };
}
for (const [name, opcode] of Object.entries(LANE)) {
  METHODS[name] = function (lane) {
    this.op(opcode);
    this.byte(lane!);
    return this;
  };
}
Object.setPrototypeOf(METHODS, ByteWriter.prototype);
Object.setPrototypeOf(Code.prototype, METHODS);
