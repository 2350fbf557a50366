/**
 * What goes with a machine's state beside the machine: the clock's last sample, the console output that may not have
 * arrived, and how much of the operator's input was taken. Opaque to checkpoint/ (a delta's `host`).
 */

import { CheckpointError } from '../checkpoint/errors.ts';
import { decodePart, encodePart } from '../checkpoint/ledger.ts';
import type { ClockSample } from '../lvm/api.ts';
import type { Taken } from '../lvm/node-lvm.ts';
import type { OutputState } from '../replication/output-commit.ts';

export interface HostState {
  readonly clock: ClockSample;
  readonly output: OutputState;
  readonly taken: Taken;
}

const VERSION = 1;

export function encodeHostState(state: HostState): Uint8Array {
  return encodePart({ key: 'host', save: () => ({ version: VERSION, ...state }) });
}

/** Throws CheckpointError for another version's. */
export function decodeHostState(bytes: Uint8Array): HostState {
  const { version, ...state } = decodePart(bytes) as HostState & { version: number };
  if (version !== VERSION) {
    throw new CheckpointError(
      'TG_HOST_STATE',
      `the state was made by another version of this program (${version}, this is ${VERSION})`,
    );
  }
  return state;
}

/**
 * For a restart after everything stopped: the operator's streams are new ones, which begin at nothing. Output that may not
 * have arrived is said again.
 */
export function restarted({ clock, output }: HostState): HostState {
  const [out, err] = ([1, 2] as const).map((stream) => {
    const first = output.held.find((held) => held.kind === 'console' && held.stream === stream);
    return first?.kind === 'console' ? first.offset : output.offsets[stream - 1]!;
  }) as [number, number];
  const held = output.held.map((one) =>
    one.kind === 'console' ? { ...one, offset: one.offset - (one.stream === 1 ? out : err) } : one,
  );
  const offsets = [output.offsets[0] - out, output.offsets[1] - err] as const;
  return { clock, output: { offsets, held }, taken: { stdin: 0, signals: 0 } };
}
