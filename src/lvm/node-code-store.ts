/**
 * Translated code on disk, in a folder that belongs to the user: $TARDIGRADE_CACHE ("off": nowhere), else
 * $XDG_CACHE_HOME/tardigrade, else ~/.cache/tardigrade. pack-folder.ts has what is in it.
 *
 * What is damaged, of another translator or of another user is passed over and counted. Nothing here can fail for the
 * guest: without the folder everything is translated anew.
 */

import { mkdirSync, statSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import type { CodeKey, CodeStore, StoredPack } from '../x86/code-store.ts';
import { type HashedPack, hashPack, isPrivate, type Pack, type PackFile } from './pack-file.ts';
import { PackFolder } from './pack-folder.ts';
import { translatorVersion } from './translator-version.ts';

/**
 * Written when so long nothing was announced, or so long after the first that was. Not at the same time in all processes
 * of a service: who comes later need not write what the first one has.
 */
const IDLE_MS = 1000 + (process.pid % 8) * 125;
const BUSY_MS = 3000;
/** A process adds to its file up to this size, then begins another. */
const FILE_MAX = 8 << 20;
/** All files together; the oldest are deleted. */
const FOLDER_MAX = 256 << 20;
/** A pack of which others have written so much meanwhile is not written; so many of its keys are tried. */
const KNOWN_SHARE = 0.75;
const TRIED_KEYS = 16;

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
  const path = options.folder === undefined ? defaultFolder() : options.folder;
  if (path === null) return null;
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
    const stat = statSync(path);
    if (stat.isDirectory() && isPrivate(stat)) {
      const folder = new PackFolder(path, options.version ?? translatorVersion());
      return new NodeCodeStore(folder, options.folderMax ?? FOLDER_MAX);
    }
    warn(`${path} is not used: it must be a folder that belongs to this user and that nobody else can write`);
  } catch (error) {
    warn(`${path} is not used: ${(error as Error).message}`);
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

export class NodeCodeStore implements CodeStore {
  readonly #folder: PackFolder;
  readonly #folderMax: number;
  readonly #figures = { read: 0, damaged: 0, written: 0, failed: 0 };
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

  constructor(folder: PackFolder, folderMax: number) {
    this.#folder = folder;
    this.#folderMax = folderMax;
  }

  get figures(): CodeStoreFigures {
    return { ...this.#figures, damaged: this.#figures.damaged + this.#folder.damaged };
  }

  find(key: CodeKey): StoredPack[] {
    const found: StoredPack[] = [];
    for (const file of this.#files()) {
      for (const pack of file.find(key)) {
        found.push({
          id: file.id(pack),
          read: () => this.#read(file, pack),
          reject: () => this.#reject(file, pack),
        });
      }
    }
    return found;
  }

  #files(): readonly PackFile[] {
    try {
      return this.#folder.look();
    } catch {
      this.#figures.failed++;
      return [];
    }
  }

  #read(file: PackFile, pack: number): Uint8Array<ArrayBuffer> | null {
    try {
      const bytes = file.read(pack);
      if (bytes === null) {
        this.#reject(file, pack);
        return null;
      }
      this.#figures.read++;
      this.#folder.touch(file);
      return bytes;
    } catch {
      // Deleted meanwhile.
      this.#folder.forget(file);
      return null;
    }
  }

  #reject(file: PackFile, pack: number): void {
    this.#figures.damaged++;
    file.reject(pack);
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

  /** Writes what there is, in the background and in small pieces: the guest runs on. Never rejects. */
  async flush(): Promise<void> {
    if (this.#writing) return;
    this.#writing = true;
    try {
      this.#collect();
      if (this.#waiting.length > 0) await this.#write();
    } catch {
      // A full disk, say. The next process translates again.
      this.#figures.failed++;
      this.#waiting = [];
    } finally {
      this.#writing = false;
      if (this.#waiting.length === 0 && this.#collectors.size === 0) process.off('exit', this.#writeNow);
    }
  }

  async #write(): Promise<void> {
    const taken = this.#waiting.length;
    const fresh = await this.#hash(this.#waiting.filter((pack) => !this.#isKnown(pack)));
    if (fresh.length > 0) {
      const before = this.#grown(fresh);
      const packs = [...(before?.packs ?? []), ...fresh];
      const small = this.#folder.smallFiles();
      for (const file of small) packs.push(...(await this.#hash(file.packs())));
      this.#own = { name: await this.#folder.write(packs), packs };
      this.#figures.written++;
      if (before !== null) this.#folder.removeNow(before.name);
      for (const file of small) await this.#folder.remove(file);
      await this.#folder.evict(this.#folderMax);
    }
    this.#waiting = this.#waiting.slice(taken);
  }

  async #hash(packs: readonly Pack[]): Promise<HashedPack[]> {
    const hashed: HashedPack[] = [];
    for (const pack of packs) {
      await turn();
      hashed.push(hashPack(pack));
    }
    return hashed;
  }

  #isKnown({ keys }: Pack): boolean {
    const files = this.#files();
    const step = Math.ceil(keys.length / TRIED_KEYS);
    const tried = keys.filter((_key, i) => i % step === 0);
    const known = tried.filter((key) => files.some((file) => file.find(key).length > 0));
    return known.length >= tried.length * KNOWN_SHARE;
  }

  /** The own file, if there is room in it for more. */
  #grown(more: readonly Pack[]) {
    return this.#own !== null && sizeOf(this.#own.packs) + sizeOf(more) <= FILE_MAX ? this.#own : null;
  }

  /** At the process's end. */
  readonly #writeNow = (): void => {
    try {
      this.#collect();
      const fresh = this.#waiting.filter((pack) => !this.#isKnown(pack)).map(hashPack);
      if (fresh.length === 0) return;
      const before = this.#grown(fresh);
      this.#folder.writeNow([...(before?.packs ?? []), ...fresh]);
      if (before !== null) this.#folder.removeNow(before.name);
    } catch {
      // As in `flush`; and nobody is left to count it.
    }
  };
}

function sizeOf(packs: readonly Pack[]): number {
  return packs.reduce((sum, { bytes }) => sum + bytes.length, 0);
}
