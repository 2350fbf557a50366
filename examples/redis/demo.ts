/**
 * `npm start`: the demo and the proof. Two replicas run Debian's own redis-server; clients write over connections that
 * never reconnect; the serving replica's process is killed (SIGKILL) again and again, and replaced each time. At the end
 * every acknowledged write must be there, and no connection may have broken.
 *
 * Options: --kills N (5), --connections N (16), --seconds-between S (1), --native (run redis natively: shows what is lost
 * without Tardigrade; there is nothing to fail over to, so it fails).
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { ensurePackages, programPath } from './packages.ts';
import { freePort, REDIS_ARGS, REDIS_PROBE, type Service, startNative, startTardigrade } from './service.ts';
import { Writers } from './writers.ts';

const { values: options } = parseArgs({
  options: {
    kills: { type: 'string', default: '5' },
    connections: { type: 'string', default: '16' },
    'seconds-between': { type: 'string', default: '1' },
    native: { type: 'boolean', default: false },
  },
});
/** The proof is worth nothing with fewer. */
const ACKNOWLEDGED_MIN = 1000;
const PROTECTED_MS_MAX = 60_000;

interface Failover {
  readonly pid: number;
  readonly blackoutMs: number;
  readonly protectedMs: number;
  readonly acknowledged: number;
}

const started = performance.now();
const say = (text: string) =>
  console.error(`${((performance.now() - started) / 1000).toFixed(1).padStart(6)} s  ${text}`);

process.exitCode = await demo();

async function demo(): Promise<number> {
  const kills = Number(options.kills);
  const packages = await ensurePackages(['redis-server'], ['redis-server', 'redis-tools'], say);
  const path = programPath(packages, 'redis-server')!;
  const service = options.native ? await native(path) : await replicated(path);
  const writers = new Writers(1);
  const failovers: Failover[] = [];
  let lost = 0;
  try {
    await service.untilProtected(PROTECTED_MS_MAX);
    say(`${path} serves on 127.0.0.1:${service.port}${options.native ? '' : ', two replicas in step'}`);
    await writers.start(service.port, Number(options.connections));
    say(`${options.connections} connections write; reconnection is off`);
    for (let i = 0; i < kills && writers.tally.resets < Number(options.connections); i++) {
      await sleep(Number(options['seconds-between']) * 1000);
      failovers.push(await kill(service, writers));
    }
    // Enough writes for a proof, also with --kills 0.
    const deadline = Date.now() + 60_000;
    while (writers.tally.acknowledged <= ACKNOWLEDGED_MIN && writers.tally.resets === 0 && Date.now() < deadline) {
      await sleep(100);
    }
    await sleep(500);
    await writers.finish();
    say(`reading ${writers.tally.acknowledged} acknowledged writes back`);
    lost = await writers.verify(service.port);
  } catch (error) {
    say(`failed: ${error instanceof Error ? error.message : error}`);
    lost = Math.max(lost, 1);
  } finally {
    await service.stop();
  }
  return result(writers, failovers, lost);

  function native(program: string): Promise<Service> {
    return freePort().then((port) =>
      startNative({ path: program, args: ['--port', String(port), ...REDIS_ARGS], port, probe: REDIS_PROBE }, packages),
    );
  }

  function replicated(program: string): Promise<Service> {
    const guestPath = packages.root === null ? program : program.slice(packages.root.length);
    const redis = { path: guestPath, args: ['--port', '6379', ...REDIS_ARGS], port: 6379, probe: REDIS_PROBE };
    return startTardigrade(redis, packages, { replicas: 2 });
  }
}

async function kill(service: Service, writers: Writers): Promise<Failover> {
  await service.untilProtected(PROTECTED_MS_MAX);
  const pid = await service.primaryPid();
  const killedAt = performance.now();
  process.kill(pid, 'SIGKILL');
  await service.untilProtected(PROTECTED_MS_MAX);
  const protectedAt = performance.now();
  const blackoutMs = writers.timeline.longestGap(killedAt, protectedAt);
  const { acknowledged, resets } = writers.tally;
  say(
    `killed -9 process ${pid}: nobody answered for ${blackoutMs.toFixed(0)} ms, protected again after ` +
      `${(protectedAt - killedAt).toFixed(0)} ms; ${acknowledged} writes acknowledged, ${resets} connections broken`,
  );
  return { pid, blackoutMs, protectedMs: protectedAt - killedAt, acknowledged };
}

function result({ tally }: Writers, failovers: readonly Failover[], lost: number): number {
  const blackouts = failovers.map((failover) => failover.blackoutMs).sort((a, b) => a - b);
  console.log('\nkill  process  blackout ms  protected after ms  acknowledged so far');
  failovers.forEach(({ pid, blackoutMs, protectedMs, acknowledged }, i) => {
    const cells = [
      [i + 1, 4],
      [pid, 7],
      [blackoutMs.toFixed(0), 11],
      [protectedMs.toFixed(0), 18],
      [acknowledged, 19],
    ];
    console.log(cells.map(([value, width]) => String(value).padStart(width as number)).join('  '));
  });
  for (const text of tally.wrong) console.log(`wrong: ${text}`);
  // A doubled write or a wrong reply is as bad as a lost one.
  const summary = {
    acknowledged: tally.acknowledged,
    lost: Math.max(lost, tally.wrongs),
    resets: tally.resets,
    failovers: failovers.length,
    blackoutMsP50: round(blackouts[Math.floor((blackouts.length - 1) / 2)] ?? 0),
    blackoutMsMax: round(blackouts.at(-1) ?? 0),
  };
  const proved =
    summary.lost === 0 &&
    summary.resets === 0 &&
    summary.acknowledged > ACKNOWLEDGED_MIN &&
    failovers.length === Number(options.kills);
  console.log(
    proved
      ? `\n${summary.acknowledged} writes acknowledged, none lost; no connection broke in ${summary.failovers} failovers.\n`
      : '\nFAILED\n',
  );
  console.log(JSON.stringify(summary));
  return proved ? 0 : 1;
}

function round(ms: number): number {
  return Math.round(ms * 10) / 10;
}
