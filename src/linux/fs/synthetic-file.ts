/** An open file of /proc or /sys: its content is made when it is read from the beginning, and kept for what follows. */

import { EBADF, EINVAL } from '../abi/errno.ts';
import { SEEK_CUR, SEEK_END, SEEK_SET } from '../abi/fcntl.ts';
import { NodeFile } from './file-host.ts';
import { SyntheticNode } from './synthetic.ts';

const EMPTY = new Uint8Array(0);

export class SyntheticOpenFile extends NodeFile {
  offset = 0;
  content: Uint8Array | null = null;

  override save(): unknown {
    const { flags, offset, content } = this;
    return { kind: 'synthetic', flags, place: this.savePlace(), offset, content };
  }

  override read(length: number): Uint8Array | number {
    const bytes = this.pread(length, this.offset);
    if (typeof bytes === 'number') return bytes;
    this.offset += bytes.length;
    this.touch();
    return bytes;
  }

  override pread(length: number, offset: number): Uint8Array | number {
    if (!this.readable) return -EBADF;
    if (offset < 0) return -EINVAL;
    if (offset === 0 || this.content === null) {
      const entry = this.node instanceof SyntheticNode ? this.node.entry : null;
      const made = entry?.kind === 'file' ? entry.content() : EMPTY;
      this.content = typeof made === 'string' ? new TextEncoder().encode(made) : made;
      this.touch();
    }
    return this.content.slice(offset, offset + length);
  }

  override write(bytes: Uint8Array): number {
    if (!this.writable) return -EBADF;
    const entry = this.node instanceof SyntheticNode ? this.node.entry : null;
    if (entry?.kind !== 'file' || entry.write === undefined) return -EINVAL;
    return entry.write(bytes);
  }

  override pwrite(bytes: Uint8Array): number {
    return this.write(bytes);
  }

  override seek(offset: number, whence: number): number {
    const to =
      whence === SEEK_SET
        ? offset
        : whence === SEEK_CUR
          ? this.offset + offset
          : whence === SEEK_END
            ? (this.content?.length ?? 0) + offset
            : -1;
    if (to < 0) return -EINVAL;
    this.offset = to;
    this.touch();
    return to;
  }

  override truncate(): number {
    return this.writable ? 0 : -EINVAL;
  }
}
