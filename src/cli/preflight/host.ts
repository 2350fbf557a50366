/** What must be true of this machine before a start: the root folder is there, the published ports are free. */

import { statSync } from 'node:fs';
import { createServer } from 'node:net';
import { OperatorError } from '../errors.ts';
import type { Publish } from '../values.ts';

/** Throws TG_BAD_ROOTFS. */
export function checkRootfs(path: string): void {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat?.isDirectory()) return;
  throw new OperatorError(
    'TG_BAD_ROOTFS',
    `--rootfs ${path} ${stat === undefined ? 'does not exist' : 'is not a folder'}`,
    'Give a folder that is to be the guest’s "/", for example an unpacked Debian tree.',
  );
}

/** Throws TG_PORT_IN_USE or TG_PORT_REFUSED. (Somebody may still take the port in between; the gateway tells then.) */
export async function checkPorts(publish: readonly Publish[]): Promise<void> {
  for (const { host, port } of publish) await checkPort(host, port);
}

function checkPort(host: string, port: number): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const server = createServer();
  server.once('error', (error: NodeJS.ErrnoException) => reject(portError(host, port, error)));
  server.listen({ host, port, exclusive: true }, () => server.close(() => resolve()));
  return promise;
}

/** What the kernel's refusal to listen means to the operator. */
export function portError(host: string, port: number, error: NodeJS.ErrnoException): OperatorError {
  const shown = host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
  switch (error.code) {
    case 'EADDRINUSE':
      return new OperatorError(
        'TG_PORT_IN_USE',
        `--publish: ${shown} is in use by another program`,
        `Publish another port, for example --publish ${port + 1 > 65535 ? 7000 : port + 1}:GUESTPORT; ss -ltnp 'sport = :${port}' says who has it.`,
      );
    case 'EACCES':
      return new OperatorError(
        'TG_PORT_REFUSED',
        `--publish: not allowed to listen on ${shown}`,
        'Take a port above 1023.',
      );
    case 'EADDRNOTAVAIL':
      return new OperatorError('TG_PORT_REFUSED', `--publish: ${host} is not an address of this machine`);
    default:
      return new OperatorError('TG_PORT_REFUSED', `--publish: cannot listen on ${shown}: ${error.message}`);
  }
}
