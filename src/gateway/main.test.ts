/** The gateway's process and its parent. */

import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { echo } from './fake-guest.ts';
import type { FromGateway, GatewayProcessOptions } from './ipc.ts';
import { CLUSTER, HOST, helloOf, makeFolder, makeReplica, type Replica } from './test-harness.ts';

const ECHO = 7;
const children: ChildProcess[] = [];
const replicas: Replica[] = [];
let folder: ReturnType<typeof makeFolder>;

beforeEach(() => {
  folder = makeFolder();
});

afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
  for (const { guest, link } of replicas.splice(0)) {
    guest.die();
    link.close();
  }
  folder.remove();
});

function launch(options: unknown): { child: ChildProcess; said: FromGateway[] } {
  const child = fork(join(import.meta.dirname, 'main.ts'), [JSON.stringify(options)], { stdio: 'inherit' });
  children.push(child);
  const said: FromGateway[] = [];
  child.on('message', (message) => said.push(message as FromGateway));
  return { child, said };
}

function optionsOf(changes: Partial<GatewayProcessOptions> = {}): GatewayProcessOptions {
  return {
    cluster: Buffer.from(CLUSTER).toString('hex'),
    generation: 1,
    path: join(folder.path, 'gateway'),
    publish: [{ host: HOST, port: 0, guestPort: ECHO }],
    ...changes,
  };
}

async function listening(options: unknown): Promise<{ child: ChildProcess; said: FromGateway[]; port: number }> {
  const { child, said } = launch(options);
  await vi.waitFor(() => expect(said.length).toBeGreaterThan(0), { timeout: 10_000 });
  const [first] = said;
  if (first?.kind !== 'listening') throw new Error(JSON.stringify(first));
  expect(first.publish).toMatchObject([{ host: HOST, guestPort: ECHO }]);
  return { child, said, port: first.publish[0]!.port };
}

test('says when it listens, serves, counts, and ends with its parent', async () => {
  const { child, said, port } = await listening(optionsOf());
  replicas.push(makeReplica(optionsOf().path, helloOf(4), { servers: new Map([[ECHO, echo]]) }));
  const client = connect(port, HOST);
  client.write('hello');
  expect(String(await once(client, 'data'))).toBe('hello');
  child.send({ kind: 'stats' });
  await vi.waitFor(() => expect(said.at(-1)!.kind).toBe('stats'));
  expect(said).toMatchObject([
    { kind: 'listening' },
    { kind: 'served', served: { generation: 1, view: 4, member: 'r4.aaaa' } },
    { kind: 'stats', stats: { connections: 1, refused: 0, bytesIn: 5, bytesOut: 5, view: 4 } },
  ]);
  // ^C in the terminal is not for the gateway.
  child.kill('SIGINT');
  client.write('again');
  expect(String(await once(client, 'data'))).toBe('again');
  client.on('error', () => {});
  const ended = once(child, 'exit');
  child.disconnect();
  expect(await ended).toEqual([0, null]);
});

test('a port in use is told with its code', async () => {
  const server = createServer();
  await once(server.listen(0, HOST), 'listening');
  const { port } = server.address() as AddressInfo;
  const { child, said } = launch(optionsOf({ publish: [{ host: HOST, port, guestPort: ECHO }] }));
  expect(await once(child, 'exit')).toEqual([125, null]);
  expect(said).toMatchObject([{ kind: 'failed', code: 'TG_PORT_IN_USE', exitStatus: 125 }]);
  server.close();
});

test.each([
  ['a path that cannot be', () => optionsOf({ path: join(folder.path, 'missing', 'gateway') }), 'TG_GATEWAY_PATH'],
  ['a cluster that is none', () => optionsOf({ cluster: 'xyz' }), 'TG_GATEWAY_OPTIONS'],
  [
    'a guest port out of range',
    () => optionsOf({ publish: [{ host: HOST, port: 0, guestPort: 0 }] }),
    'TG_GATEWAY_OPTIONS',
  ],
  ['no options', () => null, 'TG_GATEWAY_OPTIONS'],
])('%s is told with its code', async (_what, options, code) => {
  const { child, said } = launch(options());
  expect(await once(child, 'exit')).toEqual([125, null]);
  expect(said).toMatchObject([{ kind: 'failed', code }]);
});

test('killed and started again: its clients break, the guest forgets them, new ones are served', async () => {
  const first = await listening(optionsOf());
  const replica = makeReplica(optionsOf().path, helloOf(1), {
    servers: new Map([[ECHO, (tcp) => (tcp.readable > 0 ? echo(tcp, replica.guest) : undefined)]]),
  });
  replicas.push(replica);
  const old = connect(first.port, HOST);
  old.write('a');
  expect(String(await once(old, 'data'))).toBe('a');
  const [tcp] = replica.guest.connections.values();
  const broken = once(old, 'close');
  old.on('error', () => {});
  first.child.kill('SIGKILL');
  await broken;
  // The same path: the file that the dead process left is replaced.
  const second = await listening(optionsOf());
  await vi.waitFor(() => expect(replica.link.up).toBe(true));
  tcp!.send(Buffer.from('to nobody'));
  replica.guest.schedule();
  await vi.waitFor(() => expect(tcp!.state).toBe('closed'));
  expect(tcp!.takeError()).toBe(104);
  const client = connect(second.port, HOST);
  client.write('b');
  expect(String(await once(client, 'data'))).toBe('b');
  client.on('error', () => {}).destroy();
});
