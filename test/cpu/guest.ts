/** Runs cases on the virtual CPU. */

import { signalOf } from '../../src/linux/fault-signal.ts';
import { AddressSpace } from '../../src/lvm/address-space.ts';
import type { CpuExit, VirtualCpu } from '../../src/lvm/cpu.ts';
import { PROT_EXEC, PROT_READ, PROT_WRITE } from '../../src/lvm/layout.ts';
import {
  ARITHMETIC_FLAGS,
  Context,
  FLAGS_BITS,
  MXCSR_EXACT,
  OFF_DF,
  OFF_FCW,
  OFF_FDP,
  OFF_FIP,
  OFF_FLAG_OP,
  OFF_FLAG_RESULT,
  OFF_FOP,
  OFF_FSW,
  OFF_FTW,
  OFF_GS_BASE,
  OFF_MXCSR,
  OFF_ST,
  OFF_XMM,
  RAX,
} from '../../src/x86/state.ts';
import {
  CODE,
  type CpuCase,
  type CpuResult,
  DATA,
  DATA_SIZE,
  EDGE,
  followsFlags,
  GS_BASE,
  PAGE,
  Results,
  TAIL_ABSENT,
  TAIL_READ_ONLY,
  TAIL_SIZE,
  type Tail,
  WINDOW,
  WINDOW_SIZE,
} from './case.ts';

/** Vector of a run that did not end by itself. */
export const VECTOR_ENDLESS = 255;

const PROT_ANY = PROT_READ | PROT_WRITE | PROT_EXEC;
/** -ENOSYS, what Linux says to a number that is no system call's. */
const NO_SYSCALL = -38n;
const ZEROS = new Uint8Array(DATA_SIZE - WINDOW_SIZE);

export class GuestCpu {
  readonly #cpu: VirtualCpu;
  readonly #space: AddressSpace;
  readonly #flagsOf: (context: Context) => number;
  readonly #one = new Results(1);
  /** What stands in the code page: cases that share it are translated once. */
  #code: Uint8Array | null = null;
  #tail: Tail = TAIL_ABSENT;
  /** Instructions retired by the last case. */
  retired = 0;

  /** `flagsOf` gives a stopped context's arithmetic flags in their RFLAGS positions. */
  constructor(cpu: VirtualCpu, id: number, flagsOf: (context: Context) => number) {
    this.#cpu = cpu;
    this.#flagsOf = flagsOf;
    this.#space = new AddressSpace(id);
    this.#space.map(CODE, PAGE, PROT_READ | PROT_EXEC);
    this.#space.map(DATA, DATA_SIZE, PROT_READ | PROT_WRITE);
  }

  close(): void {
    this.#cpu.drop(this.#space);
  }

  /** With `step`, the case runs in exact slices of that many instructions. The result is the caller's. */
  run(c: CpuCase, step = 0): CpuResult {
    this.runInto(this.#one, 0, c, step);
    const result = this.#one.get(0);
    return { ...result, fx: result.fx.slice(), window: result.window.slice() };
  }

  /** Runs a case, its result into a batch's. */
  runInto(results: Results, i: number, c: CpuCase, step = 0): void {
    const space = this.#space;
    if (c.code !== this.#code) {
      const code = new Uint8Array(PAGE).fill(0xcc);
      code.set(c.code.subarray(0, PAGE - c.place), c.place);
      space.poke(CODE, code);
      this.#code = c.code;
    }
    this.#setTail(c.tail);
    space.poke(DATA, ZEROS);
    space.poke(WINDOW, c.tail === TAIL_ABSENT ? c.window.subarray(0, WINDOW_SIZE) : c.window);
    if (c.tail !== TAIL_ABSENT) space.poke(EDGE + TAIL_SIZE, ZEROS.subarray(0, PAGE - TAIL_SIZE));
    space.takeDirty();
    const context = new Context();
    loadContext(context, c);
    context.rip = CODE + c.place;
    this.retired = 0;
    const exit = this.#run(context, step);
    this.#cpu.unload(space);
    const fault = exit.kind === 'fault' ? exit : { vector: VECTOR_ENDLESS, error: 0, address: 0n };
    const protOf = (address: number): number | null => {
      const prot = space.prot[address >>> 12]!;
      return prot === 0 ? null : prot & PROT_ANY;
    };
    const [signo, code, signalAddress] = signalOf(context, { kind: 'fault', ...fault }, protOf);
    results.set(i, {
      gpr: context.u64,
      rip: context.u64[16]!,
      rflags: this.#flagsOf(context) | ((context.u32[OFF_DF >> 2]! & 1) << 10),
      vector: fault.vector,
      error: fault.error,
      address: fault.address,
      signo,
      code,
      signalAddress,
    });
    const { fx, window } = results.get(i);
    storeFx(context, fx);
    const size = WINDOW_SIZE + (c.tail === TAIL_ABSENT ? 0 : TAIL_SIZE);
    window.set(space.u8.subarray(WINDOW, WINDOW + size));
    window.fill(0, size);
  }

  #run(context: Context, step: number): CpuExit {
    for (let n = 0; ; n++) {
      const exit = this.#cpu.run(this.#space, context, step || 100_000, step !== 0);
      this.retired += this.#cpu.retired;
      if (exit.kind === 'syscall') context.set(RAX, NO_SYSCALL);
      else if (exit.kind === 'fault' || step === 0 || n === 3000) return exit;
    }
  }

  #setTail(tail: Tail): void {
    if (tail === this.#tail) return;
    this.#tail = tail;
    if (tail === TAIL_ABSENT) this.#space.unmap(EDGE, PAGE);
    else this.#space.map(EDGE, PAGE, tail === TAIL_READ_ONLY ? PROT_READ : PROT_READ | PROT_WRITE);
  }
}

function loadContext(context: Context, c: CpuCase): void {
  context.u64.set(c.gpr);
  context.u32[OFF_FLAG_OP >> 2] = FLAGS_BITS;
  context.u64[OFF_FLAG_RESULT >> 3] = BigInt(c.rflags & ARITHMETIC_FLAGS);
  context.u32[OFF_DF >> 2] = (c.rflags >> 10) & 1;
  context.u64[OFF_GS_BASE >> 3] = BigInt(GS_BASE);
  const fx = new DataView(c.fx.buffer, c.fx.byteOffset);
  const view = new DataView(context.u8.buffer, context.u8.byteOffset);
  context.u32[OFF_MXCSR >> 2] = fx.getUint32(24, true) | (followsFlags(c) ? MXCSR_EXACT : 0);
  view.setUint16(OFF_FCW, fx.getUint16(0, true), true);
  view.setUint16(OFF_FSW, fx.getUint16(2, true), true);
  view.setUint16(OFF_FTW, fx.getUint8(4), true);
  view.setUint16(OFF_FOP, fx.getUint16(6, true), true);
  view.setBigUint64(OFF_FIP, fx.getBigUint64(8, true), true);
  view.setBigUint64(OFF_FDP, fx.getBigUint64(16, true), true);
  const top = (fx.getUint16(2, true) >> 11) & 7;
  for (let i = 0; i < 8; i++) {
    context.u8.set(c.fx.subarray(32 + i * 16, 42 + i * 16), OFF_ST + ((top + i) & 7) * 16);
  }
  context.u8.set(c.fx.subarray(160, 160 + 256), OFF_XMM);
}

function storeFx(context: Context, bytes: Uint8Array): void {
  const fx = new DataView(bytes.buffer, bytes.byteOffset);
  const view = new DataView(context.u8.buffer, context.u8.byteOffset);
  fx.setUint32(24, context.u32[OFF_MXCSR >> 2]! & ~MXCSR_EXACT, true);
  fx.setUint16(0, view.getUint16(OFF_FCW, true), true);
  fx.setUint16(2, view.getUint16(OFF_FSW, true), true);
  fx.setUint8(4, view.getUint16(OFF_FTW, true));
  fx.setUint16(6, view.getUint16(OFF_FOP, true), true);
  fx.setBigUint64(8, view.getBigUint64(OFF_FIP, true), true);
  fx.setBigUint64(16, view.getBigUint64(OFF_FDP, true), true);
  const top = (view.getUint16(OFF_FSW, true) >> 11) & 7;
  for (let i = 0; i < 8; i++) {
    const at = OFF_ST + ((top + i) & 7) * 16;
    bytes.set(context.u8.subarray(at, at + 10), 32 + i * 16);
  }
  bytes.set(context.u8.subarray(OFF_XMM, OFF_XMM + 256), 160);
}
