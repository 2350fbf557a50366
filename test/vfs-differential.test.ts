/**
 * The file system against real Linux: a random sequence of operations is applied to the VFS (over an image that holds the
 * starting tree) and to a temporary folder; results, error numbers and the trees must agree. SEED=n repeats one run.
 */

import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { decodePart } from '../src/checkpoint/ledger.ts';
import * as F from '../src/linux/abi/fcntl.ts';
import { S_IFMT } from '../src/linux/abi/stat.ts';
import type { Node } from '../src/linux/fs/node.ts';
import { openPath } from '../src/linux/fs/open.ts';
import { TestHost } from '../src/linux/fs/test-host.ts';
import type { OpenFile } from '../src/linux/open-file.ts';
import { openImage } from '../src/lvm/node-image.ts';

const RUNS = Number(process.env.RUNS ?? 12);
const STEPS = 400;

function random(seed: number): (below: number) => number {
  let state = seed >>> 0 || 1;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

/** What one operation gave: a value, or -errno. */
type Outcome = number | string;

function real(act: () => Outcome): Outcome {
  try {
    return act();
  } catch (error) {
    const { errno } = error as NodeJS.ErrnoException;
    if (errno === undefined) throw error;
    return errno;
  }
}

/** A call that gives nothing gives 0. */
const done = (_nothing: unknown): number => 0;

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');

class Pair {
  readonly base: string;
  host: TestHost;
  readonly pick: (below: number) => number;
  readonly open: { fd: number; file: OpenFile }[] = [];
  readonly log: string[] = [];

  constructor(seed: number, base: string, host: TestHost) {
    this.pick = random(seed);
    this.base = base;
    this.host = host;
  }

  get #dir(): Node {
    return this.host.vfs.root;
  }

  path(): string {
    const name = () => 'abcde'[this.pick(5)]!;
    const depth = 1 + this.pick(3);
    let path = Array.from({ length: depth }, name).join('/');
    switch (this.pick(24)) {
      case 0:
        path += '/';
        break;
      case 1:
        path = `./${path}`;
        break;
      case 2:
        path = `${name()}/../${path}`;
        break;
      case 3:
        path += '/.';
        break;
      case 4:
        path = `${name()}/..`;
        break;
      case 5:
        path = path.replace('/', '//');
        break;
    }
    return path;
  }

  data(): Uint8Array {
    const length = this.pick(8) === 0 ? 60_000 + this.pick(20_000) : this.pick(50);
    const fill = 1 + this.pick(255);
    return new Uint8Array(length).fill(fill);
  }

  both(name: string, ours: () => Outcome, theirs: (at: (path: string) => string) => Outcome): Outcome {
    const b = real(() => theirs((path) => `${this.base}/${path}`));
    const a = ours();
    this.log.push(`${name}: ${String(b).slice(0, 60)}`);
    expect(a, `${name}\n${this.log.slice(-15).join('\n')}`).toBe(b);
    return a;
  }

  step(): void {
    const { host, pick } = this;
    const { vfs, ctx } = host;
    const at = this.#dir;
    const path = this.path();
    switch (pick(18)) {
      case 0:
        this.both(
          `mkdir ${path}`,
          () => vfs.mkdir(ctx, at, path, 0o777),
          (p) => done(fs.mkdirSync(p(path))),
        );
        return;
      case 1:
        this.both(
          `rmdir ${path}`,
          () => vfs.rmdir(ctx, at, path),
          (p) => done(fs.rmdirSync(p(path))),
        );
        return;
      case 2:
      case 3:
        this.both(
          `unlink ${path}`,
          () => vfs.unlink(ctx, at, path),
          (p) => done(fs.unlinkSync(p(path))),
        );
        return;
      case 4:
      case 5: {
        const to = this.path();
        const op = () => vfs.rename(ctx, at, path, at, to, 0);
        this.both(`rename ${path} ${to}`, op, (p) => done(fs.renameSync(p(path), p(to))));
        return;
      }
      case 6: {
        const to = this.path();
        const op = () => {
          const node = vfs.lookup(ctx, at, path, false);
          return typeof node === 'number' ? node : vfs.link(ctx, node, at, to);
        };
        this.both(`link ${path} ${to}`, op, (p) => done(fs.linkSync(p(path), p(to))));
        return;
      }
      case 7: {
        const target = ['a', 'b', 'c/d', 'e/a/b', 'a/', 'd'][pick(6)]!;
        this.both(
          `symlink ${target} ${path}`,
          () => vfs.symlink(ctx, at, path, target),
          (p) => done(fs.symlinkSync(target, p(path))),
        );
        return;
      }
      case 8:
      case 9:
      case 10:
        this.#open(path);
        return;
      case 11:
        this.both(
          `readlink ${path}`,
          () => {
            const node = vfs.lookup(ctx, at, path, false);
            return typeof node === 'number' ? node : vfs.readlink(node);
          },
          (p) => fs.readlinkSync(p(path)),
        );
        return;
      case 12: {
        const follow = pick(2) === 0;
        this.both(
          `stat ${path} ${follow}`,
          () => {
            const node = vfs.lookup(ctx, at, path, follow);
            return typeof node === 'number' ? node : describe(node.stat());
          },
          (p) => describe(follow ? fs.statSync(p(path)) : fs.lstatSync(p(path))),
        );
        return;
      }
      default:
        this.#onOpen();
    }
  }

  #open(path: string): void {
    const { pick, host } = this;
    let flags = [F.O_RDONLY, F.O_WRONLY, F.O_RDWR, F.O_RDWR][pick(4)]!;
    if (pick(2) === 0) flags |= F.O_CREAT;
    if (pick(5) === 0) flags |= F.O_EXCL;
    if (pick(5) === 0) flags |= F.O_TRUNC;
    if (pick(5) === 0) flags |= F.O_APPEND;
    if (pick(8) === 0) flags |= F.O_DIRECTORY;
    if (pick(8) === 0) flags |= F.O_NOFOLLOW;
    // O_EXCL without O_CREAT, and O_CREAT with O_DIRECTORY, differ between kernel versions.
    if ((flags & F.O_CREAT) === 0) flags &= ~F.O_EXCL;
    else flags &= ~F.O_DIRECTORY;
    let fd = -1;
    let file: OpenFile | number = -1;
    this.both(
      `open ${path} ${flags.toString(8)}`,
      () => {
        file = openPath(host, host.ctx, this.#dir, path, flags, 0o666);
        return typeof file === 'number' ? file : 0;
      },
      (p) => {
        fd = fs.openSync(p(path), flags, 0o666);
        return 0;
      },
    );
    if (typeof file !== 'number') this.open.push({ fd, file });
    if (this.open.length > 6) this.#close(pick(this.open.length));
  }

  #close(index: number): void {
    const [{ fd, file }] = this.open.splice(index, 1) as [{ fd: number; file: OpenFile }];
    fs.closeSync(fd);
    this.host.close(file);
  }

  #onOpen(): void {
    if (this.open.length === 0) return;
    const { pick } = this;
    const { fd, file } = this.open[pick(this.open.length)]!;
    const offset = pick(4) === 0 ? pick(300_000) : pick(200);
    const length = pick(4) === 0 ? 100_000 : 1 + pick(300);
    switch (pick(6)) {
      case 0:
      case 1: {
        const bytes = this.data();
        const append = (file.flags & F.O_APPEND) !== 0;
        if (pick(2) === 0 && !append)
          this.both(
            `pwrite ${fd} ${bytes.length} ${offset}`,
            () => file.pwrite(bytes, offset),
            () => fs.writeSync(fd, bytes, 0, bytes.length, offset),
          );
        else
          this.both(
            `write ${fd} ${bytes.length}`,
            () => file.write(bytes),
            () => fs.writeSync(fd, bytes),
          );
        return;
      }
      case 2:
        this.both(
          `pread ${fd} ${length} ${offset}`,
          () => outcome(file.pread(length, offset)),
          () => {
            const into = Buffer.alloc(length);
            return hex(into.subarray(0, fs.readSync(fd, into, 0, length, offset)));
          },
        );
        return;
      case 3:
        this.both(
          `read ${fd} ${length}`,
          () => outcome(file.read(length)),
          () => {
            const into = Buffer.alloc(length);
            return hex(into.subarray(0, fs.readSync(fd, into, 0, length, null)));
          },
        );
        return;
      case 4:
        this.both(
          `ftruncate ${fd} ${offset}`,
          () => file.truncate(offset),
          () => done(fs.ftruncateSync(fd, offset)),
        );
        return;
      case 5:
        this.both(
          `fstat ${fd}`,
          () => describe(file.stat()),
          () => describe(fs.fstatSync(fd)),
        );
        return;
    }
  }

  /** The same tree on both sides. */
  compare(): void {
    const ours: string[] = [];
    const walk = (node: Node, path: string): void => {
      for (const [name, child] of this.host.vfs.list(node)) {
        if (path === '' && name === 'dev') continue;
        ours.push(`${path}/${name} ${describe(child.stat())} ${child.isSymlink ? this.host.vfs.readlink(child) : ''}`);
        if (child.isDirectory) walk(child, `${path}/${name}`);
      }
    };
    walk(this.host.vfs.root, '');
    const theirs: string[] = [];
    const walkReal = (path: string): void => {
      for (const name of fs.readdirSync(this.base + path)) {
        const stat = fs.lstatSync(`${this.base}${path}/${name}`);
        theirs.push(
          `${path}/${name} ${describe(stat)} ${stat.isSymbolicLink() ? fs.readlinkSync(`${this.base}${path}/${name}`) : ''}`,
        );
        if (stat.isDirectory()) walkReal(`${path}/${name}`);
      }
    };
    walkReal('');
    expect(ours.sort()).toEqual(theirs.sort());
  }

  end(): void {
    while (this.open.length > 0) this.#close(0);
  }
}

function outcome(result: Uint8Array | number): Outcome {
  return typeof result === 'number' ? result : hex(result);
}

/** What must agree of a stat: directories have sizes of their own, file systems count their links in their own way. */
function describe(stat: { mode: number; nlink: number; size: number }): string {
  const directory = (stat.mode & S_IFMT) === 0o040000;
  return `${stat.mode.toString(8)} ${directory ? '-' : `${stat.nlink} ${stat.size}`}`;
}

const seeds =
  process.env.SEED === undefined ? Array.from({ length: RUNS }, (_, i) => 1000 + i) : [Number(process.env.SEED)];

test.each(seeds)('random file operations as on Linux, seed %i', (seed) => {
  const folder = fs.mkdtempSync(join(tmpdir(), 'tg-vfs-'));
  const image = join(folder, 'image');
  const base = join(folder, 'work');
  fs.mkdirSync(join(image, 'a/b'), { recursive: true });
  fs.mkdirSync(join(image, 'c'));
  fs.writeFileSync(join(image, 'a/b/c'), Buffer.alloc(150_000, 9));
  fs.writeFileSync(join(image, 'c/d'), 'hello');
  fs.symlinkSync('a/b', join(image, 'e'));
  fs.cpSync(image, base, { recursive: true, verbatimSymlinks: true });
  try {
    const host = TestHost.create(openImage(image));
    const pair = new Pair(seed, base, host);
    let known = new Map<string, Uint8Array>();
    for (let i = 0; i < STEPS; i++) {
      const { ledger } = pair.host;
      if (i % 50 === 40) {
        ledger.take();
        known = new Map(ledger.all().map(({ key, bytes }) => [key, bytes!]));
      }
      pair.step();
      // Whatever changed was told to the ledger: a backup misses nothing.
      if (i % 50 >= 40) expect(ledger.audit(known)).toEqual([]);
      if (i % 100 !== 99) continue;
      // A backup takes over: from the parts, its own disk only for what was never opened.
      pair.compare();
      pair.host = pair.host.restored(decodePart, host.lvm);
      for (const entry of pair.open) entry.file = pair.host.file(entry.file.id)!;
    }
    pair.compare();
    pair.end();
  } finally {
    fs.rmSync(folder, { recursive: true, force: true });
  }
});
