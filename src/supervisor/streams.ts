/**
 * The operator's side of the guest's standard streams and signals: input is kept until it is safe, output is written once
 * whoever says it and however often. `toPrimary` sends to whoever runs the guest now; where nobody does, what is kept goes
 * to the next one.
 */

import type { Writable } from 'node:stream';
import type { Taken } from '../lvm/node-lvm.ts';
import type { ToReplica } from '../replica/protocol.ts';
import { ConsoleWriter } from './console-writer.ts';
import { KeptInput } from './kept-input.ts';

const SIGPIPE = 13;
/** Standard input that is kept; more waits in the pipe. */
const STDIN_MAX = 1 << 20;

export class ServiceStreams {
  readonly #toPrimary: (message: ToReplica) => void;
  readonly #stdin = new KeptInput<Uint8Array>();
  #stdinBytes = 0;
  #reading = false;
  readonly #signals = new KeptInput<number>();
  readonly #writers: readonly [ConsoleWriter, ConsoleWriter];
  readonly #onData = (bytes: Uint8Array): void => this.#input(bytes);
  readonly #onEnd = (): void => this.#input(new Uint8Array(0));

  constructor(out: Writable, err: Writable, toPrimary: (message: ToReplica) => void) {
    this.#toPrimary = toPrimary;
    this.#writers = [new ConsoleWriter(out), new ConsoleWriter(err)];
    ([1, 2] as const).forEach((stream) => {
      const writer = this.#writers[stream - 1]!;
      writer.onWritten = (offset) => toPrimary({ kind: 'arrived', stream, offset });
      writer.onBroken = () => this.signal(SIGPIPE);
    });
  }

  /** A replica runs the guest from now on; its state has had so much. */
  serve(taken: Taken): void {
    if (!this.#reading) {
      this.#reading = true;
      // The end comes by itself; an error ends it too.
      process.stdin.on('data', this.#onData).once('end', this.#onEnd).once('error', this.#onEnd);
    }
    this.#toPrimary({ kind: 'stdin', from: taken.stdin, chunks: this.#stdin.from(taken.stdin) });
    this.#toPrimary({ kind: 'signals', from: taken.signals, signals: this.#signals.from(taken.signals) });
  }

  /** What every member has need not be kept. */
  safe(taken: Taken): void {
    for (const { length } of this.#stdin.drop(taken.stdin)) this.#stdinBytes -= length;
    this.#signals.drop(taken.signals);
    if (this.#stdinBytes < STDIN_MAX && process.stdin.isPaused()) process.stdin.resume();
  }

  signal(signo: number): void {
    this.#toPrimary({ kind: 'signals', from: this.#signals.next, signals: [signo] });
    this.#signals.add(signo);
  }

  console(stream: 1 | 2, offset: number, bytes: Uint8Array): void {
    this.#writers[stream - 1]!.write(offset, bytes);
  }

  /** Until all output is written. */
  async flush(): Promise<void> {
    await Promise.all(this.#writers.map((writer) => writer.flush()));
  }

  close(): void {
    if (this.#reading) process.stdin.off('data', this.#onData).off('end', this.#onEnd).off('error', this.#onEnd);
    process.stdin.pause().unref?.();
  }

  #input(bytes: Uint8Array): void {
    this.#toPrimary({ kind: 'stdin', from: this.#stdin.next, chunks: [bytes] });
    this.#stdin.add(bytes);
    this.#stdinBytes += bytes.length;
    if (this.#stdinBytes >= STDIN_MAX) process.stdin.pause();
  }
}
