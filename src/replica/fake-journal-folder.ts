/**
 * A disk for tests of what happens when everything stops between two steps. Bytes that were not synced may be there or not,
 * sector by sector; names that were not synced may be as they were or as they became, each for itself.
 */

import type { Random } from '../sim/random.ts';
import type { JournalFile, JournalFolder } from './journal-folder.ts';

const SECTOR = 64;

/** What has a name on the disk. */
interface Inode {
  bytes: Uint8Array;
  synced: Uint8Array;
}

/** What is left when everything has stopped. */
export type Remains = ReadonlyMap<string, Uint8Array>;

export class FakeJournalFolder implements JournalFolder {
  readonly #random: Random;
  /** Steps until everything stops. */
  #left: number;
  readonly #now = new Map<string, Inode>();
  readonly #durable = new Map<string, Inode>();
  /** Names changed since the last sync, in pairs that are changed together (a rename). */
  #changes: (readonly string[])[] = [];
  /** Thrown by the step after which `failing` is set. */
  error: Error | null = null;
  readonly stopped: Promise<void>;
  readonly #stop: () => void;
  #isStopped = false;

  constructor(random: Random, steps: number, files: Remains = new Map()) {
    this.#random = random;
    this.#left = steps;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.stopped = promise;
    this.#stop = resolve;
    for (const [name, bytes] of files) {
      const inode = { bytes, synced: bytes };
      this.#now.set(name, inode);
      this.#durable.set(name, inode);
    }
  }

  get isStopped(): boolean {
    return this.#isStopped;
  }

  /** Everything stops now, if it has not yet. */
  stop(): void {
    this.#isStopped = true;
    this.#stop();
  }

  async create(name: string): Promise<JournalFile> {
    await this.#step();
    if (this.#now.has(name)) throw new Error(`EEXIST: ${name}`);
    const inode: Inode = { bytes: new Uint8Array(0), synced: new Uint8Array(0) };
    this.#now.set(name, inode);
    this.#changes.push([name]);
    const write = async (pieces: readonly Uint8Array[]): Promise<void> => {
      const before = inode.bytes;
      const all = Buffer.concat([before, ...pieces]);
      // It may stop in the middle of a write.
      inode.bytes = new Uint8Array(all.subarray(0, before.length + this.#random.below(all.length - before.length + 1)));
      await this.#step();
      inode.bytes = new Uint8Array(all);
      await this.#step();
    };
    const sync = async (): Promise<void> => {
      const { bytes } = inode;
      await this.#step();
      inode.synced = bytes;
      await this.#step();
    };
    return { write, sync, close: async () => {} };
  }

  async rename(from: string, to: string): Promise<void> {
    await this.#step();
    const inode = this.#now.get(from);
    if (inode === undefined) throw new Error(`ENOENT: ${from}`);
    this.#now.delete(from);
    this.#now.set(to, inode);
    this.#changes.push([from, to]);
    await this.#step();
  }

  async remove(name: string): Promise<void> {
    await this.#step();
    this.#now.delete(name);
    this.#changes.push([name]);
    await this.#step();
  }

  async names(): Promise<string[]> {
    await this.#step();
    return [...this.#now.keys()];
  }

  async sync(): Promise<void> {
    await this.#step();
    for (const names of this.#changes.splice(0)) this.#settle(names);
    await this.#step();
  }

  #settle(names: readonly string[]): void {
    for (const name of names) {
      const inode = this.#now.get(name);
      if (inode === undefined) this.#durable.delete(name);
      else this.#durable.set(name, inode);
    }
  }

  /** What a machine that starts again finds. */
  remains(): Remains {
    for (const names of this.#changes) if (this.#random.chance(0.5)) this.#settle(names);
    return new Map([...this.#durable].map(([name, inode]) => [name, this.#rest(inode)]));
  }

  #rest({ bytes, synced }: Inode): Uint8Array {
    const rest = new Uint8Array(synced.length + this.#random.below(bytes.length - synced.length + 1));
    rest.set(synced);
    for (let at = synced.length; at < rest.length; at += SECTOR) {
      if (this.#random.chance(0.7)) rest.set(bytes.subarray(at, Math.min(at + SECTOR, rest.length)), at);
    }
    return rest;
  }

  /** Takes a while, or never ends. */
  async #step(): Promise<void> {
    for (let n = this.#random.below(6); n > 0; n--) await Promise.resolve();
    if (this.error !== null) throw this.error;
    if (--this.#left <= 0) this.stop();
    if (this.#isStopped) await new Promise(() => {});
  }
}
