/** From the operator's words to what is to be run. */

import { resolve } from 'node:path';
import { parseMount } from '../image/mounts.ts';
import type { Config } from './config.ts';
import { OperatorError } from './errors.ts';
import {
  bad,
  type Publish,
  parseEnv,
  parseInteger,
  parseMemory,
  parsePublish,
  parseTrace,
  type Trace,
} from './values.ts';

export interface RunRequest {
  readonly replicas: number;
  readonly publish: readonly Publish[];
  /** Absolute host path. */
  readonly rootfs: string;
  /** `HOSTPATH:GUESTPATH`, host paths absolute. */
  readonly files: readonly string[];
  /** The guest's whole environment. */
  readonly env: Readonly<Record<string, string>>;
  /** Guest path. */
  readonly cwd: string;
  /** Milliseconds. */
  readonly epochMs: number;
  /** Bytes. */
  readonly memory: number;
  /** Absolute host path. */
  readonly dataDir: string | null;
  /** Absolute host path in `file`. */
  readonly trace: Trace | null;
  /** Absolute host path. */
  readonly profile: string | null;
  readonly json: boolean;
  readonly program: string;
  readonly args: readonly string[];
}

export const DEFAULTS = { replicas: '2', epoch: '10', memory: '1G', rootfs: '/' } as const;
export const REPLICAS_MAX = 9;

/** What a container gets; a service's state should not depend on who started it. */
const SERVICE_ENV = {
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  HOME: '/root',
  TERM: 'dumb',
};

export interface Host {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
}

/**
 * `given` holds only what flags said (for contradictions); `config` is flags, environment, file merged.
 * One replica is "like running the program": it has the environment and the folder of whoever runs it. A replicated
 * service has neither.
 */
export function runRequest(config: Config, given: Config, words: readonly string[], host: Host): RunRequest {
  const [program, ...args] = words;
  if (program === undefined) {
    throw new OperatorError('TG_USAGE', 'no program given', 'tardigrade run [options] -- PROGRAM ARGS…');
  }
  const replicas = parseInteger('replicas', config.replicas ?? DEFAULTS.replicas, 1, REPLICAS_MAX);
  const publish = (config.publish ?? []).map(parsePublish);
  checkPorts(publish);
  if (replicas === 1 && given.epoch !== undefined) {
    throw contradiction('--epoch with --replicas 1', 'One replica takes no checkpoints; leave --epoch out.');
  }
  if (replicas === 1 && config['data-dir'] !== undefined) {
    throw contradiction('--data-dir with --replicas 1', 'One replica keeps nothing on disk; leave --data-dir out.');
  }
  for (const tool of ['trace', 'profile'] as const) {
    if (replicas > 1 && config[tool] !== undefined) {
      throw contradiction(`--${tool} with ${replicas} replicas`, `Run the program with --replicas 1 to look at it.`);
    }
  }
  const rootfs = resolve(host.cwd, config.rootfs ?? DEFAULTS.rootfs);
  const inherited = replicas === 1 ? defined(host.env) : SERVICE_ENV;
  const env: Record<string, string> = { ...inherited };
  for (const item of config.env ?? []) {
    const pair = parseEnv(item, host.env);
    if (pair !== null) env[pair[0]] = pair[1];
  }
  const dataDir = config['data-dir'];
  const trace = config.trace === undefined ? null : parseTrace(config.trace);
  if (config.profile === '') throw bad('profile', '""', 'give a file');
  if (dataDir === '') throw bad('data-dir', '""', 'give a folder');
  return {
    replicas,
    publish,
    rootfs,
    files: (config.file ?? []).map((text) => {
      const mount = parseMount(text, (path) => resolve(host.cwd, path));
      return `${mount.host}:${mount.guest}`;
    }),
    env,
    cwd: replicas === 1 && rootfs === '/' ? host.cwd : '/',
    epochMs: parseInteger('epoch', config.epoch ?? DEFAULTS.epoch, 1, 10_000),
    memory: parseMemory(config.memory ?? DEFAULTS.memory),
    dataDir: dataDir === undefined ? null : resolve(host.cwd, dataDir),
    trace: trace === null ? null : { ...trace, file: trace.file === null ? null : resolve(host.cwd, trace.file) },
    profile: config.profile === undefined ? null : resolve(host.cwd, config.profile),
    json: config.json ?? false,
    program,
    args,
  };
}

function checkPorts(publish: readonly Publish[]): void {
  const seen = new Map<string, Publish>();
  for (const one of publish) {
    const key = `${one.host}:${one.port}`;
    const other = seen.get(key);
    if (other !== undefined) {
      throw contradiction(`--publish ${key} given twice`, 'Each host port can lead to one guest port.');
    }
    seen.set(key, one);
  }
}

function contradiction(what: string, advice: string): OperatorError {
  return new OperatorError('TG_CONTRADICTION', `contradictory options: ${what}`, advice);
}

function defined(env: Readonly<Record<string, string | undefined>>): Record<string, string> {
  return Object.fromEntries(Object.entries(env).filter((pair): pair is [string, string] => pair[1] !== undefined));
}
