import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { ProcessLock } from './process-lock.ts';

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'tg-lock-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

interface Content {
  boot: string | null;
  processes: { pid: number; start: string | null }[];
}

function content(): Content {
  const [name, ...others] = readdirSync(folder);
  expect(others).toEqual([]);
  return JSON.parse(readFileSync(join(folder, name!), 'utf8')) as Content;
}

/** Puts a lock there as it would be, but for what `change` changes. */
async function left(change: (content: Content) => void): Promise<void> {
  await taken();
  const [name] = readdirSync(folder);
  const file = content();
  change(file);
  writeFileSync(join(folder, name!), JSON.stringify(file));
}

async function taken(): Promise<ProcessLock> {
  const lock = await ProcessLock.take(folder);
  if (!(lock instanceof ProcessLock)) throw new Error(`process ${lock.pid} has it`);
  return lock;
}

async function other(): Promise<ChildProcess & { readonly pid: number }> {
  const child = spawn('sleep', ['60'], { stdio: 'ignore' });
  await once(child, 'spawn');
  return child as ChildProcess & { readonly pid: number };
}

test('one at a time; given up, it is there for the next', async () => {
  const lock = await taken();
  expect(await ProcessLock.take(folder)).toEqual({ pid: process.pid });
  lock.release();
  const again = await taken();
  expect(readdirSync(folder)).toEqual(['lock.2']);
  again.release();
});

test('names nobody whose pid somebody else has now, or who ran before the machine was restarted', async () => {
  await left(({ processes }) => {
    processes[0]!.start = '1';
  });
  await left((file) => {
    file.boot = 'another';
  });
  await left(({ processes }) => {
    processes[0]!.pid = 2 ** 30;
  });
  writeFileSync(join(folder, 'lock.9'), '');
  (await taken()).release();
  expect(readdirSync(folder)).toEqual(['lock.10']);
});

test('waits for replicas of a run that has ended, not for those that have ended themselves', async () => {
  const [first, second] = [await other(), await other()];
  const lock = await taken();
  lock.add(first.pid);
  first.kill('SIGKILL');
  await once(first, 'exit');
  lock.add(second.pid);
  expect(content().processes.map(({ pid }) => pid)).toEqual([process.pid, second.pid]);
  const path = join(folder, 'lock.1');
  const file = content();
  file.processes[0]!.start = '1';
  writeFileSync(path, JSON.stringify(file));
  const next = ProcessLock.take(folder);
  let isTaken = false;
  next.then(() => (isTaken = true)).catch(() => {});
  for (let n = 0; n < 3; n++) await new Promise((resolve) => setTimeout(resolve, 20));
  expect(isTaken).toBe(false);
  second.kill('SIGKILL');
  expect(await next).toBeInstanceOf(ProcessLock);
});

test('of many processes that find a lock of nobody, one has it', async () => {
  writeFileSync(join(folder, 'lock.3'), JSON.stringify({ boot: 'another', processes: [{ pid: 1, start: '1' }] }));
  const module = new URL('./process-lock.ts', import.meta.url).href;
  const code = `
    const { ProcessLock } = await import(${JSON.stringify(module)});
    const lock = await ProcessLock.take(${JSON.stringify(folder)});
    console.log(lock instanceof ProcessLock ? 'mine' : lock.pid);
    process.stdin.resume();`;
  const children = Array.from({ length: 6 }, () => spawn(process.execPath, ['--input-type=module', '-e', code]));
  const said = await Promise.all(children.map(async ({ stdout }) => String((await once(stdout, 'data'))[0]).trim()));
  const winner = children[said.indexOf('mine')]!;
  expect(said.filter((words) => words !== 'mine')).toEqual(new Array(5).fill(String(winner.pid)));
  const ends = children.map((child) => once(child, 'exit'));
  for (const { stdin } of children) stdin.end();
  await Promise.all(ends);
  expect(readdirSync(folder)).toEqual(['lock.4']);
});
