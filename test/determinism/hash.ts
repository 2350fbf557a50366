/**
 * Prints hashes of guest states: `node [--liftoff-only | --no-liftoff] hash.ts cases SEED COUNT` of random instructions'
 * results, `… program ELF STEP COUNT` of registers and dirty pages of a static program every STEP instructions, exactly.
 */

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { AddressSpace } from '../../src/lvm/address-space.ts';
import { PAGE_SIZE } from '../../src/lvm/layout.ts';
import { TranslatingCpu } from '../../src/x86/cpu.ts';
import { Context, RSP } from '../../src/x86/state.ts';
import { COMPARED, newGuestCpu } from '../cpu/engine.ts';
import { Generator } from '../cpu/generate.ts';
import { Random } from '../cpu/random.ts';

const [what, ...rest] = process.argv.slice(2);
if (what === 'cases') hashCases(Number(rest[0]), Number(rest[1]));
else if (what === 'program') hashProgram(rest[0]!, Number(rest[1]), Number(rest[2]));
else throw new Error('usage: hash.ts cases SEED COUNT | program ELF STEP COUNT');

/** One line a hundred cases, so that a difference can be found. */
function hashCases(seed: number, count: number): void {
  const generator = new Generator(new Random(seed), { forms: COMPARED, maxLength: 8 });
  const guest = newGuestCpu();
  let hash = createHash('sha256');
  for (let i = 1; i <= count; i++) {
    const { gpr, rip, rflags, vector, error, address, fx, window } = guest.run(generator.case());
    hash.update(new Uint8Array(gpr.buffer)).update(`${rip} ${rflags} ${vector} ${error} ${address}`);
    hash.update(fx).update(window);
    if (i % 100 !== 0) continue;
    console.log(`${i} ${hash.digest('hex')}`);
    hash = createHash('sha256');
  }
  guest.close();
}

function hashProgram(path: string, step: number, count: number): void {
  const space = new AddressSpace(1);
  const elf = readFileSync(path);
  const table = Number(elf.readBigUInt64LE(32));
  for (let i = 0; i < elf.readUInt16LE(56); i++) {
    const at = table + i * 56;
    if (elf.readUInt32LE(at) !== 1) continue;
    const [offset, address, fileSize, size] = [8, 16, 32, 40].map((o) => Number(elf.readBigUInt64LE(at + o)));
    const start = address! & ~(PAGE_SIZE - 1);
    const end = (address! + size! + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1);
    const flags = elf.readUInt32LE(at + 4);
    space.map(start, end - start, (flags & 4 ? 1 : 0) | (flags & 2 ? 2 : 0) | (flags & 1 ? 4 : 0));
    space.poke(address!, elf.subarray(offset!, offset! + fileSize!));
  }
  space.map(0x7000_0000, 0x10_0000, 3);
  const context = new Context();
  context.rip = Number(elf.readBigUInt64LE(24));
  context.setNumber(RSP, 0x700f_fff0);
  const cpu = new TranslatingCpu({ readTsc: () => 0n });
  space.takeDirty();
  for (let i = 1; i <= count; i++) {
    let left = step;
    while (left > 0) {
      const exit = cpu.run(space, context, left, true);
      left -= cpu.retired;
      if (exit.kind !== 'budget')
        throw new Error(`${JSON.stringify(exit, (_, v) => String(v))} at ${context.rip.toString(16)}`);
    }
    cpu.unload(space);
    const hash = createHash('sha256').update(context.u8);
    for (const page of space.takeDirty().sort((a, b) => a - b)) hash.update(`${page}`).update(space.page(page));
    console.log(`${i * step} ${hash.digest('hex')}`);
  }
}
