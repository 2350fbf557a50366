/**
 * The journal: a whole state and the deltas since, in a file to which is only appended. A restart takes the longest prefix
 * that verifies. It holds the guest's memory and so its secrets: whoever writes it uses mode 0600.
 *
 *   header    "TGJRNL\r\n"  u32 version  u32 length of meta  u32 CRC-32 of meta  u64 0  u32 CRC-32 of these 28 bytes; meta (JSON)
 *   records   u32 "TGJ1"  u32 kind  f64 epoch  f64 length  f64 synced  f64 offset of this record
 *             u32 CRC-32 of the body  u32 CRC-32 of these 44 bytes, begun with the file header's; body
 *
 * Kinds: a chunk of the root, its last chunk, an epoch's delta, and a mark, which has no body. `synced` is how much of the
 * file was durable when the record was written. That tells damage from a torn tail: what a crash leaves half-written lies
 * behind everything that any record knows to be durable. Marks are written when nothing else is, for the last deltas' sake.
 *
 * A file is under another name (journal-name.ts) until its root is durable, so one without a whole root is damaged.
 */

import { CheckpointError } from './errors.ts';
import type { Crc32 } from './file.ts';

export const JOURNAL_VERSION = 1;
const MAGIC = new Uint8Array([0x54, 0x47, 0x4a, 0x52, 0x4e, 0x4c, 0x0d, 0x0a]);
const HEADER = 32;
const META_MAX = 4 << 20;
const RECORD_MAGIC = 0x314a_4754; // "TGJ1"
export const JOURNAL_RECORD = 48;
const KINDS = { root: 1, 'root-end': 2, delta: 3, mark: 4 } as const;
const KIND_NAMES = Object.keys(KINDS) as JournalKind[];
/** A tail is searched in blocks of this size. */
const SEARCH = 1 << 20;

export type JournalKind = keyof typeof KINDS;

/** What a file begins with, and what its records' checksums begin with. */
export interface JournalHeader {
  readonly bytes: Uint8Array;
  readonly seed: number;
}

export interface JournalRecord {
  readonly kind: Exclude<JournalKind, 'mark'>;
  readonly epoch: number;
  /** An encoded delta. */
  readonly bytes: Uint8Array;
}

/** The bytes of a file. `read` gives exactly `length` of them: what is read lies within `size`. */
export interface JournalSource {
  readonly size: number;
  read(offset: number, length: number): Uint8Array;
}

/** `meta`: plain JSON; something in it should be random, so that no guest can know what records' checksums begin with. */
export function encodeJournalHeader(meta: Readonly<Record<string, unknown>>, crc32: Crc32): JournalHeader {
  const text = new TextEncoder().encode(JSON.stringify(meta));
  if (text.length > META_MAX) throw new CheckpointError('TG_JOURNAL_META', 'the description is too long');
  const bytes = new Uint8Array(HEADER + text.length);
  const view = new DataView(bytes.buffer);
  bytes.set(MAGIC);
  view.setUint32(8, JOURNAL_VERSION, true);
  view.setUint32(12, text.length, true);
  view.setUint32(16, crc32(text), true);
  const seed = crc32(bytes.subarray(0, HEADER - 4));
  view.setUint32(HEADER - 4, seed, true);
  bytes.set(text, HEADER);
  return { bytes, seed };
}

/** What stands before `body` in the file. `at`: the record's offset; `synced`: bytes of the file that are durable. */
export function encodeJournalRecord(
  record: { readonly kind: JournalKind; readonly epoch: number; readonly at: number; readonly synced: number },
  body: Uint8Array,
  seed: number,
  crc32: Crc32,
): Uint8Array {
  const bytes = new Uint8Array(JOURNAL_RECORD);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, RECORD_MAGIC, true);
  view.setUint32(4, KINDS[record.kind], true);
  view.setFloat64(8, record.epoch, true);
  view.setFloat64(16, body.length, true);
  view.setFloat64(24, record.synced, true);
  view.setFloat64(32, record.at, true);
  view.setUint32(40, crc32(body), true);
  view.setUint32(44, crc32(bytes.subarray(0, JOURNAL_RECORD - 4), seed), true);
  return bytes;
}

interface RecordHeader {
  readonly kind: JournalKind;
  readonly epoch: number;
  readonly length: number;
  readonly synced: number;
  readonly crc: number;
}

export class JournalReader {
  readonly meta: Readonly<Record<string, unknown>>;
  /** Bytes at the end that are no whole record: known when `records` has ended. */
  tornBytes = 0;
  readonly #source: JournalSource;
  readonly #crc32: Crc32;
  readonly #seed: number;
  readonly #first: number;

  /** Reads the header. Throws CheckpointError: TG_JOURNAL_VERSION, TG_JOURNAL_CORRUPT. */
  constructor(source: JournalSource, crc32: Crc32) {
    this.#source = source;
    this.#crc32 = crc32;
    if (source.size < HEADER) corrupt('its header is cut off');
    const header = source.read(0, HEADER);
    const view = viewOf(header);
    if (!MAGIC.every((byte, i) => header[i] === byte)) corrupt('it does not begin as one');
    const version = view.getUint32(8, true);
    this.#seed = view.getUint32(HEADER - 4, true);
    if (crc32(header.subarray(0, HEADER - 4)) !== this.#seed) corrupt('its header is damaged');
    if (version !== JOURNAL_VERSION) {
      const text = `it is of format version ${version}; this program reads version ${JOURNAL_VERSION}`;
      throw new CheckpointError('TG_JOURNAL_VERSION', `the journal can not be used: ${text}`);
    }
    const length = view.getUint32(12, true);
    if (length > META_MAX || length > source.size - HEADER) corrupt('its description is cut off');
    const meta = source.read(HEADER, length);
    if (crc32(meta) !== view.getUint32(16, true)) corrupt('its description is damaged');
    this.meta = parse(meta);
    this.#first = HEADER + length;
  }

  /** The records of the longest prefix that verifies, in order. Throws CheckpointError TG_JOURNAL_CORRUPT. */
  *records(): Generator<JournalRecord> {
    const { size } = this.#source;
    let at = this.#first;
    let whole = false;
    let last = 0;
    while (at < size) {
      const header = this.#header(at);
      const body = header === null ? null : this.#body(at, header);
      if (header === null || body === null) {
        if (!whole) corrupt(`its root is damaged at byte ${at}`);
        if (this.#syncedBeyond(at)) corrupt(`it is damaged at byte ${at} of ${size}`);
        break;
      }
      const { kind, epoch } = header;
      at += JOURNAL_RECORD + body.length;
      if (kind === 'mark') continue;
      const fits = epoch >= last && (whole ? kind === 'delta' : true);
      if (!fits) corrupt(`at byte ${at} is a record that does not belong there`);
      last = epoch;
      whole ||= kind === 'root-end';
      yield { kind, epoch, bytes: body };
    }
    if (!whole) corrupt('its root is cut off');
    this.tornBytes = size - at;
  }

  /** Null: at that offset is no record. */
  #header(at: number): RecordHeader | null {
    if (at + JOURNAL_RECORD > this.#source.size) return null;
    return this.#parse(this.#source.read(at, JOURNAL_RECORD), at);
  }

  #parse(bytes: Uint8Array, at: number): RecordHeader | null {
    const view = viewOf(bytes);
    if (view.getUint32(0, true) !== RECORD_MAGIC || view.getFloat64(32, true) !== at) return null;
    if (this.#crc32(bytes.subarray(0, JOURNAL_RECORD - 4), this.#seed) !== view.getUint32(44, true)) return null;
    const kind = KIND_NAMES.find((name) => KINDS[name] === view.getUint32(4, true));
    const epoch = view.getFloat64(8, true);
    const length = view.getFloat64(16, true);
    const synced = view.getFloat64(24, true);
    if (kind === undefined || !Number.isSafeInteger(epoch) || !Number.isSafeInteger(length) || length < 0) return null;
    return { kind, epoch, length, synced, crc: view.getUint32(40, true) };
  }

  #body(at: number, { length, crc }: RecordHeader): Uint8Array | null {
    // Before anything is allocated.
    if (length > this.#source.size - at - JOURNAL_RECORD) return null;
    const body = this.#source.read(at + JOURNAL_RECORD, length);
    return this.#crc32(body) === crc ? body : null;
  }

  /** Some record at or behind `bad` knows that what is at `bad` was durable. */
  #syncedBeyond(bad: number): boolean {
    const { size } = this.#source;
    for (let from = bad; from + JOURNAL_RECORD <= size; from += SEARCH) {
      const block = this.#source.read(from, Math.min(size - from, SEARCH + JOURNAL_RECORD - 1));
      const end = Math.min(SEARCH, block.length - JOURNAL_RECORD + 1);
      for (let i = block.indexOf(RECORD_MAGIC & 255); i >= 0 && i < end; i = block.indexOf(RECORD_MAGIC & 255, i + 1)) {
        const header = this.#parse(block.subarray(i, i + JOURNAL_RECORD), from + i);
        if (header !== null && header.synced > bad) return true;
      }
    }
    return false;
  }
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function parse(bytes: Uint8Array): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  } catch {
    // Said below.
  }
  corrupt('its description is not readable');
}

function corrupt(what: string): never {
  throw new CheckpointError('TG_JOURNAL_CORRUPT', `the journal can not be used: ${what}`);
}
