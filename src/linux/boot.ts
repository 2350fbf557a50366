/** A service's first start: an empty kernel over an image, with one process. */

import { assert } from '../lvm/assert.ts';
import { O_RDONLY, O_WRONLY } from './abi/fcntl.ts';
import { ConsoleFile } from './console.ts';
import { execFirst, findProgram, noProgram } from './exec.ts';
import { FileTable } from './file-table.ts';
import { makeDev } from './fs/devfs.ts';
import { ProcessFs } from './fs/fs-context.ts';
import { mountProc } from './fs/procfs.ts';
import { mountSys } from './fs/sysfs.ts';
import { Vfs } from './fs/vfs.ts';
import { Kernel, type KernelDeps } from './kernel.ts';
import { RLIMIT_NOFILE } from './limits.ts';
import { NetworkInterface } from './net.ts';
import { KernelView } from './proc-kernel.ts';
import { Process } from './process.ts';
import { Thread } from './thread.ts';

export interface BootOptions {
  /** Guest path of the program. */
  readonly program: string;
  /** argv[1] and so on. */
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Guest path. */
  readonly cwd: string;
  /** Bytes of writable memory that all processes together may map. */
  readonly memoryLimit: number;
}

/** Throws ElfError (TG_…) where the program cannot be executed. */
export function boot(deps: KernelDeps, options: BootOptions): Kernel {
  const kernel = new Kernel(deps);
  const { ledger } = kernel;
  kernel.memoryLimit = options.memoryLimit;
  ledger.add(kernel);
  kernel.vfs = Vfs.create(kernel);
  ledger.add(kernel.consoleInput);
  const send = (packet: Uint8Array) => deps.lvm.send(packet);
  kernel.network = NetworkInterface.create({ ledger, send }, { entropy: (length) => deps.lvm.entropy(length) });
  makeDev(kernel.vfs);
  mountView(kernel);

  const pid = kernel.newPid();
  assert(pid === kernel.initPid, 'the first process is the first');
  const fs = new ProcessFs(kernel);
  const files = new FileTable(kernel, pid, 0);
  const process = new Process(kernel, { pid, parent: null, mm: kernel.enterMap(kernel.newMap()), fs, files });
  process.setLimit(RLIMIT_NOFILE, process.limits[RLIMIT_NOFILE]!);
  kernel.addProcess(process);
  const cwd = kernel.vfs.lookup(fs, fs.root, options.cwd, true);
  if (typeof cwd !== 'number' && cwd.isDirectory) fs.setCwd(cwd);
  for (const stream of [0, 1, 2] as const) {
    const flags = stream === 0 ? O_RDONLY : O_WRONLY;
    files.install(
      kernel.addFile((id) => new ConsoleFile(kernel, id, flags, stream)),
      false,
    );
  }
  const thread = new Thread(process, pid, kernel.scheduler);
  kernel.addThread(thread);
  const bytes = (text: string) => new TextEncoder().encode(text);
  const program = findProgram(kernel, process, fs.cwd, options.program);
  if (typeof program === 'number') throw noProgram(options.program);
  execFirst(kernel, thread, {
    program,
    fileName: options.program,
    args: [options.program, ...options.args].map(bytes),
    env: Object.entries(options.env).map(([name, value]) => bytes(`${name}=${value}`)),
  });
  return kernel;
}

/** /proc and /sys, which are made up from the kernel and hold no state. */
export function mountView(kernel: Kernel): void {
  mountProc(kernel.vfs, new KernelView(kernel));
  mountSys(kernel.vfs);
}
