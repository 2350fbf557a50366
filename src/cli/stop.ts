/** `tardigrade stop`: SIGTERM to the guest's first process, and the end of the service when it has ended. */

import { printJson, say } from './output.ts';
import { choose } from './services.ts';
import { supervisor } from './supervisor.ts';

export async function stop(wanted: string | undefined, options: { json?: boolean }): Promise<void> {
  const control = await supervisor();
  const { id } = choose(await control.list(), wanted);
  await control.stop(id);
  if (options.json) printJson({ id, stopped: true });
  else say(`${id} stopped`);
}
