/**
 * The folder of journals, as the writer needs it, on a real disk. Files are of mode 0600: they hold the guest's memory. What
 * counts as durable: a file's bytes after its `sync`; a name that was made, changed or removed after the folder's.
 */

import { constants, type FileHandle, open, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';

export interface JournalFile {
  /** Appends all of them, or throws. */
  write(pieces: readonly Uint8Array[]): Promise<void>;
  sync(): Promise<void>;
  close(): Promise<void>;
}

export interface JournalFolder {
  /** Throws where the name exists. */
  create(name: string): Promise<JournalFile>;
  rename(from: string, to: string): Promise<void>;
  /** A name that is not there is none already. */
  remove(name: string): Promise<void>;
  names(): Promise<string[]>;
  sync(): Promise<void>;
}

const MODE = 0o600;

export class NodeJournalFolder implements JournalFolder {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  async create(name: string): Promise<JournalFile> {
    const { O_WRONLY, O_CREAT, O_EXCL } = constants;
    return new NodeJournalFile(await open(join(this.#path, name), O_WRONLY | O_CREAT | O_EXCL, MODE));
  }

  rename(from: string, to: string): Promise<void> {
    return rename(join(this.#path, from), join(this.#path, to));
  }

  remove(name: string): Promise<void> {
    return rm(join(this.#path, name), { force: true });
  }

  names(): Promise<string[]> {
    return readdir(this.#path);
  }

  async sync(): Promise<void> {
    const folder = await open(this.#path, constants.O_RDONLY | constants.O_DIRECTORY);
    try {
      await folder.sync();
    } finally {
      await folder.close();
    }
  }
}

class NodeJournalFile implements JournalFile {
  readonly #handle: FileHandle;

  constructor(handle: FileHandle) {
    this.#handle = handle;
  }

  async write(pieces: readonly Uint8Array[]): Promise<void> {
    let left = pieces.filter(({ length }) => length > 0);
    while (left.length > 0) {
      let { bytesWritten } = await this.#handle.writev(left);
      // A disk that becomes full takes a part; the rest then fails with the reason.
      while (left.length > 0 && bytesWritten >= left[0]!.length) bytesWritten -= left.shift()!.length;
      if (left.length > 0) left = [left[0]!.subarray(bytesWritten), ...left.slice(1)];
    }
  }

  sync(): Promise<void> {
    return this.#handle.datasync();
  }

  close(): Promise<void> {
    return this.#handle.close();
  }
}
