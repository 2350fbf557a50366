/**
 * A replica: a member of the replicated service with its connections, and the guest while it is the primary. How the
 * pieces fit is told at the head of replication/types.ts; this is the part with sockets, timers and processes. What the
 * supervisor is told goes out by `say`.
 */

import { randomBytes } from 'node:crypto';
import { crc32 } from 'node:zlib';
import type { Shadow } from '../checkpoint/shadow.ts';
import { GatewayLink } from '../gateway/protocol.ts';
import { assert } from '../lvm/assert.ts';
import type { CpuEnvironment, VirtualCpu } from '../lvm/cpu.ts';
import { HostClock } from '../lvm/host-clock.ts';
import { openImage } from '../lvm/node-image.ts';
import { type LvmOutput, NodeLvm } from '../lvm/node-lvm.ts';
import { Driver, type DriverWorld, type Service } from '../replication/driver.ts';
import { Member } from '../replication/member.ts';
import { OutputCommit } from '../replication/output-commit.ts';
import type { Event, View } from '../replication/types.ts';
import { GuestLoop } from './guest-loop.ts';
import { decodeHostState, encodeHostState, type HostState, restarted } from './host-state.ts';
import { NodeJournalFolder } from './journal-folder.ts';
import { recoverShadow } from './journal-recovery.ts';
import { JournalWriter } from './journal-writer.ts';
import type { Machine, MachineFactory } from './machine.ts';
import { Mesh } from './mesh.ts';
import { Outbox } from './outbox.ts';
import {
  type FromReplica,
  JOURNAL_WRITE,
  type ReplicaFigures,
  type ReplicaOptions,
  type ToReplica,
} from './protocol.ts';
import { SafeInput } from './safe-input.ts';
import { Warmer } from './warmer.ts';

export interface ReplicaDeps {
  readonly machines: MachineFactory;
  readonly makeCpu: (environment: CpuEnvironment) => VirtualCpu;
  /** To the supervisor. */
  readonly say: (message: FromReplica) => void;
  /** The end of the process; what was said before must get out. */
  readonly end: () => void;
}

const HEARTBEAT_MS = 100;
/** Chunks of a state transfer: the guest stands still for a millisecond or two for each. */
const TRANSFER = { pages: 256, scan: 8192, bytes: 1 << 20 };
/** A slice of translating ahead; the pause after it is so many times as long. */
const WARM_SLICE_MS = 2;
const WARM_PAUSE_FACTOR = 1;

/** An OutputCommit stands above: no output comes so far down. */
const never = (): never => assert(false, 'output leaves by way of the output commit') as never;
const NONE: LvmOutput = { send: never, console: never, exit: never };

type Failure = Omit<Extract<FromReplica, { kind: 'failed' }>, 'kind'>;

interface Serving {
  readonly machine: Machine;
  readonly lvm: NodeLvm;
  readonly link: GatewayLink | null;
  readonly journal: JournalWriter | null;
}

export class Replica {
  readonly #options: ReplicaOptions;
  readonly #deps: ReplicaDeps;
  readonly #mesh: Mesh;
  readonly #driver: Driver;
  readonly #loop: GuestLoop;
  readonly #outbox: Outbox;
  readonly #safe: SafeInput;
  #warmer: Warmer;
  #serving: Serving | null = null;

  constructor(options: ReplicaOptions, deps: ReplicaDeps) {
    const { self, cluster, generation, bootstrap, epochMs } = options;
    const journal = options.journal !== null;
    const { say } = deps;
    this.#options = options;
    this.#deps = deps;
    this.#mesh = new Mesh(
      { cluster, generation, sender: self },
      {
        up: (peer) => this.#step({ kind: 'up', peer }),
        down: (peer, dead) => this.#step({ kind: 'down', peer, dead }),
        message: (from, message) => this.#step({ kind: 'message', from, message }),
        heard: (peer) => this.#step({ kind: 'heard', peer }),
      },
    );
    const member = new Member({ self, generation, bootstrap, journal, heartbeatMs: HEARTBEAT_MS });
    this.#driver = new Driver(member, this.#world(), { transfer: TRANSFER });
    this.#loop = new GuestLoop(this.#driver, epochMs);
    this.#outbox = new Outbox({
      console: (stream, offset, bytes) => say({ kind: 'console', stream, offset, bytes }),
      exit: (status) => say({ kind: 'exit', status }),
    });
    this.#safe = new SafeInput((taken) => say({ kind: 'safe', taken }));
    this.#warmer = new Warmer(deps.makeCpu);
  }

  async start(): Promise<void> {
    await this.#mesh.listen(this.#options.path);
    this.#deps.say({ kind: 'listening' });
    this.#step({ kind: 'start' });
    setInterval(() => this.#step({ kind: 'tick' }), HEARTBEAT_MS / 2);
    this.#warm();
  }

  /** From the supervisor. */
  handle(message: Exclude<ToReplica, { kind: 'start' }>): void {
    switch (message.kind) {
      case 'peers':
        this.#mesh.setPeers(message.peers);
        break;
      case 'register':
        this.#step({ kind: 'register', ...message.answer });
        break;
      case 'stdin':
        this.#serving?.lvm.stdin.add(message.from, message.chunks);
        this.#loop.wake();
        break;
      case 'signals':
        this.#serving?.lvm.signals.add(message.from, message.signals);
        this.#loop.wake();
        break;
      case 'arrived':
        this.#outbox.arrived(message.stream, message.offset);
        this.#loop.wake();
        break;
      case 'failover':
        this.#step({ kind: 'failover' });
        break;
      case 'ping':
        this.#deps.say({ kind: 'pong' });
        break;
      default:
        this.#deps.say({ kind: 'status', status: this.#figures() });
    }
  }

  #step(event: Event): void {
    this.#driver.step(event, performance.now());
    this.#safe.committed(this.#driver.member.committed);
    this.#loop.wake();
  }

  #world(): DriverWorld {
    const { say } = this.#deps;
    return {
      send: (to, message) => this.#mesh.send(to, message),
      register: (request) => say({ kind: 'register', request }),
      boot: (view) => this.#boot(view),
      promote: (shadow, view) => this.#promote(shadow, view),
      demoted: () => this.#rest(),
      journal: (entry) => this.#serving!.journal!.append(entry),
      view: (view, role) => say({ kind: 'view', view, role }),
      alarm: (code, text) => say({ kind: 'alarm', code, text }),
      halt: (code, reason) => this.#fail({ code, text: reason }),
    };
  }

  #fail(why: Failure): void {
    this.#rest();
    this.#deps.say({ kind: 'failed', ...why });
    this.#deps.end();
  }

  #boot(view: View): Service {
    const { journal } = this.#options;
    if (journal !== null && journal.restore !== null) {
      const shadow = recoverShadow(journal.restore);
      return this.#restore(shadow, restarted(decodeHostState(shadow.host)), view);
    }
    const lvm = this.#lvm(null);
    return this.#serve(view, lvm, null, (above) => {
      const deps = { lvm: above, makeCpu: this.#deps.makeCpu };
      return this.#deps.machines.boot(deps, this.#options.boot);
    });
  }

  #promote(shadow: Shadow, view: View): Service {
    return this.#restore(shadow, decodeHostState(shadow.host), view);
  }

  #restore(shadow: Shadow, host: HostState, view: View): Service {
    const lvm = this.#lvm(host);
    const warmer = this.#warmer;
    return this.#serve(view, lvm, host, (above) => {
      const deps = { lvm: above, makeCpu: (environment: CpuEnvironment) => warmer.adopt(environment) };
      const { spaces, instructions } = shadow;
      const machine = this.#deps.machines.restore(deps, { spaces, parts: shadow.sortedParts(), instructions });
      machine.resync();
      return machine;
    });
  }

  #lvm(host: HostState | null): NodeLvm {
    const { rootfs, files } = this.#options;
    return new NodeLvm({
      image: openImage(rootfs, files),
      clock: new HostClock(host?.clock ?? null),
      output: NONE,
      ...(host === null ? {} : { taken: host.taken }),
    });
  }

  #serve(view: View, lvm: NodeLvm, host: HostState | null, make: (above: OutputCommit) => Machine): Service {
    const { say } = this.#deps;
    /** What is due once the guest has dealt with its first packets. */
    let settle: (() => void) | null = null;
    const link = this.#connect(view, (packet) => {
      settle ??= () => say({ kind: 'settled' });
      lvm.packet(packet);
      this.#loop.wake();
    });
    const outbox = this.#outbox;
    const sink = {
      packet: (bytes: Uint8Array) => link?.send(bytes),
      console: (stream: 1 | 2, offset: number, bytes: Uint8Array) => outbox.console(stream, offset, bytes),
      exit: outbox.exit.bind(outbox),
    };
    const output = new OutputCommit(lvm, sink, host?.output ?? null);
    const machine = make(output);
    let { lastCrash: crash } = machine;
    this.#serving = { machine, lvm, link, journal: this.#journal(view) };
    this.#loop.start({
      machine,
      lvm,
      blocked: () => outbox.full,
      queued: () => this.#mesh.queued,
      capturing: (epoch) => this.#safe.captured(epoch, lvm.taken),
      ran: (idle) => {
        if (machine.lastCrash !== crash) {
          crash = machine.lastCrash;
          say({ kind: 'alarm', code: 'TG_GUEST_CRASHED', text: String(crash) });
        }
        if (!idle || settle === null) return;
        settle();
        settle = () => {};
      },
    });
    say({ kind: 'serving', taken: lvm.taken });
    return {
      machine,
      output,
      host: () => {
        const state = { clock: lvm.clock(), output: outbox.save(output.save()), taken: lvm.taken };
        return encodeHostState(state);
      },
      // The library OS takes a file's content into its own state as it opens it (linux/fs/blobs.ts), before any boundary
      // at which an epoch can end: so the parts have it, and a copy beside them would only double it.
      takeBlobs: () => [],
      allBlobs: () => [],
    };
  }

  #journal({ generation, view }: View): JournalWriter | null {
    const { journal } = this.#options;
    if (journal === null) return null;
    const folder = new NodeJournalFolder(journal.folder);
    const meta = () => ({ ...journal.meta, salt: randomBytes(16).toString('hex') });
    const nowMs = () => performance.now();
    return new JournalWriter(
      { folder, generation, view, meta, crc32, nowMs },
      {
        journalled: (written, durable) => this.#step({ kind: 'journalled', written, durable }),
        grown: () => this.#step({ kind: 'journal-grown' }),
        failed: (error) => this.#fail(journalFailure(journal.folder, error)),
      },
    );
  }

  #connect({ generation, view }: View, onPacket: (packet: Uint8Array) => void): GatewayLink | null {
    const { gateway, cluster, self } = this.#options;
    if (gateway === null) return null;
    const link = GatewayLink.connect(gateway, { cluster, generation, view, member: self });
    link.onPacket = onPacket;
    // A newer primary is served; the register will say so too, and that decides.
    link.onRefused = ({ code, message }) => this.#deps.say({ kind: 'alarm', code, text: message });
    return link;
  }

  /** The guest does not run here any more. */
  #rest(): void {
    this.#loop.stop();
    this.#serving?.link?.close();
    this.#serving?.journal?.close();
    this.#serving = null;
    this.#warmer = new Warmer(this.#deps.makeCpu);
  }

  #warm(): void {
    let pauseMs = HEARTBEAT_MS;
    // A learner has enough to do with becoming a backup.
    if (this.#driver.member.role === 'backup') {
      const startMs = performance.now();
      const more = this.#warmer.work(this.#driver.shadow, () => performance.now() - startMs >= WARM_SLICE_MS);
      if (more) pauseMs = (performance.now() - startMs) * WARM_PAUSE_FACTOR;
    }
    setTimeout(() => this.#warm(), pauseMs).unref();
  }

  #figures(): ReplicaFigures {
    const { member, shadow, service } = this.#driver;
    const { pauseUs, commitUs, dirtyPages, bytes } = this.#loop;
    const machine = this.#serving?.machine;
    const journal = this.#serving?.journal ?? null;
    return {
      role: member.role,
      view: member.view?.view ?? 0,
      epochs: member.lastEpoch,
      committed: member.committed,
      pauseUs: pauseUs.percentiles(),
      commitUs: commitUs.percentiles(),
      dirtyPagesPerEpoch: dirtyPages.percentiles(),
      bytesPerEpoch: bytes.percentiles(),
      heldPackets: service?.output.heldCount ?? 0,
      journal: journal && {
        bytes: journal.bytes,
        durableEpoch: member.durable,
        syncUs: journal.syncUs.percentiles(),
      },
      instructions: machine?.instructions ?? shadow.instructions,
      unimplementedCalls: Object.fromEntries(machine?.unimplementedCalls ?? []),
      warm: machine === undefined ? this.#warmer.progress(shadow) : null,
    };
  }
}

/** What the disk says is the operator's; anything else is wrong with this program. */
function journalFailure(folder: string, error: NodeJS.ErrnoException): Failure {
  if (error.syscall === undefined) return { code: 'TG_INTERNAL', text: error.stack ?? error.message };
  return {
    code: JOURNAL_WRITE,
    text: `the journal in ${folder} cannot be written: ${error.message}`,
    advice: 'What clients were told is there. Make room, or see to the disk, and run the same command again.',
    exitStatus: 125,
  };
}
