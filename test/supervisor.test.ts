/**
 * The life of a service's processes: started, found, killed, stopped, replaced, and ended with the guest; its console
 * output and input over failovers. With the echo machine, which starts at once (test/support/echo-machine.ts).
 */

import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { runFolders } from '../src/supervisor/run-folder.ts';
import { EchoRun, isAlive, untilGone } from './support/echo-run.ts';

const runtime = mkdtempSync(join(tmpdir(), 'tg-run-'));
const root = join(runtime, 'tardigrade');
const running = new Set<Service>();

afterEach(async () => {
  for (const service of running) await service.end();
});
afterAll(() => rmSync(runtime, { recursive: true }));

class Service extends EchoRun {
  constructor(replicas: number, program = '/echo') {
    super({ runtime, replicas, program });
    running.add(this);
    this.ended.finally(() => running.delete(this)).catch(() => {});
  }
}

describe('a service', () => {
  test('gives the guest its input, us its output and its status, and leaves nothing behind', async () => {
    const service = new Service(2);
    service.write('hello ');
    await service.event('protected');
    service.write('world\n');
    service.child.stdin!.end();
    expect(await service.ended).toEqual({ code: 'hello world\n'.length, signal: null });
    expect(service.out).toBe('hello world\n');
    expect(service.events.map(({ event }) => event)).toEqual(['started', 'serving', 'protected', 'ended']);
    expect(readdirSync(root).filter((name) => !name.startsWith('.'))).toEqual([]);
  });

  test('says what it is', async () => {
    const service = new Service(3);
    await service.until(({ events }) => events.some(({ members }) => Array.isArray(members) && members.length === 3));
    const status = (await service.ask('status'))!;
    expect(status).toMatchObject({
      id: service.folder.id,
      pid: service.child.pid,
      program: '/echo',
      protected: true,
      gateway: null,
      unimplemented: { rseq: 1 },
    });
    expect(status.replicas.map(({ role }) => role).sort()).toEqual(['backup', 'backup', 'primary']);
    expect(new Set(status.replicas.map(({ pid }) => pid)).size).toBe(3);
  });

  test('hands over when asked', async () => {
    const service = new Service(2);
    await service.event('protected');
    const before = await service.pid('primary');
    const after = (await service.ask('failover'))!;
    const primary = after.replicas.find(({ role }) => role === 'primary')!;
    expect(primary.pid).not.toBe(before);
    expect(isAlive(before)).toBe(true);
    expect(after.protected).toBe(true);
    service.write('still here\n');
    await service.until(({ out }) => out === 'still here\n');
  });

  test('says so where there is nobody to hand over to', async () => {
    const service = new Service(1);
    await service.event('serving');
    await expect(service.ask('failover')).rejects.toMatchObject({ code: 'TG_NO_BACKUP', exitStatus: 125 });
  });

  test('goes on while nobody reads its output, and loses nothing of it', async () => {
    const service = new Service(2);
    await service.event('protected');
    service.child.stdout!.pause();
    const text = 'all work and no play\n'.repeat(200_000);
    service.write(text);
    const before = await service.pid('primary');
    process.kill(before, 'SIGKILL');
    await service.event('serving', 2);
    service.child.stdout!.resume();
    service.child.stdin!.end();
    await service.ended;
    expect(service.out === text).toBe(true);
  });

  test('stops when asked: the guest is told, and its end is the service’s', async () => {
    const service = new Service(2);
    await service.event('protected');
    await service.ask('stop');
    expect(await service.ended).toEqual({ code: 128 + 15, signal: null });
  });

  test('gives signals to the guest', async () => {
    const service = new Service(2);
    await service.event('serving');
    service.child.kill('SIGINT');
    expect(await service.ended).toEqual({ code: 128 + 2, signal: null });
  });

  test('that cannot be started says why, with the code and the status of the reason', async () => {
    const service = new Service(2, '/missing');
    expect(await service.ended).toEqual({ code: 127, signal: null });
    expect(service.err).toContain('tardigrade: TG_NO_SUCH_PROGRAM: there is no /missing\n  give another\n');
    expect(service.out).toBe('');
  });

  test('ends its processes when it is killed itself, and what it leaves is cleared away', async () => {
    const service = new Service(2);
    await service.event('protected');
    const pids = (await service.ask('status'))!.replicas.map(({ pid }) => pid);
    const left = service.folder.path;
    await service.end();
    await untilGone(pids);
    expect(existsSync(left)).toBe(true);
    expect(runFolders(root)).toEqual([]);
    expect(existsSync(left)).toBe(false);
  });
});

describe('a failure', () => {
  test('of one replica after another loses and doubles nothing of input or output', { timeout: 120_000 }, async () => {
    const service = new Service(2);
    let sent = '';
    let number = 0;
    const write = (): void => {
      const line = `line ${number++}\n`;
      sent += line;
      service.write(line);
    };
    const timer = setInterval(write, 2);
    for (let round = 0; round < 6; round++) {
      await service.until(({ events }) => ['protected'].includes(events.at(-1)?.event ?? ''));
      const pid = await service.pid(round % 3 === 2 ? 'backup' : 'primary');
      process.kill(pid, 'SIGKILL');
      await untilGone([pid]);
      await service.event('lost', round + 1);
    }
    clearInterval(timer);
    service.child.stdin!.end();
    expect(await service.ended).toEqual({ code: sent.length % 100, signal: null });
    expect(service.out).toBe(sent);
    expect(number).toBeGreaterThan(100);
  });

  test('of the last one that has the state ends the service', async () => {
    const service = new Service(2);
    await service.event('protected');
    const { replicas } = (await service.ask('status'))!;
    for (const { pid } of replicas) process.kill(pid, 'SIGSTOP');
    for (const { pid } of replicas) process.kill(pid, 'SIGKILL');
    expect(await service.ended).toEqual({ code: 125, signal: null });
    expect(service.err).toContain('tardigrade: TG_ALL_LOST: ');
  });

  test('of a guest’s host code: the replica stops, another takes over', async () => {
    const service = new Service(2);
    await service.event('protected');
    const before = await service.pid('primary');
    // See SIGNAL_CRASH of the echo machine.
    service.child.kill('SIGUSR1');
    await service.event('lost');
    expect(isAlive(before)).toBe(false);
    const { reason } = service.events.find(({ event }) => event === 'lost')!;
    expect(String(reason)).toMatch(/^TG_INTERNAL: Error: asked to crash/);
    // The signal was not safe: the next primary gets it too, and so on until nobody is left.
    expect((await service.ended).code).toBe(125);
  });

  test('of a primary that stands still: it is replaced, and when it wakes it gives up', {
    timeout: 60_000,
  }, async () => {
    const service = new Service(2);
    await service.event('protected');
    const before = await service.pid('primary');
    process.kill(before, 'SIGSTOP');
    await service.event('serving', 2);
    service.write('served by another\n');
    await service.until(({ out }) => out === 'served by another\n');
    process.kill(before, 'SIGCONT');
    await service.event('lost');
    const lost = service.events.find(({ event }) => event === 'lost')!;
    expect(lost.pid).toBe(before);
    expect(String(lost.reason)).toMatch(/^(TG_REPLACED: |SIGKILL)/);
    await service.event('protected', 2);
    service.child.stdin!.end();
    expect((await service.ended).code).toBe('served by another\n'.length);
    expect(service.out).toBe('served by another\n');
  });

  test('of a primary whose guest never waits', { timeout: 60_000 }, async () => {
    const service = new Service(2, '/spin');
    await service.event('protected');
    service.write('one\n');
    await service.until(({ out }) => out === 'one\n');
    process.kill(await service.pid('primary'), 'SIGKILL');
    await service.event('serving', 2);
    service.write('two\n');
    await service.until(({ out }) => out === 'one\ntwo\n');
    await service.event('protected', 2);
  });
});
