/** The virtual CPU under test. */

import { TranslatingCpu } from '../../src/x86/cpu.ts';
import { arithmeticFlags } from '../../src/x86/flags.ts';
import { sseLowerings } from '../../src/x86/lower-sse.ts';
import { x87Lowerings } from '../../src/x86/lower-x87.ts';
import type { Area, Form } from '../../src/x86/table.ts';
import { GuestCpu } from './guest.ts';

export function newGuestCpu(): GuestCpu {
  return new GuestCpu(
    new TranslatingCpu({ readTsc: () => 0n }, undefined, process.env.OFTEN ? Number(process.env.OFTEN) : undefined),
    1,
    arithmeticFlags,
  );
}

const INTEGER: ReadonlySet<Area> = new Set<Area>(['integer', 'string', 'privileged']);

/** False for forms of an SSE or x87 mnemonic without a lowering: they raise #UD, and there is nothing to compare. */
export function isImplemented(form: Form): boolean {
  if (INTEGER.has(form.area) || x87Lowerings.has(form.op)) return true;
  return sseLowerings.has(form.op) && (form.opW === null || sseLowerings.has(form.opW));
}
