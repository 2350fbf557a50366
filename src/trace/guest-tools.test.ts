/** A guest that is looked at does what it does otherwise; and what is seen of known programs. */

import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Machine, type MachineOptions } from '../../test/support/machine.ts';
import { stateHash } from '../checkpoint/hash.ts';
import { nameOf, SYSCALLS } from '../linux/syscalls/table.ts';
import { GuestTools } from './guest-tools.ts';
import { TRACE_KINDS, type TraceKind } from './kinds.ts';
import { SIGNATURE_NAMES, signatureOf } from './syscall-signatures.ts';

const SCRIPT: MachineOptions = {
  program: '/bin/sh',
  args: ['-c', 'trap "echo caught" USR1; kill -USR1 $$; echo one | tr o 0; x=$(seq 5 | tail -1); echo $x; exit 3'],
};

function run(options: MachineOptions, trace: readonly TraceKind[], profile = false) {
  const lines: string[] = [];
  const tools = new GuestTools({ trace, write: (line) => lines.push(line), profile });
  const machine = new Machine({ still: true, ...options, tools });
  const status = machine.finish();
  const { stdout, stderr } = machine;
  return { lines, tools, ended: { status, stdout, stderr, instructions: machine.kernel.instructions } };
}

test.each([...TRACE_KINDS, TRACE_KINDS.join(' ')])('%s: the guest runs as without', (words) => {
  const kinds = words.split(' ') as TraceKind[];
  const plain = run(SCRIPT, []).ended;
  expect(plain).toMatchObject({ status: { code: 3, signal: null }, stdout: 'caught\n0ne\n5\n' });
  expect(run(SCRIPT, kinds).ended).toEqual(plain);
});

test('a profiled guest runs as without', () => {
  expect(run(SCRIPT, [], true).ended).toEqual(run(SCRIPT, []).ended);
});

test('the same state at the same count', () => {
  const hashes = (trace: readonly TraceKind[], profile: boolean): string[] => {
    const tools = new GuestTools({ trace, write: () => {}, profile });
    const machine = new Machine({ still: true, ...SCRIPT, tools });
    const found: string[] = [];
    while (machine.run(20_011, true)) {
      const { spaces, ledger, cpu, instructions } = machine.kernel;
      for (const space of spaces.values()) cpu.unload(space);
      const parts = new Map(ledger.all().map(({ key, bytes }) => [key, bytes!]));
      found.push(`${instructions} ${stateHash(spaces, parts)}`);
    }
    return found;
  };
  const plain = hashes([], false);
  expect(plain.length).toBeGreaterThan(10);
  expect(hashes(TRACE_KINDS, true)).toEqual(plain);
});

describe('system calls', () => {
  /** Without the head, by thread. */
  const calls = (lines: readonly string[]) => lines.map((line) => line.replace(/^\d+\/\d+ @\d+ /, ''));

  test('every call in the table has a signature, of at most six arguments', () => {
    expect(SYSCALLS.map(({ number }) => nameOf(number)).filter((name) => !SIGNATURE_NAMES.includes(name))).toEqual([]);
    for (const name of SIGNATURE_NAMES) expect(signatureOf(name).arguments.length).toBeLessThanOrEqual(6);
  });

  test('arguments and results of a shell and its programs', () => {
    const { lines } = run(SCRIPT, ['syscalls']);
    for (const line of lines) expect(line).toMatch(/^\d+\/\d+ @\d+ (\w+\(|<\.\.\. \w+ resumed>|--- SIG)/);
    expect(calls(lines)).toEqual(
      expect.arrayContaining([
        'kill(1, SIGUSR1) = 0',
        '--- SIGUSR1 {code 0, pid 1} ---',
        expect.stringMatching(/^--- SIGCHLD \{code 1, pid \d+\} ---$/),
        'write(1, "caught\\n", 7) = 7',
        expect.stringMatching(/^openat\(AT_FDCWD, "\/etc\/ld\.so\.cache", O_RDONLY\|O_CLOEXEC, 0\) = \d+$/),
        expect.stringMatching(/^execve\("\/usr\/bin\/tr", \["tr", "o", "0"\], 0x[0-9a-f]+\) = 0$/),
        expect.stringMatching(/^read\(\d, "\\x7fELF\\x02\\x01\\x01.*"\.\.\., 832\) = 832$/),
        expect.stringMatching(
          /^mmap\(NULL, \d+, PROT_READ\|PROT_WRITE, MAP_ANONYMOUS\|MAP_PRIVATE, -1, 0\) = 0x[0-9a-f]+$/,
        ),
        expect.stringMatching(/^(pipe2?)\(\[3, 4\]/),
        expect.stringMatching(/^(openat|access|newfstatat)\(.*\) = -1 ENOENT$/),
        expect.stringMatching(/^<\.\.\. read resumed>"5\\n", \d+\) = 2$/),
        expect.stringMatching(/^<\.\.\. wait4 resumed>\[0x0\], .*\) = \d+$/),
        'exit_group(3) = ?',
      ]),
    );
  });
});

describe.skipIf(!existsSync('/usr/bin/gcc'))('a compiled program', () => {
  const folder = mkdtempSync(join(tmpdir(), 'tardigrade-tools-'));
  const [program, small, repeats] = [join(folder, 'p'), join(folder, 'small'), join(folder, 'repeats')];
  beforeAll(() => {
    const assemble = (path: string, text: string) => {
      writeFileSync(`${path}.S`, `.globl _start\n_start: ${text}\n`);
      execFileSync('gcc', ['-nostdlib', '-static', '-o', path, `${path}.S`]);
    };
    assemble(small, 'mov $2, %ecx; call twice; 1: dec %ecx; jnz 1b; mov %ecx, 0x10; twice: add %ecx, %ecx; ret');
    assemble(repeats, 'mov $3, %ecx; mov %rsp, %rsi; lea -16(%rsp), %rdi; rep movsb; .byte 0x06');
    writeFileSync(
      `${program}.c`,
      `#include <stdio.h>
      __attribute__((noinline)) unsigned often(unsigned n) { unsigned x = 1; while (n--) x = x * 3 + (x >> 7); return x; }
      __attribute__((noinline)) unsigned seldom(unsigned n) { unsigned x = 5; while (n--) x = x * 3 + (x >> 7); return x; }
      int main(void) { unsigned x = 0; for (int i = 0; i < 500; i++) x += often(90000 + i) + seldom(10000 + i); printf("%u\\n", x); }
      `,
    );
    execFileSync('gcc', ['-O1', '-o', program, `${program}.c`]);
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  test('blocks and instructions: a line for each, in the right function, with what it changes', () => {
    const { lines, ended } = run({ program: small }, ['blocks', 'registers']);
    expect(ended).toMatchObject({ status: { code: null, signal: 11 }, instructions: 12 });
    expect(lines.map((line) => line.replace(/ {2,}/g, ' ').replaceAll(` (${small})`, ''))).toEqual([
      '1/1 @0 block 0x401000 _start',
      '1/1 @0 0x401000 _start: b9 02 00 00 00 mov ecx, 0x2 rcx=0x2',
      expect.stringMatching(/^1\/1 @1 0x401005 _start\+0x5: e8 0b 00 00 00 call 0x401015 rsp=0x[0-9a-f]+$/),
      '1/1 @2 block 0x401015 twice',
      '1/1 @2 0x401015 twice: 01 c9 add ecx, ecx rcx=0x4',
      expect.stringMatching(/^1\/1 @3 0x401017 twice\+0x2: c3 ret rsp=0x[0-9a-f]+$/),
      '1/1 @4 block 0x40100a _start+0xa',
      '1/1 @4 0x40100a _start+0xa: ff c9 dec ecx rcx=0x3 rflags=0x206',
      '1/1 @5 0x40100c _start+0xc: 75 fc jne 0x40100a',
      '1/1 @6 block 0x40100a _start+0xa',
      '1/1 @6 0x40100a _start+0xa: ff c9 dec ecx rcx=0x2 rflags=0x202',
      '1/1 @7 0x40100c _start+0xc: 75 fc jne 0x40100a',
      '1/1 @8 block 0x40100a _start+0xa',
      '1/1 @8 0x40100a _start+0xa: ff c9 dec ecx rcx=0x1',
      '1/1 @9 0x40100c _start+0xc: 75 fc jne 0x40100a',
      '1/1 @10 block 0x40100a _start+0xa',
      '1/1 @10 0x40100a _start+0xa: ff c9 dec ecx rcx=0x0 rflags=0x246',
      '1/1 @11 0x40100c _start+0xc: 75 fc jne 0x40100a',
      '1/1 @12 block 0x40100e _start+0xe',
      '1/1 @12 0x40100e _start+0xe: 89 0c 25 10 00 00 00 mov dword ptr [0x10], ecx exception 14, address 0x10, error 0x6',
    ]);
  });

  test('repeated instructions are one block, with a line for each time', () => {
    const { lines } = run({ program: repeats }, ['blocks', 'instructions']);
    expect(lines.filter((line) => line.includes('rep movsb'))).toHaveLength(3);
    expect(lines.filter((line) => line.includes(' block '))).toHaveLength(1);
    expect(lines.at(-1)).toMatch(/^1\/1 @\d+ 0x[0-9a-f]+ _start\+0x\w+ \(.*\): undefined exception 6, /);
  });

  test('a fault is a signal in a function', () => {
    expect(run({ program: small }, ['syscalls']).lines).toEqual([
      `1/1 @12 --- SIGSEGV {code 1, address 0x10, in _start+0xe (${small})} ---`,
    ]);
  });

  test('the profile has its functions with their shares', () => {
    const { tools, ended } = run({ program }, [], true);
    const profile = tools.profile!;
    expect(profile.samples).toBeGreaterThan((0.9 * ended.instructions) / profile.period);
    expect(profile.samples).toBeLessThan((1.1 * ended.instructions) / profile.period);
    const report = profile.report();
    const share = (name: string) => Number(new RegExp(`^ *([0-9.]+)% .* ${name} `, 'm').exec(report)?.[1] ?? 0);
    // One and the same each time; standard deviation of such a share: 1.7 % at 300 samples.
    expect(share('often'), report).toBeGreaterThan(80);
    expect(share('often'), report).toBeLessThan(97);
    expect(share('seldom'), report).toBeGreaterThan(3);
    expect(share('seldom'), report).toBeLessThan(18);
    expect(report).toMatch(new RegExp(`often +${program}$`, 'm'));
    expect(report).toMatch(/^# by tier: interpreted \d/m);
  });
});
