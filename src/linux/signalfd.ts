/** signalfd(2): takes pending signals of the process that reads it. Which signals are pending is the kernel's affair. */

import type { Plain } from '../checkpoint/ledger.ts';
import { EAGAIN, EINVAL } from './abi/errno.ts';
import { anonymousStat } from './console.ts';
import type { FileHost } from './fs/file-host.ts';
import { DEV_ANON } from './fs/node.ts';
import { OpenFile, POLLIN, POLLRDNORM, type Stat } from './open-file.ts';

const INFO_SIZE = 128;
/** SIGKILL and SIGSTOP are never taken. */
const NEVER = (1n << 8n) | (1n << 18n);

/** A signal with what siginfo_t and struct signalfd_siginfo tell about it. */
export interface SignalInfo {
  readonly signo: number;
  readonly code: number;
  readonly pid: number;
  readonly uid: number;
  readonly status?: number;
  readonly value?: bigint;
  /** Of a fault: the address. */
  readonly address?: bigint;
  /** Of a POSIX timer (SI_TIMER): its id, and how often it went off again while this signal was pending. */
  readonly timer?: number;
  readonly overrun?: number;
}

export interface SignalHost extends FileHost {
  /** Takes the next signal in `mask` (bit signo - 1) pending for the current thread or its process; null: none. */
  takeSignal(mask: bigint): SignalInfo | null;
  /** Whether there is one. */
  hasSignal(mask: bigint): boolean;
  /** Tells the kernel of a signalfd: its `queue` is to be woken when a signal becomes pending, until it is closed. */
  watchSignals(file: SignalFile, on: boolean): void;
}

export class SignalFile extends OpenFile {
  readonly #host: SignalHost;
  #mask: bigint;

  constructor(host: SignalHost, id: number, flags: number, mask: bigint) {
    super(id, flags);
    this.#host = host;
    this.#mask = mask & ~NEVER;
    host.watchSignals(this, true);
  }

  override save(): unknown {
    return { kind: 'signalfd', flags: this.flags, mask: this.#mask.toString() };
  }

  static restore(host: SignalHost, id: number, state: Plain): SignalFile {
    const saved = state as { flags: number; mask: string };
    return new SignalFile(host, id, saved.flags, BigInt(saved.mask));
  }

  get path(): string {
    return 'anon_inode:[signalfd]';
  }

  get mask(): bigint {
    return this.#mask;
  }

  setMask(mask: bigint): void {
    this.#mask = mask & ~NEVER;
    this.#host.ledger.touch(this);
    this.queue.wake();
  }

  override stat(): Stat {
    return anonymousStat(9, 0o600, DEV_ANON);
  }

  override read(length: number): Uint8Array | number {
    const most = Math.floor(length / INFO_SIZE);
    if (most === 0) return -EINVAL;
    const infos: SignalInfo[] = [];
    while (infos.length < most) {
      const info = this.#host.takeSignal(this.#mask);
      if (info === null) break;
      infos.push(info);
    }
    if (infos.length === 0) return -EAGAIN;
    const out = new DataView(new ArrayBuffer(infos.length * INFO_SIZE));
    for (const [i, info] of infos.entries()) {
      const at = i * INFO_SIZE;
      out.setUint32(at, info.signo, true);
      out.setInt32(at + 8, info.code, true);
      out.setUint32(at + 12, info.pid, true);
      out.setUint32(at + 16, info.uid, true);
      out.setUint32(at + 24, info.timer ?? 0, true);
      out.setUint32(at + 32, info.overrun ?? 0, true);
      out.setInt32(at + 40, info.status ?? 0, true);
      out.setInt32(at + 44, Number(BigInt.asIntN(32, info.value ?? 0n)), true);
      out.setBigUint64(at + 48, BigInt.asUintN(64, info.value ?? 0n), true);
    }
    return new Uint8Array(out.buffer);
  }

  override write(): number {
    return -EINVAL;
  }

  override poll(): number {
    return this.#host.hasSignal(this.#mask) ? POLLIN | POLLRDNORM : 0;
  }

  override close(): void {
    this.#host.watchSignals(this, false);
  }
}
