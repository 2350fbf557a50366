import { Writable } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { ConsoleWriter } from './console-writer.ts';
import { KeptInput } from './kept-input.ts';

describe('the operator’s input', () => {
  test('is kept until it is safe, and given again from anywhere after that', () => {
    const kept = new KeptInput<string>();
    for (const text of ['a', 'b', 'c', 'd']) kept.add(text);
    expect([kept.next, kept.from(0)]).toEqual([4, ['a', 'b', 'c', 'd']]);
    expect(kept.drop(2)).toEqual(['a', 'b']);
    expect(kept.drop(1)).toEqual([]);
    expect([kept.size, kept.from(2), kept.from(3), kept.from(4)]).toEqual([2, ['c', 'd'], ['d'], []]);
    kept.add('e');
    expect([kept.next, kept.from(3)]).toEqual([5, ['d', 'e']]);
  });
});

describe('the guest’s output', () => {
  /** A stream that takes what it is given when it is told to. */
  function slow() {
    const written: string[] = [];
    const pending: (() => void)[] = [];
    const stream = new Writable({
      write(chunk: Buffer, _, done) {
        pending.push(() => {
          written.push(chunk.toString());
          done();
        });
      },
    });
    const take = async (): Promise<void> => {
      pending.shift()!();
      await new Promise((resolve) => setImmediate(resolve));
    };
    return { stream, written, take };
  }
  const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

  test('is written once, by its offsets, and said to have arrived when the kernel has it', async () => {
    const { stream, written, take } = slow();
    const writer = new ConsoleWriter(stream);
    const arrived: number[] = [];
    writer.onWritten = (offset) => arrived.push(offset);
    writer.write(0, bytes('hello '));
    writer.write(0, bytes('hello '));
    writer.write(3, bytes('lo world'));
    expect(arrived).toEqual([]);
    await take();
    await take();
    expect(written.join('')).toBe('hello world');
    expect(arrived).toEqual([6, 11]);
    // Said again by a new primary, which wants to hear that it need not keep it.
    writer.write(6, bytes('world'));
    expect(arrived).toEqual([6, 11, 11]);
    expect(() => writer.write(12, bytes('!'))).toThrow(/without gaps/);
  });

  test('flush waits for what is on its way', async () => {
    const { stream, take } = slow();
    const writer = new ConsoleWriter(stream);
    writer.write(0, bytes('x'));
    let flushed = false;
    const done = writer.flush().then(() => (flushed = true));
    await new Promise((resolve) => setImmediate(resolve));
    expect(flushed).toBe(false);
    await take();
    await done;
  });

  test('goes nowhere once its reader is gone, and that is told once', async () => {
    const stream = new Writable({ write: (_chunk, _encoding, done) => done(new Error('EPIPE')) });
    const writer = new ConsoleWriter(stream);
    let broken = 0;
    writer.onBroken = () => broken++;
    const arrived: number[] = [];
    writer.onWritten = (offset) => arrived.push(offset);
    stream.write('our own words');
    await new Promise((resolve) => setImmediate(resolve));
    expect(broken).toBe(0);
    writer.write(0, bytes('x'));
    await new Promise((resolve) => setImmediate(resolve));
    writer.write(1, bytes('yz'));
    expect([broken, arrived.at(-1), writer.queued]).toEqual([1, 3, 0]);
    await writer.flush();
  });
});
