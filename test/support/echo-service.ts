/** `node echo-service.ts REPLICAS [PROGRAM [DATA_DIR]]`: a service of echo machines, as `tardigrade run --json` would keep it. */

import { formatError, isCodedError } from '../../src/cli/errors.ts';
import { exitStatus } from '../../src/cli/run.ts';
import { keep, supervise } from '../../src/supervisor/control.ts';
import { DataDir } from '../../src/supervisor/data-dir.ts';
import { teller } from '../../src/supervisor/events.ts';
import { FdWritable } from '../../src/supervisor/fd-writable.ts';
import { makeRunFolder, removeRunFolder } from '../../src/supervisor/run-folder.ts';
import { ReplicatedService } from '../../src/supervisor/service.ts';

const [replicas = '2', program = '/echo', dataDir = null] = process.argv.slice(2);
const request = {
  replicas: Number(replicas),
  publish: [],
  rootfs: '/',
  files: [],
  env: {},
  cwd: '/',
  epochMs: 10,
  trace: null,
  profile: null,
  memory: 1 << 30,
  dataDir,
  json: true,
  program,
  args: [],
};
const folder = makeRunFolder(program);
const replicaModule = new URL('./echo-replica.ts', import.meta.url);
try {
  const [out, err] = [new FdWritable(1), new FdWritable(2)];
  const make = (kept: DataDir | null) =>
    new ReplicatedService({ request, folder, tell: teller(true, err), dataDir: kept, out, err, replicaModule });
  const ended =
    dataDir === null
      ? await supervise(make(null), folder)
      : await keep(await DataDir.open(dataDir, request), folder, async (kept) => make(kept));
  process.exitCode = exitStatus(ended);
} catch (error) {
  if (!isCodedError(error)) throw error;
  process.stderr.write(formatError(error));
  process.exitCode = error.exitStatus;
} finally {
  removeRunFolder(folder);
}
