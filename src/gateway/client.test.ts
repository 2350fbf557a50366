/** One client, by hand: what real sockets do too seldom to be tested with. */

import { Socket } from 'node:net';
import { expect, test } from 'vitest';
import type { Tcp } from '../tcpip/api.ts';
import { Client } from './client.ts';

test('what comes while a remainder waits goes behind it, also when the stack has room again', () => {
  let room = 0;
  let sent = '';
  const tcp = {
    id: 1,
    state: 'established',
    readable: 0,
    send: (bytes: Uint8Array): number => {
      const count = Math.min(room, bytes.length);
      room -= count;
      sent += Buffer.from(bytes.subarray(0, count)).toString();
      return count;
    },
  } as unknown as Tcp;
  const host = { stats: { bytesIn: 0, bytesOut: 0 }, schedule: () => {}, gone: () => {} };
  const memory = new Uint8Array(16);
  const client = new Client(host, new Socket(), tcp, memory);
  const receive = (text: string): void => {
    memory.set(Buffer.from(text));
    client.callback(text.length);
  };
  room = 2;
  receive('abcd');
  room = 5;
  receive('ef');
  client.update();
  receive('gh');
  room = 10;
  client.update();
  expect(sent).toBe('abcdefgh');
  expect(host.stats.bytesIn).toBe(8);
});
