/**
 * The helper `sse`: a floating-point instruction in integers, for MXCSR settings other than the default (see
 * lower-sse-mxcsr.ts), and the approximations. Exceptions: Intel SDM vol. 1, 11.5.2 and 11.5.3.
 */

import { REGISTER_FILE } from '../lvm/layout.ts';
import { OFF_SSE_A, OFF_SSE_B, OFF_SSE_RESULT, SSE_HELPER_OPS } from './lower-sse-mxcsr.ts';
import { BINARY32, BINARY64, FloatEnvironment, type Format } from './softfloat-binary.ts';
import { HORIZONTAL, type Horizontal } from './softfloat-sse-horizontal.ts';
import { approximateReciprocal, approximateRoot } from './sse-approximate.ts';
import { OFF_MXCSR, VECTOR_XM } from './state.ts';
import { type Machine, raise, registerHelper } from './support.ts';

/** One lane (an integer operand: 64 bits); returns the lane's bits. */
type Lane = (e: FloatEnvironment, a: bigint, b: bigint, imm: number) => bigint;

interface LaneOperation {
  readonly lanes: number;
  /** Bytes of a lane of `b`, and of the result. */
  readonly from: number;
  readonly to: number;
  /** Whether the rest of the result is that of `a` or zero. */
  readonly keep: boolean;
  readonly lane: Lane;
}

/** Across the lanes of `f`. */
interface HorizontalOperation {
  readonly f: Format;
  readonly horizontal: Horizontal;
}

type Operation = LaneOperation | HorizontalOperation;

function compareMask(e: FloatEnvironment, f: Format, a: bigint, b: bigint, predicate: number): boolean {
  const low = predicate & 3;
  const order = e.order(f, a, b, low === 0 || low === 3);
  const holds = low === 0 ? order === 0 : low === 1 ? order === -1 : low === 2 ? order <= 0 : order === 2;
  return holds !== predicate > 3;
}

/** ZF, PF, CF by the order. */
function orderFlags(order: number): bigint {
  return order === 2 ? 0x45n : order === 0 ? 0x40n : order === -1 ? 1n : 0n;
}

const table: Operation[] = SSE_HELPER_OPS.map((name) => {
  const operation = arithmetic(name) ?? acrossLanes(name) ?? conversion(name);
  if (operation === null) throw new Error(name);
  return operation;
});

function acrossLanes(name: string): HorizontalOperation | null {
  const match = /^(addsub|hadd|hsub|dp)p(s|d)$/.exec(name);
  return match && { f: match[2] === 's' ? BINARY32 : BINARY64, horizontal: HORIZONTAL[match[1]!]! };
}

function arithmetic(name: string): LaneOperation | null {
  const match = /^(add|sub|mul|div|sqrt|min|max|cmp|ucomi|comi|rcp|rsqrt|round)(s|p)(s|d)$/.exec(name);
  if (match === null) return null;
  const f = match[3] === 's' ? BINARY32 : BINARY64;
  const size = match[3] === 's' ? 4 : 8;
  const lanes = match[2] === 's' ? 1 : 16 / size;
  const shape = { lanes, from: size, to: size, keep: true };
  const ones = (1n << f.width) - 1n;
  switch (match[1]) {
    case 'add':
      return { ...shape, lane: (e, a, b) => e.sum(f, a, b) };
    case 'sub':
      return { ...shape, lane: (e, a, b) => e.difference(f, a, b) };
    case 'mul':
      return { ...shape, lane: (e, a, b) => e.product(f, a, b) };
    case 'div':
      return { ...shape, lane: (e, a, b) => e.quotient(f, a, b) };
    case 'sqrt':
      return { ...shape, lane: (e, _a, b) => e.root(f, b) };
    case 'min':
      return { ...shape, lane: (e, a, b) => e.extreme(f, a, b, true) };
    case 'max':
      return { ...shape, lane: (e, a, b) => e.extreme(f, a, b, false) };
    case 'cmp':
      return { ...shape, lane: (e, a, b, imm) => (compareMask(e, f, a, b, imm) ? ones : 0n) };
    case 'round':
      return { ...shape, lane: (e, _a, b, imm) => e.toIntegral(f, b, imm) };
    case 'rcp':
      return { ...shape, lane: (_e, _a, b) => BigInt(approximateReciprocal(Number(b))) };
    case 'rsqrt':
      return { ...shape, lane: (_e, _a, b) => BigInt(approximateRoot(Number(b))) };
    default: {
      const quiet = match[1] === 'ucomi';
      return { ...shape, to: 8, keep: false, lane: (e, a, b) => orderFlags(e.order(f, a, b, quiet)) };
    }
  }
}

function conversion(name: string): LaneOperation | null {
  const match = /^cvt(t?)(si|sq|ss|sd|ps|pd|dq|pi)2(si|sq|ss|sd|ps|pd|dq|pi)$/.exec(name);
  if (match === null) return null;
  const [, t, source, target] = match as unknown as [string, string, string, string];
  const truncate = t === 't';
  const float = (kind: string) => (kind.endsWith('s') ? BINARY32 : BINARY64);
  const integer = (kind: string) => (kind === 'sq' ? 8 : kind === 'si' || kind === 'dq' || kind === 'pi' ? 4 : 0);
  const sizeOf = (kind: string) => integer(kind) || (kind.endsWith('s') ? 4 : 8);
  const from = sizeOf(source);
  const to = sizeOf(target);
  const scalar = source.startsWith('s');
  const lanes = scalar ? 1 : source === 'pi' || target === 'pi' ? 2 : 16 / Math.max(from, to);
  const keep = target === 'ss' || target === 'sd' || name === 'cvtpi2ps';
  const shape = { lanes, from, to, keep };
  if (integer(source) > 0) {
    return { ...shape, lane: (e, _a, b) => e.fromInteger(float(target), BigInt.asIntN(from * 8, b)) };
  }
  if (integer(target) > 0) {
    return { ...shape, lane: (e, _a, b) => e.integerOf(float(source), b, to * 8, truncate) };
  }
  return { ...shape, lane: (e, _a, b) => e.convert(float(source), float(target), b) };
}

const A = REGISTER_FILE + OFF_SSE_A;
const B = REGISTER_FILE + OFF_SSE_B;
const RESULT = REGISTER_FILE + OFF_SSE_RESULT;

function read(view: DataView, at: number, size: number): bigint {
  return size === 8 ? view.getBigUint64(at, true) : BigInt(view.getUint32(at, true));
}

function write(view: DataView, at: number, size: number, bits: bigint): void {
  if (size === 8) view.setBigUint64(at, bits, true);
  else view.setUint32(at, Number(bits), true);
}

function runLanes(view: DataView, e: FloatEnvironment, operation: LaneOperation, imm: number): void {
  const { lanes, from, to, keep, lane } = operation;
  for (let i = 0; i < 16; i += 8) view.setBigUint64(RESULT + i, keep ? view.getBigUint64(A + i, true) : 0n, true);
  for (let i = 0; i < lanes; i++) {
    const a = read(view, A + i * from, from);
    write(view, RESULT + i * to, to, lane(e, a, read(view, B + i * from, from), imm));
  }
}

function runHorizontal(view: DataView, e: FloatEnvironment, { f, horizontal }: HorizontalOperation, imm: number): void {
  const size = Number(f.width) / 8;
  // B stands behind A.
  const lanes = Array.from({ length: 32 / size }, (_, i) => read(view, A + i * size, size));
  horizontal(e, f, lanes, imm).forEach((bits, i) => {
    write(view, RESULT + i * size, size, bits);
  });
}

registerHelper('sse', (machine: Machine, arg: number): number => {
  const { view } = machine;
  const mxcsr = view.getUint32(REGISTER_FILE + OFF_MXCSR, true);
  const environment = new FloatEnvironment(mxcsr);
  const operation = table[arg & 0xff]!;
  if ('lane' in operation) runLanes(view, environment, operation, arg >> 8);
  else runHorizontal(view, environment, operation, arg >> 8);
  const raises = environment.settle();
  view.setUint32(REGISTER_FILE + OFF_MXCSR, mxcsr | environment.flags, true);
  return raises ? raise(machine, VECTOR_XM) : 0;
});
