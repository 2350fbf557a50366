/**
 * `tardigrade run --replicas 1 -- PROGRAM` is like running the program: the same output, the same status, beside a native
 * run of the same.
 */

import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { inMachine, natively } from './support/beside-native.ts';

const folder = mkdtempSync(join(tmpdir(), 'tardigrade-programs-'));
const SQL = `create table t(a integer primary key, b text);
with recursive n(i) as (select 1 union all select i + 1 from n where i < 500) insert into t select i, hex(i * 7919) from n;
create index by_b on t(b);
select count(*), sum(a), min(b), max(b) from t; select b, a from t order by b limit 3; select 1.0 / 3, round(2.5), abs(-7);
`;

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
    test.skipIf(!existsSync(command[0]!))(name, { timeout: 120_000 }, async () => {
      expect(await inMachine(command, { input })).toEqual(await natively(command, { input }));
    });
  }

  for (const name of ['static', 'threads', 'crash']) {
    test.skipIf(!existsSync('/usr/bin/gcc'))(`a C program: ${name}`, { timeout: 120_000 }, async () => {
      const command = [join(folder, name), 'argument'];
      expect(await inMachine(command)).toEqual(await natively(command));
    });
  }

  test('also when it is looked at', { timeout: 60_000 }, async () => {
    const [trace, profile] = [join(folder, 'trace'), join(folder, 'profile')];
    const command = ['/bin/sh', '-c', 'seq 100000 | sort -rn | tail -1; exit 4'];
    const options = ['--trace', `syscalls:${trace}`, '--profile', profile];
    expect(await inMachine(command, { options })).toEqual(await natively(command));
    expect(readFileSync(trace, 'utf8')).toMatch(/^1\/1 @\d+ exit_group\(4\) = \?$/m);
    expect(readFileSync(profile, 'utf8')).toMatch(/^ *\d+\.\d+% .* \/\S+\/(sort|libc\.so\.6)$/m);
  });

  test('128 + n when a signal ends it', { timeout: 60_000 }, async () => {
    expect((await inMachine(['/bin/sh', '-c', 'kill -TERM $$'])).status).toBe(143);
  });
});
