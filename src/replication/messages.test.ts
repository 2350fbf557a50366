import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decodeMessage, encodeMessage, HELD_MAX, MessageError } from './messages.ts';
import type { Message } from './types.ts';

const envelope = { cluster: new Uint8Array(16).fill(7), generation: 3, sender: 'r1.abc' };
const number = fc.nat({ max: Number.MAX_SAFE_INTEGER });
const position = fc.record({ epoch: number, origin: number });
const bytes = fc.uint8Array({ maxLength: 300 });
const member = fc.stringMatching(/^[A-Za-z0-9._-]{1,64}$/);
const held = fc
  .tuple(fc.nat({ max: 1_000_000 }), fc.array(number, { maxLength: 40 }))
  .map(([first, origins]) => origins.map((origin, i) => ({ epoch: first + i, origin })));

const message: fc.Arbitrary<Message> = fc.oneof(
  fc.record({
    kind: fc.constant('epoch' as const),
    view: number,
    previous: position,
    position,
    commit: number,
    start: fc.boolean(),
    done: fc.boolean(),
    hash: fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }),
    delta: bytes,
    chunk: bytes,
  }),
  fc.record({
    kind: fc.constant('heartbeat' as const),
    view: number,
    last: position,
    commit: number,
    members: fc.array(member, { maxLength: 8 }),
  }),
  fc.record({ kind: fc.constantFrom('ack' as const, 'diverged' as const), view: number, epoch: number }),
  fc.record({ kind: fc.constant('status' as const), view: number, complete: fc.boolean(), held }),
  fc.record({ kind: fc.constantFrom('stale' as const, 'look' as const), view: number }),
);

function encode(value: Message): Uint8Array {
  return new Uint8Array(Buffer.concat(encodeMessage(envelope, value)));
}

describe('messages', () => {
  test('survive the round trip', () => {
    fc.assert(
      fc.property(message, (value) => {
        expect(decodeMessage(envelope, encode(value))).toEqual({ from: envelope.sender, message: value });
      }),
    );
  });

  test('cut off or changed, they are refused or still well-formed', () => {
    fc.assert(
      fc.property(
        message,
        fc.array(fc.tuple(fc.nat(), fc.nat({ max: 255 })), { maxLength: 4 }),
        fc.nat(),
        (value, changes, cut) => {
          const good = encode(value);
          const changed = good.slice(0, changes.length === 0 ? cut % good.length : good.length);
          for (const [at, byte] of changes) changed[at % changed.length] = byte;
          try {
            const { message: back } = decodeMessage(envelope, changed);
            expect(encodeMessage(envelope, back)).toBeDefined();
            expect(changes.length).toBeGreaterThan(0);
          } catch (error) {
            expect(error).toBeInstanceOf(MessageError);
            expect((error as MessageError).code).toMatch(/^TG_MESSAGE_/);
          }
        },
      ),
      { numRuns: 3000 },
    );
  });

  test('of another cluster, generation or version are refused', () => {
    const good = encode({ kind: 'ack', view: 1, epoch: 2 });
    expect(() => decodeMessage({ ...envelope, cluster: new Uint8Array(16) }, good)).toThrow(/another cluster/);
    expect(() => decodeMessage({ ...envelope, generation: 4 }, good)).toThrow(/another generation/);
    good[0] = 9;
    expect(() => decodeMessage(envelope, good)).toThrow(/version/);
  });

  test('that claim more than they hold are refused before anything is allocated', () => {
    const status = encode({ kind: 'status', view: 1, complete: true, held: [] });
    new DataView(status.buffer).setUint32(status.length - 4, HELD_MAX + 1, true);
    expect(() => decodeMessage(envelope, status)).toThrow(MessageError);
    const epoch = encode({
      kind: 'epoch',
      view: 1,
      previous: { epoch: 0, origin: 0 },
      position: { epoch: 1, origin: 1 },
      commit: 0,
      start: false,
      done: false,
      hash: 0n,
      delta: new Uint8Array(10),
      chunk: new Uint8Array(0),
    });
    new DataView(epoch.buffer).setUint32(epoch.length - 18, 0xffff_ffff, true);
    expect(() => decodeMessage(envelope, epoch)).toThrow(/cut off/);
  });
});
