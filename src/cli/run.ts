/** `tardigrade run`. */

import { readFileSync } from 'node:fs';
import { constants } from 'node:os';
import { fromEnvironment, fromFile, fromFlags, merge } from './config.ts';
import { prepare } from './prepare.ts';
import { runRequest } from './run-options.ts';
import { type Ended, supervisor } from './supervisor.ts';

const CONFIG_FILE = 'tardigrade.json';

/** Returns the exit status. Throws OperatorError. */
export async function run(options: Readonly<Record<string, unknown>>, words: readonly string[]): Promise<number> {
  const flags = fromFlags(options);
  const config = merge(flags, fromEnvironment(process.env), fromFile(CONFIG_FILE, readIfThere(CONFIG_FILE)));
  const request = await prepare(runRequest(config, flags, words, { env: process.env, cwd: process.cwd() }));
  return exitStatus(await (await supervisor()).run(request));
}

/** As a shell gives it: 128 + n for signal n. */
export function exitStatus({ code, signal }: Ended): number {
  if (signal !== null) return 128 + signal;
  return code ?? 125;
}

/** SIGTERM and so on, for messages. */
export function signalName(signo: number): string {
  const found = Object.entries(constants.signals).find(([, number]) => number === signo);
  return found?.[0] ?? `signal ${signo}`;
}

function readIfThere(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}
