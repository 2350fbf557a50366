/**
 * `npm run soak -- [--kills N | --minutes M] [--seed S] [--clients N] [--failures a,b]`: failures of real processes under
 * load until the end, then the verdict; last line JSON, status 1 if anything was lost. Failures: kill primary, kill backup,
 * pause primary, kill gateway.
 */

import { parseArgs } from 'node:util';
import { ensurePackages, programPath } from '../examples/redis/packages.ts';
import { REDIS_ARGS, REDIS_PROBE, startTardigrade } from '../examples/redis/service.ts';
import { chaos, FAILURES, type Failure } from '../test/support/chaos.ts';
import { seedFrom } from '../test/support/random.ts';

const { values } = parseArgs({
  options: {
    kills: { type: 'string', default: '50' },
    minutes: { type: 'string' },
    seed: { type: 'string' },
    clients: { type: 'string', default: '8' },
    failures: { type: 'string', default: FAILURES.join(',') },
  },
});

const seed = values.seed === undefined ? seedFrom() : Number(values.seed);
const failures = values.failures.split(',').map((name) => {
  const found = FAILURES.find((failure) => failure === name);
  if (found === undefined) throw new Error(`--failures: ${name} is none of ${FAILURES.join(', ')}`);
  return found satisfies Failure;
});
const say = (text: string) => console.error(text);
say(`seed ${seed}`);

const packages = await ensurePackages(['redis-server'], ['redis-server', 'redis-tools'], say);
const path = programPath(packages, 'redis-server')!;
const guestPath = packages.root === null ? path : path.slice(packages.root.length);
const redis = { path: guestPath, args: ['--port', '6379', ...REDIS_ARGS], port: 6379, probe: REDIS_PROBE };
const service = await startTardigrade(redis, packages, { replicas: 2 });
try {
  const result = await chaos(service, {
    seed,
    kills: Number(values.kills),
    ...(values.minutes === undefined ? {} : { minutes: Number(values.minutes) }),
    clients: Number(values.clients),
    failures,
    heartbeatMs: 500,
    say,
  });
  console.log(JSON.stringify({ seed, ...result }));
  if (result.violations.length > 0 || result.unexpectedBreaks > 0) process.exitCode = 1;
} finally {
  await service.stop();
}
