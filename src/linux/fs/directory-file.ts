/** An open directory: getdents64(2). The list is taken when reading begins and kept, so that removing while reading is safe. */

import { EBADF, EINVAL, EISDIR, ENOENT } from '../abi/errno.ts';
import { SEEK_CUR, SEEK_SET } from '../abi/fcntl.ts';
import { encodeDirent } from '../abi/stat.ts';
import { type FileHost, NodeFile, type Place } from './file-host.ts';
import { Inode } from './inode.ts';

const encoder = new TextEncoder();

export class DirectoryFile extends NodeFile {
  /** Index into `names`: 0 is ".", 1 "..", then the names. */
  position = 0;
  names: string[] | null = null;

  constructor(host: FileHost, id: number, flags: number, place: Place) {
    super(host, id, flags, place);
  }

  override save(): unknown {
    const { flags, position, names } = this;
    return { kind: 'directory', flags, place: this.savePlace(), position, names };
  }

  override read(): number {
    return -EISDIR;
  }

  override pread(): number {
    return -EISDIR;
  }

  override pwrite(): number {
    return -EBADF;
  }

  override seek(offset: number, whence: number): number {
    const to = whence === SEEK_SET ? offset : whence === SEEK_CUR ? this.position + offset : -1;
    if (to < 0) return -EINVAL;
    this.position = to;
    if (to === 0) this.names = null;
    this.touch();
    return to;
  }

  /** As many linux_dirent64 as fit in `length`; empty at the end; -EINVAL when not one fits. */
  entries(length: number): Uint8Array | number {
    const { vfs } = this.host;
    if (this.node instanceof Inode && this.node.nlink === 0) return -ENOENT;
    this.touch();
    this.names ??= vfs.list(this.node).map(([name]) => name);
    const records: Uint8Array[] = [];
    let used = 0;
    for (; this.position < this.names.length + 2; this.position++) {
      const name = this.position === 0 ? '.' : this.position === 1 ? '..' : this.names[this.position - 2]!;
      const node =
        this.position === 0 ? this.node : this.position === 1 ? vfs.parentOf(this.node) : vfs.child(this.node, name);
      if (typeof node === 'number') continue;
      const record = encodeDirent(node.ino, this.position + 1, node.mode, encoder.encode(name));
      if (used + record.length > length) {
        if (records.length === 0) return -EINVAL;
        break;
      }
      records.push(record);
      used += record.length;
    }
    const out = new Uint8Array(used);
    let at = 0;
    for (const record of records) {
      out.set(record, at);
      at += record.length;
    }
    return out;
  }
}
