/**
 * The vocabulary of replication/: what goes into a `Member` (events) and what comes out (effects). Rules: replication.md;
 * a TLA+ model of them: docs/model/.
 *
 * HOW A REPLICA PROCESS DRIVES IT (driver.ts does the part that is not sockets)
 *
 * Identity. A member is one *incarnation* of a node: a process that starts without its old memory takes a new `MemberId`
 * (`r1.7f3a…`). `Member` is a pure state machine: `step(event, nowMs)` returns the effects to carry out, in order, all of
 * them before the next `step`. It keeps no timers: call it with `{ kind: 'tick' }` about every `heartbeatMs / 2`.
 *
 * Connections. Full mesh: every replica listens; of two, the one whose MemberId is greater (string order) connects.
 * After the transport's hello, tell the member `{ kind: 'up', peer }`; when the connection ends, `{ kind: 'down', peer,
 * dead }`: `dead` when the other side closed or reset it, or its process is known to be gone (suspected at once); not dead
 * when we closed it ourselves because of a malformed frame (reconnect; suspected by the heartbeat timeout only).
 * Every decoded message is `{ kind: 'message', from, message }`. `messages.ts` has the codec; a message that does not
 * decode (wrong cluster, checksum, bounds) closes the connection.
 *
 * Register. `cas` and `read` effects are carried to the register and answered by a `register` event with the same id;
 * `answer: 'unknown'` when there was no answer (time-out, connection lost). The first process of a service is started with
 * `bootstrap: true`, after the cell was created as { generation, view: 1, primary: itself, members: [itself] }.
 *
 * The primary's loop:
 *   1. run the guest above an OutputCommit;
 *   2. while `member.throttled` do not run the guest. When output waits and the guest is idle, or the epoch's time is over
 *      (neither while throttled), or `member.epochWanted` (a learner waits for its next chunk): stop at an instruction
 *      boundary;
 *      `epoch = member.nextEpoch; outputCommit.seal(epoch);`
 *      `delta = member.deltaNeeded ? capturer.capture(epoch, host, blobs) : null;`
 *      `chunks = member.chunksWanted.map(learner => transfers.get(learner).next(epoch, host))`
 *      (transfers: one StateTransfer a learner, made at effect `transfer-start`, dropped at `transfer-end`; made and asked
 *      only at such a boundary, *after* `capture` has cleaned the dirty pages);
 *      `member.step({ kind: 'captured', epoch, delta, chunks })`;
 *   3. let the guest run on at once; effect `release` → `outputCommit.release(epoch)`.
 *
 * The journal (option `journal`). `captured` brings `root`, a chunk of a state transfer to the journal, when
 * `member.rootWanted`. Effect `journal` is to be written: the delta to the journal that there is; delta and chunk to the
 * root in progress, but not the delta of the epoch with which the root begins. Once a root has all its chunks, only it is
 * written to. The writer answers with `journalled`: what is in the file, and what would be found there after everything
 * stopped; nothing else is released. `journal-grown` begins a new root while the old journal goes on.
 *
 * A backup: effect `reset` → `shadow = new Shadow()`; effect `apply` → `shadow.apply(bytes)`, in order; effect `promote` →
 * restore a machine from the shadow, with its host state (clock, console offsets), stack.resync(), run as primary, tell the
 * gateway. `pause`, `resume`: during an orderly hand-over. `demote` → the guest stops for good; `shadow = Shadow.of(machine)` (orderly hand-over). `halt` → stop the
 * guest, throw held output away, end the process; the supervisor starts a new incarnation, which joins as a learner.
 */

/** `<node>.<incarnation>`, at most 64 bytes of ASCII letters, digits, '.', '-', '_'. */
export type MemberId = string;

/** What the register holds. */
export interface View {
  /** Raised only by an operator's restore after all members were lost. */
  readonly generation: number;
  /** Raised by one with every compare-and-swap. */
  readonly view: number;
  readonly primary: MemberId;
  /** With the primary, sorted. */
  readonly members: readonly MemberId[];
}

export type Role = 'learner' | 'backup' | 'sealed' | 'primary' | 'halted';

export interface MemberOptions {
  readonly self: MemberId;
  readonly generation: number;
  /** This process starts the service; the register's cell names it as the only member of view 1. */
  readonly bootstrap?: boolean;
  /** Fewest members with which output is released and views are formed; 1: go on alone. */
  readonly minMembers?: number;
  /** Interval of heartbeats, ms (100). */
  readonly heartbeatMs?: number;
  /** A peer unheard for so long is suspected, ms (500). */
  readonly timeoutMs?: number;
  /** A member that owes an acknowledgement for so long, although it is heard, is put out of the view, ms (2000). */
  readonly slowMs?: number;
  /** Epochs and bytes captured and not yet acknowledged by all before the guest is throttled (64; 128 MiB). */
  readonly maxInFlight?: number;
  readonly maxInFlightBytes?: number;
  /** What is released must be durable in a journal too (false). */
  readonly journal?: boolean;
  /** Chunks of a state transfer on their way to one learner, or to the journal (4). */
  readonly maxChunks?: number;
}

/** An epoch's name: two epochs with the same number and the same origin (the view that made it) are the same. */
export interface Position {
  readonly epoch: number;
  readonly origin: number;
}

export interface Chunk {
  readonly learner: MemberId;
  /** An encoded delta, applied after the epoch's own (checkpoint/state-transfer.ts). */
  readonly bytes: Uint8Array;
  /** The learner's state is complete with this chunk. */
  readonly done: boolean;
}

/** A chunk of a whole state for the journal. */
export interface RootChunk {
  /** An encoded delta, applied after the epoch's own. */
  readonly bytes: Uint8Array;
  /** The root is complete with this chunk. */
  readonly done: boolean;
}

export type Event =
  /** The process is up and connections may be made. */
  | { readonly kind: 'start' }
  | { readonly kind: 'tick' }
  | { readonly kind: 'up'; readonly peer: MemberId }
  | { readonly kind: 'down'; readonly peer: MemberId; readonly dead: boolean }
  | { readonly kind: 'message'; readonly from: MemberId; readonly message: Message }
  /** Bytes of an unfinished message came: the peer lives, although its message is long. */
  | { readonly kind: 'heard'; readonly peer: MemberId }
  | {
      readonly kind: 'register';
      readonly id: number;
      /** For a read: 'ok'. For a cas: 'ok' swapped, 'conflict' not. 'unknown': no answer came. */
      readonly answer: 'ok' | 'conflict' | 'unknown';
      /** The cell's value after the operation; null with 'unknown'. */
      readonly value: View | null;
    }
  /** The primary has stopped the guest at a boundary. `delta` may be null if `deltaNeeded` was false. */
  | {
      readonly kind: 'captured';
      readonly epoch: number;
      readonly delta: Uint8Array | null;
      readonly chunks: readonly Chunk[];
      /** The journal's chunk; null or absent: none. */
      readonly root?: RootChunk | null;
      /** A hash of the state after this epoch, to be compared by the backups; 0n or absent: none. */
      readonly hash?: bigint;
    }
  /** A backup could not apply a delta, or its state's hash differs from the primary's. */
  | { readonly kind: 'diverged'; readonly epoch: number; readonly reason: string }
  /** The journal has everything up to `written` in its file, and everything up to `durable` for good (-1: nothing). */
  | { readonly kind: 'journalled'; readonly written: number; readonly durable: number }
  /** The journal is to begin anew with a root. */
  | { readonly kind: 'journal-grown' }
  /** Orderly hand-over, to `to` or to the backup that is furthest. */
  | { readonly kind: 'failover'; readonly to?: MemberId };

export type Effect =
  | { readonly kind: 'send'; readonly to: MemberId; readonly message: Message }
  /** Change the register's cell from view `expected` (its generation and view decide) to `next`. */
  | { readonly kind: 'cas'; readonly id: number; readonly expected: View; readonly next: View }
  | { readonly kind: 'read'; readonly id: number }
  /** Everything produced in epochs up to this one may leave. */
  | { readonly kind: 'release'; readonly epoch: number }
  /** Write to the journal, in order. `root.start`: a new root begins with this chunk. */
  | {
      readonly kind: 'journal';
      readonly position: Position;
      /** Null where nobody needed one: then a root starts. */
      readonly delta: Uint8Array | null;
      readonly root: (RootChunk & { readonly start: boolean }) | null;
    }
  /** Start the service from its image, or from what a journal of its last run has: only with `bootstrap`, once, at start. */
  | { readonly kind: 'boot'; readonly view: View }
  /** Become primary from the shadow, which is as of `epoch`. */
  | { readonly kind: 'promote'; readonly view: View; readonly epoch: number }
  /** Hand-over: the guest must not run on after the epoch just captured, until `resume`, `demote` or `halt`. */
  | { readonly kind: 'pause' }
  | { readonly kind: 'resume' }
  /** The guest stops; the machine's state, which is as of `epoch`, becomes a shadow again. */
  | { readonly kind: 'demote'; readonly epoch: number }
  /** Forget the shadow; a new one begins with the next `apply`. */
  | { readonly kind: 'reset' }
  /** Apply to the shadow. `hash`, unless 0n, is what the shadow's hash must then be. */
  | { readonly kind: 'apply'; readonly epoch: number; readonly bytes: Uint8Array; readonly hash: bigint }
  | { readonly kind: 'transfer-start'; readonly learner: MemberId }
  | { readonly kind: 'transfer-end'; readonly learner: MemberId; readonly reason: string }
  /** The view as this member knows it, or its role, has changed: for status, logs and the gateway. */
  | { readonly kind: 'view'; readonly view: View | null; readonly role: Role }
  /** For the operator: said once each. */
  | { readonly kind: 'alarm'; readonly code: string; readonly text: string }
  | { readonly kind: 'halt'; readonly code: string; readonly reason: string };

/** Every message also carries cluster, generation and sender (messages.ts). `view` is the sender's. */
export type Message =
  /** Primary → member or learner: one epoch. */
  | {
      readonly kind: 'epoch';
      readonly view: number;
      /** The epoch before this one in the primary's history; ignored with `start`. */
      readonly previous: Position;
      readonly position: Position;
      /** Every epoch up to this one is safe: apply it. */
      readonly commit: number;
      /** A state transfer begins here: what was held before is forgotten. `delta` is empty. */
      readonly start: boolean;
      /** The learner is complete once it has applied `delta` and `chunk`. */
      readonly done: boolean;
      readonly hash: bigint;
      readonly delta: Uint8Array;
      readonly chunk: Uint8Array;
    }
  /** Primary → everyone, every `heartbeatMs` and after a change of view. */
  | {
      readonly kind: 'heartbeat';
      readonly view: number;
      readonly last: Position;
      readonly commit: number;
      readonly members: readonly MemberId[];
    }
  /** Member or learner → primary, cumulative: in this view, I hold everything up to `epoch`. Also its heartbeat. */
  | { readonly kind: 'ack'; readonly view: number; readonly epoch: number }
  /** Anyone → primary: what I hold; send me what follows. A learner's request to join; a backup that misses something. */
  | {
      readonly kind: 'status';
      readonly view: number;
      /** False: nothing, or an unfinished transfer. */
      readonly complete: boolean;
      /** What it holds, ascending; the first can not be taken back. At most 1024. */
      readonly held: readonly Position[];
    }
  /** Answer to a message of a view below the sender's `acceptView` (which is `view`). */
  | { readonly kind: 'stale'; readonly view: number }
  /** The register has changed: read it. */
  | { readonly kind: 'look'; readonly view: number }
  /** Backup → primary: my state at `epoch` is not yours, put me out. */
  | { readonly kind: 'diverged'; readonly view: number; readonly epoch: number };
