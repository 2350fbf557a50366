/** The state that a journal of an earlier run ends with, as a shadow to be promoted: the longest prefix that verifies. */

import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { crc32 } from 'node:zlib';
import { CheckpointError } from '../checkpoint/errors.ts';
import { JournalReader, type JournalSource } from '../checkpoint/journal.ts';
import { Shadow } from '../checkpoint/shadow.ts';

/** The operator's, with its exit status (cli/errors.ts). */
export class JournalError extends Error {
  /** `TG_JOURNAL_…`, or that of what is in it. */
  readonly code: string;
  readonly exitStatus = 125;
  readonly advice: string;
  override readonly name = 'JournalError';

  constructor(code: string, message: string, advice: string) {
    super(message);
    this.code = code;
    this.advice = advice;
  }
}

const ADVICE = 'Nothing was changed. Restore the folder from a copy, or give another folder to start the service anew.';

/** Throws JournalError where the file is damaged or of another version; nothing is passed over but a torn tail. */
export function recoverShadow(path: string): Shadow {
  return withJournal(path, (reader) => {
    const shadow = new Shadow();
    for (const { bytes } of reader.records()) shadow.apply(bytes);
    return shadow;
  });
}

/** Opens a journal for reading. What is wrong with it, in its header or in what `use` reads, is a JournalError. */
export function withJournal<Result>(path: string, use: (reader: JournalReader) => Result): Result {
  const fd = openSync(path, 'r');
  try {
    return use(new JournalReader(sourceOf(fd), crc32));
  } catch (error) {
    if (error instanceof CheckpointError) throw new JournalError(error.code, `${path}: ${error.message}`, ADVICE);
    throw error;
  } finally {
    closeSync(fd);
  }
}

function sourceOf(fd: number): JournalSource {
  const { size } = fstatSync(fd);
  return {
    size,
    read(offset, length) {
      const bytes = new Uint8Array(length);
      for (let at = 0; at < length; ) {
        const read = readSync(fd, bytes, at, length - at, offset + at);
        if (read === 0) throw new CheckpointError('TG_JOURNAL_CORRUPT', 'the journal becomes shorter while it is read');
        at += read;
      }
      return bytes;
    },
  };
}
