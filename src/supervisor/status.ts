/** What `tardigrade status` shows, out of the register's view and what each process says of itself. */

import type { RunRequest } from '../cli/run-options.ts';
import type { ServiceStatus } from '../cli/supervisor.ts';
import type { Publish } from '../cli/values.ts';
import type { ReplicaFigures } from '../replica/protocol.ts';
import type { MemberId, Role, View } from '../replication/types.ts';
import type { RunFolder } from './run-folder.ts';

export interface StatusSources {
  readonly request: RunRequest;
  readonly folder: RunFolder;
  readonly view: View;
  /** Those whose process lives. */
  readonly replicas: readonly {
    readonly member: MemberId;
    readonly pid: number;
    readonly role: Role;
    readonly figures: ReplicaFigures | null;
  }[];
  /** Whoever runs the guest. */
  readonly serving: { readonly member: MemberId; readonly figures: ReplicaFigures | null } | null;
  readonly gateway: { readonly pid: number | null } | null;
}

export function composeStatus({ request, folder, view, replicas, serving, gateway }: StatusSources): ServiceStatus {
  const members = replicas.filter(({ member }) => view.members.includes(member));
  const figures = serving?.figures ?? null;
  return {
    id: folder.id,
    pid: process.pid,
    program: [request.program, ...request.args].join(' '),
    publish: publishedAs(request.publish),
    view: view.view,
    protected: members.length > 1 && members.some(({ member }) => member === view.primary),
    gateway: gateway === null || gateway.pid === null ? null : { pid: gateway.pid },
    replicas: replicas.map((one) => ({ role: roleOf(one, view), pid: one.pid })),
    epochs: figures?.epochs ?? 0,
    pauseUs: figures?.pauseUs ?? null,
    commitUs: figures?.commitUs ?? null,
    dirtyPagesPerEpoch: figures?.dirtyPagesPerEpoch ?? null,
    bytesPerEpoch: figures?.bytesPerEpoch ?? null,
    heldPackets: figures?.heldPackets ?? 0,
    journal: request.dataDir === null ? null : { folder: request.dataDir, ...(figures?.journal ?? NO_JOURNAL) },
    unimplemented: figures?.unimplementedCalls ?? {},
  };
}

/** Nobody serves at this moment. */
const NO_JOURNAL = { bytes: 0, durableEpoch: null, syncUs: null };

export function publishedAs(publish: readonly Publish[]): string[] {
  return publish.map(({ host, port, guestPort }) => {
    const address = host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
    return guestPort === port ? address : `${address}:${guestPort}`;
  });
}

/** By the register: a replica that is stopped does not know yet that it was replaced. */
function roleOf({ member, role }: StatusSources['replicas'][number], view: View): Role {
  if (member === view.primary) return 'primary';
  if (view.members.includes(member)) return 'backup';
  return role === 'halted' ? 'halted' : 'learner';
}
