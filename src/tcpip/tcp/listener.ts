/** A listening port: connections on their way (SYN received) and those nobody has accepted yet, both bounded. */

import type { Part } from '../../checkpoint/ledger.ts';
import type { Endpoint, Ipv4, Tcp, TcpListener, TcpOption } from '../api.ts';
import type { TcpConnection } from './connection.ts';

export interface ListenerHost {
  touch(part: Part): void;
  connection(id: number): TcpConnection | undefined;
  /** Closes the listener and resets what nobody accepted. */
  unlisten(listener: Listener): void;
}

/** net.core.somaxconn. */
const BACKLOG_MAX = 4096;

export class Listener implements TcpListener, Part {
  readonly id: number;
  readonly key: string;
  readonly #host: ListenerHost;
  /** 0: any. */
  readonly address: Ipv4;
  readonly port: number;
  backlog: number;
  /** Established, not accepted: connection ids, the oldest first. */
  queue: number[] = [];
  /** Connections in SYN-RECEIVED; derived. */
  embryos = 0;
  /** What accepted connections start with. */
  options: [TcpOption, number][] = [];

  constructor(host: ListenerHost, id: number, address: Ipv4, port: number, backlog: number) {
    this.#host = host;
    this.id = id;
    this.key = `listener/${id}`;
    this.address = address;
    this.port = port;
    this.backlog = Listener.limit(backlog);
  }

  static limit(backlog: number): number {
    return Math.max(1, Math.min(BACKLOG_MAX, backlog));
  }

  get local(): Endpoint {
    return { address: this.address, port: this.port };
  }

  get pending(): number {
    return this.queue.length;
  }

  /** True where one more SYN may be taken. */
  get hasRoom(): boolean {
    return this.queue.length <= this.backlog && this.embryos < Math.max(16, this.backlog);
  }

  accept(): Tcp | null {
    for (;;) {
      const id = this.queue.shift();
      if (id === undefined) return null;
      this.#host.touch(this);
      const connection = this.#host.connection(id);
      if (connection === undefined) continue;
      connection.listener = 0;
      this.#host.touch(connection);
      return connection;
    }
  }

  /** listen(2) again changes the backlog. */
  setBacklog(backlog: number): void {
    this.backlog = Listener.limit(backlog);
    this.#host.touch(this);
  }

  setOption(name: TcpOption, value: number): void {
    this.options = [...this.options.filter(([other]) => other !== name), [name, value]];
    this.#host.touch(this);
  }

  close(): void {
    this.#host.unlisten(this);
  }

  save(): unknown {
    return [this.address, this.port, this.backlog, this.queue, this.options];
  }

  static restore(host: ListenerHost, id: number, state: unknown): Listener {
    const [address, port, backlog, queue, options] = state as [number, number, number, number[], [TcpOption, number][]];
    const listener = new Listener(host, id, address, port, backlog);
    listener.queue = queue;
    listener.options = options;
    return listener;
  }
}
