/**
 * The image as the guest's first process will see it: paths with symbolic links, `.` and `..` followed inside the image,
 * never outside (path_resolution(7)). Used to answer questions about a program before it is started.
 */

import type { ImageEntry } from '../../lvm/api.ts';

/** What is needed of an image; `FolderImage` is one. */
export interface Image {
  lookup(path: string, content: boolean): ImageEntry | null;
  peek(path: string, offset: number, length: number): Uint8Array;
}

/** A file of which parts are read. */
export interface FileBytes {
  readonly length: number;
  /** Fewer at the end. */
  read(offset: number, length: number): Uint8Array;
}

/** As Linux's MAXSYMLINKS. */
const SYMLINKS_MAX = 40;

export interface Found {
  /** The path with every symbolic link followed. */
  readonly path: string;
  readonly entry: ImageEntry;
}

/** Null: no such path, or a loop of symbolic links. `path` is absolute. */
export function find(image: Image, path: string): Found | null {
  let left = path.split('/').filter((part) => part !== '');
  let done: string[] = [];
  let links = 0;
  let entry = image.lookup('/', false);
  while (left.length > 0) {
    const part = left.shift()!;
    if (part === '.') continue;
    if (part === '..') {
      done.pop();
      entry = image.lookup(pathOf(done), false);
      continue;
    }
    if (entry?.type !== 'directory') return null;
    const next = image.lookup(pathOf([...done, part]), false);
    if (next === null) return null;
    if (next.type === 'symlink') {
      links += 1;
      if (links > SYMLINKS_MAX) return null;
      const target = next.target!;
      if (target.startsWith('/')) done = [];
      left = [...target.split('/').filter((name) => name !== ''), ...left];
      entry = image.lookup(pathOf(done), false);
      continue;
    }
    done.push(part);
    entry = next;
  }
  return entry === null ? null : { path: pathOf(done), entry };
}

/** Content of the regular file at `path` (links followed); null if there is none. */
export function content(image: Image, path: string): Uint8Array | null {
  const file = fileBytes(image, path);
  return file === null ? null : file.read(0, file.length);
}

/** The regular file at `path` (links followed), to read what is wanted of it; null if there is none. */
export function fileBytes(image: Image, path: string): FileBytes | null {
  const found = find(image, path);
  if (found?.entry.type !== 'file') return null;
  return { length: found.entry.size, read: (offset, length) => image.peek(found.path, offset, length) };
}

function pathOf(parts: readonly string[]): string {
  return `/${parts.join('/')}`;
}
