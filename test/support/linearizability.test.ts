import { expect, test } from 'vitest';
import {
  type CounterInput,
  checkLinearizable,
  counter,
  type Operation,
  type TextInput,
  text,
} from './linearizability.ts';

type Row = [client: number, input: CounterInput, called: number, returned: number | null, output?: number];
const history = (...rows: Row[]): Operation<CounterInput, number>[] =>
  rows.map(([client, input, called, returned, output]) => ({
    client,
    input,
    called,
    returned,
    ...(output === undefined ? {} : { output }),
  }));
const counts = (...rows: Row[]) => checkLinearizable(history(...rows), counter).linearizable;

test('one after the other', () => {
  expect(counts([0, 'increment', 0, 1, 1], [0, 'increment', 2, 3, 2], [1, 'read', 4, 5, 2])).toBe(true);
  expect(counts([0, 'increment', 0, 1, 1], [0, 'increment', 2, 3, 1])).toBe(false);
  expect(counts([0, 'increment', 0, 1, 1], [1, 'read', 2, 3, 0])).toBe(false);
});

test('concurrent ones in either order, but in one', () => {
  expect(counts([0, 'increment', 0, 10, 2], [1, 'increment', 1, 9, 1])).toBe(true);
  expect(counts([0, 'increment', 0, 10, 2], [1, 'increment', 1, 9, 2])).toBe(false);
  // Client 2 has seen both, client 3 afterwards only one: a stale read.
  const both: Row[] = [
    [0, 'increment', 0, 20, 1],
    [1, 'increment', 0, 20, 2],
  ];
  expect(counts(...both, [2, 'read', 1, 5, 2], [3, 'read', 6, 7, 2])).toBe(true);
  expect(counts(...both, [2, 'read', 1, 5, 2], [3, 'read', 6, 7, 1])).toBe(false);
});

test('no answer: it may have happened, late, or never, but not twice', () => {
  const unknown: Row = [0, 'increment', 0, null];
  expect(counts(unknown, [1, 'read', 1, 2, 0])).toBe(true);
  expect(counts(unknown, [1, 'read', 1, 2, 1])).toBe(true);
  expect(counts(unknown, [1, 'read', 1, 2, 0], [1, 'read', 3, 4, 1])).toBe(true);
  expect(counts(unknown, [1, 'read', 1, 2, 1], [1, 'read', 3, 4, 0])).toBe(false);
  expect(counts(unknown, [1, 'read', 1, 2, 2])).toBe(false);
  // Not before it was called.
  expect(counts([1, 'read', 0, 1, 1], [0, 'increment', 2, null])).toBe(false);
});

test('an acknowledged append that is gone, doubled or moved is found', () => {
  const appends = ['a', 'b', 'c'].map((append, i) => ({
    client: i,
    input: { append },
    called: i * 10,
    returned: i * 10 + 5,
    output: i + 1,
  }));
  const check = (read: string) =>
    checkLinearizable<string, TextInput, number | string>(
      [...appends, { client: 9, input: 'read', called: 100, returned: 101, output: read }],
      text,
    ).linearizable;
  expect(check('abc')).toBe(true);
  for (const wrong of ['ab', 'abcc', 'acb', '']) expect(check(wrong)).toBe(false);
});

test('agrees with trying every order', () => {
  const seed = Number(process.env.SEED ?? 20261124);
  let state = seed;
  const random = (n: number) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * n);
  };
  const verdicts = { yes: 0, no: 0 };
  for (let run = 0; run < 3000; run++) {
    const rows: Row[] = Array.from({ length: 1 + random(5) }, (_, client) => {
      const called = random(12);
      const input = random(3) === 0 ? 'read' : 'increment';
      return random(4) === 0
        ? [client, input, called, null]
        : [client, input, called, called + 1 + random(6), random(4)];
    });
    const expected = bruteForce(history(...rows));
    verdicts[expected ? 'yes' : 'no'] += 1;
    expect(counts(...rows), `seed ${seed}, run ${run}: ${JSON.stringify(rows)}`).toBe(expected);
  }
  expect(verdicts.yes).toBeGreaterThan(200);
  expect(verdicts.no).toBeGreaterThan(200);
});

test('a long history with many clients is checked in little time', () => {
  // Twenty clients, each operation overlaps about forty others; every tenth has no answer.
  const rows: Row[] = [];
  let value = 0;
  for (let i = 0; i < 5000; i++) {
    const client = i % 20;
    if (i % 500 === 499) rows.push([client, 'increment', i, null]);
    else rows.push([client, 'increment', i, i + 20, ++value]);
  }
  expect(counts(...rows)).toBe(true);
  expect(counts(...rows, [0, 'read', 9000, 9001, value - 1])).toBe(false);
});

function bruteForce(operations: readonly Operation<CounterInput, number>[]): boolean {
  const search = (left: readonly Operation<CounterInput, number>[], value: number): boolean => {
    if (left.every((operation) => operation.returned === null)) return true;
    const firstReturn = Math.min(...left.map((operation) => operation.returned ?? Number.POSITIVE_INFINITY));
    return left.some((operation) => {
      if (operation.called > firstReturn) return false;
      const next = counter.step(value, operation.input, operation.returned === null ? undefined : operation.output);
      return (
        next !== null &&
        search(
          left.filter((other) => other !== operation),
          next,
        )
      );
    });
  };
  return search(operations, 0);
}
