/**
 * Where everything stands in a guest process's 4 GiB WebAssembly memory. Guest address = wasm address; the first 2 MiB and
 * the top 16 MiB, where the library OS maps nothing, hold what translated code needs at constant addresses: below what it needs
 * most, for a processor adds a constant below 2 GiB to an address for nothing.
 */

/** A guest virtual address, 0 … USER_END. The one place to change for wider address spaces. */
export type Address = number;

export const PAGE_SHIFT = 12;
export const PAGE_SIZE = 4096;
export const PAGE_MASK = 4095;

/** The library OS maps only in [USER_START, USER_END); nothing below (vm.mmap_min_addr). */
export const USER_START = 0x0020_0000;
export const USER_END = 0xff00_0000;
export const USER_PAGES = USER_END / PAGE_SIZE;

/** One state byte for every page of the 4 GiB (1 MiB); the reserved pages are PAGE_ABSENT for ever. */
export const PAGE_STATE = 0x0001_0000;

/**
 * Jump cache: JUMP_CACHE_ENTRIES × { rip: u32, table slot of the region: u32 }, direct-mapped. Where that is the interpreter,
 * the record's address (u32) is in JUMP_RECORDS at the same index.
 */
export const JUMP_CACHE = 0x0011_0000;
export const JUMP_CACHE_ENTRIES = 1 << 16;
export const JUMP_RECORDS = 0x0019_0000;

/** The register file (x86/state.ts has its fields): where a constant address has the fewest bytes, for code names it often. */
export const REGISTER_FILE = 0;

/** Where indirect jumps have gone, and how often (x86/profile.ts). */
export const JUMP_TARGETS = 0xff00_0000;
export const JUMP_TARGETS_SIZE = 0x10_0000;

/** How often cold regions have executed a block (u32), at a place that depends on its address. */
export const BLOCK_COUNTS = 0xff10_0000;
export const BLOCK_COUNTS_ENTRIES = 1 << 16;

/** Where code is put that the guest's may be equal to (x86/space-code.ts). */
export const COMPARED = 0xff50_0000;
export const COMPARED_SIZE = 0x1_0000;

/** Decoded instructions (x86/record.ts). */
export const RECORDS = 0xff80_0000;
export const RECORDS_SIZE = 0x80_0000;

/**
 * Page-state bits. 0 means: present, readable, writable, already dirty, no translated code, not shared — the fast path of every
 * store. A load takes the slow path when STATE_NO_READ is set, a store when any bit but STATE_EDGE is set.
 */
export const STATE_NO_READ = 0x80;
export const STATE_NO_WRITE = 0x40;
export const STATE_CLEAN = 0x01;
export const STATE_CODE = 0x02;
/** A store to it is to be noted: other address spaces show the same page. */
export const STATE_SHARED = 0x04;
/** The next page is STATE_NO_READ: a load that may reach into it has to look. */
export const STATE_EDGE = 0x20;
export const STATE_ABSENT = STATE_NO_READ | STATE_NO_WRITE;

/** Protection of a mapped page, as PROT_* of mman.h; PROT_MAPPED tells a PROT_NONE page from an unmapped one. */
export const PROT_READ = 1;
export const PROT_WRITE = 2;
export const PROT_EXEC = 4;
export const PROT_MAPPED = 8;
