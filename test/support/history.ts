/**
 * Clients that increment, append and read shared keys of a redis, and write down every call and answer. Reconnection is
 * off; a client whose connection broke says so, and goes on over a new one (its last command: no answer).
 */

import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { connectOnce } from '../../examples/redis/writers.ts';
import {
  type CounterInput,
  checkLinearizable,
  counter,
  type Operation,
  type TextInput,
  text,
  type Verdict,
} from './linearizability.ts';
import { Random } from './random.ts';

export interface Break {
  readonly client: number;
  /** performance.now() */
  readonly at: number;
}

/** A key is started anew when it has this many operations, which keeps texts short and checks fast. */
const OPERATIONS_PER_KEY = 2000;
const KEYS = 3;

export class Histories {
  readonly breaks: Break[] = [];
  /** By key. */
  readonly #counters = new Map<string, Operation<CounterInput, number>[]>();
  readonly #texts = new Map<string, Operation<TextInput, number | string>[]>();
  readonly #port: number;
  readonly #random: Random;
  #stopping = false;
  #clients: Promise<void>[] = [];
  #tokens = 0;
  #rounds = new Map<string, number>();
  answered = 0;
  unanswered = 0;
  /** performance.now() of the last answer. */
  lastAnswer = performance.now();

  constructor(port: number, seed: number) {
    this.#port = port;
    this.#random = new Random(seed);
  }

  start(clients: number): void {
    this.#clients = Array.from({ length: clients }, (_, client) => this.#client(client));
  }

  async finish(): Promise<void> {
    this.#stopping = true;
    await Promise.all(this.#clients);
  }

  /** Reads every key once more, then judges each. Empty when all are linearizable. */
  async check(): Promise<string[]> {
    const redis = await this.#connect();
    for (const [key, operations] of this.#counters) {
      await this.#record(operations, -1, 'read' as const, async () => Number(await redis.get(key)));
    }
    for (const [key, operations] of this.#texts) {
      await this.#record(operations, -1, 'read' as const, async () => (await redis.get(key)) ?? '');
    }
    redis.disconnect();
    const bad: string[] = [];
    const judge = (key: string, verdict: Verdict, count: number) => {
      if (!verdict.linearizable)
        bad.push(`${key}: ${verdict.ordered} of ${count} in order, then none of ${verdict.stuckAt}`);
    };
    for (const [key, operations] of this.#counters)
      judge(key, checkLinearizable(operations, counter), operations.length);
    for (const [key, operations] of this.#texts) judge(key, checkLinearizable(operations, text), operations.length);
    return bad;
  }

  async #client(client: number): Promise<void> {
    let redis = await this.#connect();
    while (!this.#stopping) {
      const answered = await this.#operate(client, redis);
      if (!answered) {
        this.breaks.push({ client, at: performance.now() });
        redis.disconnect();
        redis = await this.#connect();
      }
      if (this.#random.below(4) === 0) await sleep(this.#random.below(3));
    }
    redis.disconnect();
  }

  /** One operation on one key; false if its connection broke. */
  #operate(client: number, redis: Redis): Promise<boolean> {
    const which = this.#random.below(KEYS);
    const read = this.#random.below(5) === 0;
    if (this.#random.below(2) === 0) {
      const [key, operations] = this.#current(this.#counters, `counter:${which}`);
      return read
        ? this.#record(operations, client, 'read' as const, async () => Number(await redis.get(key)))
        : this.#record(operations, client, 'increment' as const, () => redis.incr(key));
    }
    const [key, operations] = this.#current(this.#texts, `text:${which}`);
    const token = `${this.#tokens++},`;
    return read
      ? this.#record(operations, client, 'read' as const, async () => (await redis.get(key)) ?? '')
      : this.#record(operations, client, { append: token }, () => redis.append(key, token));
  }

  #current<T>(all: Map<string, T[]>, name: string): [key: string, operations: T[]] {
    let round = this.#rounds.get(name) ?? 0;
    if ((all.get(`${name}:${round}`)?.length ?? 0) >= OPERATIONS_PER_KEY) this.#rounds.set(name, ++round);
    const key = `${name}:${round}`;
    let operations = all.get(key);
    if (operations === undefined) all.set(key, (operations = []));
    return [key, operations];
  }

  async #record<Input, Output>(
    operations: Operation<Input, Output>[],
    client: number,
    input: Input,
    call: () => Promise<Output>,
  ): Promise<boolean> {
    // Its place is taken at the call, so that a history that ends early still has it.
    const called = performance.now();
    const at = operations.push({ client, input, called, returned: null }) - 1;
    try {
      const output = await call();
      this.lastAnswer = performance.now();
      operations[at] = { client, input, called, returned: this.lastAnswer, output };
      this.answered += 1;
      return true;
    } catch {
      this.unanswered += 1;
      return false;
    }
  }

  /** Tries for a while: a restarted gateway takes a moment to listen. */
  async #connect(): Promise<Redis> {
    const deadline = performance.now() + 30_000;
    for (;;) {
      const redis = connectOnce(this.#port);
      redis.on('error', () => {});
      try {
        await redis.connect();
        return redis;
      } catch (error) {
        redis.disconnect();
        if (performance.now() > deadline) throw error;
        await sleep(50);
      }
    }
  }
}
