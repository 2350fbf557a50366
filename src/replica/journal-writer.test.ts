/** The journal's writer and the member that waits for it, on a disk that stops between any two steps. */

import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { expect, test } from 'vitest';
import { JournalReader } from '../checkpoint/journal.ts';
import { newestJournal, parseJournalName } from '../checkpoint/journal-name.ts';
import { Member } from '../replication/member.ts';
import type { Effect, Event } from '../replication/types.ts';
import { Random } from '../sim/random.ts';
import { FakeJournalFolder, type Remains } from './fake-journal-folder.ts';
import { type JournalFolder, NodeJournalFolder } from './journal-folder.ts';
import { type JournalLimits, JournalWriter } from './journal-writer.ts';

const SLOTS = 8;
const CHUNKS = 4;

/** A state: a count, and slots that say when they were changed last; every step changes one. */
class State {
  count = 0;
  readonly slots = new Array<number>(SLOTS).fill(0);

  step(): void {
    this.slots[++this.count % SLOTS] = this.count;
  }

  get isWhole(): boolean {
    const expected = new State();
    while (expected.count < this.count) expected.step();
    return expected.slots.join() === this.slots.join();
  }
}

interface Change {
  readonly count: number;
  readonly slots: readonly (readonly [slot: number, value: number])[];
}

function apply(state: State, bytes: Uint8Array): void {
  const { count, slots } = JSON.parse(new TextDecoder().decode(bytes)) as Change;
  state.count = count;
  for (const [slot, value] of slots) state.slots[slot] = value;
}

/** A primary, alone, with the model state for a guest. */
class Primary {
  readonly state: State;
  readonly member: Member;
  readonly writer: JournalWriter;
  failed: Error | null = null;
  /** The count that clients have seen. */
  released: number;
  readonly #counts = new Map<number, number>();
  readonly #generation: number;
  #dirty = new Set<number>();
  #chunk = 0;
  #nowMs = 0;
  #changed: () => void = () => {};

  constructor(folder: JournalFolder, generation: number, state: State, limits?: JournalLimits) {
    this.state = state;
    this.released = 0;
    this.#generation = generation;
    this.member = new Member({ self: 'a.1', generation, bootstrap: true, journal: true, maxChunks: 2, maxInFlight: 8 });
    this.writer = new JournalWriter(
      { folder, generation, view: 1, meta: () => ({ generation }), crc32, nowMs: () => 0, ...(limits && { limits }) },
      {
        journalled: (written, durable) => this.step({ kind: 'journalled', written, durable }),
        grown: () => this.step({ kind: 'journal-grown' }),
        failed: (error) => {
          this.failed = error;
        },
      },
    );
    this.step({ kind: 'start' });
  }

  step(event: Event): void {
    for (const effect of this.member.step(event, this.#nowMs++)) this.#carryOut(effect);
    this.#changed();
  }

  #carryOut(effect: Effect): void {
    if (effect.kind === 'read') {
      const value = { generation: this.#generation, view: 1, primary: 'a.1', members: ['a.1'] };
      queueMicrotask(() => this.step({ kind: 'register', id: effect.id, answer: 'ok', value }));
    } else if (effect.kind === 'journal') this.writer.append(effect);
    else if (effect.kind === 'release') this.released = this.#counts.get(effect.epoch)!;
  }

  /** One epoch, if it may be. */
  epoch(steps: number): void {
    const { member, state } = this;
    if (member.role !== 'primary' || (member.throttled && !member.epochWanted)) return;
    for (let n = member.throttled ? 0 : steps; n > 0; n--) {
      state.step();
      this.#dirty.add(state.count % SLOTS);
    }
    const epoch = member.nextEpoch;
    this.#counts.set(epoch, state.count);
    const encode = (slots: Iterable<number>): Uint8Array => {
      const change: Change = { count: state.count, slots: [...slots].map((slot) => [slot, state.slots[slot]!]) };
      return new TextEncoder().encode(JSON.stringify(change));
    };
    const delta = member.deltaNeeded ? encode(this.#dirty) : null;
    this.#dirty = new Set();
    let root = null;
    if (member.rootWanted) {
      const size = SLOTS / CHUNKS;
      const slots = Array.from({ length: size }, (_, i) => this.#chunk * size + i);
      this.#chunk = (this.#chunk + 1) % CHUNKS;
      root = { bytes: encode(slots), done: this.#chunk === 0 };
    }
    this.step({ kind: 'captured', epoch, delta, chunks: [], root });
  }

  /** Until the condition holds; it is looked at whenever something happens. */
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#changed = resolve;
      await promise;
    }
  }
}

/** What a restart goes on from. */
function recover(files: Remains): { state: State; count: number; generation: number } {
  const generations = [...files.keys()].map((name) => parseJournalName(name)?.generation ?? 0);
  const generation = Math.max(0, ...generations) + 1;
  const name = newestJournal([...files.keys()]);
  const state = new State();
  if (name === null) return { state, count: 0, generation };
  const bytes = files.get(name)!;
  const read = (offset: number, length: number): Uint8Array => bytes.subarray(offset, offset + length);
  state.slots.fill(-1);
  for (const record of new JournalReader({ size: bytes.length, read }, crc32).records()) apply(state, record.bytes);
  return { state, count: state.count, generation };
}

const LIMITS: JournalLimits = { factor: 1, least: 1000 };

test('nothing that was released is lost, wherever everything stops', async () => {
  const first = 1;
  const total = { released: 0, roots: 0, journals: 0 };
  for (let seed = first; seed < first + 400; seed++) {
    const random = new Random(seed);
    let files: Remains = new Map();
    let seen = 0;
    for (let life = 0; life < 5; life++) {
      const found = recover(files);
      expect(found.state.isWhole, `seed ${seed}, life ${life}: a state that was`).toBe(true);
      expect(found.count, `seed ${seed}, life ${life}: what clients saw`).toBeGreaterThanOrEqual(seen);
      // As the supervisor does before it starts anything.
      const whole = new Map([...files].filter(([name]) => parseJournalName(name)!.whole));
      const folder = new FakeJournalFolder(random, 1 + random.below(life === 0 ? 60 : 400), whole);
      const primary = new Primary(folder, found.generation, found.state, LIMITS);
      while (!folder.isStopped) {
        primary.epoch(random.below(4));
        for (let n = random.below(60); n > 0 && !folder.isStopped; n--) await Promise.resolve();
        if (primary.failed !== null) throw primary.failed;
        seen = Math.max(seen, primary.released);
      }
      total.released += primary.released;
      files = folder.remains();
      total.journals += [...files.keys()].filter((name) => parseJournalName(name)?.whole).length;
      total.roots += [...files.keys()].filter((name) => parseJournalName(name)!.number > 1).length;
    }
    expect(recover(files).count, `seed ${seed}: the end`).toBeGreaterThanOrEqual(seen);
  }
  console.log(`400 seeds from ${first}: ${JSON.stringify(total)}`);
  expect(total.released).toBeGreaterThan(10_000);
  expect(total.roots).toBeGreaterThan(200);
});

test('a disk that fails: nothing is released after it, and the reason is told', async () => {
  for (let seed = 1; seed <= 50; seed++) {
    const random = new Random(seed);
    const folder = new FakeJournalFolder(random, Number.POSITIVE_INFINITY);
    const primary = new Primary(folder, 1, new State());
    const turn = async (): Promise<void> => {
      primary.epoch(1);
      for (let n = random.below(40); n > 0; n--) await Promise.resolve();
    };
    while (primary.released < 10) await turn();
    folder.error = new Error('ENOSPC: no space left on device');
    while (primary.failed === null) await turn();
    const before = primary.released;
    for (let n = 0; n < 10; n++) await turn();
    expect(primary.failed.message).toContain('ENOSPC');
    expect(primary.released, `seed ${seed}`).toBe(before);
    // What was released is there.
    folder.error = null;
    expect(recover(folder.remains()).count).toBeGreaterThanOrEqual(before);
  }
});

test('many epochs share a sync, and a new primary removes what is older only', async () => {
  const path = mkdtempSync(join(tmpdir(), 'tg-journal-'));
  try {
    const folder = new NodeJournalFolder(path);
    const old = new Primary(folder, 1, new State(), LIMITS);
    await old.until(() => old.member.role === 'primary');
    while (old.released < 400) {
      for (let n = 0; n < 5; n++) old.epoch(2);
      await old.until(() => old.member.durable === old.member.lastEpoch || old.member.epochWanted);
    }
    expect(old.writer.syncUs.count).toBeLessThan(old.member.lastEpoch);
    const [name, ...others] = (await folder.names()).filter((one) => one.endsWith('.journal'));
    expect(others).toEqual([]);
    // It has begun anew when it had grown.
    expect(parseJournalName(name!)!.number).toBeGreaterThan(1);
    expect(statSync(join(path, name!)).mode & 0o777).toBe(0o600);
    const next = new Primary(folder, 2, old.state);
    await next.until(() => next.member.role === 'primary');
    while (next.released < old.released) {
      next.epoch(1);
      await next.until(() => next.member.durable === next.member.lastEpoch || next.member.epochWanted);
    }
    old.epoch(1);
    await old.until(() => old.failed !== null || old.member.durable === old.member.lastEpoch);
    const names = (await folder.names()).filter((one) => one.endsWith('.journal'));
    expect(names).toEqual(['g2-v1-1.journal']);
    const found = recover(new Map(names.map((one) => [one, readFileSync(join(path, one))])));
    expect([found.count >= next.released, found.state.isWhole]).toEqual([true, true]);
    // One that was replaced and does not know: its root is durable late, and what is newer stays.
    const late = new Primary(folder, 1, new State());
    await late.until(() => late.member.role === 'primary');
    while (late.released === 0) {
      late.epoch(1);
      await late.until(() => late.member.durable === late.member.lastEpoch || late.member.epochWanted);
    }
    const both = await folder.names();
    expect(both).toContain('g1-v1-1.journal');
    expect(newestJournal(both)).toBe('g2-v1-1.journal');
    for (const { writer } of [next, old, late]) writer.close();
  } finally {
    rmSync(path, { recursive: true });
  }
});
