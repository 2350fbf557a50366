/** `tardigrade ps`: the services of this machine. */

import { print, printJson, table } from './output.ts';
import { supervisor } from './supervisor.ts';

export async function ps(options: { json?: boolean }): Promise<void> {
  const services = await (await supervisor()).list();
  if (options.json) {
    printJson(
      services.map(({ id, pid, program, publish, view, replicas }) => ({ id, pid, program, publish, view, replicas })),
    );
    return;
  }
  const rows = services.map((service) => [
    service.id,
    service.pid,
    service.program,
    service.publish.join(' ') || '-',
    service.replicas.length,
    service.view,
    service.protected ? 'protected' : 'alone',
  ]);
  print(table(['ID', 'PID', 'PROGRAM', 'PUBLISH', 'REPLICAS', 'VIEW', 'STATE'], rows));
}
