/** Segments that came before the ones in front of them, and the SACK blocks that tell the peer of them (RFC 2018, 2883). */

import { ByteQueue } from '../byte-queue.ts';
import { SACK_BLOCKS_MAX } from './segment.ts';
import { after, atOrAfter, atOrBefore, before, distance } from './sequence.ts';

interface Range {
  start: number;
  end: number;
  queue: ByteQueue;
}

/** A peer that leaves more gaps than this gets its data again by retransmission: memory stays bounded. */
const RANGES_MAX = 256;

export class Reassembly {
  /** In order, neither overlapping nor touching. */
  #ranges: Range[] = [];
  /** Starts of ranges in the order of their last growth, newest first. */
  #recent: number[] = [];

  get empty(): boolean {
    return this.#ranges.length === 0;
  }

  /** Takes the data [seq, end) at packet[from…]. False when it was all here already, or there is no room. */
  add(seq: number, end: number, packet: Uint8Array, from: number): boolean {
    const ranges = this.#ranges;
    // The first range that ends at or after seq: most arrive at the end of the last one.
    let i = ranges.length;
    while (i > 0 && atOrAfter(ranges[i - 1]!.end, seq)) i--;
    const first = ranges[i];
    if (first !== undefined && atOrBefore(first.start, seq) && atOrAfter(first.end, end)) {
      this.#touch(first.start);
      return false;
    }
    if (first === undefined || after(first.start, end)) {
      if (ranges.length >= RANGES_MAX) return false;
      const queue = new ByteQueue();
      queue.push(packet, from, from + distance(seq, end));
      ranges.splice(i, 0, { start: seq, end, queue });
      this.#touch(seq);
      return true;
    }
    if (atOrBefore(first.start, seq)) {
      first.queue.push(packet, from + distance(seq, first.end), from + distance(seq, end));
      first.end = end;
    } else {
      // The new data lies before the range: rebuild it.
      const queue = new ByteQueue();
      queue.push(packet, from, from + distance(seq, first.start));
      for (const piece of first.queue.save()) queue.push(piece);
      if (after(end, first.end)) {
        queue.push(packet, from + distance(seq, first.end), from + distance(seq, end));
        first.end = end;
      }
      this.#forget(first.start);
      first.start = seq;
      first.queue = queue;
    }
    while (ranges[i + 1] !== undefined && atOrBefore(ranges[i + 1]!.start, first.end)) {
      const next = ranges[i + 1]!;
      const overlap = distance(next.start, first.end);
      if (overlap < next.queue.length) {
        next.queue.drop(overlap);
        for (const piece of next.queue.save()) first.queue.push(piece);
        first.end = next.end;
      }
      this.#forget(next.start);
      ranges.splice(i + 1, 1);
    }
    this.#touch(first.start);
    return true;
  }

  /** Moves what now follows `rcvNxt` into `queue`; the new rcvNxt. */
  advance(rcvNxt: number, queue: ByteQueue): number {
    let next = rcvNxt;
    while (this.#ranges.length > 0 && atOrBefore(this.#ranges[0]!.start, next)) {
      const range = this.#ranges.shift()!;
      this.#forget(range.start);
      if (atOrBefore(range.end, next)) continue;
      range.queue.drop(distance(range.start, next));
      for (const piece of range.queue.save()) queue.push(piece);
      next = range.end;
    }
    return next;
  }

  /** SACK blocks to send as start, end, start, end …; the first holds the newest data (RFC 2018, section 4). */
  blocks(limit: number): number[] {
    const blocks: number[] = [];
    for (const start of this.#recent) {
      if (blocks.length === 2 * limit) break;
      const range = this.#ranges.find((r) => r.start === start);
      if (range !== undefined) blocks.push(range.start, range.end);
    }
    return blocks;
  }

  clear(): void {
    this.#ranges = [];
    this.#recent = [];
  }

  #touch(start: number): void {
    this.#forget(start);
    this.#recent.unshift(start);
    if (this.#recent.length > SACK_BLOCKS_MAX) this.#recent.pop();
  }

  #forget(start: number): void {
    const at = this.#recent.indexOf(start);
    if (at >= 0) this.#recent.splice(at, 1);
  }

  save(): unknown {
    return [this.#ranges.map((r) => [r.start, r.end, r.queue.save()]), this.#recent];
  }

  static restore(state: unknown): Reassembly {
    const [ranges, recent] = state as [[number, number, Uint8Array[]][], number[]];
    const reassembly = new Reassembly();
    reassembly.#ranges = ranges.map(([start, end, pieces]) => ({ start, end, queue: ByteQueue.restore(pieces) }));
    reassembly.#recent = recent;
    return reassembly;
  }

  /** True where [start, end) is held: for duplicate SACK. */
  holds(start: number, end: number): boolean {
    return this.#ranges.some((r) => atOrBefore(r.start, start) && atOrAfter(r.end, end) && before(start, end));
  }
}
