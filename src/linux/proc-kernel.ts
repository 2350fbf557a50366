/** The kernel as /proc and /sys show it. */

import type { ProcProcess, ProcView } from './fs/proc-view.ts';
import type { Kernel } from './kernel.ts';
import { OS_RELEASE, OS_VERSION } from './uname.ts';

export class KernelView implements ProcView {
  readonly #kernel: Kernel;
  readonly osRelease = OS_RELEASE;
  readonly version = OS_VERSION;

  constructor(kernel: Kernel) {
    this.#kernel = kernel;
  }

  get hostname(): string {
    return this.#kernel.hostname;
  }

  currentPid(): number {
    return this.#kernel.current?.process.pid ?? this.#kernel.initPid;
  }

  currentTid(): number {
    return this.#kernel.current?.tid ?? this.#kernel.initPid;
  }

  pids(): readonly number[] {
    return [...this.#kernel.processes.keys()].sort((a, b) => a - b);
  }

  process(pid: number): ProcProcess | undefined {
    return this.#kernel.processes.get(pid);
  }

  monotonicUs(): number {
    return this.#kernel.monotonicUs();
  }

  realtimeUs(): number {
    return this.#kernel.realtimeUs();
  }

  totalMemoryBytes(): number {
    return this.#kernel.memoryLimit;
  }

  freeMemoryBytes(): number {
    return this.#kernel.freeMemory;
  }

  entropy(length: number): Uint8Array {
    return this.#kernel.entropy(length);
  }
}
