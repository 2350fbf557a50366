/** The machine that there is: the Linux library OS on the translating CPU. */

import { boot } from '../linux/boot.ts';
import type { Kernel } from '../linux/kernel.ts';
import { restore } from '../linux/restore.ts';
import type { CpuEnvironment } from '../lvm/cpu.ts';
import { openCodeStore } from '../lvm/node-code-store.ts';
import type { GuestTools } from '../trace/guest-tools.ts';
import { TranslatingCpu } from '../x86/cpu.ts';
import { Translations } from '../x86/translations.ts';
import type { MachineFactory } from './machine.ts';

export const linux: MachineFactory = { boot, restore };

/** The same, with what looks at the guest. */
export function observed(tools: GuestTools): MachineFactory {
  const attached = (kernel: Kernel): Kernel => {
    tools.attach(kernel);
    return kernel;
  };
  return {
    boot: (deps, options) => attached(boot(tools.deps(deps), options)),
    restore: (deps, state) => attached(restore(tools.deps(deps), state)),
  };
}

/** Makes CPUs that share what was translated, with each other and with the processes before this one. */
export function cpuMaker(): (environment: CpuEnvironment) => TranslatingCpu {
  const translations = new Translations(openCodeStore({}, (why) => process.stderr.write(`tardigrade: ${why}\n`)));
  return (environment) => new TranslatingCpu(environment, translations);
}
