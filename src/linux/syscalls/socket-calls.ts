/** The system calls on sockets: number, handler, support level. syscalls/table.ts takes them in. */

import * as N from '../abi/syscall-numbers.ts';
import { full, partial, type SyscallEntry } from './entry.ts';
import * as socket from './socket.ts';

export const SOCKET_CALLS: readonly SyscallEntry[] = [
  partial(
    N.SYS_socket,
    socket.sysSocket,
    'AF_INET and AF_INET6 (mapped IPv4 addresses only) stream and datagram, AF_UNIX; no raw, packet or netlink sockets',
  ),
  full(N.SYS_socketpair, socket.sysSocketpair),
  full(N.SYS_bind, socket.sysBind),
  full(N.SYS_listen, socket.sysListen),
  full(N.SYS_accept, socket.sysAccept),
  full(N.SYS_accept4, socket.sysAccept4),
  partial(N.SYS_connect, socket.sysConnect, 'no route beyond the gateway: ENETUNREACH'),
  full(N.SYS_getsockname, socket.sysGetsockname),
  full(N.SYS_getpeername, socket.sysGetpeername),
  partial(N.SYS_sendto, socket.sysSendto, 'no urgent data (MSG_OOB), MSG_FASTOPEN or MSG_ZEROCOPY'),
  partial(N.SYS_recvfrom, socket.sysRecvfrom, 'no urgent data (MSG_OOB)'),
  partial(N.SYS_sendmsg, socket.sysSendmsg, 'ancillary data: SCM_RIGHTS and SCM_CREDENTIALS'),
  partial(N.SYS_recvmsg, socket.sysRecvmsg, 'ancillary data: SCM_RIGHTS and SCM_CREDENTIALS'),
  full(N.SYS_sendmmsg, socket.sysSendmmsg),
  full(N.SYS_recvmmsg, socket.sysRecvmmsg),
  full(N.SYS_shutdown, socket.sysShutdown),
  partial(
    N.SYS_setsockopt,
    socket.sysSetsockopt,
    'SO_LINGER with a time does not make close wait; TCP_DEFER_ACCEPT, IP_TOS, IP_TTL and others are kept and have no effect; no filters',
  ),
  full(N.SYS_getsockopt, socket.sysGetsockopt),
];
