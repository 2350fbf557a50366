/**
 * Programs from Debian packages, without installing them: what the machine has is used; what it lacks is downloaded with
 * apt-get into a cache folder and unpacked there. Needs neither root nor a change to the machine.
 */

import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const execute = promisify(execFile);

export interface Packages {
  /** The programs' folder tree (as if "/"), or null when the machine has them all. */
  readonly root: string | null;
}

const FOLDERS = ['/usr/bin', '/usr/sbin', '/bin', '/usr/local/bin'];

/** Host path of a program: the machine's own or the unpacked one; null if neither. */
export function programPath({ root }: Packages, name: string): string | null {
  const folders = root === null ? FOLDERS : [...FOLDERS, `${root}/usr/bin`, `${root}/usr/sbin`];
  return folders.map((folder) => `${folder}/${name}`).find((path) => existsSync(path)) ?? null;
}

/** `--file HOST:GUEST` for every program and library that was unpacked. */
export function fileOptions({ root }: Packages): string[] {
  if (root === null) return [];
  const all = readdirSync(root, { recursive: true, withFileTypes: true });
  return all
    .filter((entry) => !entry.isDirectory())
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((path) => /\/(s?bin)\/|\.so(\.|$)/.test(path))
    .flatMap((path) => ['--file', `${path}:${path.slice(root.length)}`]);
}

/** For running an unpacked program natively. */
export function nativeEnvironment({ root }: Packages): NodeJS.ProcessEnv {
  if (root === null) return process.env;
  return { ...process.env, LD_LIBRARY_PATH: `${root}/usr/lib/x86_64-linux-gnu:${root}/lib/x86_64-linux-gnu` };
}

/** Makes `programs` available, from Debian's `packages` if need be. `say` gets one line per step. */
export async function ensurePackages(
  programs: readonly string[],
  packages: readonly string[],
  say: (text: string) => void,
): Promise<Packages> {
  const installed: Packages = { root: null };
  if (programs.every((name) => programPath(installed, name) !== null)) return installed;
  const cache = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'tardigrade', packages.join('+'));
  const unpacked: Packages = { root: join(cache, 'root') };
  if (programs.every((name) => programPath(unpacked, name) !== null)) return unpacked;
  if (!existsSync('/usr/bin/apt-get') || !existsSync('/usr/bin/dpkg')) {
    throw new Error(
      `${programs.join(', ')} not found, and this is no Debian to fetch it from; install it and try again`,
    );
  }
  say(`fetching ${packages.join(', ')} from Debian into ${cache} (nothing is installed)`);
  await download(cache, packages);
  // Unpacked beside and renamed, so that a half-done folder is never taken for a whole one.
  const fresh = `${unpacked.root}.new`;
  rmSync(fresh, { recursive: true, force: true });
  mkdirSync(fresh, { recursive: true });
  const debs = readdirSync(join(cache, 'archives')).filter((name) => name.endsWith('.deb'));
  for (const deb of debs) await execute('dpkg', ['-x', join(cache, 'archives', deb), fresh]);
  rmSync(unpacked.root!, { recursive: true, force: true });
  renameSync(fresh, unpacked.root!);
  const missing = programs.filter((name) => programPath(unpacked, name) === null);
  if (missing.length > 0) throw new Error(`${packages.join(', ')} fetched, but without ${missing.join(', ')}`);
  return unpacked;
}

async function download(cache: string, packages: readonly string[]): Promise<void> {
  for (const folder of ['archives/partial', 'lists/partial']) mkdirSync(join(cache, folder), { recursive: true });
  // The system's package status says what is there already; lists and archives are our own, so no root and no lock.
  const options = [
    ['-o', 'Debug::NoLocking=true'],
    ['-o', 'APT::Sandbox::User='],
    ['-o', `Dir::State::Lists=${cache}/lists`],
    ['-o', `Dir::Cache=${cache}`],
    ['-o', `Dir::Cache::archives=${cache}/archives`],
  ].flat();
  const apt = (...args: string[]) =>
    execute('apt-get', [...options, ...args], {
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive', LC_ALL: 'C' },
    });
  await apt('update');
  await apt('install', '--download-only', '--no-install-recommends', '-y', ...packages);
}
