/**
 * The image as a root folder: answers `Lvm.lookup` and `Lvm.read`. Its I/O is passed in.
 *
 * A blob is read once, whole, and hashed; the guest takes its content into its own state right after, so the content is
 * kept here only until the next file is named. A file that changed in between is an operator error: the image must not
 * change while a service runs from it.
 */

import type { BlobId, ImageEntry, ImageFileType } from '../lvm/api.ts';
import { hostPathOf, type Mount, mountedNames } from './mounts.ts';

export interface HostStat {
  readonly type: ImageFileType;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly mtimeUs: number;
  readonly nlink?: number;
}

/** What the image needs of the host. Paths are the host's; symbolic links are not followed. */
export interface ImageIo {
  /** Null: no such file, or none that may be seen. */
  stat(path: string): HostStat | null;
  /** Names without "." and "..", in any order. */
  list(path: string): string[];
  readlink(path: string): string;
  readFile(path: string): Uint8Array;
  /** Part of a file, less at its end. */
  readAt(path: string, offset: number, length: number): Uint8Array;
  sha256(bytes: Uint8Array): BlobId;
}

/** A file of the image changed or vanished while the service ran. */
export class ImageChangedError extends Error {
  readonly code = 'TG_IMAGE_CHANGED';
  readonly exitStatus = 125;
}

export interface FolderImageOptions {
  /** Host path of the guest's "/". */
  readonly root: string;
  readonly mounts?: readonly Mount[];
}

export class FolderImage {
  readonly #io: ImageIo;
  readonly #root: string;
  readonly #mounts: readonly Mount[];
  /** Host path of each blob named. */
  readonly #paths = new Map<BlobId, string>();
  /** What was named last. */
  #kept: { readonly blob: BlobId; readonly bytes: Uint8Array } | null = null;

  constructor(io: ImageIo, options: FolderImageOptions) {
    this.#io = io;
    this.#root = options.root;
    this.#mounts = options.mounts ?? [];
  }

  /** See `Lvm.lookup`. */
  lookup(path: string, content: boolean): ImageEntry | null {
    const guest = path === '' ? '/' : path;
    const host = hostPathOf(this.#root, this.#mounts, guest);
    const added = mountedNames(this.#mounts, guest);
    const stat = this.#io.stat(host);
    if (stat === null) {
      // A directory that exists only because something is mounted below it.
      if (added.length === 0) return null;
      const names = content ? { names: sorted(added) } : {};
      return { type: 'directory', mode: 0o755, uid: 0, gid: 0, size: 0, mtimeUs: 0, ...names };
    }
    switch (stat.type) {
      case 'directory':
        return content ? { ...stat, names: sorted([...this.#io.list(host), ...added]) } : stat;
      case 'symlink':
        return { ...stat, target: this.#io.readlink(host) };
      case 'file': {
        if (!content) return stat;
        const bytes = this.#io.readFile(host);
        const blob = this.#io.sha256(bytes);
        this.#paths.set(blob, host);
        this.#kept = { blob, bytes };
        return { ...stat, size: bytes.length, blob };
      }
      case 'other':
        return stat;
    }
  }

  /** Part of the file at `path`, which no guest sees: to look at a program before it is started. */
  peek(path: string, offset: number, length: number): Uint8Array {
    return this.#io.readAt(hostPathOf(this.#root, this.#mounts, path), offset, length);
  }

  /** See `Lvm.read`. Throws ImageChangedError. */
  read(blob: BlobId, offset: number, length: number): Uint8Array {
    if (this.#kept?.blob !== blob) {
      const path = this.#paths.get(blob);
      if (path === undefined) throw new ImageChangedError(`this replica has no file with the content ${blob}`);
      const bytes = this.#io.readFile(path);
      if (this.#io.sha256(bytes) !== blob) {
        throw new ImageChangedError(`${path} changed while the service ran; keep its root folder as it is`);
      }
      this.#kept = { blob, bytes };
    }
    return this.#kept.bytes.subarray(offset, offset + length);
  }
}

/** In byte order (of UTF-16 units, which agrees but for surrogates), each once. */
function sorted(names: readonly string[]): string[] {
  return [...new Set(names)].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
}
