/** execve(2): a new program in a new memory map. Source: fs/exec.c, fs/binfmt_script.c. */

import { Context, RSP } from '../x86/state.ts';
import { E2BIG, EACCES, EIO, ELIBBAD, ELOOP, ENOENT, ENOEXEC, ENOMEM } from './abi/errno.ts';
import { SIG_IGN, SIGCHLD } from './abi/signal.ts';
import { endThread, leaveMemory } from './exit.ts';
import { Inode } from './fs/inode.ts';
import type { Node } from './fs/node.ts';
import { releaseRobustList } from './futex.ts';
import type { Kernel } from './kernel.ts';
import { ElfError } from './loader/elf.ts';
import { type Loaded, loadProgram, type ProgramFile } from './loader/load.ts';
import type { MemoryMap } from './mm/memory-map.ts';
import { DEFAULT_ACTION, IGNORED_ACTION, type Process } from './process.ts';
import { NO_ALT_STACK, type Thread } from './thread.ts';

/** BINPRM_BUF_SIZE: how much of a script's first line is looked at. */
const SCRIPT_LINE = 256;
/** Interpreters of interpreters. */
const DEPTH = 5;
const encoder = new TextEncoder();
const decoder = new TextDecoder();

export interface ExecRequest {
  readonly program: ProgramFile;
  /** What the program, or a script's interpreter, is told that it was executed as (AT_EXECFN). */
  readonly fileName: string;
  readonly args: readonly Uint8Array[];
  readonly env: readonly Uint8Array[];
}

interface Image {
  readonly map: MemoryMap;
  readonly loaded: Loaded;
  /** The one that runs: of a script, the interpreter. */
  readonly program: ProgramFile;
}

/** The executable file at a path, absolute or relative to `start`; or -errno. */
export function findProgram(
  kernel: Kernel,
  process: Process,
  start: Node,
  path: string,
  follow = true,
): ProgramFile | number {
  const { vfs } = kernel;
  const found = vfs.resolve(process.fs, start, path, { follow });
  if (typeof found === 'number') return found;
  const { node, parent, name } = found;
  if (node === null) return -ENOENT;
  if (node.isSymlink) return -ELOOP;
  return programOf(node, vfs.pathOfEntry(parent, name, node));
}

/** The file as a program: -EACCES where it is none. */
export function programOf(node: Node, path: string): ProgramFile | number {
  return node instanceof Inode && node.isFile && (node.mode & 0o111) !== 0 ? { inode: node, path } : -EACCES;
}

/** 0, or -errno with nothing changed. On success the thread is at the new program's entry. */
export function exec(kernel: Kernel, thread: Thread, request: ExecRequest): number {
  const { process } = thread;
  let image: Image | number;
  try {
    image = load(kernel, process, request);
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
  process.executed = true;
  // Whatever clone(2) was told (begin_new_exec in fs/exec.c).
  process.exitSignal = SIGCHLD;
  enterProgram(process, leader, image, request);
  return 0;
}

/** The first program: throws ElfError where there is none that can run. */
export function execFirst(kernel: Kernel, thread: Thread, request: ExecRequest): void {
  const image = load(kernel, thread.process, request);
  if (typeof image === 'number') throw noProgram(request.fileName);
  kernel.leaveMap(thread.process.mm);
  thread.process.mm = kernel.enterMap(image.map);
  enterProgram(thread.process, thread, image, request);
}

export function noProgram(path: string): ElfError {
  return new ElfError('TG_NO_SUCH_PROGRAM', `${path} cannot be executed`);
}

function enterProgram(process: Process, thread: Thread, { loaded, program }: Image, request: ExecRequest): void {
  process.files.closeOnExec();
  process.timers.clearPosix();
  // Flags and masks go too, also those of signals that stay ignored (flush_signal_handlers in kernel/signal.c).
  process.actions.forEach(({ handler }, signo) => {
    process.actions[signo] = handler === SIG_IGN ? IGNORED_ACTION : DEFAULT_ACTION;
  });
  process.dumpable = 1;
  process.keepCaps = 0;
  // comm is of the file that was executed: for a script, the script's.
  const name = baseName(request.program.path);
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

/** comm has room for 15 bytes. */
function baseName(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1).slice(0, 15);
}

/** `name` is what the program was executed as: a script's interpreter gets it in place of argv[0]. */
function load(
  kernel: Kernel,
  process: Process,
  request: ExecRequest,
  name = request.fileName,
  depth = 0,
): Image | number {
  const { program, args } = request;
  const head = program.inode.read(0, SCRIPT_LINE);
  if (head[0] === 0x23 && head[1] === 0x21) {
    if (depth === DEPTH) return -ELOOP;
    const [interpreter, ...before] = scriptLine(head);
    const next = findProgram(kernel, process, process.fs.cwd, interpreter);
    if (typeof next === 'number') return next;
    const words = [interpreter, ...before, name].map((word) => encoder.encode(word));
    return load(
      kernel,
      process,
      { ...request, program: next, args: [...words, ...args.slice(1)] },
      interpreter,
      depth + 1,
    );
  }
  const map = kernel.newMap();
  try {
    const loaded = loadProgram(map, {
      program,
      openInterpreter: (path) => {
        const file = findProgram(kernel, process, process.fs.root, path);
        if (typeof file === 'number') throw new ElfError('TG_NO_INTERPRETER', `its loader ${path} is not there`);
        return file;
      },
      args: args.length > 0 ? args : [new Uint8Array(0)],
      env: request.env,
      fileName: encoder.encode(request.fileName),
      random: kernel.entropy(16),
    });
    return { map, loaded, program };
  } catch (error) {
    map.release();
    throw error;
  }
}

/** "#! interpreter [one argument]" (execve(2), "Interpreter scripts"). */
function scriptLine(head: Uint8Array): [interpreter: string, argument?: string] {
  const [line = ''] = decoder.decode(head.subarray(2)).split(/[\n\0]/, 1);
  const [, interpreter, argument] = /^[ \t]*([^ \t]+)[ \t]*(.*?)[ \t]*$/.exec(line) ?? [];
  if (interpreter === undefined) throw new ElfError('TG_ELF_MAGIC', 'a script without an interpreter');
  return argument === '' || argument === undefined ? [interpreter] : [interpreter, argument];
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
