/**
 * Console output and the exit on their way to the supervisor. Released output is safe with every member until it is
 * released; between that and its arrival it is in this process alone, so it stays part of the captured state until the
 * supervisor has said that it has it. The supervisor drops what it gets twice, by offset.
 */

import type { GuestExit } from '../lvm/api.ts';
import type { Output, OutputState } from '../replication/output-commit.ts';

type Kept = OutputState['held'][number];

/** Console bytes on their way at which the guest waits: each epoch carries them along. */
const BYTES_MAX = 256 << 10;

export interface OutboxTarget {
  console(stream: 1 | 2, offset: number, bytes: Uint8Array): void;
  exit(status: GuestExit): void;
}

export class Outbox implements OutboxTarget {
  readonly #target: OutboxTarget;
  readonly #kept: Kept[] = [];
  /** Offsets of streams 1 and 2. */
  readonly #arrived: [number, number] = [0, 0];
  #bytes = 0;

  constructor(target: OutboxTarget) {
    this.#target = target;
  }

  /** So much is on its way that the guest must not run on. */
  get full(): boolean {
    return this.#bytes >= BYTES_MAX;
  }

  console(stream: 1 | 2, offset: number, bytes: Uint8Array): void {
    this.#keep({ kind: 'console', stream, offset, bytes });
    this.#target.console(stream, offset, bytes);
  }

  exit(status: GuestExit): void {
    this.#keep({ kind: 'exit', status });
    this.#target.exit(status);
  }

  /** The supervisor has all bytes of the stream before `offset`. */
  arrived(stream: 1 | 2, offset: number): void {
    this.#arrived[stream - 1] = offset;
    for (let first = this.#kept[0]; first !== undefined && this.#hasArrived(first); first = this.#kept[0]) {
      this.#kept.shift();
      this.#bytes -= sizeOf(first);
    }
  }

  #hasArrived(output: Kept): boolean {
    return output.kind === 'console' && output.offset + output.bytes.length <= this.#arrived[output.stream - 1]!;
  }

  /** What `output.save()` gives, and before it what was released and may not have arrived. */
  save(output: OutputState): OutputState {
    return this.#kept.length === 0 ? output : { ...output, held: [...this.#kept, ...output.held] };
  }

  #keep(output: Kept): void {
    this.#kept.push(output);
    this.#bytes += sizeOf(output);
  }
}

function sizeOf(output: Output): number {
  return output.kind === 'exit' ? 0 : output.bytes.length;
}
