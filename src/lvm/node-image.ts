/** The image's I/O on Node: the only place where the host's disk is read for a guest. */

import { createHash } from 'node:crypto';
import { closeSync, lstatSync, openSync, readdirSync, readFileSync, readlinkSync, readSync, type Stats } from 'node:fs';
import { resolve } from 'node:path';
import { FolderImage, type HostStat, type ImageIo } from '../image/image.ts';
import { parseMount } from '../image/mounts.ts';
import type { ImageFileType } from './api.ts';

export const nodeImageIo: ImageIo = {
  stat(path: string): HostStat | null {
    let stat: Stats;
    try {
      stat = lstatSync(path);
    } catch (error) {
      // What the operator may not read is not in the image.
      if (['ENOENT', 'ENOTDIR', 'EACCES', 'ENAMETOOLONG', 'ELOOP'].includes(codeOf(error))) return null;
      throw error;
    }
    return {
      type: typeOf(stat),
      mode: stat.mode & 0o7777,
      uid: stat.uid,
      gid: stat.gid,
      size: stat.size,
      mtimeUs: Math.floor(stat.mtimeMs * 1000),
      nlink: stat.nlink,
    };
  },

  list(path: string): string[] {
    try {
      return readdirSync(path);
    } catch (error) {
      if (codeOf(error) === 'EACCES') return [];
      throw error;
    }
  },

  readlink: (path) => readlinkSync(path),

  readFile: (path) => readFileSync(path),

  readAt(path: string, offset: number, length: number): Uint8Array {
    const fd = openSync(path, 'r');
    try {
      const bytes = new Uint8Array(length);
      return bytes.subarray(0, readSync(fd, bytes, 0, length, offset));
    } finally {
      closeSync(fd);
    }
  },

  sha256: (bytes) => createHash('sha256').update(bytes).digest('hex'),
};

/** The image for `--root ROOT` and any `--file HOSTPATH:GUESTPATH`. Throws MountError. */
export function openImage(root: string, files: readonly string[] = []): FolderImage {
  const mounts = files.map((text) => parseMount(text, (path) => resolve(path)));
  return new FolderImage(nodeImageIo, { root: resolve(root), mounts });
}

function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? '';
}

function typeOf(stat: Stats): ImageFileType {
  if (stat.isFile()) return 'file';
  if (stat.isDirectory()) return 'directory';
  return stat.isSymbolicLink() ? 'symlink' : 'other';
}
