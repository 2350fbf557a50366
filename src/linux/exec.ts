/** execve(2): a new program in a new memory map. Source: fs/exec.c, fs/binfmt_script.c. */

import { Context, RSP } from '../x86/state.ts';
import { E2BIG, EACCES, EIO, ELIBBAD, ELOOP, ENOENT, ENOEXEC, ENOMEM } from './abi/errno.ts';
import { SIG_IGN, SIGNAL_MAX } from './abi/signal.ts';
import { endThread, leaveMemory } from './exit.ts';
import { Inode } from './fs/inode.ts';
import type { Node } from './fs/node.ts';
import { releaseRobustList } from './futex.ts';
import type { Kernel } from './kernel.ts';
import { ElfError } from './loader/elf.ts';
import { type Loaded, loadProgram, type ProgramFile } from './loader/load.ts';
import type { MemoryMap } from './mm/memory-map.ts';
import { DEFAULT_ACTION, type Process } from './process.ts';
import { NO_ALT_STACK, type Thread } from './thread.ts';

/** BINPRM_BUF_SIZE: how much of a script's first line is looked at. */
const SCRIPT_LINE = 256;
/** Interpreters of interpreters. */
const DEPTH = 5;
const encoder = new TextEncoder();
const decoder = new TextDecoder();

export interface ExecRequest {
  /** Absolute, or relative to `start`. */
  readonly path: string;
  readonly start: Node;
  readonly args: readonly Uint8Array[];
  readonly env: readonly Uint8Array[];
}

interface Image {
  readonly map: MemoryMap;
  readonly loaded: Loaded;
  readonly program: ProgramFile;
}

/** 0, or -errno with nothing changed. On success the thread is at the new program's entry. */
export function exec(kernel: Kernel, thread: Thread, request: ExecRequest): number {
  const { process } = thread;
  let image: Image | number;
  try {
    image = load(kernel, process, request, 0);
  } catch (error) {
    if (!(error instanceof ElfError)) throw error;
    return errnoOf(error);
  }
  if (typeof image === 'number') return image;
  // Other threads are no more; this one gets the process's id.
  const { members } = process;
  for (const other of [...members.values()]) if (other !== thread) endThread(kernel, other);
  releaseRobustList(kernel, thread);
  kernel.cpu.unload(process.space);
  const leader = kernel.makeLeader(thread);
  leaveMemory(kernel, process);
  process.mm = kernel.enterMap(image.map);
  enterProgram(process, leader, image, request);
  return 0;
}

/** The first program: throws ElfError where there is none that can run. */
export function execFirst(kernel: Kernel, thread: Thread, request: ExecRequest): void {
  const image = load(kernel, thread.process, request, 0);
  if (typeof image === 'number') throw new ElfError('TG_NO_SUCH_PROGRAM', `${request.path} cannot be executed`);
  kernel.leaveMap(thread.process.mm);
  thread.process.mm = kernel.enterMap(image.map);
  enterProgram(thread.process, thread, image, request);
}

function enterProgram(process: Process, thread: Thread, { loaded, program }: Image, request: ExecRequest): void {
  process.files.closeOnExec();
  process.timers.clearPosix();
  for (let signo = 1; signo <= SIGNAL_MAX; signo++) {
    if (process.actions[signo]!.handler !== SIG_IGN) process.actions[signo] = DEFAULT_ACTION;
  }
  // comm is the name that was executed (for a script, the script's).
  const name = request.path.slice(request.path.lastIndexOf('/') + 1).slice(0, 15);
  process.setProgram(name, program.path, program.inode, loaded);
  process.touch();
  thread.name = name;
  thread.alt = NO_ALT_STACK;
  thread.clearTid = 0;
  thread.robustList = 0;
  const fresh = new Context();
  thread.context.u8.set(fresh.u8);
  thread.context.rip = loaded.entry;
  thread.context.setNumber(RSP, loaded.stackPointer);
}

function load(kernel: Kernel, process: Process, request: ExecRequest, depth: number): Image | number {
  const program = openProgram(kernel, process, request.start, request.path);
  if (typeof program === 'number') return program;
  const head = program.inode.read(0, SCRIPT_LINE);
  if (head[0] === 0x23 && head[1] === 0x21) {
    return depth === DEPTH ? -ELOOP : load(kernel, process, scriptRequest(request, head), depth + 1);
  }
  const map = kernel.newMap();
  try {
    const loaded = loadProgram(map, {
      program,
      openInterpreter: (path) => {
        const file = openProgram(kernel, process, process.fs.root, path);
        if (typeof file === 'number') throw new ElfError('TG_NO_INTERPRETER', `its loader ${path} is not there`);
        return file;
      },
      args: request.args.length > 0 ? request.args : [new Uint8Array(0)],
      env: request.env,
      fileName: encoder.encode(request.path),
      random: kernel.entropy(16),
    });
    return { map, loaded, program };
  } catch (error) {
    map.release();
    throw error;
  }
}

function openProgram(kernel: Kernel, process: Process, start: Node, path: string): ProgramFile | number {
  const { vfs } = kernel;
  const found = vfs.resolve(process.fs, start, path, { follow: true });
  if (typeof found === 'number') return found;
  const { node, parent, name } = found;
  if (node === null) return -ENOENT;
  if (!(node instanceof Inode) || !node.isFile || (node.mode & 0o111) === 0) return -EACCES;
  return { inode: node, path: vfs.pathOfEntry(parent, name, node) };
}

/** "#! interpreter [one argument]" (execve(2), "Interpreter scripts"). */
function scriptRequest(request: ExecRequest, head: Uint8Array): ExecRequest {
  const newline = head.indexOf(10);
  const line = decoder.decode(head.subarray(2, newline < 0 ? head.length : newline)).trim();
  const [, interpreter, argument] = /^(\S+)(?:\s+(.*))?$/.exec(line) ?? [];
  if (interpreter === undefined) throw new ElfError('TG_ELF_MAGIC', 'a script without an interpreter');
  const args = [interpreter, ...(argument === undefined ? [] : [argument]), request.path].map((s) => encoder.encode(s));
  return { ...request, path: interpreter, args: [...args, ...request.args.slice(1)] };
}

function errnoOf({ code }: ElfError): number {
  switch (code) {
    case 'TG_NO_MEMORY':
      return -ENOMEM;
    case 'TG_ARGS_TOO_LONG':
      return -E2BIG;
    case 'TG_NO_INTERPRETER':
      return -ENOENT;
    case 'TG_ELF_TRUNCATED':
      return -EIO;
    case 'TG_ELF_CLASS':
    case 'TG_ELF_MACHINE':
      return -ENOEXEC;
    case 'TG_ELF_HEADERS':
      return -ELIBBAD;
    default:
      return -ENOEXEC;
  }
}
