/** What the socket calls need of the kernel and the calling process, in one place. */

import { EADDRINUSE, ECONNREFUSED, EEXIST } from '../abi/errno.ts';
import { S_IFMT, S_IFSOCK } from '../abi/stat.ts';
import type { Node } from '../fs/node.ts';
import type { FsContext, Vfs } from '../fs/vfs.ts';
import type { OpenFile } from '../open-file.ts';
import type { Credentials } from '../socket.ts';
import type { Syscall } from '../syscall.ts';
import { type UnixHost, UnixNames } from '../unix-socket.ts';

const SIGPIPE = 13;

/** The kernel as sockets see it. */
export interface SocketKernel extends UnixHost {
  readonly vfs: Vfs;
  monotonicUs(): number;
  /** Sends a signal to a thread. */
  raise(thread: Syscall['thread'], signo: number): void;
}

/** The process as the socket calls see it. */
export interface SocketProcess {
  /** The description behind a descriptor. */
  file(fd: number): OpenFile | undefined;
  /** The lowest free descriptor for `file`, which gains a reference; -EMFILE. */
  install(file: OpenFile, cloexec: boolean): number;
  closeFd(fd: number): number;
  readonly pid: number;
  readonly fs: FsContext;
}

export function hostOf(call: Syscall): SocketKernel {
  return call.kernel as unknown as SocketKernel;
}

function processOf(call: Syscall): SocketProcess {
  return call.process as unknown as SocketProcess;
}

export function fileOf(call: Syscall, fd: number): OpenFile | undefined {
  return processOf(call).file(fd);
}

/** A new description, registered, without a reference yet. */
export function addFile<T extends OpenFile>(call: Syscall, make: (id: number) => T): T {
  return hostOf(call).addFile(make);
}

/** The lowest free descriptor for `file`, which gains a reference; -EMFILE. */
export function installFile(call: Syscall, file: OpenFile, cloexec: boolean): number {
  return processOf(call).install(file, cloexec);
}

export function closeFd(call: Syscall, fd: number): void {
  processOf(call).closeFd(fd);
}

export function monotonicUs(call: Syscall): number {
  return hostOf(call).monotonicUs();
}

export function credentialsOf(call: Syscall): Credentials {
  return { pid: processOf(call).pid, uid: 0, gid: 0 };
}

/** SIGPIPE to the calling thread (signal(7)): a write to a stream whose reader is gone. */
export function raiseSigpipe(call: Syscall): void {
  hostOf(call).raise(call.thread, SIGPIPE);
}

/** Makes the socket file of a name; its key by UnixNames, or -errno. */
export function bindSocketFile(call: Syscall, name: Uint8Array): string | number {
  const { fs } = processOf(call);
  const made = hostOf(call).vfs.mknod(fs, fs.cwd as Node, decode(name), S_IFSOCK | 0o777);
  if (typeof made === 'number') return made === -EEXIST ? -EADDRINUSE : made;
  return UnixNames.inodeKey(made.ino);
}

/** The key of an existing socket file, or -errno. */
export function socketFileKey(call: Syscall, name: Uint8Array): string | number {
  const { fs } = processOf(call);
  const node = hostOf(call).vfs.lookup(fs, fs.cwd as Node, decode(name), true);
  if (typeof node === 'number') return node;
  return (node.mode & S_IFMT) === S_IFSOCK ? UnixNames.inodeKey(node.ino) : -ECONNREFUSED;
}

const decoder = new TextDecoder();

function decode(name: Uint8Array): string {
  return decoder.decode(name);
}
