/** The machine that there is: the Linux library OS on the translating CPU. */

import { boot } from '../linux/boot.ts';
import { restore } from '../linux/restore.ts';
import type { CpuEnvironment } from '../lvm/cpu.ts';
import { TranslatingCpu } from '../x86/cpu.ts';
import type { MachineFactory } from './machine.ts';

export const linux: MachineFactory = { boot, restore };

export const makeCpu = (environment: CpuEnvironment): TranslatingCpu => new TranslatingCpu(environment);
