/**
 * Modules of translated code: what they import, how function bodies are put together into one, and the helper functions
 * of an address space that translated code calls. Function indices are the FUNC_… constants of lowering.ts.
 */

import { JUMP_CACHE, JUMP_CACHE_ENTRIES, JUMP_RECORDS, REGISTER_FILE } from '../lvm/layout.ts';
import { ByteWriter } from '../wasm/bytes.ts';
import { type FunctionBody, patchIndex } from '../wasm/code.ts';
import { type BlockType, type Code, ModuleBuilder } from '../wasm/emitter.ts';
import {
  FIRST_FUNCTION,
  PARAM_BUDGET,
  PARAM_RSP,
  REGION_PARAMETERS,
  REGION_RESULTS,
  SLOT_INTERPRET,
} from './calling.ts';
import { CALM_TYPES, type CalmType, calm, calmParameters } from './calm.ts';
import { crc32c } from './crc32c.ts';
import {
  CHANGED_CARRY,
  CHANGED_OVERFLOW,
  FLAG_OPERATION,
  KIND_ADC,
  KIND_ADD,
  KIND_COMPARE,
  KIND_DEC,
  KIND_FLOAT,
  KIND_IMUL,
  KIND_INC,
  KIND_LOGIC,
  KIND_RESULT,
  KIND_SBB,
  KIND_SUB,
} from './flags.ts';
import { enter, interpret, leave, loop, resume, singles } from './interpret-loop.ts';
import { noteJump } from './profile.ts';
import { EXIT_FETCH, OFF_EXIT, OFF_NEXT, OFF_RIP } from './state.ts';

/** Largest number of translated functions in an address space. */
export const TABLE_LIMIT = 1 << 22;

/** What every module of translated code imports from `env`. From `resume` to `noteJump` they are exports of `helpersModule`. */
export interface ModuleImports {
  readonly memory: WebAssembly.Memory;
  readonly regions: WebAssembly.ExportValue;
  /** Makes an access possible or raises #PF (interpreter.ts). */
  readonly fix: (access: number) => number;
  readonly helper: (id: number, arg: number) => number;
  readonly resume: WebAssembly.ExportValue;
  readonly lookup: WebAssembly.ExportValue;
  readonly flags: WebAssembly.ExportValue;
  readonly mulhu: WebAssembly.ExportValue;
  readonly divlu: WebAssembly.ExportValue;
  readonly crc32c: WebAssembly.ExportValue;
  readonly noteJump: WebAssembly.ExportValue;
  /** calm.ts, by the type of the operands. */
  readonly calmF32: WebAssembly.ExportValue;
  readonly calmF64: WebAssembly.ExportValue;
  readonly calmF32x4: WebAssembly.ExportValue;
  readonly calmF64x2: WebAssembly.ExportValue;
  /** Control has often come to the region at `rip`. */
  readonly hot: (rip: number) => void;
}

/** A function to link: the name that calls in its group use for it. */
export interface NamedBody {
  readonly name: number;
  readonly body: FunctionBody;
}

/**
 * A module of functions of a type, exported as f0, f1, … in order; calls by name are resolved inside each group. Before it stand
 * `room` bytes for the caller.
 */
export function linkModule(type: number, groups: readonly (readonly NamedBody[])[], room = 0): Uint8Array<ArrayBuffer> {
  let count = 0;
  let codeSize = 0;
  for (const group of groups) {
    count += group.length;
    for (const { body } of group) codeSize += body.bytes.length + u32Size(body.bytes.length);
  }
  const out = new ByteWriter(room + PRELUDE.length + count * 12 + codeSize + 64);
  out.length = room;
  out.append(PRELUDE);
  sectionHead(out, 3, count, count);
  for (let i = 0; i < count; i++) out.byte(type);
  const names = exportNames(count);
  sectionHead(out, 7, count, names.length);
  out.append(names);
  branchHints(out, groups);
  sectionHead(out, 10, count, codeSize);
  let first = FIRST_FUNCTION;
  for (const group of groups) {
    for (const { body } of group) {
      out.u32(body.bytes.length);
      const at = out.length;
      out.append(body.bytes);
      for (const [offset, name] of body.calls) {
        const callee = group.findIndex((other) => other.name === name);
        patchIndex(out.bytes, at + offset, first + callee);
      }
    }
    first += group.length;
  }
  return out.bytes.subarray(0, out.length) as Uint8Array<ArrayBuffer>;
}

/** The custom section that tells which branches are rarely or mostly taken. */
function branchHints(out: ByteWriter, groups: readonly (readonly NamedBody[])[]): void {
  const section = new ByteWriter(1024);
  section.name('metadata.code.branch_hint');
  const bodies = groups.flatMap((group) => group.map(({ body }) => body));
  section.u32(bodies.filter(({ hints }) => hints.length > 0).length);
  bodies.forEach(({ hints }, i) => {
    if (hints.length === 0) return;
    section.u32(FIRST_FUNCTION + i);
    section.u32(hints.length);
    for (const [offset, hint] of hints) {
      section.u32(offset);
      section.byte(1);
      section.byte(hint);
    }
  });
  out.byte(0);
  out.u32(section.length);
  out.append(section.view());
}

/** The export section's entries for f0, f1, … */
function exportNames(count: number): Uint8Array {
  if (count === 1) return ONE_NAME;
  const out = new ByteWriter(count * 12);
  for (let i = 0; i < count; i++) {
    out.name(`f${i}`);
    out.byte(0);
    out.u32(FIRST_FUNCTION + i);
  }
  return out.view();
}

const ONE_NAME = Uint8Array.of(2, 0x66, 0x30, 0, FIRST_FUNCTION);

function sectionHead(out: ByteWriter, id: number, count: number, size: number): void {
  out.byte(id);
  out.u32(u32Size(count) + size);
  out.u32(count);
}

/** Bytes of an unsigned LEB128. */
function u32Size(value: number): number {
  let size = 1;
  while (value >= 0x80) {
    value >>>= 7;
    size++;
  }
  return size;
}

/** The types and imports that every linked module begins with. */
const PRELUDE = (() => {
  const module = new ModuleBuilder();
  const types = declareTypes(module);
  module.importMemory('env', 'memory', 65536, 65536);
  module.importTable('env', 'regions', 0, TABLE_LIMIT, types.region);
  module.importFunc('env', 'fix', types.i32ToI32);
  module.importFunc('env', 'helper', types.pair);
  module.importFunc('env', 'resume', types.region);
  module.importFunc('env', 'lookup', types.i32ToI32);
  module.importFunc('env', 'flags', types.flags);
  module.importFunc('env', 'mulhu', types.mulhu);
  module.importFunc('env', 'divlu', types.divlu);
  module.importFunc('env', 'crc32c', types.crc32c);
  module.importFunc('env', 'noteJump', types.noteJump);
  module.importFunc('env', 'hot', types.heat);
  for (const type of CALM_TYPES) module.importFunc('env', calmName(type), module.type(calmParameters(type), ['i32']));
  return module.build();
})();

/** As modules import and export it. */
function calmName(type: CalmType): string {
  return `calm${type.replace('f', 'F')}`;
}

function declareTypes(module: ModuleBuilder) {
  return {
    // (REGION_TYPE and STEP_TYPE)
    region: module.type(REGION_PARAMETERS, REGION_RESULTS),
    pair: module.type(['i32', 'i32'], ['i32']),
    i32ToI32: module.type(['i32'], ['i32']),
    flags: module.type(['i32', 'i64', 'i64', 'i64'], ['i32']),
    mulhu: module.type(['i64', 'i64'], ['i64']),
    divlu: module.type(['i64', 'i64', 'i64'], ['i64']),
    crc32c: module.type(['i64'], ['i64']),
    noteJump: module.type(['i32', 'i32'], []),
    heat: module.type(['i32'], []),
    loop: module.type(['i32', 'i32', 'i32'], REGION_RESULTS),
  };
}

/** What the helpers' module imports from `env`. */
export interface HelperImports {
  readonly memory: WebAssembly.Memory;
  /** (rip) → as the jump cache has it, which it is not in. */
  readonly resolve: (rip: number) => number;
  /** (rip) → the address of the instruction's record; 0: OFF_EXIT tells why there is none. */
  readonly record: (rip: number) => number;
  /** (rip): control has often come there. */
  readonly heat: (rip: number) => void;
}

/**
 * Exports `resume`, `lookup`, `flags`, `mulhu`, `divlu`, `crc32c`, `noteJump`, `calm…`, for translated code; `unfetchable` and `interpret`, the functions of slots 0
 * and 1; `enter`, for what is in a slot, and `singles`, for single instructions; and `same` (a, b, length), whether bytes at two
 * addresses are.
 */
export function helpersModule(): Uint8Array<ArrayBuffer> {
  const module = new ModuleBuilder();
  const types = declareTypes(module);
  module.importMemory('env', 'memory', 65536, 65536);
  const resolve = module.importFunc('env', 'resolve', types.i32ToI32);
  const record = module.importFunc('env', 'record', types.i32ToI32);
  const heat = module.importFunc('env', 'heat', types.heat);
  const find = findEntry(module.func(types.i32ToI32), resolve).index;
  const lookup = slotFor(module.func(types.i32ToI32), resolve).index;
  const leaves = leave(module.func(types.i32ToI32)).index;
  const callees = { find, lookup, heat };
  const nothing = unfetchable(module.func(types.region)).index;
  module.exportTable('regions', module.typedTable(types.region, nothing, 1024, TABLE_LIMIT));
  const noStep = module.func(types.pair).unreachable().end().index;
  module.exportTable('steps', module.typedTable(types.pair, noStep, 1024, TABLE_LIMIT));
  const run = loop(module.func(types.loop), callees, leaves).index;
  module.exportFunc('resume', resume(module.func(types.region), record, run).index);
  module.exportFunc('lookup', lookup);
  const mulhu = mulHighUnsigned(module.func(types.mulhu)).index;
  module.exportFunc('mulhu', mulhu);
  module.exportFunc('flags', flagBits(module.func(types.flags), mulhu).index);
  module.exportFunc('divlu', divideLong(module.func(types.divlu)).index);
  module.exportFunc('crc32c', crc32c(module.func(types.crc32c)).index);
  module.exportFunc('noteJump', noteJump(module.func(types.noteJump)).index);
  for (const type of CALM_TYPES) {
    const code = module.func(module.type(calmParameters(type), ['i32']));
    module.exportFunc(calmName(type), calm(code, type).index);
  }
  module.exportFunc('unfetchable', nothing);
  module.exportFunc('interpret', interpret(module.func(types.region), callees, run).index);
  module.exportFunc('enter', enter(module.func(types.pair)).index);
  module.exportFunc('singles', singles(module.func(types.pair), leaves).index);
  module.exportFunc('same', same(module.func(module.type(['i32', 'i32', 'i32'], ['i32']))).index);
  return module.build();
}

/** Entry of the jump cache for an address; the same formula as in `ifCached`. */
export function jumpCacheEntry(rip: number): number {
  return JUMP_CACHE + (((rip ^ (rip >>> 16)) & (JUMP_CACHE_ENTRIES - 1)) << 3);
}

/** Finds the jump cache's entry for the address in local 0: an `if` of `type` is open where it is for that. Returns its local. */
function ifCached(f: Code, type: BlockType): number {
  const entry = f.local('i32');
  f.localGet(0).localGet(0).i32Const(16).i32ShrU().i32Xor();
  f.i32Const(JUMP_CACHE_ENTRIES - 1)
    .i32And()
    .i32Const(3)
    .i32Shl()
    .localTee(entry);
  f.i32Load(JUMP_CACHE, 2).localGet(0).i32Eq().if(type);
  return entry;
}

/** (rip) → what there is for the address: a record (negative) or a table slot. */
function findEntry(f: Code, resolve: number): Code {
  const entry = ifCached(f, 'i32');
  const slot = f.local('i32');
  f.localGet(entry)
    .i32Load(JUMP_CACHE + 4, 2)
    .localTee(slot)
    .i32Const(SLOT_INTERPRET)
    .i32Eq()
    .if('i32');
  f.localGet(entry).i32Const(1).i32ShrU().i32Load(JUMP_RECORDS, 2);
  f.else();
  f.localGet(slot).end();
  f.else();
  f.localGet(0).call(resolve).end();
  return f.end();
}

/** (rip) → table slot */
function slotFor(f: Code, resolve: number): Code {
  const entry = ifCached(f, 'void');
  f.localGet(entry)
    .i32Load(JUMP_CACHE + 4, 2)
    .return();
  f.end();
  return f
    .localGet(0)
    .call(resolve)
    .localTee(0)
    .i32Const(SLOT_INTERPRET)
    .localGet(0)
    .i32Const(0)
    .i32GeS()
    .select()
    .end();
}

/** (a, b, length) → 1 where the bytes are equal: eight at a time, then one by one. */
function same(f: Code): Code {
  const [a, b, left] = [0, 1, 2];
  const compare = (size: 1 | 8): void => {
    f.block();
    f.loop();
    f.localGet(left).i32Const(size).i32LtS().brIf(1);
    if (size === 8) f.localGet(a).i64Load().localGet(b).i64Load().i64Ne();
    else f.localGet(a).i32Load8U().localGet(b).i32Load8U().i32Ne();
    f.if();
    f.i32Const(0).return();
    f.end();
    for (const pointer of [a, b]) f.localGet(pointer).i32Const(size).i32Add().localSet(pointer);
    f.localGet(left).i32Const(size).i32Sub().localSet(left);
    f.br(0).end().end();
  };
  compare(8);
  compare(1);
  return f.i32Const(1).end();
}

/** Of REGION_TYPE: leaves with EXIT_FETCH. */
function unfetchable(f: Code): Code {
  f.i32Const(REGISTER_FILE).i32Const(REGISTER_FILE).i64Load32U(OFF_NEXT).i64Store(OFF_RIP);
  f.i32Const(REGISTER_FILE).i32Const(EXIT_FETCH).i32Store(OFF_EXIT);
  f.i32Const(REGISTER_FILE).i32Const(0).i32Store(OFF_NEXT);
  return f.localGet(PARAM_BUDGET).localGet(PARAM_RSP).end();
}

/** (op, result, a, b) → the arithmetic flags in their RFLAGS positions. flags.ts has the same in JavaScript. */
function flagBits(f: Code, mulhu: number): Code {
  const [op, r, a, b] = [0, 1, 2, 3];
  const bits = f.local('i32');
  const top = f.local('i64');
  const kind = f.local('i32');
  const t = f.local('i64');
  f.localGet(op)
    .i32Const(CHANGED_CARRY | CHANGED_OVERFLOW)
    .i32And()
    .if();
  changedFlags(f, op, r, a, b);
  f.end();
  f.localGet(op).i32Eqz().if();
  f.localGet(r).i32WrapI64().return();
  f.end();
  f.localGet(op).i32Const(2).i32ShrU().localSet(kind);
  f.localGet(kind).i32Const(KIND_FLOAT).i32Eq().if();
  floatFlags(f, op, r, b);
  f.end();
  // The number of the sign bit: (8 << log2 size) - 1.
  f.i32Const(8).localGet(op).i32Const(3).i32And().i32Shl().i32Const(1).i32Sub().i64ExtendI32U().localSet(top);
  /** Truncates the i64 on the stack to the operation's size. */
  const truncate = (): Code => {
    f.i64Const(63).localGet(top).i64Sub().i64Shl();
    return f.i64Const(63).localGet(top).i64Sub().i64ShrU();
  };
  f.localGet(kind).i32Const(KIND_ADD).i32Eq().if();
  f.localGet(r).localGet(b).i64Sub();
  truncate().localSet(a);
  f.end();
  f.localGet(kind).i32Const(KIND_SUB).i32Eq().if();
  f.localGet(r).localGet(b).i64Add();
  truncate().localSet(a);
  f.end();
  f.localGet(kind).i32Const(KIND_COMPARE).i32Eq().if();
  f.localGet(r).localTee(a).localGet(b).i64Sub();
  truncate().localSet(r);
  f.end();
  f.localGet(r).i64Eqz().i32Const(6).i32Shl();
  f.localGet(r).localGet(top).i64ShrU().i32WrapI64().i32Const(1).i32And().i32Const(7).i32Shl().i32Or();
  f.localGet(r).i32WrapI64().i32Const(255).i32And().i32Popcnt().i32Const(1).i32And().i32Eqz();
  f.i32Const(2).i32Shl().i32Or().localSet(bits);
  const isKind = (value: number): void => {
    f.localGet(kind).i32Const(value).i32Eq();
  };
  const finish = (carry: () => void, overflow: () => void, adjust: () => void): void => {
    f.localGet(bits);
    carry();
    f.i32WrapI64().i32Const(1).i32And().i32Or();
    overflow();
    f.i32WrapI64().i32Const(1).i32And().i32Const(11).i32Shl().i32Or();
    adjust();
    f.i32WrapI64().i32Const(1).i32And().i32Const(4).i32Shl().i32Or().return();
  };
  const adjustXor = (): void => {
    f.localGet(a).localGet(b).i64Xor().localGet(r).i64Xor().i64Const(4).i64ShrU();
  };
  isKind(KIND_ADD);
  isKind(KIND_ADC);
  f.i32Or().if();
  finish(
    () => {
      f.localGet(a).localGet(b).i64And();
      f.localGet(a).localGet(b).i64Or().localGet(r).i64Const(-1).i64Xor().i64And().i64Or().localGet(top).i64ShrU();
    },
    () => {
      f.localGet(a).localGet(r).i64Xor().localGet(b).localGet(r).i64Xor().i64And().localGet(top).i64ShrU();
    },
    adjustXor,
  );
  f.end();
  isKind(KIND_SUB);
  isKind(KIND_SBB);
  isKind(KIND_COMPARE);
  f.i32Or().i32Or().if();
  finish(
    () => {
      f.localGet(a).i64Const(-1).i64Xor().localSet(t);
      f.localGet(t).localGet(b).i64And();
      f.localGet(t).localGet(b).i64Or().localGet(r).i64And().i64Or().localGet(top).i64ShrU();
    },
    () => {
      f.localGet(a).localGet(b).i64Xor().localGet(a).localGet(r).i64Xor().i64And().localGet(top).i64ShrU();
    },
    adjustXor,
  );
  f.end();
  isKind(KIND_LOGIC);
  f.if();
  f.localGet(bits).return();
  f.end();
  isKind(KIND_RESULT);
  f.if();
  f.localGet(bits).localGet(b).i32WrapI64().i32Const(0x811).i32And().i32Or().return();
  f.end();
  isKind(KIND_IMUL);
  f.if();
  f.localGet(bits).i32Const(0x801).i32Const(0);
  isTruncated(f, r, a, b, top, mulhu);
  f.select().i32Or().return();
  f.end();
  isKind(KIND_INC);
  f.if();
  finish(
    () => f.localGet(b),
    () => f.localGet(r).i64Const(1).localGet(top).i64Shl().i64Eq().i64ExtendI32U(),
    () => f.localGet(r).i64Const(15).i64And().i64Eqz().i64ExtendI32U(),
  );
  f.end();
  isKind(KIND_DEC);
  f.if();
  finish(
    () => f.localGet(b),
    () => f.localGet(r).i64Const(1).localGet(top).i64Shl().i64Const(1).i64Sub().i64Eq().i64ExtendI32U(),
    () => f.localGet(r).i64Const(15).i64And().i64Const(15).i64Eq().i64ExtendI32U(),
  );
  f.end();
  return f.unreachable().end();
}

/** Returns the operation's flags with the CF and OF that have been set since. */
function changedFlags(f: Code, op: number, r: number, a: number, b: number): void {
  const mask = f.local('i32');
  /** CF and OF in their positions, from the bits of `op` that are `by` above CHANGED_…. */
  const both = (by: number): void => {
    f.localGet(op)
      .i32Const(8 + by)
      .i32ShrU()
      .i32Const(1)
      .i32And();
    f.localGet(op)
      .i32Const(10 + by)
      .i32ShrU()
      .i32Const(1)
      .i32And()
      .i32Const(11)
      .i32Shl()
      .i32Or();
  };
  both(0);
  f.localSet(mask);
  f.localGet(op).i32Const(FLAG_OPERATION).i32And().localGet(r).localGet(a).localGet(b).call(f.index);
  f.localGet(mask).i32Const(-1).i32Xor().i32And();
  both(1);
  f.localGet(mask).i32And().i32Or().return();
}

/** Pushes whether r, of top + 1 bits, is not the whole signed product of a and b. */
function isTruncated(f: Code, r: number, a: number, b: number, top: number, mulhu: number): void {
  f.localGet(top).i64Const(63).i64Eq().if('i32');
  f.localGet(a).localGet(b).call(mulhu);
  f.localGet(a).i64Const(63).i64ShrS().localGet(b).i64And().i64Sub();
  f.localGet(b).i64Const(63).i64ShrS().localGet(a).i64And().i64Sub();
  f.localGet(r).i64Const(63).i64ShrS().i64Ne();
  f.else();
  f.localGet(a).localGet(b).i64Mul();
  f.localGet(r).i64Const(63).localGet(top).i64Sub().i64Shl();
  f.i64Const(63).localGet(top).i64Sub().i64ShrS().i64Ne();
  f.end();
}

/** Returns CF, ZF and PF of a comparison of two floats, from their bits. */
function floatFlags(f: Code, op: number, a: number, b: number): void {
  const x = f.local('f64');
  const y = f.local('f64');
  f.localGet(op).i32Const(3).i32And().i32Const(3).i32Eq().if();
  f.localGet(a).f64ReinterpretI64().localSet(x).localGet(b).f64ReinterpretI64().localSet(y);
  f.else();
  f.localGet(a).i32WrapI64().f32ReinterpretI32().f64PromoteF32().localSet(x);
  f.localGet(b).i32WrapI64().f32ReinterpretI32().f64PromoteF32().localSet(y);
  f.end();
  f.localGet(x).localGet(y).f64Ge().i32Eqz();
  f.localGet(x).localGet(y).f64Lt().localGet(x).localGet(y).f64Gt().i32Or().i32Eqz().i32Const(6).i32Shl().i32Or();
  f.localGet(x).localGet(x).f64Ne().localGet(y).localGet(y).f64Ne().i32Or().i32Const(2).i32Shl().i32Or().return();
}

/**
 * (high, low, divisor) → the quotient of unsigned 128 by 64 bits; high must be less than the divisor. By digits of 32 bits:
 * D. E. Knuth, "The Art of Computer Programming", vol. 2, 4.3.1, algorithm D.
 */
function divideLong(f: Code): Code {
  const [high, low, divisor] = [0, 1, 2];
  const shift = f.local('i64');
  const [top, bottom] = [f.local('i64'), f.local('i64')];
  const [digit, rest] = [f.local('i64'), f.local('i64')];
  const first = f.local('i64');
  const half = (local: number): Code => f.localGet(local).i64Const(0xffff_ffff).i64And();
  // The divisor's highest bit becomes 1.
  f.localGet(divisor).i64Clz().localSet(shift);
  f.localGet(divisor).localGet(shift).i64Shl().localSet(divisor);
  f.localGet(high).localGet(shift).i64Shl();
  f.localGet(low).i64Const(1).i64ShrU().i64Const(63).localGet(shift).i64Sub().i64ShrU().i64Or().localSet(high);
  f.localGet(low).localGet(shift).i64Shl().localSet(low);
  f.localGet(divisor).i64Const(32).i64ShrU().localSet(top);
  half(divisor).localSet(bottom);
  /** `digit` becomes that of high : next by the divisor. */
  const oneDigit = (next: () => void): void => {
    f.localGet(high).localGet(top).i64DivU().localSet(digit);
    f.localGet(high).localGet(digit).localGet(top).i64Mul().i64Sub().localSet(rest);
    f.block();
    f.loop();
    // While the digit is too large …
    f.localGet(digit).i64Const(32).i64ShrU().i64Eqz().if();
    f.localGet(digit).localGet(bottom).i64Mul();
    f.localGet(rest).i64Const(32).i64Shl();
    next();
    f.i64Or().i64LeU().brIf(2);
    f.end();
    f.localGet(digit).i64Const(1).i64Sub().localSet(digit);
    f.localGet(rest).localGet(top).i64Add().localTee(rest);
    f.i64Const(32).i64ShrU().i64Eqz().brIf(0);
    f.end();
    f.end();
  };
  oneDigit(() => f.localGet(low).i64Const(32).i64ShrU());
  f.localGet(digit).localSet(first);
  f.localGet(high).i64Const(32).i64Shl().localGet(low).i64Const(32).i64ShrU().i64Or();
  f.localGet(digit).localGet(divisor).i64Mul().i64Sub().localSet(high);
  oneDigit(() => half(low));
  return f.localGet(first).i64Const(32).i64Shl().localGet(digit).i64Add().end();
}

/** The upper half of an unsigned 64 × 64 bit product. */
function mulHighUnsigned(f: Code): Code {
  const [a, b] = [0, 1];
  const al = f.local('i64');
  const bl = f.local('i64');
  const t = f.local('i64');
  const u = f.local('i64');
  f.localGet(a).i64Const(0xffff_ffff).i64And().localSet(al);
  f.localGet(b).i64Const(0xffff_ffff).i64And().localSet(bl);
  f.localGet(a).i64Const(32).i64ShrU().localSet(a);
  f.localGet(b).i64Const(32).i64ShrU().localSet(b);
  // t = ah·bl + (al·bl >> 32); u = al·bh + low half of t
  f.localGet(a).localGet(bl).i64Mul().localGet(al).localGet(bl).i64Mul().i64Const(32).i64ShrU().i64Add().localSet(t);
  f.localGet(al).localGet(b).i64Mul().localGet(t).i64Const(0xffff_ffff).i64And().i64Add().localSet(u);
  f.localGet(a).localGet(b).i64Mul();
  f.localGet(t).i64Const(32).i64ShrU().i64Add();
  return f.localGet(u).i64Const(32).i64ShrU().i64Add().end();
}
