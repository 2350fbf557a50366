/**
 * The data directory of a simulated service: what the journals of its primaries have in it, and what is left when
 * everything stops. A model of replica/journal-writer.ts, which has a test of its own with the steps of a real disk.
 */

import type { JournalEntry } from '../replication/driver.ts';
import { ModelState } from './guest.ts';
import { Violation } from './observer.ts';
import type { Random } from './random.ts';

interface JournalFile {
  /** Generation, view, number: the greatest that was adopted is the one to restart from. */
  readonly order: readonly [number, number, number];
  readonly records: Uint8Array[];
  /** So many records survive everything. */
  synced: number;
  /** All chunks of the root are in it. */
  complete: boolean;
  /** Its root was durable, and it may be restarted from. */
  adopted: boolean;
}

export class DataFolder {
  #files: JournalFile[] = [];

  create(order: JournalFile['order']): JournalFile {
    const file = { order, records: [], synced: 0, complete: false, adopted: false };
    this.#files.push(file);
    return file;
  }

  /** What was written is durable, the root with it; older journals are removed. */
  adopt(file: JournalFile): void {
    file.adopted = true;
    this.#files = this.#files.filter((other) => compare(other.order, file.order) >= 0);
  }

  /** The count of requests in the state that a restart would surely find; 0: none. */
  get surely(): number {
    const file = this.#newest();
    const last = file?.records[file.synced - 1];
    return last === undefined ? 0 : new DataView(last.buffer, last.byteOffset).getUint32(0, true);
  }

  /** Everything stops: of what is not durable, a part is left. Gives the state to go on from; null: a fresh start. */
  restart(random: Random): ModelState | null {
    for (const file of this.#files) {
      const loose = file.records.length - file.synced;
      if (random.chance(0.7)) file.records.length = file.synced + random.below(loose + 1);
    }
    const file = this.#newest();
    this.#files = file === null ? [] : [file];
    if (file === null) return null;
    const state = new ModelState();
    state.cells.fill(0xdead);
    for (const bytes of file.records) state.apply(bytes);
    return state;
  }

  #newest(): JournalFile | null {
    let newest: JournalFile | null = null;
    for (const file of this.#files) {
      if (file.adopted && (newest === null || compare(file.order, newest.order) > 0)) newest = file;
    }
    return newest;
  }
}

function compare(a: JournalFile['order'], b: JournalFile['order']): number {
  return a[0] - b[0] || a[1] - b[1] || a[2] - b[2];
}

export interface JournalWorld {
  /** Calls `action` a while later, while the process runs. */
  later(action: () => void): void;
  journalled(written: number, durable: number): void;
}

/** One primary's writer: writes what has come, makes it durable, and again. */
export class SimJournal {
  readonly #folder: DataFolder;
  readonly #world: JournalWorld;
  readonly #generation: number;
  readonly #view: number;
  #queue: JournalEntry[] = [];
  #busy = false;
  #number = 0;
  #current: JournalFile | null = null;
  #next: JournalFile | null = null;
  #durable = -1;

  constructor(folder: DataFolder, generation: number, view: number, world: JournalWorld) {
    this.#folder = folder;
    this.#world = world;
    this.#generation = generation;
    this.#view = view;
  }

  append(entry: JournalEntry): void {
    this.#queue.push(entry);
    if (!this.#busy) this.#work();
  }

  #work(): void {
    this.#busy = true;
    const entries = this.#queue;
    this.#queue = [];
    this.#world.later(() => {
      for (const entry of entries) this.#write(entry);
      const { epoch } = entries.at(-1)!.position;
      this.#world.journalled(epoch, this.#durable);
      const file = this.#next?.complete ? this.#next : this.#current;
      const count = file?.records.length ?? 0;
      this.#world.later(() => {
        if (file !== null) {
          file.synced = count;
          if (file === this.#next) {
            this.#folder.adopt(file);
            this.#current = file;
            this.#next = null;
          }
          this.#durable = epoch;
          this.#world.journalled(epoch, epoch);
        }
        this.#busy = false;
        if (this.#queue.length > 0) this.#work();
      });
    });
  }

  #write({ delta, root }: JournalEntry): void {
    if (this.#current !== null && !this.#next?.complete) this.#current.records.push(required(delta));
    if (root?.start) this.#next = this.#folder.create([this.#generation, this.#view, ++this.#number]);
    else if (this.#next !== null) this.#next.records.push(required(delta));
    if (root === null) return;
    this.#next!.records.push(root.bytes);
    this.#next!.complete = root.done;
  }
}

function required(delta: Uint8Array | null): Uint8Array {
  if (delta === null) throw new Violation('an epoch comes to the journal without its delta');
  return delta;
}
