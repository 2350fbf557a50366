import { crc32 } from 'node:zlib';
import { expect, test } from 'vitest';
import { Random } from '../sim/random.ts';
import { CheckpointError } from './errors.ts';
import {
  encodeJournalHeader,
  encodeJournalRecord,
  JOURNAL_RECORD,
  type JournalKind,
  JournalReader,
} from './journal.ts';
import { compareJournals, journalName, newestJournal, parseJournalName } from './journal-name.ts';

/** A file of records, and where each begins. */
class File {
  readonly header = encodeJournalHeader({ program: 'x', salt: 'a1b2' }, crc32);
  readonly starts: number[] = [];
  #pieces: Uint8Array[] = [this.header.bytes];
  size = this.header.bytes.length;
  synced = 0;

  add(kind: JournalKind, epoch: number, text = ''): this {
    const body = new TextEncoder().encode(text);
    const { size: at, synced } = this;
    this.starts.push(at);
    this.#pieces.push(encodeJournalRecord({ kind, epoch, at, synced }, body, this.header.seed, crc32), body);
    this.size += JOURNAL_RECORD + body.length;
    return this;
  }

  sync(): this {
    this.synced = this.size;
    return this;
  }

  get bytes(): Uint8Array {
    return new Uint8Array(Buffer.concat(this.#pieces));
  }
}

function example(): File {
  const file = new File().add('root', 1, 'one').add('delta', 2, 'two').add('root-end', 2, 'the end').sync();
  return file.add('delta', 3, 'three').add('delta', 4, 'four').sync().add('delta', 5, 'five').add('delta', 6, 'six');
}

function sourceOf(bytes: Uint8Array) {
  return {
    size: bytes.length,
    read: (offset: number, length: number) => {
      // A reader asks for nothing that is not there: it would have to allocate it.
      expect(offset + length).toBeLessThanOrEqual(bytes.length);
      return bytes.subarray(offset, offset + length);
    },
  };
}

/** What is read: the bodies; or the code of the error. */
function read(bytes: Uint8Array): string[] | string {
  try {
    const reader = new JournalReader(sourceOf(bytes), crc32);
    return [...reader.records()].map((record) => new TextDecoder().decode(record.bytes));
  } catch (error) {
    if (error instanceof CheckpointError) return error.code;
    throw error;
  }
}

const ALL = ['one', 'two', 'the end', 'three', 'four', 'five', 'six'];

test('what was written is read', () => {
  const file = example();
  const reader = new JournalReader(sourceOf(file.bytes), crc32);
  expect(reader.meta).toEqual({ program: 'x', salt: 'a1b2' });
  expect([...reader.records()].map(({ kind, epoch }) => [kind, epoch])).toEqual([
    ['root', 1],
    ['delta', 2],
    ['root-end', 2],
    ['delta', 3],
    ['delta', 4],
    ['delta', 5],
    ['delta', 6],
  ]);
  expect(reader.tornBytes).toBe(0);
});

test('a mark is no record of the history', () => {
  expect(read(example().sync().add('mark', 6).bytes)).toEqual(ALL);
});

test('cut off at every byte: the whole records before it, or no whole root', () => {
  const { bytes, starts } = example();
  for (let length = 0; length < bytes.length; length++) {
    const whole = starts.filter((_, i) => (starts[i + 1] ?? bytes.length) <= length).length;
    const expected = whole >= 3 ? ALL.slice(0, whole) : 'TG_JOURNAL_CORRUPT';
    expect(read(bytes.subarray(0, length)), `${length} bytes`).toEqual(expected);
  }
});

test('every bit flipped: refused where it was known to be durable, else the tail is cut off there', () => {
  const { bytes, starts, header } = example();
  // Records 5 and 6 were written when everything before them was durable.
  const durable = starts[5]!;
  for (let at = 0; at < bytes.length; at++) {
    for (let bit = 0; bit < 8; bit++) {
      const damaged = bytes.slice();
      damaged[at]! ^= 1 << bit;
      const index = starts.findLastIndex((start) => start <= at);
      const got = read(damaged);
      if (at < header.bytes.length || at < durable) {
        expect(got, `bit ${bit} of byte ${at}`).toBe('TG_JOURNAL_CORRUPT');
      } else expect(got, `bit ${bit} of byte ${at}`).toEqual(ALL.slice(0, index));
    }
  }
});

test('a mark is what tells damage of the last records from a torn tail', () => {
  const file = example().sync();
  const damaged = (bytes: Uint8Array) => {
    bytes[file.starts[6]! + JOURNAL_RECORD]! ^= 1;
    return bytes;
  };
  expect(read(damaged(file.bytes))).toEqual(ALL.slice(0, 6));
  expect(read(damaged(file.add('mark', 6).bytes))).toBe('TG_JOURNAL_CORRUPT');
});

test('damage is found although the record that knows of it is far behind, across blocks of the search', () => {
  const file = new File().add('root-end', 1, 'root').sync().add('delta', 2, 'lost');
  file.add('delta', 3, 'T'.repeat((1 << 20) - 3 * JOURNAL_RECORD + 20)).sync();
  file.add('delta', 4, 'knows');
  const { bytes } = file;
  bytes[file.starts[1]! + JOURNAL_RECORD]! ^= 4;
  expect(read(bytes)).toBe('TG_JOURNAL_CORRUPT');
});

test('a length that is larger than the file is never asked for', () => {
  const { header } = new File();
  for (const length of [1, 2 ** 32, Number.MAX_SAFE_INTEGER, -1, 0.5, Number.NaN, Number.POSITIVE_INFINITY]) {
    const file = new File().add('root-end', 1, 'root').sync();
    const record = encodeJournalRecord(
      { kind: 'delta', epoch: 2, at: file.size, synced: file.size },
      { length } as unknown as Uint8Array,
      header.seed,
      (bytes, previous) => ('buffer' in bytes ? crc32(bytes, previous) : 0),
    );
    expect(read(Buffer.concat([file.bytes, record])), String(length)).toEqual(['root']);
  }
  const large = example().bytes;
  new DataView(large.buffer, large.byteOffset).setUint32(12, 0xffff_ffff, true);
  new DataView(large.buffer, large.byteOffset).setUint32(28, crc32(large.subarray(0, 28)), true);
  expect(read(large)).toBe('TG_JOURNAL_CORRUPT');
});

test('another version is named as such', () => {
  const { bytes } = example();
  new DataView(bytes.buffer, bytes.byteOffset).setUint32(8, 2, true);
  new DataView(bytes.buffer, bytes.byteOffset).setUint32(28, crc32(bytes.subarray(0, 28)), true);
  expect(read(bytes)).toBe('TG_JOURNAL_VERSION');
});

test('records of another file, or at another place, are none', () => {
  const file = new File().add('root-end', 1, 'root').sync();
  const other = encodeJournalHeader({ program: 'y' }, crc32);
  const at = file.size;
  const record = (seed: number, where: number) =>
    Buffer.concat([
      encodeJournalRecord({ kind: 'delta', epoch: 2, at: where, synced: at }, Buffer.from('x'), seed, crc32),
      Buffer.from('x'),
    ]);
  expect(read(Buffer.concat([file.bytes, record(file.header.seed, at)]))).toEqual(['root', 'x']);
  expect(read(Buffer.concat([file.bytes, record(other.seed, at)]))).toEqual(['root']);
  expect(read(Buffer.concat([file.bytes, record(file.header.seed, at - 1)]))).toEqual(['root']);
});

test('arbitrary bytes are refused, and never with another error', () => {
  const random = new Random(20261128);
  for (let round = 0; round < 3000; round++) {
    const bytes = round % 2 === 0 ? new Uint8Array(random.below(300)) : example().bytes;
    const from = round % 2 === 0 ? 0 : random.below(bytes.length);
    const end = round % 2 === 0 ? bytes.length : Math.min(bytes.length, from + random.below(80));
    for (let i = from; i < end; i++) bytes[i] = random.below(256);
    const got = read(bytes);
    if (typeof got === 'string') expect(got).toMatch(/^TG_JOURNAL_(CORRUPT|VERSION)$/);
    else expect(ALL.slice(0, got.length)).toEqual(got);
  }
});

test('names: the newest journal with a whole root', () => {
  const names = [
    'g1-v9-1.journal',
    'g2-v3-1.journal',
    'g2-v3-10.part',
    'g2-v3-9.journal',
    'g2-v10-1.part',
    'lock.1',
    'g2-v3-9.journal~',
  ];
  expect(newestJournal(names)).toBe('g2-v3-9.journal');
  expect(newestJournal(['g1-v1-1.part', 'x'])).toBeNull();
  expect(parseJournalName('g12-v3-4.part')).toEqual({ generation: 12, view: 3, number: 4, whole: false });
  expect(journalName({ generation: 12, view: 3, number: 4 }, true)).toBe('g12-v3-4.journal');
  expect(
    compareJournals({ generation: 1, view: 10, number: 1 }, { generation: 1, view: 9, number: 2 }),
  ).toBeGreaterThan(0);
});
