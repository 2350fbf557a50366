/**
 * A line for each system call and each signal, as strace(1) writes them. A call that waits is written twice: what is known when it begins
 * to wait, and the rest when it is over.
 */

import { ERESTARTSYS } from '../linux/abi/errno.ts';
import type { FindHandler, Kernel } from '../linux/kernel.ts';
import type { SignalInfo } from '../linux/signalfd.ts';
import { placeText, Symbolizer } from '../linux/symbolizer.ts';
import { BLOCKED, NO_RESULT, type Syscall, type SyscallHandler, type SyscallResult } from '../linux/syscall.ts';
import { nameOf } from '../linux/syscalls/table.ts';
import type { Thread } from '../linux/thread.ts';
import { argumentText, isOutput, resultText, signalName } from './syscall-arguments.ts';
import { type Signature, signatureOf } from './syscall-signatures.ts';

export type WriteLine = (line: string) => void;

/** `PID/TID @INSTRUCTIONS`: what every line begins with. */
export function lineHead(thread: Thread, instructions: number): string {
  return `${thread.process.pid}/${thread.tid} @${instructions}`;
}

/** Takes the place of the kernel's own way to find handlers (KernelDeps.observeCalls). */
export function traceCalls(find: FindHandler, kernel: () => Kernel, write: WriteLine): FindHandler {
  const handlers = new Map<number, SyscallHandler>();
  const waiting = new WeakSet<Thread>();
  return (number) => {
    let handler = handlers.get(number);
    if (handler === undefined) {
      handler = traced(nameOf(number), find(number), waiting, kernel, write);
      handlers.set(number, handler);
    }
    return handler;
  };
}

/** For KernelDeps.observeSignal: a line for each signal that a thread takes, also where nothing comes of it. */
export function traceSignals(kernel: () => Kernel, write: WriteLine): (thread: Thread, info: SignalInfo) => void {
  const symbolizer = new Symbolizer();
  return (thread, { signo, code, pid, address }) => {
    const { process, context } = thread;
    const from =
      address === undefined
        ? `code ${code}, pid ${pid}`
        : `code ${code}, address 0x${address.toString(16)}, in ${placeText(symbolizer.find(process.mm, context.rip))}`;
    write(`${lineHead(thread, kernel().instructions)} --- ${signalName(signo)} {${from}} ---`);
  };
}

function traced(
  name: string,
  handler: SyscallHandler,
  waiting: WeakSet<Thread>,
  kernel: () => Kernel,
  write: WriteLine,
): SyscallHandler {
  const signature = signatureOf(name);
  const first = signature.arguments.findIndex(isOutput);
  const inputs = first < 0 ? signature.arguments.length : first;
  return (call) => {
    const thread = call.thread as Thread;
    const head = lineHead(thread, kernel().instructions);
    const isResumed = waiting.delete(thread);
    // Before the call: it may be the end of the memory that they are in.
    const before = isResumed ? '' : texts(call, signature, 0, inputs, null).join(', ');
    const result = handler(call);
    if (result === BLOCKED) {
      waiting.add(thread);
      if (!isResumed) write(`${head} ${name}(${before}${before !== '' && first >= 0 ? ',' : ''} <unfinished ...>`);
      return result;
    }
    const value = typeof result === 'symbol' ? null : Number(result);
    // execve(2) has succeeded, and the registers are another program's.
    const after = result === NO_RESULT ? [] : texts(call, signature, inputs, signature.arguments.length, value);
    const list = isResumed
      ? `<... ${name} resumed>${after.join(', ')}`
      : `${name}(${[...(before === '' ? [] : [before]), ...after].join(', ')}`;
    write(`${head} ${list}) = ${outcome(name, result, signature)}`);
    return result;
  };
}

function texts(call: Syscall, signature: Signature, from: number, to: number, result: number | null): string[] {
  return signature.arguments.slice(from, to).map((kind, i) => argumentText(call, from + i, kind, result));
}

function outcome(name: string, result: Exclude<SyscallResult, typeof BLOCKED>, { result: kind }: Signature): string {
  if (result === NO_RESULT) return name.startsWith('execve') ? '0' : '?';
  if (result === -ERESTARTSYS) return '? ERESTARTSYS';
  return resultText(result as number | bigint, kind);
}
