/** The command as an operator calls it: a process, its streams, its exit status. Every bad input has its stable code. */

import { spawnSync } from 'node:child_process';
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';

const CLI = fileURLToPath(new URL('../bin/tardigrade.js', import.meta.url));
let folder: string;
let server: Server;
let busy: number;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'tardigrade-cli-'));
  server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  busy = (server.address() as { port: number }).port;
});
afterAll(() => {
  server.close();
  rmSync(folder, { recursive: true });
});

function tardigrade(args: readonly string[], env: NodeJS.ProcessEnv = {}) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [CLI, ...args], {
    encoding: 'utf8',
    cwd: folder,
    env: { ...process.env, ...env },
    timeout: 30_000,
  });
  return { status, stdout, stderr };
}

function file(name: string, content: string | Uint8Array, mode = 0o755): string {
  const path = join(folder, name);
  mkdirSync(join(path, '..'), { recursive: true });
  writeFileSync(path, content);
  chmodSync(path, mode);
  return path;
}

/** Asserts the status, the code at the head of stderr, and that stdout, which is for data, is empty. */
function fails(args: readonly string[], status: number, code: string, words: readonly string[] = [], env = {}): void {
  const result = tardigrade(args, env);
  expect(result.stderr).toMatch(new RegExp(`^tardigrade: ${code}: `));
  for (const word of words) expect(result.stderr).toContain(word);
  expect(result.stderr).not.toMatch(/\n\s+at .*\.ts:/);
  expect(result.stdout).toBe('');
  expect(result.status).toBe(status);
}

test('version and help', () => {
  expect(tardigrade(['version']).stdout).toMatch(/^tardigrade \d+\.\d+\.\d+\n$/);
  expect(JSON.parse(tardigrade(['version', '--json']).stdout)).toHaveProperty('node');
  const help = tardigrade(['help']);
  expect(help.status).toBe(0);
  for (const word of ['run', 'ps', 'status', 'failover', 'stop', 'version']) expect(help.stdout).toContain(word);
  const run = tardigrade(['help', 'run']);
  for (const word of [
    '--replicas',
    '--publish',
    '--rootfs',
    '--file',
    '--env',
    '--epoch',
    '--memory',
    '--data-dir',
    '--json',
  ]) {
    expect(run.stdout).toContain(word);
  }
});

test('wrong words', () => {
  fails(['walk'], 125, 'TG_USAGE', ["unknown command 'walk'"]);
  fails(['run', '--replicsa', '2', '--', '/bin/true'], 125, 'TG_USAGE', ['--replicsa', '--replicas']);
  fails(['run'], 125, 'TG_USAGE', ['no program']);
  fails(['run', '--'], 125, 'TG_USAGE', ['no program']);
  fails(['ps', 'extra'], 125, 'TG_USAGE');
  fails(['run', '--publish'], 125, 'TG_USAGE');
});

test('wrong values and contradictions', () => {
  fails(['run', '--replicas', 'two', '--', '/bin/true'], 125, 'TG_BAD_OPTION', ['--replicas two']);
  fails(['run', '--memory', '1', '--', '/bin/true'], 125, 'TG_BAD_OPTION', ['16M']);
  fails(['run', '--publish', 'redis', '--', '/bin/true'], 125, 'TG_BAD_OPTION');
  fails(['run', '--env', '=1', '--', '/bin/true'], 125, 'TG_BAD_OPTION');
  fails(['run', '--file', '/a:b', '--', '/bin/true'], 125, 'TG_BAD_FILE_MOUNT');
  fails(['run', '--file', '/nowhere:/b', '--', '/bin/true'], 125, 'TG_BAD_FILE_MOUNT', ['/nowhere', 'ENOENT']);
  fails(['run', '--rootfs', '/nowhere', '--', '/bin/true'], 125, 'TG_BAD_ROOTFS', ['/nowhere does not exist']);
  fails(['run', '--replicas', '1', '--epoch', '5', '--', '/bin/true'], 125, 'TG_CONTRADICTION');
  fails(['run', '--', '/bin/true'], 125, 'TG_BAD_OPTION', ['--replicas many'], { TARDIGRADE_REPLICAS: 'many' });
  const config = file('tardigrade.json', '{"replica": 3}', 0o644);
  fails(['run', '--', '/bin/true'], 125, 'TG_BAD_CONFIG', ['replica']);
  rmSync(config);
});

test('port in use', () => {
  fails(['run', '--publish', `${busy}:6379`, '--', '/bin/true'], 125, 'TG_PORT_IN_USE', [`127.0.0.1:${busy}`]);
  fails(['run', '--publish', '192.0.2.1:7000', '--', '/bin/true'], 125, 'TG_PORT_REFUSED', ['192.0.2.1']);
});

test('a program that cannot run: which it is, and what would do', () => {
  fails(['run', '--', '/no/such/program'], 127, 'TG_NO_SUCH_PROGRAM', ['/no/such/program']);
  fails(['run', '--', 'nosuchprogram'], 127, 'TG_NO_SUCH_PROGRAM', ['PATH']);
  fails(['run', '--', folder], 126, 'TG_NOT_EXECUTABLE', ['directory']);
  fails(['run', '--', file('plain', 'x', 0o644)], 126, 'TG_NOT_EXECUTABLE', ['chmod +x']);
  fails(['run', '--', file('text', 'hello\n')], 126, 'TG_NOT_ELF', ['text file']);
  const header = Buffer.alloc(64);
  header.write('\x7fELF\x02\x01\x01', 'latin1');
  header.writeUInt16LE(2, 16);
  header.writeUInt16LE(183, 18);
  fails(['run', '--', file('arm', header)], 126, 'TG_ELF_MACHINE', ['aarch64', 'amd64']);
  header[4] = 1;
  header.writeUInt16LE(3, 18);
  fails(['run', '--', file('i386', header)], 126, 'TG_ELF_32BIT', ['32-bit', 'i386']);
  fails(['run', '--', file('script', '#!/no/interpreter\n')], 127, 'TG_NO_INTERPRETER', ['/no/interpreter']);
});

test('a missing shared library: its name, and where it was looked for under --rootfs', () => {
  const tree = join(folder, 'tree');
  mkdirSync(join(tree, 'bin'), { recursive: true });
  copyFileSync('/bin/ls', join(tree, 'bin/ls'));
  fails(['run', '--rootfs', tree, '--', '/bin/ls'], 127, 'TG_NO_INTERPRETER', ['ld-linux-x86-64.so.2', tree]);
  const ld = '/lib64/ld-linux-x86-64.so.2';
  const args = ['run', '--rootfs', tree, '--file', `${ld}:${ld}`, '--', '/bin/ls'];
  fails(args, 127, 'TG_MISSING_LIBRARY', ['libc.so.6', '/usr/lib/x86_64-linux-gnu', tree]);
  fails(['run', '--rootfs', tree, '--', '/usr/bin/redis-server'], 127, 'TG_NO_SUCH_PROGRAM', [tree]);
});

test('the command works when the system has an older Node', () => {
  const { status, stdout } = spawnSync(
    'bash',
    [
      '-c',
      `PATH=/usr/local/bin:/usr/bin:/bin node --version; PATH=/usr/local/bin:/usr/bin:/bin "${CLI}" version --json`,
    ],
    {
      encoding: 'utf8',
    },
  );
  expect(status).toBe(0);
  const [, json] = stdout.trim().split('\n');
  expect(Number(JSON.parse(json!).node.split('.')[0])).toBeGreaterThanOrEqual(24);
});
