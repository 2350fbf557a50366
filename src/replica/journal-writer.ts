/**
 * Writes a primary's journal (replication/types.ts says what goes into it, checkpoint/journal.ts how it looks). Works in
 * rounds: everything that has come is written; then one sync covers it all, and it is durable; and again. So the slower the
 * disk, the more epochs share a sync.
 *
 * A root is written to a file of its own, `.part`, beside the journal that there may be. When all of it is written it is
 * synced, renamed to `.journal`, and the folder synced: then it is what a restart takes, and only then are older ones
 * removed. A primary that was replaced and does not know yet has an older name, so it cannot remove its successor's.
 *
 * An error ends the writer (fail-stop): what a disk holds after a failed sync nobody knows.
 */

import type { Crc32 } from '../checkpoint/file.ts';
import {
  encodeJournalHeader,
  encodeJournalRecord,
  JOURNAL_RECORD,
  type JournalHeader,
  type JournalKind,
} from '../checkpoint/journal.ts';
import { compareJournals, type JournalName, journalName, parseJournalName } from '../checkpoint/journal-name.ts';
import { assert } from '../lvm/assert.ts';
import type { JournalEntry } from '../replication/driver.ts';
import type { JournalFile, JournalFolder } from './journal-folder.ts';
import { Meter } from './meters.ts';

export interface JournalWriterOptions {
  readonly folder: JournalFolder;
  readonly generation: number;
  /** In which this primary took over. */
  readonly view: number;
  /** For the header of each file. */
  readonly meta: () => Readonly<Record<string, unknown>>;
  readonly crc32: Crc32;
  /** Milliseconds of a clock that does not go backwards. */
  readonly nowMs: () => number;
  readonly limits?: JournalLimits;
}

/** A new root is asked for when the deltas of a journal are more than `factor` times its root, and more than `least` bytes. */
export interface JournalLimits {
  readonly factor: number;
  readonly least: number;
}

export interface JournalHandlers {
  /** As event `journalled` has it. */
  journalled(written: number, durable: number): void;
  /** The journal is large: a new root is wanted. Said again after each round until one begins. */
  grown(): void;
  /** The end of this writer. */
  failed(error: Error): void;
}

const LIMITS: JournalLimits = { factor: 2, least: 64 << 20 };
const NOTHING = new Uint8Array(0);

/** A file that is written to. */
interface Open {
  readonly file: JournalFile;
  readonly name: JournalName;
  readonly header: JournalHeader;
  /** Bytes, and how many of them are durable. */
  size: number;
  synced: number;
  /** Size when the root was complete; null: it is not. */
  rootSize: number | null;
  /** Waits to be written. */
  pieces: Uint8Array[];
}

export class JournalWriter {
  readonly syncUs = new Meter();
  readonly #options: JournalWriterOptions;
  readonly #limits: JournalLimits;
  readonly #handlers: JournalHandlers;
  readonly #queue: JournalEntry[] = [];
  #working = false;
  #closed = false;
  #number = 0;
  /** What a restart would take; null: this primary has none yet. */
  #current: Open | null = null;
  /** A root in progress, or complete and not durable yet. */
  #next: Open | null = null;
  #durable = -1;

  constructor(options: JournalWriterOptions, handlers: JournalHandlers) {
    this.#options = options;
    this.#limits = options.limits ?? LIMITS;
    this.#handlers = handlers;
  }

  /** Bytes of the files that this primary writes. */
  get bytes(): number {
    return (this.#current?.size ?? 0) + (this.#next?.size ?? 0);
  }

  append(entry: JournalEntry): void {
    if (this.#closed) return;
    this.#queue.push(entry);
    if (!this.#working) void this.#work();
  }

  /** Nothing is said after this. What is under way may still reach the disk. */
  close(): void {
    this.#closed = true;
    this.#queue.length = 0;
    if (!this.#working) void this.#end();
  }

  async #work(): Promise<void> {
    this.#working = true;
    try {
      while (this.#queue.length > 0 && !this.#closed) await this.#round(this.#queue.splice(0));
    } catch (error) {
      if (!this.#closed) {
        this.#closed = true;
        this.#handlers.failed(error as Error);
      }
    }
    this.#working = false;
    if (this.#closed) await this.#end();
  }

  async #end(): Promise<void> {
    for (const open of [this.#current, this.#next]) {
      // Nothing depends on it any more.
      await open?.file.close().catch(() => {});
    }
    this.#current = this.#next = null;
  }

  async #round(entries: readonly JournalEntry[]): Promise<void> {
    for (const entry of entries) await this.#take(entry);
    await this.#flush();
    if (this.#closed) return;
    const { epoch } = entries.at(-1)!.position;
    this.#handlers.journalled(epoch, this.#durable);
    const open = this.#next?.rootSize != null ? this.#next : this.#current;
    if (open === null) return;
    const startMs = this.#options.nowMs();
    await open.file.sync();
    this.syncUs.add((this.#options.nowMs() - startMs) * 1000);
    open.synced = open.size;
    if (open === this.#next) await this.#adopt(open);
    if (this.#closed) return;
    this.#durable = epoch;
    this.#handlers.journalled(epoch, epoch);
    if (this.#hasGrown(open)) this.#handlers.grown();
    await this.#mark(open, epoch);
  }

  /** Puts an entry among what is to be written. */
  async #take({ position: { epoch }, delta, root }: JournalEntry): Promise<void> {
    const current = this.#next?.rootSize != null ? null : this.#current;
    if (current !== null) this.#add(current, 'delta', epoch, delta);
    if (root?.start) {
      assert(this.#next === null, 'one root is written at a time');
      this.#next = await this.#create();
    } else if (this.#next !== null) this.#add(this.#next, 'delta', epoch, delta);
    if (root === null) return;
    assert(this.#next !== null, 'a root begins with its first chunk');
    this.#add(this.#next, root.done ? 'root-end' : 'root', epoch, root.bytes);
    if (root.done) this.#next.rootSize = this.#next.size;
  }

  async #create(): Promise<Open> {
    const { folder, generation, view, meta, crc32 } = this.#options;
    const name = { generation, view, number: ++this.#number };
    const file = await folder.create(journalName(name, false));
    const header = encodeJournalHeader(meta(), crc32);
    return { file, name, header, size: header.bytes.length, synced: 0, rootSize: null, pieces: [header.bytes] };
  }

  #add(open: Open, kind: JournalKind, epoch: number, body: Uint8Array | null): void {
    assert(body !== null, 'what goes into a journal is there');
    const { size: at, synced, header } = open;
    open.pieces.push(encodeJournalRecord({ kind, epoch, at, synced }, body, header.seed, this.#options.crc32), body);
    open.size += JOURNAL_RECORD + body.length;
  }

  async #flush(): Promise<void> {
    for (const open of [this.#current, this.#next]) {
      if (open === null || open.pieces.length === 0) continue;
      const { pieces } = open;
      open.pieces = [];
      await open.file.write(pieces);
    }
  }

  /** A root that is durable becomes what a restart takes; what is older goes. */
  async #adopt(open: Open): Promise<void> {
    const { folder } = this.#options;
    await folder.rename(journalName(open.name, false), journalName(open.name, true));
    await folder.sync();
    const old = this.#current;
    this.#current = open;
    this.#next = null;
    await old?.file.close();
    for (const name of await folder.names()) {
      const parsed = parseJournalName(name);
      if (parsed !== null && compareJournals(parsed, open.name) < 0) await folder.remove(name);
    }
  }

  #hasGrown({ size, rootSize }: Open): boolean {
    const { factor, least } = this.#limits;
    return this.#next === null && size - rootSize! > Math.max(least, factor * rootSize!);
  }

  /** Lets a reader know that the last deltas were durable. Needs no sync: whoever comes later brings one. */
  async #mark(open: Open, epoch: number): Promise<void> {
    if (this.#queue.length > 0 || this.#closed) return;
    this.#add(open, 'mark', epoch, NOTHING);
    await this.#flush();
  }
}
