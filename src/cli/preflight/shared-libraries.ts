/**
 * Which shared libraries a program needs and does not find, as ld.so(8) would look for them inside the image: DT_RPATH
 * (of the object and its loaders, unless it has DT_RUNPATH), LD_LIBRARY_PATH, DT_RUNPATH, /etc/ld.so.cache, the default
 * folders. Libraries that a program opens itself (dlopen) are not seen here.
 */

import { OperatorError } from '../errors.ts';
import { type ElfFacts, inspectElf } from './elf-header.ts';
import { content, fileBytes, find, type Image } from './guest-files.ts';

/** Debian's glibc, then other distributions'. */
const GLIBC_FOLDERS = [
  '/lib/x86_64-linux-gnu',
  '/usr/lib/x86_64-linux-gnu',
  '/lib64',
  '/usr/lib64',
  '/lib',
  '/usr/lib',
];
/** musl: unless /etc/ld-musl-x86_64.path says otherwise. */
const MUSL_FOLDERS = ['/lib', '/usr/local/lib', '/usr/lib'];

export interface Missing {
  readonly library: string;
  readonly neededBy: string;
  /** In the order of the search. */
  readonly lookedIn: readonly string[];
}

interface LoadedObject {
  readonly path: string;
  readonly facts: ElfFacts;
  /** DT_RPATHs of those that loaded it, nearest first. */
  readonly inheritedRpath: readonly string[];
}

/** `program` is the resolved guest path of the executable; `env` the guest's environment. */
export function missingLibraries(
  image: Image,
  program: string,
  facts: ElfFacts,
  env: Readonly<Record<string, string>>,
): Missing[] {
  if (facts.interpreter === null) return [];
  const musl = /ld-musl/.test(facts.interpreter);
  const cache = musl ? new Map<string, string>() : readCache(content(image, '/etc/ld.so.cache'));
  const defaults = musl ? muslFolders(image) : GLIBC_FOLDERS;
  const ldLibraryPath = (env.LD_LIBRARY_PATH ?? '').split(/[:;]/).filter((path) => path.startsWith('/'));

  const missing: Missing[] = [];
  // The interpreter is loaded already under its own name.
  const loaded = new Set<string>([facts.interpreter.split('/').pop()!]);
  const queue: LoadedObject[] = [{ path: program, facts, inheritedRpath: [] }];
  for (let object = queue.shift(); object !== undefined; object = queue.shift()) {
    const origin = object.path.slice(0, object.path.lastIndexOf('/')) || '/';
    const expand = (path: string) =>
      path.replace(/\$\{?ORIGIN\}?/g, origin).replace(/\$\{?LIB\}?/g, 'lib/x86_64-linux-gnu');
    const rpath = object.facts.runpath.length > 0 ? [] : [...object.facts.rpath.map(expand), ...object.inheritedRpath];
    for (const library of object.facts.needed) {
      if (loaded.has(library)) continue;
      loaded.add(library);
      const lookedIn: string[] = [];
      const candidates = library.includes('/')
        ? [library]
        : [
            ...[...rpath, ...ldLibraryPath, ...object.facts.runpath.map(expand)].map(
              (folder) => `${folder}/${library}`,
            ),
            ...(cache.has(library) ? [cache.get(library)!] : []),
            ...defaults.map((folder) => `${folder}/${library}`),
          ];
      const found = candidates.find((path) => {
        lookedIn.push(path.slice(0, path.lastIndexOf('/')) || '/');
        return find(image, path)?.entry.type === 'file';
      });
      if (found === undefined) {
        missing.push({ library, neededBy: object.path, lookedIn: [...new Set(lookedIn)] });
        continue;
      }
      const file = fileBytes(image, found);
      if (file === null) continue;
      queue.push({ path: find(image, found)!.path, facts: inspectElf(found, file), inheritedRpath: rpath });
    }
  }
  return missing;
}

export function missingLibraryError(missing: readonly Missing[], rootfs: string): OperatorError {
  const lines = missing.map(
    ({ library, neededBy, lookedIn }) => `${library} (needed by ${neededBy}) is not in ${lookedIn.join(', ')}`,
  );
  const where = rootfs === '/' ? 'on this machine' : `under --rootfs ${rootfs}`;
  return new OperatorError(
    'TG_MISSING_LIBRARY',
    `${missing.length === 1 ? 'a shared library is' : 'shared libraries are'} missing ${where}: ${lines.join('; ')}`,
    'Install the package that has it, or add it with --file HOSTPATH:GUESTPATH, or its folder with --env LD_LIBRARY_PATH=DIR.',
  );
}

function muslFolders(image: Image): readonly string[] {
  const bytes = content(image, '/etc/ld-musl-x86_64.path');
  if (bytes === null) return MUSL_FOLDERS;
  return Buffer.from(bytes)
    .toString('utf8')
    .split(/[:\n]/)
    .filter((path) => path !== '');
}

/** soname → path, of glibc's cache file (glibc: elf/dl-cache.h, "glibc-ld.so.cache1.1"). */
function readCache(bytes: Uint8Array | null): Map<string, string> {
  const byName = new Map<string, string>();
  if (bytes === null) return byName;
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  // An old-format part may stand before it.
  const start = buffer.indexOf('glibc-ld.so.cache1.1', 0, 'latin1');
  if (start < 0 || start + 48 > buffer.length) return byName;
  const count = buffer.readUInt32LE(start + 20);
  const stringAt = (offset: number) => {
    const end = buffer.indexOf(0, start + offset);
    return buffer.toString('utf8', start + offset, end < 0 ? buffer.length : end);
  };
  for (let i = 0; i < count; i++) {
    const at = start + 48 + i * 24;
    if (at + 24 > buffer.length) break;
    // FLAG_ELF_LIBC6 (3) with FLAG_X8664_LIB64 (0x0300).
    if ((buffer.readInt32LE(at) & 0xffff) !== 0x0303) continue;
    const name = stringAt(buffer.readUInt32LE(at + 4));
    if (!byName.has(name)) byName.set(name, stringAt(buffer.readUInt32LE(at + 8)));
  }
  return byName;
}
