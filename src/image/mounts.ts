/** `--file HOSTPATH:GUESTPATH`: files and folders of the host put over the image. */

export interface Mount {
  /** Absolute. */
  readonly host: string;
  /** Absolute, without "." or "..", no slash at the end. */
  readonly guest: string;
}

/** The operator named an extra file in a way that makes no sense. Exit status 125. */
export class MountError extends Error {
  readonly code = 'TG_BAD_FILE_MOUNT';
  readonly exitStatus = 125;
}

/** `HOSTPATH:GUESTPATH`, or one path for both. `absolute` makes a host path absolute. */
export function parseMount(text: string, absolute: (path: string) => string): Mount {
  const colon = text.lastIndexOf(':');
  const host = absolute(colon < 0 ? text : text.slice(0, colon));
  const guest = colon < 0 ? host : text.slice(colon + 1);
  if (!guest.startsWith('/') || host === '') {
    throw new MountError(`--file ${text}: give HOSTPATH:GUESTPATH with an absolute GUESTPATH`);
  }
  const parts = guest.split('/').filter((part) => part !== '');
  if (parts.length === 0 || parts.includes('.') || parts.includes('..')) {
    throw new MountError(`--file ${text}: GUESTPATH must name a file below / without "." or ".."`);
  }
  return { host, guest: `/${parts.join('/')}` };
}

/** Which host path stands behind a guest path: the longest mount that covers it, else below `root`. */
export function hostPathOf(root: string, mounts: readonly Mount[], path: string): string {
  let best: Mount | null = null;
  for (const mount of mounts) {
    if (path !== mount.guest && !path.startsWith(`${mount.guest}/`)) continue;
    // Of equal ones the last given wins.
    if (best === null || mount.guest.length >= best.guest.length) best = mount;
  }
  if (best !== null) return best.host + path.slice(best.guest.length);
  const base = root === '/' ? '' : root.replace(/\/+$/, '');
  return path === '/' ? root : base + path;
}

/** Names that mounts add to the directory `path`. */
export function mountedNames(mounts: readonly Mount[], path: string): string[] {
  const prefix = path === '/' ? '/' : `${path}/`;
  const names = new Set<string>();
  for (const { guest } of mounts) if (guest.startsWith(prefix)) names.add(guest.slice(prefix.length).split('/')[0]!);
  return [...names];
}
