import { expect, test } from 'vitest';
import { Outbox } from './outbox.ts';

const bytes = (length: number): Uint8Array => new Uint8Array(length).fill(length);

test('what was said and may not have arrived goes into the state, in order, before what is held', () => {
  const said: string[] = [];
  const outbox = new Outbox({
    console: (stream, offset, { length }) => said.push(`${stream} ${offset} ${length}`),
    exit: () => said.push('exit'),
  });
  outbox.console(1, 0, bytes(3));
  outbox.console(2, 0, bytes(5));
  outbox.console(1, 3, bytes(4));
  outbox.exit({ code: 0, signal: null });
  expect(said).toEqual(['1 0 3', '2 0 5', '1 3 4', 'exit']);
  const held = [{ kind: 'console', stream: 1, offset: 7, bytes: bytes(1) }] as const;
  const state = { offsets: [8, 5], held } as const;
  const names = () =>
    outbox.save(state).held.map((one) => (one.kind === 'exit' ? 'exit' : `${one.stream} ${one.offset}`));
  expect(names()).toEqual(['1 0', '2 0', '1 3', 'exit', '1 7']);
  expect(outbox.save(state).offsets).toEqual([8, 5]);
  // A part of an output is not the whole of it.
  outbox.arrived(1, 2);
  expect(names()).toEqual(['1 0', '2 0', '1 3', 'exit', '1 7']);
  outbox.arrived(1, 7);
  expect(names()).toEqual(['2 0', '1 3', 'exit', '1 7']);
  outbox.arrived(2, 5);
  expect(names()).toEqual(['exit', '1 7']);
});

test('is full until enough has arrived', () => {
  const outbox = new Outbox({ console: () => {}, exit: () => {} });
  for (let i = 0; i < 16; i++) {
    expect(outbox.full).toBe(false);
    outbox.console(1, i * 16384, new Uint8Array(16384));
  }
  expect(outbox.full).toBe(true);
  outbox.arrived(1, 16384);
  expect(outbox.full).toBe(false);
});
