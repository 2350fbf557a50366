/**
 * The LVM on Node: clock, entropy, the image, and the inputs that wait. Its output goes where it is told: straight out
 * where nothing is replicated; otherwise an OutputCommit stands above it and none comes down here.
 *
 * Packets may be lost, a network does that. Standard input and signals may not: input-queue.ts.
 */

import { randomFillSync } from 'node:crypto';
import type { FolderImage } from '../image/image.ts';
import type { BlobId, ClockSample, GuestExit, ImageEntry, Input, Lvm } from './api.ts';
import type { HostClock } from './host-clock.ts';
import { InputQueue } from './input-queue.ts';

export type LvmOutput = Pick<Lvm, 'send' | 'console' | 'exit'>;

/** How much of the operator's input a state has had. */
export interface Taken {
  /** Chunks of standard input, its end included. */
  readonly stdin: number;
  readonly signals: number;
}

export interface NodeLvmOptions {
  readonly image: FolderImage;
  readonly clock: HostClock;
  readonly output: LvmOutput;
  readonly taken?: Taken;
}

/** Packets that wait for the guest; what comes beyond is dropped, as an interface's full queue does. */
const PACKETS_MAX = 16384;
const PACKET_BYTES_MAX = 64 << 20;
const ENTROPY_POOL = 4096;

export class NodeLvm implements Lvm {
  readonly #image: FolderImage;
  readonly #clock: HostClock;
  readonly #output: LvmOutput;
  /** Chunks; an empty one is the end. */
  readonly stdin: InputQueue<Uint8Array>;
  readonly signals: InputQueue<number>;
  /** While true, standard input waits here: the guest has enough that it did not read yet. */
  stdinHeld = false;
  /** Packets that found the queue full. */
  dropped = 0;
  readonly #packets: Uint8Array[] = [];
  /** Those before this index were taken: shifting a long array is slow. */
  #packetAt = 0;
  #packetBytes = 0;
  readonly #pool = new Uint8Array(ENTROPY_POOL);
  #poolAt = ENTROPY_POOL;

  constructor({ image, clock, output, taken = { stdin: 0, signals: 0 } }: NodeLvmOptions) {
    this.#image = image;
    this.#clock = clock;
    this.#output = output;
    this.stdin = new InputQueue(taken.stdin);
    this.signals = new InputQueue(taken.signals);
  }

  get taken(): Taken {
    return { stdin: this.stdin.taken, signals: this.signals.taken };
  }

  /** Something waits that the guest may take now. */
  get pending(): boolean {
    return (
      this.#packetAt < this.#packets.length || this.signals.length > 0 || (this.stdin.length > 0 && !this.stdinHeld)
    );
  }

  /** An IPv4 packet for the guest, which keeps the array. */
  packet(bytes: Uint8Array): void {
    const waiting = this.#packets.length - this.#packetAt;
    if (waiting >= PACKETS_MAX || this.#packetBytes + bytes.length > PACKET_BYTES_MAX) {
      this.dropped += 1;
      return;
    }
    this.#packets.push(bytes);
    this.#packetBytes += bytes.length;
  }

  clock(): ClockSample {
    return this.#clock.sample();
  }

  entropy(length: number): Uint8Array {
    if (length > ENTROPY_POOL) return randomFillSync(new Uint8Array(length));
    if (this.#poolAt + length > ENTROPY_POOL) {
      randomFillSync(this.#pool);
      this.#poolAt = 0;
    }
    const end = this.#poolAt + length;
    const bytes = this.#pool.slice(this.#poolAt, end);
    // What was given out is not left lying about.
    this.#pool.fill(0, this.#poolAt, end);
    this.#poolAt = end;
    return bytes;
  }

  wait(): Input | null {
    const signo = this.signals.take();
    if (signo !== undefined) return { kind: 'signal', signo };
    const stdin = this.stdinHeld ? undefined : this.stdin.take();
    if (stdin !== undefined) return { kind: 'stdin', bytes: stdin };
    if (this.#packetAt === this.#packets.length) return null;
    const bytes = this.#packets[this.#packetAt++]!;
    this.#packetBytes -= bytes.length;
    if (this.#packetAt === this.#packets.length) this.#packetAt = this.#packets.length = 0;
    return { kind: 'packet', bytes };
  }

  lookup(path: string, content: boolean): ImageEntry | null {
    return this.#image.lookup(path, content);
  }

  read(blob: BlobId, offset: number, length: number): Uint8Array {
    return this.#image.read(blob, offset, length);
  }

  send(packet: Uint8Array): void {
    this.#output.send(packet);
  }

  console(stream: 1 | 2, bytes: Uint8Array): void {
    this.#output.console(stream, bytes);
  }

  exit(status: GuestExit): void {
    this.#output.exit(status);
  }
}
