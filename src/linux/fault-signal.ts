/** Which signal an exception of the CPU becomes (arch/x86/kernel/traps.c, arch/x86/mm/fault.c). */

import type { CpuExit } from '../lvm/cpu.ts';
import { PROT_EXEC, PROT_READ, PROT_WRITE, USER_END } from '../lvm/layout.ts';
import {
  type Context,
  OFF_FCW,
  OFF_FSW,
  OFF_MXCSR,
  VECTOR_BP,
  VECTOR_DB,
  VECTOR_DE,
  VECTOR_GP,
  VECTOR_MF,
  VECTOR_OF,
  VECTOR_PF,
  VECTOR_SS,
  VECTOR_UD,
} from '../x86/state.ts';
import * as S from './abi/signal.ts';

/** Of a page fault's error code (SDM vol. 3, 4.7). */
const ERROR_WRITE = 2;
const ERROR_FETCH = 16;

/** Signal, si_code and si_addr. `protOf`: what is mapped at an address, as in mmap(2); null: nothing. */
export function signalOf(
  context: Context,
  { vector, address, error }: Extract<CpuExit, { kind: 'fault' }>,
  protOf: (address: number) => number | null,
): [signo: number, code: number, address: bigint] {
  const rip = BigInt(context.rip);
  switch (vector) {
    case VECTOR_DE:
      return [S.SIGFPE, S.FPE_INTDIV, rip];
    case VECTOR_DB:
      return [S.SIGTRAP, S.TRAP_BRKPT, rip];
    case VECTOR_BP:
      return [S.SIGTRAP, S.SI_KERNEL, 0n];
    case VECTOR_UD:
      return [S.SIGILL, S.ILL_ILLOPN, rip];
    case VECTOR_PF:
      return [...pageFault(address, error, protOf), address];
    case VECTOR_SS:
      return [S.SIGBUS, S.SI_KERNEL, 0n];
    case VECTOR_GP:
    case VECTOR_OF:
      return [S.SIGSEGV, S.SI_KERNEL, 0n];
    default:
      return [S.SIGFPE, floatCode(context, vector === VECTOR_MF), rip];
  }
}

/** Nothing is mapped there, or the mapping does not allow it, or it does but its file ends before. */
function pageFault(
  address: bigint,
  error: number,
  protOf: (address: number) => number | null,
): [signo: number, code: number] {
  const prot = address < BigInt(USER_END) ? protOf(Number(address)) : null;
  if (prot === null) return [S.SIGSEGV, S.SEGV_MAPERR];
  const allowed =
    (error & ERROR_WRITE) !== 0
      ? PROT_WRITE
      : (error & ERROR_FETCH) !== 0
        ? PROT_EXEC
        : PROT_READ | PROT_WRITE | PROT_EXEC;
  return (prot & allowed) === 0 ? [S.SIGSEGV, S.SEGV_ACCERR] : [S.SIGBUS, S.BUS_ADRERR];
}

/** si_code of an unmasked floating-point exception (arch/x86/kernel/fpu/core.c, fpu__exception_code). */
function floatCode(context: Context, x87: boolean): number {
  const view = new DataView(context.u8.buffer, context.u8.byteOffset, context.u8.length);
  const raised = x87
    ? view.getUint16(OFF_FSW, true) & ~view.getUint16(OFF_FCW, true)
    : view.getUint32(OFF_MXCSR, true) & ~(view.getUint32(OFF_MXCSR, true) >> 7);
  if ((raised & 1) !== 0) return S.FPE_FLTINV;
  if ((raised & 4) !== 0) return S.FPE_FLTDIV;
  if ((raised & 8) !== 0) return S.FPE_FLTOVF;
  if ((raised & 0x12) !== 0) return S.FPE_FLTUND;
  return (raised & 0x20) !== 0 ? S.FPE_FLTRES : 0;
}
