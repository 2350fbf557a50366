/** Two stacks against each other. */

import { expect, test } from 'vitest';
import { A, B, type LinkOptions, makeStack, Network, pattern, random } from './test-link.ts';

function transfer(seed: number, link: LinkOptions, size: number, mtu = 1500): number {
  const network = new Network(makeStack(A, seed, { mtu }), makeStack(B, seed + 1, { mtu }), seed, link);
  const [client, server] = network.connect();
  const ends = [
    { tcp: client, sent: 0, received: 0, ended: false },
    { tcp: server, sent: 0, received: 0, ended: false },
  ];
  const r = random(seed ^ 0x5eed);
  const start = network.nowUs;
  const done = network.run(() => {
    for (const end of ends) {
      while (end.sent < size && end.tcp.writable > 0) {
        const length = Math.min(size - end.sent, 1 + Math.floor(r() * 20000));
        const taken = end.tcp.send(pattern(end.sent, length));
        end.sent += taken;
        if (taken < length) break;
      }
      if (end.sent === size) end.tcp.shutdown();
      for (let bytes = end.tcp.recv(1 + Math.floor(r() * 30000)); bytes.length > 0; ) {
        const want = pattern(end.received, bytes.length);
        if (Buffer.compare(bytes, want) !== 0) throw new Error(`seed ${seed}: wrong bytes at ${end.received}`);
        end.received += bytes.length;
        bytes = end.tcp.recv(1 + Math.floor(r() * 30000));
      }
      end.ended = end.tcp.endOfStream;
    }
    return ends.every((end) => end.ended);
  });
  const what = ends.map((e) => `${e.tcp.state} sent ${e.sent} received ${e.received} error ${e.tcp.takeError()}`);
  expect(done, `seed ${seed} ${JSON.stringify(link)}: ${what.join('; ')}`).toBe(true);
  for (const end of ends) expect(end.received, `seed ${seed}`).toBe(size);
  return network.nowUs - start;
}

test('a clean link carries a stream both ways', () => {
  const us = transfer(1, { delayUs: 1000 }, 2_000_000);
  expect(us).toBeLessThan(500_000);
});

test('a large MTU', () => {
  transfer(2, { delayUs: 100 }, 5_000_000, 65535);
});

test('a bad link: loss, duplicates, corruption, reordering; many seeds', () => {
  for (let seed = 100; seed < 130; seed++) {
    transfer(seed, { loss: 0.03, duplicate: 0.01, corrupt: 0.005, reorder: 0.05, delayUs: 10_000 }, 150_000);
  }
});

test('a very bad link', () => {
  for (let seed = 200; seed < 210; seed++) {
    transfer(seed, { loss: 0.2, duplicate: 0.2, corrupt: 0.1, reorder: 0.3, delayUs: 5_000 }, 30_000);
  }
});

test('an acknowledgement is delayed as long as the stack was told', () => {
  for (const delayedAckUs of [undefined, 5000]) {
    const options = delayedAckUs === undefined ? {} : { delayedAckUs };
    const network = new Network(makeStack(A, 1), makeStack(B, 2, options), 1, { delayUs: 100 });
    const [client] = network.connect();
    network.run(() => false, 1_000_000);
    client.send(pattern(0, 10));
    const start = network.nowUs;
    expect(network.run(() => client.unacknowledged === 0)).toBe(true);
    expect(network.nowUs - start).toBe(200 + (delayedAckUs ?? 40_000));
  }
});

test('on the virtual wire a fresh connection carries a megabyte in two round trips', () => {
  const rttUs = 10_000;
  const network = new Network(makeStack(A, 1, { mtu: 65535 }), makeStack(B, 2, { mtu: 65535 }), 1, {
    delayUs: rttUs / 2,
  });
  const [client, server] = network.connect();
  const start = network.nowUs;
  server.send(pattern(0, 1_000_000));
  expect(network.run(() => client.readable === 1_000_000)).toBe(true);
  expect(network.nowUs - start).toBeLessThan(2 * rttUs);
});
