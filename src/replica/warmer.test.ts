import { expect, test } from 'vitest';
import { AddressSpace } from '../lvm/address-space.ts';
import { PAGE_SIZE, PROT_EXEC, PROT_READ, USER_START } from '../lvm/layout.ts';
import { TranslatingCpu } from '../x86/cpu.ts';
import { Context, RAX } from '../x86/state.ts';
import { Warmer } from './warmer.ts';

// inc rax; syscall
const CODE = Uint8Array.of(0x48, 0xff, 0xc0, 0x0f, 0x05);

function space(id: number): AddressSpace {
  const made = new AddressSpace(id);
  made.map(USER_START, PAGE_SIZE, PROT_READ | PROT_EXEC);
  for (let at = 0; at < 64 * 16; at += 16) made.poke(USER_START + at, CODE);
  return made;
}

test('translates bit by bit what the primary has, and the machine runs on the same CPU', () => {
  const shadow = { spaces: new Map([[1, space(1)]]), entries: new Map([[1, new Set<number>()]]) };
  const entries = shadow.entries.get(1)!;
  for (let i = 0; i < 10; i++) entries.add(USER_START + i * 16);
  const warmer = new Warmer((environment) => new TranslatingCpu(environment));
  expect(warmer.progress(shadow)).toEqual({ done: 0, left: 10 });
  expect(warmer.work(shadow, () => true)).toBe(true);
  expect(warmer.progress(shadow)).toEqual({ done: 1, left: 9 });
  expect(warmer.work(shadow, () => false)).toBe(false);
  expect(warmer.progress(shadow)).toEqual({ done: 10, left: 0 });
  for (let i = 10; i < 12; i++) entries.add(USER_START + i * 16);
  expect(warmer.work(shadow, () => false)).toBe(false);
  const cpu = warmer.adopt({ readTsc: () => 5n });
  const context = new Context();
  context.rip = USER_START + 11 * 16;
  const translatedBefore = new Set(cpu.takeTranslated(shadow.spaces.get(1)!));
  expect(translatedBefore).toEqual(entries);
  expect(cpu.run(shadow.spaces.get(1)!, context, 10, false)).toEqual({ kind: 'syscall' });
  expect(context.get(RAX)).toBe(1n);
  expect(cpu.takeTranslated(shadow.spaces.get(1)!)).toEqual([]);
});

test('forgets the memories that are no more, and begins anew with one of the same number', () => {
  const first = space(1);
  const shadow = { spaces: new Map([[1, first]]), entries: new Map([[1, new Set([USER_START])]]) };
  const warmer = new Warmer((environment) => new TranslatingCpu(environment));
  warmer.work(shadow, () => false);
  expect(first.onCodeChange).not.toBeNull();
  shadow.spaces.set(1, space(1));
  expect(warmer.progress(shadow)).toEqual({ done: 0, left: 1 });
  warmer.work(shadow, () => false);
  expect(warmer.progress(shadow)).toEqual({ done: 1, left: 0 });
  expect(first.onCodeChange).toBeNull();
});

test('what a delta changes is translated anew', () => {
  const shadow = { spaces: new Map([[1, space(1)]]), entries: new Map([[1, new Set([USER_START])]]) };
  const memory = shadow.spaces.get(1)!;
  const warmer = new Warmer((environment) => new TranslatingCpu(environment));
  warmer.work(shadow, () => false);
  // dec rax
  memory.willPatch(USER_START / PAGE_SIZE);
  memory.u8[USER_START + 2] = 0xc8;
  const cpu = warmer.adopt({ readTsc: () => 5n });
  const context = new Context();
  context.rip = USER_START;
  cpu.run(memory, context, 10, false);
  expect(context.get(RAX)).toBe(0xffff_ffff_ffff_ffffn);
});
