import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { ServiceStatus } from '../cli/supervisor.ts';
import { ControlServer } from './control-socket.ts';

test('an asker that goes away before its answer does no harm', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'tardigrade-control-'));
  const asked = Promise.withResolvers<void>();
  const status = Promise.withResolvers<ServiceStatus>();
  const server = new ControlServer({
    status: () => {
      asked.resolve();
      return status.promise;
    },
    failover: () => Promise.reject(new Error('not asked for')),
    stop: () => Promise.resolve(),
  });
  await server.listen(join(folder, 'control'));
  try {
    const leaver = connect(join(folder, 'control'));
    leaver.write('"status"\n');
    await asked.promise;
    leaver.destroy();
    await once(leaver, 'close');
    // What goes to it now fails (EPIPE), and nobody is there to hear of it.
    status.reject(new Error('too late'));
    const other = connect(join(folder, 'control'));
    other.write('"stop"\n');
    const [answer] = (await once(other, 'data')) as [Buffer];
    expect(JSON.parse(answer.toString())).toEqual({ result: null });
    await server.close();
  } finally {
    rmSync(folder, { recursive: true });
  }
});
