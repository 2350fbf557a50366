/** What is kept of operations gives the flags that the SDM defines (vol. 1, 3.4.3.1), in JavaScript and in WebAssembly. */

import { expect, test } from 'vitest';
import {
  arithmeticFlags,
  CHANGED_CARRY,
  CHANGED_OVERFLOW,
  KIND_ADC,
  KIND_ADD,
  KIND_COMPARE,
  KIND_DEC,
  KIND_INC,
  KIND_LOGIC,
  KIND_SBB,
  KIND_SUB,
} from './flags.ts';
import { helpersModule } from './module.ts';
import { AF, CF, Context, OF, OFF_FLAG_A, OFF_FLAG_B, OFF_FLAG_OP, OFF_FLAG_RESULT, PF, SF, ZF } from './state.ts';

const nothing = (): number => 0;
const env = {
  memory: new WebAssembly.Memory({ initial: 65536, maximum: 65536 }),
  resolve: nothing,
  record: nothing,
  heat: nothing,
};
const { flags } = new WebAssembly.Instance(new WebAssembly.Module(helpersModule()), { env }).exports as {
  flags: (op: number, result: bigint, a: bigint, b: bigint) => number;
};

/** In what is meaningless for an operation. */
const RUBBISH = 0x5a5a_1234_8765_a5a5n;

function both(op: number, result: bigint, a: bigint, b: bigint): number {
  const context = new Context();
  context.u32[OFF_FLAG_OP >> 2] = op;
  context.u64[OFF_FLAG_RESULT >> 3] = result;
  context.u64[OFF_FLAG_A >> 3] = a;
  context.u64[OFF_FLAG_B >> 3] = b;
  const bits = arithmeticFlags(context);
  expect(flags(op, result, a, b)).toBe(bits);
  return bits;
}

/** Of a result of `bits` bits. */
function ofResult(result: bigint, bits: number): number {
  const ones = [...(result & 255n).toString(2)].filter((digit) => digit === '1').length;
  return (result === 0n ? ZF : 0) | ((result >> BigInt(bits - 1)) & 1n ? SF : 0) | (ones % 2 === 0 ? PF : 0);
}

/** Of `a + b + carry` or, negative, `a - b - carry`, from what it would be without a limit. */
function ofSum(a: bigint, b: bigint, carry: bigint, negative: boolean, bits: number): number {
  const exact = negative ? a - b - carry : a + b + carry;
  const signed = (value: bigint): bigint => BigInt.asIntN(bits, value);
  const exactSigned = negative ? signed(a) - signed(b) - carry : signed(a) + signed(b) + carry;
  const low = negative ? (a & 15n) - (b & 15n) - carry : (a & 15n) + (b & 15n) + carry;
  const result = BigInt.asUintN(bits, exact);
  return (
    ofResult(result, bits) |
    (result !== exact ? CF : 0) |
    (signed(result) !== exactSigned ? OF : 0) |
    (low < 0n || low > 15n ? AF : 0)
  );
}

function* operands(bits: number): Generator<[bigint, bigint]> {
  const edges = [0n, 1n, 2n, 15n, 16n, 127n, 128n, 255n].flatMap((n) => [n, -n, (1n << BigInt(bits - 1)) + n - 8n]);
  const values = [...new Set(edges.map((n) => BigInt.asUintN(bits, n)))];
  for (const a of values) for (const b of values) yield [a, b];
}

for (const log2Size of [0, 1, 2, 3]) {
  const bits = 8 << log2Size;
  const op = (kind: number): number => kind * 4 + log2Size;

  test(`sums and differences of ${bits} bits`, () => {
    const low = (value: bigint): bigint => BigInt.asUintN(bits, value);
    for (const [a, b] of operands(bits)) {
      expect(both(op(KIND_ADD), low(a + b), RUBBISH, b)).toBe(ofSum(a, b, 0n, false, bits));
      expect(both(op(KIND_SUB), low(a - b), RUBBISH, b)).toBe(ofSum(a, b, 0n, true, bits));
      expect(both(op(KIND_COMPARE), a, RUBBISH, b)).toBe(ofSum(a, b, 0n, true, bits));
      for (const carry of [0n, 1n]) {
        expect(both(op(KIND_ADC), low(a + b + carry), a, b)).toBe(ofSum(a, b, carry, false, bits));
        expect(both(op(KIND_SBB), low(a - b - carry), a, b)).toBe(ofSum(a, b, carry, true, bits));
        const kept = carry === 1n ? CF : 0;
        expect(both(op(KIND_INC), low(a + 1n), RUBBISH, carry)).toBe((ofSum(a, 1n, 0n, false, bits) & ~CF) | kept);
        expect(both(op(KIND_DEC), low(a - 1n), RUBBISH, carry)).toBe((ofSum(a, 1n, 0n, true, bits) & ~CF) | kept);
      }
      expect(both(op(KIND_LOGIC), a & b, RUBBISH, RUBBISH)).toBe(ofResult(a & b, bits));
    }
  });

  test(`CF and OF set alone after a difference of ${bits} bits`, () => {
    const changed = CHANGED_CARRY | CHANGED_OVERFLOW | (CHANGED_CARRY << 1);
    for (const [a, b] of operands(bits)) {
      const before = ofSum(a, b, 0n, true, bits);
      expect(both(op(KIND_COMPARE) | changed, a, RUBBISH, b)).toBe((before & ~OF) | CF);
    }
  });
}
