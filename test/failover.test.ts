/**
 * Failures of real processes under load. CI has a short run of every kind; `npm run soak` is the long one. SEED=… repeats
 * the choices (not the moments).
 */

import { describe, expect, test } from 'vitest';
import { chaos, FAILURES } from './support/chaos.ts';
import { full, native, redisProgram, start } from './support/product.ts';
import { seedFrom } from './support/random.ts';

const redis = await redisProgram();

describe.skipIf(redis === null || native)('failures of processes', () => {
  test('histories stay linearizable, and only the gateway breaks connections', { timeout: 900_000 }, async () => {
    const seed = seedFrom();
    console.log(`seed ${seed}`);
    const service = await start(redis!);
    try {
      const kills = full ? 50 : 12;
      const say = (text: string) => console.log(text);
      const result = await chaos(service, { seed, kills, clients: 8, failures: FAILURES, heartbeatMs: 500, say });
      console.log(JSON.stringify(result));
      expect(result.violations, `seed ${seed}`).toEqual([]);
      expect(result.unexpectedBreaks, `seed ${seed}`).toBe(0);
      expect(result.answered).toBeGreaterThan(kills * 20);
    } finally {
      await service.stop();
    }
  });
});
