/**
 * Our stack against the Linux kernel's TCP, over a TUN device and a bad link: the bytes are right both ways, and we are at
 * least half as fast as two kernels are over the same link.
 */

import { afterEach, describe, expect, test } from 'vitest';
import type { Tcp } from '../src/tcpip/api.ts';
import type { TcpipStack } from '../src/tcpip/stack.ts';
import { type LinkOptions, makeStack } from '../src/tcpip/test-link.ts';
import { type End, Relay, Tun, tunMissing } from './tun.ts';

const reason = tunMissing();
if (reason !== null) console.log(`tcpip-kernel: skipped: ${reason}`);

const OURS = '10.77.0.1';
const KERNELS = '10.77.0.2';
const OUR_ADDRESS = 0x0a4d0001;
const KERNEL_ADDRESS = 0x0a4d0002;
const PORT = 7000;
const SEED = 42;

/** In the namespace: `role host send receive`: sends and checks the pattern; prints the milliseconds it took. */
const PEER = `
const net = require('node:net');
const [role, host, sendText, receiveText] = process.argv.slice(1);
const toSend = Number(sendText), toReceive = Number(receiveText);
const table = Buffer.alloc(1 << 20);
for (let i = 0; i < table.length; i++) table[i] = (Math.imul(i, 2654435761) >>> 24) ^ i;
function talk(socket) {
  const start = process.hrtime.bigint();
  let received = 0, sent = 0;
  socket.on('data', (chunk) => {
    for (let at = 0; at < chunk.length; ) {
      const from = (received + at) % table.length;
      const n = Math.min(chunk.length - at, table.length - from);
      if (chunk.compare(table, from, from + n, at, at + n) !== 0) { console.log('wrong bytes at ' + received); process.exit(1); }
      at += n;
    }
    received += chunk.length;
  });
  const more = () => {
    while (sent < toSend) {
      const from = sent % table.length;
      const n = Math.min(65536, toSend - sent, table.length - from);
      sent += n;
      if (!socket.write(table.subarray(from, from + n))) return;
    }
    socket.end();
  };
  socket.on('drain', more);
  socket.on('error', (error) => { console.log(String(error)); process.exit(1); });
  socket.on('close', () => {
    console.log(JSON.stringify({ received, ms: Number(process.hrtime.bigint() - start) / 1e6 }));
    process.exit(received === toReceive ? 0 : 1);
  });
  more();
}
if (role === 'listen') {
  const server = net.createServer({ allowHalfOpen: true, noDelay: true }, (socket) => { server.close(); talk(socket); });
  server.listen(7000, host);
} else {
  const attempt = (left) => {
    const socket = net.connect({ port: 7000, host, allowHalfOpen: true });
    socket.once('connect', () => { socket.removeAllListeners('error'); talk(socket); });
    socket.once('error', (error) => { if (left > 0) setTimeout(attempt, 100, left - 1); else { console.log(String(error)); process.exit(1); } });
  };
  attempt(50);
}
`;

const TABLE = new Uint8Array(1 << 20);
for (let i = 0; i < TABLE.length; i++) TABLE[i] = (Math.imul(i, 2654435761) >>> 24) ^ i;

/** Our stack as an end of a relay, in real time. */
class StackEnd implements End {
  readonly stack: TcpipStack;
  onTurn: (() => void) | null = null;

  constructor() {
    this.stack = makeStack(OUR_ADDRESS, SEED, { mtu: 1500 });
  }

  now(): number {
    return Math.floor(performance.now() * 1000);
  }

  read(): Uint8Array | null {
    this.onTurn?.();
    return this.stack.dispatch(this.now());
  }

  write(packet: Uint8Array): void {
    this.stack.process(packet, this.now());
  }
}

/** Sends and checks like PEER; resolves when both directions are done. */
function talk(end: StackEnd, tcp: Tcp, toSend: number, toReceive: number): Promise<number> {
  const start = performance.now();
  let sent = 0;
  let received = 0;
  return new Promise((resolve, reject) => {
    end.onTurn = () => {
      while (sent < toSend && tcp.writable > 0) {
        const from = sent % TABLE.length;
        const taken = tcp.send(TABLE.subarray(from, Math.min(from + 65536, from + toSend - sent, TABLE.length)));
        if (taken === 0) break;
        sent += taken;
      }
      if (sent === toSend) tcp.shutdown();
      for (let bytes = tcp.recv(65536); bytes.length > 0; bytes = tcp.recv(65536)) {
        for (let at = 0; at < bytes.length; ) {
          const from = (received + at) % TABLE.length;
          const n = Math.min(bytes.length - at, TABLE.length - from);
          if (Buffer.compare(bytes.subarray(at, at + n), TABLE.subarray(from, from + n)) !== 0) {
            reject(new Error(`wrong bytes at ${received + at}`));
            return;
          }
          at += n;
        }
        received += bytes.length;
      }
      const error = tcp.takeError();
      if (error !== 0) reject(new Error(`errno ${error}, received ${received}`));
      if (tcp.endOfStream && tcp.unacknowledged === 0) {
        end.onTurn = null;
        if (received !== toReceive) reject(new Error(`received ${received} of ${toReceive}`));
        else resolve(performance.now() - start);
      }
    };
  });
}

const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0).reverse()) cleanup();
});

let serial = 0;
function tun(address: string): Tun {
  const device = new Tun(address, `${process.pid}-${serial++}`);
  cleanups.push(() => device.close());
  return device;
}

/** Our stack and a kernel: ms for `ours` bytes from us and `theirs` from the kernel at once. */
async function withKernel(
  role: 'listen' | 'connect',
  ours: number,
  theirs: number,
  link: LinkOptions,
): Promise<number> {
  const device = tun(KERNELS);
  const end = new StackEnd();
  const relay = new Relay(end, device, SEED, link);
  cleanups.push(() => relay.stop());
  if (role === 'connect') {
    const listener = end.stack.listen(PORT, 4);
    if (typeof listener === 'number') throw new Error(`listen: ${listener}`);
    const peer = device.run(PEER, 'connect', OURS, String(theirs), String(ours));
    const tcp = await new Promise<Tcp>((resolve) => {
      end.onTurn = () => {
        const accepted = listener.accept();
        if (accepted !== null) resolve(accepted);
      };
    });
    const [ms] = await Promise.all([talk(end, tcp, ours, theirs), peer]);
    return ms;
  }
  const peer = device.run(PEER, 'listen', KERNELS, String(theirs), String(ours));
  let tcp: Tcp | null = null;
  for (let i = 0; i < 100 && tcp === null; i++) {
    // The listener needs its time to start: try again as long as it refuses.
    const attempt = end.stack.connect({ address: KERNEL_ADDRESS, port: PORT });
    if (typeof attempt === 'number') throw new Error(`connect: ${attempt}`);
    const established = await new Promise<boolean>((resolve) => {
      end.onTurn = () => {
        if (attempt.state === 'established') resolve(true);
        else if (attempt.state === 'closed') resolve(false);
      };
    });
    if (established) tcp = attempt;
    else {
      attempt.close();
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
  if (tcp === null) throw new Error('the kernel did not listen');
  const [ms] = await Promise.all([talk(end, tcp, ours, theirs), peer]);
  return ms;
}

/** Two kernels over the same link: ms for `bytes` one way. */
async function betweenKernels(bytes: number, link: LinkOptions): Promise<number> {
  const a = tun(OURS);
  const b = tun(KERNELS);
  const relay = new Relay(a, b, SEED, link);
  cleanups.push(() => relay.stop());
  const server = b.run(PEER, 'listen', KERNELS, '0', String(bytes));
  const client = await a.run(PEER, 'connect', KERNELS, String(bytes), '0');
  await server;
  return (JSON.parse(client) as { ms: number }).ms;
}

const MB = 1 << 20;

describe.skipIf(reason !== null)('against the kernel', () => {
  test('20 MB both ways, we listen', { timeout: 120_000 }, async () => {
    await withKernel('connect', 20 * MB, 20 * MB, { loss: 0.0005, delayUs: 500 });
  });

  test('20 MB both ways, the kernel listens; duplicates, corruption, reordering', { timeout: 120_000 }, async () => {
    const link = { loss: 0.0005, duplicate: 0.001, corrupt: 0.0005, reorder: 0.002, delayUs: 500 };
    await withKernel('listen', 20 * MB, 20 * MB, link);
  });

  test('at least half as fast as two kernels at 1 % loss and 5 ms, both with CUBIC', { timeout: 120_000 }, async () => {
    const link = { loss: 0.01, delayUs: 5000 };
    const bytes = 4 * MB;
    const reference = await betweenKernels(bytes, link);
    const sending = await withKernel('listen', bytes, 0, link);
    const receiving = await withKernel('connect', 0, bytes, link);
    const rate = (ms: number): string => `${((bytes * 8) / ms / 1000).toFixed(1)} Mb/s`;
    console.log(`kernel to kernel ${rate(reference)}, we send ${rate(sending)}, we receive ${rate(receiving)}`);
    expect(sending).toBeLessThan(2 * reference);
    expect(receiving).toBeLessThan(2 * reference);
  });
});
