/**
 * A whole machine in this process, over the host's files: for tests that look inside. Time is virtual: it goes on by the
 * instructions that run, and jumps to the next deadline when nothing can.
 */

import { Capturer, captureAll } from '../../src/checkpoint/capture.ts';
import { stateHash } from '../../src/checkpoint/hash.ts';
import { Shadow } from '../../src/checkpoint/shadow.ts';
import { type BootOptions, boot } from '../../src/linux/boot.ts';
import type { Kernel } from '../../src/linux/kernel.ts';
import { restore } from '../../src/linux/restore.ts';
import type { GuestExit, Input, Lvm } from '../../src/lvm/api.ts';
import type { CpuEnvironment, VirtualCpu } from '../../src/lvm/cpu.ts';
import { openImage } from '../../src/lvm/node-image.ts';
import { GuestTools } from '../../src/trace/guest-tools.ts';
import { TranslatingCpu } from '../../src/x86/cpu.ts';
import type { Translations } from '../../src/x86/translations.ts';
import { Random } from './random.ts';

/** 2026-01-01. */
const EPOCH_US = 1_767_225_600_000_000;
const NOTHING = new Uint8Array(0);
/** A deadline as far away as this, eleven days, is waited for by nobody. */
const NEVER_US = 1e12;
/** Instructions of a microsecond. */
const MIPS = 1000;

export interface MachineOptions extends Partial<BootOptions> {
  readonly program: string;
  readonly stdin?: string;
  readonly files?: readonly string[];
  readonly rootfs?: string;
  readonly seed?: number;
  /** Time goes on only where nothing can run: else what the guest sees of it depends on when a run ends. */
  readonly still?: boolean;
  /** Default: its own. */
  readonly translations?: Translations;
  /** How many times code is interpreted before it is translated. */
  readonly often?: number;
  /** Instead of the translating one. */
  readonly cpu?: VirtualCpu;
  /** What looks at the guest. */
  readonly tools?: GuestTools;
}

export class Machine implements Lvm {
  kernel: Kernel;
  readonly #image;
  readonly #random: Random;
  readonly #still: boolean;
  readonly #tools: GuestTools;
  #jumpedUs = 1_000_000;
  readonly inputs: Input[] = [];
  readonly packets: Uint8Array[] = [];
  readonly #output: [string, string] = ['', ''];
  readonly #decoders = [new TextDecoder(), new TextDecoder()] as const;
  status: GuestExit | null = null;
  readonly cpu: VirtualCpu;
  #environment: CpuEnvironment | null = null;

  constructor({
    program,
    stdin = '',
    files = [],
    rootfs = '/',
    seed = 1,
    still = false,
    translations,
    often,
    cpu,
    tools,
    ...rest
  }: MachineOptions) {
    this.#image = openImage(rootfs, files);
    this.#random = new Random(seed);
    this.#still = still;
    this.#tools = tools ?? new GuestTools({ trace: [], write: () => {}, profile: false });
    // One CPU for all kernels of a machine that is moved: its translations stay.
    const readTsc = () => BigInt(this.clock().monotonicUs) * 1000n;
    const systemCall = () => this.#environment?.systemCall?.() ?? 'undone';
    this.cpu = cpu ?? new TranslatingCpu({ readTsc, systemCall }, translations, often);
    const bytes = new TextEncoder().encode(stdin);
    if (bytes.length > 0) this.inputs.push({ kind: 'stdin', bytes });
    this.inputs.push({ kind: 'stdin', bytes: new Uint8Array(0) });
    this.kernel = boot(this.#tools.deps(this.#deps), {
      program,
      args: [],
      env: { PATH: '/usr/bin:/bin', HOME: '/root', LC_ALL: 'C' },
      cwd: '/',
      memoryLimit: 1 << 30,
      ...rest,
    });
    this.#tools.attach(this.kernel);
  }

  get #deps() {
    const makeCpu = (environment: CpuEnvironment): VirtualCpu => {
      this.#environment = environment;
      return this.cpu;
    };
    return { lvm: this, makeCpu };
  }

  get stdout(): string {
    return this.#output[0];
  }

  get stderr(): string {
    return this.#output[1];
  }

  // --- Lvm ---

  clock() {
    const instructions = this.#still ? 0 : (this.kernel?.instructions ?? 0);
    const monotonicUs = this.#jumpedUs + Math.floor(instructions / MIPS);
    return { monotonicUs, realtimeUs: EPOCH_US + monotonicUs };
  }

  entropy(length: number): Uint8Array {
    return Uint8Array.from({ length }, () => this.#random.below(256));
  }

  wait(): Input | null {
    return this.inputs.shift() ?? null;
  }

  send(packet: Uint8Array): void {
    this.packets.push(packet);
  }

  lookup(path: string, content: boolean) {
    return this.#image.lookup(path, content);
  }

  read(blob: string, offset: number, length: number): Uint8Array {
    return this.#image.read(blob, offset, length);
  }

  console(stream: 1 | 2, bytes: Uint8Array): void {
    this.#output[stream - 1] += this.#decoders[stream - 1]!.decode(bytes, { stream: true });
  }

  exit(status: GuestExit): void {
    this.status = status;
  }

  // --- running ---

  /** Runs about `budget` instructions. False: nothing will ever run again. */
  run(budget = 1_000_000, exact = false): boolean {
    const result = this.kernel.run(budget, exact);
    if (result.kind === 'exit') return false;
    if (result.kind === 'budget') return true;
    const us = result.deadlineUs === null ? NEVER_US : result.deadlineUs - this.clock().monotonicUs;
    if (us >= NEVER_US) return this.inputs.length > 0;
    this.#jumpedUs += Math.max(0, us);
    return true;
  }

  /** Runs to the end; throws where there is none after `limit` instructions. */
  finish(limit = 2e9): GuestExit {
    while (this.run()) if (this.kernel.instructions > limit) throw new Error(`no end\n${this.stderr}`);
    if (this.status === null) throw new Error(`it waits for ever\n${this.stdout}\n${this.stderr}`);
    return this.status;
  }

  /** Goes on in a new kernel, made from the shadow. The old one is forgotten. */
  moveTo(shadow: Shadow): void {
    for (const space of this.kernel.spaces.values()) this.cpu.drop(space);
    const { spaces, instructions } = shadow;
    this.kernel = restore(this.#tools.deps(this.#deps), {
      spaces: new Map(spaces),
      parts: shadow.sortedParts(),
      instructions,
    });
    this.#tools.attach(this.kernel);
  }
}

/** A machine with a backup that gets its deltas. */
export class Replicated {
  readonly machine: Machine;
  #shadow!: Shadow;
  #capturer!: Capturer;
  #epoch = 0;

  constructor(machine: Machine) {
    this.machine = machine;
    this.#begin();
  }

  /** A backup's first state is the whole one. */
  #begin(): void {
    this.#epoch = 1;
    this.#shadow = new Shadow();
    this.#capturer = new Capturer(this.machine.kernel);
    this.#shadow.apply(captureAll(this.machine.kernel, this.#epoch, NOTHING));
    this.epoch();
  }

  /** What the guest changed since the last one goes to the backup. */
  epoch(): void {
    this.#shadow.apply(this.#capturer.capture(++this.#epoch, NOTHING));
  }

  /** Right after an epoch: keys of parts that differ from the backup's although nobody touched them. */
  audit(): string[] {
    return this.machine.kernel.ledger.audit(this.#shadow.parts);
  }

  /** The backup's state is, part by part and page by page, the machine's. */
  get inStep(): boolean {
    const { spaces, ledger } = this.machine.kernel;
    const parts = new Map(ledger.all().map(({ key, bytes }) => [key, bytes!]));
    return stateHash(spaces, parts) === this.#shadow.hash();
  }

  failover(): void {
    this.machine.moveTo(this.#shadow);
    this.#begin();
  }
}
