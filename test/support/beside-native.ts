/**
 * A program as the host runs it, and under `tardigrade run --replicas 1`: the same words, environment, folder and standard
 * input, and what came of it.
 */

import { spawn } from 'node:child_process';
import { CLI } from '../../examples/redis/status.ts';

/**
 * The guest has what is given here and nothing else, natively and in the machine. libc picks its functions by the
 * processor, and those that use fused multiplication round otherwise: natively they are switched off.
 */
export const ENV = {
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  HOME: '/root',
  LC_ALL: 'C',
  TERM: 'dumb',
  GLIBC_TUNABLES: 'glibc.cpu.hwcaps=-AVX2,-FMA,-FMA4',
};

export interface Ended {
  /** A shell's: 128 + n when signal n ended it. */
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** A run that takes longer hangs. */
const RUN_MS_MAX = 1_500_000;

export interface Place {
  readonly input?: string;
  readonly cwd?: string;
  /** Of `tardigrade run`. */
  readonly options?: readonly string[];
}

const SIGNALS: Readonly<Record<string, number>> = { SIGILL: 4, SIGABRT: 6, SIGKILL: 9, SIGSEGV: 11, SIGTERM: 15 };

export function natively(command: readonly string[], place: Place = {}): Promise<Ended> {
  return run(command, place);
}

export async function inMachine(command: readonly string[], place: Place = {}): Promise<Ended> {
  const { options = [] } = place;
  const ended = await run([process.execPath, CLI, 'run', '--replicas', '1', ...options, '--', ...command], place);
  // Of a guest that crashed we say more than the kernel does.
  return { ...ended, stderr: ended.stderr.replace(/^tardigrade: TG_GUEST_CRASHED: .*\n/gm, '') };
}

function run([program, ...args]: readonly string[], { input = '', cwd }: Place): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const child = spawn(program!, args, { env: ENV, timeout: RUN_MS_MAX, ...(cwd === undefined ? {} : { cwd }) });
    const output: [Buffer[], Buffer[]] = [[], []];
    child.stdout.on('data', (bytes: Buffer) => output[0].push(bytes));
    child.stderr.on('data', (bytes: Buffer) => output[1].push(bytes));
    // A program need not read what it gets.
    child.stdin.on('error', () => {});
    child.stdin.end(input);
    child.on('error', reject);
    child.on('close', (code, signal) => {
      const [stdout, stderr] = output.map((chunks) => Buffer.concat(chunks).toString('latin1')) as [string, string];
      resolve({ status: code ?? 128 + (SIGNALS[signal!] ?? 0), stdout, stderr });
    });
  });
}
