/**
 * The log of a recorded run: every answer that came in through the LVM API with the instruction count at which it came,
 * and a hash of everything that went out. Blocks of entries, each with length and CRC-32, so that a log that was cut off
 * is good up to its last whole block.
 *
 *   "TGLOG" u8 version, two zero bytes; then blocks: u32 length, u32 CRC-32, entries
 *   entry: u8 kind, varint instructions since the entry before, what the kind has
 *
 * Numbers are LEB128 varints (signed ones zigzag); strings and bytes have their length before them.
 */

import type { GuestExit, ImageEntry, Input } from '../lvm/api.ts';

export type Crc32 = (bytes: Uint8Array, previous?: number) => number;

/** What happened. Calls in the order in which they were made. */
export type Call =
  /** The host lets the guest run; the calls up to the `ran` that belongs to it are made inside. */
  | { readonly kind: 'run'; readonly budget: number; readonly exact: boolean }
  /** `Guest.run` returned. */
  | { readonly kind: 'ran'; readonly result: 'budget' | 'wait' | 'exit' }
  | { readonly kind: 'clock'; readonly monotonicUs: number; readonly realtimeUs: number }
  | { readonly kind: 'entropy'; readonly bytes: Uint8Array }
  | { readonly kind: 'wait'; readonly input: Input | null }
  | { readonly kind: 'lookup'; readonly path: string; readonly content: boolean; readonly entry: ImageEntry | null }
  /** The bytes are not here: the blob's name says them. */
  | { readonly kind: 'read'; readonly blob: string; readonly offset: number; readonly length: number }
  | { readonly kind: 'send'; readonly length: number; readonly hash: bigint }
  | { readonly kind: 'console'; readonly stream: 1 | 2; readonly length: number; readonly hash: bigint }
  | { readonly kind: 'exit'; readonly status: GuestExit };

export interface Entry {
  /** Guest instructions retired since the first start. */
  readonly instructions: number;
  readonly call: Call;
}

export class LogError extends Error {
  /** `TG_LOG_…` */
  readonly code: string;
  override readonly name = 'LogError';

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

const KINDS = ['run', 'ran', 'clock', 'entropy', 'wait', 'lookup', 'read', 'send', 'console', 'exit'] as const;
const RESULTS = ['budget', 'wait', 'exit'] as const;
const INPUTS = ['none', 'packet', 'stdin', 'signal'] as const;
export const LOG_HEADER = new Uint8Array([0x54, 0x47, 0x4c, 0x4f, 0x47, 1, 0, 0]);
const BLOCK_HEADER = 8;
const BLOCK_MAX = 1 << 28;
const utf8 = new TextEncoder();

/** State that both ends keep: numbers are written as differences. */
interface Last {
  instructions: number;
  monotonicUs: number;
  realtimeUs: number;
}

export class LogWriter {
  #bytes = new Uint8Array(1 << 16);
  #at = BLOCK_HEADER;
  readonly #last: Last = { instructions: 0, monotonicUs: 0, realtimeUs: 0 };

  /** Bytes of entries that no block has yet. */
  get pending(): number {
    return this.#at - BLOCK_HEADER;
  }

  append(instructions: number, call: Call): void {
    this.#byte(KINDS.indexOf(call.kind));
    this.#varint(instructions - this.#last.instructions);
    this.#last.instructions = instructions;
    switch (call.kind) {
      case 'run':
        this.#varint(call.budget);
        this.#byte(call.exact ? 1 : 0);
        break;
      case 'ran':
        this.#byte(RESULTS.indexOf(call.result));
        break;
      case 'clock':
        this.#signed(call.monotonicUs - this.#last.monotonicUs);
        this.#signed(call.realtimeUs - this.#last.realtimeUs);
        this.#last.monotonicUs = call.monotonicUs;
        this.#last.realtimeUs = call.realtimeUs;
        break;
      case 'entropy':
        this.#blob(call.bytes);
        break;
      case 'wait':
        this.#byte(INPUTS.indexOf(call.input?.kind ?? 'none'));
        if (call.input?.kind === 'signal') this.#varint(call.input.signo);
        else if (call.input) this.#blob(call.input.bytes);
        break;
      case 'lookup':
        this.#blob(utf8.encode(call.path));
        this.#byte(call.content ? 1 : 0);
        this.#blob(utf8.encode(JSON.stringify(call.entry)));
        break;
      case 'read':
        this.#blob(utf8.encode(call.blob));
        this.#varint(call.offset);
        this.#varint(call.length);
        break;
      case 'send':
        this.#varint(call.length);
        this.#hash(call.hash);
        break;
      case 'console':
        this.#byte(call.stream);
        this.#varint(call.length);
        this.#hash(call.hash);
        break;
      default:
        this.#signed(call.status.code ?? -1);
        this.#signed(call.status.signal ?? -1);
    }
  }

  /** The entries since the last block as a block, or null when there are none. */
  takeBlock(crc32: Crc32): Uint8Array | null {
    if (this.pending === 0) return null;
    const block = this.#bytes.slice(0, this.#at);
    const view = new DataView(block.buffer);
    view.setUint32(0, this.pending, true);
    view.setUint32(4, crc32(block.subarray(BLOCK_HEADER)), true);
    this.#at = BLOCK_HEADER;
    return block;
  }

  #room(size: number): void {
    if (this.#at + size <= this.#bytes.length) return;
    const bigger = new Uint8Array(Math.max(2 * this.#bytes.length, this.#at + size));
    bigger.set(this.#bytes);
    this.#bytes = bigger;
  }

  #byte(value: number): void {
    this.#room(1);
    this.#bytes[this.#at++] = value;
  }

  #varint(value: number): void {
    this.#room(8);
    while (value >= 128) {
      this.#bytes[this.#at++] = (value % 128) | 128;
      value = Math.floor(value / 128);
    }
    this.#bytes[this.#at++] = value;
  }

  #signed(value: number): void {
    this.#varint(value >= 0 ? value * 2 : -value * 2 - 1);
  }

  #blob(bytes: Uint8Array): void {
    this.#varint(bytes.length);
    this.#room(bytes.length);
    this.#bytes.set(bytes, this.#at);
    this.#at += bytes.length;
  }

  #hash(hash: bigint): void {
    this.#room(8);
    new DataView(this.#bytes.buffer).setBigUint64(this.#at, hash, true);
    this.#at += 8;
  }
}

/**
 * Reads a log. `whole` is false when it ends in a block that is cut off or damaged: the entries before it are good.
 * Throws LogError for what is no log, or a block whose entries are malformed although its checksum is right.
 */
export function readLog(bytes: Uint8Array, crc32: Crc32): { entries: Entry[]; whole: boolean } {
  if (bytes.length < LOG_HEADER.length || !LOG_HEADER.subarray(0, 5).every((byte, i) => bytes[i] === byte)) {
    throw new LogError('TG_LOG_MAGIC', 'this is no log of a recorded run');
  }
  if (bytes[5] !== LOG_HEADER[5]) throw new LogError('TG_LOG_VERSION', `the log is of version ${bytes[5]}`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const entries: Entry[] = [];
  const last: Last = { instructions: 0, monotonicUs: 0, realtimeUs: 0 };
  let at = LOG_HEADER.length;
  while (at < bytes.length) {
    if (at + BLOCK_HEADER > bytes.length) return { entries, whole: false };
    const length = view.getUint32(at, true);
    const crc = view.getUint32(at + 4, true);
    at += BLOCK_HEADER;
    if (length > BLOCK_MAX || length > bytes.length - at) return { entries, whole: false };
    const block = bytes.subarray(at, at + length);
    if (crc32(block) !== crc) return { entries, whole: false };
    const reader = new BlockReader(block, last);
    while (!reader.atEnd) entries.push(reader.entry());
    at += length;
  }
  return { entries, whole: true };
}

class BlockReader {
  readonly #bytes: Uint8Array;
  readonly #last: Last;
  #at = 0;

  constructor(bytes: Uint8Array, last: Last) {
    this.#bytes = bytes;
    this.#last = last;
  }

  get atEnd(): boolean {
    return this.#at === this.#bytes.length;
  }

  entry(): Entry {
    const kind = KINDS[this.#byte()];
    if (kind === undefined) malformed('an unknown call');
    this.#last.instructions += this.#varint();
    return { instructions: this.#last.instructions, call: this.#call(kind) };
  }

  #call(kind: (typeof KINDS)[number]): Call {
    switch (kind) {
      case 'run':
        return { kind, budget: this.#varint(), exact: this.#byte() === 1 };
      case 'ran': {
        const result = RESULTS[this.#byte()];
        if (result === undefined) malformed('an unknown result');
        return { kind, result };
      }
      case 'clock':
        this.#last.monotonicUs += this.#signed();
        this.#last.realtimeUs += this.#signed();
        return { kind, monotonicUs: this.#last.monotonicUs, realtimeUs: this.#last.realtimeUs };
      case 'entropy':
        return { kind, bytes: this.#blob() };
      case 'wait':
        return { kind, input: this.#input() };
      case 'lookup':
        return { kind, path: this.#text(), content: this.#byte() === 1, entry: this.#json() as ImageEntry | null };
      case 'read':
        return { kind, blob: this.#text(), offset: this.#varint(), length: this.#varint() };
      case 'send':
        return { kind, length: this.#varint(), hash: this.#hash() };
      case 'console': {
        const stream = this.#byte();
        if (stream !== 1 && stream !== 2) malformed('an unknown stream');
        return { kind, stream, length: this.#varint(), hash: this.#hash() };
      }
      default: {
        const code = this.#signed();
        const signal = this.#signed();
        return { kind, status: { code: code < 0 ? null : code, signal: signal < 0 ? null : signal } };
      }
    }
  }

  #input(): Input | null {
    const kind = INPUTS[this.#byte()];
    switch (kind) {
      case 'none':
        return null;
      case 'packet':
      case 'stdin':
        return { kind, bytes: this.#blob() };
      case 'signal':
        return { kind, signo: this.#varint() };
      default:
        malformed('an unknown input');
    }
  }

  #byte(): number {
    if (this.atEnd) malformed('an entry that is cut off');
    return this.#bytes[this.#at++]!;
  }

  #varint(): number {
    let value = 0;
    let scale = 1;
    for (;;) {
      const byte = this.#byte();
      value += (byte & 127) * scale;
      if (value > Number.MAX_SAFE_INTEGER) malformed('a number that is too great');
      if (byte < 128) return value;
      scale *= 128;
    }
  }

  #signed(): number {
    const value = this.#varint();
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
  }

  #blob(): Uint8Array {
    const length = this.#varint();
    if (length > this.#bytes.length - this.#at) malformed('bytes that are cut off');
    const start = this.#at;
    this.#at += length;
    return this.#bytes.subarray(start, this.#at);
  }

  #text(): string {
    return new TextDecoder().decode(this.#blob());
  }

  #json(): unknown {
    try {
      return JSON.parse(this.#text());
    } catch {
      malformed('an image entry that is not readable');
    }
  }

  #hash(): bigint {
    if (this.#bytes.length - this.#at < 8) malformed('a hash that is cut off');
    this.#at += 8;
    return new DataView(this.#bytes.buffer, this.#bytes.byteOffset + this.#at - 8, 8).getBigUint64(0, true);
  }
}

function malformed(what: string): never {
  throw new LogError('TG_LOG_MALFORMED', `the log is damaged: it has ${what}`);
}
