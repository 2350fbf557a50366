/** Byte-range locks (fcntl(2)) and whole-file locks (flock(2)): lists on the inode. */

import type { FileLock } from './inode.ts';

/** Where a lock that reaches to the end of the file ends. */
export const LOCK_MAX = Number.MAX_SAFE_INTEGER;

/** The first lock of another owner that keeps `wanted` from being set; null: none. */
export function conflict(locks: readonly FileLock[], wanted: FileLock): FileLock | null {
  for (const lock of locks) {
    if (lock.owner === wanted.owner || lock.start >= wanted.end || wanted.start >= lock.end) continue;
    if (lock.exclusive || wanted.exclusive) return lock;
  }
  return null;
}

/** `locks` without what `owner` holds in [start, end): a lock across the edge is cut or split. */
export function release(locks: readonly FileLock[], owner: string, start: number, end: number): FileLock[] {
  const left: FileLock[] = [];
  for (const lock of locks) {
    if (lock.owner !== owner || lock.start >= end || start >= lock.end) {
      left.push(lock);
      continue;
    }
    if (lock.start < start) left.push({ ...lock, end: start });
    if (lock.end > end) left.push({ ...lock, start: end });
  }
  return left;
}

/** `locks` with `wanted` set over whatever its owner held there; neighbours of its kind are joined. */
export function acquire(locks: readonly FileLock[], wanted: FileLock): FileLock[] {
  const rest = release(locks, wanted.owner, wanted.start, wanted.end);
  let { start, end } = wanted;
  const kept: FileLock[] = [];
  for (const lock of rest) {
    if (lock.owner === wanted.owner && lock.exclusive === wanted.exclusive && lock.start <= end && start <= lock.end) {
      start = Math.min(start, lock.start);
      end = Math.max(end, lock.end);
    } else kept.push(lock);
  }
  kept.push({ ...wanted, start, end });
  return kept;
}
