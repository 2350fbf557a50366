import { describe, expect, test } from 'vitest';
import type { ImageEntry } from '../../lvm/api.ts';
import { OperatorError } from '../errors.ts';
import { inspectElf } from './elf-header.ts';
import { find, type Image } from './guest-files.ts';
import { checkProgram } from './program.ts';

type Entry = { bytes: Uint8Array; mode?: number } | { link: string } | 'directory';

/** An image in memory. */
function image(files: Record<string, Entry>): Image {
  const all = new Map<string, Entry>(Object.entries(files));
  for (const path of Object.keys(files)) {
    for (let at = path.lastIndexOf('/'); at > 0; at = path.lastIndexOf('/', at - 1)) {
      if (!all.has(path.slice(0, at))) all.set(path.slice(0, at), 'directory');
    }
  }
  const plain = { uid: 0, gid: 0, size: 0, mtimeUs: 0, mode: 0o755 };
  return {
    lookup(path: string): ImageEntry | null {
      const entry = path === '/' ? 'directory' : all.get(path);
      if (entry === undefined) return null;
      if (entry === 'directory') return { ...plain, type: 'directory' };
      if ('link' in entry) return { ...plain, type: 'symlink', target: entry.link };
      return { ...plain, mode: entry.mode ?? 0o755, type: 'file', size: entry.bytes.length };
    },
    peek: (path, offset, length) => (all.get(path) as { bytes: Uint8Array }).bytes.subarray(offset, offset + length),
  };
}

interface ElfShape {
  bits?: 32 | 64;
  machine?: number;
  type?: number;
  interpreter?: string;
  needed?: string[];
  rpath?: string;
  runpath?: string;
}

/** A small ELF file: one PT_LOAD over everything at address 0, PT_INTERP, PT_DYNAMIC. */
function elf({
  bits = 64,
  machine = 62,
  type = 3,
  interpreter,
  needed = [],
  rpath,
  runpath,
}: ElfShape = {}): Uint8Array {
  const bytes = Buffer.alloc(2048);
  bytes.write('\x7fELF', 'latin1');
  bytes[4] = bits === 64 ? 2 : 1;
  bytes[5] = 1;
  bytes.writeUInt16LE(type, 16);
  bytes.writeUInt16LE(machine, 18);
  bytes.writeBigUInt64LE(64n, 32);
  bytes.writeUInt16LE(56, 54);
  let count = 0;
  const header = (kind: number, offset: number, size: number) => {
    const at = 64 + count++ * 56;
    bytes.writeUInt32LE(kind, at);
    bytes.writeBigUInt64LE(BigInt(offset), at + 8);
    bytes.writeBigUInt64LE(BigInt(offset), at + 16);
    bytes.writeBigUInt64LE(BigInt(size), at + 32);
    bytes.writeUInt16LE(count, 56);
  };
  header(1, 0, bytes.length);
  let strings = 1024;
  const string = (text: string) => {
    const at = strings;
    strings += bytes.write(`${text}\0`, strings, 'latin1');
    return at;
  };
  if (interpreter !== undefined) header(3, string(interpreter), interpreter.length + 1);
  const tags: [number, number][] = needed.map((name) => [1, string(name) - 1024]);
  if (rpath !== undefined) tags.push([15, string(rpath) - 1024]);
  if (runpath !== undefined) tags.push([29, string(runpath) - 1024]);
  tags.push([5, 1024], [10, strings - 1024], [0, 0]);
  tags.forEach(([tag, value], i) => {
    bytes.writeBigInt64LE(BigInt(tag), 512 + i * 16);
    bytes.writeBigUInt64LE(BigInt(value), 520 + i * 16);
  });
  header(2, 512, tags.length * 16);
  return bytes;
}

const LD = '/lib64/ld-linux-x86-64.so.2';
const text = (content: string) => ({ bytes: Buffer.from(content) });
const dynamic = (shape: ElfShape = {}) => ({ bytes: elf({ interpreter: LD, ...shape }) });

function check(files: Record<string, Entry>, program: string, env: Record<string, string> = { PATH: '/usr/bin:/bin' }) {
  try {
    return checkProgram({ image: image(files), rootfs: '/tree', program, env, cwd: '/home' });
  } catch (error) {
    if (!(error instanceof OperatorError)) throw error;
    return { code: error.code, status: error.exitStatus, message: error.message, advice: error.advice };
  }
}

test('found by path, by PATH, by the folder it is run in, through links', () => {
  const files: Record<string, Entry> = {
    '/usr/bin/tool': { bytes: elf() },
    '/home/mine': { bytes: elf() },
    '/bin': { link: 'usr/bin' },
    '/etc/alternatives/tool': { link: '../../bin/./tool' },
    '/loop': { link: 'loop' },
    '/up': { link: '../../usr/bin/tool' },
  };
  expect(check(files, '/usr/bin/tool')).toBe('/usr/bin/tool');
  expect(check(files, 'tool')).toBe('/usr/bin/tool');
  expect(check(files, './mine')).toBe('/home/./mine');
  expect(check(files, '/etc/alternatives/tool')).toBe('/etc/alternatives/tool');
  expect(find(image(files), '/etc/alternatives/tool')?.path).toBe('/usr/bin/tool');
  // ".." at the top stays there: nothing outside the image is reachable.
  expect(find(image(files), '/up')?.path).toBe('/usr/bin/tool');
  expect(check(files, '/loop')).toMatchObject({ code: 'TG_NO_SUCH_PROGRAM' });
});

test('no such program: 127', () => {
  for (const name of ['/usr/bin/nothing', 'nothing', './nothing', '', '/usr/bin/tool/x']) {
    const answer = check({ '/usr/bin/tool': { bytes: elf() } }, name);
    expect(answer).toMatchObject({ code: 'TG_NO_SUCH_PROGRAM', status: 127 });
  }
  expect(check({}, '/x')).toMatchObject({ message: expect.stringContaining('--rootfs /tree') });
});

test('not executable: 126', () => {
  const files: Record<string, Entry> = { '/bin/plain': { bytes: elf(), mode: 0o644 }, '/bin/folder/x': text('') };
  expect(check(files, '/bin/plain')).toMatchObject({
    code: 'TG_NOT_EXECUTABLE',
    status: 126,
    advice: 'chmod +x /bin/plain',
  });
  expect(check(files, 'plain')).toMatchObject({ code: 'TG_NOT_EXECUTABLE', status: 126 });
  expect(check(files, '/bin/folder')).toMatchObject({ message: '/bin/folder is a directory', status: 126 });
});

describe('not a program for this machine: 126 and which it is', () => {
  test.each<[string, Uint8Array, string, RegExp]>([
    ['text', Buffer.from('hello\n'), 'TG_NOT_ELF', /text file/],
    ['empty', Buffer.alloc(0), 'TG_NOT_ELF', /empty/],
    ['short', Buffer.from([0, 1]), 'TG_NOT_ELF', /not an ELF/],
    ['Windows', Buffer.from('MZ\x90\0'), 'TG_NOT_ELF', /Windows/],
    ['macOS', Buffer.from([0xcf, 0xfa, 0xed, 0xfe]), 'TG_NOT_ELF', /macOS/],
    ['jar', Buffer.from('PK\x03\x04'), 'TG_NOT_ELF', /jar/],
    ['i386', elf({ bits: 32, machine: 3 }), 'TG_ELF_32BIT', /32-bit program \(i386\)/],
    ['x32', elf({ bits: 32 }), 'TG_ELF_32BIT', /x32/],
    ['32-bit ARM', elf({ bits: 32, machine: 40 }), 'TG_ELF_32BIT', /ARM/],
    ['ARM64', elf({ machine: 183 }), 'TG_ELF_MACHINE', /aarch64/],
    ['unknown machine', elf({ machine: 9999 }), 'TG_ELF_MACHINE', /9999/],
    ['object file', elf({ type: 1 }), 'TG_BAD_ELF', /object file/],
    ['core dump', elf({ type: 4 }), 'TG_BAD_ELF', /core dump/],
  ])('%s', (_name, bytes, code, message) => {
    const answer = check({ '/p': { bytes } }, '/p');
    expect(answer).toMatchObject({ code, status: 126, message: expect.stringMatching(message) });
  });

  test('cut short anywhere: never anything but an operator error', () => {
    const whole = elf({ interpreter: LD, needed: ['libc.so.6'] });
    for (let length = 0; length < whole.length; length++) {
      expect(check({ '/p': { bytes: whole.subarray(0, length) } }, '/p')).toMatchObject({ status: 126 });
    }
    // And with any one byte of the headers wrong: an answer, not a crash.
    for (let at = 0; at < 600; at++) {
      const broken = Buffer.from(whole);
      broken[at]! ^= 0xff;
      expect(() => {
        try {
          inspectElf('/p', { length: broken.length, read: (from, length) => broken.subarray(from, from + length) });
        } catch (error) {
          if (!(error instanceof OperatorError)) throw error;
        }
      }).not.toThrow();
    }
  });
});

test('scripts need their interpreter', () => {
  const files = {
    '/s': text('#! /bin/sh -e\necho\n'),
    '/bin/sh': { bytes: elf() },
    '/t': text('#!/s\n'),
    '/u': text('#!/no\n'),
  };
  expect(check(files, '/s')).toBe('/s');
  expect(check(files, '/t')).toBe('/t');
  expect(check(files, '/u')).toMatchObject({
    code: 'TG_NO_INTERPRETER',
    status: 127,
    message: expect.stringContaining('/no'),
  });
  expect(check({ '/v': text('#!/v\n') }, '/v')).toMatchObject({ code: 'TG_NOT_EXECUTABLE' });
});

describe('shared libraries', () => {
  const ld = { [LD]: { bytes: elf() } };
  test('the dynamic linker itself', () => {
    expect(check({ '/p': dynamic() }, '/p')).toMatchObject({
      code: 'TG_NO_INTERPRETER',
      message: expect.stringContaining(LD),
    });
  });
  test('found in the default folders, also what libraries need', () => {
    const files = {
      ...ld,
      '/p': dynamic({ needed: ['liba.so', 'ld-linux-x86-64.so.2'] }),
      '/usr/lib/x86_64-linux-gnu/liba.so': { bytes: elf({ needed: ['libb.so'] }) },
      '/lib/libb.so': { bytes: elf({ needed: ['liba.so'] }) },
    };
    expect(check(files, '/p')).toBe('/p');
  });
  test('missing: its name, who needs it, where it was looked for', () => {
    const files = {
      ...ld,
      '/p': dynamic({ needed: ['liba.so'], runpath: '$ORIGIN/../private' }),
      '/lib/liba.so': { bytes: elf({ needed: ['libb.so'] }) },
    };
    const answer = check(files, '/p', { LD_LIBRARY_PATH: '/opt/x' });
    expect(answer).toMatchObject({ code: 'TG_MISSING_LIBRARY', status: 127 });
    const { message } = answer as { message: string };
    for (const part of ['libb.so', '/lib/liba.so', '/opt/x', '/usr/lib/x86_64-linux-gnu', '--rootfs /tree'])
      expect(message).toContain(part);
    // DT_RUNPATH is for the object's own needs only.
    expect(message).not.toContain('private');
  });
  test('RPATH, RUNPATH, LD_LIBRARY_PATH', () => {
    const library = { bytes: elf({ needed: ['libb.so'] }) };
    const inPrivate = { ...ld, '/opt/private/liba.so': library, '/opt/private/libb.so': { bytes: elf() } };
    const path = '$ORIGIN/../private';
    expect(check({ ...inPrivate, '/opt/bin/p': dynamic({ needed: ['liba.so'], rpath: path }) }, '/opt/bin/p')).toBe(
      '/opt/bin/p',
    );
    expect(
      check({ ...inPrivate, '/opt/bin/p': dynamic({ needed: ['liba.so'], runpath: path }) }, '/opt/bin/p'),
    ).toMatchObject({
      message: expect.stringContaining('libb.so'),
    });
    const env = { LD_LIBRARY_PATH: '/opt/private' };
    expect(check({ ...inPrivate, '/opt/bin/p': dynamic({ needed: ['liba.so'] }) }, '/opt/bin/p', env)).toBe(
      '/opt/bin/p',
    );
  });
});
