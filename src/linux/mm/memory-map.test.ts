import { describe, expect, test } from 'vitest';
import { PAGE_SIZE, PROT_READ, PROT_WRITE } from '../../lvm/layout.ts';
import { EACCES, EEXIST, EFAULT, EINVAL, ENOMEM } from '../abi/errno.ts';
import type { Inode } from '../fs/inode.ts';
import { TestKernel } from '../test-kernel.ts';
import {
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_FIXED_NOREPLACE,
  MAP_PRIVATE,
  MAP_SHARED,
  MemoryMap,
  MREMAP_MAYMOVE,
} from './memory-map.ts';

const RW = PROT_READ | PROT_WRITE;
const AT = 0x3000_0000;
const page = (n: number): number => AT + n * PAGE_SIZE;

interface Options {
  readonly flags?: number;
  readonly prot?: number;
  readonly file?: Inode;
  readonly offset?: number;
  readonly mayWrite?: boolean;
}

/** Maps pages from `page(first)`. */
function mapped(
  map: MemoryMap,
  first: number,
  count: number,
  { flags = MAP_PRIVATE, prot = RW, file, offset = 0, mayWrite }: Options = {},
) {
  return map.map({
    address: page(first),
    length: count * PAGE_SIZE,
    prot,
    flags: flags | MAP_FIXED | (file === undefined ? MAP_ANONYMOUS : 0),
    file: file === undefined ? null : { inode: file, offset, path: '/file' },
    ...(mayWrite === undefined ? {} : { mayWrite }),
  });
}

function forked(host: TestKernel, map: MemoryMap): MemoryMap {
  return host.kernel.enterMap(map.clone(map.space.fork(host.kernel.newSpaceId()))!);
}

const text = (map: MemoryMap, address: number, length: number): string =>
  new TextDecoder().decode(map.space.u8.subarray(address, address + length));

/** Writes as the guest does, and lets the others see it as the kernel does. */
function write(map: MemoryMap, address: number, bytes: string): boolean {
  const done = map.space.write(address, new TextEncoder().encode(bytes));
  map.publish();
  return done;
}

function fileOf(host: TestKernel, content: string): Inode {
  const inode = host.kernel.vfs.mknod(host.init.fs, host.kernel.vfs.root, `/${content.length}`, 0o100600) as Inode;
  inode.write(0, new TextEncoder().encode(content));
  return inode;
}

const rows = (map: MemoryMap): string[] =>
  map
    .rows()
    .filter(({ start }) => start >= AT && start < AT + (1 << 24))
    .map(
      ({ start, end, prot, offset }) =>
        `${(start - AT) / PAGE_SIZE}-${(end - AT) / PAGE_SIZE} ${prot} ${offset / PAGE_SIZE}`,
    );

describe('areas', () => {
  test('neighbours that are alike are one; a hole, a protection and an end cut them', () => {
    const { mm } = new TestKernel().init;
    mapped(mm, 0, 2);
    mapped(mm, 2, 6);
    expect(rows(mm)).toEqual(['0-8 3 0']);
    expect(mm.munmap(page(1), PAGE_SIZE)).toBe(0);
    expect(mm.mprotect(page(4), 2 * PAGE_SIZE, PROT_READ)).toBe(0);
    expect(rows(mm)).toEqual(['0-1 3 0', '2-4 3 0', '4-6 1 0', '6-8 3 0']);
    expect(mm.mprotect(page(4), 2 * PAGE_SIZE, RW)).toBe(0);
    expect(rows(mm)).toEqual(['0-1 3 0', '2-8 3 0']);
    expect(mm.mprotect(page(0), 4 * PAGE_SIZE, PROT_READ)).toBe(-ENOMEM);
    expect(rows(mm)).toEqual(['0-1 1 0', '2-8 3 0']);
  });

  test('a part of a file mapping keeps its place in the file', () => {
    const host = new TestKernel();
    const { mm } = host.init;
    const file = fileOf(host, 'x'.repeat(5 * PAGE_SIZE));
    mapped(mm, 0, 5, { file });
    mm.munmap(page(1), PAGE_SIZE);
    mm.mprotect(page(3), PAGE_SIZE, PROT_READ);
    expect(rows(mm)).toEqual(['0-1 3 0', '2-3 3 2', '3-4 1 3', '4-5 3 4']);
  });

  test('the highest free place below what is there; a hint where it is free', () => {
    const { mm } = new TestKernel().init;
    const map = (address: number, pages: number, flags = 0) =>
      mm.map({ address, length: pages * PAGE_SIZE, prot: RW, flags: MAP_PRIVATE | MAP_ANONYMOUS | flags });
    const first = map(0, 4);
    expect(map(0, 2)).toBe(first - 2 * PAGE_SIZE);
    mm.munmap(first + PAGE_SIZE, PAGE_SIZE);
    expect(map(0, 1)).toBe(first + PAGE_SIZE);
    expect(map(AT + 5, 1)).toBe(AT);
    expect(map(AT, 1)).toBeLessThan(first);
    expect(map(AT, 1, MAP_FIXED_NOREPLACE)).toBe(-EEXIST);
    expect(map(AT + 1, 1, MAP_FIXED)).toBe(-EINVAL);
    expect(map(0, 1 << 20)).toBe(-ENOMEM);
  });

  test('mremap: shrinks, grows in place, moves', () => {
    const { mm } = new TestKernel().init;
    mapped(mm, 0, 4);
    write(mm, page(1), 'kept');
    expect(mm.mremap(page(0), 4 * PAGE_SIZE, 2 * PAGE_SIZE, 0, 0)).toBe(page(0));
    expect(mm.mremap(page(0), 2 * PAGE_SIZE, 3 * PAGE_SIZE, 0, 0)).toBe(page(0));
    mapped(mm, 3, 1);
    expect(mm.mremap(page(0), 5 * PAGE_SIZE, 6 * PAGE_SIZE, 0, 0)).toBe(-EFAULT);
    expect(mm.mprotect(page(3), PAGE_SIZE, PROT_READ)).toBe(0);
    expect(mm.mremap(page(0), 3 * PAGE_SIZE, 4 * PAGE_SIZE, 0, 0)).toBe(-ENOMEM);
    const moved = mm.mremap(page(0), 3 * PAGE_SIZE, 4 * PAGE_SIZE, MREMAP_MAYMOVE, 0);
    expect(text(mm, moved + PAGE_SIZE, 4)).toBe('kept');
    expect(mm.find(page(0))).toBeNull();
  });

  test('what may be written is charged and given back, also when a map is released', () => {
    const host = new TestKernel();
    const { kernel, init } = host;
    const free = kernel.freeMemory;
    const map = kernel.newMap();
    mapped(map, 0, 8);
    mapped(map, 8, 8, { prot: PROT_READ });
    mapped(map, 16, 2, { flags: MAP_SHARED });
    expect(free - kernel.freeMemory).toBe(10 * PAGE_SIZE);
    map.mprotect(page(8), 4 * PAGE_SIZE, RW);
    map.munmap(page(0), 2 * PAGE_SIZE);
    expect(free - kernel.freeMemory).toBe(12 * PAGE_SIZE);
    expect(mapped(map, 32, free / PAGE_SIZE)).toBe(-ENOMEM);
    const copy = map.clone(map.space.fork(kernel.newSpaceId()))!;
    expect(free - kernel.freeMemory).toBe(24 * PAGE_SIZE);
    copy.release();
    map.release();
    expect(kernel.freeMemory).toBe(free);
    expect(init.mm.isMapped(host.at(0), PAGE_SIZE)).toBe(true);
  });
});

describe('shared memory', () => {
  test('what one process writes the others have, whoever they descend from', () => {
    const host = new TestKernel();
    const { mm } = host.init;
    mapped(mm, 0, 2, { flags: MAP_SHARED });
    write(mm, page(0), 'before');
    const child = forked(host, mm);
    const grandchild = forked(host, child);
    expect(text(grandchild, page(0), 6)).toBe('before');
    write(child, page(1), 'from the child');
    write(grandchild, page(0), 'BEFORE');
    for (const map of [mm, child, grandchild])
      expect(text(map, page(0), 6) + text(map, page(1), 14)).toBe('BEFOREfrom the child');
    mm.release();
    write(grandchild, page(0), 'again');
    expect(text(child, page(0), 5)).toBe('again');
  });

  test('a page is noted once, however often it is written, and only where others have it', () => {
    const host = new TestKernel();
    const { mm } = host.init;
    mapped(mm, 0, 2, { flags: MAP_SHARED });
    mm.space.write(page(0), Uint8Array.of(1));
    expect(mm.space.hasWritten).toBe(false);
    const child = forked(host, mm);
    for (let i = 0; i < 3; i++) mm.space.write(page(0) + i, Uint8Array.of(1));
    expect(mm.space.takeWritten()).toEqual([page(0) / PAGE_SIZE]);
    child.release();
    write(mm, page(1), 'alone');
    mm.space.write(page(1), Uint8Array.of(1));
    expect(mm.space.hasWritten).toBe(false);
  });

  test('private memory stays private', () => {
    const host = new TestKernel();
    const { mm } = host.init;
    mapped(mm, 0, 1);
    const child = forked(host, mm);
    write(child, page(0), 'child');
    expect(text(mm, page(0), 5)).toBe('\0\0\0\0\0');
  });

  test('a second mapping of it, and one that moved, show the same', () => {
    const host = new TestKernel();
    const { mm } = host.init;
    mapped(mm, 0, 2, { flags: MAP_SHARED });
    write(mm, page(1), 'content');
    const again = mm.mremap(page(0), 0, 2 * PAGE_SIZE, MREMAP_MAYMOVE, 0);
    expect(text(mm, again + PAGE_SIZE, 7)).toBe('content');
    write(mm, again + PAGE_SIZE, 'CONTENT');
    expect(text(mm, page(1), 7)).toBe('CONTENT');
    const moved = mm.mremap(page(0), 2 * PAGE_SIZE, 2 * PAGE_SIZE, MREMAP_MAYMOVE | 2, page(50));
    expect(text(mm, moved + PAGE_SIZE, 7)).toBe('CONTENT');
  });

  test('futexes have one name for all processes there, and none in common elsewhere', () => {
    const host = new TestKernel();
    const { mm } = host.init;
    mapped(mm, 0, 2, { flags: MAP_SHARED });
    mapped(mm, 2, 1);
    const child = forked(host, mm);
    const moved = child.mremap(page(1), PAGE_SIZE, PAGE_SIZE, MREMAP_MAYMOVE | 2, page(9));
    expect(child.futexKey(page(0) + 8)).toBe(mm.futexKey(page(0) + 8));
    expect(child.futexKey(moved + 8)).toBe(mm.futexKey(page(1) + 8));
    expect(child.futexKey(page(2))).not.toBe(mm.futexKey(page(2)));
  });

  test('a restored map shares as before', () => {
    const host = new TestKernel();
    const { mm } = host.init;
    mapped(mm, 0, 2, { flags: MAP_SHARED });
    const child = forked(host, mm);
    const saved = [mm, child].map((map) => structuredClone(map.save()));
    const restored = [mm, child].map((map, i) => MemoryMap.restore(host.kernel, map.space, saved[i]));
    expect(restored.map((map) => map.save())).toEqual(saved);
    mm.release();
    child.release();
    write(restored[0]!, page(1), 'after');
    expect(text(restored[1]!, page(1), 5)).toBe('after');
  });
});

describe('file mappings', () => {
  test('a shared one is the file: writes go there, and what is written to the file shows', () => {
    const host = new TestKernel();
    const { mm } = host.init;
    const file = fileOf(host, 'a file of some bytes');
    mapped(mm, 0, 1, { flags: MAP_SHARED, file });
    const child = forked(host, mm);
    write(mm, page(0), 'A');
    expect(new TextDecoder().decode(file.read(0, 6))).toBe('A file');
    file.write(2, new TextEncoder().encode('FILE'));
    expect(text(child, page(0), 6)).toBe('A FILE');
    expect(file.size).toBe(20);
  });

  test('pages behind the end of the file are hidden until it grows, and are hidden again when it shrinks', () => {
    const host = new TestKernel();
    const { mm } = host.init;
    const file = fileOf(host, 'short');
    mapped(mm, 0, 3, { flags: MAP_SHARED, file });
    mapped(mm, 10, 3, { file });
    const readable = (first: number) => [0, 1, 2].map((n) => mm.space.read(page(first + n), 1) !== null);
    expect([readable(0), readable(10)]).toEqual([
      [true, false, false],
      [true, false, false],
    ]);
    file.write(PAGE_SIZE + 10, new TextEncoder().encode('second page'));
    expect([readable(0), readable(10)]).toEqual([
      [true, true, false],
      [true, true, false],
    ]);
    expect(text(mm, page(1) + 10, 6) + text(mm, page(11) + 10, 6)).toBe('secondsecond');
    file.truncate(3);
    expect(readable(0)).toEqual([true, false, false]);
    expect(text(mm, page(0), 5)).toBe('sho\0\0');
    file.truncate(2 * PAGE_SIZE);
    expect(text(mm, page(1) + 10, 6)).toBe('\0\0\0\0\0\0');
    expect(mm.mprotect(page(0), 3 * PAGE_SIZE, PROT_READ)).toBe(0);
    expect(readable(0)).toEqual([true, true, false]);
  });

  test('a private one takes writes for itself, and MADV_DONTNEED takes them back', () => {
    const host = new TestKernel();
    const { mm } = host.init;
    const file = fileOf(host, 'content');
    mapped(mm, 0, 1, { file });
    write(mm, page(0), 'CON');
    expect(new TextDecoder().decode(file.read(0, 7))).toBe('content');
    expect(mm.discard(page(0), PAGE_SIZE)).toBe(0);
    expect(text(mm, page(0), 7)).toBe('content');
  });

  test('one of a descriptor that cannot write stays read-only', () => {
    const host = new TestKernel();
    const { mm } = host.init;
    const file = fileOf(host, 'content');
    mapped(mm, 0, 1, { flags: MAP_SHARED, prot: PROT_READ, file, mayWrite: false });
    expect(mm.mprotect(page(0), PAGE_SIZE, RW)).toBe(-EACCES);
    expect([...file.viewers].some((viewer) => viewer.mayWrite(file))).toBe(false);
    mapped(mm, 1, 1, { flags: MAP_SHARED, file });
    expect([...file.viewers].some((viewer) => viewer.mayWrite(file))).toBe(true);
  });

  test('an unlinked file lives as long as it is mapped', () => {
    const host = new TestKernel();
    const { kernel, init } = host;
    const file = fileOf(host, 'gone soon');
    mapped(init.mm, 0, 1, { flags: MAP_SHARED, file });
    const child = forked(host, init.mm);
    kernel.vfs.unlink(init.fs, kernel.vfs.root, '/9');
    init.mm.munmap(page(0), PAGE_SIZE);
    expect(kernel.vfs.inode(file.ino)).toBe(file);
    child.release();
    expect(kernel.vfs.inode(file.ino)).toBeUndefined();
  });
});
