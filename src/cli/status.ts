/** `tardigrade status`: everything that is known about one service. */

import { print, printJson } from './output.ts';
import { choose } from './services.ts';
import { bytes, facts, percentiles } from './status-view.ts';
import { type ServiceStatus, supervisor } from './supervisor.ts';

export async function status(wanted: string | undefined, options: { json?: boolean }): Promise<void> {
  const service = choose(await (await supervisor()).list(), wanted);
  if (options.json) printJson(service);
  else print(describe(service));
}

export function describe(service: ServiceStatus): string {
  const size = service.bytesPerEpoch;
  const pages = service.dirtyPagesPerEpoch;
  const missing = Object.entries(service.unimplemented);
  return facts([
    ['service', `${service.id} (process ${service.pid})`],
    ['program', service.program],
    ['published', service.publish.join(' ') || '-'],
    ['view', service.view],
    ['replicas', service.replicas.map(({ role, pid }) => `${role} ${pid}`).join(', ')],
    ['gateway', service.gateway?.pid ?? '-'],
    ['state', service.protected ? 'protected: a failure loses nothing' : 'alone: a failure now ends the service'],
    ['epochs', service.epochs],
    ['pause', percentiles(service.pauseUs)],
    ['commit', percentiles(service.commitUs)],
    ['dirty pages', pages === null ? '-' : `p50 ${pages.p50 ?? '-'}, p99 ${pages.p99 ?? '-'}, max ${pages.max ?? '-'}`],
    ['bytes per epoch', size === null ? '-' : `p50 ${bytes(size.p50)}, p99 ${bytes(size.p99)}, max ${bytes(size.max)}`],
    ['held packets', service.heldPackets],
    ['journal', journal(service)],
    ['not implemented', missing.length === 0 ? '-' : missing.map(([name, count]) => `${name} ${count}×`).join(', ')],
  ]);
}

function journal({ journal: kept }: ServiceStatus): string {
  if (kept === null) return '-';
  const epoch = kept.durableEpoch === null ? 'nothing is durable yet' : `durable to epoch ${kept.durableEpoch}`;
  return `${bytes(kept.bytes)} in ${kept.folder}, ${epoch}, fsync ${percentiles(kept.syncUs)}`;
}
