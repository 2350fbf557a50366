/**
 * Times a static, libc-free x86-64 ELF program on the translating CPU and natively:
 *
 *     node bench/run-flat.ts PROGRAM [--exact N]
 *
 * The program may call only write(1) and exit_group/exit.
 */

import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { AddressSpace } from '../src/lvm/address-space.ts';
import { TranslatingCpu } from '../src/x86/cpu.ts';
import { Context, RAX, RDI, RDX, RSI, RSP } from '../src/x86/state.ts';

const [program, option, value] = process.argv.slice(2);
if (program === undefined) throw new Error('usage: run-flat PROGRAM [--exact N]');
const elf = readFileSync(program);
const space = new AddressSpace(1);
const phoff = Number(elf.readBigUInt64LE(32));
for (let i = 0; i < elf.readUInt16LE(56); i++) {
  const at = phoff + i * elf.readUInt16LE(54);
  if (elf.readUInt32LE(at) !== 1) continue;
  const flags = elf.readUInt32LE(at + 4);
  const [offset, vaddr, , filesz, memsz] = [8, 16, 24, 32, 40].map((o) => Number(elf.readBigUInt64LE(at + o))) as [
    number,
    number,
    number,
    number,
    number,
  ];
  const start = vaddr & ~4095;
  const end = (vaddr + memsz + 4095) & ~4095;
  space.map(start, end - start, (flags & 4 ? 1 : 0) | (flags & 2 ? 2 : 0) | (flags & 1 ? 4 : 0));
  space.poke(vaddr, elf.subarray(offset, offset + filesz));
}
space.map(0x7000_0000, 0x10_0000, 3);
const context = new Context();
context.rip = Number(elf.readBigUInt64LE(24));
context.setNumber(RSP, 0x700f_fff0);
const cpu = new TranslatingCpu({ readTsc: () => 0n });
const start = performance.now();
let instructions = 0;
const step = option === '--exact' ? Number(value) : 100_000_000;
loop: for (;;) {
  const exit = cpu.run(space, context, step, option === '--exact');
  instructions += cpu.retired;
  if (exit.kind === 'fault') {
    console.error(exit, context.rip.toString(16), cpu.unimplemented);
    process.exit(125);
  }
  if (exit.kind !== 'syscall') continue;
  switch (context.getNumber(RAX)) {
    case 1:
      process.stdout.write(space.read(context.getNumber(RSI), context.getNumber(RDX))!);
      context.setNumber(RAX, context.getNumber(RDX));
      break;
    case 60:
    case 231:
      process.exitCode = context.getNumber(RDI) & 255;
      break loop;
    default:
      context.setNumber(RAX, -38);
  }
}
const ours = performance.now() - start;
const before = performance.now();
try {
  execFileSync(program, { stdio: 'ignore' });
} catch {
  // The exit status is the program's.
}
const native = performance.now() - before;
console.error(
  `${program}: ${instructions} instructions, ours ${ours.toFixed(1)} ms (${(instructions / ours / 1000).toFixed(0)} MIPS), native ${native.toFixed(1)} ms`,
);
