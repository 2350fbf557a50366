/** File types, device numbers and the layouts of struct stat, statx, statfs and linux_dirent64 on x86-64. Source: asm/stat.h, linux/stat.h, asm-generic/statfs.h. */

import type { Stat } from '../open-file.ts';

export const S_IFMT = 0o170000;
export const S_IFSOCK = 0o140000;
export const S_IFLNK = 0o120000;
export const S_IFREG = 0o100000;
export const S_IFBLK = 0o060000;
export const S_IFDIR = 0o040000;
export const S_IFCHR = 0o020000;
export const S_IFIFO = 0o010000;
export const S_ISUID = 0o4000;
export const S_ISGID = 0o2000;
export const S_ISVTX = 0o1000;

export const STAT_SIZE = 144;
export const STATX_SIZE = 256;
export const STATFS_SIZE = 120;

const STATX_BASIC_STATS = 0x7ff;

export function makedev(major: number, minor: number): number {
  return ((minor & 0xff) | (major << 8) | ((minor & ~0xff) << 12)) >>> 0;
}

export function major(dev: number): number {
  return (dev >>> 8) & 0xfff;
}

export function minor(dev: number): number {
  return (dev & 0xff) | ((dev >>> 12) & 0xfff00);
}

function setU64(view: DataView, offset: number, value: number): void {
  view.setUint32(offset, value >>> 0, true);
  view.setUint32(offset + 4, Math.floor(value / 2 ** 32), true);
}

function setTime(view: DataView, offset: number, us: number): void {
  const seconds = Math.floor(us / 1e6);
  setU64(view, offset, seconds);
  setU64(view, offset + 8, (us - seconds * 1e6) * 1000);
}

export function encodeStat(s: Stat): Uint8Array {
  const view = new DataView(new ArrayBuffer(STAT_SIZE));
  setU64(view, 0, s.dev);
  setU64(view, 8, s.ino);
  setU64(view, 16, s.nlink);
  view.setUint32(24, s.mode, true);
  view.setUint32(28, s.uid, true);
  view.setUint32(32, s.gid, true);
  setU64(view, 40, s.rdev);
  setU64(view, 48, s.size);
  setU64(view, 56, s.blksize);
  setU64(view, 64, s.blocks);
  setTime(view, 72, s.atimeUs);
  setTime(view, 88, s.mtimeUs);
  setTime(view, 104, s.ctimeUs);
  return new Uint8Array(view.buffer);
}

export function encodeStatx(s: Stat): Uint8Array {
  const view = new DataView(new ArrayBuffer(STATX_SIZE));
  view.setUint32(0, STATX_BASIC_STATS, true);
  view.setUint32(4, s.blksize, true);
  view.setUint32(16, s.nlink, true);
  view.setUint32(20, s.uid, true);
  view.setUint32(24, s.gid, true);
  view.setUint16(28, s.mode, true);
  setU64(view, 32, s.ino);
  setU64(view, 40, s.size);
  setU64(view, 48, s.blocks);
  // stx_atime 64, btime 80 (not in the mask), ctime 96, mtime 112: s64 seconds, u32 nanoseconds.
  setTime(view, 64, s.atimeUs);
  setTime(view, 96, s.ctimeUs);
  setTime(view, 112, s.mtimeUs);
  view.setUint32(128, major(s.rdev), true);
  view.setUint32(132, minor(s.rdev), true);
  view.setUint32(136, major(s.dev), true);
  view.setUint32(140, minor(s.dev), true);
  return new Uint8Array(view.buffer);
}

/** The numbers are the library OS's own: a file system with room, never the host's. */
export function encodeStatfs(magic: number): Uint8Array {
  const view = new DataView(new ArrayBuffer(STATFS_SIZE));
  const synthetic = magic === PROC_SUPER_MAGIC || magic === SYSFS_MAGIC;
  setU64(view, 0, magic);
  setU64(view, 8, 4096);
  setU64(view, 16, synthetic ? 0 : 1 << 22);
  setU64(view, 24, synthetic ? 0 : 1 << 21);
  setU64(view, 32, synthetic ? 0 : 1 << 21);
  setU64(view, 40, synthetic ? 0 : 1 << 20);
  setU64(view, 48, synthetic ? 0 : 1 << 19);
  setU64(view, 64, 255);
  setU64(view, 72, 4096);
  // f_flags: ST_VALID | ST_RELATIME
  setU64(view, 80, 0x1020);
  return new Uint8Array(view.buffer);
}

export const TMPFS_MAGIC = 0x0102_1994;
export const OVERLAYFS_SUPER_MAGIC = 0x794c_7630;
export const PROC_SUPER_MAGIC = 0x9fa0;
export const SYSFS_MAGIC = 0x6265_6572;

/** linux_dirent64 of one entry. `cookie`: where getdents64 goes on after it. */
export function encodeDirent(ino: number, cookie: number, mode: number, name: Uint8Array): Uint8Array {
  const length = (19 + name.length + 1 + 7) & ~7;
  const bytes = new Uint8Array(length);
  const view = new DataView(bytes.buffer);
  setU64(view, 0, ino);
  setU64(view, 8, cookie);
  view.setUint16(16, length, true);
  bytes[18] = (mode & S_IFMT) >>> 12;
  bytes.set(name, 19);
  return bytes;
}
