/**
 * Signal frames on the guest's stack: what a handler gets and rt_sigreturn(2) takes back.
 * Source: arch/x86/kernel/signal_64.c, arch/x86/include/uapi/asm/sigcontext.h; System V ABI (128-byte red zone).
 */

import type { AddressSpace } from '../lvm/address-space.ts';
import { rflags, setRflags } from '../x86/flags.ts';
import { FXSAVE_SIZE, fxrstor, fxsave, initializeFpu } from '../x86/fxsave.ts';
import { DF, R8, R9, R10, R11, R12, R13, R14, R15, RAX, RBP, RBX, RCX, RDI, RDX, RSI, RSP, TF } from '../x86/state.ts';
import { SA_ONSTACK, SI_TIMER, SIGCHLD, SS_AUTODISARM, SS_DISABLE, SS_ONSTACK } from './abi/signal.ts';
import type { SignalAction } from './process.ts';
import type { SignalInfo } from './signalfd.ts';
import { NO_ALT_STACK, type Thread } from './thread.ts';

const RED_ZONE = 128;
/** struct rt_sigframe: return address, ucontext, siginfo. */
const AT_UCONTEXT = 8;
const AT_STACK = AT_UCONTEXT + 16;
const AT_MCONTEXT = AT_UCONTEXT + 40;
const AT_MASK = AT_MCONTEXT + 256;
const AT_INFO = AT_MASK + 8;
const FRAME_SIZE = AT_INFO + 128;
/** Within sigcontext, behind the general registers and rip, eflags, the segments. */
const AT_RIP = AT_MCONTEXT + 128;
const AT_EFLAGS = AT_MCONTEXT + 136;
const AT_SEGMENTS = AT_MCONTEXT + 144;
const AT_ERR = AT_MCONTEXT + 152;
const AT_FPSTATE = AT_MCONTEXT + 184;
/** The order of the general registers in sigcontext. */
const REGISTERS = [R8, R9, R10, R11, R12, R13, R14, R15, RDI, RSI, RBP, RBX, RDX, RAX, RCX, RSP];
/** UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS: no UC_FP_XSTATE, the virtual CPU has no XSAVE. */
const UC_FLAGS = 6n;
const USER_CS = 0x33;
const USER_SS = 0x2b;

/** What the CPU told of a fault, for sigcontext's err, trapno and cr2. */
export interface FaultDetails {
  readonly error: number;
  readonly vector: number;
  readonly address: bigint;
}

export const NO_FAULT: FaultDetails = { error: 0, vector: 0, address: 0n };

/** With SS_AUTODISARM the stack is off while it is used: a thread is never found on it (include/linux/sched/signal.h). */
export function isOnAltStack({ alt }: Thread, sp: number): boolean {
  return (alt.flags & (SS_DISABLE | SS_AUTODISARM)) === 0 && sp > alt.sp && sp <= alt.sp + alt.size;
}

/**
 * Pushes a frame for `info` and makes the thread enter the handler. `mask` is what rt_sigreturn restores. False: the
 * stack cannot take it (the kernel then forces SIGSEGV).
 */
export function pushFrame(
  thread: Thread,
  space: AddressSpace,
  action: SignalAction,
  info: SignalInfo,
  mask: bigint,
  fault: FaultDetails,
): boolean {
  const { context, alt } = thread;
  let sp = context.getNumber(RSP);
  const onAlt = isOnAltStack(thread, sp);
  const useAlt = (action.flags & SA_ONSTACK) !== 0 && (alt.flags & SS_DISABLE) === 0 && !onAlt;
  sp = useAlt ? alt.sp + alt.size : sp - RED_ZONE;
  const fpstate = alignDown(sp - FXSAVE_SIZE, 64);
  // At entry, as after a call, rsp + 8 is a multiple of 16.
  const frame = alignDown(fpstate - FRAME_SIZE, 16) - 8;
  if (frame < 0 || ((useAlt || onAlt) && frame <= alt.sp)) return false;
  const bytes = new Uint8Array(FRAME_SIZE);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, BigInt(action.restorer), true);
  view.setBigUint64(AT_UCONTEXT, UC_FLAGS, true);
  view.setBigUint64(AT_STACK, BigInt(alt.sp), true);
  view.setUint32(AT_STACK + 8, (alt.flags | (onAlt ? SS_ONSTACK : 0)) >>> 0, true);
  view.setBigUint64(AT_STACK + 16, BigInt(alt.size), true);
  REGISTERS.forEach((register, i) => {
    view.setBigUint64(AT_MCONTEXT + i * 8, context.get(register), true);
  });
  view.setBigUint64(AT_RIP, BigInt(context.rip), true);
  view.setBigUint64(AT_EFLAGS, BigInt(rflags(context)), true);
  view.setUint16(AT_SEGMENTS, USER_CS, true);
  view.setUint16(AT_SEGMENTS + 6, USER_SS, true);
  view.setBigUint64(AT_ERR, BigInt(fault.error), true);
  view.setBigUint64(AT_ERR + 8, BigInt(fault.vector), true);
  view.setBigUint64(AT_ERR + 16, BigInt.asUintN(64, mask), true);
  view.setBigUint64(AT_ERR + 24, fault.address, true);
  view.setBigUint64(AT_FPSTATE, BigInt(fpstate), true);
  view.setBigUint64(AT_MASK, mask, true);
  bytes.set(siginfo(info), AT_INFO);
  if (!space.write(fpstate, fxsave(context)) || !space.write(frame, bytes)) return false;
  if (useAlt && (alt.flags & SS_AUTODISARM) !== 0) thread.alt = NO_ALT_STACK;
  initializeFpu(context);
  context.setNumber(RSP, frame);
  context.setNumber(RDI, info.signo);
  context.setNumber(RAX, 0);
  context.setNumber(RSI, frame + AT_INFO);
  context.setNumber(RDX, frame + AT_UCONTEXT);
  context.rip = action.handler;
  setRflags(context, rflags(context) & ~(DF | TF));
  return true;
}

/** rt_sigreturn(2): restores the registers; returns the mask, or null for a bad frame. */
export function popFrame(thread: Thread, space: AddressSpace): bigint | null {
  const { context } = thread;
  const bytes = space.read(context.getNumber(RSP) - 8, FRAME_SIZE);
  if (bytes === null) return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const fpstate = Number(view.getBigUint64(AT_FPSTATE, true));
  const image = fpstate === 0 ? null : space.read(fpstate, FXSAVE_SIZE);
  if (fpstate !== 0 && image === null) return null;
  REGISTERS.forEach((register, i) => {
    context.set(register, view.getBigUint64(AT_MCONTEXT + i * 8, true));
  });
  context.rip = Number(view.getBigUint64(AT_RIP, true));
  setRflags(context, Number(view.getBigUint64(AT_EFLAGS, true) & 0xffff_ffffn));
  if (image !== null) fxrstor(context, image);
  const flags = view.getUint32(AT_STACK + 8, true);
  thread.alt = {
    sp: Number(view.getBigUint64(AT_STACK, true)),
    size: Number(view.getBigUint64(AT_STACK + 16, true)),
    flags: (flags & ~SS_ONSTACK) >>> 0,
  };
  return view.getBigUint64(AT_MASK, true);
}

/** struct siginfo, 128 bytes. */
export function siginfo(info: SignalInfo): Uint8Array {
  const bytes = new Uint8Array(128);
  const view = new DataView(bytes.buffer);
  view.setInt32(0, info.signo, true);
  view.setInt32(8, info.code, true);
  if (info.address !== undefined) {
    view.setBigUint64(16, BigInt.asUintN(64, info.address), true);
    return bytes;
  }
  if (info.code === SI_TIMER) {
    view.setInt32(16, info.timer ?? 0, true);
    view.setInt32(20, info.overrun ?? 0, true);
  } else {
    view.setInt32(16, info.pid, true);
    view.setUint32(20, info.uid, true);
  }
  if (info.signo === SIGCHLD && info.code > 0) view.setInt32(24, info.status ?? 0, true);
  else view.setBigUint64(24, BigInt.asUintN(64, info.value ?? 0n), true);
  return bytes;
}

function alignDown(value: number, to: number): number {
  return value - (((value % to) + to) % to);
}
