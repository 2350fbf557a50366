/**
 * Clients that write and remember what they were told. Reconnection is off: a connection that breaks stays broken and is
 * counted. Each connection owns its keys and has one command on its way at a time, so that every reply is known in
 * advance; a wrong reply is a lost or doubled write.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';

export interface Tally {
  /** Writes that the service acknowledged. */
  acknowledged: number;
  /** Connections that ended although nobody here ended them. */
  resets: number;
  /** What was wrong, the first of it. */
  readonly wrong: string[];
  wrongs: number;
}

interface Writer {
  readonly id: number;
  readonly redis: Redis;
  /** Acknowledged commands; the n-th is determined by n. */
  done: number;
  /** A command was sent and its answer never came (its connection broke). */
  unknown: boolean;
}

/** Wrong replies that are kept in words. */
const WRONG_MAX = 20;

/** `gap(from, to)` needs the time of every reply. Milliseconds of performance.now(). */
export class Timeline {
  readonly #times: number[] = [];

  add(ms: number): void {
    this.#times.push(ms);
  }

  /** The longest time between two replies of any connection within [from, to], the edges' neighbours included. */
  longestGap(from: number, to: number): number {
    let first = this.#times.findIndex((time) => time >= from);
    if (first < 0) return to - from;
    let longest = 0;
    for (let before = this.#times[first - 1] ?? from; first < this.#times.length; first++) {
      const time = this.#times[first]!;
      longest = Math.max(longest, time - before);
      if (time > to) break;
      before = time;
    }
    return longest;
  }
}

export class Writers {
  readonly tally: Tally = { acknowledged: 0, resets: 0, wrong: [], wrongs: 0 };
  readonly timeline = new Timeline();
  readonly #writers: Writer[] = [];
  readonly #pauseMs: number;
  readonly #firstId: number;
  #stopping = false;
  #closing = false;
  #loops: Promise<void>[] = [];

  /** `pauseMs` between a reply and the next command of the same connection; `firstId`: whose keys are the first one's. */
  constructor(pauseMs: number, firstId = 0) {
    this.#pauseMs = pauseMs;
    this.#firstId = firstId;
  }

  async start(port: number, connections: number): Promise<void> {
    for (let id = this.#firstId; id < this.#firstId + connections; id++) {
      const redis = connectOnce(port);
      const writer: Writer = { id, redis, done: 0, unknown: false };
      redis.on('error', () => {});
      await redis.connect();
      redis.on('close', () => {
        if (!this.#closing) this.tally.resets += 1;
      });
      this.#writers.push(writer);
    }
    this.#loops = this.#writers.map((writer) => this.#write(writer));
  }

  /** Lets the commands that are on their way be answered. */
  async finish(): Promise<void> {
    this.#stopping = true;
    await Promise.all(this.#loops);
    this.#closing = true;
    for (const { redis } of this.#writers) redis.disconnect();
  }

  /** Reads everything back over a new connection; returns how many acknowledged writes are not there. */
  async verify(port: number): Promise<number> {
    const redis = connectOnce(port);
    redis.on('error', () => {});
    await redis.connect();
    let lost = 0;
    for (const { id, done, unknown } of this.#writers) {
      // Commands go round the four kinds; see #command.
      const counts = [0, 1, 2, 3].map((kind) => Math.floor((done + 3 - kind) / 4));
      const keys = Array.from({ length: counts[0]! }, (_, i) => `demo:${id}:${i * 4}`);
      for (let from = 0; from < keys.length; from += 500) {
        const part = keys.slice(from, from + 500);
        const values = await redis.mget(part);
        values.forEach((value, i) => {
          if (value !== part[i]) lost += this.#wrong(`${part[i]} is ${value}`);
        });
      }
      const counter = Number(await redis.get(`demo:${id}:counter`)) || 0;
      const list = await redis.lrange(`demo:${id}:list`, 0, -1);
      const text = (await redis.get(`demo:${id}:text`)) ?? '';
      // A command without an answer may have happened or not.
      const spare = (kind: number) => (unknown && done % 4 === kind ? 1 : 0);
      const within = (name: string, got: number, kind: number) => {
        const least = counts[kind]!;
        if (got < least) lost += least - got + this.#wrong(`${name} of ${id}: ${got}, acknowledged ${least}`) - 1;
        else if (got > least + spare(kind))
          this.#wrong(`${name} of ${id}: ${got} happened, ${least} asked for: doubled`);
      };
      within('counter', counter, 1);
      within('list', list.length, 2);
      within('text', text.length / 4, 3);
      list.forEach((item, i) => {
        if (item !== `item ${i}`) lost += this.#wrong(`list ${id}[${i}] is ${item}`);
      });
      if (text !== Array.from({ length: text.length / 4 }, (_, i) => fourDigits(i)).join('')) {
        lost += this.#wrong(`text of ${id} is in disorder`);
      }
    }
    redis.disconnect();
    return lost;
  }

  async #write(writer: Writer): Promise<void> {
    while (!this.#stopping) {
      try {
        const [reply, expected] = await this.#command(writer);
        if (reply !== expected) this.#wrong(`command ${writer.done} of ${writer.id}: ${reply}, not ${expected}`);
      } catch (error) {
        writer.unknown = true;
        if (writer.redis.status === 'ready') this.#wrong(`command ${writer.done} of ${writer.id}: ${error}`);
        return;
      }
      writer.done += 1;
      this.tally.acknowledged += 1;
      this.timeline.add(performance.now());
      if (this.#pauseMs > 0) await sleep(this.#pauseMs);
    }
  }

  /** The next command's reply, and what it must be if every earlier one happened exactly once. */
  async #command({ id, done, redis }: Writer): Promise<[reply: string | number | null, expected: string | number]> {
    const round = Math.floor(done / 4);
    switch (done % 4) {
      case 0:
        return [await redis.set(`demo:${id}:${done}`, `demo:${id}:${done}`), 'OK'];
      case 1:
        return [await redis.incr(`demo:${id}:counter`), round + 1];
      case 2:
        return [await redis.rpush(`demo:${id}:list`, `item ${round}`), round + 1];
      default:
        return [await redis.append(`demo:${id}:text`, fourDigits(round)), (round + 1) * 4];
    }
  }

  /** Returns 1, for adding up. */
  #wrong(text: string): number {
    this.tally.wrongs += 1;
    if (this.tally.wrong.length < WRONG_MAX) this.tally.wrong.push(text);
    return 1;
  }
}

function fourDigits(value: number): string {
  return String(value % 10_000).padStart(4, '0');
}

/** A client that never connects a second time and never gives a command up. */
export function connectOnce(port: number): Redis {
  return new Redis({
    port,
    host: '127.0.0.1',
    lazyConnect: true,
    retryStrategy: () => null,
    reconnectOnError: () => false,
    maxRetriesPerRequest: null,
    enableReadyCheck: false,
    autoResendUnfulfilledCommands: false,
    connectTimeout: 60_000,
  });
}
