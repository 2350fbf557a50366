/** Primaries come and go: take-over, old views, no primary, bad hellos. */

import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { crc32 } from 'node:zlib';
import { afterEach, expect, test, vi } from 'vitest';
import { pattern, random } from '../tcpip/test-link.ts';
import {
  encodeFrame,
  FRAME_CONTROL,
  FRAME_HEADER,
  FRAME_HELLO,
  FRAME_PACKETS,
  type Frame,
  joinPackets,
  readHeader,
} from '../transport/frame.ts';
import { echo } from './fake-guest.ts';
import { Gateway } from './gateway.ts';
import { decodeAnswer, encodeHello, type GatewayProtocolError } from './protocol.ts';
import { ReplicaPort } from './replica-port.ts';
import { CLUSTER, Harness, helloOf, PatternReader, type Replica, writePattern } from './test-harness.ts';

const ECHO = 7;
let harness: Harness;

afterEach(() => harness.close());

async function start(): Promise<void> {
  harness = await Harness.start(new Map([[ECHO, echo]]));
}

/** The machine of `old` is gone; one that has its committed state goes on. */
function takeOver(old: Replica, view: number, commitMs: number): Replica {
  old.guest.die();
  old.link.close();
  const replica = harness.replica(view, { parts: old.guest.saved, save: true, commitMs });
  replica.guest.promote();
  return replica;
}

test('take-over after take-over in the middle of a transfer: no byte lost or doubled, no reset', async () => {
  await start();
  const next = random(3);
  let replica = harness.replica(1, { save: true, commitMs: 1 });
  const size = 12_000_000;
  const clients = [0, 1, 2].map(() => harness.client(ECHO));
  const readers = clients.map((client) => new PatternReader(client));
  const written = clients.map(async (client) => {
    await writePattern(client, 0, size, () => 1 + Math.floor(next() ** 3 * 200_000));
    client.end();
  });
  for (let view = 2; view <= 8; view++) {
    const goal = Math.floor(((view - 1) * size) / 8);
    await vi.waitFor(() => expect(readers[0]!.received).toBeGreaterThan(goal), { timeout: 20_000, interval: 1 });
    replica = takeOver(replica, view, 1);
  }
  await Promise.all([...written, ...readers.map((reader) => reader.until(size))]);
  for (const reader of readers) await vi.waitFor(() => expect(reader.closed).toBe(true));
  for (const reader of readers) expect(reader).toMatchObject({ wrong: -1, ended: true, error: null });
  expect(harness.port.view).toBe(8);
}, 60_000);

test('what a primary took and did not acknowledge goes to the next one at once', async () => {
  await start();
  const first = harness.replica(1, { save: true, commitMs: 0 });
  const client = harness.client(ECHO);
  client.write('before');
  await once(client, 'data');
  await vi.waitFor(() => expect([...first.guest.connections.values()][0]!.unacknowledged).toBe(0));
  first.guest.commit();
  // From here on the machine takes everything and nothing leaves it.
  first.guest.onPacket = () => {};
  const held = Promise.withResolvers<void>();
  first.link.onPacket = (packet) => {
    first.guest.receive(packet);
    held.resolve();
  };
  const sent = performance.now();
  client.write('under way');
  await held.promise;
  takeOver(first, 2, 0);
  expect(String(await once(client, 'data'))).toBe('under way');
  // A retransmission timer takes at least 200 ms.
  expect(performance.now() - sent).toBeLessThan(200);
  expect(client.destroyed).toBe(false);
});

test('late packets of an older view are dropped and its connection ends', async () => {
  await start();
  const first = harness.replica(1, { save: true });
  const refused = Promise.withResolvers<GatewayProtocolError>();
  first.link.onRefused = refused.resolve;
  const client = harness.client(ECHO);
  client.write('one');
  expect(String(await once(client, 'data'))).toBe('one');
  const up = Promise.withResolvers<void>();
  const second = harness.replica(2, { parts: first.guest.saved });
  second.link.onUp = up.resolve;
  second.guest.promote();
  // What would reset every client if it were believed, sent before the first primary can know.
  harness.port.onServed = () => {
    for (const tcp of first.guest.connections.values()) tcp.abort();
    first.guest.schedule();
  };
  await up.promise;
  expect(await refused.promise).toMatchObject({ code: 'TG_GATEWAY_SUPERSEDED' });
  client.write('two');
  expect(String(await once(client, 'data'))).toBe('two');
  expect(client.destroyed).toBe(false);
});

test('while there is no primary clients wait; those that give up are forgotten', async () => {
  await start();
  const [patient, gone] = [harness.client(ECHO), harness.client(ECHO)];
  const [ending, silent] = [1, 2].map(() => harness.client(ECHO, { allowHalfOpen: true }));
  const reader = new PatternReader(patient);
  await Promise.all([patient, gone, ending!, silent!].map((client) => once(client, 'connect')));
  patient.write(pattern(0, 500_000));
  ending!.end('last words');
  silent!.resume().end();
  await vi.waitFor(() => expect(harness.gateway.connections).toBe(4));
  gone.resetAndDestroy();
  await vi.waitFor(() => expect(harness.gateway.connections).toBe(3));
  harness.replica(1);
  const [[words]] = await Promise.all([once(ending!, 'data'), once(silent!, 'end'), reader.until(500_000)]);
  expect(String(words)).toBe('last words');
  expect(reader.wrong).toBe(-1);
});

test('between two primaries nothing is sent and nothing is lost', async () => {
  await start();
  const first = harness.replica(1, { save: true });
  const client = harness.client(ECHO);
  client.write('a');
  await once(client, 'data');
  await vi.waitFor(() => expect([...first.guest.connections.values()][0]!.unacknowledged).toBe(0));
  const gone = Promise.withResolvers<void>();
  harness.port.onServed = (served) => served === null && gone.resolve();
  first.guest.die();
  first.link.close();
  await gone.promise;
  const before = harness.gateway.snapshot();
  client.write('b');
  await vi.waitFor(() => expect(harness.gateway.stats.bytesIn).toBe(before.bytesIn + 1));
  await new Promise(setImmediate);
  expect(harness.gateway.stats.packetsIn).toBe(before.packetsIn);
  takeOver(first, 2, 0);
  expect(String(await once(client, 'data'))).toBe('b');
});

test('packets are the primary’s to keep', async () => {
  await start();
  const { guest, link } = harness.replica(1);
  const kept: [Uint8Array, string][] = [];
  link.onPacket = (packet) => {
    kept.push([packet, Buffer.from(packet).toString('latin1')]);
    guest.receive(packet);
  };
  const client = harness.client(ECHO);
  const reader = new PatternReader(client);
  await writePattern(client, 0, 3_000_000, () => 20_000);
  await reader.until(3_000_000);
  expect(kept.filter(([packet, then]) => Buffer.from(packet).toString('latin1') !== then)).toEqual([]);
});

test('a primary whose connection breaks connects again and goes on', async () => {
  await start();
  const replica = harness.replica(1);
  const client = harness.client(ECHO);
  const reader = new PatternReader(client);
  const written = writePattern(client, 0, 4_000_000, () => 30_000);
  let downs = 0;
  replica.link.onDown = () => downs++;
  for (let i = 1; i <= 3; i++) {
    await vi.waitFor(() => expect(reader.received).toBeGreaterThan(i * 1_000_000 - 500_000), { interval: 1 });
    harness.port.disconnect();
    await vi.waitFor(() => expect(downs).toBe(i));
    await vi.waitFor(() => expect(replica.link.up).toBe(true));
  }
  await Promise.all([written, reader.until(4_000_000)]);
  expect(reader).toMatchObject({ wrong: -1, error: null });
}, 30_000);

// ---- malformed input, spoken by hand

interface Peer {
  readonly socket: Socket;
  readonly frames: Frame[];
  readonly closed: Promise<unknown>;
  send(type: number, ...body: Uint8Array[]): void;
}

function peer(): Peer {
  const socket = connect({ path: harness.path });
  const frames: Frame[] = [];
  let stream = Buffer.alloc(0);
  socket.on('data', (chunk) => {
    stream = Buffer.concat([stream, chunk]);
    while (stream.length >= FRAME_HEADER) {
      const { type, length } = readHeader(stream, 1 << 20, crc32);
      const end = FRAME_HEADER + length;
      if (stream.length < end) break;
      frames.push({ type, body: stream.subarray(FRAME_HEADER, end) });
      stream = stream.subarray(end);
    }
  });
  socket.on('error', () => {});
  const send = (type: number, ...body: Uint8Array[]): void => {
    for (const piece of encodeFrame(type, body, crc32)) socket.write(piece);
  };
  // Not `once`, which an error rejects.
  const closed = new Promise((resolve) => socket.on('close', resolve));
  return { socket, frames, closed, send };
}

function changed(at: number, ...bytes: number[]): Uint8Array {
  const hello = encodeHello(helloOf(9));
  hello.set(bytes, at);
  return hello;
}

const NAN = [0, 0, 0, 0, 0, 0, 0xf8, 0x7f];
const BAD_HELLOS: [string, () => Uint8Array, string][] = [
  ['empty', () => new Uint8Array(0), 'malformed'],
  ['cut off', () => changed(0, 1).subarray(0, 31), 'malformed'],
  ['one byte short', () => changed(0, 1).subarray(0, -1), 'malformed'],
  ['one byte long', () => Buffer.concat([changed(0, 1), Buffer.of(65)]), 'malformed'],
  ['of another version', () => changed(0, 99), 'version'],
  ['a reserved field used', () => changed(2, 1), 'malformed'],
  ['the view not a number', () => changed(24, ...NAN), 'malformed'],
  ['the view negative', () => changed(24, 0, 0, 0, 0, 0, 0, 0xf0, 0xbf), 'malformed'],
  ['the member not a name', () => changed(32, 0x2f), 'malformed'],
  ['of another cluster', () => changed(5, 77), 'cluster'],
  ['of an older generation', () => encodeHello(helloOf(9, { generation: 0 })), 'superseded'],
  ['of an older view', () => encodeHello(helloOf(1)), 'superseded'],
  ['of the same view, another member', () => encodeHello(helloOf(2, { member: 'r9.bbbb' })), 'superseded'],
];

test('malformed, alien and old hellos are refused with a reason; who is served stays served', async () => {
  await start();
  const replica = harness.replica(2);
  const client = harness.client(ECHO);
  client.write('a');
  await once(client, 'data');
  for (const [what, bytes, verdict] of BAD_HELLOS) {
    const { socket, frames, closed, send } = peer();
    send(FRAME_HELLO, bytes());
    // Whatever it adds is not read as a served primary's.
    send(FRAME_PACKETS, joinPackets([new Uint8Array(40)]));
    await closed;
    expect(socket.destroyed).toBe(true);
    expect(frames.length, what).toBe(1);
    expect(decodeAnswer(frames[0]!.body), what).toEqual({ verdict, generation: 1, view: 2 });
  }
  expect(replica.link.up).toBe(true);
  client.write('b');
  expect(String(await once(client, 'data'))).toBe('b');
});

test('malformed frames end the connection; clients stay', async () => {
  await start();
  const client = harness.client(ECHO);
  await once(client, 'connect');
  const hello = encodeHello(helloOf(1));
  const flipped = Buffer.concat(encodeFrame(FRAME_HELLO, [hello], crc32));
  flipped[20]! ^= 1;
  const packets = (p: Peer) => p.send(FRAME_PACKETS, joinPackets([new Uint8Array(40)]));
  const cases: [string, (peer: Peer) => void, afterHello: boolean][] = [
    ['packets before a hello', packets, false],
    ['a frame of another type', (p) => p.send(FRAME_CONTROL, Buffer.from('{}')), false],
    ['no frames', (p) => p.socket.write('GET / HTTP/1.1\r\n\r\n'), false],
    ['a damaged frame', (p) => p.socket.write(flipped), false],
    ['nothing', () => {}, false],
    ['two hellos', (p) => p.send(FRAME_HELLO, hello), true],
    ['a list of packets cut off', (p) => p.send(FRAME_PACKETS, Buffer.of(9, 0, 0, 0, 1)), true],
    ['a frame that is too long', (p) => p.send(FRAME_PACKETS, new Uint8Array(1 << 21)), true],
  ];
  for (const [what, act, afterHello] of cases) {
    const one = peer();
    const answers = (): number => one.frames.filter(({ type }) => type === FRAME_HELLO).length;
    await once(one.socket, 'connect');
    if (afterHello) {
      one.send(FRAME_HELLO, hello);
      await vi.waitFor(() => expect(answers()).toBe(1), { interval: 1 });
    }
    act(one);
    await one.closed;
    expect(answers(), what).toBe(afterHello ? 1 : 0);
  }
  // Packets that are no packets are the stack's to drop.
  const noisy = peer();
  noisy.send(FRAME_HELLO, hello);
  noisy.send(FRAME_PACKETS, joinPackets([new Uint8Array(0), Buffer.from('junk'), new Uint8Array(65535).fill(0x45)]));
  await vi.waitFor(() => expect(harness.gateway.stats.packetsOut).toBe(3));
  expect(noisy.socket.destroyed).toBe(false);
  noisy.socket.destroy();
  harness.replica(2);
  client.write('still here');
  expect(String(await once(client, 'data'))).toBe('still here');
});

test('a primary that does not read: packets wait in the stack, not in memory without end', async () => {
  await start();
  const deaf = peer();
  deaf.socket.pause();
  deaf.send(FRAME_HELLO, encodeHello(helloOf(1)));
  await vi.waitFor(() => expect(harness.port.view).toBe(1));
  const clients = Array.from({ length: 100 }, () => harness.client(ECHO));
  for (const client of clients) client.write(pattern(0, 100_000));
  await vi.waitFor(() => expect(harness.gateway.stats.packetsIn).toBe(100));
  deaf.socket.destroy();
  harness.replica(2);
  const readers = clients.map((client) => new PatternReader(client));
  await Promise.all(readers.map((reader) => reader.until(100_000)));
  expect(readers.every((reader) => reader.wrong < 0)).toBe(true);
});

test('two gateways cannot have one path', async () => {
  await start();
  const second = new ReplicaPort(new Gateway(), { path: harness.path, cluster: CLUSTER, generation: 1 });
  await expect(second.listen()).rejects.toMatchObject({ code: 'EADDRINUSE' });
  harness.replica(1);
  const client = harness.client(ECHO);
  client.write('a');
  expect(String(await once(client, 'data'))).toBe('a');
});
