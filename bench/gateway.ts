/**
 * The cost of the gateway: clients → gateway → a guest that is only its TCP/IP stack, beside the kernel's own loopback with
 * a server of the same kind in Node. Clients in this process, servers in another. `node bench/gateway.ts [--requests N]
 * [--mb N] [--only kernel|in-process|link] [--tests one,fifty,up,down,echo]`; the last line is JSON.
 *
 * `in-process`: gateway and guest in one process, as an unreplicated run has them. `link`: in two, over the UNIX socket,
 * as with replicas (three processes on this machine's cores). 64-byte requests and responses, by 1 and 50 connections: p50 / p99; one connection for bulk.
 */

import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { echo, FakeGuest, sink, source } from '../src/gateway/fake-guest.ts';
import { Gateway } from '../src/gateway/gateway.ts';
import type { FromGateway, GatewayProcessOptions } from '../src/gateway/ipc.ts';
import { GatewayLink } from '../src/gateway/protocol.ts';
import { publish } from '../src/gateway/publish.ts';

const { values } = parseArgs({
  options: {
    requests: { type: 'string', default: '20000' },
    mb: { type: 'string', default: '512' },
    only: { type: 'string' },
    tests: { type: 'string', default: 'one,fifty,up,down,echo' },
    serve: { type: 'string' },
    path: { type: 'string' },
  },
});
const REQUESTS = Number(values.requests);
const BULK = Number(values.mb) * 1e6;
const REQUEST = Buffer.alloc(64, 'x');
const CHUNK = Buffer.alloc(65536, 'y');
const ECHO = 7;
const SINK = 9;
const SOURCE = 19;
const HOST = '127.0.0.1';
const CLUSTER = '0123456789abcdef0123456789abcdef';

type Ports = Record<number, number>;

// ---- servers, each in a process of its own

const SERVERS = new Map([
  [ECHO, echo],
  [SINK, sink],
  [SOURCE, source],
]);

async function serve(kind: string): Promise<void> {
  process.once('disconnect', () => process.exit());
  if (kind === 'kernel') {
    const kernel: Record<number, (socket: Socket) => void> = {
      [ECHO]: (socket) => socket.pipe(socket),
      [SINK]: (socket) => socket.resume().on('end', () => socket.end()),
      [SOURCE]: (socket) => {
        const more = (): void => {
          while (socket.write(CHUNK));
        };
        socket.on('drain', more);
        more();
      },
    };
    const ports: Ports = {};
    for (const [port, serveOne] of Object.entries(kernel)) {
      const server = createServer({ noDelay: true, allowHalfOpen: true }, (socket) => {
        socket.on('error', () => {});
        serveOne(socket);
      });
      await once(server.listen(0, HOST), 'listening');
      ports[Number(port)] = (server.address() as AddressInfo).port;
    }
    process.send!(ports);
    return;
  }
  const guest = new FakeGuest({ servers: SERVERS });
  if (kind === 'guest') {
    const hello = { cluster: Buffer.from(CLUSTER, 'hex'), generation: 1, view: 1, member: 'bench.1' };
    const link = GatewayLink.connect(values.path!, hello);
    link.onPacket = (packet) => guest.receive(packet);
    link.onUp = () => process.send!('up');
    guest.onPacket = (packet) => link.send(packet);
    guest.onFlush = () => link.flush();
    return;
  }
  const gateway = new Gateway();
  gateway.onPacketToGuest = (packet) => guest.receive(packet);
  guest.onPacket = (packet) => gateway.packetFromGuest(packet);
  const { ports } = await publish(gateway, wanted());
  process.send!(Object.fromEntries(ports.map(({ port, guestPort }) => [guestPort, port])));
}

function wanted(): { host: string; port: number; guestPort: number }[] {
  return [...SERVERS.keys()].map((guestPort) => ({ host: HOST, port: 0, guestPort }));
}

// ---- clients

interface Started {
  readonly ports: Ports;
  /** The server's processes: the gateway's first. */
  readonly pids: readonly number[];
  stop(): void;
}

async function start(kind: string): Promise<Started> {
  const children: ChildProcess[] = [];
  const stop = (): void => {
    for (const child of children) child.disconnect();
  };
  if (kind !== 'link') {
    const child = fork(import.meta.filename, ['--serve', kind]);
    children.push(child);
    const [ports] = (await once(child, 'message')) as [Ports];
    return { ports, pids: [child.pid!], stop };
  }
  const folder = mkdtempSync(join(tmpdir(), 'tardigrade-bench-'));
  const path = join(folder, 'gateway');
  const options: GatewayProcessOptions = { cluster: CLUSTER, generation: 1, path, publish: wanted() };
  const child = fork(join(import.meta.dirname, '../src/gateway/main.ts'), [JSON.stringify(options)]);
  children.push(child);
  const [told] = (await once(child, 'message')) as [FromGateway];
  if (told.kind !== 'listening') throw new Error(JSON.stringify(told));
  const guest = fork(import.meta.filename, ['--serve', 'guest', '--path', path]);
  children.push(guest);
  await once(guest, 'message');
  return {
    ports: Object.fromEntries(told.publish.map(({ port, guestPort }) => [guestPort, port])),
    pids: [child.pid!, guest.pid!],
    stop: () => {
      stop();
      rmSync(folder, { recursive: true });
    },
  };
}

async function dial(port: number): Promise<Socket> {
  const socket = connect({ host: HOST, port, noDelay: true });
  await once(socket, 'connect');
  return socket;
}

/** CPU time of a process's threads, µs (Linux; elsewhere 0). */
function cpuUs(pid: number): number {
  try {
    const threads = readdirSync(`/proc/${pid}/task`);
    return (
      threads.reduce(
        (sum, id) => sum + Number.parseInt(readFileSync(`/proc/${pid}/task/${id}/schedstat`, 'latin1'), 10),
        0,
      ) / 1000
    );
  } catch {
    return 0;
  }
}

interface Latency {
  readonly p50Us: number;
  readonly p99Us: number;
  readonly perSecond: number;
  readonly count: number;
}

async function requests(port: number, connections: number, total: number): Promise<Latency> {
  const sockets = await Promise.all(Array.from({ length: connections }, () => dial(port)));
  const times: number[] = [];
  let left = total;
  const started = performance.now();
  await Promise.all(
    sockets.map((socket) => {
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      let sent = 0;
      let got = 0;
      const next = (): void => {
        if (left-- <= 0) {
          resolve();
          return;
        }
        sent = performance.now();
        socket.write(REQUEST);
      };
      socket.on('error', reject);
      socket.on('data', (chunk) => {
        got += chunk.length;
        if (got < REQUEST.length) return;
        got = 0;
        times.push(performance.now() - sent);
        next();
      });
      next();
      return promise;
    }),
  );
  const seconds = (performance.now() - started) / 1000;
  for (const socket of sockets) socket.end();
  times.sort((a, b) => a - b);
  const at = (share: number): number => Math.round(times[Math.floor(times.length * share)]! * 1000);
  return { p50Us: at(0.5), p99Us: at(0.99), perSecond: Math.round(times.length / seconds), count: times.length };
}

/** MB/s. */
async function bulk(port: number, kind: 'up' | 'down' | 'echo'): Promise<number> {
  const socket = await dial(port);
  const started = performance.now();
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  let sent = 0;
  let got = 0;
  const more = (): void => {
    while (sent < BULK) {
      sent += CHUNK.length;
      if (!socket.write(CHUNK)) return;
    }
    socket.end();
  };
  socket.on('error', reject);
  socket.on('data', (chunk) => {
    got += chunk.length;
    if (kind === 'down' && got >= BULK) resolve();
  });
  socket.on('end', resolve);
  if (kind !== 'down') {
    socket.on('drain', more);
    more();
  }
  await promise;
  const rate = BULK / 1e3 / (performance.now() - started);
  socket.on('error', () => {}).destroy();
  return Math.round(rate);
}

async function measure(kind: string): Promise<Record<string, unknown>> {
  const { ports, pids, stop } = await start(kind);
  try {
    const result: Record<string, unknown> = {};
    const shown: string[] = [];
    await requests(ports[ECHO]!, 20, REQUESTS / 2);
    for (const test of values.tests.split(',')) {
      const before = pids.map(cpuUs);
      const cpu = (count: number): string =>
        pids.map((pid, i) => ((cpuUs(pid) - before[i]!) / count).toFixed(1)).join(' + ');
      if (test === 'one' || test === 'fifty') {
        const connections = test === 'one' ? 1 : 50;
        const l = await requests(ports[ECHO]!, connections, test === 'one' ? REQUESTS : REQUESTS * 2);
        result[test] = l;
        shown.push(`${connections}: ${l.p50Us} / ${l.p99Us} µs, ${l.perSecond}/s (cpu ${cpu(l.count)} µs)`);
      } else {
        const port = ports[test === 'up' ? SINK : test === 'down' ? SOURCE : ECHO]!;
        const rate = await bulk(port, test as 'up' | 'down' | 'echo');
        result[test] = rate;
        shown.push(`${test} ${rate} MB/s (cpu ${cpu(BULK / 1e6)} µs/MB)`);
      }
    }
    console.log(`${kind.padEnd(11)} ${shown.join('; ')}`);
    return result;
  } finally {
    stop();
  }
}

if (values.serve !== undefined) await serve(values.serve);
else {
  const results: Record<string, unknown> = {};
  for (const kind of ['kernel', 'in-process', 'link']) {
    if (values.only === undefined || values.only === kind) results[kind] = await measure(kind);
  }
  console.log(JSON.stringify(results));
}
