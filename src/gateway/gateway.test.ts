/** Clients of the kernel, through the gateway, to a guest: bytes, ends, resets, pressure, both ways. */

import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { afterEach, expect, test, vi } from 'vitest';
import { GUEST_ADDRESS, GUEST_MTU } from '../linux/net.ts';
import type { Tcp, TcpListener } from '../tcpip/api.ts';
import { TcpipStack } from '../tcpip/stack.ts';
import { pattern, random } from '../tcpip/test-link.ts';
import { echo, FakeGuest, type Server } from './fake-guest.ts';
import { Gateway } from './gateway.ts';
import { publish } from './publish.ts';
import { Harness, HOST, PatternReader, writePattern } from './test-harness.ts';

const ECHO = 7;
const OTHER = 9;
let harness: Harness | null = null;

afterEach(() => {
  harness?.close();
  harness = null;
});

/** A gateway whose guest has an echo server and `server`. */
async function start(server: Server = echo, maxConnections?: number): Promise<void> {
  const servers = new Map([
    [ECHO, echo],
    [OTHER, server],
  ]);
  harness = await Harness.start(servers, maxConnections === undefined ? {} : { maxConnections });
  harness!.replica(1);
}

/** What the guest has of the one client. */
async function accepted(): Promise<Tcp> {
  const { connections } = harness!.replicas[0]!.guest;
  await vi.waitFor(() => expect(connections.size).toBe(1));
  return [...connections.values()][0]!;
}

/** Calls on a connection take effect at the guest's next turn. */
function act(change: () => void): void {
  change();
  harness!.replicas[0]!.guest.schedule();
}

test('20 MB both ways at once, in chunks of every size, arrive as they were sent', async () => {
  await start();
  const size = 20_000_000;
  const next = random(1);
  const client = harness!.client(ECHO);
  const reader = new PatternReader(client);
  await writePattern(client, 0, size, () => 1 + Math.floor(next() ** 4 * 300_000));
  client.end();
  await reader.until(size);
  await once(client, 'close');
  expect(reader).toMatchObject({ received: size, wrong: -1, ended: true, error: null });
  const { bytesIn, bytesOut } = harness!.gateway.snapshot();
  expect({ bytesIn, bytesOut }).toEqual({ bytesIn: size, bytesOut: size });
  await vi.waitFor(() => expect(harness!.gateway.connections).toBe(0));
});

test('the client ends first and still gets all', async () => {
  const chunks: Uint8Array[] = [];
  await start((tcp) => {
    if (tcp.readable > 0) chunks.push(tcp.recv(1 << 20));
    if (!tcp.endOfStream || tcp.state !== 'close-wait') return;
    tcp.send(pattern(0, 100_000));
    tcp.close();
  });
  const client = harness!.client(OTHER);
  const reader = new PatternReader(client);
  client.end('a question');
  await once(client, 'close');
  expect(Buffer.concat(chunks).toString()).toBe('a question');
  expect(reader).toMatchObject({ received: 100_000, wrong: -1, ended: true, error: null });
});

test('the guest ends first and still gets all', async () => {
  let got = 0;
  await start((tcp) => {
    if (tcp.state === 'established') {
      tcp.send(pattern(0, 1000));
      tcp.shutdown();
    }
    got += tcp.recv(1 << 20).length;
    if (tcp.endOfStream) tcp.close();
  });
  const client = harness!.client(OTHER, { allowHalfOpen: true });
  const reader = new PatternReader(client);
  await once(client, 'end');
  expect(reader.received).toBe(1000);
  await writePattern(client, 0, 300_000, () => 50_000);
  expect(client.destroyed).toBe(false);
  client.end();
  await once(client, 'close');
  expect(reader.error).toBe(null);
  await vi.waitFor(() => expect(got).toBe(300_000));
  await vi.waitFor(() => expect(harness!.gateway.connections).toBe(0));
});

test('a reset by the client reaches the guest', async () => {
  await start();
  const client = harness!.client(ECHO);
  await once(client, 'connect');
  const tcp = await accepted();
  client.resetAndDestroy();
  await vi.waitFor(() => expect(tcp.state).toBe('closed'));
  expect(tcp.takeError()).toBe(104 /* ECONNRESET */);
  await vi.waitFor(() => expect(harness!.gateway.connections).toBe(0));
});

test('a reset by the guest reaches the client, after what the guest sent before it', async () => {
  await start(() => {});
  const client = harness!.client(OTHER);
  const reader = new PatternReader(client);
  const tcp = await accepted();
  tcp.send(pattern(0, 20_000));
  harness!.replicas[0]!.guest.runNow();
  act(() => tcp.abort());
  await vi.waitFor(() => expect(reader.closed).toBe(true));
  expect(reader.error).toMatchObject({ code: 'ECONNRESET' });
  expect(reader).toMatchObject({ received: 20_000, wrong: -1 });
  await vi.waitFor(() => expect(harness!.gateway.connections).toBe(0));
});

test('a guest that does not listen resets the client', async () => {
  harness = await Harness.start(new Map([[ECHO, echo]]));
  harness!.replica(1, { servers: new Map() });
  const client = harness!.client(ECHO);
  const [error] = await once(client, 'error');
  expect(error).toMatchObject({ code: 'ECONNRESET' });
  await vi.waitFor(() => expect(harness!.gateway.connections).toBe(0));
});

/** Resolves when `value` has not changed for a while: nothing moves any more. */
async function settled(value: () => number): Promise<void> {
  let last = -1;
  let same = 0;
  await vi.waitFor(
    () => {
      const now = value();
      same = now === last ? same + 1 : 0;
      last = now;
      expect(same).toBeGreaterThanOrEqual(5);
    },
    { timeout: 20_000, interval: 40 },
  );
}

test('a guest that does not read stops the client; memory stays bounded', async () => {
  let reads = false;
  let got = 0;
  await start((tcp) => {
    if (!reads) return;
    for (let bytes = tcp.recv(1 << 16); bytes.length > 0; bytes = tcp.recv(1 << 16)) {
      expect(Buffer.compare(bytes, pattern(got, bytes.length))).toBe(0);
      got += bytes.length;
    }
    if (tcp.endOfStream) tcp.close();
  });
  const size = 32_000_000;
  const client = harness!.client(OTHER);
  const written = writePattern(client, 0, size, () => 65536).then(() => client.end());
  await settled(() => harness!.gateway.stats.bytesIn);
  // The guest's window, the gateway's send buffer, the remainder.
  expect(harness!.gateway.stats.bytesIn).toBeLessThanOrEqual(2 * 1024 * 1024 + 128 * 1024);
  expect(client.writableLength).toBeGreaterThan(0);
  reads = true;
  const tcp = await accepted();
  act(() => {
    got = tcp.recv(100).length;
    harness!.servers.get(OTHER)!(tcp, harness!.replicas[0]!.guest);
  });
  await written;
  await vi.waitFor(() => expect(got).toBe(size), { timeout: 20_000 });
});

test('a client that does not read stops the guest; memory stays bounded', async () => {
  let sent = 0;
  const size = 64_000_000;
  await start((tcp) => {
    while (tcp.writable > 0 && sent < size) sent += tcp.send(pattern(sent, Math.min(65536, size - sent)));
    if (sent === size) tcp.shutdown();
  });
  const client = harness!.client(OTHER);
  await once(client, 'connect');
  client.pause();
  await settled(() => sent);
  const { bytesOut } = harness!.gateway.stats;
  // The guest's send buffer, the gateway's receive buffer; the rest is the kernel's.
  expect(sent - bytesOut).toBeLessThanOrEqual(2 * 1024 * 1024 + 65536);
  expect(sent).toBeLessThan(size / 2);
  const reader = new PatternReader(client);
  client.resume();
  await reader.until(size);
  await vi.waitFor(() => expect(reader.closed).toBe(true));
  expect(reader).toMatchObject({ received: size, wrong: -1, ended: true });
});

test('500 clients at once', async () => {
  await start();
  const size = 3000;
  const clients = Array.from({ length: 500 }, () => harness!.client(ECHO));
  const readers = clients.map((client) => new PatternReader(client));
  for (const client of clients) client.write(pattern(0, size));
  await Promise.all(readers.map((reader) => reader.until(size)));
  expect(harness!.gateway.connections).toBe(500);
  const ports = [...harness!.replicas[0]!.guest.connections.values()].map((tcp) => tcp.remote!.port);
  expect(new Set(ports).size).toBe(500);
  for (const client of clients) client.end();
  await Promise.all(clients.map((client) => (client.closed ? null : once(client, 'close'))));
  expect(readers.filter((reader) => !reader.ended || reader.error !== null)).toEqual([]);
  await vi.waitFor(() => expect(harness!.gateway.connections).toBe(0));
});

test('too many clients: the last is reset, the others are not', async () => {
  await start(echo, 3);
  const clients: Socket[] = [];
  for (let i = 0; i < 3; i++) {
    const client = harness!.client(ECHO);
    clients.push(client);
    client.write('x');
    await once(client, 'data');
  }
  const [error] = await once(harness!.client(ECHO), 'error');
  expect(error).toMatchObject({ code: 'ECONNRESET' });
  expect(harness!.gateway.snapshot()).toMatchObject({ connections: 3, refused: 1 });
  for (const client of clients) {
    client.write('y');
    expect(String(await once(client, 'data'))).toBe('y');
  }
});

test('the stack has its timers: an acknowledgement that nothing carries comes by itself', async () => {
  const gateway = new Gateway();
  const guest = new TcpipStack({ address: GUEST_ADDRESS, mtu: GUEST_MTU, entropy: (length) => new Uint8Array(length) });
  const listener = guest.listen(ECHO, 8) as TcpListener;
  // For the guest no time passes: it does not ask again.
  const flush = (): void => {
    for (let packet = guest.dispatch(1); packet !== null; packet = guest.dispatch(1)) gateway.packetFromGuest(packet);
  };
  gateway.onPacketToGuest = (packet) => {
    guest.process(packet, 1);
    flush();
  };
  const published = await publish(gateway, [{ host: HOST, port: 0, guestPort: ECHO }]);
  const client = connect({ host: HOST, port: published.ports[0]!.port });
  let tcp: Tcp | null = null;
  await vi.waitFor(() => expect((tcp ??= listener.accept())).not.toBe(null));
  tcp!.send(Buffer.from('no answer to this'));
  flush();
  await vi.waitFor(() => expect(tcp!.unacknowledged).toBe(0));
  client.destroy();
  published.close();
  gateway.close();
});

test('in-process, without a link', async () => {
  const guest = new FakeGuest({ servers: new Map([[ECHO, echo]]) });
  const gateway = new Gateway();
  gateway.onPacketToGuest = (packet) => guest.receive(packet);
  guest.onPacket = (packet) => gateway.packetFromGuest(packet);
  const published = await publish(gateway, [{ host: HOST, port: 0, guestPort: ECHO }]);
  const client = connect({ host: HOST, port: published.ports[0]!.port });
  const reader = new PatternReader(client);
  await writePattern(client, 0, 3_000_000, () => 100_000);
  await reader.until(3_000_000);
  client.end();
  await once(client, 'close');
  expect(reader).toMatchObject({ wrong: -1, ended: true, error: null });
  published.close();
  guest.die();
  gateway.close();
});
