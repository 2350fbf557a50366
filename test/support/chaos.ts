/**
 * Failures of real processes under a running service, chosen by a seed: kill -9 of the primary, of a backup, of the
 * gateway; a primary stopped for longer than the heartbeat and then let go on. Clients write meanwhile, and what they saw
 * must be linearizable; only the gateway's death may break a connection.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import type { Service } from '../../examples/redis/service.ts';
import { Histories } from './history.ts';
import { Random } from './random.ts';

export const FAILURES = ['kill primary', 'kill backup', 'pause primary', 'kill gateway'] as const;
export type Failure = (typeof FAILURES)[number];

export interface ChaosOptions {
  readonly seed: number;
  /** As many failures, or as many minutes. */
  readonly kills: number;
  readonly minutes?: number;
  readonly clients: number;
  readonly failures: readonly Failure[];
  /** A paused primary must be away for longer than the failure detector waits. */
  readonly heartbeatMs: number;
  readonly say: (text: string) => void;
}

export interface ChaosResult {
  readonly failures: Readonly<Record<Failure, number>>;
  readonly answered: number;
  readonly unanswered: number;
  /** Connections that broke at another time than a gateway's death. */
  readonly unexpectedBreaks: number;
  readonly breaks: number;
  /** Why the histories are not linearizable; empty when they are. */
  readonly violations: readonly string[];
}

const PROTECTED_MS_MAX = 60_000;
/** A connection breaks at once when its gateway dies; this long after, it is not the gateway's doing. */
const BREAK_MS_MAX = 3000;

export async function chaos(service: Service, options: ChaosOptions): Promise<ChaosResult> {
  const random = new Random(options.seed);
  const histories = new Histories(service.port, options.seed + 1);
  const failures: Record<Failure, number> = {
    'kill primary': 0,
    'kill backup': 0,
    'pause primary': 0,
    'kill gateway': 0,
  };
  const gatewayDeaths: number[] = [];
  await service.untilProtected(PROTECTED_MS_MAX);
  histories.start(options.clients);
  const end = options.minutes === undefined ? Number.POSITIVE_INFINITY : performance.now() + options.minutes * 60_000;
  const more = (done: number) => (options.minutes === undefined ? done < options.kills : performance.now() < end);
  for (let done = 0; more(done); done++) {
    await service.untilProtected(PROTECTED_MS_MAX);
    await sleep(random.below(400));
    const failure = random.pick(options.failures);
    const before = histories.answered;
    await inflict(failure);
    failures[failure] += 1;
    // The service must answer again, however long the joining takes.
    await untilAnswered(histories, performance.now());
    options.say(
      `${done + 1}: ${failure}; ${histories.answered - before} answers meanwhile, ${histories.answered} in all`,
    );
  }
  await service.untilProtected(PROTECTED_MS_MAX);
  await sleep(300);
  await histories.finish();
  const violations = await histories.check();
  const excused = ({ at }: { at: number }) => gatewayDeaths.some((death) => at >= death && at < death + BREAK_MS_MAX);
  return {
    failures,
    answered: histories.answered,
    unanswered: histories.unanswered,
    breaks: histories.breaks.length,
    unexpectedBreaks: histories.breaks.filter((one) => !excused(one)).length,
    violations,
  };

  async function inflict(failure: Failure): Promise<void> {
    switch (failure) {
      case 'kill primary':
        process.kill(await service.primaryPid(), 'SIGKILL');
        return;
      case 'kill backup':
        process.kill(random.pick(await service.backupPids()), 'SIGKILL');
        return;
      case 'pause primary': {
        const pid = await service.primaryPid();
        process.kill(pid, 'SIGSTOP');
        await sleep(options.heartbeatMs * 2 + random.below(options.heartbeatMs));
        try {
          process.kill(pid, 'SIGCONT');
        } catch {
          // The supervisor may have ended it already.
        }
        return;
      }
      case 'kill gateway': {
        const pid = (await service.status())?.gateway?.pid;
        if (pid === undefined) throw new Error('the service has no gateway');
        gatewayDeaths.push(performance.now());
        process.kill(pid, 'SIGKILL');
      }
    }
  }
}

async function untilAnswered(histories: Histories, since: number): Promise<void> {
  const deadline = since + PROTECTED_MS_MAX;
  while (histories.lastAnswer <= since) {
    if (performance.now() > deadline) throw new Error(`nobody was answered for ${PROTECTED_MS_MAX} ms`);
    await sleep(10);
  }
}
