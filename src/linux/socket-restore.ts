/**
 * Sockets of a checkpoint, by the `kind` in their part `file/N`. The network interface must be there already: a socket
 * finds its connection, listener or datagram queue in the stack by id.
 *
 * References: descriptors in file tables are counted by whoever restores those; to them come the descriptions that UNIX
 * sockets hold in messages and backlogs, once for each entry of `heldReferences()`.
 */

import type { Plain } from '../checkpoint/ledger.ts';
import type { SavedSocket, Socket } from './socket.ts';
import { TcpSocket } from './tcp-socket.ts';
import { UdpSocket } from './udp-socket.ts';
import { type UnixHost, UnixSocket } from './unix-socket.ts';

/** The socket of a saved state, not yet in the ledger; null where the state is no socket's. */
export function restoreSocket(host: UnixHost, id: number, state: Plain): Socket | null {
  const saved = state as SavedSocket;
  switch (saved.kind) {
    case 'tcp-socket':
      return TcpSocket.restore(host, id, saved);
    case 'udp-socket':
      return UdpSocket.restore(host, id, saved);
    case 'unix-socket':
      return UnixSocket.restore(host, id, saved);
    default:
      return null;
  }
}
