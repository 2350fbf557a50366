/**
 * Translated code on disk, in a folder that belongs to the user: $TARDIGRADE_CACHE ("off": nowhere), else
 * $XDG_CACHE_HOME/tardigrade, else ~/.cache/tardigrade.
 *
 * Many processes use the folder at once, without locks: a file appears whole (written under another name, then renamed) and
 * is never changed; a process replaces only files that it wrote itself. What is damaged, of another translator or of
 * another user is passed over and counted. Nothing here can fail for the guest: without the folder everything is translated
 * anew.
 */

import { createHash, randomUUID } from 'node:crypto';
import {
  closeSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimes,
  writeSync,
} from 'node:fs';
import { readdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { basename, dirname, extname, join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { CodeKey, CodeStore, StoredPack } from '../x86/code-store.ts';
import { encodeHead, type HashedPack, hashPack, isPrivate, type Pack, PackFile } from './pack-file.ts';

const SUFFIX = '.packs';
const TEMPORARY = 'new-';
/** Written when so long nothing was announced, or so long after the first that was. */
const IDLE_MS = 1000;
const BUSY_MS = 10_000;
/** A process adds to its file up to this size, then begins another. */
const FILE_MAX = 8 << 20;
/** All files together; the oldest are deleted. */
const FOLDER_MAX = 256 << 20;
/** The folder is looked at again for files of other processes at most so often. */
const LOOK_MS = 250;
/** A file that is used is marked as such when it was not for so long. */
const TOUCH_MS = 3600_000;

export interface CodeStoreFigures {
  /** Packs read, files or packs passed over as damaged, files written, and operations that failed. */
  read: number;
  damaged: number;
  written: number;
  failed: number;
}

export interface CodeStoreOptions {
  /** Default: as above. Null: none. */
  readonly folder?: string | null;
  /** Default: of this program's translator. */
  readonly version?: Buffer;
  readonly folderMax?: number;
}

/** The store, or null when there is none; `warn` is told why. */
export function openCodeStore(options: CodeStoreOptions = {}, warn: (why: string) => void = () => {}) {
  const folder = options.folder === undefined ? defaultFolder() : options.folder;
  if (folder === null) return null;
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const stat = statSync(folder);
    if (stat.isDirectory() && isPrivate(stat)) {
      return new NodeCodeStore(folder, options.version ?? translatorVersion(), options.folderMax ?? FOLDER_MAX);
    }
    warn(`${folder} is not used: it must be a folder that belongs to this user and that nobody else can write`);
  } catch (error) {
    warn(`${folder} is not used: ${(error as Error).message}`);
  }
  return null;
}

function defaultFolder(): string | null {
  const { TARDIGRADE_CACHE: own, XDG_CACHE_HOME: xdg } = process.env;
  if (own === 'off') return null;
  if (own) return own;
  // The XDG base directory specification: a relative path is to be ignored.
  if (xdg?.startsWith('/')) return join(xdg, 'tardigrade');
  const home = homedir();
  return home === '' ? null : join(home, '.cache', 'tardigrade');
}

const OWN = fileURLToPath(import.meta.url);
const SOURCE = dirname(dirname(OWN));

/**
 * Changes with every source that decides what translated code looks like. It is computed from them (2 ms), so it cannot
 * be forgotten.
 */
export function translatorVersion(source = SOURCE): Buffer {
  const sum = createHash('sha256');
  const add = (path: string): void => {
    const text = readFileSync(path);
    sum.update(`${basename(path)} ${text.length} `).update(text);
  };
  try {
    for (const folder of ['x86', 'wasm']) {
      for (const name of readdirSync(join(source, folder)).sort()) {
        if (/(?<!\.test)\.[jt]s$/.test(name)) add(join(source, folder, name));
      }
    }
    add(join(source, 'lvm', `layout${extname(OWN)}`));
  } catch {
    // Not beside its sources: everything is in one file.
    add(OWN);
  }
  return sum.digest();
}

export class NodeCodeStore implements CodeStore {
  readonly figures: CodeStoreFigures = { read: 0, damaged: 0, written: 0, failed: 0 };
  readonly #folder: string;
  readonly #version: Buffer;
  readonly #folderMax: number;
  /** Files of other processes, the newest first; null: not of use. */
  #files = new Map<string, PackFile | null>();
  #lookedMs = Number.NEGATIVE_INFINITY;
  #folderMtimeMs = -1;
  /** Who has something to add. */
  readonly #collectors = new Set<() => void>();
  /** Runs while there is something to write: since when, and when the last of it came. */
  #timer: NodeJS.Timeout | null = null;
  #firstMs = 0;
  #lastMs = 0;
  /** Added and not written: what is being written comes first. */
  #waiting: Pack[] = [];
  #writing = false;
  /** The file that this process adds to: it writes it anew, with more in it. */
  #own: { readonly name: string; readonly packs: readonly HashedPack[] } | null = null;
  readonly #ownNames = new Set<string>();

  constructor(folder: string, version: Buffer, folderMax: number) {
    this.#folder = folder;
    this.#version = version;
    this.#folderMax = folderMax;
  }

  // --- reading ---

  find(key: CodeKey): StoredPack[] {
    this.#look();
    const found: StoredPack[] = [];
    for (const [name, file] of this.#files) {
      if (file === null) continue;
      for (const pack of file.find(key)) {
        found.push({
          id: file.id(pack),
          read: () => this.#read(name, file, pack),
          reject: () => this.#reject(file, pack),
        });
      }
    }
    return found;
  }

  #read(name: string, file: PackFile, pack: number): Uint8Array<ArrayBuffer> | null {
    try {
      const bytes = file.read(pack);
      if (bytes === null) {
        this.#reject(file, pack);
        return null;
      }
      this.figures.read++;
      const now = new Date();
      if (now.getTime() - file.mtimeMs > TOUCH_MS) utimes(file.path, now, now, () => {});
      return bytes;
    } catch {
      // Deleted meanwhile.
      this.#files.set(name, null);
      return null;
    }
  }

  #reject(file: PackFile, pack: number): void {
    this.figures.damaged++;
    file.reject(pack);
  }

  /** Finds files of other processes. */
  #look(): void {
    const nowMs = performance.now();
    if (nowMs - this.#lookedMs < LOOK_MS) return;
    this.#lookedMs = nowMs;
    try {
      const { mtimeMs } = statSync(this.#folder);
      if (mtimeMs === this.#folderMtimeMs) return;
      this.#folderMtimeMs = mtimeMs;
      const files: [string, PackFile | null][] = [];
      for (const name of readdirSync(this.#folder)) {
        // Files of other translators need not even be opened.
        if (!name.startsWith(this.#prefix) || !name.endsWith(SUFFIX) || this.#ownNames.has(name)) continue;
        const known = this.#files.get(name);
        files.push([name, known === undefined ? this.#open(name) : known]);
      }
      files.sort(([, a], [, b]) => (b?.mtimeMs ?? 0) - (a?.mtimeMs ?? 0));
      this.#files = new Map(files);
    } catch {
      this.figures.failed++;
    }
  }

  #open(name: string): PackFile | null {
    try {
      const file = PackFile.open(join(this.#folder, name), this.#version);
      if (file === null) this.figures.damaged++;
      return file;
    } catch {
      // Deleted meanwhile.
      return null;
    }
  }

  get #prefix(): string {
    return `${this.#version.toString('hex', 0, 8)}-`;
  }

  // --- writing ---

  announce(collect: () => void): void {
    this.#collectors.add(collect);
    this.#arm();
  }

  add(keys: readonly CodeKey[], bytes: Uint8Array<ArrayBuffer>): void {
    this.#waiting.push({ keys, bytes });
    this.#arm();
  }

  #arm(): void {
    this.#lastMs = performance.now();
    if (this.#timer !== null) return;
    this.#firstMs = this.#lastMs;
    this.#timer = setTimeout(this.#tick, IDLE_MS).unref();
    process.off('exit', this.#writeNow).once('exit', this.#writeNow);
  }

  readonly #tick = (): void => {
    const nowMs = performance.now();
    const busy = nowMs - this.#lastMs < IDLE_MS && nowMs - this.#firstMs < BUSY_MS;
    this.#timer = busy || this.#writing ? setTimeout(this.#tick, IDLE_MS).unref() : null;
    if (this.#timer === null) void this.flush();
  };

  #collect(): void {
    const collectors = [...this.#collectors];
    this.#collectors.clear();
    for (const collect of collectors) collect();
  }

  /** What the next file is to have, once the packs are hashed: the own file's again as long as it is not too long. */
  #plan(more: readonly HashedPack[]) {
    const before = this.#own !== null && sizeOf(this.#own.packs) + sizeOf(more) <= FILE_MAX ? this.#own : null;
    const packs = [...(before?.packs ?? []), ...more];
    const name = `${this.#prefix}${randomUUID()}${SUFFIX}`;
    return { name, packs, replaces: before?.name, head: encodeHead(this.#version, packs) };
  }

  /** Writes what there is, in the background and in small pieces: the guest runs on. Never rejects. */
  async flush(): Promise<void> {
    if (this.#writing) return;
    this.#writing = true;
    try {
      this.#collect();
      if (this.#waiting.length > 0) await this.#writeWaiting();
    } catch {
      // A full disk, say. The next process translates again.
      this.figures.failed++;
      this.#waiting = [];
    } finally {
      this.#writing = false;
      if (this.#waiting.length === 0 && this.#collectors.size === 0) process.off('exit', this.#writeNow);
    }
  }

  async #writeWaiting(): Promise<void> {
    const taken = [...this.#waiting];
    const hashed: HashedPack[] = [];
    for (const pack of taken) {
      await turn();
      hashed.push(hashPack(pack));
    }
    const { name, packs, replaces, head } = this.#plan(hashed);
    const temporary = join(this.#folder, `${TEMPORARY}${randomUUID()}`);
    this.#ownNames.add(name);
    try {
      await writeFile(temporary, [head, ...packs.map(({ bytes }) => bytes)], { mode: 0o600, flag: 'wx' });
      await rename(temporary, join(this.#folder, name));
    } catch (error) {
      await rm(temporary, { force: true });
      throw error;
    }
    this.#waiting = this.#waiting.slice(taken.length);
    this.#own = { name, packs };
    this.figures.written++;
    if (replaces !== undefined) await rm(join(this.#folder, replaces), { force: true });
    await this.#evict();
  }

  /** At the process's end. */
  readonly #writeNow = (): void => {
    const temporary = join(this.#folder, `${TEMPORARY}${randomUUID()}`);
    try {
      this.#collect();
      if (this.#waiting.length === 0) return;
      const { name, packs, replaces, head } = this.#plan(this.#waiting.map(hashPack));
      const fd = openSync(temporary, 'wx', 0o600);
      for (const bytes of [head, ...packs.map(({ bytes }) => bytes)]) writeSync(fd, bytes);
      closeSync(fd);
      renameSync(temporary, join(this.#folder, name));
      if (replaces !== undefined) rmSync(join(this.#folder, replaces), { force: true });
    } catch {
      rmSync(temporary, { force: true });
    }
  };

  /** Deletes the oldest files while there are too many, those of other translators first, and what a crash left behind. */
  async #evict(): Promise<void> {
    const files: { path: string; size: number; mtimeMs: number; foreign: boolean }[] = [];
    for (const name of await readdir(this.#folder)) {
      const path = join(this.#folder, name);
      const { size, mtimeMs } = await stat(path);
      if (name.startsWith(TEMPORARY) && Date.now() - mtimeMs > TOUCH_MS) await rm(path, { force: true });
      else if (name.endsWith(SUFFIX)) files.push({ path, size, mtimeMs, foreign: !name.startsWith(this.#prefix) });
    }
    files.sort((a, b) => Number(b.foreign) - Number(a.foreign) || a.mtimeMs - b.mtimeMs);
    let total = files.reduce((sum, { size }) => sum + size, 0);
    for (const { path, size } of files) {
      if (total <= this.#folderMax) return;
      await rm(path, { force: true });
      total -= size;
    }
  }
}

function sizeOf(packs: readonly Pack[]): number {
  return packs.reduce((sum, { bytes }) => sum + bytes.length, 0);
}
