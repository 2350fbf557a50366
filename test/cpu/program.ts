/** A program of the host's gcc that computes a lot in little code, prints what it got, and needs no library. */

import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AddressSpace } from '../../src/lvm/address-space.ts';
import { Context, RSP } from '../../src/x86/state.ts';

const STACK = 0x1070_0000;
const STACK_SIZE = 0x10_0000;

const SOURCE = `
typedef unsigned long u64; typedef unsigned int u32; typedef unsigned char u8; typedef unsigned short u16;
static long sys(long n, long a, long b, long c) { long r; __asm__ volatile("syscall" : "=a"(r) : "a"(n), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory"); return r; }
static void hex(u64 v) { char s[17]; for (int i = 15; i >= 0; i--) { s[i] = "0123456789abcdef"[v & 15]; v >>= 4; } s[16] = '\\n'; sys(1, 1, (long)s, 17); }
u8 sv[10000]; int arr[2000];
__attribute__((noinline)) u64 fib(u64 n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }
__attribute__((noinline)) u64 deep(u64 n) { return n ? deep(n - 1) * 3 + n : 1; }
__attribute__((noinline)) u32 sieve(void) { u32 c = 0; for (int i = 2; i < 10000; i++) if (!sv[i]) { c++; for (u64 j = (u64)i * i; j < 10000; j += i) sv[j] = 1; } return c; }
__attribute__((noinline)) u64 sort(void) { u32 x = 12345; for (int i = 0; i < 2000; i++) { x = x * 1664525 + 1013904223; arr[i] = x >> 1; }
  for (int g = 1000; g; g /= 2) for (int i = g; i < 2000; i++) { int t = arr[i], j = i; while (j >= g && arr[j - g] > t) { arr[j] = arr[j - g]; j -= g; } arr[j] = t; }
  u64 h = 0; for (int i = 0; i < 2000; i++) h = h * 31 + arr[i]; return h; }
__attribute__((noinline)) u64 misc(void) { u64 h = 0x1234567; for (int i = 1; i < 500; i++) { h = (h << 13 | h >> 51) * 0x9E3779B97F4A7C15ul; h ^= h >> 29; h += h / (i * 7 + 1); h ^= h % (u64)(i + 3);
  long s = (long)h; h += s / (i + 1) - s % (-(long)i - 1); int w = (int)h; h ^= (u64)(w / (i | 1)) << 7; h += ((__int128)s * i) >> 64; h += ((unsigned __int128)h * i) >> 64;
  u8 b = h >> 5; h += (u8)(b * 3) + (signed char)b; u16 q = h >> 9; q = (q << 3) | (q >> 13); h ^= q; h += __builtin_clzl(h | 1) + __builtin_ctzl(h | 2); h ^= __builtin_bswap64(h) ^ __builtin_bswap32((u32)h); } return h; }
void _start(void) { __asm__ volatile("and $-16,%rsp"); hex(misc()); hex(fib(15)); hex(deep(1000)); hex(sieve()); hex(sort()); sys(60, 0, 0, 0); }
`;

export interface CompiledProgram {
  readonly elf: Buffer;
  /** What it prints on the host. */
  readonly output: string;
}

/** Null, and a word why, where there is no gcc for x86-64. */
export function compileProgram(): CompiledProgram | null {
  const folder = mkdtempSync(join(tmpdir(), 'x86-'));
  try {
    writeFileSync(join(folder, 'p.c'), SOURCE);
    const flags =
      '-O2 -static -nostdlib -fno-stack-protector -fcf-protection=none -mno-sse -fno-tree-vectorize -o p p.c';
    execFileSync('gcc', flags.split(' '), { cwd: folder, stdio: 'pipe' });
    return { elf: readFileSync(join(folder, 'p')), output: execFileSync(join(folder, 'p')).toString() };
  } catch (error) {
    console.log(`skipped: gcc for x86-64 is needed (${(error as Error).message.split('\n')[0]})`);
    return null;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** An address space with a static program, and the registers at its entry. `codeProt`: more for executable pages. */
export function loadProgram(elf: Buffer, codeProt = 0): { space: AddressSpace; context: Context } {
  const space = new AddressSpace(1);
  for (let i = 0; i < elf.readUInt16LE(56); i++) {
    const at = Number(elf.readBigUInt64LE(32)) + i * elf.readUInt16LE(54);
    if (elf.readUInt32LE(at) !== 1) continue;
    const flags = elf.readUInt32LE(at + 4);
    const field = (o: number): number => Number(elf.readBigUInt64LE(at + o));
    const start = field(16) & ~4095;
    const end = (field(16) + field(40) + 4095) & ~4095;
    const prot = (flags & 4 ? 1 : 0) | (flags & 2 ? 2 : 0) | (flags & 1 ? 4 | codeProt : 0);
    space.map(start, end - start, prot);
    space.poke(field(16), elf.subarray(field(8), field(8) + field(32)));
  }
  space.map(STACK, STACK_SIZE, 3);
  const context = new Context();
  context.rip = Number(elf.readBigUInt64LE(24));
  context.setNumber(RSP, STACK + STACK_SIZE - 16);
  return { space, context };
}
