/**
 * The data directory of a service (`--data-dir`): whose it is, what is in it, and who may use it now. Journals are written
 * by the replicas (replica/journal-writer.ts); here is what a run does before and after.
 */

import { chmodSync, closeSync, fsyncSync, mkdirSync, openSync, readdirSync, rmSync, statSync } from 'node:fs';
import { userInfo } from 'node:os';
import { dirname, join } from 'node:path';
import { newestJournal, parseJournalName } from '../checkpoint/journal-name.ts';
import { STATE_VERSION } from '../checkpoint/state-version.ts';
import { OperatorError } from '../cli/errors.ts';
import type { RunRequest } from '../cli/run-options.ts';
import { withJournal } from '../replica/journal-recovery.ts';
import type { JournalOptions } from '../replica/protocol.ts';
import { ProcessLock } from './process-lock.ts';

/** What makes a service the same one. Ports, replicas and times may differ. */
const IDENTITY = ['program', 'args', 'env', 'cwd', 'memory', 'rootfs', 'files'] as const;
type Identity = Pick<RunRequest, (typeof IDENTITY)[number]>;

export class DataDir {
  readonly path: string;
  /** Of the run that begins: greater than that of every journal in the folder. */
  readonly generation: number;
  /** Path of the journal to go on from; null: a fresh start. */
  readonly restore: string | null;
  readonly #lock: ProcessLock;
  readonly #meta: Readonly<Record<string, unknown>>;

  /** Makes the folder if need be. Throws OperatorError or JournalError: where anything is wrong nothing is changed. */
  static async open(path: string, request: Identity): Promise<DataDir> {
    try {
      prepare(path);
      const lock = await ProcessLock.take(path);
      if (!(lock instanceof ProcessLock)) {
        throw new OperatorError(
          'TG_DATA_DIR_LOCKED',
          `${path} is in use by process ${lock.pid}`,
          'One service keeps its state in a folder. tardigrade ps lists what runs.',
        );
      }
      try {
        return new DataDir(path, request, lock);
      } catch (error) {
        lock.release();
        throw error;
      }
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      if (code?.startsWith('TG_') !== false) throw error;
      throw unusable(path, message);
    }
  }

  private constructor(path: string, request: Identity, lock: ProcessLock) {
    this.path = path;
    this.#lock = lock;
    const names = readdirSync(path);
    this.generation = Math.max(0, ...names.map((name) => parseJournalName(name)?.generation ?? 0)) + 1;
    const newest = newestJournal(names);
    this.restore = newest === null ? null : join(path, newest);
    const service = Object.fromEntries(IDENTITY.map((key) => [key, request[key]]));
    this.#meta = { state: STATE_VERSION, service };
    if (this.restore !== null) {
      const meta = withJournal(this.restore, (reader) => reader.meta);
      checkVersion(path, meta.state);
      checkIdentity(path, meta.service as Partial<Identity>, request);
    }
    // Roots that were never whole: nobody was told anything that is in them alone.
    for (const name of names) if (parseJournalName(name)?.whole === false) rmSync(join(path, name));
  }

  /** For the replicas. */
  get options(): JournalOptions {
    return { folder: this.path, restore: this.restore, meta: this.#meta };
  }

  /** A replica's process was started and will be told to begin. */
  born(pid: number): void {
    this.#lock.add(pid);
  }

  /** The program has ended by itself, and nobody writes any more: the next run starts afresh. The newest goes last. */
  forget(): void {
    const names = readdirSync(this.path).filter((name) => parseJournalName(name) !== null);
    const newest = newestJournal(names);
    for (const name of names) if (name !== newest) rmSync(join(this.path, name));
    syncFolder(this.path);
    if (newest !== null) rmSync(join(this.path, newest));
    syncFolder(this.path);
  }

  /** All processes of the run have ended. */
  close(): void {
    this.#lock.release();
  }
}

function prepare(path: string): void {
  const first = mkdirSync(path, { recursive: true, mode: 0o700 });
  if (first !== undefined)
    for (let made = path; made.length >= first.length; made = dirname(made)) syncFolder(dirname(made));
  const stat = statSync(path);
  if (!stat.isDirectory()) throw unusable(path, 'it is not a folder');
  if (stat.uid !== userInfo().uid) throw unusable(path, 'it is not yours');
  const foreign = readdirSync(path).find((name) => parseJournalName(name) === null && !ProcessLock.isName(name));
  if (foreign !== undefined) throw unusable(path, `there is something else in it (${foreign})`);
  // What is written there holds the program's memory.
  if ((stat.mode & 0o077) !== 0) chmodSync(path, 0o700);
}

function syncFolder(path: string): void {
  const fd = openSync(path, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

function checkVersion(path: string, version: unknown): void {
  if (version === STATE_VERSION) return;
  throw new OperatorError(
    'TG_JOURNAL_VERSION',
    `the state in ${path} is of version ${String(version)}; this program's is ${STATE_VERSION}`,
    'Go on with the version of Tardigrade that wrote it, or give another folder to start the service anew.',
  );
}

function checkIdentity(path: string, kept: Partial<Identity>, asked: Identity): void {
  const different = IDENTITY.filter((key) => canonical(kept[key]) !== canonical(asked[key]));
  if (different.length === 0) return;
  const words = different.map((key) => {
    if (key !== 'env') return `${key} was ${JSON.stringify(kept[key])}, is ${JSON.stringify(asked[key])}`;
    // Their values may be secrets.
    const [before, now] = [kept.env ?? {}, asked.env];
    const names = [...new Set([...Object.keys(before), ...Object.keys(now)])].filter((n) => before[n] !== now[n]);
    return `env differs in ${names.join(', ')}`;
  });
  throw new OperatorError(
    'TG_DATA_DIR_OTHER',
    `${path} has the state of another service: ${words.join('; ')}`,
    'Run it with the program, arguments and environment of before, or give another folder.',
  );
}

/** The order of an environment's variables means nothing. */
function canonical(value: unknown): string {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return JSON.stringify(value) ?? '';
  return JSON.stringify(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
}

function unusable(path: string, why: string): OperatorError {
  return new OperatorError(
    'TG_DATA_DIR',
    `--data-dir ${path} cannot be used: ${why}`,
    'Give an empty or a new folder.',
  );
}
