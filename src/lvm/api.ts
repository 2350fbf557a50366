/**
 * The LVM API: the only way anything enters or leaves a lightweight virtual machine.
 *
 * Read this file first. Everything above this interface (the library OS, the guest's TCP/IP stack, the translated guest
 * code) is a deterministic state machine: the same image and the same sequence of (instruction count, answer) give the
 * same output, bit for bit. Everything non-deterministic is an answer of one of these calls, so an interposer — a class
 * that takes an `Lvm` and is one — can hold output (OutputCommit), log answers (Recorder) or invent them (Replayer).
 *
 * Source: Lorch et al., "Tardigrade", NSDI 2015, section 3 (the Bascule ABI), reduced to what one process tree needs.
 */

/** Microseconds. Numbers stay exact for 285 years. */
export interface ClockSample {
  /** Time since the service's first start; never goes backwards, also not across a failover. */
  readonly monotonicUs: number;
  /** Time since 1970-01-01T00:00:00Z; never goes backwards. */
  readonly realtimeUs: number;
}

/** SHA-256 of a blob's content, 64 lower-case hex digits. */
export type BlobId = string;

export type ImageFileType = 'file' | 'directory' | 'symlink' | 'other';

/** What the read-only root folder says about one path, symbolic links not followed. */
export interface ImageEntry {
  readonly type: ImageFileType;
  /** Permission bits (07777). */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly mtimeUs: number;
  /** Links to it: of a directory two, and one for each subdirectory. Absent where that is not known. */
  readonly nlink?: number;
  /** For a regular file: names its content. Computed when first asked with `content: true`. */
  readonly blob?: BlobId;
  /** For a symlink: its target. */
  readonly target?: string;
  /** For a directory asked with `content: true`: names in byte order, without "." and "..". */
  readonly names?: readonly string[];
}

export type Input =
  /** An IPv4 packet for the guest's interface. */
  | { readonly kind: 'packet'; readonly bytes: Uint8Array }
  /** Bytes on the guest's standard input; an empty array is end of file. */
  | { readonly kind: 'stdin'; readonly bytes: Uint8Array }
  /** A signal from the operator to the guest's first process (SIGTERM of `tardigrade stop`). */
  | { readonly kind: 'signal'; readonly signo: number };

/** How the guest's first process ended, as wait4 would say it. */
export interface GuestExit {
  /** 0…255, or null when a signal ended it. */
  readonly code: number | null;
  readonly signal: number | null;
}

export interface Lvm {
  /** Sampled by the host. */
  clock(): ClockSample;

  /** `length` unpredictable bytes. */
  entropy(length: number): Uint8Array;

  /**
   * The next input, or null when there is none now. Never blocks the host: a guest with nothing to run returns from
   * `Guest.run` with `wait` and its deadline, and is run again when an input has come or the deadline has passed.
   */
  wait(): Input | null;

  /** An IPv4 packet out. The array is the caller's no more. */
  send(packet: Uint8Array): void;

  /**
   * One path of the image, absolute, without "." or ".." or symbolic links in its parents. With `content`, a regular
   * file's blob is named (which makes the host read it once and keep it) and a directory's names are listed. Null: no
   * such path.
   */
  lookup(path: string, content: boolean): ImageEntry | null;

  /** Bytes of a blob named by an earlier `lookup` (on this replica or on the one this state came from). */
  read(blob: BlobId, offset: number, length: number): Uint8Array;

  /** Guest output on its standard streams. */
  console(stream: 1 | 2, bytes: Uint8Array): void;

  /** The guest's first process has ended. */
  exit(status: GuestExit): void;
}

export type RunResult =
  /** The budget is used up; there is more to run. */
  | { readonly kind: 'budget' }
  /** Nothing can run before an input comes or `monotonicUs` reaches `deadlineUs` (null: no timer). */
  | { readonly kind: 'wait'; readonly deadlineUs: number | null }
  | { readonly kind: 'exit'; readonly status: GuestExit };

/** What the host runs: a library OS with its processes. */
export interface Guest {
  /**
   * Runs about `budget` guest instructions (exactly that many if `exact`), polling `Lvm.wait` at least once at the start.
   * On return every guest thread is at an instruction boundary: the state may be captured.
   */
  run(budget: number, exact?: boolean): RunResult;

  /** Guest instructions retired since the first start. */
  readonly instructions: number;
}
