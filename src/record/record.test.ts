import { crc32 } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import type { Guest, Input, Lvm, RunResult } from '../lvm/api.ts';
import { type Entry, LOG_HEADER, LogError, LogWriter, readLog } from './log.ts';
import { Recorder } from './recorder.ts';
import { DivergenceError, Replayer } from './replayer.ts';

/** A guest that mixes everything it is told into its state and its output. */
class FakeGuest implements Guest {
  readonly #lvm: Lvm;
  instructions = 0;
  state = 1;
  /** A bug to be found: state that is not in the log. */
  leak = 0;

  constructor(lvm: Lvm) {
    this.#lvm = lvm;
    this.#mix(...lvm.entropy(8));
  }

  run(budget: number): RunResult {
    const lvm = this.#lvm;
    for (let end = this.instructions + budget; this.instructions < end; this.instructions += 10) {
      const input = lvm.wait();
      if (input === null) {
        const entry = this.instructions % 30 === 0 ? lvm.lookup(`/etc/${this.state % 5}`, true) : null;
        if (entry?.blob) this.#mix(...lvm.read(entry.blob, 1, 3));
        if (this.state % 3 === 0) return { kind: 'wait', deadlineUs: lvm.clock().monotonicUs + 5 };
        this.#mix(lvm.clock().realtimeUs);
        continue;
      }
      if (input.kind === 'signal') {
        lvm.exit({ code: null, signal: input.signo });
        return { kind: 'exit', status: { code: null, signal: input.signo } };
      }
      this.#mix(...input.bytes, this.leak);
      lvm.send(new Uint8Array([this.state & 255, input.bytes.length]));
      lvm.console(input.kind === 'stdin' ? 1 : 2, new Uint8Array([this.state >> 8]));
    }
    return { kind: 'budget' };
  }

  #mix(...numbers: number[]): void {
    for (const n of numbers) this.state = (Math.imul(this.state, 31) + n) >>> 0;
  }
}

const BLOB = 'c0'.repeat(32);

function host(seed: number): Lvm {
  let x = seed;
  const next = (): number => (x = (Math.imul(x, 1103515245) + 12345) & 0x7fffffff);
  let us = 0;
  return {
    clock: () => ({ monotonicUs: (us += next() % 100), realtimeUs: 1.7e15 + us }),
    entropy: (length) => new Uint8Array(length).map(() => next()),
    wait: (): Input | null => {
      const kind = next() % 7;
      if (kind < 3) return null;
      return { kind: kind === 3 ? 'stdin' : 'packet', bytes: new Uint8Array(next() % 20).fill(kind) };
    },
    lookup: (path) =>
      next() % 2 === 0
        ? null
        : { type: 'file', mode: 0o644, uid: 0, gid: 0, size: path.length, mtimeUs: 5, blob: BLOB },
    read: (_, offset, length) => new Uint8Array(length).fill(offset),
    send: () => {},
    console: () => {},
    exit: () => {},
  };
}

/** A recorded run: its log, block by block, and the state at its end. */
function record(seed: number, runs: number): { blocks: Uint8Array[]; guest: FakeGuest } {
  const log = new LogWriter();
  const recorder = new Recorder(host(seed), log);
  const guest = new FakeGuest(recorder);
  const blocks: Uint8Array[] = [LOG_HEADER];
  for (let i = 0; i < runs; i++) {
    recorder.run(guest, 20 + ((seed * i) % 90), i % 2 === 0);
    if (i % 3 === 2) blocks.push(log.takeBlock(crc32)!);
  }
  const rest = log.takeBlock(crc32);
  if (rest) blocks.push(rest);
  return { blocks, guest };
}

function replay(entries: readonly Entry[], leak = 0): FakeGuest {
  const replayer = new Replayer({ read: (_, offset, length) => new Uint8Array(length).fill(offset) }, entries);
  const guest = new FakeGuest(replayer);
  guest.leak = leak;
  replayer.replay(guest);
  expect(replayer.remaining).toBe(0);
  return guest;
}

describe('recording and replaying', () => {
  test.each([1, 2, 3, 4, 5])('gives the same state (seed %i)', (seed) => {
    const { blocks, guest } = record(seed, 50);
    const { entries, whole } = readLog(Buffer.concat(blocks), crc32);
    expect(whole).toBe(true);
    const again = replay(entries);
    expect([again.state, again.instructions]).toEqual([guest.state, guest.instructions]);
  });

  test('a log that grows is replayed as it comes', () => {
    const { blocks, guest } = record(9, 40);
    const { entries } = readLog(Buffer.concat(blocks), crc32);
    const replayer = new Replayer({ read: (_, offset, length) => new Uint8Array(length).fill(offset) });
    replayer.append(entries.slice(0, 1));
    const again = new FakeGuest(replayer);
    for (let at = 1; at < entries.length; at += 7) {
      replayer.append(entries.slice(at, at + 7));
      replayer.replay(again);
    }
    expect(again.state).toBe(guest.state);
  });

  test('a guest that is not deterministic is found out', () => {
    const { blocks } = record(3, 50);
    const { entries } = readLog(Buffer.concat(blocks), crc32);
    expect(() => replay(entries, 1)).toThrow(DivergenceError);
  });

  test('exit is recorded', () => {
    const log = new LogWriter();
    const lvm = host(1);
    lvm.wait = () => ({ kind: 'signal', signo: 15 });
    const recorder = new Recorder(lvm, log);
    recorder.run(new FakeGuest(recorder), 100);
    const { entries } = readLog(Buffer.concat([LOG_HEADER, log.takeBlock(crc32)!]), crc32);
    expect(entries.at(-2)!.call).toEqual({ kind: 'exit', status: { code: null, signal: 15 } });
    replay(entries);
  });
});

describe('a log', () => {
  test('that is cut off or damaged is good up to the last whole block', () => {
    const { blocks } = record(4, 30);
    const bytes = Buffer.concat(blocks);
    const all = readLog(bytes, crc32).entries;
    for (let at = 8; at < bytes.length; at += 13) {
      const cut = readLog(bytes.subarray(0, at), crc32);
      expect(cut.entries).toEqual(all.slice(0, cut.entries.length));
      const bad = Buffer.from(bytes);
      bad[at]! ^= 4;
      const damaged = readLog(bad, crc32);
      expect(damaged.whole).toBe(false);
      expect(damaged.entries).toEqual(all.slice(0, damaged.entries.length));
    }
    expect(() => readLog(bytes.subarray(1), crc32)).toThrow(LogError);
  });

  test('with nonsense under a right checksum is refused', () => {
    let x = 7;
    for (let i = 0; i < 3000; i++) {
      const body = new Uint8Array(1 + (i % 40)).map(() => (x = (Math.imul(x, 1103515245) + 12345) >>> 0) >> 16);
      body[0]! %= 10;
      const head = Buffer.alloc(8);
      head.writeUInt32LE(body.length, 0);
      head.writeUInt32LE(crc32(body), 4);
      try {
        readLog(Buffer.concat([LOG_HEADER, head, body]), crc32);
      } catch (error) {
        expect(error).toBeInstanceOf(LogError);
      }
    }
  });
});
