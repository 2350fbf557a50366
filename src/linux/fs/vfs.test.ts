import { expect, test } from 'vitest';
import { decodePart } from '../../checkpoint/ledger.ts';
import * as E from '../abi/errno.ts';
import * as F from '../abi/fcntl.ts';
import { EPOLL_CTL_ADD, EPOLL_CTL_MOD, EPOLLET, EPOLLONESHOT, EpollFile } from '../epoll.ts';
import { EventFile } from '../eventfd.ts';
import type { OpenFile } from '../open-file.ts';
import { POLLHUP, POLLIN, POLLOUT } from '../open-file.ts';
import { PipeFile } from '../pipe.ts';
import type { DirectoryFile } from './directory-file.ts';
import { CHUNK_SIZE } from './inode.ts';
import { openPath } from './open.ts';
import type { RegularFile } from './regular-file.ts';
import { FakeImage, TestHost } from './test-host.ts';

const text = (bytes: Uint8Array | number) => (typeof bytes === 'number' ? bytes : new TextDecoder().decode(bytes));
const bytes = (s: string) => new TextEncoder().encode(s);

const images = new WeakMap<TestHost, FakeImage>();

function make(): TestHost {
  const image = new FakeImage({
    etc: { hosts: '127.0.0.1 localhost\n', os: { link: '../usr/lib/os-release' } },
    usr: { lib: { 'os-release': 'NAME=test\n', a: 'A' }, bin: { link: 'lib' } },
    lib: { link: 'usr/lib' },
    loop: { link: 'loop2' },
    loop2: { link: '/loop' },
    big: new Uint8Array(200_000).fill(66),
  });
  const host = TestHost.create(image);
  images.set(host, image);
  return host;
}

function open(host: TestHost, path: string, flags = 0, mode = 0o644): OpenFile {
  const file = openPath(host, host.ctx, host.vfs.root, path, flags, mode);
  if (typeof file === 'number') throw new Error(`open ${path}: ${file}`);
  return file;
}

const failOpen = (host: TestHost, path: string, flags = 0) =>
  openPath(host, host.ctx, host.vfs.root, path, flags, 0o644);
const read = (host: TestHost, path: string) => text(open(host, path).read(1 << 20));

test('image files, links, negative answers become state', () => {
  const host = make();
  expect(read(host, '/etc/hosts')).toBe('127.0.0.1 localhost\n');
  expect(read(host, '/etc/os')).toBe('NAME=test\n');
  expect(read(host, '/lib/a')).toBe('A');
  expect(failOpen(host, '/etc/none')).toBe(-E.ENOENT);
  const before = images.get(host)!.lookups.length;
  expect(failOpen(host, '/etc/none')).toBe(-E.ENOENT);
  expect(images.get(host)!.lookups.length).toBe(before);
  expect(failOpen(host, '/loop')).toBe(-E.ELOOP);
  expect(failOpen(host, '/etc/hosts/')).toBe(-E.ENOTDIR);
  expect(failOpen(host, '/etc/hosts/x')).toBe(-E.ENOTDIR);
  expect(failOpen(host, `/${'n'.repeat(256)}`)).toBe(-E.ENAMETOOLONG);
  expect(failOpen(host, '/x/'.repeat(2000))).toBe(-E.ENAMETOOLONG);
  expect(failOpen(host, '/etc', F.O_RDWR)).toBe(-E.EISDIR);
  expect(failOpen(host, '/lib', F.O_NOFOLLOW)).toBe(-E.ELOOP);
  expect(failOpen(host, '/dev/tty', F.O_RDWR)).toBe(-E.ENXIO);
});

test('an append ships one chunk and the inode', () => {
  const host = make();
  const file = open(host, '/big', F.O_RDWR | F.O_APPEND);
  expect(file.write(bytes('tail'))).toBe(4);
  host.ledger.take();
  expect(file.write(bytes('more'))).toBe(4);
  const keys = host.ledger.take().map((change) => change.key);
  expect(keys).toHaveLength(3);
  expect(keys.filter((key) => /chunk\/3$/.test(key))).toHaveLength(1);
  expect(text(file.pread(12, 199_996))).toBe('BBBBtailmore');
  expect(images.get(host)!.reads).toHaveLength(1);
});

test('sparse files, truncation, copy-up of pieces', () => {
  const host = make();
  const file = open(host, '/big', F.O_RDWR) as RegularFile;
  expect(file.truncate(70_000)).toBe(0);
  expect(file.truncate(140_000)).toBe(0);
  expect(text((file.pread(2, 69_999) as Uint8Array).map((b) => b + 1))).toBe('C\u0001');
  file.pwrite(bytes('x'), 300_000);
  expect(file.stat().size).toBe(300_001);
  expect((file.pread(1000, 200_000) as Uint8Array).every((b) => b === 0)).toBe(true);
  expect(file.seek(150_000, F.SEEK_DATA)).toBe(4 * CHUNK_SIZE);
  expect(file.seek(0, F.SEEK_HOLE)).toBe(2 * CHUNK_SIZE);
  file.inode.zeroRange(0, 10);
  expect(text((file.pread(2, 9) as Uint8Array).map((b) => b + 1))).toBe('\u0001C');
});

test('names: make, rename, unlink, whiteouts', () => {
  const host = make();
  const { vfs, ctx } = host;
  const root = vfs.root;
  expect(vfs.unlink(ctx, root, '/etc/hosts')).toBe(0);
  expect(failOpen(host, '/etc/hosts')).toBe(-E.ENOENT);
  expect(vfs.rmdir(ctx, root, '/etc')).toBe(-E.ENOTEMPTY);
  expect(vfs.rename(ctx, root, '/usr/lib', root, '/moved', 0)).toBe(0);
  expect(read(host, '/moved/os-release')).toBe('NAME=test\n');
  expect(failOpen(host, '/usr/lib/a')).toBe(-E.ENOENT);
  expect(vfs.rename(ctx, root, '/usr', root, '/usr/bin/x', 0)).toBe(-E.ENOENT);
  expect(vfs.mkdir(ctx, root, '/usr/sub/', 0o777)).toBe(0);
  expect(vfs.rename(ctx, root, '/usr', root, '/usr/sub/x', 0)).toBe(-E.EINVAL);
  expect(vfs.rmdir(ctx, root, '/proc')).toBe(-E.ENOENT);
  const file = open(host, '/new', F.O_RDWR | F.O_CREAT | F.O_EXCL);
  expect(failOpen(host, '/new', F.O_CREAT | F.O_EXCL)).toBe(-E.EEXIST);
  file.write(bytes('kept'));
  expect(vfs.unlink(ctx, root, '/new')).toBe(0);
  expect(text(file.pread(10, 0))).toBe('kept');
  const key = `inode/${file.stat().ino}`;
  expect(host.ledger.has(key)).toBe(true);
  host.close(file);
  expect(host.ledger.has(key)).toBe(false);
  expect(vfs.pathOf(vfs.lookup(ctx, root, '/usr/sub', true) as never)).toBe('/usr/sub');
});

test('directories are read while they are emptied', () => {
  const host = make();
  const { vfs, ctx } = host;
  vfs.mkdir(ctx, vfs.root, '/d', 0o755);
  for (let i = 0; i < 50; i++) host.close(open(host, `/d/f${i}`, F.O_CREAT | F.O_WRONLY));
  const dir = open(host, '/d', F.O_DIRECTORY) as DirectoryFile;
  let seen = 0;
  for (;;) {
    const records = dir.entries(200) as Uint8Array;
    if (records.length === 0) break;
    for (let at = 0; at < records.length; ) {
      const length = records[at + 16]! | (records[at + 17]! << 8);
      const name = text(records.subarray(at + 19, records.indexOf(0, at + 19))) as string;
      if (!name.startsWith('.')) {
        seen++;
        expect(vfs.unlink(ctx, vfs.root, `/d/${name}`)).toBe(0);
      }
      at += length;
    }
  }
  expect(seen).toBe(50);
  expect(vfs.rmdir(ctx, vfs.root, '/d')).toBe(0);
});

test('pipes', () => {
  const host = make();
  const [r, w] = PipeFile.pair(host, 0);
  expect(r.read(10)).toBe(-E.EAGAIN);
  expect(w.write(bytes('hello'))).toBe(5);
  expect(text(r.read(3))).toBe('hel');
  expect(r.poll() & POLLIN).toBe(POLLIN);
  const big = new Uint8Array(100_000);
  expect(w.write(big)).toBe(65_534);
  expect(w.write(bytes('x'))).toBe(-E.EAGAIN);
  expect(w.poll() & POLLOUT).toBe(0);
  host.close(w);
  expect((r.read(1 << 20) as Uint8Array).length).toBe(65_536);
  expect(r.poll()).toBe(POLLHUP);
  expect((r.read(1) as Uint8Array).length).toBe(0);
  const [r2, w2] = PipeFile.pair(host, 0);
  host.close(r2);
  expect(w2.write(bytes('x'))).toBe(-E.EPIPE);
});

test('epoll: level, edge, one shot, nested, dead files', () => {
  const host = make();
  const [r, w] = PipeFile.pair(host, 0);
  const epoll = host.addFile((id) => new EpollFile(host, id, 0));
  expect(epoll.control(EPOLL_CTL_ADD, 3, r, POLLIN, 33n)).toBe(0);
  expect(epoll.control(EPOLL_CTL_ADD, 3, r, POLLIN, 33n)).toBe(-E.EEXIST);
  expect(epoll.collect(8)).toEqual([]);
  w.write(bytes('ab'));
  expect(epoll.collect(8)).toEqual([{ events: POLLIN, data: 33n }]);
  expect(epoll.collect(8)).toHaveLength(1);
  epoll.control(EPOLL_CTL_MOD, 3, r, (POLLIN | EPOLLET) >>> 0, 34n);
  expect(epoll.collect(8)).toEqual([{ events: POLLIN, data: 34n }]);
  expect(epoll.collect(8)).toEqual([]);
  w.write(bytes('c'));
  expect(epoll.collect(8)).toHaveLength(1);
  epoll.control(EPOLL_CTL_MOD, 3, r, POLLIN | EPOLLONESHOT, 35n);
  expect(epoll.collect(8)).toHaveLength(1);
  w.write(bytes('d'));
  expect(epoll.collect(8)).toEqual([]);
  const outer = host.addFile((id) => new EpollFile(host, id, 0));
  expect(outer.control(EPOLL_CTL_ADD, 4, epoll, POLLIN, 1n)).toBe(0);
  expect(epoll.control(EPOLL_CTL_ADD, 5, outer, POLLIN, 1n)).toBe(-E.ELOOP);
  epoll.control(EPOLL_CTL_MOD, 3, r, POLLIN, 35n);
  expect(outer.collect(8)).toEqual([{ events: POLLIN, data: 1n }]);
  host.close(r);
  expect(epoll.collect(8)).toEqual([]);
  expect(epoll.control(EPOLL_CTL_ADD, 6, open(host, '/etc/hosts'), POLLIN, 0n)).toBe(-E.EPERM);
});

test('everything survives a restore, without the image', () => {
  const host = make();
  const { vfs, ctx } = host;
  const hosts = open(host, '/etc/hosts', F.O_RDWR) as RegularFile;
  hosts.read(4);
  failOpen(host, '/etc/none');
  const gone = open(host, '/tmpfile', F.O_RDWR | F.O_CREAT);
  gone.write(bytes('unlinked'));
  vfs.unlink(ctx, vfs.root, '/tmpfile');
  const [r, w] = PipeFile.pair(host, F.O_NONBLOCK);
  w.write(bytes('in flight'));
  const event = host.addFile((id) => new EventFile(host, id, 0, 5n, false));
  const epoll = host.addFile((id) => new EpollFile(host, id, 0));
  epoll.control(EPOLL_CTL_ADD, 3, r, (POLLIN | EPOLLET) >>> 0, 0xffff_ffff_ffff_ffffn);
  host.consoleInput.feed(bytes('typed'));
  const other = host.restored(decodePart);
  const same = <T extends OpenFile>(file: T): T => other.file(file.id) as T;
  expect(text(same(hosts).read(100))).toBe('0.0.1 localhost\n');
  expect(failOpen(other, '/etc/none')).toBe(-E.ENOENT);
  expect(text(same(gone).pread(100, 0))).toBe('unlinked');
  expect(same(epoll).collect(4)).toEqual([{ events: POLLIN, data: 0xffff_ffff_ffff_ffffn }]);
  expect(same(epoll).collect(4)).toEqual([]);
  same(w).write(bytes('!'));
  expect(same(epoll).collect(4)).toHaveLength(1);
  expect(text(same(r).read(100))).toBe('in flight!');
  expect((same(event).read(8) as Uint8Array)[0]).toBe(5);
  expect(text(other.consoleInput.take(10))).toBe('typed');
  expect(other.ledger.keys().sort()).toEqual(host.ledger.keys().sort());
});

test('no change goes untold: audit', () => {
  const host = make();
  const known = () => new Map(host.ledger.all().map(({ key, bytes: encoded }) => [key, encoded!]));
  open(host, '/etc/hosts');
  const [r, w] = PipeFile.pair(host, 0);
  const epoll = host.addFile((id) => new EpollFile(host, id, 0));
  epoll.control(EPOLL_CTL_ADD, 3, r, POLLIN, 1n);
  const steps: (() => unknown)[] = [
    () => w.write(bytes('x')),
    () => epoll.collect(1),
    () => r.read(1),
    () => host.vfs.mkdir(host.ctx, host.vfs.root, '/m', 0o755),
    () => host.vfs.rename(host.ctx, host.vfs.root, '/m', host.vfs.root, '/etc/m', 0),
    () => host.vfs.list(host.vfs.root),
    () => open(host, '/usr/lib/a', F.O_WRONLY | F.O_TRUNC).write(bytes('new')),
    () =>
      host.vfs.link(
        host.ctx,
        host.vfs.lookup(host.ctx, host.vfs.root, '/usr/lib/a', true) as never,
        host.vfs.root,
        '/b',
      ),
    () => host.vfs.unlink(host.ctx, host.vfs.root, '/b'),
    () => host.vfs.rmdir(host.ctx, host.vfs.root, '/etc/m'),
  ];
  for (const step of steps) {
    host.ledger.take();
    const before = known();
    step();
    expect(host.ledger.audit(before)).toEqual([]);
  }
});
