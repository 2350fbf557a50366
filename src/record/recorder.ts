/**
 * Recorder: an Lvm over an Lvm that writes down every answer, with the instruction count at which it was given, and a hash
 * of everything that goes out. The host runs the guest through `run`, because where a run stops decides where the guest
 * asks for input.
 */

import { hashBytes } from '../checkpoint/hash.ts';
import type { BlobId, ClockSample, Guest, GuestExit, ImageEntry, Input, Lvm, RunResult } from '../lvm/api.ts';
import type { Call, LogWriter } from './log.ts';

/** Tells hashes of output from other uses of `hashBytes`. */
export const OUTPUT_SEED = 0x6f757470;

export class Recorder implements Lvm {
  readonly #below: Lvm;
  readonly #log: LogWriter;
  #guest: Pick<Guest, 'instructions'> | null = null;

  constructor(below: Lvm, log: LogWriter) {
    this.#below = below;
    this.#log = log;
  }

  /** The guest above, which is made after its Lvm: calls made before count as at instruction 0. */
  attach(guest: Pick<Guest, 'instructions'>): void {
    this.#guest = guest;
  }

  /** Runs the guest, recorded. */
  run(guest: Guest, budget: number, exact = false): RunResult {
    this.#guest = guest;
    this.#note({ kind: 'run', budget, exact });
    const result = guest.run(budget, exact);
    this.#note({ kind: 'ran', result: result.kind });
    return result;
  }

  clock(): ClockSample {
    const { monotonicUs, realtimeUs } = this.#below.clock();
    this.#note({ kind: 'clock', monotonicUs, realtimeUs });
    return { monotonicUs, realtimeUs };
  }

  entropy(length: number): Uint8Array {
    const bytes = this.#below.entropy(length);
    this.#note({ kind: 'entropy', bytes });
    return bytes;
  }

  wait(): Input | null {
    const input = this.#below.wait();
    this.#note({ kind: 'wait', input });
    return input;
  }

  send(packet: Uint8Array): void {
    this.#note({ kind: 'send', length: packet.length, hash: hashBytes(packet, OUTPUT_SEED) });
    this.#below.send(packet);
  }

  lookup(path: string, content: boolean): ImageEntry | null {
    const entry = this.#below.lookup(path, content);
    this.#note({ kind: 'lookup', path, content, entry });
    return entry;
  }

  read(blob: BlobId, offset: number, length: number): Uint8Array {
    this.#note({ kind: 'read', blob, offset, length });
    return this.#below.read(blob, offset, length);
  }

  console(stream: 1 | 2, bytes: Uint8Array): void {
    this.#note({ kind: 'console', stream, length: bytes.length, hash: hashBytes(bytes, OUTPUT_SEED) });
    this.#below.console(stream, bytes);
  }

  exit(status: GuestExit): void {
    this.#note({ kind: 'exit', status });
    this.#below.exit(status);
  }

  #note(call: Call): void {
    this.#log.append(this.#guest?.instructions ?? 0, call);
  }
}
