/** Everything that can be found wrong before a start, found before the start. */

import { realpathSync } from 'node:fs';
import { MountError, parseMount } from '../image/mounts.ts';
import { openImage } from '../lvm/node-image.ts';
import { checkPorts, checkRootfs } from './preflight/host.ts';
import { checkProgram } from './preflight/program.ts';
import type { RunRequest } from './run-options.ts';

/**
 * Returns the request with `program` as the guest path to execute and the host paths of `files` without symbolic links.
 * Throws OperatorError or MountError.
 */
export async function prepare(request: RunRequest): Promise<RunRequest> {
  checkRootfs(request.rootfs);
  const { rootfs, program, env, cwd } = request;
  const files = request.files.map(followed);
  const path = checkProgram({ image: openImage(rootfs, files), rootfs, program, env, cwd });
  await checkPorts(request.publish);
  return { ...request, files, program: path };
}

/** A link given by --file means what it leads to here, as with a bind mount; its target need not be in the image. */
function followed(text: string): string {
  const { host, guest } = parseMount(text, (path) => path);
  try {
    return `${realpathSync(host)}:${guest}`;
  } catch (error) {
    throw new MountError(`--file ${text}: ${host} cannot be read (${(error as NodeJS.ErrnoException).code})`);
  }
}
