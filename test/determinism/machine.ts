/**
 * A whole machine, recorded and replayed: `node machine.ts record LOG PROGRAM ARGS…` runs a server with a real clock, real
 * entropy and a client on a real socket, writes what came in to LOG and prints hashes of the machine's state;
 * `node [--liftoff-only | --no-liftoff] machine.ts replay LOG PROGRAM ARGS…` prints those of the same run from the log.
 * FILES: lines as of `--file`.
 */

import { readFileSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { crc32 } from 'node:zlib';
import { stateHash } from '../../src/checkpoint/hash.ts';
import { Gateway } from '../../src/gateway/gateway.ts';
import { publish } from '../../src/gateway/publish.ts';
import { boot } from '../../src/linux/boot.ts';
import type { BlobId, Lvm } from '../../src/lvm/api.ts';
import { HostClock } from '../../src/lvm/host-clock.ts';
import { openImage } from '../../src/lvm/node-image.ts';
import { NodeLvm } from '../../src/lvm/node-lvm.ts';
import { LOG_HEADER, LogWriter, readLog } from '../../src/record/log.ts';
import { Recorder } from '../../src/record/recorder.ts';
import { Replayer } from '../../src/record/replayer.ts';
import type { Machine } from '../../src/replica/machine.ts';
import { TranslatingCpu } from '../../src/x86/cpu.ts';

const PORT = 6379;
const BUDGET = 300_000;
/** Runs from one hash to the next. */
const RUNS = 8;

const image = openImage('/', (process.env.FILES ?? '').split('\n').filter(Boolean));
const [what, log, program, ...args] = process.argv.slice(2);
if (what === 'record') await record();
else replay();
process.exit(0);

function start(lvm: Lvm): Machine {
  const deps = { lvm, makeCpu: (environment: { readTsc(): bigint }) => new TranslatingCpu(environment) };
  return boot(deps, { program: program!, args, env: { PATH: '/usr/bin:/bin' }, cwd: '/', memoryLimit: 2 ** 30 });
}

function print(machine: Machine): void {
  for (const space of machine.spaces.values()) machine.cpu.unload(space);
  const parts = new Map(machine.ledger.all().map(({ key, bytes }) => [key, bytes!]));
  console.log(`${machine.instructions} ${stateHash(machine.spaces, parts).toString(16)}`);
}

async function record(): Promise<void> {
  const gateway = new Gateway();
  const below = new NodeLvm({
    image,
    clock: new HostClock(),
    output: { send: (packet) => gateway.packetFromGuest(packet), console: () => {}, exit: () => {} },
  });
  gateway.onPacketToGuest = (packet) => below.packet(packet);
  const published = await publish(gateway, [{ host: '127.0.0.1', port: 0, guestPort: PORT }]);
  const writer = new LogWriter();
  const recorder = new Recorder(below, writer);
  const machine = start(recorder);
  let answered = false;
  ask(published.ports[0]!.port, () => {
    answered = true;
  });
  for (let runs = 1; !answered; runs++) {
    const result = recorder.run(machine, BUDGET);
    if (runs % RUNS === 0) print(machine);
    await new Promise((resolve) => setTimeout(resolve, result.kind === 'wait' ? 1 : 0));
  }
  print(machine);
  writeFileSync(log!, Buffer.concat([LOG_HEADER, writer.takeBlock(crc32)!]));
}

/** Calls `done` when the server has answered everything; asks again while it does not listen. */
function ask(port: number, done: () => void): void {
  const client = connect(port, '127.0.0.1').setEncoding('latin1');
  for (let i = 0; i < 400; i++) client.write(`SET key:${i % 37} ${'v'.repeat(i % 300)}\r\nINCR n\r\nLPUSH l ${i}\r\n`);
  client.write('PING\r\n');
  client.on('data', (text) => {
    if (String(text).includes('PONG')) done();
  });
  client.on('error', () => setTimeout(() => ask(port, done), 20));
}

function replay(): void {
  const { entries } = readLog(readFileSync(log!), crc32);
  const paths = new Map<BlobId, string>();
  for (const { call } of entries) {
    if (call.kind === 'lookup' && call.entry?.blob !== undefined) paths.set(call.entry.blob, call.path);
  }
  const replayer = new Replayer({
    read(blob, offset, length) {
      if (offset === 0) image.lookup(paths.get(blob)!, true);
      return image.read(blob, offset, length);
    },
  });
  // What the guest asks for before it runs is there from the beginning; then the log comes by so many runs.
  const ends = entries.flatMap(({ call }, i) => (call.kind === 'ran' ? [i + 1] : []));
  const firstRun = entries.findIndex(({ call }) => call.kind === 'run');
  replayer.append(entries.slice(0, firstRun));
  const machine = start(replayer);
  let at = firstRun;
  for (let i = RUNS - 1; at < entries.length; i += RUNS) {
    const end = ends[Math.min(i, ends.length - 1)]!;
    replayer.append(entries.slice(at, end));
    at = end;
    replayer.replay(machine);
    print(machine);
  }
}
