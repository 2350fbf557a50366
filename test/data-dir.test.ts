/**
 * Debian's redis-server with `--data-dir`: everything that runs is killed at once, at a random moment under load, and the
 * next run on the same folder has every write that was acknowledged. In between primaries die, so that the journal changes
 * hands. SEED=… repeats the choices (not the moments).
 */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { type Service, startTardigrade } from '../examples/redis/service.ts';
import { connectOnce, Writers } from '../examples/redis/writers.ts';
import { untilGone } from './support/echo-run.ts';
import { native, redisProgram } from './support/product.ts';
import { Random, seedFrom } from './support/random.ts';

const ROUNDS = 3;
const CLIENTS = 8;

const redis = await redisProgram();

async function untilAcknowledged({ tally }: Writers, least: number, service: Service): Promise<void> {
  const deadline = Date.now() + 60_000;
  while (tally.acknowledged < least) {
    if (Date.now() > deadline) throw new Error(`only ${tally.acknowledged} of ${least} writes\n${service.log()}`);
    await sleep(2);
  }
}

/** All processes of the service, in a random order, with nothing in between. */
async function killAll(service: Service, random: Random): Promise<void> {
  const status = (await service.status())!;
  const pids = [status.pid, status.gateway!.pid, ...status.replicas.map(({ pid }) => pid)];
  const order = pids.map((pid) => [random.below(1 << 20), pid] as const).sort(([a], [b]) => a - b);
  for (const [, pid] of order) process.kill(pid, 'SIGKILL');
  await untilGone(pids);
}

describe.skipIf(redis === null || native)('redis whose state is kept in a folder', () => {
  test('everything is killed, again and again, and no acknowledged write is lost', { timeout: 400_000 }, async () => {
    const seed = seedFrom();
    const random = new Random(seed);
    console.log(`seed ${seed}`);
    const folder = mkdtempSync(join(tmpdir(), 'tg-redis-'));
    const run = (): Promise<Service> =>
      startTardigrade(redis!.program, redis!.packages, { replicas: 2, extra: ['--data-dir', folder] });
    const all: Writers[] = [];
    /** Nothing that any run was told is missing, and clients of before are gone. */
    const check = async (service: Service): Promise<void> => {
      for (const writers of all) expect(await writers.verify(service.port), `seed ${seed}`).toBe(0);
      for (const { tally } of all) expect(tally.wrong, `seed ${seed}`).toEqual([]);
      const client = connectOnce(service.port);
      await client.connect();
      await expect
        .poll(
          async () =>
            String(await client.client('LIST'))
              .trim()
              .split('\n').length,
          { timeout: 10_000 },
        )
        .toBe(1);
      client.disconnect();
    };
    let service = await run();
    try {
      for (let round = 0; round < ROUNDS; round++) {
        await service.untilProtected(60_000);
        const writers = new Writers(0, round * CLIENTS);
        all.push(writers);
        await writers.start(service.port, CLIENTS);
        await untilAcknowledged(writers, 200 + random.below(3000), service);
        // The journal changes hands; the last time everything is killed while the successor is still alone.
        for (let primaries = round; primaries > 0; primaries--) {
          await service.untilProtected(60_000);
          process.kill(await service.primaryPid(), 'SIGKILL');
          await untilAcknowledged(writers, writers.tally.acknowledged + 1 + random.below(500), service);
        }
        if (round < ROUNDS - 1) await service.untilProtected(60_000);
        await killAll(service, random);
        await writers.finish();
        expect(writers.tally.resets).toBe(CLIENTS);
        service = await run();
        await check(service);
        console.log(`round ${round}: ${writers.tally.acknowledged} writes acknowledged`);
      }
      const epoch = (await service.status())!.journal!.durableEpoch;
      expect(epoch).toBeGreaterThan(0);
    } finally {
      await service.stop();
      rmSync(folder, { recursive: true });
    }
  });
});
