/**
 * What the supervisor and a replica's process say to each other, over the channel that Node gives a child process
 * (`serialization: 'advanced'`, so bytes are bytes). Both are of one version and of one machine: nothing here is checked
 * as what comes from a network is. The channel's end is the end of the replica.
 */

import type { GuestExit } from '../lvm/api.ts';
import type { Taken } from '../lvm/node-lvm.ts';
import type { RegisterAnswer, RegisterRequest } from '../register/register.ts';
import type { MemberId, Role, View } from '../replication/types.ts';
import type { BootOptions } from './machine.ts';
import type { Percentiles } from './meters.ts';

/** How a replica is to be. */
export interface ReplicaOptions {
  readonly self: MemberId;
  /** 16 bytes. */
  readonly cluster: Uint8Array;
  readonly generation: number;
  /** This process starts the service. */
  readonly bootstrap: boolean;
  /** The UNIX socket on which it listens for other replicas. */
  readonly path: string;
  /** The gateway's UNIX socket; null: no port is published. */
  readonly gateway: string | null;
  readonly epochMs: number;
  readonly rootfs: string;
  readonly files: readonly string[];
  readonly boot: BootOptions;
  /** Null: nothing is kept on disk. */
  readonly journal: JournalOptions | null;
}

/** The data directory, for a primary. */
export interface JournalOptions {
  /** Where a primary writes its journal. */
  readonly folder: string;
  /** What the service goes on from, when it is started; null: from its image. */
  readonly restore: string | null;
  /** What each file says of the service. */
  readonly meta: Readonly<Record<string, unknown>>;
}

/** The code with which a replica ends that could not write its journal. */
export const JOURNAL_WRITE = 'TG_JOURNAL_WRITE';

export interface PeerAddress {
  readonly member: MemberId;
  readonly path: string;
}

export type ToReplica =
  /** First. */
  | { readonly kind: 'start'; readonly options: ReplicaOptions }
  /** Every other replica's process that lives; said again when that changes. */
  | { readonly kind: 'peers'; readonly peers: readonly PeerAddress[] }
  | { readonly kind: 'register'; readonly answer: RegisterAnswer }
  /** To the primary: operator's input from number `from` on. */
  | { readonly kind: 'stdin'; readonly from: number; readonly chunks: readonly Uint8Array[] }
  | { readonly kind: 'signals'; readonly from: number; readonly signals: readonly number[] }
  /** All bytes of the stream before `offset` have arrived. */
  | { readonly kind: 'arrived'; readonly stream: 1 | 2; readonly offset: number }
  | { readonly kind: 'status' }
  /** Is anybody there? */
  | { readonly kind: 'ping' }
  | { readonly kind: 'failover' };

export type FromReplica =
  /** It listens for others. */
  | { readonly kind: 'listening' }
  | { readonly kind: 'register'; readonly request: RegisterRequest }
  | { readonly kind: 'view'; readonly view: View | null; readonly role: Role }
  /** It runs the guest from now on, and has had so much of the operator's input. */
  | { readonly kind: 'serving'; readonly taken: Taken }
  /** It has dealt with the first packets that came. */
  | { readonly kind: 'settled' }
  /** So much of the operator's input is safe with every member: it need not be kept. */
  | { readonly kind: 'safe'; readonly taken: Taken }
  | { readonly kind: 'console'; readonly stream: 1 | 2; readonly offset: number; readonly bytes: Uint8Array }
  | { readonly kind: 'exit'; readonly status: GuestExit }
  | { readonly kind: 'status'; readonly status: ReplicaFigures }
  | { readonly kind: 'pong' }
  | { readonly kind: 'alarm'; readonly code: string; readonly text: string }
  /** It ends after this, for a reason given before. */
  | { readonly kind: 'ended' }
  /** It ends after this. `code` is the reason; an operator's error has an exit status, anything else is ours. */
  | {
      readonly kind: 'failed';
      readonly code: string;
      readonly text: string;
      readonly advice?: string;
      readonly exitStatus?: number;
    };

/** What one replica knows of itself. */
export interface ReplicaFigures {
  readonly role: Role;
  readonly view: number;
  readonly epochs: number;
  readonly committed: number;
  readonly pauseUs: Percentiles | null;
  readonly commitUs: Percentiles | null;
  readonly dirtyPagesPerEpoch: Percentiles | null;
  readonly bytesPerEpoch: Percentiles | null;
  readonly heldPackets: number;
  /** Null: this replica writes none. */
  readonly journal: {
    readonly bytes: number;
    readonly durableEpoch: number | null;
    readonly syncUs: Percentiles | null;
  } | null;
  readonly instructions: number;
  readonly unimplementedCalls: Readonly<Record<string, number>>;
  /** Backup: regions translated ahead, and known but not yet translated. */
  readonly warm: { readonly done: number; readonly left: number } | null;
}
