/**
 * Ordinary programs beside a native run of the same: compressors, digests, interpreters, a database, a compiler. Their
 * input is made here, the same for ever: half text that compresses, half bytes that do not.
 */

import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ENV, type Ended, inMachine, natively } from './support/beside-native.ts';
import { full } from './support/product.ts';
import { Random } from './support/random.ts';

const PAYLOAD_BYTES = full ? 20_000_000 : 400_000;
const SEED = 20_260_101;
const ROWS = full ? 100_000 : 5_000;
const PI_DIGITS = full ? 2_000 : 250;
const JIT_SCALE = full ? '10' : '1';
const PYTHON_TESTS = full ? ['float', 'struct', 'json', 're'] : ['float', 'struct', 're'];

interface Tool {
  readonly name: string;
  /** Programs that have to be there. */
  readonly needs: readonly string[];
  readonly command: readonly string[];
  /** Only whether it succeeds is compared. */
  readonly statusOnly?: boolean;
  /** Takes out of the output what is another in every run. */
  readonly normal?: (text: string) => string;
}

const sh = (script: string): readonly string[] => ['/bin/sh', '-c', script];

/** Compresses, says what came out, and undoes it. */
function compressor(program: string, flags = ''): Tool {
  return {
    name: `${program} ${flags}`.trim(),
    needs: [`/usr/bin/${program}`, '/usr/bin/cmp'],
    command: sh(
      `${program} ${flags} -c payload > packed && sha256sum packed && ${program} -dc packed | cmp - payload && echo same`,
    ),
  };
}

function openssl(name: string, script: string): Tool {
  return { name: `openssl: ${name}`, needs: ['/usr/bin/openssl'], command: sh(`set -e; ${script}`) };
}

const DIGESTS = ['md5', 'sha1', 'sha256', 'sha512', 'sha3-256', 'blake2b512', 'blake2s256', 'ripemd160', 'sm3'];
const CIPHERS = ['aes-128-ctr', 'aes-256-cbc', 'aes-192-cbc', 'chacha20', 'camellia-256-cbc', 'des-ede3-cbc'];

const SQL = `create table t(id integer primary key, k int, s text, r real);
with recursive n(i) as (select 1 union all select i + 1 from n where i < ${ROWS})
  insert into t select i, (i * 7919) % 1009, hex(i * 104729), i / 7.0 from n;
create index by_k on t(k); create index by_s on t(s);
select k, count(*), sum(r), min(s), max(s) from t group by k order by k limit 10;
create table u as select k, avg(r) as a from t group by k;
select count(*), sum(u.a) from t join u on t.k = u.k where t.id % 3 = 0;
update t set s = s || 'x', r = r * 1.1 where k < 100; delete from t where k between 500 and 600;
select count(*), total(r), group_concat(s, ',') from (select * from t order by s limit 20);
pragma integrity_check; vacuum; pragma integrity_check;
select sum(length(s)), printf('%.17g', sum(r)) from t;
select json_group_array(k) from (select distinct k from t order by k limit 20);
select id, row_number() over (partition by k order by r desc) from t where k = 7 limit 5;
`;

const TOOLS: readonly Tool[] = [
  compressor('gzip'),
  compressor('gzip', '-1'),
  compressor('bzip2'),
  compressor('xz', '-T1'),
  {
    name: 'coreutils digests',
    needs: ['/usr/bin/sha256sum'],
    command: sh('for sum in sha256sum md5sum sha1sum sha512sum b2sum cksum; do $sum payload; done'),
  },
  openssl('digests', DIGESTS.map((name) => `openssl dgst -${name} payload`).join('; ')),
  openssl(
    'ciphers',
    CIPHERS.map(
      (name) =>
        `openssl enc -${name} -pbkdf2 -iter 1000 -S 0102030405060708 -pass pass:secret -in payload -out enc; sha256sum enc;
         openssl enc -d -${name} -pbkdf2 -iter 1000 -S 0102030405060708 -pass pass:secret -in enc | cmp - payload`,
    ).join('; '),
  ),
  openssl(
    'an RSA signature',
    'openssl dgst -sha256 -sign rsa.pem -out sig payload; sha256sum sig; openssl dgst -sha256 -verify rsa.pub -signature sig payload',
  ),
  openssl(
    'an EC signature',
    'openssl dgst -sha256 -sign ec.pem -out sig payload; openssl dgst -sha256 -verify ec.pub -signature sig payload',
  ),
  openssl(
    'an Ed25519 signature',
    'openssl pkeyutl -sign -rawin -inkey ed.pem -in payload -out sig; sha256sum sig; openssl pkeyutl -verify -rawin -pubin -inkey ed.pub -sigfile sig -in payload',
  ),
  openssl(
    'keys made and used',
    'openssl genrsa -out k 1024 2> /dev/null; openssl rsa -check -noout -in k; openssl ecparam -name prime256v1 -genkey -noout -out e; openssl ec -check -noout -in e 2>&1',
  ),
  {
    name: 'openssl speed',
    needs: ['/usr/bin/openssl'],
    command: sh('openssl speed -seconds 1 -bytes 1024 sha256'),
    statusOnly: true,
  },
  { name: 'bc: digits of pi', needs: ['/usr/bin/bc'], command: sh(`echo "scale=${PI_DIGITS}; a(1)*4" | bc -l`) },
  {
    name: 'python3: its own tests',
    needs: ['/usr/bin/python3', '/usr/lib/*/test/test_float.py'],
    command: ['/usr/bin/python3', '-m', 'unittest', '-v', ...PYTHON_TESTS.map((name) => `test.test_${name}`)],
    normal: (text) => text.replace(/in [0-9.]+s$/m, 'in …'),
  },
  { name: 'lua', needs: ['/usr/bin/lua5.4'], command: ['/usr/bin/lua5.4', 'mixed.lua'] },
  { name: 'luajit', needs: ['/usr/bin/luajit'], command: ['/usr/bin/luajit', 'mixed.lua'] },
  // Its code is made in pages that are writable and executable by turns; with little room they are used again and again.
  { name: 'luajit: traces', needs: ['/usr/bin/luajit'], command: ['/usr/bin/luajit', 'jit.lua', JIT_SCALE] },
  {
    name: 'luajit: little room for traces',
    needs: ['/usr/bin/luajit'],
    command: ['/usr/bin/luajit', '-Omaxtrace=40,maxmcode=64,sizemcode=32', 'jit.lua', '1'],
  },
  {
    name: 'luajit: traces at once',
    needs: ['/usr/bin/luajit'],
    command: ['/usr/bin/luajit', '-O3,hotloop=2,hotexit=1', 'jit.lua', '1'],
  },
  { name: 'perl', needs: ['/usr/bin/perl'], command: ['/usr/bin/perl', 'mixed.pl'] },
  { name: 'gawk', needs: ['/usr/bin/gawk'], command: ['/usr/bin/gawk', '-f', 'mixed.awk'] },
  {
    name: 'gawk: many digits',
    needs: ['/usr/bin/gawk'],
    command: ['/usr/bin/gawk', '-M', 'BEGIN { PREC = 500; print 4 * atan2(1, 1); print 2 ^ 500 % 1000007 }'],
  },
  {
    name: 'sqlite3: a file',
    needs: ['/usr/bin/sqlite3'],
    command: sh('rm -f db; sqlite3 db ".read script.sql" && sqlite3 db "select count(*) from t"'),
  },
  {
    name: 'gcc: compile, link, run',
    needs: ['/usr/bin/gcc'],
    command: sh('gcc -O2 -Wall -o compiled small.c -lm && ./compiled 20; echo $?; gcc -c broken.c; echo $?'),
  },
  // More code than the interpreter's records have room for.
  { name: 'gcc: a larger file', needs: ['/usr/bin/gcc'], command: sh('gcc -O2 -S -o - kernels.c') },
  ...(full
    ? [
        {
          name: 'g++: compile, link, run',
          needs: ['/usr/bin/g++'],
          command: sh('g++ -O1 -o compiled small.cc && ./compiled'),
        },
      ]
    : []),
];

const SMALL_C = `#include <math.h>
#include <stdio.h>
#include <stdlib.h>
static unsigned long fib(int n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }
int main(int argc, char **argv) {
  int n = argc > 1 ? atoi(argv[1]) : 5;
  printf("%lu %.17g %Lg\\n", fib(n), sqrt(n), 1.0L / n);
  return 3;
}
`;
const SMALL_CC = `#include <iostream>
#include <map>
#include <string>
int main() {
  std::map<std::string, int> m{{"b", 2}, {"a", 1}};
  try { m.at("c"); } catch (const std::exception &e) { std::cout << e.what() << "\\n"; }
  for (auto &[k, v] : m) std::cout << k << v << "\\n";
}
`;

const folder = mkdtempSync(join(tmpdir(), 'tardigrade-tools-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** A file, or one whose path has a "*". */
function isThere(path: string): boolean {
  if (!path.includes('*')) return existsSync(path);
  const [before, after] = path.split('*') as [string, string];
  return existsSync(before) && readdirSync(before).some((name) => existsSync(before + name + after));
}

function payload(): Buffer {
  const random = new Random(SEED);
  const words = Array.from({ length: 2000 }, () =>
    String.fromCharCode(...Array.from({ length: 2 + random.below(8) }, () => 97 + random.below(26))),
  );
  const parts: string[] = [];
  for (let length = 0; length < PAYLOAD_BYTES / 2; length += parts.at(-1)!.length) {
    parts.push(random.pick(words) + (random.below(10) === 0 ? '\n' : ' '));
  }
  const bytes = Buffer.alloc(PAYLOAD_BYTES);
  bytes.write(parts.join(''), 'latin1');
  for (let i = PAYLOAD_BYTES / 2; i < PAYLOAD_BYTES; i++) bytes[i] = random.below(256);
  return bytes;
}

describe('ordinary programs beside a native run', () => {
  beforeAll(() => {
    writeFileSync(join(folder, 'payload'), payload());
    writeFileSync(join(folder, 'script.sql'), SQL);
    writeFileSync(join(folder, 'small.c'), SMALL_C);
    writeFileSync(join(folder, 'small.cc'), SMALL_CC);
    writeFileSync(join(folder, 'broken.c'), 'int f(void) { return undeclared; }\n');
    cpSync(fileURLToPath(new URL('./programs/scripts', import.meta.url)), folder, { recursive: true });
    cpSync(fileURLToPath(new URL('../bench/engine/kernels.c', import.meta.url)), join(folder, 'kernels.c'));
    if (!existsSync('/usr/bin/openssl')) return;
    const run = (...args: string[]) => execFileSync('/usr/bin/openssl', args, { cwd: folder, env: ENV, stdio: 'pipe' });
    run('genpkey', '-algorithm', 'RSA', '-pkeyopt', 'rsa_keygen_bits:2048', '-out', 'rsa.pem');
    run('genpkey', '-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256', '-out', 'ec.pem');
    run('genpkey', '-algorithm', 'ED25519', '-out', 'ed.pem');
    for (const key of ['rsa', 'ec', 'ed']) run('pkey', '-in', `${key}.pem`, '-pubout', '-out', `${key}.pub`);
  }, 120_000);

  for (const tool of TOOLS) {
    const missing = tool.needs.filter((path) => !isThere(path));
    if (missing.length > 0) console.log(`${tool.name}: skipped, ${missing.join(', ')} is not there`);
    test.skipIf(missing.length > 0)(tool.name, { timeout: full ? 1_800_000 : 240_000 }, async () => {
      // In the machine first: what it writes is not seen here.
      const began = performance.now();
      const ours = await inMachine(tool.command, { cwd: folder });
      const between = performance.now();
      const native = await natively(tool.command, { cwd: folder });
      if (full) report(tool.name, between - began, performance.now() - between);
      expect(ours.status, ours.stderr).toBe(native.status);
      if (tool.statusOnly === true) return;
      const normal = tool.normal ?? ((text) => text);
      const seen = ({ stdout, stderr }: Ended) => ({ stdout: normal(stdout), stderr: normal(stderr) });
      expect(seen(ours)).toEqual(seen(native));
    });
  }

  test.skipIf(!isThere('/usr/bin/luajit'))('the luajit script is compiled indeed', () => {
    const { stdout, stderr } = spawnSync('/usr/bin/luajit', ['-jv', 'jit.lua', '1'], {
      cwd: folder,
      encoding: 'latin1',
    });
    expect(`${stdout}${stderr}`.match(/^\[TRACE .*\]$/gm)?.length ?? 0).toBeGreaterThan(200);
  });
});

function report(name: string, oursMs: number, nativeMs: number): void {
  const seconds = (ms: number) => `${(ms / 1000).toFixed(2)} s`;
  console.log(`${name}: ${seconds(oursMs)}, natively ${seconds(nativeMs)}: ${(oursMs / nativeMs).toFixed(1)} times`);
}
