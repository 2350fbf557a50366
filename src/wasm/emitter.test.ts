import { expect, test } from 'vitest';
import { type Code, ModuleBuilder, type ValueType } from './emitter.ts';
import { LANE, MEMORY, MEMORY_LANE, SIMPLE } from './opcodes.ts';

function compile(params: ValueType[], results: ValueType[], body: (f: Code, m: ModuleBuilder) => void) {
  const m = new ModuleBuilder();
  m.memory(1);
  const f = m.func(m.type(params, results));
  body(f, m);
  m.exportFunc('f', f.index);
  const instance = new WebAssembly.Instance(new WebAssembly.Module(m.build()));
  return instance.exports.f as (...args: unknown[]) => unknown;
}

test('constants of every length come back', () => {
  const i32s = [0, 1, -1, 63, 64, -64, -65, 8191, 8192, 0x7fffffff, -0x80000000, 0xff00_0000, 0xffff_ffff];
  for (const value of i32s) {
    expect(compile([], ['i32'], (f) => f.i32Const(value).end())()).toBe(value | 0);
  }
  const i64s = [0n, 1n, -1n, 63n, 64n, -64n, -65n, 1n << 31n, -(1n << 31n) - 1n, 0xffff_ffffn, (1n << 53n) - 1n];
  i64s.push(-(1n << 52n) - 77n, (1n << 63n) - 1n, -(1n << 63n), (1n << 64n) - 1n, 0xff00_0000_0000_0000n);
  for (const value of i64s) {
    expect(compile([], ['i64'], (f) => f.i64Const(value).end())()).toBe(BigInt.asIntN(64, value));
    if (value === BigInt(Number(value)) && Number.isSafeInteger(Number(value))) {
      expect(compile([], ['i64'], (f) => f.i64Const(Number(value)).end())()).toBe(value);
    }
  }
  expect(compile([], ['f64'], (f) => f.f64Const(-0.1).end())()).toBe(-0.1);
  expect(compile([], ['f32'], (f) => f.f32Const(0.5).end())()).toBe(0.5);
});

test('every opcode validates with the operand types of its name', () => {
  for (const name of Object.keys({ ...SIMPLE, ...MEMORY, ...MEMORY_LANE, ...LANE })) {
    const m = new ModuleBuilder();
    m.memory(1);
    const f = m.func(m.type([], []));
    // After `unreachable` the stack is polymorphic: only immediates and the opcode's existence are validated.
    f.unreachable();
    if (name === 'refIsNull') f.tableGet(m.table(1));
    // biome-ignore lint/suspicious/noExplicitAny: called by name
    (f as any)[name](0);
    f.unreachable().end();
    expect(WebAssembly.validate(m.build()), name).toBe(true);
  }
});

test('loops, blocks, br_table and late locals', () => {
  const sum = compile(['i32'], ['i32'], (f) => {
    const acc = f.local('i32');
    const out = f.block();
    const top = f.loop();
    f.localGet(0).i32Eqz().brIfTo(out);
    f.localGet(acc).localGet(0).i32Add().localSet(acc);
    const wide = f.local('i64');
    f.localGet(0).i64ExtendI32U().localSet(wide);
    f.localGet(wide).i32WrapI64().i32Const(1).i32Sub().localSet(0);
    f.brTo(top);
    f.end().end();
    f.localGet(acc).end();
  });
  expect(sum(10)).toBe(55);

  const pick = compile(['i32'], ['i32'], (f) => {
    f.block();
    f.block();
    f.block();
    f.localGet(0).brTable([0, 1], 2);
    f.end().i32Const(100).return();
    f.end().i32Const(200).return();
    f.end().i32Const(300).end();
  });
  expect([pick(0), pick(1), pick(7)]).toEqual([100, 200, 300]);
});

test('memory at the top of 4 GiB, imported table, tail calls through it', () => {
  const memory = new WebAssembly.Memory({ initial: 65536, maximum: 65536 });
  const table = new WebAssembly.Table({ initial: 8, element: 'anyfunc' });
  const m = new ModuleBuilder();
  m.importMemory('env', 'memory', 65536, 65536);
  const t = m.importTable('env', 'table', 1);
  const log = m.importFunc('env', 'log', m.type(['i32'], []));
  const type = m.type(['i32', 'i64'], ['i64']);
  const even = m.func(type);
  const odd = m.func(type);
  for (const [self, other] of [
    [even, 6],
    [odd, 5],
  ] as const) {
    self.localGet(0).i32Eqz();
    self.if();
    self.i32Const(0).localGet(1).i64Store(0xff40_0280);
    self.i32Const(7).call(log);
    self.i32Const(0).i64Load(0xff40_0280, 3).return();
    self.end();
    self.localGet(0).i32Const(1).i32Sub().localGet(1).i64Const(3n).i64Add().i32Const(other).returnCallIndirect(type, t);
    self.end();
  }
  m.element(t, 5, [even.index, odd.index]);
  const logged: number[] = [];
  new WebAssembly.Instance(new WebAssembly.Module(m.build()), {
    env: { memory, table, log: (x: number) => logged.push(x) },
  });
  const run = table.get(5) as (n: number, x: bigint) => bigint;
  expect(run(100_000, 1n)).toBe(300_001n);
  expect(logged).toEqual([7]);
  expect(new DataView(memory.buffer).getBigUint64(0xff40_0280, true)).toBe(300_001n);
});

test('a table of functions of a type', () => {
  const m = new ModuleBuilder();
  const type = m.type(['i32'], ['i32', 'i32']);
  const twice = m.func(type);
  twice.localGet(0).localGet(0).end();
  const t = m.typedTable(type, twice.index, 2, 8);
  const call = m.func(m.type(['i32', 'i32'], ['i32']));
  call.localGet(0).localGet(1).callIndirect(type, t).i32Sub().end();
  m.exportTable('table', t);
  m.exportFunc('twice', twice.index);
  m.exportFunc('call', call.index);
  const { table, call: run } = new WebAssembly.Instance(new WebAssembly.Module(m.build())).exports;

  const other = new ModuleBuilder();
  const same = other.type(['i32'], ['i32', 'i32']);
  expect(other.importTable('env', 'table', 0, 8, same)).toBe(0);
  const next = other.func(same);
  next.localGet(0).i32Const(1).i32Add().localGet(0).end();
  other.exportFunc('next', next.index);
  const instance = new WebAssembly.Instance(new WebAssembly.Module(other.build()), { env: { table: table! } });
  (table as WebAssembly.Table).set(1, instance.exports.next);
  expect(() => (table as WebAssembly.Table).set(1, null)).toThrow(TypeError);
  expect([0, 1].map((slot) => (run as (x: number, slot: number) => number)(5, slot))).toEqual([0, 1]);
});

test('SIMD constants, shuffles and lanes', () => {
  const f = compile([], ['i64'], (c) => {
    c.v128Const(0x0706_0504_0302_0100n, 0x0f0e_0d0c_0b0a_0908n);
    c.v128Const(-1n, 0n);
    c.i8x16Shuffle([15, 14, 13, 12, 11, 10, 9, 8, 16, 17, 18, 19, 20, 21, 22, 23]);
    c.i64x2ExtractLane(0).end();
  });
  expect(f()).toBe(0x0809_0a0b_0c0d_0e0fn);
});
