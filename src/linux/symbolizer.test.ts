/** Symbols of compiled programs, against nm; and files that are no programs. */

import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Machine } from '../../test/support/machine.ts';
import { SymbolTable } from './loader/symbols.ts';
import { tinyElf } from './loader/test-elf.ts';
import { placeText, Symbolizer } from './symbolizer.ts';

const folder = mkdtempSync(join(tmpdir(), 'tardigrade-symbols-'));
afterAll(() => rmSync(folder, { recursive: true }));

const SOURCE = `#include <stdlib.h>
static __attribute__((noinline)) int inner(int n) { if (n > 100) *(volatile int *)16 = n; return n + 1; }
__attribute__((noinline)) int outer(int n) { return inner(n) + inner(n + 1); }
int main(int argc, char **argv) { return outer(argc > 1 ? atoi(argv[1]) : 1); }
`;

function tableOf(bytes: Uint8Array): SymbolTable | null {
  return SymbolTable.of((offset, length) => bytes.subarray(offset, offset + length));
}

test('what is no ELF file has no table; one without sections has no symbols', () => {
  expect(tableOf(new TextEncoder().encode('#!/bin/sh\n'))).toBeNull();
  const table = tableOf(tinyElf())!;
  expect(table.addressOf(0x100)).toBe(0x40_0100);
  expect(table.addressOf(0x1000)).toBeNull();
  expect(table.find(0x40_0100)).toBeNull();
});

describe.skipIf(!existsSync('/usr/bin/gcc'))('compiled programs', () => {
  const program = (name: string) => join(folder, name);
  beforeAll(() => {
    writeFileSync(program('p.c'), SOURCE);
    const compile = (name: string, ...flags: string[]) =>
      execFileSync('gcc', ['-O1', '-fno-inline', '-o', program(name), program('p.c'), ...flags]);
    compile('pie');
    compile('fixed', '-no-pie', '-static');
    compile('stripped', '-s');
  });

  /** Name → [start, size], as nm has them. */
  function nm(name: string): Map<string, [number, number]> {
    const rows = execFileSync('nm', ['-S', program(name)], { encoding: 'utf8' }).matchAll(
      /^(\w+) (\w+) [tTwW] (.+)$/gm,
    );
    return new Map([...rows].map(([, start, size, symbol]) => [symbol!, [Number(`0x${start}`), Number(`0x${size}`)]]));
  }

  test.each(['pie', 'fixed'])('%s: each address of a function is found in it', (name) => {
    const table = tableOf(readFileSync(program(name)))!;
    const symbols = nm(name);
    for (const symbol of ['inner', 'outer', 'main']) {
      const [start, size] = symbols.get(symbol)!;
      for (const at of [start, start + 1, start + size - 1])
        expect(table.find(at)).toMatchObject({ name: symbol, start });
      expect(table.find(start + size)?.name).not.toBe(symbol);
    }
  });

  test('a stripped program has no name for what is its own', () => {
    const [start] = nm('pie').get('inner')!;
    expect(tableOf(readFileSync(program('stripped')))!.find(start)).toBeNull();
  });

  test('cut off and damaged files are no reason to fail', () => {
    const bytes = readFileSync(program('pie'));
    for (let length = 0; length < bytes.length; length += 97) tableOf(bytes.subarray(0, length));
    for (let at = 0; at < bytes.length; at += 13) {
      const damaged = Uint8Array.from(bytes);
      damaged.fill(0xff, at, at + 8);
      tableOf(damaged)?.find(0x1100);
    }
  });

  test.each(['pie', 'fixed'])('%s: a crash says the function that it is in', (name) => {
    const machine = new Machine({ program: program(name), args: ['200'] });
    expect(machine.finish()).toEqual({ code: null, signal: 11 });
    expect(machine.kernel.lastCrash).toContain(`signal 11, address 0x10, in inner+0x`);
    expect(machine.kernel.lastCrash).toContain(`(${program(name)}), rip 0x`);
  });

  test('a running guest: the program, its libraries, what no file stands behind', () => {
    const machine = new Machine({ program: program('pie') });
    const symbolizer = new Symbolizer();
    const names = new Set<string>();
    while (machine.run(1, true)) {
      const { current } = machine.kernel;
      if (current !== null) names.add(symbolizer.find(current.process.mm, current.context.rip).symbol ?? '');
    }
    expect([...names]).toEqual(expect.arrayContaining(['main', 'outer', 'inner', '__libc_start_main']));
    const { mm } = new Machine({ program: program('pie') }).kernel.init;
    const stack = mm.rows().find((row) => row.name === '[stack]')!;
    expect(placeText(symbolizer.find(mm, stack.start + 16))).toBe('[stack]+0x10');
    expect(placeText(symbolizer.find(mm, 0x20))).toBe('[unmapped]+0x20');
  });
});
