/**
 * The cost of an epoch without a guest: two processes on this machine over loopback TCP, an epoch of 30 pages and 8 parts,
 * from its capture until its output may leave. `node bench/commit.ts [--epochs N] [--bytes N]`; the last line is JSON.
 * `--bytes`: changed in each page (8).
 */

import { fork } from 'node:child_process';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { parseArgs } from 'node:util';
import type { Capturable } from '../src/checkpoint/capture.ts';
import { Ledger } from '../src/checkpoint/ledger.ts';
import { AddressSpace } from '../src/lvm/address-space.ts';
import type { Lvm } from '../src/lvm/api.ts';
import { assert } from '../src/lvm/assert.ts';
import { PAGE_SIZE, PROT_READ, PROT_WRITE, USER_START } from '../src/lvm/layout.ts';
import { EmbeddedRegister, RegisterCell } from '../src/register/register.ts';
import { Driver, type Service } from '../src/replication/driver.ts';
import { Member } from '../src/replication/member.ts';
import { decodeMessage, encodeMessage } from '../src/replication/messages.ts';
import { OutputCommit } from '../src/replication/output-commit.ts';
import { Connection } from '../src/transport/connection.ts';
import { FRAME_MESSAGE } from '../src/transport/frame.ts';

const { values } = parseArgs({
  options: {
    epochs: { type: 'string', default: '3000' },
    bytes: { type: 'string', default: '8' },
    backup: { type: 'string' },
  },
});
const EPOCHS = Number(values.epochs);
const PAGES = 300;
const cluster = new Uint8Array(16).fill(1);

function fakeService(released: () => void): Service & { work(epoch: number): void } {
  const space = new AddressSpace(1);
  space.map(USER_START, PAGES * PAGE_SIZE, PROT_READ | PROT_WRITE);
  const ledger = new Ledger();
  const parts = Array.from({ length: 8 }, (_, i) => ({
    key: `tcp/${i}`,
    save: () => ({
      id: i,
      state: 'established',
      sndUna: 123456,
      rcvNxt: 654321,
      window: 65535,
      send: new Uint8Array(100),
    }),
  }));
  for (const part of parts) ledger.add(part);
  const cpu = { unload: () => {}, takeTranslated: () => [] };
  const machine: Capturable = { spaces: new Map([[1, space]]), ledger, instructions: 0, cpu };
  const sink = { packet: released, console: () => {}, exit: () => {} };
  const output = new OutputCommit({} as Lvm, sink);
  const changed = new Uint8Array(Number(values.bytes));
  return {
    machine,
    output,
    host: () => new Uint8Array(32),
    takeBlobs: () => [],
    allBlobs: () => [],
    work(epoch) {
      changed.fill(epoch);
      for (let i = 0; i < 30; i++) space.write(USER_START + ((epoch * 37 + i * 13) % PAGES) * PAGE_SIZE + 40, changed);
      for (const part of parts) ledger.touch(part);
      output.send(new Uint8Array([1]));
    },
  };
}

/** A driver with one peer and a register here (the backup's says what the primary's first view is). */
function start(self: string, peer: string, socket: Socket, service: Service | null): Driver {
  const envelope = { cluster, generation: 1, sender: self };
  const now = (): number => performance.now();
  const register = new EmbeddedRegister(new RegisterCell({ generation: 1, view: 1, primary: 'a.1', members: ['a.1'] }));
  const driver: Driver = new Driver(new Member({ self, generation: 1, bootstrap: service !== null, slowMs: 20_000 }), {
    send: (_, message) => {
      connection.send(FRAME_MESSAGE, encodeMessage(envelope, message));
    },
    register: (request) => register.request(request),
    boot: () => {
      assert(service !== null, 'only the primary boots');
      return service;
    },
    promote: () => process.exit(0),
    demoted: () => {},
    view: () => {},
    alarm: (code, text) => console.error(code, text),
    halt: (code, reason) => {
      console.error(code, reason);
      process.exit(1);
    },
  });
  register.onAnswer = (answer) => driver.step({ kind: 'register', ...answer }, now());
  const connection = new Connection(socket, {
    frame: ({ body }) => {
      const { from, message } = decodeMessage(envelope, body);
      driver.step({ kind: 'message', from, message }, now());
    },
    heard: () => driver.step({ kind: 'heard', peer }, now()),
    close: () => process.exit(0),
  });
  driver.step({ kind: 'start' }, now());
  driver.step({ kind: 'up', peer }, now());
  setInterval(() => driver.step({ kind: 'tick' }, now()), 50);
  return driver;
}

function percentiles(list: number[]): { p50: number; p99: number } {
  list.sort((a, b) => a - b);
  const at = (q: number): number => Math.round(list[Math.floor(list.length * q)]! * 1000);
  return { p50: at(0.5), p99: at(0.99) };
}

function lead(socket: Socket): void {
  let startedMs = 0;
  const pauses: number[] = [];
  const commits: number[] = [];
  let bytes = 0;
  const service = fakeService(() => {
    commits.push(performance.now() - startedMs);
    setImmediate(turn);
  });
  const driver = start('a.1', 'b.1', socket, service);
  const turn = (): void => {
    if (commits.length >= EPOCHS + 500) {
      const warm = (list: number[]): number[] => list.slice(-EPOCHS);
      const result = {
        epochs: EPOCHS,
        bytes,
        pauseUs: percentiles(warm(pauses)),
        commitUs: percentiles(warm(commits)),
      };
      console.log(JSON.stringify(result));
      process.exit(0);
    }
    if (!driver.service || (driver.member.view?.members.length ?? 0) < 2) {
      if (driver.epochDue(true, false)) driver.capture(performance.now());
      setTimeout(turn, 5);
      return;
    }
    service.work(commits.length);
    startedMs = performance.now();
    bytes = driver.capture(startedMs).bytes;
    pauses.push(performance.now() - startedMs);
  };
  setTimeout(turn, 5);
}

if (values.backup !== undefined) {
  const socket = connect(Number(values.backup), '127.0.0.1', () => start('b.1', 'a.1', socket, null));
} else {
  const server = createServer((socket) => lead(socket)).listen(0, '127.0.0.1', () => {
    fork(import.meta.filename, ['--backup', String((server.address() as AddressInfo).port)]);
  });
}
