/** Exceptions, and what they leave, that the fuzzer found to be other than the host's (test/cpu/). */

import { expect, test } from 'vitest';
import {
  CODE,
  type CpuCase,
  type CpuResult,
  TAIL_ABSENT,
  TAIL_SIZE,
  WINDOW,
  WINDOW_SIZE,
} from '../../test/cpu/case.ts';
import { newGuestCpu } from '../../test/cpu/engine.ts';
import {
  RAX,
  RBP,
  RBX,
  RCX,
  RDX,
  RSP,
  VECTOR_BP,
  VECTOR_GP,
  VECTOR_OF,
  VECTOR_PF,
  VECTOR_SS,
  VECTOR_UD,
} from './state.ts';

const NOT_CANONICAL = 0x8000_0000_0000_0000n;
const STACK = BigInt(WINDOW + 512);
const SIGBUS = 7;
const SIGSEGV = 11;
const SI_KERNEL = 0x80;

/** Runs the bytes with UD2 behind them; `words` from WINDOW; `often`: of newGuestCpu. */
function run(
  code: string,
  registers: Record<number, bigint> = {},
  words: readonly bigint[] = [],
  often?: number,
): CpuResult {
  const gpr = new BigUint64Array(16);
  gpr[RSP] = STACK;
  for (const [register, value] of Object.entries(registers)) gpr[Number(register)] = value;
  const window = new Uint8Array(WINDOW_SIZE + TAIL_SIZE);
  words.forEach((word, i) => {
    new DataView(window.buffer).setBigUint64(i * 8, word, true);
  });
  const fx = new Uint8Array(512);
  new DataView(fx.buffer).setUint32(24, 0x1f80, true);
  const c: CpuCase = {
    gpr,
    rflags: 0,
    fx,
    code: Uint8Array.from(Buffer.from(`${code}0f0b`, 'hex')),
    place: 0,
    tail: TAIL_ABSENT,
    window,
    boundaries: [],
    forms: [],
  };
  const guest = newGuestCpu(often);
  const result = guest.run(c);
  guest.close();
  return result;
}

test.each([
  ['mov rax, [rbp]', '488b4500', { [RBP]: NOT_CANONICAL }, VECTOR_SS, SIGBUS],
  ['mov rax, [rsp]', '488b0424', { [RSP]: NOT_CANONICAL }, VECTOR_SS, SIGBUS],
  ['push rax', '50', { [RSP]: NOT_CANONICAL }, VECTOR_SS, SIGBUS],
  ['push [rbx]', 'ff33', { [RBX]: NOT_CANONICAL }, VECTOR_GP, SIGSEGV],
  ['mov rax, gs:[rbp]', '65488b4500', { [RBP]: NOT_CANONICAL }, VECTOR_GP, SIGSEGV],
  ['mov rax, [rbx]', '488b03', { [RBX]: NOT_CANONICAL }, VECTOR_GP, SIGSEGV],
  ['mov rax, [rbx] over the border', '488b03', { [RBX]: 0x7fff_ffff_fffcn }, VECTOR_GP, SIGSEGV],
  ['ret', 'c3', { [RSP]: 0x7fff_ffff_ffffn }, VECTOR_SS, SIGBUS],
  ['pop [rbx], neither', '8f03', { [RBX]: 1n << 63n, [RSP]: (1n << 63n) - 4n }, VECTOR_SS, SIGBUS],
] as const)('an address that is not canonical: %s', (_, code, registers, vector, signo) => {
  const result = run(code, registers);
  expect(result).toMatchObject({ vector, signo, code: SI_KERNEL, rip: BigInt(CODE) });
});

test.each([
  ['fstp tbyte [rbx]', 'db3b', 0x7fff_ffff_fff8n, VECTOR_PF],
  ['fstp tbyte [rbx]', 'db3b', 0x7fff_ffff_fff9n, VECTOR_GP],
  ['fld tbyte [rbx]', 'db2b', 0x7fff_ffff_fff8n, VECTOR_PF],
  ['fbstp [rbx]', 'df33', 0x7fff_ffff_fff8n, VECTOR_PF],
  ['fbld [rbx]', 'df23', 0x7fff_ffff_fff9n, VECTOR_GP],
] as const)('ten bytes over the border, of which eight come first: %s %s', (_, code, address, vector) => {
  const result = run(code, { [RBX]: address });
  expect(result).toMatchObject({ vector, address: vector === VECTOR_PF ? address : 0n, rip: BigInt(CODE) });
});

test.each([0, 3])('a load is not too near to pages that cannot be read, after %i times', (often) => {
  const end = BigInt(WINDOW + WINDOW_SIZE);
  const words = Array.from({ length: WINDOW_SIZE / 8 }, (_, i) => BigInt(i) + 7n);
  // mov rax, [rbx+8]; mov rcx, [rbx]: what else the object might have is not there.
  const at = (rbx: bigint, code: string): CpuResult =>
    run(code.replaceAll(' ', ''), { [RBX]: BigInt.asUintN(64, rbx) }, words, often);
  const last = at(end - 16n, '488b4308 488b0b');
  expect([last.gpr[RAX], last.gpr[RCX]]).toEqual([words.at(-1), words.at(-2)]);
  // mov rax, [rbx+128]; then with rbx above all pages that there are, and below 0.
  expect(at(end - 128n - 8n, '488b8380000000').gpr[RAX]).toBe(words.at(-1));
  const beyond = at(end, '488b43f0 488b4bf8 488b13');
  expect([beyond.gpr[RAX], beyond.gpr[RCX]]).toEqual([words.at(-2), words.at(-1)]);
  expect(beyond).toMatchObject({ vector: VECTOR_PF, address: end, rip: BigInt(CODE) + 8n });
  expect(at(-128n, '488b8380000000')).toMatchObject({ vector: VECTOR_PF, address: 0n, rip: BigInt(CODE) });
});

test('a branch to an address that is not canonical faults before it changes anything', () => {
  for (const [code, words] of [
    ['c3', [NOT_CANONICAL]],
    ['c20800', [NOT_CANONICAL]],
    ['ffe0', []],
    ['ffd0', []],
  ] as const) {
    const result = run(code, { [RAX]: NOT_CANONICAL, [RSP]: BigInt(WINDOW) + 8n }, [0n, ...words]);
    expect(result).toMatchObject({ vector: VECTOR_GP, rip: BigInt(CODE), signo: SIGSEGV });
    expect(result.gpr[RSP]).toBe(BigInt(WINDOW) + 8n);
    expect(result.window.subarray(0, 8)).toEqual(new Uint8Array(8));
  }
  // Canonical, but nothing is there: the branch is done.
  expect(run('ffe0', { [RAX]: 0x1_0000_0000n })).toMatchObject({ vector: VECTOR_PF, rip: 0x1_0000_0000n });
});

test('ENTER with nested frames copies the enclosing frame pointers', () => {
  const frame = BigInt(WINDOW + 64);
  const words = [0n, 0n, 0n, 0n, 0n, 0n, 0x222n, 0x111n];
  const result = run('c8100003', { [RBP]: frame }, words);
  const at = (address: bigint) => new DataView(result.window.buffer).getBigUint64(Number(address) - WINDOW, true);
  expect([8n, 16n, 24n, 32n].map((below) => at(STACK - below))).toEqual([frame, 0x111n, 0x222n, STACK - 8n]);
  expect(result.gpr[RBP]).toBe(STACK - 8n);
  expect(result.gpr[RSP]).toBe(STACK - 32n - 16n);
});

test('INT 3 and INT 4 are for user mode, other vectors are not', () => {
  expect(run('cd03')).toMatchObject({ vector: VECTOR_BP, rip: BigInt(CODE + 2) });
  expect(run('cd04')).toMatchObject({ vector: VECTOR_OF, rip: BigInt(CODE + 2), signo: SIGSEGV, code: SI_KERNEL });
  expect(run('cd20')).toMatchObject({ vector: VECTOR_GP, rip: BigInt(CODE) });
});

test('selectors: those of the descriptor table, no others', () => {
  for (const selector of [0n, 3n, 0x2bn, 0x33n]) expect(run('8ed8', { [RAX]: selector }).vector).toBe(VECTOR_UD);
  for (const selector of [0x10n, 0x1234n, 0x2fn]) {
    expect(run('8ed8', { [RAX]: selector })).toMatchObject({ vector: VECTOR_GP, rip: BigInt(CODE) });
  }
  // mov ss, eax
  expect(run('8ed0', { [RAX]: 0x2bn }).rip).toBe(BigInt(CODE + 2));
  expect(run('8ed0', { [RAX]: 0n }).rip).toBe(BigInt(CODE));
  // mov ds, eax; mov ecx, ds; push gs after lgs ecx, [rbx]
  expect(run('8ed88cd9', { [RAX]: 0x23n }).gpr[RCX]).toBe(0x23n);
  const kept = run('0fb50b0fa8', { [RBX]: BigInt(WINDOW) }, [0x2b_8765_4321n]);
  expect(kept.gpr[RCX]).toBe(0x8765_4321n);
  expect(kept.window.subarray(512 - 8, 512)).toEqual(Uint8Array.from([0x2b, 0, 0, 0, 0, 0, 0, 0]));
  // lss rcx, [rbx] with an offset of 64 bits, as Intel's processors have it
  expect(run('480fb20b', { [RBX]: BigInt(WINDOW) }, [0x1234_5678_9abcn, 0x2bn]).gpr[RCX]).toBe(0x1234_5678_9abcn);
  const pushed = run('0fa0');
  expect(pushed).toMatchObject({ vector: VECTOR_UD, rip: BigInt(CODE + 2) });
  expect(pushed.gpr[RSP]).toBe(STACK - 8n);
});

test('what LAR and LSL say of selectors', () => {
  const ZF = 0x40;
  const ask = (code: string, selector: bigint) => {
    const { gpr, rflags } = run(code, { [RAX]: selector, [RCX]: 5n });
    return (rflags & ZF) === 0 ? null : gpr[RCX];
  };
  expect([0x23n, 0x2bn, 0x33n, 0x7bn].map((selector) => ask('0f02c8', selector))).toEqual([
    0xcffb00n,
    0xcff300n,
    0xaffb00n,
    0x40f500n,
  ]);
  // The processor's number is 0, whatever the host's is.
  expect([0x2bn, 0x7bn].map((selector) => ask('0f03c8', selector))).toEqual([0xffff_ffffn, 0n]);
  for (const selector of [0n, 3n, 0x10n, 0x40n, 0x2fn]) expect(ask('0f02c8', selector)).toBeNull();
});

test('a segment register that is loaded gets the base 0', () => {
  // mov rcx, gs:[rax]; mov gs, edx; mov rdx, gs:[rax]
  const result = run('65488b088eea65488b10', { [RAX]: BigInt(WINDOW) - 0x1000n, [RDX]: 0x2bn }, [7n]);
  expect(result.gpr[RCX]).toBe(7n);
  expect(result.gpr[RDX]).toBe(0n);
});

test('a control register that there is not', () => {
  expect(run('0f20c0').vector).toBe(VECTOR_GP);
  expect(run('0f20c8')).toMatchObject({ vector: VECTOR_UD, rip: BigInt(CODE) });
});
