/**
 * For tests: a whole kernel with one process, over an image in memory. Nothing of the guest is executed: its threads make
 * the system calls that the test says. Time stands where it is put.
 */

import type { ClockSample, GuestExit, ImageEntry, Input, Lvm } from '../lvm/api.ts';
import type { CodeTier, CpuExit, VirtualCpu } from '../lvm/cpu.ts';
import { type Context, R8, R9, R10, RAX, RDI, RDX, RSI } from '../x86/state.ts';
import { boot } from './boot.ts';
import { FakeImage, type FakeNode } from './fs/test-host.ts';
import type { Kernel } from './kernel.ts';
import { tinyElf } from './loader/test-elf.ts';
import type { Thread } from './thread.ts';

const ARGUMENTS = [RDI, RSI, RDX, R10, R8, R9];
const EPOCH_US = 1_767_225_600_000_000;
/** Of a run: enough for every thread's turn. */
const BUDGET = 10_000_000;
/** Memory for arguments: see `put`. */
const ARENA = 0x1000_0000;

export class TestKernel implements Lvm, VirtualCpu {
  monotonicUs = 1_000_000;
  retired = 0;
  readonly kernel: Kernel;
  status: GuestExit | null = null;
  readonly inputs: Input[] = [];
  readonly #image: FakeImage;
  readonly #scripts = new Map<Context, readonly (number | bigint)[]>();

  constructor(files: { [name: string]: FakeNode } = {}) {
    this.#image = new FakeImage({ ...files, program: tinyElf() });
    const deps = { lvm: this, makeCpu: () => this };
    this.kernel = boot(deps, { program: '/program', args: [], env: {}, cwd: '/', memoryLimit: 1 << 26 });
    this.init.mm.map({ address: ARENA, length: 0x1_0000, prot: 3, flags: 0x32 });
  }

  get init() {
    return this.kernel.init;
  }

  /** The first process's first thread. */
  get thread(): Thread {
    return this.init.members.get(1)!;
  }

  /** The result of a system call; null: the thread waits in it. */
  call(number: number, ...args: (number | bigint)[]): number | null {
    return this.callIn(this.thread, number, ...args);
  }

  callIn(thread: Thread, number: number, ...args: (number | bigint)[]): number | null {
    this.#scripts.set(thread.context, [number, ...args]);
    this.kernel.run(BUDGET);
    return this.result(thread);
  }

  /** Of the thread's last call, which is over; null: it is not. */
  result(thread = this.thread): number | null {
    return thread.call >= 0 ? null : Number(BigInt.asIntN(64, thread.context.get(RAX)));
  }

  /** Goes on at a time so much later. */
  later(us: number): void {
    this.monotonicUs += us;
    this.kernel.run(BUDGET);
  }

  /** Where `put` puts things; `place` keeps several apart. */
  at(place: number): number {
    return ARENA + place * 0x400;
  }

  /** Words in the first process's memory: their address. */
  put(place: number, ...words: (number | bigint)[]): number {
    const address = this.at(place);
    const bytes = new Uint8Array(BigUint64Array.from(words, (word) => BigInt.asUintN(64, BigInt(word))).buffer);
    if (!this.init.space.write(address, bytes)) throw new Error('the arena is gone');
    return address;
  }

  word(address: number): bigint {
    return this.init.space.view.getBigUint64(address, true);
  }

  // --- VirtualCpu

  run(_space: unknown, context: Context, budget: number): CpuExit {
    const script = this.#scripts.get(context);
    if (script === undefined) {
      this.retired = budget;
      return { kind: 'budget' };
    }
    this.#scripts.delete(context);
    this.retired = 1;
    context.setNumber(RAX, Number(script[0]));
    ARGUMENTS.forEach((register, i) => {
      context.set(register, BigInt(script[i + 1] ?? 0));
    });
    return { kind: 'syscall' };
  }

  unload(): void {}

  drop(): void {}

  takeTranslated(): number[] {
    return [];
  }

  warm(): void {}

  tierAt(): CodeTier {
    return 'interpreted';
  }

  // --- Lvm

  clock(): ClockSample {
    return { monotonicUs: this.monotonicUs, realtimeUs: EPOCH_US + this.monotonicUs };
  }

  entropy(length: number): Uint8Array {
    return new Uint8Array(length).fill(7);
  }

  wait(): Input | null {
    return this.inputs.shift() ?? null;
  }

  send(): void {}

  lookup(path: string, content: boolean): ImageEntry | null {
    const entry = this.#image.lookup(path, content);
    return path === '/program' && entry !== null ? { ...entry, mode: 0o755 } : entry;
  }

  read(blob: string, offset: number, length: number): Uint8Array {
    return this.#image.read(blob, offset, length);
  }

  console(): void {}

  exit(status: GuestExit): void {
    this.status = status;
  }
}
