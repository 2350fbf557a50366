/** An open regular file. */

import { EBADF, EFBIG, EINVAL, ENOTTY, ENXIO, EPERM } from '../abi/errno.ts';
import {
  F_SEAL_FUTURE_WRITE,
  F_SEAL_GROW,
  F_SEAL_SHRINK,
  F_SEAL_WRITE,
  FIONREAD,
  MAX_OFFSET,
  O_APPEND,
  SEEK_CUR,
  SEEK_DATA,
  SEEK_END,
  SEEK_HOLE,
  SEEK_SET,
} from '../abi/fcntl.ts';
import type { GuestMemory } from '../open-file.ts';
import { type FileHost, NodeFile, type Place } from './file-host.ts';
import type { Inode } from './inode.ts';

export class RegularFile extends NodeFile {
  readonly inode: Inode;
  offset = 0;

  constructor(host: FileHost, id: number, flags: number, place: Place & { readonly node: Inode }) {
    super(host, id, flags, place);
    this.inode = place.node;
  }

  override save(): unknown {
    return { kind: 'regular', flags: this.flags, place: this.savePlace(), offset: this.offset };
  }

  override read(length: number): Uint8Array | number {
    const bytes = this.pread(length, this.offset);
    if (typeof bytes === 'number') return bytes;
    if (bytes.length > 0) {
      this.offset += bytes.length;
      this.touch();
    }
    return bytes;
  }

  override write(bytes: Uint8Array): number {
    if (!this.writable) return -EBADF;
    const offset = (this.flags & O_APPEND) !== 0 ? this.inode.size : this.offset;
    const count = this.#put(bytes, offset);
    if (count > 0) {
      this.offset = offset + count;
      this.touch();
    }
    return count;
  }

  override pread(length: number, offset: number): Uint8Array | number {
    if (!this.readable) return -EBADF;
    if (offset < 0) return -EINVAL;
    return this.inode.read(offset, length);
  }

  /** With O_APPEND Linux appends whatever the offset (pwrite(2), BUGS). */
  override pwrite(bytes: Uint8Array, offset: number): number {
    if (!this.writable) return -EBADF;
    if (offset < 0) return -EINVAL;
    return this.#put(bytes, (this.flags & O_APPEND) !== 0 ? this.inode.size : offset);
  }

  #put(bytes: Uint8Array, offset: number): number {
    const { inode } = this;
    if (bytes.length === 0) return 0;
    if (offset + bytes.length > MAX_OFFSET) return -EFBIG;
    if (inode.seals > 0) {
      if ((inode.seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)) !== 0) return -EPERM;
      if ((inode.seals & F_SEAL_GROW) !== 0 && offset + bytes.length > inode.size) return -EPERM;
    }
    inode.write(offset, bytes);
    return bytes.length;
  }

  override seek(offset: number, whence: number): number {
    let to: number;
    switch (whence) {
      case SEEK_SET:
        to = offset;
        break;
      case SEEK_CUR:
        to = this.offset + offset;
        break;
      case SEEK_END:
        to = this.inode.size + offset;
        break;
      case SEEK_DATA:
      case SEEK_HOLE:
        if (offset < 0 || offset >= this.inode.size) return -ENXIO;
        to = this.inode.seekData(offset, whence === SEEK_DATA);
        if (to < 0) return -ENXIO;
        break;
      default:
        return -EINVAL;
    }
    if (to < 0 || to > MAX_OFFSET) return -EINVAL;
    if (to !== this.offset) {
      this.offset = to;
      this.touch();
    }
    return to;
  }

  override truncate(length: number): number {
    if (!this.writable) return -EINVAL;
    if (length < 0) return -EINVAL;
    if (length > MAX_OFFSET) return -EFBIG;
    const { seals } = this.inode;
    if (seals > 0 && length < this.inode.size && (seals & F_SEAL_SHRINK) !== 0) return -EPERM;
    if (seals > 0 && length > this.inode.size && (seals & F_SEAL_GROW) !== 0) return -EPERM;
    this.inode.truncate(length);
    return 0;
  }

  override ioctl(request: number, argument: number, io: GuestMemory): number {
    if (request !== FIONREAD) return -ENOTTY;
    const left = Math.min(0x7fff_ffff, Math.max(0, this.inode.size - this.offset));
    const bytes = new Uint8Array(4);
    new DataView(bytes.buffer).setInt32(0, left, true);
    return io.write(argument, bytes) ? 0 : -14;
  }
}

/** File content for a mapping: `length` bytes from `offset`, zero after the end of the file. */
export function readContent(inode: Inode, offset: number, length: number): Uint8Array {
  const bytes = inode.read(offset, length);
  if (bytes.length === length) return bytes;
  const out = new Uint8Array(length);
  out.set(bytes);
  return out;
}
