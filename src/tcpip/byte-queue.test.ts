/** A queue of bytes, whichever way they come and go. */

import { expect, test } from 'vitest';
import { ByteQueue, ChunkPool } from './byte-queue.ts';
import { pattern, random } from './test-link.ts';

test('pushed, given, copied, handed out, dropped: always the bytes in order; what is kept stays', () => {
  for (let seed = 1; seed <= 30; seed++) {
    const r = random(seed);
    const queue = new ByteQueue(seed % 2 === 0 ? new ChunkPool(2) : null);
    const pieces: { at: number; bytes: Uint8Array }[] = [];
    let start = 0;
    let end = 0;
    for (let i = 0; i < 400; i++) {
      const size = 1 + Math.floor(r() ** 3 * 40_000);
      switch (Math.floor(r() * 5)) {
        case 0:
        case 1: {
          // What surrounds the bytes is more than they are, or not.
          const around = r() < 0.5 ? 0 : Math.floor(r() * 6 * size);
          const bytes = new Uint8Array(size + around);
          bytes.set(pattern(end, size), around);
          if (r() < 0.5) queue.give(bytes, around, around + size);
          else {
            queue.push(bytes, around, around + size);
            bytes.fill(0);
          }
          end += size;
          break;
        }
        case 2: {
          const front = queue.front();
          expect(front.length > 0).toBe(end > start);
          expect(Buffer.compare(front, pattern(start, front.length))).toBe(0);
          const piece = front.subarray(0, size);
          const kept = r() < 0.5;
          if (kept) pieces.push({ at: start, bytes: piece });
          queue.drop(piece.length, kept);
          start += piece.length;
          break;
        }
        case 3: {
          const count = Math.min(size, end - start);
          queue.drop(count);
          start += count;
          break;
        }
        default: {
          const offset = Math.floor(r() * (end - start));
          const length = Math.min(size, end - start - offset);
          const copy = new Uint8Array(length);
          queue.copy(offset, length, copy, 0);
          expect(Buffer.compare(copy, pattern(start + offset, length))).toBe(0);
        }
      }
      expect(queue.length).toBe(end - start);
    }
    for (const { at, bytes } of pieces) expect(Buffer.compare(bytes, pattern(at, bytes.length))).toBe(0);
    expect(Buffer.compare(Buffer.concat(queue.save()), pattern(start, end - start))).toBe(0);
  }
});

test('large bytes are not copied; small ones in a large memory are', () => {
  const queue = new ByteQueue();
  const large = pattern(0, 60_000);
  queue.give(large);
  expect(queue.front().buffer).toBe(large.buffer);
  queue.drop(60_000);
  queue.give(large, 0, 10_000);
  expect(queue.front().buffer).not.toBe(large.buffer);
});

test('memory is used again, unless somebody has it; what was given is never written', () => {
  for (const size of [100, 60_000]) {
    const queue = new ByteQueue(new ChunkPool());
    queue.push(pattern(0, size));
    const first = queue.front().buffer;
    queue.drop(size);
    queue.push(pattern(0, size));
    expect(queue.front().buffer, `${size}`).toBe(first);
    queue.drop(size, true);
    queue.push(pattern(0, size));
    expect(queue.front().buffer, `${size}`).not.toBe(first);
  }
  const queue = new ByteQueue(new ChunkPool());
  const given = new Uint8Array(65536);
  queue.give(given, 0, 60_000);
  queue.push(pattern(0, 5000));
  queue.drop(65_000);
  queue.push(pattern(0, 60_000));
  expect(given.every((byte) => byte === 0)).toBe(true);
});

test('equal queues are saved equal, however their bytes came', () => {
  const one = new ByteQueue();
  one.push(pattern(0, 70_000));
  const other = new ByteQueue();
  other.push(pattern(-10, 10));
  other.give(pattern(0, 50_000));
  for (let at = 50_000; at < 70_000; at += 100) other.push(pattern(at, 100));
  other.drop(10);
  const restored = ByteQueue.restore(other.save());
  expect(other.save()).toEqual(one.save());
  expect(restored.save()).toEqual(one.save());
  expect(new ByteQueue().save()).toEqual([]);
});
