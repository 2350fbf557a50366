/**
 * What the command line needs of running services (cli/supervisor.ts). What runs one is loaded only for `run`: the others
 * answer sooner without.
 */

import { OperatorError } from '../cli/errors.ts';
import type { RunRequest } from '../cli/run-options.ts';
import type { Ended, ServiceStatus } from '../cli/supervisor.ts';
import { CodedFailure } from './coded-failure.ts';
import { ask, type Command, type Controlled, ControlServer } from './control-socket.ts';
import type { DataDir } from './data-dir.ts';
import { teller } from './events.ts';
import { FdWritable } from './fd-writable.ts';
import { takeSignals } from './host-signals.ts';
import { controlPath, makeRunFolder, type RunFolder, removeRunFolder, runFolders } from './run-folder.ts';

const STATUS_MS = 3000;
const FAILOVER_MS = 15_000;
const STOP_MS = 20_000;

/** A service as `run` has it. */
export interface Service extends Controlled {
  /** The guest has ended, and its last output is being written. */
  readonly draining: boolean;
  /** The service has ended because its program has. */
  readonly programEnded: boolean;
  run(): Promise<Ended>;
  signal(signo: number, ending: boolean): void;
}

export async function run(request: RunRequest): Promise<Ended> {
  const folder = makeRunFolder(request.program);
  try {
    if (request.dataDir === null) return await supervise(await makeService(request, folder, null), folder);
    const { DataDir } = await import('./data-dir.ts');
    return await keep(await DataDir.open(request.dataDir, request), folder, (dataDir) =>
      makeService(request, folder, dataDir),
    );
  } finally {
    removeRunFolder(folder);
  }
}

/** Runs a service whose state is kept; the folder is given up at the end. */
export async function keep(
  dataDir: DataDir,
  folder: RunFolder,
  make: (dataDir: DataDir) => Promise<Service>,
): Promise<Ended> {
  try {
    const service = await make(dataDir);
    const ended = await supervise(service, folder);
    if (service.programEnded) dataDir.forget();
    return ended;
  } finally {
    dataDir.close();
  }
}

async function makeService(request: RunRequest, folder: RunFolder, dataDir: DataDir | null): Promise<Service> {
  const [out, err] = [new FdWritable(1), new FdWritable(2)];
  const tell = teller(request.json, err);
  if (request.replicas > 1) {
    const { ReplicatedService } = await import('./service.ts');
    return new ReplicatedService({ request, folder, tell, dataDir, out, err });
  }
  const { SoloService } = await import('./solo.ts');
  // It is to be like running the program: nothing is said that the program does not say.
  return new SoloService({ request, folder, tell: request.json ? tell : () => {}, out, err });
}

/** Runs a service that others on this machine can find and steer. */
export async function supervise(service: Service, folder: RunFolder): Promise<Ended> {
  const control = new ControlServer(service);
  await control.listen(controlPath(folder));
  const letSignals = takeSignals((signo, ending) => {
    // Whoever reads its output does not: there is nobody left to ask for an end but us.
    if (ending && service.draining) process.exit(128 + signo);
    service.signal(signo, ending);
  });
  try {
    return await service.run();
  } finally {
    letSignals();
    await control.close();
  }
}

export async function list(): Promise<ServiceStatus[]> {
  const found = await Promise.all(
    runFolders().map(async (folder) => {
      try {
        return await ask(controlPath(folder), 'status', STATUS_MS);
      } catch (error) {
        // One that just ends must not hide the others.
        if (error instanceof CodedFailure && error.code === 'TG_NO_ANSWER') return null;
        throw error;
      }
    }),
  );
  return found.filter((status) => status !== null);
}

export async function failover(id: string): Promise<ServiceStatus> {
  const status = await command(id, 'failover', FAILOVER_MS);
  if (status === null) throw gone(id);
  return status;
}

export async function stop(id: string): Promise<void> {
  await command(id, 'stop', STOP_MS);
}

function command(id: string, name: Command, timeoutMs: number): Promise<ServiceStatus | null> {
  const folder = runFolders().find((one) => one.id === id);
  if (folder === undefined) throw gone(id);
  return ask(controlPath(folder), name, timeoutMs);
}

function gone(id: string): OperatorError {
  return new OperatorError('TG_NO_SUCH_RUN', `${id} does not run any more`);
}
