/** Puts into a machine, when it is made, what looks at its guest: traces, a profile. */

import type { FindHandler, Kernel, KernelDeps } from '../linux/kernel.ts';
import type { CpuEnvironment, VirtualCpu } from '../lvm/cpu.ts';
import { TracingCpu } from './instruction-trace.ts';
import type { TraceKind } from './kinds.ts';
import { Profile, ProfilingCpu } from './profile.ts';
import { traceCalls, traceSignals, type WriteLine } from './syscall-trace.ts';

const BY_INSTRUCTION: readonly TraceKind[] = ['blocks', 'instructions', 'registers'];

export interface GuestToolOptions {
  readonly trace: readonly TraceKind[];
  /** Takes the lines of a trace, without newlines. */
  readonly write: WriteLine;
  readonly profile: boolean;
}

export class GuestTools {
  readonly profile: Profile | null;
  readonly #options: GuestToolOptions;
  #kernel: Kernel | null = null;

  constructor(options: GuestToolOptions) {
    this.#options = options;
    this.profile = options.profile ? new Profile(this.#current) : null;
  }

  /** What the kernel is to be made with. `attach` must follow before it runs. */
  deps({ lvm, makeCpu }: KernelDeps): KernelDeps {
    const { trace, write } = this.#options;
    const observe = (find: FindHandler): FindHandler => traceCalls(find, this.#current, write);
    return {
      lvm,
      makeCpu: ({ readTsc, systemCall }: CpuEnvironment) => {
        // A call is to come behind the line of its instruction.
        const inPlace = systemCall === undefined || this.#isByInstruction ? {} : { systemCall };
        return this.cpu(makeCpu({ readTsc, ...inPlace }));
      },
      ...(trace.includes('syscalls')
        ? { observeCalls: observe, observeSignal: traceSignals(this.#current, write) }
        : {}),
    };
  }

  /** The CPU with what looks at it in front. */
  cpu(cpu: VirtualCpu): VirtualCpu {
    const profiled = this.profile === null ? cpu : new ProfilingCpu(cpu, this.profile);
    const { trace, write } = this.#options;
    if (!this.#isByInstruction) return profiled;
    return new TracingCpu(profiled, this.#current, write, {
      blocks: trace.includes('blocks'),
      instructions: trace.includes('instructions'),
      registers: trace.includes('registers'),
    });
  }

  get #isByInstruction(): boolean {
    return BY_INSTRUCTION.some((kind) => this.#options.trace.includes(kind));
  }

  attach(kernel: Kernel): void {
    this.#kernel = kernel;
  }

  readonly #current = (): Kernel => this.#kernel!;
}
