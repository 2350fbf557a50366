import { expect, test } from 'vitest';
import type { View } from '../replication/types.ts';
import { checkView, EmbeddedRegister, parseAnswer, parseRequest, RegisterCell, RegisterError } from './register.ts';

const first: View = { generation: 1, view: 1, primary: 'a.1', members: ['a.1'] };
const next = (view: View, primary: string, ...members: string[]): View => ({
  ...view,
  view: view.view + 1,
  primary,
  members,
});

test('of two proposals for one view one wins, and its copies say so', () => {
  const cell = new RegisterCell(first);
  const a = next(first, 'a.1', 'a.1', 'b.1');
  const b = next(first, 'b.1', 'b.1');
  expect(cell.handle({ kind: 'cas', id: 1, expected: first, next: a })).toMatchObject({
    id: 1,
    answer: 'ok',
    value: a,
  });
  expect(cell.handle({ kind: 'cas', id: 2, expected: first, next: b })).toMatchObject({ answer: 'conflict', value: a });
  expect(cell.handle({ kind: 'cas', id: 3, expected: first, next: a })).toMatchObject({ answer: 'ok', value: a });
  expect(cell.handle({ kind: 'cas', id: 4, expected: a, next: next(a, 'b.1', 'b.1') }).answer).toBe('ok');
  expect(cell.handle({ kind: 'cas', id: 5, expected: first, next: a }).answer).toBe('conflict');
  expect(cell.handle({ kind: 'read', id: 6 }).value?.view).toBe(3);
});

test('another generation, or a view that does not follow, is refused', () => {
  const cell = new RegisterCell(first);
  const other = { ...first, generation: 2 };
  expect(cell.handle({ kind: 'cas', id: 1, expected: other, next: next(other, 'a.1', 'a.1') }).answer).toBe('conflict');
  const far = { ...first, view: 3 };
  expect(cell.handle({ kind: 'cas', id: 1, expected: first, next: far }).answer).toBe('conflict');
});

test('what is no view is refused', () => {
  for (const bad of [
    null,
    7,
    {},
    { ...first, view: 0 },
    { ...first, view: 1.5 },
    { ...first, primary: 'b.1' },
    { ...first, primary: 'a b' },
    { ...first, members: [] },
    { ...first, members: ['a.1', 'a.1'] },
    { ...first, members: ['a.1', 'x'.repeat(65)] },
  ]) {
    expect(() => checkView(bad)).toThrow(RegisterError);
    expect(() => parseRequest({ kind: 'cas', id: 1, expected: first, next: bad })).toThrow(RegisterError);
    expect(() => parseAnswer({ id: 1, answer: 'ok', value: bad })).toThrow(RegisterError);
  }
  expect(() => parseRequest({ kind: 'drop', id: 1 })).toThrow(RegisterError);
  expect(parseAnswer(JSON.parse(JSON.stringify({ id: 1, answer: 'ok', value: first })))).toEqual({
    id: 1,
    answer: 'ok',
    value: first,
  });
});

test('the embedded register answers later', async () => {
  const register = new EmbeddedRegister(new RegisterCell(first));
  const answers: number[] = [];
  register.onAnswer = ({ id }) => answers.push(id);
  register.request({ kind: 'read', id: 5 });
  expect(answers).toEqual([]);
  await Promise.resolve();
  expect(answers).toEqual([5]);
});
