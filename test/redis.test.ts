/**
 * Debian's own redis-server on two replicas, used as its users do: redis-benchmark, a client library, large values, RDB
 * and AOF inside the guest. FULL=1 (`npm run test:full`) takes the benchmark's numbers of issue 2, else fewer requests.
 */

import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { redisBenchmark } from '../examples/redis/benchmark.ts';
import type { Service } from '../examples/redis/service.ts';
import { connectOnce } from '../examples/redis/writers.ts';
import { full, redisProgram, start } from './support/product.ts';

const TESTS = 'ping,set,get,incr,lpush,rpush,lpop,sadd,hset,spop,zadd,lrange,mset'.split(',');

const redis = await redisProgram();

describe.skipIf(redis === null)('redis on two replicas', () => {
  let service: Service;
  beforeAll(async () => {
    service = await start(redis!);
  }, 120_000);
  afterAll(() => service?.stop());

  test('redis-benchmark, 50 clients', { timeout: 300_000 }, async () => {
    const load = { tests: TESTS, requests: full ? 10_000 : 2000, clients: 50, pipeline: 1 };
    const measured = await redisBenchmark(redis!.packages, service.port, load);
    expect(measured.length).toBeGreaterThanOrEqual(TESTS.length);
    for (const { opsPerSecond } of measured) expect(opsPerSecond).toBeGreaterThan(0);
  });

  test('redis-benchmark, 50 clients, pipelines of 16', { timeout: 300_000 }, async () => {
    const load = { tests: TESTS, requests: full ? 10_000 : 4000, clients: 50, pipeline: 16 };
    const measured = await redisBenchmark(redis!.packages, service.port, load);
    expect(measured.length).toBeGreaterThanOrEqual(TESTS.length);
  });

  test('a value of 20 MB goes in and comes out', { timeout: 120_000 }, async () => {
    const client = connectOnce(service.port);
    await client.connect();
    const value = randomBytes(20_000_000);
    expect(await client.set('large', value)).toBe('OK');
    const back = await client.getBuffer('large');
    expect(back?.equals(value)).toBe(true);
    await client.del('large');
    client.disconnect();
  });

  test('BGSAVE (fork), SAVE and the append-only file', { timeout: 120_000 }, async () => {
    const client = connectOnce(service.port);
    await client.connect();
    await client.set('kept', 'yes');
    expect(await client.save()).toBe('OK');
    const before = await client.lastsave();
    expect(await client.bgsave()).toBe('Background saving started');
    await untilTrue(async () => /rdb_bgsave_in_progress:0/.test(await client.info('persistence')), 60_000);
    const info = await client.info('persistence');
    expect(info).toMatch(/rdb_last_bgsave_status:ok/);
    expect(await client.lastsave()).toBeGreaterThanOrEqual(before);
    await client.config('SET', 'appendonly', 'yes');
    await untilTrue(async () => /aof_rewrite_in_progress:0/.test(await client.info('persistence')), 60_000);
    await client.set('appended', 'yes');
    // From the files alone: what is in memory is thrown away and loaded again, from the log, then from a snapshot.
    expect(await client.call('DEBUG', 'LOADAOF')).toBe('OK');
    expect(await client.mget('kept', 'appended')).toEqual(['yes', 'yes']);
    expect(await client.call('DEBUG', 'RELOAD')).toBe('OK');
    expect(await client.mget('kept', 'appended')).toEqual(['yes', 'yes']);
    await client.config('SET', 'appendonly', 'no');
    client.disconnect();
  });
});

async function untilTrue(condition: () => Promise<boolean>, timeoutMs: number): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`not true after ${timeoutMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
