import { expect, test } from 'vitest';
import { decodeHostState, encodeHostState, restarted } from './host-state.ts';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const clock = { monotonicUs: 5, realtimeUs: 7 };

test('after everything stopped streams begin at nothing, with what may not have arrived', () => {
  const held = [
    { kind: 'console', stream: 2, offset: 40, bytes: bytes('err') },
    { kind: 'console', stream: 1, offset: 100, bytes: bytes('out') },
    { kind: 'console', stream: 1, offset: 103, bytes: bytes('put') },
    { kind: 'exit', status: { code: 3, signal: null } },
  ] as const;
  const state = { clock, output: { offsets: [106, 43], held }, taken: { stdin: 9, signals: 2 } } as const;
  const begun = restarted(decodeHostState(encodeHostState(state)));
  expect(begun.clock).toEqual(clock);
  expect(begun.taken).toEqual({ stdin: 0, signals: 0 });
  expect(begun.output.offsets).toEqual([6, 3]);
  const where = begun.output.held.map((one) => (one.kind === 'console' ? [one.stream, one.offset] : one.status.code));
  expect(where).toEqual([[2, 0], [1, 0], [1, 3], 3]);
});

test('… and with nothing where all has arrived', () => {
  const begun = restarted({ clock, output: { offsets: [106, 43], held: [] }, taken: { stdin: 0, signals: 0 } });
  expect(begun.output).toEqual({ offsets: [0, 0], held: [] });
});
