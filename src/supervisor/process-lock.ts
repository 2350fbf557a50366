/**
 * A folder that one run may use at a time. The lock is a file that names the processes which may write there: the run
 * itself and its replicas. They are told from later ones of the same pid by when they were started (proc(5)), and from those
 * before a restart of the machine by its boot id, so a lock outlives nobody, however they ended.
 *
 * Files are `lock.<number>`, made whole and at once by link(2), and the greatest number counts. Taking the lock is to make
 * the next number; a lock that was given up stays, naming nobody who lives. So of two who find the same stale lock one wins.
 */

import { linkSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

export interface LockedBy {
  readonly pid: number;
}

interface Named {
  readonly pid: number;
  /** Clock ticks between the machine's start and the process's; null where there is no /proc. */
  readonly start: string | null;
}

interface LockFile {
  readonly boot: string | null;
  /** The run itself is the first. */
  readonly processes: readonly Named[];
}

const NAME = /^lock\.(\d{1,9})$/;
/** Replicas end by themselves when their run has ended, however it did; one that is stopped does not. */
const REPLICAS_END_MS = 5000;
const LOOK_MS = 20;

export class ProcessLock {
  readonly #folder: string;
  readonly #number: number;
  #processes: readonly Named[];

  /** The name of a lock, or of one that is being made. */
  static isName(name: string): boolean {
    return /^lock\.\d{1,9}(\.\d+)?$/.test(name);
  }

  /** The lock, or who has it. Waits for replicas of a run that has ended. */
  static async take(folder: string): Promise<ProcessLock | LockedBy> {
    const deadlineMs = performance.now() + REPLICAS_END_MS;
    for (;;) {
      const number = greatest(folder);
      const [first, ...others] = number === 0 ? [] : read(folder, number);
      if (first !== undefined && isAlive(first)) return { pid: first.pid };
      const other = others.find(isAlive);
      if (other !== undefined) {
        if (performance.now() > deadlineMs) return { pid: other.pid };
        await sleep(LOOK_MS);
        continue;
      }
      const lock = new ProcessLock(folder, number + 1);
      if (lock.#make()) return lock;
    }
  }

  private constructor(folder: string, number: number) {
    this.#folder = folder;
    this.#number = number;
    this.#processes = [named(process.pid)];
  }

  get #path(): string {
    return join(this.#folder, `lock.${this.#number}`);
  }

  /** False: somebody else was first. */
  #make(): boolean {
    const whole = this.#write();
    try {
      linkSync(whole, this.#path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
      throw error;
    } finally {
      rmSync(whole);
    }
    // Where a listing found nothing because the names changed meanwhile.
    if (greatest(this.#folder) > this.#number) {
      rmSync(this.#path);
      return false;
    }
    for (const name of readdirSync(this.#folder)) {
      const number = Number(NAME.exec(name)?.[1] ?? this.#number);
      if (number < this.#number) rmSync(join(this.#folder, name), { force: true });
    }
    return true;
  }

  /** A process that may write from now on: before it may. */
  add(pid: number): void {
    this.#processes = [...this.#processes.filter((one, i) => i === 0 || isStillAlive(one)), named(pid)];
    renameSync(this.#write(), this.#path);
  }

  #write(): string {
    const path = `${this.#path}.${process.pid}`;
    const file: LockFile = { boot: bootId(), processes: this.#processes };
    writeFileSync(path, JSON.stringify(file), { mode: 0o600 });
    return path;
  }

  /** Gives it up: all that it named have ended, and so has this. */
  release(): void {
    this.#processes = [];
    renameSync(this.#write(), this.#path);
  }
}

function greatest(folder: string): number {
  return Math.max(0, ...readdirSync(folder).map((name) => Number(NAME.exec(name)?.[1] ?? 0)));
}

/** Processes that the lock names, with whether they may be those: of another boot of the machine nobody is. */
function read(folder: string, number: number): (Named & { readonly boot: string | null })[] {
  try {
    const { boot, processes } = JSON.parse(readFileSync(join(folder, `lock.${number}`), 'utf8')) as LockFile;
    return processes.map((one) => ({ ...one, boot }));
  } catch {
    // Taken away meanwhile, or what a machine that lost its power left of it: it was made whole.
    return [];
  }
}

function isAlive(one: Named & { readonly boot: string | null }): boolean {
  return one.boot === bootId() && isStillAlive(one);
}

function isStillAlive({ pid, start }: Named): boolean {
  if (start !== null) return startOf(pid) === start;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

function named(pid: number): Named {
  return { pid, start: startOf(pid) };
}

/** Null: it is not, or has ended and waits for its parent, or there is no /proc. */
function startOf(pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // The name, in parentheses, may have anything in it. Fields 3 (state) and 22 (starttime).
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' || fields[0] === 'X' ? null : fields[19]!;
  } catch {
    return null;
  }
}

function bootId(): string | null {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim();
  } catch {
    return null;
  }
}
