/**
 * Where translated code is kept beyond the process: what a CPU asks of its host (lvm/node-code-store.ts). What is kept
 * changes how long things take and nothing else: a pack is used only where it holds exactly the guest's bytes (pack.ts),
 * and a run stops and computes the same with or without it (translate.ts).
 */

import type { AddressSpace } from '../lvm/address-space.ts';
import { PAGE_SIZE } from '../lvm/layout.ts';

/** Names code before it is decoded: most likely what begins with these bytes at this address. */
export interface CodeKey {
  readonly entry: number;
  /** 32 bits: of the first bytes. */
  readonly fingerprint: number;
}

export interface StoredPack {
  /** The same for packs of the same content. */
  readonly id: string;
  /** The bytes as they were added, or null when they are not there any more or are damaged. */
  read(): Uint8Array<ArrayBuffer> | null;
  /** What `read` gave is no pack: it will not be found again. */
  reject(): void;
}

export interface CodeStore {
  /** Packs of other processes that may have code for the key, the best first. */
  find(key: CodeKey): readonly StoredPack[];

  /** There is something to keep: `collect` adds it when the store is about to write, some time later. */
  announce(collect: () => void): void;

  /** Keeps a pack with code for these keys. */
  add(keys: readonly CodeKey[], pack: Uint8Array<ArrayBuffer>): void;
}

const FINGERPRINT_BYTES = 16;

export function codeKey(space: AddressSpace, entry: number): CodeKey {
  // Bytes on the next page may not be there.
  const end = Math.min(entry + FINGERPRINT_BYTES, (Math.floor(entry / PAGE_SIZE) + 1) * PAGE_SIZE);
  return { entry, fingerprint: fingerprintOf(space.u8.subarray(entry, end)) };
}

/** FNV-1a. */
export function fingerprintOf(bytes: Uint8Array): number {
  let hash = 0x811c_9dc5;
  for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x0100_0193);
  return hash >>> 0;
}
