/**
 * The folder of pack files, which many processes use at once, without locks: a file appears whole (written under another
 * name, then renamed) and is never changed. A process may delete a file at any time — one that it has written anew with
 * more in it, small ones that it has put into one, old ones that there is no room for — and whoever misses one translates
 * again.
 */

import { randomUUID } from 'node:crypto';
import { closeSync, openSync, readdirSync, renameSync, rmSync, statSync, utimes, writeSync } from 'node:fs';
import { readdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { encodeHead, type HashedPack, PackFile } from './pack-file.ts';

const SUFFIX = '.packs';
const TEMPORARY = 'new-';
/** The folder is looked at again at most so often. */
const LOOK_MS = 250;
/** A file that is used is marked as such when it was not for so long; what a crash left behind is deleted then. */
const HOUR_MS = 3600_000;
/** More files than this below this size are put into one. */
const SMALL_COUNT = 16;
const SMALL_SIZE = 1 << 20;

export class PackFolder {
  /** Files passed over because they are damaged. */
  damaged = 0;
  readonly #path: string;
  readonly #version: Buffer;
  /** Files that this process wrote: what they have is in its memory. */
  readonly #own = new Set<string>();
  /** Those of others; null: not of use. */
  #files = new Map<string, PackFile | null>();
  #usable: readonly PackFile[] = [];
  #lookedMs = Number.NEGATIVE_INFINITY;
  #mtimeMs = -1;

  constructor(path: string, version: Buffer) {
    this.#path = path;
    this.#version = version;
  }

  /** Files of other processes and of this translator, the newest first. Throws when the folder is gone. */
  look(): readonly PackFile[] {
    const nowMs = performance.now();
    if (nowMs - this.#lookedMs >= LOOK_MS) {
      this.#lookedMs = nowMs;
      const { mtimeMs } = statSync(this.#path);
      if (mtimeMs !== this.#mtimeMs) this.#list();
      this.#mtimeMs = mtimeMs;
    }
    return this.#usable;
  }

  #list(): void {
    const files = new Map<string, PackFile | null>();
    for (const name of readdirSync(this.#path)) {
      // Files of other translators need not even be opened.
      if (!name.startsWith(this.#prefix) || !name.endsWith(SUFFIX) || this.#own.has(name)) continue;
      const known = this.#files.get(name);
      files.set(name, known === undefined ? this.#open(name) : known);
    }
    this.#files = files;
    this.#sort();
  }

  #sort(): void {
    const usable = [...this.#files.values()].filter((file) => file !== null);
    this.#usable = usable.sort((a, b) => b.mtimeMs - a.mtimeMs);
  }

  #open(name: string): PackFile | null {
    try {
      const file = PackFile.open(join(this.#path, name), this.#version);
      if (file === null) this.damaged++;
      return file;
    } catch {
      // Deleted meanwhile.
      return null;
    }
  }

  /** The file is not there any more. */
  forget(file: PackFile): void {
    for (const [name, other] of this.#files) if (other === file) this.#files.set(name, null);
    this.#sort();
  }

  /** The file is of use: it is not among the oldest. */
  touch({ path, mtimeMs }: PackFile): void {
    const now = new Date();
    if (now.getTime() - mtimeMs > HOUR_MS) utimes(path, now, now, () => {});
  }

  get #prefix(): string {
    return `${this.#version.toString('hex', 0, 8)}-`;
  }

  // --- writing ---

  #names(): { name: string; path: string; temporary: string } {
    const name = `${this.#prefix}${randomUUID()}${SUFFIX}`;
    this.#own.add(name);
    return { name, path: join(this.#path, name), temporary: join(this.#path, `${TEMPORARY}${randomUUID()}`) };
  }

  /** Returns the file's name. */
  async write(packs: readonly HashedPack[]): Promise<string> {
    const { name, path, temporary } = this.#names();
    try {
      const parts = [encodeHead(this.#version, packs), ...packs.map(({ bytes }) => bytes)];
      await writeFile(temporary, parts, { mode: 0o600, flag: 'wx' });
      await rename(temporary, path);
    } catch (error) {
      await rm(temporary, { force: true });
      throw error;
    }
    return name;
  }

  /** The same, at once: at the end of a process. */
  writeNow(packs: readonly HashedPack[]): void {
    const { path, temporary } = this.#names();
    try {
      const fd = openSync(temporary, 'wx', 0o600);
      writeSync(fd, encodeHead(this.#version, packs));
      for (const { bytes } of packs) writeSync(fd, bytes);
      closeSync(fd);
      renameSync(temporary, path);
    } catch (error) {
      rmSync(temporary, { force: true });
      throw error;
    }
  }

  removeNow(name: string): void {
    rmSync(join(this.#path, name), { force: true });
  }

  /** Small files of others, when there are so many that opening them all takes its time. */
  smallFiles(): PackFile[] {
    const small = this.look().filter(({ size }) => size < SMALL_SIZE);
    return small.length > SMALL_COUNT ? small : [];
  }

  async remove(file: PackFile): Promise<void> {
    this.forget(file);
    await rm(file.path, { force: true });
  }

  /**
   * Deletes the oldest files while all together are larger than `bytesMax`, those of other translators first, and what a
   * crash left behind.
   */
  async evict(bytesMax: number): Promise<void> {
    const files: { path: string; size: number; mtimeMs: number; foreign: boolean }[] = [];
    for (const name of await readdir(this.#path)) {
      const path = join(this.#path, name);
      const { size, mtimeMs } = await stat(path);
      if (name.startsWith(TEMPORARY) && Date.now() - mtimeMs > HOUR_MS) await rm(path, { force: true });
      else if (name.endsWith(SUFFIX)) files.push({ path, size, mtimeMs, foreign: !name.startsWith(this.#prefix) });
    }
    files.sort((a, b) => Number(b.foreign) - Number(a.foreign) || a.mtimeMs - b.mtimeMs);
    let total = files.reduce((sum, { size }) => sum + size, 0);
    for (const { path, size } of files) {
      if (total <= bytesMax) return;
      await rm(path, { force: true });
      total -= size;
    }
  }
}
