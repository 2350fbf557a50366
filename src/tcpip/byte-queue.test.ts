/** A queue of bytes, whichever way they come and go. */

import { expect, test } from 'vitest';
import { ByteQueue } from './byte-queue.ts';
import { pattern, random } from './test-link.ts';

test('pushed, given, copied, taken in pieces, dropped: always the bytes in order; what was handed out stays', () => {
  for (let seed = 1; seed <= 30; seed++) {
    const r = random(seed);
    const queue = new ByteQueue();
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
          const piece = queue.takePiece(size);
          expect(piece.length > 0).toBe(end > start);
          pieces.push({ at: start, bytes: piece });
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
  expect(queue.takePiece(1 << 20).buffer).toBe(large.buffer);
  queue.give(large, 0, 10_000);
  expect(queue.takePiece(1 << 20).buffer).not.toBe(large.buffer);
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
