/** `tardigrade failover`: an orderly hand-over to a backup. */

import { printJson, say } from './output.ts';
import { choose } from './services.ts';
import { supervisor } from './supervisor.ts';

export async function failover(wanted: string | undefined, options: { json?: boolean }): Promise<void> {
  const control = await supervisor();
  const { id } = choose(await control.list(), wanted);
  const after = await control.failover(id);
  const primary = after.replicas.find(({ role }) => role === 'primary');
  if (options.json) printJson({ id, view: after.view, primary: primary?.pid ?? null });
  else say(`${id}: view ${after.view}, process ${primary?.pid ?? '?'} is the primary now`);
}
