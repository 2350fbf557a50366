/**
 * Where running services are found: a folder of this user's with one folder a service, which has the sockets of its
 * processes. What a process left behind that was killed is cleared away by whoever looks next.
 */

import { randomBytes } from 'node:crypto';
import { lstatSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { basename, join } from 'node:path';
import { OperatorError } from '../cli/errors.ts';

/** sun_path of unix(7), less the longest name in a service's folder. */
const PATH_MAX = 107 - '/r9.123456'.length;
const PID_FILE = 'pid';

export interface RunFolder {
  readonly id: string;
  readonly path: string;
}

/** XDG_RUNTIME_DIR is on a memory file system and cleared when the user logs out. */
export function runRoot(env: NodeJS.ProcessEnv = process.env): string {
  const { XDG_RUNTIME_DIR: runtime } = env;
  // A long path leaves no room for the names of sockets.
  if (runtime?.startsWith('/') && runtime.length < 60) return join(runtime, 'tardigrade');
  return join(tmpdir(), `tardigrade-${userInfo().uid}`);
}

/** A folder for a service that runs `program` in this process. Throws OperatorError. */
export function makeRunFolder(program: string, root = runRoot()): RunFolder {
  try {
    mkdirSync(root, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw refused(root, (error as Error).message);
  }
  checkOwn(root);
  const name = basename(program).replace(/[^A-Za-z0-9._-]/g, '-') || 'program';
  for (;;) {
    const id = `${name.slice(0, 20)}-${randomBytes(2).toString('hex')}`;
    const path = join(root, id);
    if (path.length > PATH_MAX) throw refused(root, 'its path is too long for sockets');
    try {
      mkdirSync(path, { mode: 0o700 });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EEXIST') continue;
      throw refused(root, (error as Error).message);
    }
    writeFileSync(join(path, PID_FILE), String(process.pid));
    return { id, path };
  }
}

export function removeRunFolder({ path }: RunFolder): void {
  rmSync(path, { recursive: true, force: true });
}

/** Services whose process lives; what others left is removed. */
export function runFolders(root = runRoot()): RunFolder[] {
  let names: string[];
  try {
    checkOwn(root);
    names = readdirSync(root).sort();
  } catch {
    return [];
  }
  const folders = names.filter((name) => !name.startsWith('.')).map((id) => ({ id, path: join(root, id) }));
  return folders.filter((folder) => {
    const pid = pidOf(folder);
    // Without the file: one that begins at this moment, or something that is not ours.
    if (pid === null || isAlive(pid)) return pid !== null;
    removeRunFolder(folder);
    return false;
  });
}

/** V8's code for the replicas' sources, so that a replacement starts in a third of the time. */
export function compileCachePath(root = runRoot()): string {
  return join(root, '.compile-cache');
}

export function controlPath({ path }: RunFolder): string {
  return join(path, 'control');
}

function pidOf({ path }: RunFolder): number | null {
  try {
    const pid = Number(readFileSync(join(path, PID_FILE), 'utf8'));
    return Number.isSafeInteger(pid) && pid > 0 ? pid : null;
  } catch {
    return null;
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** Somebody else's folder in a shared place could hold sockets that are not ours. */
function checkOwn(root: string): void {
  const stat = lstatSync(root);
  if (!stat.isDirectory() || stat.uid !== userInfo().uid) throw refused(root, 'it is not a folder of yours');
  if ((stat.mode & 0o077) !== 0) throw refused(root, 'others may use it');
}

function refused(root: string, why: string): OperatorError {
  return new OperatorError(
    'TG_RUN_FOLDER',
    `the folder of running services, ${root}, cannot be used: ${why}`,
    'Remove it, or set XDG_RUNTIME_DIR to a folder that is yours alone.',
  );
}
