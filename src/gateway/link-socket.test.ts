/** Frames over real UNIX sockets: memory that is used again must never be seen. */

import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { pattern, random } from '../tcpip/test-link.ts';
import { encodeFrame, FRAME_PACKETS, FRAME_USER, joinPackets, splitPackets } from '../transport/frame.ts';
import { LinkSocket } from './link-socket.ts';
import { makeFolder } from './test-harness.ts';

let folder: ReturnType<typeof makeFolder>;
let path: string;
let server: Server;
const links: LinkSocket[] = [];
const packets: Uint8Array[] = [];
/** Bodies of other frames. */
const others: string[] = [];
let closed = 0;

const handlers = {
  frame: (type: number, body: Uint8Array): void => {
    if (type === FRAME_PACKETS) packets.push(...splitPackets(body).map((packet) => Uint8Array.from(packet)));
    else others.push(Buffer.from(body).toString());
  },
  close: () => {
    closed++;
  },
};

beforeEach(async () => {
  folder = makeFolder();
  path = join(folder.path, 'link');
  server = createServer({ pauseOnConnect: true }, (socket) => links.push(LinkSocket.accept(socket, handlers)));
  await once(server.listen({ path }), 'listening');
});

afterEach(() => {
  for (const link of links.splice(0)) link.destroy();
  packets.length = others.length = closed = 0;
  server.close();
  folder.remove();
});

async function accepted(): Promise<LinkSocket> {
  await vi.waitFor(() => expect(links.length).toBe(1));
  return links[0]!;
}

function expectPackets(sizes: readonly number[]): void {
  expect(packets.map(({ length }) => length)).toEqual(sizes);
  for (const [i, packet] of packets.entries()) expect(Buffer.compare(packet, pattern(i, packet.length))).toBe(0);
}

test('packets of all sizes, written in place or copied, to a reader that stalls now and then', async () => {
  const next = random(1);
  let drains = 0;
  const sender = LinkSocket.connect(path, { frame: () => {}, close: () => {}, drain: () => drains++ });
  await once(sender.socket, 'connect');
  const receiver = await accepted();
  receiver.trust();
  const sizes: number[] = [];
  let most = 0;
  for (let turn = 0; turn < 300; turn++) {
    if (turn % 60 === 20) receiver.socket.pause();
    if (turn % 60 === 50) receiver.socket.resume();
    const count = Math.floor(next() * 12);
    for (let i = 0; i < count; i++) {
      const size = Math.floor(next() ** 4 * 65536);
      const bytes = pattern(sizes.length, size);
      if (next() < 0.5) {
        const place = sender.reserve(size);
        place.set(bytes);
        sender.packet(place);
      } else {
        if (next() < 0.2) sender.reserve(100).fill(9); // For nothing.
        sender.packet(bytes);
        bytes.fill(9);
      }
      sizes.push(size);
      if (next() < 0.1) sender.flush();
    }
    sender.flush();
    most = Math.max(most, sender.queued);
    if (next() < 0.5) await new Promise(setImmediate);
  }
  receiver.socket.resume();
  await vi.waitFor(() => expect(packets.length).toBe(sizes.length), { timeout: 10_000 });
  expectPackets(sizes);
  expect(most).toBeGreaterThan(1 << 20);
  expect(drains).toBeGreaterThan(0);
  sender.end();
  await vi.waitFor(() => expect(closed).toBe(1));
});

/** Sends a stream in pieces that the other side reads apart. */
async function dribble(socket: Socket, stream: Uint8Array, size: () => number): Promise<void> {
  for (let at = 0; at < stream.length; ) {
    const piece = stream.subarray(at, at + size());
    socket.write(piece);
    at += piece.length;
    await new Promise(setImmediate);
  }
}

test('frames cut anywhere, several in one read, of other types between', async () => {
  const next = random(2);
  const sizes = Array.from({ length: 150 }, () => Math.floor(next() ** 3 * 65536));
  const frames: Uint8Array[] = [];
  for (let i = 0; i < sizes.length; i += 3) {
    const body = joinPackets([0, 1, 2].map((k) => pattern(i + k, sizes[i + k]!)));
    frames.push(...encodeFrame(FRAME_PACKETS, [body], crc32));
    frames.push(...encodeFrame(FRAME_USER, [Buffer.from(`after ${i}`)], crc32));
  }
  const raw = connect({ path });
  await once(raw, 'connect');
  (await accepted()).trust();
  await dribble(raw, Buffer.concat(frames), () =>
    next() < 0.3 ? 1 + Math.floor(next() * 30) : Math.floor(next() * 150_000),
  );
  await vi.waitFor(() => expect(packets.length).toBe(sizes.length), { timeout: 10_000 });
  expectPackets(sizes);
  expect(others.length).toBe(50);
  expect(others[7]).toBe('after 21');
  raw.destroy();
});

test('a stranger sends a hello and no more', async () => {
  const raw = connect({ path });
  await once(raw, 'connect');
  const link = await accepted();
  const longest = Buffer.alloc(4096 - 16, 'x');
  for (const piece of encodeFrame(FRAME_USER, [longest], crc32)) raw.write(piece);
  await vi.waitFor(() => expect(others.length).toBe(1));
  expect(link.closed).toBe(false);
  for (const piece of encodeFrame(FRAME_USER, [Buffer.alloc(4096 - 15)], crc32)) raw.write(piece);
  raw.on('error', () => {});
  await vi.waitFor(() => expect(closed).toBe(1));
  expect(others.length).toBe(1);
});

test('a fault of our own in a handler is not taken for bad input', async () => {
  const errors: unknown[] = [];
  const link = LinkSocket.connect(path, {
    frame: () => {
      throw new TypeError('ours');
    },
    close: () => {},
  });
  expect(() => {
    const [header, body] = encodeFrame(FRAME_USER, [Buffer.from('x')], crc32);
    const memory = link.buffer();
    memory.set(header!);
    memory.set(body!, header!.length);
    link.callback(header!.length + body!.length);
  }).toThrow(TypeError);
  expect(errors).toEqual([]);
  link.destroy();
});
