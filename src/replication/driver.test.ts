import { describe, expect, test } from 'vitest';
import type { Capturable } from '../checkpoint/capture.ts';
import type { Blob } from '../checkpoint/delta.ts';
import { stateHash } from '../checkpoint/hash.ts';
import { decodePart, encodePart, Ledger } from '../checkpoint/ledger.ts';
import type { Shadow } from '../checkpoint/shadow.ts';
import { AddressSpace } from '../lvm/address-space.ts';
import type { Lvm } from '../lvm/api.ts';
import { PAGE_SIZE, PROT_READ, PROT_WRITE, USER_START } from '../lvm/layout.ts';
import { RegisterCell } from '../register/register.ts';
import { Driver, type DriverWorld, type Service } from './driver.ts';
import { Member } from './member.ts';
import { OutputCommit, type OutputState } from './output-commit.ts';
import type { MemberId } from './types.ts';

const BLOB: Blob = { id: '12'.repeat(32), bytes: new Uint8Array([1, 2, 3]) };

/** A service without a CPU: a counter in memory and in a part, printed on the console. */
class FakeService implements Service {
  readonly machine: Capturable & { spaces: Map<number, AddressSpace>; instructions: number };
  readonly output: OutputCommit;
  readonly #part: { key: string; count: number; save(): unknown };
  #blobs: Blob[] = [BLOB];

  constructor(cluster: Cluster, shadow: Shadow | null) {
    const ledger = new Ledger();
    const spaces = shadow ? new Map(shadow.spaces) : new Map([[1, new AddressSpace(1)]]);
    if (!shadow) spaces.get(1)!.map(USER_START, 64 * PAGE_SIZE, PROT_READ | PROT_WRITE);
    const known = shadow?.parts.get('counter/1');
    const count = known ? (decodePart(known) as { count: number }).count : 0;
    this.#part = { key: 'counter/1', count, save: () => ({ count: this.#part.count }) };
    ledger.add(this.#part);
    ledger.take();
    this.machine = {
      spaces,
      ledger,
      instructions: shadow?.instructions ?? 0,
      cpu: { unload: () => {}, takeTranslated: () => [] },
    };
    const state = shadow ? (decodePart(shadow.host) as OutputState) : null;
    const sink = {
      packet: (bytes: Uint8Array) => cluster.packets.push(bytes[0]!),
      console: (_: number, offset: number, bytes: Uint8Array) => {
        // As the supervisor does: what came before is dropped.
        expect(offset).toBeLessThanOrEqual(cluster.console.length);
        cluster.console.push(...bytes.subarray(cluster.console.length - offset));
      },
      exit: () => {},
    };
    this.output = new OutputCommit({} as Lvm, sink, state);
    if (shadow) {
      expect([...shadow.blobs.keys()]).toEqual([BLOB.id]);
      expect(spaces.get(1)!.read(USER_START, 1)![0]).toBe(this.#part.count & 255);
    }
  }

  get count(): number {
    return this.#part.count;
  }

  work(): void {
    this.#part.count++;
    this.machine.instructions += 10;
    this.machine.ledger.touch(this.#part);
    const space = this.machine.spaces.get(1)!;
    space.write(USER_START, new Uint8Array([this.#part.count]));
    space.write(USER_START + (this.#part.count % 60) * PAGE_SIZE + 100, new Uint8Array([this.#part.count]));
    this.output.send(new Uint8Array([this.#part.count]));
    this.output.console(1, new Uint8Array([this.#part.count]));
  }

  host(): Uint8Array {
    return encodePart({ key: '', save: () => this.output.save() });
  }

  takeBlobs(): Blob[] {
    return this.#blobs.splice(0);
  }

  allBlobs(): Iterable<Blob> {
    return [BLOB];
  }

  hash(): bigint {
    const { spaces, ledger } = this.machine;
    return stateHash(spaces, new Map(ledger.all().map(({ key, bytes }) => [key, bytes!])));
  }
}

class Cluster {
  readonly cell = new RegisterCell({ generation: 1, view: 1, primary: 'a.1', members: ['a.1'] });
  readonly drivers = new Map<MemberId, Driver>();
  readonly packets: number[] = [];
  readonly console: number[] = [];
  readonly log: string[] = [];
  readonly #queue: (() => void)[] = [];
  nowMs = 0;

  add(self: MemberId, bootstrap = false): void {
    const to = (id: MemberId): Driver | undefined => this.drivers.get(id);
    const world: DriverWorld = {
      send: (peer, message) =>
        this.#queue.push(() => to(peer)?.step({ kind: 'message', from: self, message }, this.nowMs)),
      register: (request) =>
        this.#queue.push(() => to(self)?.step({ kind: 'register', ...this.cell.handle(request) }, this.nowMs)),
      boot: () => new FakeService(this, null),
      promote: (shadow) => new FakeService(this, shadow),
      demoted: () => this.log.push(`${self} demoted`),
      view: () => {},
      alarm: (code) => this.log.push(`${self} ${code}`),
      halt: (code) => this.log.push(`${self} halts ${code}`),
    };
    const driver = new Driver(new Member({ self, generation: 1, bootstrap }), world, {
      hashEvery: 1,
      transfer: { pages: 5, scan: 20 },
    });
    const others = [...this.drivers];
    this.drivers.set(self, driver);
    driver.step({ kind: 'start' }, this.nowMs);
    for (const [id, other] of others) {
      driver.step({ kind: 'up', peer: id }, this.nowMs);
      other.step({ kind: 'up', peer: self }, this.nowMs);
    }
  }

  kill(id: MemberId): void {
    this.drivers.delete(id);
    for (const driver of this.drivers.values()) driver.step({ kind: 'down', peer: id, dead: true }, this.nowMs);
  }

  primary(): Driver | undefined {
    return [...this.drivers.values()].find((driver) => driver.service);
  }

  turn(messages = Number.POSITIVE_INFINITY): void {
    this.nowMs += 50;
    for (const driver of this.drivers.values()) driver.step({ kind: 'tick' }, this.nowMs);
    const primary = this.primary();
    if (primary?.mayRun) (primary.service as FakeService).work();
    if (primary?.epochDue(true, false)) primary.capture(this.nowMs);
    for (let next = this.#queue.shift(); next; next = messages-- > 0 ? this.#queue.shift() : undefined) next();
  }
}

describe('the driver', () => {
  test('a service survives its primaries, with nothing lost or said twice', () => {
    const cluster = new Cluster();
    cluster.add('a.1', true);
    cluster.turn();
    for (let i = 0; i < 5; i++) cluster.turn();
    let next = 1;
    for (let round = 0; round < 6; round++) {
      cluster.add(`n.${next++}`);
      for (let i = 0; i < 20 && cluster.cell.value.members.length < 2; i++) cluster.turn();
      expect(cluster.cell.value.members.length).toBe(2);
      for (let i = 0; i < 10; i++) cluster.turn(round % 2 === 0 ? 3 : undefined);
      const leader = cluster.cell.value.primary;
      const seen = cluster.packets.at(-1)!;
      if (round === 3) {
        cluster.primary()!.step({ kind: 'failover' }, cluster.nowMs);
        for (let i = 0; i < 10; i++) cluster.turn();
        expect(cluster.log).toContain(`${leader} demoted`);
        expect(cluster.cell.value.primary).not.toBe(leader);
        cluster.kill(cluster.cell.value.primary);
      } else cluster.kill(leader);
      for (let i = 0; i < 5; i++) cluster.turn();
      const service = cluster.primary()!.service as FakeService;
      expect(service.count).toBeGreaterThanOrEqual(seen);
    }
    for (let i = 0; i < 10; i++) cluster.turn();
    // The console's bytes are the counter, each once, in order.
    expect(cluster.console).toEqual(cluster.console.map((_, i) => i + 1));
    expect(cluster.console.length).toBeGreaterThan(60);
    expect(cluster.log.filter((line) => line.includes('TG_'))).toEqual([]);
  });

  test('a shadow that differs is noticed by the hash and put out', () => {
    const cluster = new Cluster();
    cluster.add('a.1', true);
    for (let i = 0; i < 3; i++) cluster.turn();
    cluster.add('b.1');
    for (let i = 0; i < 20; i++) cluster.turn();
    expect(cluster.cell.value.members).toEqual(['a.1', 'b.1']);
    cluster.drivers
      .get('b.1')!
      .shadow.spaces.get(1)!
      .poke(USER_START + 63 * PAGE_SIZE, Uint8Array.of(7));
    for (let i = 0; i < 10; i++) cluster.turn();
    expect(cluster.log).toEqual(['b.1 halts TG_DIVERGED', 'a.1 TG_DIVERGED']);
    expect(cluster.cell.value.members).toEqual(['a.1']);
  });
});
