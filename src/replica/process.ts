/**
 * What is the process's about a replica's process: the channel to the supervisor, and its end. A replica that meets
 * anything unexpected says so and stops at once (replication.md): what is not certain to be right must not go on.
 */

import { flushCompileCache } from 'node:module';
import type { FromReplica, ReplicaOptions, ToReplica } from './protocol.ts';
import { Replica, type ReplicaDeps } from './replica.ts';

/** When what V8 compiled is written to its cache (NODE_COMPILE_CACHE): a replica seldom ends in good order. */
const FLUSH_MS = 2000;
/** So that a replica that was told to go, or that gave up, is not taken for one that was killed. */
const EXIT_HALTED = 75;

export function runReplica(deps: Pick<ReplicaDeps, 'machines' | 'makeCpu'>): void {
  let replica: Replica | null = null;
  let ended = false;

  const say = (message: FromReplica): void => {
    // An error here means that the supervisor is gone: 'disconnect' ends us.
    if (!ended) process.send?.(message, undefined, undefined, () => {});
  };
  /** Nothing more is done; what was said gets out first. */
  const end = (last?: FromReplica): void => {
    if (ended) return;
    ended = true;
    const exit = (): never => process.exit(EXIT_HALTED);
    process.send?.(last ?? { kind: 'ended' }, undefined, undefined, exit);
  };
  const fail = (error: unknown): void => end(failure(error));

  process.once('disconnect', () => process.exit());
  process.on('uncaughtException', fail);
  process.on('unhandledRejection', fail);
  // A terminal, timeout(1) and systemd send signals to all processes of a group. They are for the guest, which gets them by
  // way of the supervisor; our end is that of the channel.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'] as const) process.on(signal, () => {});
  process.on('message', (message: ToReplica) => {
    if (ended) return;
    if (message.kind === 'start') replica = start(message.options);
    else replica?.handle(message);
  });

  function start(options: ReplicaOptions): Replica {
    process.title = `tardigrade replica ${options.self}`;
    const made = new Replica(options, { ...deps, say, end: () => end() });
    made.start().catch(fail);
    setTimeout(flushCompileCache, FLUSH_MS);
    return made;
  }
}

function failure(error: unknown): FromReplica {
  if (!(error instanceof Error)) return { kind: 'failed', code: 'TG_INTERNAL', text: String(error) };
  const { code, exitStatus, advice } = error as { code?: unknown; exitStatus?: unknown; advice?: unknown };
  if (typeof code !== 'string' || !code.startsWith('TG_')) {
    return { kind: 'failed', code: 'TG_INTERNAL', text: error.stack ?? error.message };
  }
  const operator = typeof exitStatus === 'number';
  return {
    kind: 'failed',
    code,
    // Where something is wrong with the program itself, where matters.
    text: operator ? error.message : (error.stack ?? error.message),
    ...(operator ? { exitStatus } : {}),
    ...(typeof advice === 'string' ? { advice } : {}),
  };
}
