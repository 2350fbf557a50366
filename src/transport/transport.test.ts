import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';
import { crc32 } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Connection } from './connection.ts';
import {
  encodeFrame,
  FRAME_MESSAGE,
  FRAME_USER,
  type Frame,
  FrameError,
  FrameReader,
  joinPackets,
  splitPackets,
} from './frame.ts';

const bytes = fc.uint8Array({ maxLength: 200 });

describe('frames', () => {
  test('come out as they went in, however the stream is cut', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat({ max: 255 }), bytes, bytes), { maxLength: 8 }),
        fc.array(fc.integer({ min: 1, max: 90 }), { minLength: 1 }),
        (frames, cuts) => {
          const stream = Buffer.concat(frames.flatMap(([type, a, b]) => encodeFrame(type, [a, b], crc32)));
          const reader = new FrameReader(crc32);
          const out: Frame[] = [];
          for (let at = 0, i = 0; at < stream.length; i++) {
            const length = cuts[i % cuts.length]!;
            out.push(...reader.push(stream.subarray(at, at + length)));
            at += length;
          }
          expect(reader.pending).toBe(0);
          expect(out.map(({ type, body }) => [type, [...body]])).toEqual(
            frames.map(([type, a, b]) => [type, [...a, ...b]]),
          );
        },
      ),
    );
  });

  test('a changed bit is noticed', () => {
    const good = Buffer.concat(encodeFrame(FRAME_MESSAGE, [new Uint8Array(50).fill(3)], crc32));
    for (let bit = 0; bit < good.length * 8; bit++) {
      const bad = Buffer.from(good);
      bad[bit >> 3]! ^= 1 << (bit & 7);
      expect(() => new FrameReader(crc32).push(bad), `bit ${bit}`).toThrow(FrameError);
    }
  });

  test('too long a frame is refused by its header', () => {
    const [header] = encodeFrame(FRAME_MESSAGE, [new Uint8Array(2000)], crc32);
    expect(() => new FrameReader(crc32, 1999).push(header!)).toThrow(/too long/);
    expect(new FrameReader(crc32, 2000).push(header!)).toEqual([]);
  });

  test('packets in a frame', () => {
    fc.assert(
      fc.property(fc.array(bytes), (packets) => {
        expect(splitPackets(joinPackets(packets)).map((p) => [...p])).toEqual(packets.map((p) => [...p]));
      }),
    );
    fc.assert(
      fc.property(bytes, (body) => {
        try {
          splitPackets(body);
        } catch (error) {
          expect(error).toBeInstanceOf(FrameError);
        }
      }),
    );
  });
});

describe('a connection', () => {
  /** A connection to ourselves: what the server's side receives, and how both sides end. */
  async function pair(handle: (frame: Frame, from: Connection) => void) {
    const ends: string[] = [];
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const end = (who: string) => (_: Connection, byPeer: boolean, error: Error | null) => {
      ends.push(`${who} ${byPeer ? 'by peer' : 'by us'}${error ? ` ${(error as { code?: string }).code}` : ''}`);
    };
    const accepted = once(server, 'connection');
    const client = new Connection(connect((server.address() as AddressInfo).port, '127.0.0.1'), {
      frame: handle,
      close: end('client'),
    });
    const [socket] = await accepted;
    const peer = new Connection(socket, { frame: handle, close: end('server') });
    return { client, peer, ends, close: () => server.close() };
  }

  test('carries frames both ways and ends', async () => {
    const got: string[] = [];
    let finished: () => void = () => {};
    const done = new Promise<void>((resolve) => (finished = resolve));
    const { client, peer, ends, close } = await pair(({ type, body }, from) => {
      got.push(`${type} ${body.length}`);
      if (type === FRAME_USER) from.send(FRAME_USER + 1, [new Uint8Array(3), new Uint8Array(4)]);
      else finished();
    });
    client.send(FRAME_USER, [new Uint8Array(1_000_000)]);
    await done;
    expect(got).toEqual([`${FRAME_USER} 1000000`, `${FRAME_USER + 1} 7`]);
    client.end();
    await once(peer.socket, 'close');
    if (!client.closed) await once(client.socket, 'close');
    expect(ends.sort()).toEqual(['client by us', 'server by peer']);
    close();
  });

  test('that brings nonsense is closed by us, with the reason', async () => {
    const { client, peer, ends, close } = await pair(() => {});
    client.socket.write(Buffer.alloc(64, 1));
    await once(peer.socket, 'close');
    if (!client.closed) await once(client.socket, 'close');
    expect(ends).toContain('server by us TG_FRAME_MAGIC');
    close();
  });
});
