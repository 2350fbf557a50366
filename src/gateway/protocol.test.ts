/** The link's bytes. */

import { expect, test } from 'vitest';
import { random } from '../tcpip/test-link.ts';
import {
  compareViews,
  decodeAnswer,
  decodeHello,
  encodeAnswer,
  encodeHello,
  GatewayProtocolError,
  VERDICTS,
  type Verdict,
} from './protocol.ts';
import { helloOf } from './test-harness.ts';

test('a hello comes back as it was', () => {
  for (const hello of [
    helloOf(0),
    helloOf(2 ** 53 - 1, { generation: 2 ** 32 - 1, member: 'x'.repeat(64) }),
    helloOf(7, { member: 'a' }),
  ]) {
    expect(decodeHello(encodeHello(hello))).toEqual(hello);
  }
});

test('an answer comes back as it was', () => {
  for (const verdict of Object.keys(VERDICTS) as Verdict[]) {
    const answer = { verdict, generation: 3, view: 2 ** 40 };
    expect(decodeAnswer(encodeAnswer(answer))).toEqual(answer);
  }
});

test('arbitrary and damaged bytes are refused with a code or mean what their bytes say', () => {
  const next = random(11);
  const valid = encodeHello(helloOf(5));
  for (let i = 0; i < 50_000; i++) {
    const bytes =
      i % 2 === 0 ? valid.slice() : Uint8Array.from({ length: Math.floor(next() * 120) }, () => next() * 256);
    if (bytes.length > 0 && i % 2 === 0) bytes[Math.floor(next() * bytes.length)] = next() * 256;
    for (const [decode, encode] of [
      [decodeHello, encodeHello],
      [decodeAnswer, encodeAnswer],
    ] as [(bytes: Uint8Array) => unknown, (value: unknown) => Uint8Array][]) {
      try {
        const value = decode(bytes);
        expect([...encode(value)]).toEqual([...bytes]);
      } catch (error) {
        expect(error).toBeInstanceOf(GatewayProtocolError);
        expect((error as GatewayProtocolError).code).toMatch(/^TG_GATEWAY_/);
      }
    }
  }
});

test('the generation counts more than the view', () => {
  const order = [helloOf(9), helloOf(10), helloOf(2, { generation: 2 }), helloOf(3, { generation: 2 })];
  expect([3, 1, 0, 2].map((i) => order[i]!).sort(compareViews)).toEqual(order);
});
