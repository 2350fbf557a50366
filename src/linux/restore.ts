/**
 * The kernel out of a checkpoint: the parts of the ledger by key, over the memories. The order of steps is that of who
 * refers to whom: files before descriptors, memory maps before processes, processes before threads.
 */

import { decodePart, type Plain } from '../checkpoint/ledger.ts';
import type { AddressSpace } from '../lvm/address-space.ts';
import { assert } from '../lvm/assert.ts';
import { mountView } from './boot.ts';
import { ConsoleInput } from './console.ts';
import { EpollFile } from './epoll.ts';
import { FileTable } from './file-table.ts';
import { restoreFile } from './fs/open.ts';
import { Vfs } from './fs/vfs.ts';
import { Kernel, type KernelDeps, type SavedKernel } from './kernel.ts';
import { RLIMIT_NOFILE } from './limits.ts';
import { MemoryMap } from './mm/memory-map.ts';
import { NetworkInterface } from './net.ts';
import { Process } from './process.ts';
import { restoreSocket } from './socket-restore.ts';
import { Thread } from './thread.ts';
import { UnixSocket } from './unix-socket.ts';

export interface SavedMachine {
  readonly spaces: ReadonlyMap<number, AddressSpace>;
  /** Bytes by key, as `Shadow.sortedParts` gives them. */
  readonly parts: ReadonlyMap<string, Uint8Array>;
  readonly instructions: number;
}

export function restore(deps: KernelDeps, machine: SavedMachine): Kernel {
  const kernel = new Kernel(deps);
  const { ledger } = kernel;
  const parts = new Map<string, Plain>();
  for (const [key, bytes] of machine.parts) parts.set(key, decodePart(bytes));
  const of = (area: string): [rest: string, state: Plain][] => {
    const found: [string, Plain][] = [];
    for (const [key, state] of parts) if (key.startsWith(area)) found.push([key.slice(area.length), state]);
    return found;
  };

  kernel.load(parts.get('kernel'));
  kernel.instructions = machine.instructions;
  ledger.add(kernel);
  for (const [id, space] of machine.spaces) kernel.spaces.set(id, space);

  kernel.vfs = Vfs.restore(kernel, parts);
  for (const [id, state] of of('pipe/')) kernel.pipes.restore(Number(id), state);
  kernel.consoleInput = ConsoleInput.restore((part) => ledger.touch(part), parts.get('console'));
  ledger.add(kernel.consoleInput);
  kernel.network = NetworkInterface.restore({ ledger, send: (packet) => deps.lvm.send(packet) }, parts);
  mountView(kernel);

  for (const [id, state] of of('file/')) {
    const file = restoreFile(kernel, Number(id), state) ?? restoreSocket(kernel, Number(id), state);
    assert(file !== null, `file/${id} is of a known kind`);
    kernel.putBackFile(file);
  }
  for (const file of kernel.files.values()) {
    if (file instanceof EpollFile) file.relink();
    if (file instanceof UnixSocket) for (const held of file.heldReferences()) kernel.files.get(held)!.references++;
  }

  const maps = new Map<number, MemoryMap>();
  for (const [id, state] of of('mm/')) {
    const space = machine.spaces.get(Number(id));
    assert(space !== undefined, `memory map ${id} has its memory`);
    maps.set(Number(id), MemoryMap.restore(kernel, space, state));
  }
  for (const [id, state] of of('process/')) restoreProcess(kernel, Number(id), maps, state);
  for (const [id, state] of of('process/')) {
    const process = kernel.processes.get(Number(id))!;
    const parent = kernel.processes.get(Process.parentOf(state)) ?? null;
    process.parent = parent;
    parent?.children.add(process);
  }
  for (const [rest, state] of of('fds/')) {
    const [pid, index] = rest.split('/').map(Number) as [number, number];
    kernel.processes.get(pid)!.files.restoreChunk(index, state);
  }
  for (const [id, state] of of('thread/')) {
    const process = kernel.processes.get(Thread.pidOf(state))!;
    const thread = Thread.restore(process, Number(id), kernel.scheduler, state);
    kernel.threads.set(thread.tid, thread);
    process.members.set(thread.tid, thread);
    ledger.add(thread);
  }
  kernel.scheduler.restore((parts.get('kernel') as SavedKernel).scheduler, kernel.threads.values());
  kernel.futexes.restore(kernel.threads.values());
  kernel.vfs.sweep();
  // Nothing differs from what the other replicas have.
  ledger.forget();
  return kernel;
}

function restoreProcess(kernel: Kernel, pid: number, maps: ReadonlyMap<number, MemoryMap>, state: Plain): void {
  // A zombie has no memory any more, and nobody asks it for any: the field needs something.
  const mm = maps.get(Process.spaceOf(state)) ?? maps.values().next().value;
  assert(mm !== undefined, 'some process is alive');
  const process = Process.restore(kernel, pid, mm, new FileTable(kernel, pid, 0), state);
  if (!process.zombie) kernel.enterMap(mm);
  process.files.limit = process.limits[RLIMIT_NOFILE]![0] ?? Number.MAX_SAFE_INTEGER;
  kernel.processes.set(pid, process);
  kernel.ledger.add(process);
}
