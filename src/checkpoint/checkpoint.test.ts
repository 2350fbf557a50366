import { crc32 } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { AddressSpace } from '../lvm/address-space.ts';
import { PAGE_SIZE, PROT_EXEC, PROT_MAPPED, PROT_READ, PROT_WRITE, USER_START } from '../lvm/layout.ts';
import { type Capturable, Capturer, captureAll } from './capture.ts';
import { decodeDelta } from './delta.ts';
import { CheckpointError } from './errors.ts';
import { decodeCheckpoint, encodeCheckpoint } from './file.ts';
import { stateHash } from './hash.ts';
import { decodePart, Ledger, type Part } from './ledger.ts';
import { Shadow } from './shadow.ts';
import { StateTransfer } from './state-transfer.ts';

const RW = PROT_READ | PROT_WRITE;
const HOST = new Uint8Array([1, 2, 3]);

class Counter implements Part {
  readonly key: string;
  value = 0;
  constructor(key: string) {
    this.key = key;
  }
  save(): unknown {
    return { value: this.value, bytes: new Uint8Array(this.value % 7) };
  }
}

/** A machine without a CPU that changes at random. */
class Machine implements Capturable {
  readonly spaces = new Map<number, AddressSpace>();
  readonly ledger = new Ledger();
  readonly parts: Counter[] = [];
  readonly cpu = { unload: () => {}, takeTranslated: () => [4096] };
  instructions = 0;
  nextId = 1;
  readonly #random: () => number;

  constructor(random: () => number) {
    this.#random = random;
  }

  space(): AddressSpace {
    const space = new AddressSpace(this.nextId++);
    this.spaces.set(space.id, space);
    return space;
  }

  step(): void {
    const below = (n: number): number => Math.floor(this.#random() * n);
    this.instructions += below(1000);
    const space = [...this.spaces.values()][below(this.spaces.size)]!;
    const start = USER_START + below(200) * PAGE_SIZE;
    const length = (1 + below(8)) * PAGE_SIZE;
    switch (below(12)) {
      case 0:
        space.map(start, length, RW);
        break;
      case 1:
        space.unmap(start, length);
        break;
      case 2:
        if (space.isPresent(start)) space.protect(start, PAGE_SIZE, below(2) ? PROT_READ | PROT_EXEC : RW);
        break;
      case 3: {
        const part = new Counter(`thing/${this.parts.length}`);
        this.parts.push(part);
        this.ledger.add(part);
        break;
      }
      case 4: {
        const part = this.parts[below(this.parts.length)];
        if (part && this.ledger.has(part.key)) {
          part.value++;
          this.ledger.touch(part);
        }
        break;
      }
      case 5: {
        const part = this.parts[below(this.parts.length)];
        if (part && this.ledger.has(part.key) && below(3) === 0) this.ledger.remove(part);
        break;
      }
      case 6:
        if (this.spaces.size < 3 && below(4) === 0) {
          const child = space.fork(this.nextId++);
          this.spaces.set(child.id, child);
        } else if (this.spaces.size > 1 && below(4) === 0) this.spaces.delete(space.id);
        break;
      default:
        space.write(start + below(PAGE_SIZE - 8), new Uint8Array(8).fill(below(3)));
    }
  }

  hash(): bigint {
    return stateHash(this.spaces, new Map(this.ledger.all().map(({ key, bytes }) => [key, bytes!])));
  }
}

function mulberry(seed: number): () => number {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

describe('deltas', () => {
  test.each([1, 2, 3])('a shadow follows a changing machine, and a learner catches up with it (seed %i)', (seed) => {
    const random = mulberry(seed);
    const machine = new Machine(random);
    machine.space();
    for (let i = 0; i < 100; i++) machine.step();
    const blob = { id: 'ab'.repeat(32), bytes: new Uint8Array([9, 8, 7]) };
    const shadow = new Shadow();
    shadow.apply(captureAll(machine, 0, HOST, [blob]));
    const capturer = seed === 2 ? new Capturer(machine, 40) : new Capturer(machine);
    capturer.capture(0, HOST);
    expect(shadow.hash()).toBe(machine.hash());

    let learner: Shadow | null = null;
    let transfer: StateTransfer | null = null;
    let caughtUp = 0;
    for (let epoch = 1; epoch <= 70; epoch++) {
      const steps = Math.floor(random() * 20);
      for (let i = 0; i < steps; i++) machine.step();
      const delta = capturer.capture(epoch, HOST);
      shadow.apply(delta);
      expect(shadow.epoch).toBe(epoch);
      expect(shadow.instructions).toBe(machine.instructions);
      expect(shadow.hash(), `epoch ${epoch}`).toBe(machine.hash());
      if (learner && caughtUp % 2 === 1) {
        learner.apply(delta);
        expect(learner.hash(), `learner, epoch ${epoch}`).toBe(machine.hash());
        if (random() < 0.2) {
          learner = null;
          caughtUp++;
        }
      } else if (learner === null) {
        learner = new Shadow();
        transfer = new StateTransfer(machine, shadow.blobs.size > 0 ? [blob] : [], { pages: 12, scan: 60, bytes: 80 });
        learner.apply(transfer.next(epoch, HOST).bytes);
      } else {
        learner.apply(delta);
        const chunk = transfer!.next(epoch, HOST);
        learner.apply(chunk.bytes);
        if (chunk.done) {
          caughtUp++;
          expect(learner.hash(), `learner done, epoch ${epoch}`).toBe(machine.hash());
          expect(learner.blobs.get(blob.id)).toEqual(blob.bytes);
          expect(learner.host).toEqual(HOST);
        }
      }
    }
    expect(caughtUp).toBeGreaterThan(1);
    expect([...shadow.entries.values()].some((set) => set.has(4096))).toBe(true);
    for (const bytes of shadow.parts.values()) expect(decodePart(bytes)).toHaveProperty('value');
  });

  test('a page unmapped and mapped again within an epoch is zero at the backup, too', () => {
    const machine = new Machine(mulberry(1));
    const space = machine.space();
    space.map(USER_START, PAGE_SIZE * 4, RW);
    space.write(USER_START, new Uint8Array(PAGE_SIZE * 4).fill(1));
    const shadow = new Shadow();
    shadow.apply(captureAll(machine, 1, HOST));
    const capturer = new Capturer(machine);
    capturer.capture(1, HOST);
    space.unmap(USER_START, PAGE_SIZE * 2);
    space.map(USER_START, PAGE_SIZE, RW);
    shadow.apply(capturer.capture(2, HOST));
    expect(shadow.hash()).toBe(machine.hash());
  });

  test.each([1, 2, 3])('pages that change again and again are sent as patches (seed %i)', (seed) => {
    const random = mulberry(seed);
    const below = (n: number): number => Math.floor(random() * n);
    const machine = new Machine(random);
    const space = machine.space();
    space.map(USER_START, PAGE_SIZE * 40, RW);
    const shadow = new Shadow();
    shadow.apply(captureAll(machine, 0, HOST));
    const capturer = new Capturer(machine, seed === 3 ? 80 : 4096);
    capturer.capture(0, HOST);
    let learner: Shadow | null = null;
    let transfer: StateTransfer | null = null;
    let [patched, whole] = [0, 0];
    for (let epoch = 1; epoch <= 150; epoch++) {
      for (let n = below(12); n > 0; n--) {
        const length = 1 + below(random() < 0.1 ? 9000 : 40);
        const at = USER_START + below(PAGE_SIZE * 40 - length);
        const byte = below(3);
        space.write(
          at,
          new Uint8Array(length).map(() => (random() < 0.8 ? byte : below(256))),
        );
      }
      if (random() < 0.2) {
        const at = USER_START + below(38) * PAGE_SIZE;
        space.unmap(at, PAGE_SIZE * 2);
        if (random() < 0.5) space.write(USER_START, new Uint8Array([epoch]));
        if (random() < 0.5) shadow.apply(capturer.capture(epoch, HOST));
        if (learner) learner = null;
        space.map(at, PAGE_SIZE * 2, RW);
      }
      const delta = capturer.capture(epoch, HOST);
      for (const change of shadow.apply(delta).spaces) {
        patched += change.patched.length;
        whole += change.pages.length;
      }
      expect(shadow.hash(), `epoch ${epoch}`).toBe(machine.hash());
      if (learner) {
        learner.apply(delta);
        const chunk = transfer!.next(epoch, HOST);
        learner.apply(chunk.bytes);
        if (chunk.done) {
          expect(learner.hash(), `learner, epoch ${epoch}`).toBe(machine.hash());
          learner = null;
        }
      } else {
        learner = new Shadow();
        transfer = new StateTransfer(machine, [], { pages: 9, scan: 20 });
        learner.apply(transfer.next(epoch, HOST).bytes);
      }
    }
    expect(patched).toBeGreaterThan(whole);
  });

  test('the same id with another space is a new space', () => {
    const machine = new Machine(mulberry(1));
    const space = machine.space();
    space.map(USER_START, PAGE_SIZE, RW);
    space.write(USER_START, new Uint8Array([1]));
    const shadow = new Shadow();
    shadow.apply(captureAll(machine, 1, HOST));
    const capturer = new Capturer(machine);
    const next = new AddressSpace(space.id);
    next.map(USER_START, PAGE_SIZE, RW);
    machine.spaces.set(space.id, next);
    shadow.apply(capturer.capture(2, HOST));
    expect(shadow.hash()).toBe(machine.hash());
  });

  test('a machine that is primary no more becomes a shadow', () => {
    const machine = new Machine(mulberry(5));
    machine.space();
    for (let i = 0; i < 200; i++) machine.step();
    const hash = machine.hash();
    expect(Shadow.of(machine, 7, HOST, []).hash()).toBe(hash);
  });
});

describe('bad input', () => {
  const machine = new Machine(mulberry(11));
  machine.space();
  for (let i = 0; i < 60; i++) machine.step();
  const good = captureAll(machine, 3, HOST, [{ id: '0f'.repeat(32), bytes: new Uint8Array(100) }]);

  test('a delta that is cut off or damaged in its tables is refused and changes nothing', () => {
    const random = mulberry(99);
    const shadow = new Shadow();
    shadow.apply(good);
    const table = good.length - decodeDelta(good).content.length;
    let refused = 0;
    for (let i = 0; i < 3000; i++) {
      const bytes = good.slice(0, i % 3 === 0 ? Math.floor(random() * good.length) : good.length);
      if (i % 3 !== 0) {
        for (let n = 0; n < 1 + (i % 5); n++) bytes[Math.floor(random() * table)] = Math.floor(random() * 256);
      }
      try {
        decodeDelta(bytes);
      } catch (error) {
        expect(error).toBeInstanceOf(CheckpointError);
        refused++;
      }
      if (i % 20 === 0) {
        const before = shadow.hash();
        try {
          shadow.apply(bytes);
        } catch {
          expect(shadow.hash()).toBe(before);
        }
      }
    }
    expect(refused).toBeGreaterThan(1500);
  });

  test('a delta for another state is refused whole', () => {
    const space = machine.spaces.values().next().value!;
    const capturer = new Capturer(machine);
    capturer.capture(3, HOST);
    space.map(USER_START, PAGE_SIZE, RW);
    space.write(USER_START, new Uint8Array([5]));
    const shadow = new Shadow();
    expect(() => shadow.apply(capturer.capture(4, HOST))).toThrow(CheckpointError);
    expect(shadow.spaces.size).toBe(0);
  });

  test('a checkpoint file survives the round trip and nothing else', () => {
    const file = Buffer.concat(encodeCheckpoint({ meta: { program: ['/bin/x'] }, state: good }, crc32));
    const back = decodeCheckpoint(file, crc32);
    expect(back.meta).toEqual({ program: ['/bin/x'] });
    expect(Buffer.compare(back.state, good)).toBe(0);
    const random = mulberry(3);
    for (let i = 0; i < 500; i++) {
      const at = Math.floor(random() * file.length);
      const bytes = Buffer.from(file);
      bytes[at]! ^= 1 << Math.floor(random() * 8);
      expect(() => decodeCheckpoint(bytes, crc32), `bit at ${at}`).toThrow(/TG_|checkpoint/);
      expect(() => decodeCheckpoint(file.subarray(0, at), crc32)).toThrow(CheckpointError);
    }
  });
});

test('mappings round trip by range', () => {
  const random = mulberry(21);
  const a = new AddressSpace(1);
  const b = new AddressSpace(1);
  for (let i = 0; i < 300; i++) {
    const start = USER_START + Math.floor(random() * 5000) * PAGE_SIZE;
    const length = Math.floor(random() * 40) * PAGE_SIZE;
    if (random() < 0.7) a.map(start, length, Math.floor(random() * 8));
    else a.unmap(start, length);
    const range = a.takeMappingRange();
    if (range) b.applyMappings(a.mappings(range.first, range.end), range.first, range.end);
    expect(Buffer.compare(a.prot, b.prot)).toBe(0);
  }
  expect(a.mappings().every((run) => (run.prot & PROT_MAPPED) !== 0)).toBe(true);
});
