import { describe, expect, test } from 'vitest';
import { fromEnvironment, fromFile, fromFlags, merge } from './config.ts';
import { runRequest } from './run-options.ts';
import { parseEnv, parseInteger, parseMemory, parsePublish } from './values.ts';

const host = { env: { PATH: '/bin', LANG: 'C' }, cwd: '/work' };
const codeOf = (call: () => unknown): unknown => {
  try {
    call();
  } catch (error) {
    return (error as { code?: unknown }).code;
  }
  return 'no error';
};

describe('--publish', () => {
  test.each([
    ['6379', { host: '127.0.0.1', port: 6379, guestPort: 6379 }],
    ['7000:6379', { host: '127.0.0.1', port: 7000, guestPort: 6379 }],
    ['0.0.0.0:6379', { host: '0.0.0.0', port: 6379, guestPort: 6379 }],
    ['localhost:7000:6379', { host: 'localhost', port: 7000, guestPort: 6379 }],
    ['[::1]:7000:6379', { host: '::1', port: 7000, guestPort: 6379 }],
  ])('%s', (text, expected) => expect(parsePublish(text)).toEqual(expected));

  test.each(['', 'redis', '0', '65536', '1:2:3:4', '7000:', ':7000', '-1', '1.5', '7000:0', '::1:7000'])(
    'not %j',
    (text) => expect(codeOf(() => parsePublish(text))).toBe('TG_BAD_OPTION'),
  );
});

test('--memory', () => {
  expect(parseMemory('512M')).toBe(512 * 2 ** 20);
  expect(parseMemory('1.5GiB')).toBe(1.5 * 2 ** 30);
  expect(parseMemory('67108864')).toBe(2 ** 26);
  for (const text of ['', 'lots', '1M', '5G', '-1M', '1T'])
    expect(codeOf(() => parseMemory(text))).toBe('TG_BAD_OPTION');
});

test('whole numbers and variables', () => {
  expect(parseInteger('replicas', '3', 1, 9)).toBe(3);
  for (const text of ['0', '10', 'two', '1e1', '-1', '']) {
    expect(codeOf(() => parseInteger('replicas', text, 1, 9))).toBe('TG_BAD_OPTION');
  }
  expect(parseEnv('A=b=c', {})).toEqual(['A', 'b=c']);
  expect(parseEnv('A=', {})).toEqual(['A', '']);
  expect(parseEnv('LANG', { LANG: 'C' })).toEqual(['LANG', 'C']);
  expect(parseEnv('LANG', {})).toBeNull();
  expect(codeOf(() => parseEnv('=x', {}))).toBe('TG_BAD_OPTION');
});

test('flag before variable before file before default', () => {
  const flags = fromFlags({ replicas: '3' });
  const env = fromEnvironment({
    TARDIGRADE_REPLICAS: '4',
    TARDIGRADE_EPOCH: '20',
    TARDIGRADE_PUBLISH: '1,2',
    OTHER: 'x',
  });
  const file = fromFile('tardigrade.json', '{"replicas": 5, "epoch": 30, "memory": "64M"}');
  const config = merge(flags, env, file);
  const request = runRequest(config, flags, ['/bin/true'], host);
  expect(request).toMatchObject({
    replicas: 3,
    epochMs: 20,
    memory: 2 ** 26,
    rootfs: '/',
    program: '/bin/true',
    args: [],
  });
  expect(request.publish.map((p) => p.port)).toEqual([1, 2]);
  expect(codeOf(() => fromFile('t.json', '{'))).toBe('TG_BAD_CONFIG');
  expect(codeOf(() => fromFile('t.json', '{"replica": 2}'))).toBe('TG_BAD_CONFIG');
  expect(codeOf(() => fromFile('t.json', '[]'))).toBe('TG_BAD_CONFIG');
});

test('contradictions', () => {
  const request = (flags: Record<string, unknown>) => () => runRequest(fromFlags(flags), fromFlags(flags), ['x'], host);
  expect(codeOf(request({ replicas: '1', epoch: '5' }))).toBe('TG_CONTRADICTION');
  expect(codeOf(request({ replicas: '1', dataDir: '/d' }))).toBe('TG_CONTRADICTION');
  expect(codeOf(request({ trace: 'syscalls' }))).toBe('TG_CONTRADICTION');
  expect(codeOf(request({ profile: 'p' }))).toBe('TG_CONTRADICTION');
  expect(codeOf(request({ publish: ['7000:1', '7000:2'] }))).toBe('TG_CONTRADICTION');
  expect(codeOf(request({ publish: ['7000', '0.0.0.0:7000'] }))).toBe('no error');
  expect(codeOf(request({ file: ['x'] }))).toBe('no error');
  expect(codeOf(request({ file: ['/x:y'] }))).toBe('TG_BAD_FILE_MOUNT');
  expect(codeOf(() => runRequest({}, {}, [], host))).toBe('TG_USAGE');
});

test('traces and profiles', () => {
  const request = (flags: Record<string, unknown>) =>
    runRequest(fromFlags({ replicas: '1', ...flags }), {}, ['x'], host);
  expect(request({})).toMatchObject({ trace: null, profile: null });
  expect(request({ trace: 'syscalls', profile: 'p' })).toMatchObject({
    trace: { kinds: ['syscalls'], file: null },
    profile: '/work/p',
  });
  expect(request({ trace: 'syscalls,syscalls:a:b' }).trace).toEqual({ kinds: ['syscalls'], file: '/work/a:b' });
  for (const trace of ['', 'all', 'syscalls,', 'syscalls:']) {
    expect(
      codeOf(() => request({ trace })),
      trace,
    ).toBe('TG_BAD_OPTION');
  }
  expect(codeOf(() => request({ profile: '' }))).toBe('TG_BAD_OPTION');
});

test('one replica runs in the caller’s environment and folder, a service does not', () => {
  expect(runRequest({ replicas: '1', env: ['A=1'] }, {}, ['x'], host)).toMatchObject({
    env: { PATH: '/bin', LANG: 'C', A: '1' },
    cwd: '/work',
  });
  const service = runRequest({ env: ['LANG'] }, {}, ['x'], host);
  expect(service.env).toMatchObject({ LANG: 'C', HOME: '/root' });
  expect(service.env.PATH).toContain('/usr/bin');
  expect(service.cwd).toBe('/');
});
