/** Standard streams of a real program over failovers: cat(1) copies every byte once, whoever of its replicas is killed. */

import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { CLI, statusOf } from '../examples/redis/status.ts';

const KILLS = 3;

describe.skipIf(!existsSync('/bin/cat'))('a pipeline', () => {
  test('survives its replicas, byte for byte', { timeout: 300_000 }, async () => {
    const child = spawn(process.execPath, [CLI, 'run', '--json', '--', '/bin/cat'], { stdio: 'pipe' });
    const ended = new Promise((resolve) => child.once('exit', resolve));
    let out = '';
    let err = '';
    child.stdout.on('data', (bytes: Buffer) => (out += bytes));
    child.stderr.on('data', (bytes: Buffer) => (err += bytes));
    let sent = '';
    const timer = setInterval(() => {
      const line = `line ${sent.length}\n`;
      sent += line;
      child.stdin.write(line);
    }, 10);
    const id = String(child.pid);
    try {
      for (let kills = 0; kills < KILLS; kills++) {
        const replicas = await protectedReplicas(id);
        process.kill(replicas.find(({ role }) => role === 'primary')!.pid, 'SIGKILL');
        // Until another one serves, and has said something.
        const before = out.length;
        while (out.length === before) await new Promise((resolve) => setTimeout(resolve, 20));
      }
      clearInterval(timer);
      child.stdin.end();
      expect(await ended, err).toBe(0);
      expect(out).toBe(sent);
    } finally {
      clearInterval(timer);
      child.kill('SIGKILL');
    }
  });
});

async function protectedReplicas(id: string) {
  for (;;) {
    const status = await statusOf(id).catch(() => null);
    if (status?.protected) return status.replicas;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
