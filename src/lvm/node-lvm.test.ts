import { describe, expect, test } from 'vitest';
import { HostClock } from './host-clock.ts';
import { InputQueue } from './input-queue.ts';
import { openImage } from './node-image.ts';
import { NodeLvm, type Taken } from './node-lvm.ts';

const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values);

function make(taken?: Taken): NodeLvm {
  const output = { send: () => {}, console: () => {}, exit: () => {} };
  const options = { image: openImage('/'), clock: new HostClock(), output };
  return new NodeLvm(taken === undefined ? options : { ...options, taken });
}

describe('input that must not be lost', () => {
  test('is taken once, in order, however often it is sent', () => {
    const queue = new InputQueue<string>();
    queue.add(0, ['a', 'b']);
    queue.add(1, ['b', 'c']);
    expect([queue.take(), queue.take(), queue.taken]).toEqual(['a', 'b', 2]);
    queue.add(0, ['a', 'b', 'c', 'd']);
    expect([queue.take(), queue.take(), queue.take(), queue.taken]).toEqual(['c', 'd', undefined, 4]);
  });

  test('goes on where a state left off, and a gap is a broken invariant', () => {
    const queue = new InputQueue<string>(7);
    expect(() => queue.add(8, ['i'])).toThrow(/without gaps/);
    queue.add(5, ['f', 'g', 'h']);
    expect([queue.take(), queue.taken, queue.length]).toEqual(['h', 8, 0]);
  });
});

describe('the LVM', () => {
  test('gives signals, standard input, then packets; and says whether it has any', () => {
    const lvm = make();
    expect([lvm.pending, lvm.wait()]).toEqual([false, null]);
    lvm.packet(bytes(1));
    lvm.stdin.add(0, [bytes(2), bytes()]);
    lvm.signals.add(0, [15]);
    expect(lvm.pending).toBe(true);
    expect([lvm.wait(), lvm.wait(), lvm.wait(), lvm.wait(), lvm.wait()]).toEqual([
      { kind: 'signal', signo: 15 },
      { kind: 'stdin', bytes: bytes(2) },
      { kind: 'stdin', bytes: bytes() },
      { kind: 'packet', bytes: bytes(1) },
      null,
    ]);
    expect(lvm.taken).toEqual({ stdin: 2, signals: 1 });
  });

  test('holds standard input back, and nothing else', () => {
    const lvm = make({ stdin: 3, signals: 1 });
    lvm.stdin.add(3, [bytes(1)]);
    lvm.stdinHeld = true;
    expect([lvm.pending, lvm.wait()]).toEqual([false, null]);
    lvm.signals.add(1, [2]);
    expect([lvm.pending, lvm.wait()]).toEqual([true, { kind: 'signal', signo: 2 }]);
    lvm.stdinHeld = false;
    expect([lvm.pending, lvm.wait()]).toEqual([true, { kind: 'stdin', bytes: bytes(1) }]);
  });

  test('drops packets that the guest does not take, and counts them', () => {
    const lvm = make();
    for (let i = 0; i < 20_000; i++) lvm.packet(bytes(i));
    let taken = 0;
    while (lvm.wait() !== null) taken++;
    expect(taken + lvm.dropped).toBe(20_000);
    expect(taken).toBeGreaterThan(1000);
    expect(lvm.dropped).toBeGreaterThan(1000);
    lvm.packet(bytes(1));
    expect(lvm.wait()).toEqual({ kind: 'packet', bytes: bytes(1) });
  });

  test('gives entropy of any length, never the same', () => {
    const lvm = make();
    const seen = new Set<string>();
    for (let i = 0; i < 600; i++) {
      const some = lvm.entropy(16);
      expect(some.length).toBe(16);
      seen.add(String(some));
    }
    expect(seen.size).toBe(600);
    expect(lvm.entropy(10_000).some((byte) => byte !== 0)).toBe(true);
    expect(lvm.entropy(0).length).toBe(0);
  });
});
