/**
 * The checkpoint file: a saved state. Refused, before anything is made of it, when it is cut off, damaged or of another
 * version. It holds the guest's memory and so its secrets: whoever writes it uses mode 0600.
 *
 *   "TGCKPT\r\n"  u32 version  u32 sections      the \r\n finds text-mode transfers
 *   sections      u32 type  u32 CRC-32  f64 length  bytes
 *   trailer       u32 CRC-32 of everything before  "TGEND"
 *
 * Sections: META (JSON, for people and for the restore) and STATE (an encoded delta of everything). Unknown sections are
 * passed over: a later version may add some.
 */

import { CheckpointError } from './errors.ts';

/** CRC-32 (IEEE 802.3), chainable: `zlib.crc32`. */
export type Crc32 = (bytes: Uint8Array, previous?: number) => number;

export interface CheckpointFile {
  /** Plain JSON: what was run, when, by which version. */
  readonly meta: Readonly<Record<string, unknown>>;
  /** An encoded delta: `captureAll`. */
  readonly state: Uint8Array;
}

const MAGIC = new Uint8Array([0x54, 0x47, 0x43, 0x4b, 0x50, 0x54, 0x0d, 0x0a]);
const END = new Uint8Array([0x54, 0x47, 0x45, 0x4e, 0x44]);
export const CHECKPOINT_VERSION = 1;
const HEADER = 16;
const SECTION = 16;
const TRAILER = 4 + END.length;
const META = 1;
const STATE = 2;
const SECTIONS_MAX = 64;
const META_MAX = 1 << 20;

/** The file's bytes, in pieces to be written one after another. */
export function encodeCheckpoint(file: CheckpointFile, crc32: Crc32): Uint8Array[] {
  const header = new Uint8Array(HEADER);
  header.set(MAGIC);
  const view = new DataView(header.buffer);
  view.setUint32(8, CHECKPOINT_VERSION, true);
  view.setUint32(12, 2, true);
  const pieces: Uint8Array[] = [header];
  const meta = new TextEncoder().encode(JSON.stringify(file.meta));
  if (meta.length > META_MAX) throw new CheckpointError('TG_CHECKPOINT_META', 'the description is too long');
  for (const [type, bytes] of [[META, meta] as const, [STATE, file.state] as const]) {
    const head = new DataView(new ArrayBuffer(SECTION));
    head.setUint32(0, type, true);
    head.setUint32(4, crc32(bytes), true);
    head.setFloat64(8, bytes.length, true);
    pieces.push(new Uint8Array(head.buffer), bytes);
  }
  const trailer = new Uint8Array(TRAILER);
  new DataView(trailer.buffer).setUint32(
    0,
    pieces.reduce((crc, piece) => crc32(piece, crc), 0),
    true,
  );
  trailer.set(END, 4);
  return [...pieces, trailer];
}

/** `state` is a view into `bytes`; it is still to be decoded. Throws CheckpointError (`TG_CHECKPOINT_…`). */
export function decodeCheckpoint(bytes: Uint8Array, crc32: Crc32): CheckpointFile {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < HEADER || !MAGIC.every((byte, i) => bytes[i] === byte)) {
    bad('MAGIC', 'it is no Tardigrade checkpoint');
  }
  const version = view.getUint32(8, true);
  if (version !== CHECKPOINT_VERSION) {
    bad('VERSION', `it is of format version ${version}; this program reads version ${CHECKPOINT_VERSION}`);
  }
  const end = bytes.length - TRAILER;
  if (end < HEADER || !END.every((byte, i) => bytes[end + 4 + i] === byte)) bad('TRUNCATED', 'its end is missing');
  const count = view.getUint32(12, true);
  if (count > SECTIONS_MAX) bad('LENGTH', 'it has too many sections');
  let meta: Uint8Array | null = null;
  let state: Uint8Array | null = null;
  let at = HEADER;
  for (let i = 0; i < count; i++) {
    if (at + SECTION > end) bad('TRUNCATED', 'a section is missing');
    const type = view.getUint32(at, true);
    const crc = view.getUint32(at + 4, true);
    const length = view.getFloat64(at + 8, true);
    at += SECTION;
    if (!Number.isSafeInteger(length) || length < 0 || length > end - at) bad('TRUNCATED', 'a section is cut off');
    const section = bytes.subarray(at, at + length);
    at += length;
    if (crc32(section) !== crc) bad('CHECKSUM', 'a section is damaged');
    if (type === META) meta = section;
    else if (type === STATE) state = section;
  }
  if (at !== end) bad('LENGTH', 'it is longer than its contents');
  if (crc32(bytes.subarray(0, end)) !== view.getUint32(end, true)) bad('CHECKSUM', 'it is damaged');
  if (meta === null || state === null) bad('TRUNCATED', 'a section is missing');
  if (meta.length > META_MAX) bad('LENGTH', 'its description is too long');
  return { meta: parse(meta), state };
}

function parse(bytes: Uint8Array): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  } catch {
    // Said below.
  }
  bad('META', 'its description is not readable');
}

function bad(code: string, what: string): never {
  throw new CheckpointError(`TG_CHECKPOINT_${code}`, `the checkpoint can not be used: ${what}`);
}
