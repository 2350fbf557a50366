/** Debian's memcached (threads, libevent, epoll) on two replicas, used through a client library. */

import memjs from 'memjs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Service } from '../examples/redis/service.ts';
import { memcachedProgram, native, start } from './support/product.ts';

const memcached = await memcachedProgram();

describe.skipIf(memcached === null)('memcached on two replicas', () => {
  let service: Service;
  let client: memjs.Client;
  beforeAll(async () => {
    service = await start(memcached!);
    client = memjs.Client.create(`127.0.0.1:${service.port}`, { retries: 0, timeout: 20, conntimeout: 20 });
  }, 120_000);
  afterAll(async () => {
    client?.close();
    await service?.stop();
  });

  test('set, get, add, replace, increment, append, delete', { timeout: 60_000 }, async () => {
    expect(await client.set('a', 'one', {})).toBe(true);
    expect((await client.get('a')).value?.toString()).toBe('one');
    expect(await client.add('a', 'two', {})).toBe(false);
    expect(await client.replace('a', 'two', {})).toBe(true);
    expect(await client.append('a', '!')).toBe(true);
    expect((await client.get('a')).value?.toString()).toBe('two!');
    expect((await client.increment('n', 5, { initial: 1 })).value).toBe(1);
    expect((await client.increment('n', 5, {})).value).toBe(6);
    expect(await client.delete('a')).toBe(true);
    expect((await client.get('a')).value).toBeNull();
  });

  test('a thousand values, one of 900 KB, and they survive the primary', { timeout: 120_000 }, async () => {
    const large = Buffer.alloc(900_000, 'x');
    await client.set('large', large, {});
    for (let i = 0; i < 1000; i++) await client.set(`key ${i}`.replace(' ', ''), `value ${i}`, {});
    if (!native) process.kill(await service.primaryPid(), 'SIGKILL');
    expect((await client.get('large')).value?.equals(large)).toBe(true);
    for (let i = 0; i < 1000; i++) expect((await client.get(`key${i}`)).value?.toString()).toBe(`value ${i}`);
  });
});
