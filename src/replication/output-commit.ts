/**
 * OutputCommit: the interposer that lets nothing out before the state behind it is safe (replication.md, rule 1). It is an
 * Lvm over an Lvm. Packets, console bytes and the exit wait, in order, under the epoch in which they were produced;
 * `release(epoch)` passes them on. Every packet waits, a bare TCP acknowledgement too.
 *
 * What is lost with a primary: packets — TCP sends them again. Console bytes and the exit are not sent again by anybody,
 * so they are part of the saved state until they are released, and numbered: the receiver drops what it has already.
 */

import type { BlobId, ClockSample, GuestExit, ImageEntry, Input, Lvm } from '../lvm/api.ts';
import { assert } from '../lvm/assert.ts';

export type Output =
  | { readonly kind: 'packet'; readonly bytes: Uint8Array }
  /** `offset`: bytes of this stream before these, since the service's first start. */
  | { readonly kind: 'console'; readonly stream: 1 | 2; readonly offset: number; readonly bytes: Uint8Array }
  | { readonly kind: 'exit'; readonly status: GuestExit };

/** Where released output goes. */
export interface OutputSink {
  packet(bytes: Uint8Array): void;
  console(stream: 1 | 2, offset: number, bytes: Uint8Array): void;
  exit(status: GuestExit): void;
}

/** Plain data: what `save` gives and the constructor takes. Without packets. */
export interface OutputState {
  readonly offsets: readonly [number, number];
  readonly held: readonly Exclude<Output, { kind: 'packet' }>[];
}

export interface OutputLimits {
  /** Held bytes and packets at which `throttled` becomes true (16 MiB; 16384). */
  readonly bytes?: number;
  readonly packets?: number;
}

interface Sealed {
  readonly epoch: number;
  readonly outputs: readonly Output[];
  readonly bytes: number;
}

/** Bookkeeping a held output costs beside its bytes. */
const OVERHEAD = 64;

export class OutputCommit implements Lvm {
  readonly #below: Lvm;
  readonly #sink: OutputSink;
  readonly #maxBytes: number;
  readonly #maxCount: number;
  #open: Output[] = [];
  #openBytes = 0;
  readonly #sealed: Sealed[] = [];
  #sealedBytes = 0;
  #sealedCount = 0;
  #epoch = 0;
  /** Bytes produced on streams 1 and 2. */
  readonly #offsets: [number, number] = [0, 0];

  /** `state`: of a promoted replica; what it holds is released with its first epoch. */
  constructor(below: Lvm, sink: OutputSink, state: OutputState | null = null, limits: OutputLimits = {}) {
    this.#below = below;
    this.#sink = sink;
    this.#maxBytes = limits.bytes ?? 16 << 20;
    this.#maxCount = limits.packets ?? 16384;
    if (state) {
      this.#offsets = [...state.offsets];
      for (const output of state.held) this.#hold(output);
    }
  }

  /** Output waits for an epoch to end: the guest idle, this is the moment to end one. */
  get waiting(): boolean {
    return this.#open.length > 0;
  }

  /** Bytes held altogether, bookkeeping included. */
  get heldBytes(): number {
    return this.#openBytes + this.#sealedBytes;
  }

  /** Outputs held altogether. */
  get heldCount(): number {
    return this.#open.length + this.#sealedCount;
  }

  /** So much is held that the guest must not run on before something is released. */
  get throttled(): boolean {
    return this.heldBytes >= this.#maxBytes || this.heldCount >= this.#maxCount;
  }

  /** What was produced since the last call belongs to `epoch`, which is captured now. */
  seal(epoch: number): void {
    assert(epoch > this.#epoch, 'epochs ascend');
    this.#epoch = epoch;
    if (this.#open.length === 0) return;
    this.#sealed.push({ epoch, outputs: this.#open, bytes: this.#openBytes });
    this.#sealedBytes += this.#openBytes;
    this.#sealedCount += this.#open.length;
    this.#open = [];
    this.#openBytes = 0;
  }

  /** Everything of epochs up to `epoch` is safe: passes it on, in order. Returns how many outputs left. */
  release(epoch: number): number {
    let released = 0;
    while (this.#sealed.length > 0 && this.#sealed[0]!.epoch <= epoch) {
      const { outputs, bytes } = this.#sealed.shift()!;
      this.#sealedBytes -= bytes;
      this.#sealedCount -= outputs.length;
      for (const output of outputs) this.#emit(output);
      released += outputs.length;
    }
    return released;
  }

  /** A primary that was replaced throws its held output away (rule 7). */
  discard(): void {
    this.#open = [];
    this.#sealed.length = 0;
    this.#openBytes = this.#sealedBytes = this.#sealedCount = 0;
  }

  /**
   * What goes into the captured state: call after `seal`. Console output and the exit that are not known to be released.
   */
  save(): OutputState {
    const held: Exclude<Output, { kind: 'packet' }>[] = [];
    for (const sealed of this.#sealed)
      for (const output of sealed.outputs) if (output.kind !== 'packet') held.push(output);
    for (const output of this.#open) if (output.kind !== 'packet') held.push(output);
    return { offsets: [...this.#offsets], held };
  }

  clock(): ClockSample {
    return this.#below.clock();
  }

  entropy(length: number): Uint8Array {
    return this.#below.entropy(length);
  }

  wait(): Input | null {
    return this.#below.wait();
  }

  lookup(path: string, content: boolean): ImageEntry | null {
    return this.#below.lookup(path, content);
  }

  read(blob: BlobId, offset: number, length: number): Uint8Array {
    return this.#below.read(blob, offset, length);
  }

  send(packet: Uint8Array): void {
    this.#hold({ kind: 'packet', bytes: packet });
  }

  console(stream: 1 | 2, bytes: Uint8Array): void {
    const offset = this.#offsets[stream - 1]!;
    this.#offsets[stream - 1] = offset + bytes.length;
    this.#hold({ kind: 'console', stream, offset, bytes: bytes.slice() });
  }

  exit(status: GuestExit): void {
    this.#hold({ kind: 'exit', status });
  }

  #hold(output: Output): void {
    this.#open.push(output);
    this.#openBytes += OVERHEAD + (output.kind === 'exit' ? 0 : output.bytes.length);
  }

  #emit(output: Output): void {
    switch (output.kind) {
      case 'packet':
        this.#sink.packet(output.bytes);
        break;
      case 'console':
        this.#sink.console(output.stream, output.offset, output.bytes);
        break;
      default:
        this.#sink.exit(output.status);
    }
  }
}
