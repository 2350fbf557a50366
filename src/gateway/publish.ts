/** The published ports: kernel sockets that accept clients for a gateway. */

import { type AddressInfo, createServer, type Server } from 'node:net';
import { portError } from '../cli/preflight/host.ts';
import type { Publish } from '../cli/values.ts';
import type { Gateway } from './gateway.ts';

/** Accepted by the kernel and not yet by us. */
const BACKLOG = 4096;
/** A client's machine that is gone without a word is found by the kernel; the guest's own probes end at the gateway. */
const KEEPALIVE_MS = 60_000;

export interface Published {
  /** As asked for; a port 0 is the one that the kernel chose. */
  readonly ports: readonly Publish[];
  /** Accepts no more; clients that are connected stay. */
  close(): void;
}

/** Listens on all of them or on none. Throws TG_PORT_IN_USE or TG_PORT_REFUSED (OperatorError). */
export async function publish(gateway: Gateway, wanted: readonly Publish[]): Promise<Published> {
  const servers: Server[] = [];
  const ports: Publish[] = [];
  const close = (): void => {
    for (const server of servers) server.close();
  };
  try {
    for (const { host, port, guestPort } of wanted) {
      const server = createServer({
        allowHalfOpen: true,
        pauseOnConnect: true,
        noDelay: true,
        keepAlive: true,
        keepAliveInitialDelay: KEEPALIVE_MS,
      });
      servers.push(server);
      server.on('connection', (socket) => gateway.accept(socket, guestPort));
      ports.push({ host, port: await listen(server, host, port), guestPort });
    }
  } catch (error) {
    close();
    throw error;
  }
  return { ports, close };
}

function listen(server: Server, host: string, port: number): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const refused = (error: NodeJS.ErrnoException): void => reject(portError(host, port, error));
  server.once('error', refused);
  server.listen({ host, port, backlog: BACKLOG, exclusive: true }, () => {
    server.off('error', refused);
    // Too many open files, a client gone before accept(2): that client is lost, the others are not.
    server.on('error', () => {});
    resolve((server.address() as AddressInfo).port);
  });
  return promise;
}
