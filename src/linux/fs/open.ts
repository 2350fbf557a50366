/** open(2): from a path to an open file description; and back from a checkpoint. */

import type { Plain } from '../../checkpoint/ledger.ts';
import { EACCES, EEXIST, EINVAL, EISDIR, ELOOP, ENOENT, ENOTDIR, ENXIO, EROFS, ETXTBSY } from '../abi/errno.ts';
import {
  O_ACCMODE,
  O_CLOEXEC,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_NOCTTY,
  O_NOFOLLOW,
  O_NONBLOCK,
  O_PATH,
  O_RDONLY,
  O_RDWR,
  O_TMPFILE_BIT,
  O_TRUNC,
  O_WRONLY,
} from '../abi/fcntl.ts';
import { S_IFBLK, S_IFCHR, S_IFIFO, S_IFREG, S_IFSOCK } from '../abi/stat.ts';
import { ConsoleFile, type ConsoleHost } from '../console.ts';
import { EpollFile } from '../epoll.ts';
import { EventFile } from '../eventfd.ts';
import { InotifyFile } from '../inotify.ts';
import type { OpenFile } from '../open-file.ts';
import { PipeFile, type PipeHost } from '../pipe.ts';
import { SignalFile, type SignalHost } from '../signalfd.ts';
import { TimerFile, type TimerHost } from '../timerfd.ts';
import { DeviceFile, isDevice } from './device-file.ts';
import { DirectoryFile } from './directory-file.ts';
import { DescriptionNode, PathFile, type Place, reopen, restorePlace, type SavedPlace } from './file-host.ts';
import { Inode } from './inode.ts';
import type { Node } from './node.ts';
import { RegularFile } from './regular-file.ts';
import { SyntheticNode } from './synthetic.ts';
import { SyntheticOpenFile } from './synthetic-file.ts';
import type { FsContext } from './vfs.ts';

/** Everything that files of this folder and its neighbours need of the kernel. */
export interface OpenHost extends ConsoleHost, PipeHost, TimerHost, SignalHost {}

/** Flags that open(2) uses and F_GETFL does not show. */
const NOT_KEPT = O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_CLOEXEC;

/**
 * Opens `path`. The description has no reference yet. A FIFO is opened at once; the system call waits for the other end.
 * `mode` is for a file that is made.
 */
export function openPath(
  host: OpenHost,
  ctx: FsContext,
  start: Node,
  path: string,
  flags: number,
  mode: number,
): OpenFile | number {
  const { vfs } = host;
  const kept = flags & ~NOT_KEPT;
  if ((flags & O_PATH) !== 0) {
    const found = vfs.resolve(ctx, start, path, { follow: (flags & O_NOFOLLOW) === 0 });
    if (typeof found === 'number') return found;
    if (found.node === null) return -ENOENT;
    if ((flags & O_DIRECTORY) !== 0 && !found.node.isDirectory) return -ENOTDIR;
    const place = placeOf(found.parent, found.name, found.node);
    if (found.node.isDirectory)
      return host.addFile((id) => new DirectoryFile(host, id, kept & (O_PATH | O_DIRECTORY | O_NOFOLLOW), place));
    return host.addFile((id) => new PathFile(host, id, kept & (O_PATH | O_NOFOLLOW), place));
  }
  if ((flags & O_TMPFILE_BIT) !== 0) return openTmpfile(host, ctx, start, path, flags, mode);
  if ((flags & (O_CREAT | O_DIRECTORY)) === (O_CREAT | O_DIRECTORY)) return -EINVAL;
  const create = (flags & O_CREAT) !== 0;
  const exclusive = create && (flags & O_EXCL) !== 0;
  const found = vfs.resolve(ctx, start, path, { follow: !exclusive && (flags & O_NOFOLLOW) === 0, creating: create });
  if (typeof found === 'number') return found;
  if (found.node === null) {
    if (!create) return -ENOENT;
    if (found.directory) return -EISDIR;
    if (!(found.parent instanceof Inode)) return found.parent instanceof SyntheticNode ? -ENOENT : -EROFS;
    if (found.parent.nlink === 0) return -ENOENT;
    const node = vfs.attach(found.parent, found.name, { mode: S_IFREG | (mode & 0o7777 & ~ctx.umask) });
    return host.addFile((id) => new RegularFile(host, id, kept, { node, parent: found.parent, name: found.name }));
  }
  if (exclusive) return -EEXIST;
  return openNode(host, placeOf(found.parent, found.name, found.node), flags);
}

function placeOf(parent: Node, name: string, node: Node): Place {
  return { parent, name, node };
}

/** Opens a node that exists. */
export function openNode(host: OpenHost, place: Place, flags: number): OpenFile | number {
  const { node } = place;
  const kept = flags & ~NOT_KEPT;
  const writes = (flags & O_ACCMODE) !== O_RDONLY;
  if ((flags & O_DIRECTORY) !== 0 && !node.isDirectory) return -ENOTDIR;
  if (node.isSymlink) return -ELOOP;
  if (node instanceof DescriptionNode) return reopen(node.file, kept);
  if (node.isDirectory) {
    if (writes || (flags & (O_CREAT | O_TRUNC)) !== 0) return -EISDIR;
    return host.addFile((id) => new DirectoryFile(host, id, kept, place));
  }
  if (node instanceof SyntheticNode) {
    if (writes && (node.entry.kind !== 'file' || node.entry.write === undefined)) return -EACCES;
    return host.addFile((id) => new SyntheticOpenFile(host, id, kept, place));
  }
  if (!(node instanceof Inode)) return -ENXIO;
  switch (node.type) {
    case S_IFREG:
      if ((flags & O_TRUNC) !== 0) {
        if (node.seals > 0) return -ETXTBSY;
        node.discardContent();
      } else node.loadContent();
      return host.addFile((id) => new RegularFile(host, id, kept, { ...place, node }));
    case S_IFIFO: {
      const pipe = host.pipes.get(node.pipe);
      // Non-blocking for writing, and nobody reads (fifo(7)).
      if ((flags & O_ACCMODE) === O_WRONLY && (flags & O_NONBLOCK) !== 0 && (pipe === undefined || pipe.readers === 0))
        return -ENXIO;
      return host.addFile((id) => {
        const there = pipe ?? host.pipes.create(id);
        if (node.pipe !== there.id) {
          node.pipe = there.id;
          node.touch();
        }
        return new PipeFile(host, id, kept, there, node);
      });
    }
    case S_IFCHR:
      return isDevice(node.rdev) ? host.addFile((id) => new DeviceFile(host, id, kept, place)) : -ENXIO;
    case S_IFBLK:
    case S_IFSOCK:
      return -ENXIO;
    default:
      return -EINVAL;
  }
}

function openTmpfile(
  host: OpenHost,
  ctx: FsContext,
  start: Node,
  path: string,
  flags: number,
  mode: number,
): OpenFile | number {
  if ((flags & O_DIRECTORY) === 0 || (flags & O_ACCMODE) === O_RDONLY) return -EINVAL;
  const dir = host.vfs.lookup(ctx, start, path, true);
  if (typeof dir === 'number') return dir;
  if (!dir.isDirectory) return -ENOTDIR;
  if (!(dir instanceof Inode)) return -EROFS;
  const file = anonymousFile(
    host,
    flags & ~NOT_KEPT & ~(O_TMPFILE_BIT | O_DIRECTORY),
    S_IFREG | (mode & 0o7777 & ~ctx.umask),
    '',
    dir,
  );
  return file;
}

/** A file without a name: O_TMPFILE, memfd_create. */
function anonymousFile(host: OpenHost, flags: number, mode: number, name: string, parent: Inode): RegularFile {
  const node = host.vfs.makeInode({ mode, timeUs: host.realtimeUs(), dev: parent.dev });
  node.nlink = 0;
  return host.addFile((id) => new RegularFile(host, id, flags, { node, parent, name }));
}

export function openMemfd(host: OpenHost, name: string, seals: number): RegularFile {
  const file = anonymousFile(host, O_RDWR, S_IFREG | 0o777, `memfd:${name}`, host.vfs.root);
  file.inode.seals = seals;
  file.inode.touch();
  return file;
}

/**
 * A description of one of the kinds of this folder and its neighbours from its saved state; null: another's kind. The file
 * system, the pipes and the console's input must be there already; epoll instances need `relink` when all files are.
 */
export function restoreFile(host: OpenHost, id: number, state: Plain): OpenFile | null {
  const { kind, flags, place } = state as { kind: string; flags: number; place: SavedPlace };
  switch (kind) {
    case 'regular': {
      const at = restorePlace(host, place);
      const file = new RegularFile(host, id, flags, at as Place & { node: Inode });
      file.offset = (state as { offset: number }).offset;
      return file;
    }
    case 'directory': {
      const file = new DirectoryFile(host, id, flags, restorePlace(host, place));
      const saved = state as { position: number; names: string[] | null };
      file.position = saved.position;
      file.names = saved.names;
      return file;
    }
    case 'synthetic': {
      const file = new SyntheticOpenFile(host, id, flags, restorePlace(host, place));
      const saved = state as { offset: number; content: Uint8Array | null };
      file.offset = saved.offset;
      file.content = saved.content === null ? null : new Uint8Array(saved.content);
      return file;
    }
    case 'device':
      return new DeviceFile(host, id, flags, restorePlace(host, place));
    case 'path':
      return new PathFile(host, id, flags, restorePlace(host, place));
    case 'console':
      return new ConsoleFile(host, id, flags, (state as { stream: 0 | 1 | 2 }).stream);
    case 'pipe':
      return PipeFile.restore(host, id, state);
    case 'eventfd':
      return EventFile.restore(host, id, state);
    case 'timerfd':
      return TimerFile.restore(host, id, state);
    case 'epoll':
      return EpollFile.restore(host, id, state);
    case 'signalfd':
      return SignalFile.restore(host, id, state);
    case 'inotify':
      return InotifyFile.restore(host, id, state);
    default:
      return null;
  }
}
