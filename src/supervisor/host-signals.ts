/** Signals that this process gets are the guest's. */

import { constants } from 'node:os';

/** What a terminal or an operator sends to have a program end. */
const ENDING = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'] as const;
const OTHERS = ['SIGUSR1', 'SIGUSR2'] as const;

/** Calls `take` with each signal's number, and whether it asks for an end, until the function returned is called. */
export function takeSignals(take: (signo: number, ending: boolean) => void): () => void {
  const listeners = [...ENDING, ...OTHERS].map((name) => {
    const ending = (ENDING as readonly string[]).includes(name);
    const listener = (): void => take(constants.signals[name], ending);
    process.on(name, listener);
    return [name, listener] as const;
  });
  return () => {
    for (const [name, listener] of listeners) process.off(name, listener);
  };
}
