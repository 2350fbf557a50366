/**
 * How `status`, `failover` and `stop` reach a running service: a UNIX socket in its run folder, one request and one answer
 * a connection, each a line of JSON.
 */

import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { isCodedError } from '../cli/errors.ts';
import type { ServiceStatus } from '../cli/supervisor.ts';
import { CodedFailure, type Told } from './coded-failure.ts';

export interface Controlled {
  status(): Promise<ServiceStatus>;
  failover(): Promise<ServiceStatus>;
  /** Resolves when the service has ended. */
  stop(): Promise<void>;
}

export type Command = keyof Controlled;
const COMMANDS: readonly Command[] = ['status', 'failover', 'stop'];

type Answer = { readonly result: ServiceStatus | null } | { readonly error: Told };

const LINE_MAX = 1 << 20;

/** Serves the service's commands until it is closed; requests under way are answered first. */
export class ControlServer {
  readonly #server: Server;
  readonly #answering = new Set<Promise<void>>();

  constructor(service: Controlled) {
    this.#server = createServer((socket) => {
      // Of an asker that went away before its answer; serve() notices where it still asks.
      socket.on('error', () => {});
      const answering = serve(socket, service).catch(() => {
        // The asker has gone.
      });
      this.#answering.add(answering);
      answering.finally(() => this.#answering.delete(answering)).catch(() => {});
    });
  }

  async listen(path: string): Promise<void> {
    this.#server.listen(path);
    await once(this.#server, 'listening');
  }

  async close(): Promise<void> {
    this.#server.close();
    await Promise.all(this.#answering);
  }
}

async function serve(socket: Socket, service: Controlled): Promise<void> {
  const command = (await line(socket)) as Command;
  let answer: Answer;
  try {
    if (!COMMANDS.includes(command)) throw new CodedFailure({ code: 'TG_USAGE', message: 'no such command' });
    answer = { result: (await service[command]()) ?? null };
  } catch (error) {
    answer = { error: toldOf(error) };
  }
  socket.end(`${JSON.stringify(answer)}\n`);
}

function toldOf(error: unknown): Told {
  if (!isCodedError(error)) return { code: 'TG_INTERNAL', message: String(error) };
  const { code, message, advice, exitStatus } = error;
  return { code, message, advice, exitStatus };
}

/** Asks a service. Null: nobody listens there. Throws CodedFailure. */
export async function ask(path: string, command: Command, timeoutMs: number): Promise<ServiceStatus | null> {
  const socket = connect(path);
  socket.setTimeout(timeoutMs, () => socket.destroy(new Error('it does not answer')));
  socket.write(`${JSON.stringify(command)}\n`);
  let answer: Answer;
  try {
    answer = (await line(socket)) as Answer;
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'ECONNREFUSED' || code === 'ENOENT') return null;
    throw new CodedFailure({ code: 'TG_NO_ANSWER', message: `the service at ${path} cannot be asked: ${message}` });
  } finally {
    socket.destroy();
  }
  if ('error' in answer) throw new CodedFailure(answer.error);
  return answer.result;
}

async function line(socket: Socket): Promise<unknown> {
  let text = '';
  for await (const chunk of socket.setEncoding('utf8').iterator({ destroyOnReturn: false })) {
    text += chunk;
    const end = text.indexOf('\n');
    if (end >= 0) return JSON.parse(text.slice(0, end));
    if (text.length > LINE_MAX) break;
  }
  throw new Error('the connection ended');
}
