/** State as plain data: a stack saved and restored in the middle of transfers goes on; resync makes take-over quick. */

import { expect, test } from 'vitest';
import { decodePart, Ledger } from '../checkpoint/ledger.ts';
import type { Tcp } from './api.ts';
import { TcpipStack } from './stack.ts';
import { TcpConnection } from './tcp/connection.ts';
import { A, B, makeStack, Network, pattern, random } from './test-link.ts';

/** What a backup has: the newest bytes of every part, fed by the ledger's changes only. */
class Backup {
  readonly parts = new Map<string, Uint8Array>();

  apply(ledger: Ledger): void {
    for (const { key, bytes } of ledger.take()) {
      if (bytes === null) this.parts.delete(key);
      else this.parts.set(key, bytes);
    }
  }

  restore(): { stack: TcpipStack; ledger: Ledger } {
    const ledger = new Ledger();
    const plain = new Map([...this.parts].map(([key, bytes]) => [key, decodePart(bytes)]));
    const stack = TcpipStack.restore({ ledger }, plain);
    ledger.take();
    return { stack, ledger };
  }
}

function run(seed: number, failovers: boolean): { us: number; failovers: number } {
  let ledger = new Ledger();
  const backup = new Backup();
  const network = new Network(makeStack(A, seed), makeStack(B, seed + 1, { ledger }), seed, {
    loss: failovers ? 0.01 : 0.02,
    reorder: 0.02,
    delayUs: 2000,
  });
  const [client, first] = network.connect();
  let server: Tcp = first;
  const size = 300_000;
  const r = random(seed);
  const sides = { toServer: 0, fromServer: 0, serverGot: 0, clientGot: 0 };
  let count = 0;
  const started = network.nowUs;
  const done = network.run(() => {
    sides.toServer += client.send(pattern(sides.toServer, Math.min(5000, size - sides.toServer)));
    sides.fromServer += server.send(pattern(sides.fromServer, Math.min(5000, size - sides.fromServer)));
    for (const [tcp, got] of [
      [server, 'serverGot'],
      [client, 'clientGot'],
    ] as const) {
      const bytes = tcp.recv(1_000_000);
      if (Buffer.compare(bytes, pattern(sides[got], bytes.length)) !== 0) throw new Error(`seed ${seed}: wrong bytes`);
      sides[got] += bytes.length;
    }
    network.flush();
    expect(ledger.audit(backup.parts), `seed ${seed}: parts changed without touch`).toEqual([]);
    backup.apply(ledger);
    if (r() < 0.01) {
      count++;
      const restored = backup.restore();
      ledger = restored.ledger;
      network.stacks[1] = restored.stack;
      server = restored.stack.connection(server.id)!;
      if (failovers) {
        network.drop();
        network.stacks[0].resync(network.nowUs);
        network.stacks[1].resync(network.nowUs);
      }
    }
    return sides.serverGot === size && sides.clientGot === size;
  });
  expect(done, `seed ${seed}: ${JSON.stringify(sides)}`).toBe(true);
  return { us: network.nowUs - started, failovers: count };
}

test('a stack restored at any moment goes on', () => {
  for (let seed = 1; seed <= 15; seed++) run(seed, false);
});

test('what was in flight at a take-over is sent again at once', () => {
  for (let seed = 1; seed <= 15; seed++) run(seed, true);
});

test('a restored stack sends the very packets the original sends', () => {
  for (let seed = 50; seed < 60; seed++) {
    const ledger = new Ledger();
    const backup = new Backup();
    const network = new Network(makeStack(A, seed), makeStack(B, seed + 1, { ledger }), seed, {
      loss: 0.03,
      delayUs: 3000,
    });
    const [client, server] = network.connect();
    client.send(pattern(0, 100_000));
    server.send(pattern(0, 100_000));
    network.run(() => client.readable > 30_000);
    network.flush();
    backup.apply(ledger);
    const twin = backup.restore().stack;
    const original = network.stacks[1];
    const seen: string[] = [];
    const echo: string[] = [];
    // The twin is given the same packets at the same times.
    const processOriginal = original.process.bind(original);
    original.process = (packet, nowUs) => {
      processOriginal(packet, nowUs);
      twin.process(packet.slice(), nowUs);
    };
    const dispatchOriginal = original.dispatch.bind(original);
    original.dispatch = (nowUs) => {
      const packet = dispatchOriginal(nowUs);
      const other = twin.dispatch(nowUs);
      seen.push(packet === null ? '-' : Buffer.from(packet).toString('base64'));
      echo.push(other === null ? '-' : Buffer.from(other).toString('base64'));
      expect(twin.pollAt()).toBe(original.pollAt());
      return packet;
    };
    const twinServer = twin.connection(server.id)!;
    network.run(() => {
      server.recv(100_000);
      twinServer.recv(100_000);
      client.recv(100_000);
      return server.unacknowledged === 0 && client.unacknowledged === 0;
    });
    expect(echo, `seed ${seed}`).toEqual(seen);
  }
});

test('resync: no retransmission timer is waited for', () => {
  const ledger = new Ledger();
  const backup = new Backup();
  const network = new Network(makeStack(A, 1), makeStack(B, 2, { ledger }), 1, { delayUs: 500 });
  const [client, server] = network.connect();
  network.run(() => false, 100_000);
  backup.apply(ledger);
  client.send(pattern(0, 3000));
  network.flush();
  network.drop(); // They die with the primary.
  const restored = backup.restore().stack;
  network.stacks[1] = restored;
  network.nowUs += 5000;
  const at = network.nowUs;
  network.stacks[0].resync(at);
  restored.resync(at);
  const tcp = restored.connection(server.id)!;
  expect(network.run(() => tcp.readable === 3000, 10_000_000)).toBe(true);
  expect(network.nowUs - at).toBeLessThan(2000);
});

test('every scalar of a connection is saved under its name', () => {
  const network = new Network(makeStack(A, 1), makeStack(B, 2), 1, {});
  const [client] = network.connect();
  const connection = client as TcpConnection;
  const fields = connection as unknown as Record<string, unknown>;
  const plain = Object.keys(fields).filter((name) => ['number', 'boolean', 'string'].includes(typeof fields[name]));
  const derived = ['id', 'key', 'pipe', 'lostCount', 'sackedCount', 'hash', 'heapAt'];
  let value = 1000;
  for (const name of plain) {
    if (derived.includes(name) || /Address$|Port$/.test(name)) continue;
    if (typeof fields[name] === 'number') fields[name] = value++;
    else if (typeof fields[name] === 'boolean') fields[name] = !fields[name];
  }
  const restored = TcpConnection.restore(connection.host, connection.id, connection.save());
  const copy = restored as unknown as Record<string, unknown>;
  for (const name of plain) if (!derived.includes(name)) expect(copy[name], name).toBe(fields[name]);
});

test('resync: the time before it is not held against the peer', () => {
  const minutes = 60_000_000;
  const network = new Network(makeStack(A, 1), makeStack(B, 2), 1, { delayUs: 500 });
  const [gateway, guest] = network.stacks;
  const [stuck] = network.connect();
  const [watched] = network.connect(82);
  watched.setOption('userTimeoutUs', 30_000_000);
  stuck.setOption('sendBuffer', 4 << 20);
  // The guest reads nothing: its window shuts, and is probed now and then.
  stuck.send(pattern(0, 3 << 20));
  network.run(() => false, 5_000_000);
  expect(stuck.unacknowledged).toBeGreaterThan(1 << 20);
  watched.send(pattern(0, 10));
  const late = gateway.connect({ address: B, port: 81 }) as Tcp;
  gateway.dispatch(network.nowUs);
  // For twenty minutes nobody runs the guest.
  network.drop();
  network.nowUs += 20 * minutes;
  const listener = guest.listen(81, 4);
  if (typeof listener === 'number') throw new Error(`listen: ${listener}`);
  gateway.resync(network.nowUs);
  const sent: number[] = [];
  network.onPacket = (from) => {
    if (from === 0) sent.push(network.nowUs);
  };
  network.flush();
  // The SYN, the data, and the probe of the shut window.
  expect(sent.length).toBe(3);
  expect(network.run(() => late.state === 'established', 5000)).toBe(true);
  network.run(() => false, 1_000_000);
  expect([stuck.state, watched.state, watched.unacknowledged]).toEqual(['established', 'established', 0]);
});
