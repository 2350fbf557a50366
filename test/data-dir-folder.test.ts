/**
 * `--data-dir` with the echo machine, which starts at once: what a run finds, keeps, refuses and leaves in its folder. The
 * machine counts the bytes of its input, in a part and in memory, and ends with that count as its status.
 */

import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest';
import { JOURNAL_RECORD } from '../src/checkpoint/journal.ts';
import { newestJournal } from '../src/checkpoint/journal-name.ts';
import { EchoRun, untilGone } from './support/echo-run.ts';

const runtime = mkdtempSync(join(tmpdir(), 'tg-data-'));
const running = new Set<EchoRun>();
let folder = '';
let next = 0;

beforeEach(() => {
  folder = join(runtime, `data-${next++}`, 'inner');
});
afterEach(async () => {
  for (const run of running) await run.end();
  running.clear();
});
afterAll(() => rmSync(runtime, { recursive: true }));

function start(options: { replicas?: number; program?: string; shell?: string } = {}): EchoRun {
  const run = new EchoRun({ runtime, replicas: 2, dataDir: folder, ...options });
  running.add(run);
  return run;
}

/** Until it has answered with all of `text`. */
async function say(run: EchoRun, text: string): Promise<void> {
  const wanted = run.out.length + text.length;
  run.write(text);
  await run.until(({ out }) => out.length >= wanted);
}

/** Everything stops at once. */
async function killAll(run: EchoRun): Promise<void> {
  const pids = await run.pids();
  for (const pid of pids) process.kill(pid, 'SIGKILL');
  await untilGone(pids);
}

/** Its count at the end of its input, and that it left nothing but a lock. */
async function endsWith(run: EchoRun, count: number): Promise<void> {
  run.child.stdin!.end();
  expect(await run.ended).toEqual({ code: count, signal: null });
  expect(readdirSync(folder).filter((name) => !name.startsWith('lock.'))).toEqual([]);
}

async function refused(run: EchoRun, code: string, words: string): Promise<void> {
  expect(await run.ended, run.err).toEqual({ code: 125, signal: null });
  expect(run.err).toContain(`tardigrade: ${code}: `);
  expect(run.err).toContain(words);
}

function journal(): string {
  return join(folder, newestJournal(readdirSync(folder))!);
}

describe('a data directory', () => {
  test('is made, and what it has is what the next run goes on from, however the last one ended', async () => {
    const first = start();
    await first.event('protected');
    await say(first, 'seven..');
    expect(statSync(folder).mode & 0o777).toBe(0o700);
    expect(statSync(journal()).mode & 0o777).toBe(0o600);
    const { journal: kept } = (await first.ask('status'))!;
    expect(kept).toMatchObject({ folder, bytes: statSync(journal()).size });
    expect(kept!.durableEpoch).toBeGreaterThan(0);
    expect(kept!.syncUs!.p50).toBeGreaterThan(0);
    await killAll(first);

    const second = start({ replicas: 3 });
    await second.event('restarted');
    // Nobody knows whether all of the last output had arrived; what it had is not said again.
    expect('seven..'.endsWith(second.out)).toBe(true);
    const before = second.out.length;
    await second.event('protected');
    second.write('five.');
    await second.until(({ out }) => out.endsWith('five.'));
    expect(second.out.length).toBeLessThanOrEqual(before + 'seven..five.'.length);
    expect(await second.ask('stop')).toBeNull();
    expect(await second.ended).toEqual({ code: 0, signal: null });
    expect(second.events.at(-1)).toMatchObject({ event: 'kept', folder });

    const third = start();
    await third.event('serving');
    third.child.kill('SIGTERM');
    expect(await third.ended).toEqual({ code: 128 + 15, signal: null });

    const fourth = start();
    await fourth.event('restarted');
    await endsWith(fourth, 12);
    const fifth = start();
    await fifth.event('serving');
    expect(fifth.events.map(({ event }) => event)).not.toContain('restarted');
    await endsWith(fifth, 0);
  });

  test('a run that dies when its program has just ended: the next one tells that end again', async () => {
    const run = start();
    await run.event('protected');
    await say(run, 'four');
    const backup = await run.pid('backup');
    // It does not end when it is let go, so the run waits for it before it empties the folder.
    process.kill(backup, 'SIGSTOP');
    run.child.stdin!.end();
    await run.event('ended');
    run.child.kill('SIGKILL');
    process.kill(backup, 'SIGKILL');
    await run.ended;
    expect(newestJournal(readdirSync(folder))).not.toBeNull();
    await endsWith(start(), 4);
  });

  test('changes hands with its journal', async () => {
    const run = start();
    await run.event('protected');
    await say(run, 'one');
    const names = new Set([journal()]);
    process.kill(await run.pid('primary'), 'SIGKILL');
    await run.event('serving', 2);
    await say(run, 'two2');
    names.add(journal());
    await run.event('protected', 2);
    await run.ask('failover');
    await say(run, 'three');
    names.add(journal());
    expect(names.size).toBe(3);
    await killAll(run);
    const again = start();
    await again.event('restarted');
    await endsWith(again, 12);
  });

  test('a torn tail is cut off; damage before it is refused, and nothing is changed', async () => {
    const run = start();
    await run.event('protected');
    for (const text of ['a', 'bc', 'def']) await say(run, text);
    await run.ask('stop');
    await run.ended;
    const path = journal();
    const whole = readFileSync(path);
    const damaged = (at: number): Buffer => {
      const bytes = Buffer.from(whole);
      bytes[at]! ^= 0x10;
      return bytes;
    };
    for (const at of [20, whole.length >> 1]) {
      writeFileSync(path, damaged(at));
      await refused(start(), 'TG_JOURNAL_CORRUPT', path);
      expect(readFileSync(path).equals(damaged(at))).toBe(true);
    }
    // The last record is a mark, which says that all before it was durable. Half of it:
    writeFileSync(path, whole.subarray(0, whole.length - JOURNAL_RECORD / 2));
    const again = start();
    await again.event('restarted');
    await endsWith(again, 6);
  });

  test('of another service, or of another version, is refused', async () => {
    const run = start();
    await run.event('serving');
    await run.until(() => existsSync(folder) && newestJournal(readdirSync(folder)) !== null);
    await run.ask('stop');
    await run.ended;
    await refused(start({ program: '/spin' }), 'TG_DATA_DIR_OTHER', 'program was "/echo", is "/spin"');
    const path = journal();
    const bytes = readFileSync(path);
    bytes.writeUInt32LE(77, 8);
    const { crc32 } = await import('node:zlib');
    bytes.writeUInt32LE(crc32(bytes.subarray(0, 28)), 28);
    writeFileSync(path, bytes);
    await refused(start(), 'TG_JOURNAL_VERSION', 'version 77');
  });

  test('is used by one run at a time, and by nobody who is dead', async () => {
    const run = start();
    await run.event('protected');
    await say(run, 'abc');
    await refused(start(), 'TG_DATA_DIR_LOCKED', `process ${run.child.pid}`);
    // The run alone is killed: its replicas end by themselves, and the next one waits for that.
    run.child.kill('SIGKILL');
    const two = [start(), start()];
    await Promise.race(two.map((one) => one.ended));
    const loser = two.find(({ child }) => child.exitCode !== null)!;
    await refused(loser, 'TG_DATA_DIR_LOCKED', 'process ');
    const winner = two.find((one) => one !== loser)!;
    await winner.event('restarted');
    await endsWith(winner, 3);
  });

  test('with something else in it, or that is no folder, is refused', async () => {
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, 'letter.txt'), 'mine');
    await refused(start(), 'TG_DATA_DIR', 'letter.txt');
    expect(readdirSync(folder)).toEqual(['letter.txt']);
    rmSync(folder, { recursive: true });
    writeFileSync(folder, '');
    await refused(start(), 'TG_DATA_DIR', folder);
    rmSync(folder);
    mkdirSync(folder);
    chmodSync(folder, 0o755);
    const run = start();
    await run.event('serving');
    expect(statSync(folder).mode & 0o777).toBe(0o700);
    await endsWith(run, 0);
  });

  test('a disk that takes no more: the service ends and says why, and has what it told', async () => {
    // Files of at most 64 KiB; the signal of the limit is ignored, so that a write fails with EFBIG.
    const run = start({ shell: "trap '' XFSZ; ulimit -f 128" });
    await run.event('protected');
    await say(run, 'told');
    run.write('x'.repeat(200_000));
    expect(await run.ended, run.err).toEqual({ code: 125, signal: null });
    expect(run.err).toContain('TG_JOURNAL_WRITE');
    expect(run.err).toContain('EFBIG');
    const told = run.out.length;
    const again = start();
    await again.event('restarted');
    again.child.stdin!.end();
    const { code } = await again.ended;
    expect(told).toBeLessThan(200_000);
    expect(code).toBe(told % 100);
  });
});
