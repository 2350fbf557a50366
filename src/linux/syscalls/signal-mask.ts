/**
 * The temporary signal mask of ppoll(2), pselect(2) and epoll_pwait(2). As in Linux the thread keeps the mask to go back
 * to: when a handler runs, its frame gets it; otherwise the end of the call puts it back.
 */

import { EFAULT, EINTR, EINVAL } from '../abi/errno.ts';
import type { Syscall, SyscallResult } from '../syscall.ts';

/** The thread as these calls see it. */
interface MaskedThread {
  /** Sets a mask for the time of the call, once: a re-executed call leaves what the first execution set. */
  setTemporaryMask?(mask: bigint): void;
  /** Goes back to the mask before; nothing where none is set. */
  restoreMask?(): void;
}

/** Takes the mask at `address` (0: none) of `size` bytes; 0 or -errno. */
export function beginMask(call: Syscall, address: number, size: number): number {
  if (address === 0) return 0;
  if (size !== 8) return -EINVAL;
  const bytes = call.space.read(address, 8);
  if (bytes === null) return -EFAULT;
  const mask = new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0, true);
  if (call.memo === null) (call.thread as unknown as MaskedThread).setTemporaryMask?.(mask);
  return 0;
}

/** The call ends with `result`. After -EINTR the signal's delivery puts the mask back. */
export function endMask(call: Syscall, result: SyscallResult): SyscallResult {
  if (result !== -EINTR) (call.thread as unknown as MaskedThread).restoreMask?.();
  return result;
}
