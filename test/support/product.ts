/** What the end-to-end tests run, or null with a printed reason where it cannot be. */

import { ensurePackages, type Packages, programPath } from '../../examples/redis/packages.ts';
import {
  freePort,
  type Program,
  REDIS_ARGS,
  REDIS_PROBE,
  type Service,
  startNative,
  startTardigrade,
} from '../../examples/redis/service.ts';

/** The full numbers, for `npm run test:full`. */
export const full = process.env.FULL === '1';

/** SUBJECT=native: the same tests against the program as the host runs it, to tell the test's faults from ours. */
export const native = process.env.SUBJECT === 'native';

export interface Subject {
  readonly program: Program;
  readonly packages: Packages;
}

export async function redisProgram(): Promise<Subject | null> {
  return subject(['redis-server', 'redis-benchmark'], ['redis-server', 'redis-tools'], {
    args: ['--port', '6379', ...REDIS_ARGS, '--dir', '/tmp', '--enable-debug-command', 'yes'],
    port: 6379,
    probe: REDIS_PROBE,
  });
}

export async function memcachedProgram(): Promise<Subject | null> {
  return subject(['memcached'], ['memcached'], {
    args: ['-u', 'root', '-p', '11211', '-U', '0', '-m', '64', '-t', '4'],
    port: 11211,
    probe: ['version\r\n', 'VERSION'],
  });
}

async function subject(
  programs: readonly string[],
  debian: readonly string[],
  rest: Omit<Program, 'path'>,
): Promise<Subject | null> {
  try {
    const packages = await ensurePackages(programs, debian, (text) => console.log(text));
    const path = programPath(packages, programs[0]!)!;
    const guestPath =
      packages.root !== null && path.startsWith(packages.root) ? path.slice(packages.root.length) : path;
    return { program: { path: guestPath, ...rest }, packages };
  } catch (error) {
    return skip(String(error));
  }
}

/** On two replicas, unless SUBJECT says otherwise. */
export async function start({ program, packages }: Subject): Promise<Service> {
  if (!native) {
    const service = await startTardigrade(program, packages, { replicas: 2 });
    await service.untilProtected(60_000);
    return service;
  }
  const port = await freePort();
  const args = program.args.map((arg) => (arg === String(program.port) ? String(port) : arg));
  const path = packages.root === null ? program.path : packages.root + program.path;
  return startNative({ ...program, path, args, port }, packages);
}

function skip(reason: string): null {
  console.log(`skipped: ${reason}`);
  return null;
}
