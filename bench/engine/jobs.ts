/** What bench/engine.ts runs: kernels by compiler option, and programs with their work and without it. */

import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export const KERNELS = ['sieve', 'xxh', 'fnv', 'probe', 'nbody', 'poly', 'fib', 'sort'] as const;
export const OPTIMIZATIONS = ['O0', 'O2', 'O3'] as const;

export interface ProgramJob {
  readonly name: string;
  readonly program: string;
  /** With work to do, and with none: the difference is the work. */
  readonly args: readonly string[];
  readonly idle: readonly string[];
}

const LUA = `local t = {} for i = 1, N do t[i] = (i * 7919) % 1000003 end table.sort(t)
local s = 0 for i = 1, N * 16 do s = s + (i % 7) * 2 end
local parts = {} for i = 1, N / 3 do parts[#parts + 1] = string.format("%d:%s", i, ("x"):rep(i % 10)) end
print(#table.concat(parts, ","), s, t[1])`;

const PYTHON = `def f(n):
    d = {}
    for i in range(n):
        d[i % 1000] = d.get(i % 1000, 0) + i
    return sum(d.values())
print(f(N))
print(sum(len(str(i)) for i in range(N // 2)))`;

const SQL = `create table t(a integer primary key, b int, c text);
with recursive n(i) as (select 1 union all select i + 1 from n where i < N)
  insert into t select i, (i * 7919) % 10007, 'row ' || i from n;
create index tb on t(b);
select count(*), sum(b) from t where b between 100 and 5000;
select b % 10, count(*), max(c) from t group by 1;
update t set c = c || 'x' where a % 3 = 0;
select sum(length(c)) from t;`;

/** Commands that redis runs by itself, without a client: a loop in its Lua. */
const REDIS = `for i = 1, N do redis.call('set', 'k' .. (i % 1000), i); redis.call('lpush', 'l', i);
redis.call('zadd', 'z', i % 997, i % 1009) end return redis.call('llen', 'l')`;

/** Compiles the kernels; null without gcc. */
export function compileKernels(folder: string, optimization: string): string | null {
  const source = join(import.meta.dirname, 'kernels.c');
  const path = join(folder, `kernels-${optimization}`);
  try {
    execFileSync('gcc', [`-${optimization}`, '-static', '-o', path, source, '-lm'], { stdio: 'pipe' });
  } catch {
    return null;
  }
  return path;
}

/** The programs that the machine has; `scale` 1 is about a second of native work each. */
export function programJobs(folder: string, scale: number): ProgramJob[] {
  const file = (name: string, content: string | Uint8Array): string => {
    const path = join(folder, name);
    writeFileSync(path, content);
    return path;
  };
  const text = file('text', testText(Math.round(24e6 * scale)));
  const small = file('small', testText(Math.round(8e6 * scale)));
  const empty = file('empty', '');
  const sized = (source: string, n: number): string => source.replaceAll(/\bN\b/g, `${Math.round(n * scale)}`);
  const script = (name: string, source: string, n: number): string => file(name, sized(source, n));
  const python = script('work.py', PYTHON, 6e6);
  const lua = script('work.lua', LUA, 6e5);
  const sql = script('work.sql', SQL, 5e5);
  const jobs: ProgramJob[] = [
    { name: 'gzip', program: 'gzip', args: ['-c', text], idle: ['-c', empty] },
    { name: 'bzip2', program: 'bzip2', args: ['-c', small], idle: ['-c', empty] },
    { name: 'sha256sum', program: 'sha256sum', args: Array(8).fill(text), idle: [empty] },
    { name: 'python3', program: 'python3', args: [python], idle: ['-c', 'pass'] },
    { name: 'sqlite3', program: 'sqlite3', args: [':memory:', `.read ${sql}`], idle: [':memory:', 'select 1'] },
    { name: 'lua5.4', program: 'lua5.4', args: [lua], idle: ['-v'] },
    { name: 'luajit', program: 'luajit', args: [lua], idle: ['-v'] },
  ];
  return jobs.flatMap((job) => {
    const path = ['/usr/bin', '/bin'].map((dir) => join(dir, job.program)).find((p) => existsSync(p));
    return path === undefined ? [] : [{ ...job, program: path }];
  });
}

/** What redis is to compute, as its Lua. */
export function redisScript(scale: number): string {
  return REDIS.replaceAll(/\bN\b/g, `${Math.round(3e5 * scale)}`);
}

/** The same text each time, half of it compressible. */
function testText(length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  const words = 'state memory page register guest replica commit epoch output packet client server'.split(' ');
  let at = 0;
  for (let n = 0; at < length; n++) {
    const hash = createHash('sha256').update(`${n}`).digest();
    const line =
      n % 2 === 0
        ? `${hash.toString('base64')}\n`
        : `${[...hash].map((byte) => words[byte % words.length]).join(' ')}\n`;
    const part = Buffer.from(line).subarray(0, length - at);
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}
