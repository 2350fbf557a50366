/** Everything that can be found wrong before a start, found before the start. */

import { openImage } from '../lvm/node-image.ts';
import { checkPorts, checkRootfs } from './preflight/host.ts';
import { checkProgram } from './preflight/program.ts';
import type { RunRequest } from './run-options.ts';

/** Returns the request with `program` as the guest path to execute. Throws OperatorError or MountError. */
export async function prepare(request: RunRequest): Promise<RunRequest> {
  checkRootfs(request.rootfs);
  const { rootfs, program, env, cwd } = request;
  const path = checkProgram({ image: openImage(rootfs, request.files), rootfs, program, env, cwd });
  await checkPorts(request.publish);
  return { ...request, program: path };
}
