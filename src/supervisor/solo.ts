/**
 * One replica: the program in this very process, replicated to nobody. Like running it: our standard streams are the
 * guest's, our signals go to it, its end is ours.
 */

import type { Writable } from 'node:stream';
import type { RunRequest } from '../cli/run-options.ts';
import type { Ended, ServiceStatus } from '../cli/supervisor.ts';
import { Gateway } from '../gateway/gateway.ts';
import { type Published, publish } from '../gateway/publish.ts';
import { HostClock } from '../lvm/host-clock.ts';
import { openImage } from '../lvm/node-image.ts';
import { NodeLvm } from '../lvm/node-lvm.ts';
import { GuestRunner } from '../replica/guest-runner.ts';
import { cpuMaker, linux, observed } from '../replica/linux-machine.ts';
import type { Machine } from '../replica/machine.ts';
import { GuestTools } from '../trace/guest-tools.ts';
import { CodedFailure } from './coded-failure.ts';
import { ConsoleWriter } from './console-writer.ts';
import type { Controlled } from './control-socket.ts';
import type { Tell } from './events.ts';
import { LineFile } from './line-file.ts';
import type { RunFolder } from './run-folder.ts';
import { publishedAs } from './status.ts';

export interface SoloOptions {
  readonly request: RunRequest;
  readonly folder: RunFolder;
  readonly tell: Tell;
  /** Where the guest's output goes. */
  readonly out: Writable;
  readonly err: Writable;
}

const SIGTERM = 15;
const SIGPIPE = 13;
/** Output that the kernel has not taken; the guest waits. */
const OUTPUT_MAX = 1 << 20;
/** Standard input that the guest has not taken; more waits in the pipe. */
const STDIN_CHUNKS_MAX = 16;

export class SoloService implements Controlled {
  readonly #options: SoloOptions;
  readonly #writers: readonly [ConsoleWriter, ConsoleWriter];
  readonly #offsets: [number, number] = [0, 0];
  readonly #result = Promise.withResolvers<Ended>();
  readonly #lvm: NodeLvm;
  /** The guest has ended, and its last output is being written. */
  draining = false;
  readonly programEnded = true;
  #gateway: Gateway | null = null;
  #published: Published | null = null;
  #machine: Machine | null = null;
  #crash: string | null = null;
  #tools: GuestTools | null = null;
  #trace: LineFile | null = null;
  #profile: LineFile | null = null;
  #runner: GuestRunner | null = null;
  #immediate: NodeJS.Immediate | null = null;
  #timer: NodeJS.Timeout | null = null;
  readonly #onData = (bytes: Uint8Array): void => this.#input(bytes);
  readonly #onEnd = (): void => this.#input(new Uint8Array(0));

  constructor(options: SoloOptions) {
    this.#options = options;
    this.#writers = [new ConsoleWriter(options.out), new ConsoleWriter(options.err)];
    const { rootfs, files } = options.request;
    this.#lvm = new NodeLvm({
      image: openImage(rootfs, files),
      clock: new HostClock(),
      output: {
        send: (packet) => this.#gateway?.packetFromGuest(packet),
        console: (stream, bytes) => this.#console(stream, bytes),
        exit: (status) => this.#result.resolve(status),
      },
    });
    for (const writer of this.#writers) {
      writer.onWritten = () => this.#wake();
      writer.onBroken = () => this.signal(SIGPIPE);
    }
  }

  /** Until the guest has ended and its output is written. Throws coded errors. */
  async run(): Promise<Ended> {
    const { request, folder, tell } = this.#options;
    try {
      if (request.publish.length > 0) await this.#publish();
      tell({ event: 'started', id: folder.id, publish: publishedAs(request.publish) });
      const { program, args, env, cwd, memory } = request;
      const deps = { lvm: this.#lvm, makeCpu: cpuMaker() };
      this.#openTools();
      const factory = this.#tools === null ? linux : observed(this.#tools);
      this.#machine = factory.boot(deps, { program, args, env, cwd, memoryLimit: memory });
      this.#runner = new GuestRunner(this.#machine, this.#lvm);
      process.stdin.on('data', this.#onData).once('end', this.#onEnd).once('error', this.#onEnd);
      this.#wake();
      const ended = await this.#result.promise;
      this.draining = true;
      await Promise.all(this.#writers.map((writer) => writer.flush()));
      tell({ event: 'ended', ...ended });
      return ended;
    } finally {
      this.#close();
    }
  }

  signal(signo: number): void {
    this.#lvm.signals.add(this.#lvm.signals.expected, [signo]);
    this.#wake();
  }

  // --- control ---

  async status(): Promise<ServiceStatus> {
    const { request, folder } = this.#options;
    return {
      id: folder.id,
      pid: process.pid,
      program: [request.program, ...request.args].join(' '),
      publish: publishedAs(request.publish),
      view: 1,
      protected: false,
      gateway: null,
      replicas: [{ role: 'primary', pid: process.pid }],
      epochs: 0,
      pauseUs: null,
      commitUs: null,
      dirtyPagesPerEpoch: null,
      bytesPerEpoch: null,
      heldPackets: 0,
      journal: null,
      unimplemented: Object.fromEntries(this.#machine?.unimplementedCalls ?? []),
    };
  }

  failover(): Promise<ServiceStatus> {
    throw new CodedFailure({
      code: 'TG_NO_BACKUP',
      message: 'it runs on one replica, so there is nobody to hand over to',
      advice: 'Run it with --replicas 2.',
    });
  }

  async stop(): Promise<void> {
    this.signal(SIGTERM);
    await this.#result.promise.catch(() => {});
  }

  // --- the guest ---

  #wake(): void {
    if (this.#runner !== null) this.#immediate ??= setImmediate(this.#turn);
  }

  readonly #turn = (): void => {
    this.#immediate = null;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    const runner = this.#runner;
    // Written output wakes us.
    if (runner === null || this.#writers.some((writer) => writer.queued > OUTPUT_MAX)) return;
    try {
      if (runner.hasWork) runner.run();
      this.#trace?.flush();
      this.#reportCrash();
    } catch (error) {
      this.#runner = null;
      this.#result.reject(error);
      return;
    }
    // Nobody asks what changed.
    this.#machine!.ledger.forget();
    if (this.#lvm.stdin.length < STDIN_CHUNKS_MAX && process.stdin.isPaused()) process.stdin.resume();
    if (runner.hasWork) this.#wake();
    else if (runner.sleepMs < Number.POSITIVE_INFINITY) {
      this.#timer = setTimeout(this.#turn, Math.max(1, Math.ceil(runner.sleepMs)));
    }
  };

  /** Before anything runs: a file that can not be written is said at once. */
  #openTools(): void {
    const { trace, profile } = this.#options.request;
    if (trace === null && profile === null) return;
    if (trace !== null) this.#trace = new LineFile(trace.file);
    if (profile !== null) this.#profile = new LineFile(profile);
    const write = this.#trace?.line ?? (() => {});
    this.#tools = new GuestTools({ trace: trace?.kinds ?? [], write, profile: profile !== null });
  }

  #closeTools(): void {
    try {
      this.#trace?.close();
    } finally {
      const report = this.#tools?.profile?.report();
      if (report !== undefined) this.#profile?.line(report.trimEnd());
      this.#profile?.close();
    }
  }

  /** The one thing that is said here beside what the program says. */
  #reportCrash(): void {
    const { lastCrash } = this.#machine!;
    if (lastCrash === this.#crash) return;
    this.#crash = lastCrash;
    this.#options.err.write(`tardigrade: TG_GUEST_CRASHED: ${lastCrash}\n`);
  }

  #console(stream: 1 | 2, bytes: Uint8Array): void {
    const offset = this.#offsets[stream - 1]!;
    this.#offsets[stream - 1] = offset + bytes.length;
    this.#writers[stream - 1]!.write(offset, bytes);
  }

  #input(bytes: Uint8Array): void {
    const { stdin } = this.#lvm;
    stdin.add(stdin.expected, [bytes]);
    if (stdin.length >= STDIN_CHUNKS_MAX) process.stdin.pause();
    this.#wake();
  }

  async #publish(): Promise<void> {
    const gateway = new Gateway();
    this.#published = await publish(gateway, this.#options.request.publish);
    gateway.onPacketToGuest = (packet) => {
      this.#lvm.packet(packet);
      this.#wake();
    };
    this.#gateway = gateway;
  }

  #close(): void {
    this.#runner = null;
    if (this.#timer !== null) clearTimeout(this.#timer);
    if (this.#immediate !== null) clearImmediate(this.#immediate);
    this.#published?.close();
    this.#gateway?.close();
    process.stdin.off('data', this.#onData).off('end', this.#onEnd).off('error', this.#onEnd);
    process.stdin.pause().unref?.();
    this.#closeTools();
  }
}
