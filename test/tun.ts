/**
 * For tests against the Linux kernel's TCP: TUN devices in network namespaces of their own, and a seeded relay between two
 * ends that loses, duplicates, corrupts, reorders and delays packets in real time. Needs root, /dev/net/tun, iproute2.
 */

import { execFileSync, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { type LinkOptions, random } from '../src/tcpip/test-link.ts';

const O_RDWR = 2;
const O_NONBLOCK = 0o4000;
const TUNSETIFF = 0x400454ca;
const IFF_TUN = 0x0001;
const IFF_NO_PI = 0x1000;

interface Libc {
  open(path: string, flags: number): number;
  ioctl(fd: number, request: number, argument: Uint8Array): number;
  read(fd: number, buffer: Uint8Array, length: number): number;
  write(fd: number, buffer: Uint8Array, length: number): number;
  close(fd: number): number;
}

let libc: Libc | null = null;

function loadLibc(): Libc {
  if (libc !== null) return libc;
  const koffi = createRequire(import.meta.url)('koffi') as {
    load(path: string): { func(prototype: string): (...args: unknown[]) => number };
  };
  const library = koffi.load('libc.so.6');
  libc = {
    open: library.func('int open(const char *path, int flags)'),
    ioctl: library.func('int ioctl(int fd, unsigned long request, void *argument)'),
    read: library.func('long read(int fd, void *buffer, size_t length)'),
    write: library.func('long write(int fd, void *buffer, size_t length)'),
    close: library.func('int close(int fd)'),
  };
  return libc;
}

/** Why these tests cannot run here, or null. */
export function tunMissing(): string | null {
  if (process.platform !== 'linux') return 'not Linux';
  if (process.getuid?.() !== 0) return 'not root';
  if (!existsSync('/dev/net/tun')) return '/dev/net/tun is missing';
  try {
    loadLibc();
    const device = new Tun('127.255.0.1', `probe${process.pid}`);
    device.close();
  } catch (error) {
    return `no TUN device or namespace: ${(error as Error).message.split('\n')[0]}`;
  }
  return null;
}

/** A TUN device in a network namespace, with an address of a /24. */
export class Tun {
  readonly namespace: string;
  readonly #fd: number;
  readonly #buffer = new Uint8Array(65536);

  constructor(address: string, name: string) {
    const c = loadLibc();
    this.namespace = `tg-${name}`;
    this.#fd = c.open('/dev/net/tun', O_RDWR | O_NONBLOCK);
    if (this.#fd < 0) throw new Error('open /dev/net/tun');
    const request = new Uint8Array(40);
    const device = `tg${name}`.slice(0, 15);
    for (let i = 0; i < device.length; i++) request[i] = device.charCodeAt(i);
    const flags = IFF_TUN | IFF_NO_PI;
    request[16] = flags & 255;
    request[17] = flags >> 8;
    if (c.ioctl(this.#fd, TUNSETIFF, request) < 0) {
      c.close(this.#fd);
      throw new Error('ioctl TUNSETIFF');
    }
    try {
      ip('netns', 'add', this.namespace);
      ip('link', 'set', device, 'netns', this.namespace);
      ip('-n', this.namespace, 'addr', 'add', `${address}/24`, 'dev', device);
      ip('-n', this.namespace, 'link', 'set', device, 'up');
      ip('-n', this.namespace, 'link', 'set', 'lo', 'up');
      // Compare like with like: a host may default to BBR, which takes no notice of random loss. By route, because a
      // namespace may not choose its own default.
      const network = `${address.replace(/\d+$/, '0')}/24`;
      ip('-n', this.namespace, 'route', 'replace', network, 'dev', device, 'src', address, 'congctl', 'cubic');
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** A packet that the kernel sends, or null. */
  read(): Uint8Array | null {
    const length = loadLibc().read(this.#fd, this.#buffer, this.#buffer.length);
    return length > 0 ? this.#buffer.slice(0, length) : null;
  }

  write(packet: Uint8Array): void {
    loadLibc().write(this.#fd, packet, packet.length);
  }

  close(): void {
    loadLibc().close(this.#fd);
    try {
      ip('netns', 'del', this.namespace);
    } catch {
      // It was not made.
    }
  }

  /** Runs a script in the namespace; its standard output when it ends. */
  run(script: string, ...args: string[]): Promise<string> {
    return new Promise((resolve, reject) => {
      const child = spawn('ip', ['netns', 'exec', this.namespace, process.execPath, '-e', script, ...args], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      let output = '';
      child.stdout.on('data', (chunk: Buffer) => {
        output += chunk.toString();
      });
      child.on('error', reject);
      child.on('close', (code) => (code === 0 ? resolve(output) : reject(new Error(`exit status ${code}: ${output}`))));
    });
  }
}

function ip(...args: string[]): void {
  execFileSync('ip', args, { stdio: 'pipe' });
}

/** One end of a relay. */
export interface End {
  /** The next packet from this end, or null. */
  read(): Uint8Array | null;
  write(packet: Uint8Array): void;
}

/** Carries packets between two ends until stopped. The same seed gives the same fates to the same sequence of packets. */
export class Relay {
  readonly #ends: [End, End];
  readonly #options: LinkOptions;
  readonly #random: [() => number, () => number];
  /** Packets under way, by the end they go to, in order of arrival but for reordered ones. */
  readonly #flights: [{ at: number; packet: Uint8Array }[], { at: number; packet: Uint8Array }[]] = [[], []];
  #stopped = false;
  carried = 0;
  lost = 0;

  constructor(a: End, b: End, seed: number, options: LinkOptions) {
    this.#ends = [a, b];
    this.#options = options;
    this.#random = [random(seed), random(seed + 1)];
    this.#turn();
  }

  stop(): void {
    this.#stopped = true;
  }

  readonly #turn = (): void => {
    if (this.#stopped) return;
    const now = performance.now() * 1000;
    let busy = false;
    for (const from of [0, 1] as const) {
      for (let i = 0; i < 64; i++) {
        const packet = this.#ends[from].read();
        if (packet === null) break;
        busy = true;
        this.#take(from, packet, now);
      }
    }
    for (const to of [0, 1] as const) {
      const flights = this.#flights[to];
      let count = 0;
      while (count < flights.length && flights[count]!.at <= now) this.#ends[to].write(flights[count++]!.packet);
      if (count > 0) {
        flights.splice(0, count);
        busy = true;
      }
    }
    if (busy) setImmediate(this.#turn);
    else setTimeout(this.#turn, 1);
  };

  #take(from: 0 | 1, packet: Uint8Array, now: number): void {
    const { loss = 0, duplicate = 0, corrupt = 0, reorder = 0, delayUs = 0 } = this.#options;
    const r = this.#random[from];
    const fates = [r(), r(), r(), r()];
    this.carried++;
    if (fates[0]! < loss) {
      this.lost++;
      return;
    }
    if (fates[1]! < corrupt) packet[Math.floor(r() * packet.length)]! ^= 1 << Math.floor(r() * 8);
    const late = fates[2]! < reorder ? delayUs * 0.5 : 0;
    this.#put((1 - from) as 0 | 1, now + delayUs + late, packet);
    if (fates[3]! < duplicate) this.#put((1 - from) as 0 | 1, now + delayUs, packet);
  }

  #put(to: 0 | 1, at: number, packet: Uint8Array): void {
    const flights = this.#flights[to];
    let i = flights.length;
    while (i > 0 && flights[i - 1]!.at > at) i--;
    flights.splice(i, 0, { at, packet });
  }
}
