/**
 * Replayer: an Lvm that answers from a log. Every call must be the one that was recorded, with the same arguments, at the
 * same instruction count; output must have the recorded hash. Anything else is a divergence: the machine is not
 * deterministic, or not the one that was recorded.
 */

import { hashBytes } from '../checkpoint/hash.ts';
import type { BlobId, ClockSample, Guest, GuestExit, ImageEntry, Input, Lvm } from '../lvm/api.ts';
import { assert } from '../lvm/assert.ts';
import type { Call, Entry } from './log.ts';
import { OUTPUT_SEED } from './recorder.ts';

export class DivergenceError extends Error {
  readonly code = 'TG_DIVERGED';
  override readonly name = 'DivergenceError';
  /** Guest instructions at which it was noticed. */
  readonly instructions: number;

  constructor(instructions: number, message: string) {
    super(message);
    this.instructions = instructions;
  }
}

/** What a replay needs from outside: image contents by name, and (for a live follower) where output would go. */
export interface ReplaySource {
  read(blob: BlobId, offset: number, length: number): Uint8Array;
}

type Of<K extends Call['kind']> = Extract<Call, { kind: K }>;

export class Replayer implements Lvm {
  readonly #source: ReplaySource;
  /** Entries not used yet; the log may grow while it is replayed. */
  readonly #entries: Entry[] = [];
  #next = 0;
  #guest: Pick<Guest, 'instructions'> | null = null;

  constructor(source: ReplaySource, entries: readonly Entry[] = []) {
    this.#source = source;
    this.append(entries);
  }

  append(entries: readonly Entry[]): void {
    for (const entry of entries) this.#entries.push(entry);
  }

  /** Entries not replayed yet. */
  get remaining(): number {
    return this.#entries.length - this.#next;
  }

  attach(guest: Pick<Guest, 'instructions'>): void {
    this.#guest = guest;
  }

  /**
   * Replays whole runs until none is left: a run whose end is not in the log yet waits for `append`. Returns how many were
   * replayed. Throws DivergenceError.
   */
  replay(guest: Guest): number {
    this.#guest = guest;
    let runs = 0;
    while (this.#wholeRun()) {
      const { budget, exact } = this.#take('run', (call) => call.kind === 'run', 'a run');
      const result = guest.run(budget, exact);
      this.#take('ran', (call) => call.result === result.kind, `the end of a run by '${result.kind}'`);
      runs++;
    }
    return runs;
  }

  #wholeRun(): boolean {
    for (let i = this.#next; i < this.#entries.length; i++) if (this.#entries[i]!.call.kind === 'ran') return true;
    this.#forget();
    return false;
  }

  #forget(): void {
    this.#entries.splice(0, this.#next);
    this.#next = 0;
  }

  clock(): ClockSample {
    const { monotonicUs, realtimeUs } = this.#take('clock', () => true, 'the time');
    return { monotonicUs, realtimeUs };
  }

  entropy(length: number): Uint8Array {
    return this.#take('entropy', (call) => call.bytes.length === length, `${length} bytes of entropy`).bytes.slice();
  }

  wait(): Input | null {
    return this.#take('wait', () => true, 'input').input;
  }

  send(packet: Uint8Array): void {
    const hash = hashBytes(packet, OUTPUT_SEED);
    const same = (call: Of<'send'>): boolean => call.length === packet.length && call.hash === hash;
    this.#take('send', same, `to send a packet of ${packet.length} bytes with hash ${hash.toString(16)}`);
  }

  lookup(path: string, content: boolean): ImageEntry | null {
    return this.#take('lookup', (call) => call.path === path && call.content === content, `to look up ${path}`).entry;
  }

  read(blob: BlobId, offset: number, length: number): Uint8Array {
    const same = (call: Of<'read'>): boolean => call.blob === blob && call.offset === offset && call.length === length;
    this.#take('read', same, `${length} bytes of ${blob.slice(0, 12)} at ${offset}`);
    return this.#source.read(blob, offset, length);
  }

  console(stream: 1 | 2, bytes: Uint8Array): void {
    const hash = hashBytes(bytes, OUTPUT_SEED);
    const same = (call: Of<'console'>): boolean =>
      call.stream === stream && call.length === bytes.length && call.hash === hash;
    this.#take('console', same, `to write ${bytes.length} bytes to stream ${stream}`);
  }

  exit(status: GuestExit): void {
    const same = (call: Of<'exit'>): boolean =>
      call.status.code === status.code && call.status.signal === status.signal;
    this.#take('exit', same, `to exit with ${status.code ?? `signal ${status.signal}`}`);
  }

  #take<K extends Call['kind']>(kind: K, same: (call: Of<K>) => boolean, what: string): Of<K> {
    const instructions = this.#guest?.instructions ?? 0;
    const entry = this.#entries[this.#next++];
    assert(entry !== undefined, 'a run is replayed only when all of it is there');
    if (entry.call.kind !== kind || entry.instructions !== instructions || !same(entry.call as Of<K>)) {
      throw new DivergenceError(
        instructions,
        `divergence at instruction ${instructions}: the guest wants ${what}; recorded is ${describe(entry)}`,
      );
    }
    return entry.call as Of<K>;
  }
}

function describe({ instructions, call }: Entry): string {
  const details = JSON.stringify(call, (_, value) => {
    if (typeof value === 'bigint') return value.toString(16);
    return value instanceof Uint8Array ? `${value.length} bytes` : value;
  });
  return `${details} at instruction ${instructions}`;
}
