/**
 * A line for each instruction or basic block that a guest runs: a CPU in front of another has it run one instruction at a
 * time. It is the interpreter that runs then; that translated code does the same is what test/cpu/ and the tests of
 * determinism show.
 */

import type { Kernel } from '../linux/kernel.ts';
import { placeText, Symbolizer } from '../linux/symbolizer.ts';
import type { AddressSpace } from '../lvm/address-space.ts';
import type { CpuExit, VirtualCpu } from '../lvm/cpu.ts';
import { disassemble, gprName } from '../x86/disassemble.ts';
import { rflags } from '../x86/flags.ts';
import type { Instruction } from '../x86/instruction.ts';
import { fetch, isFailure } from '../x86/region.ts';
import { type Context, OFF_XMM } from '../x86/state.ts';
import { ObservingCpu } from './observing-cpu.ts';
import { lineHead, type WriteLine } from './syscall-trace.ts';

export interface InstructionTraceOptions {
  /** Lines of their own where a basic block is entered. */
  readonly blocks: boolean;
  readonly instructions: boolean;
  /** Instructions, with the registers that they have changed. */
  readonly registers: boolean;
}

const REGISTERS = 16;
const BYTES_WIDTH = 30;
const TEXT_WIDTH = 44;

export class TracingCpu extends ObservingCpu {
  readonly #kernel: () => Kernel;
  readonly #write: WriteLine;
  readonly #options: InstructionTraceOptions;
  readonly #symbolizer = new Symbolizer();
  /** Where a thread goes on in the block that it is in. */
  readonly #expected = new WeakMap<Context, number>();
  readonly #before = new BigUint64Array(REGISTERS);
  readonly #xmmBefore = new BigUint64Array(2 * REGISTERS);
  #flagsBefore = 0;

  constructor(cpu: VirtualCpu, kernel: () => Kernel, write: WriteLine, options: InstructionTraceOptions) {
    super(cpu);
    this.#kernel = kernel;
    this.#write = write;
    this.#options = options;
  }

  override run(space: AddressSpace, context: Context, budget: number, _exact: boolean): CpuExit {
    this.before = 0;
    for (;;) {
      const exit = this.#step(space, context);
      if (exit.kind !== 'budget' || this.retired >= budget) return exit;
      this.before += this.cpu.retired;
    }
  }

  #step(space: AddressSpace, context: Context): CpuExit {
    const { rip } = context;
    const { blocks, instructions, registers } = this.#options;
    const kernel = this.#kernel();
    const where = (): string => {
      const thread = kernel.current!;
      const place = placeText(this.#symbolizer.find(thread.process.mm, rip));
      return `0x${rip.toString(16)} ${place}`;
    };
    const head = (): string => lineHead(kernel.current!, kernel.instructions + this.before);
    const insn = fetch(space, rip);
    if (isFailure(insn)) {
      // It faults, and nothing is run.
      const exit = this.cpu.run(space, context, 1, true);
      this.#write(`${head()} ${where()}: ${insn.kind}${exitText(exit)}`);
      return exit;
    }
    if (blocks && this.#expected.get(context) !== rip) {
      this.#expected.set(context, rip);
      this.#write(`${head()} block ${where()}`);
    }
    // As it is before it runs: it may change itself, or go away.
    const text = instructions || registers ? `${head()} ${where()}: ${instructionText(space, insn)}` : '';
    if (registers) this.#remember(context);
    const exit = this.cpu.run(space, context, 1, true);
    if (this.cpu.retired > 0) {
      // A repeated instruction is counted, and comes, once for each time.
      if (insn.flow === 'next') this.#expected.set(context, context.rip);
      else this.#expected.delete(context);
    }
    if (text !== '') this.#write(`${text}${registers ? this.#changes(context) : ''}${exitText(exit)}`.trimEnd());
    return exit;
  }

  #remember(context: Context): void {
    for (let i = 0; i < REGISTERS; i++) this.#before[i] = context.get(i);
    for (let i = 0; i < 2 * REGISTERS; i++) this.#xmmBefore[i] = context.u64[(OFF_XMM >> 3) + i]!;
    this.#flagsBefore = rflags(context);
  }

  #changes(context: Context): string {
    const found: string[] = [];
    for (let i = 0; i < REGISTERS; i++) {
      if (context.get(i) !== this.#before[i]) found.push(`${gprName(i, 8)}=0x${context.get(i).toString(16)}`);
    }
    for (let i = 0; i < REGISTERS; i++) {
      const [low, high] = [context.u64[(OFF_XMM >> 3) + 2 * i]!, context.u64[(OFF_XMM >> 3) + 2 * i + 1]!];
      if (low === this.#xmmBefore[2 * i] && high === this.#xmmBefore[2 * i + 1]) continue;
      found.push(`xmm${i}=0x${((high << 64n) | low).toString(16)}`);
    }
    const flags = rflags(context);
    if (flags !== this.#flagsBefore) found.push(`rflags=0x${flags.toString(16)}`);
    return ` ${found.join(' ')}`;
  }
}

function instructionText(space: AddressSpace, insn: Instruction): string {
  const bytes = [...space.u8.subarray(insn.rip, insn.rip + insn.length)];
  const hex = bytes.map((byte) => byte.toString(16).padStart(2, '0')).join(' ');
  return `${hex.padEnd(BYTES_WIDTH)}${disassemble(insn).padEnd(TEXT_WIDTH)}`;
}

function exitText(exit: CpuExit): string {
  if (exit.kind !== 'fault') return '';
  return ` exception ${exit.vector}, address 0x${exit.address.toString(16)}, error 0x${exit.error.toString(16)}`;
}
