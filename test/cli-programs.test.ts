/**
 * `tardigrade run --replicas 1 -- PROGRAM` is like running the program: the same output, the same status, beside a native
 * run of the same.
 */

import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { CLI } from '../examples/redis/status.ts';

const folder = mkdtempSync(join(tmpdir(), 'tardigrade-programs-'));
const SQL = `create table t(a integer primary key, b text);
with recursive n(i) as (select 1 union all select i + 1 from n where i < 500) insert into t select i, hex(i * 7919) from n;
create index by_b on t(b);
select count(*), sum(a), min(b), max(b) from t; select b, a from t order by b limit 3; select 1.0 / 3, round(2.5), abs(-7);
`;

/** The guest has what is given here and nothing else, natively and in the machine. */
const ENV = {
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  HOME: '/root',
  LC_ALL: 'C',
  TERM: 'dumb',
};

interface Ended {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function natively(command: readonly string[], input: string): Ended {
  const { status, stdout, stderr, signal } = spawnSync(command[0]!, command.slice(1), {
    encoding: 'utf8',
    env: ENV,
    input,
  });
  // A shell's way of saying it.
  return { status: signal === 'SIGSEGV' ? 139 : status, stdout, stderr };
}

function inMachine(command: readonly string[], input: string): Ended {
  const args = [CLI, 'run', '--replicas', '1', '--', ...command];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, {
    encoding: 'utf8',
    env: ENV,
    input,
    timeout: 100_000,
  });
  return { status, stdout, stderr };
}

const PROGRAMS: readonly (readonly [name: string, command: readonly string[], input?: string])[] = [
  ['echo', ['/bin/echo', 'hello', 'world']],
  ['ls', ['/bin/ls', '-l', '/etc']],
  ['env', ['/usr/bin/env']],
  ['a pipeline', ['/bin/sh', '-c', 'seq 1000 | sort -rn | head -3']],
  ['a status', ['/bin/sh', '-c', 'exit 7']],
  ['cat', ['/bin/cat'], 'line 1\nline 2\n'],
  ['python3', ['/usr/bin/python3', '-c', 'print(sum(i*i for i in range(10**5)))']],
  ['sqlite3', ['/usr/bin/sqlite3', ':memory:'], SQL],
];

describe('one replica is like running the program', () => {
  beforeAll(() => {
    if (!existsSync('/usr/bin/gcc')) return;
    const compile = (name: string, ...flags: string[]) => {
      const source = fileURLToPath(new URL(`./programs/${name}.c`, import.meta.url));
      execFileSync('gcc', ['-O1', '-o', join(folder, name), source, ...flags]);
    };
    compile('static', '-static', '-lm');
    compile('threads', '-pthread');
    compile('crash');
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  for (const [name, command, input = ''] of PROGRAMS) {
    test.skipIf(!existsSync(command[0]!))(name, { timeout: 120_000 }, () => {
      expect(inMachine(command, input)).toEqual(natively(command, input));
    });
  }

  for (const name of ['static', 'threads', 'crash']) {
    test.skipIf(!existsSync('/usr/bin/gcc'))(`a C program: ${name}`, { timeout: 120_000 }, () => {
      const command = [join(folder, name), 'argument'];
      const ours = inMachine(command, '');
      const native = natively(command, '');
      // Of a crash, we say more on stderr than the kernel does.
      if (name === 'crash') expect({ ...ours, stderr: '' }).toEqual({ ...native, stderr: '' });
      else expect(ours).toEqual(native);
    });
  }

  test('128 + n when a signal ends it', { timeout: 60_000 }, () => {
    expect(inMachine(['/bin/sh', '-c', 'kill -TERM $$'], '').status).toBe(143);
  });
});
