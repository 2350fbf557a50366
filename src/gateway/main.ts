/**
 * The gateway's process: `node main.ts OPTIONS`, OPTIONS as JSON (ipc.ts). It tells its parent over IPC when it listens or
 * why it cannot, and ends when the parent does. Without a parent it tells stderr.
 */

import { EXIT_FAILURE, formatError, isCodedError } from '../cli/errors.ts';
import { Gateway } from './gateway.ts';
import { type FromGateway, type GatewayProcessOptions, parseGatewayOptions, type ToGateway } from './ipc.ts';
import { publish } from './publish.ts';
import { ReplicaPort } from './replica-port.ts';

class GatewayStartError extends Error {
  readonly code: string;
  readonly advice = '';
  readonly exitStatus = EXIT_FAILURE;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

async function start(json: string): Promise<void> {
  const options = parseOptions(json);
  const { maxConnections } = options;
  const gateway = new Gateway(maxConnections === undefined ? {} : { maxConnections });
  const port = new ReplicaPort(gateway, {
    path: options.path,
    cluster: Buffer.from(options.cluster, 'hex'),
    generation: options.generation,
  });
  port.onServed = (served) => tell({ kind: 'served', served });
  const published = await publish(gateway, options.publish);
  try {
    await port.listen();
  } catch (error) {
    throw new GatewayStartError('TG_GATEWAY_PATH', `cannot listen on ${options.path}: ${(error as Error).message}`);
  }
  process.on('message', (message: ToGateway) => {
    if (message.kind === 'stats') tell({ kind: 'stats', stats: { ...gateway.snapshot(), view: port.view } });
  });
  tell({ kind: 'listening', publish: published.ports });
}

function parseOptions(json: string): GatewayProcessOptions {
  try {
    return parseGatewayOptions(json);
  } catch (error) {
    throw new GatewayStartError('TG_GATEWAY_OPTIONS', `the gateway's options are wrong: ${(error as Error).message}`);
  }
}

function tell(message: FromGateway): void {
  // An error here means that the parent is gone: 'disconnect' ends us.
  process.send?.(message, undefined, undefined, () => {});
}

function fail(error: unknown): void {
  if (!isCodedError(error)) throw error;
  const { code, message, advice = '', exitStatus } = error;
  if (process.send === undefined) {
    process.stderr.write(formatError(error));
    process.exit(exitStatus);
  }
  const told: FromGateway = { kind: 'failed', code, message, advice, exitStatus };
  process.send(told, undefined, undefined, () => process.exit(exitStatus));
}

process.title = 'tardigrade gateway';
if (process.send !== undefined) {
  process.once('disconnect', () => process.exit());
  // Signals to the whole group (a terminal's ^C, systemd) are for the guest; the parent ends us when the guest has ended.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'] as const) process.on(signal, () => {});
}
start(process.argv[2] ?? '').catch(fail);
