/**
 * The virtual CPU's architectural state: its layout in the register file at the top of a guest's memory, and the same
 * bytes as a thread's saved context. Translated code addresses the fields as REGISTER_FILE + offset; the library OS
 * through `Context`.
 */

import { REGISTER_FILE } from '../lvm/layout.ts';

/** General registers in the encoding's order (SDM vol. 2, 2.2.1.2): rax rcx rdx rbx rsp rbp rsi rdi r8 … r15. */
export const RAX = 0;
export const RCX = 1;
export const RDX = 2;
export const RBX = 3;
export const RSP = 4;
export const RBP = 5;
export const RSI = 6;
export const RDI = 7;
export const R8 = 8;
export const R9 = 9;
export const R10 = 10;
export const R11 = 11;
export const R12 = 12;
export const R13 = 13;
export const R14 = 14;
export const R15 = 15;

/** Segment registers in the encoding's order. */
export const ES = 0;
export const CS = 1;
export const SS = 2;
export const DS = 3;
export const FS = 4;
export const GS = 5;

/** Offsets in the register file, bytes. Multiples of the field's size. */
export const OFF_GPR = 0; // 16 × u64
export const OFF_RIP = 128; // u64
export const OFF_FS_BASE = 136; // u64
export const OFF_GS_BASE = 144; // u64
/**
 * Lazy flags: the operation that last set the arithmetic flags and its operands (x86/flags.ts). FLAGS_BITS means that
 * CF, PF, AF, ZF, SF, OF stand in OFF_FLAG_RESULT in their RFLAGS positions; `Context.canonical()` makes it so.
 */
export const OFF_FLAG_OP = 152; // u32
export const OFF_DF = 156; // u32: 0 or 1
export const OFF_FLAG_RESULT = 160; // u64
export const OFF_FLAG_A = 168; // u64
export const OFF_FLAG_B = 176; // u64
/** RFLAGS bits that are neither arithmetic nor DF: TF, AC, ID (user-settable ones). */
export const OFF_RFLAGS_OTHER = 184; // u32
export const OFF_MXCSR = 188; // u32
export const OFF_XMM = 192; // 16 × 16 bytes
/** x87: control, status, tag (one bit a register: 1 = valid, as FXSAVE's abridged tag) and the registers. */
export const OFF_FCW = 448; // u16
export const OFF_FSW = 450; // u16
export const OFF_FTW = 452; // u16
export const OFF_FOP = 454; // u16
export const OFF_FIP = 456; // u64
export const OFF_FDP = 464; // u64
/** Physical registers R0 … R7 (not the stack's ST(i)), 16 bytes each, 10 used. */
export const OFF_ST = 480; // 8 × 16 bytes
/** What ES, DS, FS and GS were loaded with, by their numbers in the encoding; of CS and SS nothing is kept (x86/lower-segment.ts). */
export const OFF_SELECTORS = 608; // 6 × u16
/** End of a thread's context; what follows belongs to the run in progress, not to the guest. */
export const CONTEXT_SIZE = 624;

/** Instructions left in the run in progress, i64 (may go below zero by less than one region). */
export const OFF_BUDGET = 640; // i64
/** Why translated code returned 0 (an EXIT_… constant), and its details. */
export const OFF_EXIT = 648; // u32
export const OFF_EXIT_VECTOR = 652; // u32: an exception vector (#DE 0 … #XM 19)
export const OFF_EXIT_ADDRESS = 656; // u64: the address a page fault was about
export const OFF_EXIT_ERROR = 664; // u32: page-fault error code (bit 0 present, 1 write, 4 instruction fetch)
/** Where a region returns to, 0 for JavaScript (OFF_EXIT tells why); where one begins that is called by its address. */
export const OFF_NEXT = 668; // u32
/** A check of several stores at once that failed: where they begin, and their bytes (0: there is none). */
export const OFF_AHEAD = 672; // u32
export const OFF_AHEAD_SIZE = 676; // u32
export const OFF_SCRATCH = 704; // 256 bytes for helpers
/** Five i64 by EXIT_KIND_… (lowering.ts): code that goes on in that way stops the run where the budget is not above it. */
export const OFF_BUDGET_FLOORS = 960;
export const REGISTER_FILE_SIZE = 1024;

/** Exit reasons. */
export const EXIT_BUDGET = 1;
export const EXIT_SYSCALL = 2;
export const EXIT_FAULT = 3;
/** Internal ones: the instruction at rip cannot be fetched; go on from rip with an empty wasm stack. */
export const EXIT_FETCH = 16;
export const EXIT_RESUME = 17;
/** A system call was done in place; the run is over; or it goes on from rip with an empty wasm stack, if it may. */
export const EXIT_DONE = 18;
export const EXIT_STALE = 19;

/** Exception vectors (SDM vol. 3, 6.3.1). */
export const VECTOR_DE = 0;
export const VECTOR_DB = 1;
export const VECTOR_BP = 3;
export const VECTOR_OF = 4;
export const VECTOR_UD = 6;
export const VECTOR_SS = 12;
export const VECTOR_GP = 13;
export const VECTOR_PF = 14;
export const VECTOR_MF = 16;
export const VECTOR_XM = 19;

/** RFLAGS bits. */
export const CF = 0x1;
export const PF = 0x4;
export const AF = 0x10;
export const ZF = 0x40;
export const SF = 0x80;
export const TF = 0x100;
export const DF = 0x400;
export const OF = 0x800;
export const ARITHMETIC_FLAGS = CF | PF | AF | ZF | SF | OF;

/** OFF_FLAG_OP: the arithmetic flags stand as bits in OFF_FLAG_RESULT. */
export const FLAGS_BITS = 0;

export const MXCSR_DEFAULT = 0x1f80;
/**
 * In OFF_MXCSR, no bit of the guest's: the thread has executed LDMXCSR, and since then its sticky flags are set with the default
 * settings too (lower-sse-mxcsr.ts).
 */
export const MXCSR_EXACT = 0x8000_0000;
export const FCW_DEFAULT = 0x037f;

/**
 * A guest thread's registers: CONTEXT_SIZE bytes laid out as above. While the thread is the one loaded in an address
 * space, the views look into that space's register file; otherwise into the context's own buffer. So reading and
 * writing registers is the same in both cases and a switch is one copy each way.
 */
export class Context {
  u8: Uint8Array;
  u32: Uint32Array;
  u64: BigUint64Array;
  #home: ArrayBuffer;

  constructor(bytes?: Uint8Array) {
    this.#home = new ArrayBuffer(CONTEXT_SIZE);
    this.u8 = new Uint8Array(this.#home);
    this.u32 = new Uint32Array(this.#home);
    this.u64 = new BigUint64Array(this.#home);
    if (bytes) {
      this.u8.set(bytes.subarray(0, CONTEXT_SIZE));
    } else {
      this.u32[OFF_MXCSR >> 2] = MXCSR_DEFAULT;
      new DataView(this.#home).setUint16(OFF_FCW, FCW_DEFAULT, true);
    }
  }

  /** Copies the registers into `memory`'s register file and looks there from now on. */
  load(memory: ArrayBufferLike): void {
    const target = new Uint8Array(memory as ArrayBuffer, REGISTER_FILE, CONTEXT_SIZE);
    target.set(this.u8);
    this.u8 = target;
    this.u32 = new Uint32Array(memory as ArrayBuffer, REGISTER_FILE, CONTEXT_SIZE / 4);
    this.u64 = new BigUint64Array(memory as ArrayBuffer, REGISTER_FILE, CONTEXT_SIZE / 8);
  }

  /** Copies the registers back out of the register file. */
  unload(): void {
    const own = new Uint8Array(this.#home);
    own.set(this.u8);
    this.u8 = own;
    this.u32 = new Uint32Array(this.#home);
    this.u64 = new BigUint64Array(this.#home);
  }

  /** General register as an unsigned 64-bit integer. */
  get(reg: number): bigint {
    return this.u64[reg]!;
  }

  set(reg: number, value: bigint): void {
    this.u64[reg] = BigInt.asUintN(64, value);
  }

  /** General register as a number: exact below 2^53, for addresses and lengths. */
  getNumber(reg: number): number {
    return this.u32[reg * 2]! + this.u32[reg * 2 + 1]! * 4294967296;
  }

  /** Sets a general register from a (possibly negative) safe integer, sign-extended to 64 bits. */
  setNumber(reg: number, value: number): void {
    this.u32[reg * 2] = value >>> 0;
    this.u32[reg * 2 + 1] = Math.floor(value / 4294967296) >>> 0;
  }

  get rip(): number {
    return this.u32[OFF_RIP >> 2]! + this.u32[(OFF_RIP >> 2) + 1]! * 4294967296;
  }

  set rip(value: number) {
    this.u32[OFF_RIP >> 2] = value >>> 0;
    this.u32[(OFF_RIP >> 2) + 1] = Math.floor(value / 4294967296) >>> 0;
  }

  get fsBase(): bigint {
    return this.u64[OFF_FS_BASE >> 3]!;
  }

  get gsBase(): bigint {
    return this.u64[OFF_GS_BASE >> 3]!;
  }

  /** As arch_prctl(2) sets it: the selector becomes null. */
  set fsBase(value: bigint) {
    this.#setBase(FS, OFF_FS_BASE, value);
  }

  set gsBase(value: bigint) {
    this.#setBase(GS, OFF_GS_BASE, value);
  }

  #setBase(segment: number, base: number, value: bigint): void {
    this.u64[base >> 3] = BigInt.asUintN(64, value);
    this.u8.fill(0, OFF_SELECTORS + 2 * segment, OFF_SELECTORS + 2 * segment + 2);
  }
}
