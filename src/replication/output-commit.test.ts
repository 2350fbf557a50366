import { describe, expect, test } from 'vitest';
import type { Lvm } from '../lvm/api.ts';
import { OutputCommit, type OutputSink } from './output-commit.ts';

const below = {} as Lvm;

function sink(): OutputSink & { readonly out: string[] } {
  const out: string[] = [];
  return {
    out,
    packet: (bytes) => out.push(`packet ${bytes.join()}`),
    console: (stream, offset, bytes) => out.push(`console ${stream} @${offset} ${bytes.join()}`),
    exit: ({ code, signal }) => out.push(`exit ${code} ${signal}`),
  };
}

const b = (...bytes: number[]): Uint8Array => new Uint8Array(bytes);

describe('output commit', () => {
  test('lets output out in order, epoch by epoch, when it is released', () => {
    const to = sink();
    const lvm = new OutputCommit(below, to);
    lvm.send(b(1));
    lvm.console(1, b(2, 3));
    expect(lvm.waiting).toBe(true);
    lvm.seal(1);
    expect(lvm.waiting).toBe(false);
    lvm.send(b(4));
    lvm.seal(2);
    lvm.console(1, b(5));
    lvm.exit({ code: 7, signal: null });
    lvm.seal(3);
    expect(to.out).toEqual([]);
    expect(lvm.release(1)).toBe(2);
    expect(to.out).toEqual(['packet 1', 'console 1 @0 2,3']);
    lvm.send(b(9));
    expect(lvm.release(3)).toBe(3);
    expect(to.out.slice(2)).toEqual(['packet 4', 'console 1 @2 5', 'exit 7 null']);
    expect(lvm.heldCount).toBe(1);
    lvm.discard();
    lvm.seal(4);
    expect(lvm.release(4)).toBe(0);
    expect(lvm.heldBytes).toBe(0);
  });

  test('console output that was not released is in the state, packets are not', () => {
    const lvm = new OutputCommit(below, sink());
    lvm.console(2, b(1, 2, 3));
    lvm.seal(1);
    lvm.release(1);
    lvm.console(2, b(4));
    lvm.send(b(5));
    lvm.seal(2);
    lvm.exit({ code: null, signal: 9 });
    lvm.seal(3);
    const state = lvm.save();
    const to = sink();
    const promoted = new OutputCommit(below, to, state);
    expect(promoted.waiting).toBe(true);
    promoted.console(2, b(6));
    promoted.seal(4);
    promoted.release(4);
    expect(to.out).toEqual(['console 2 @3 4', 'exit null 9', 'console 2 @4 6']);
  });

  test('too much held output throttles the guest', () => {
    const lvm = new OutputCommit(below, sink(), null, { bytes: 1000, packets: 5 });
    lvm.send(new Uint8Array(900));
    expect(lvm.throttled).toBe(false);
    lvm.send(new Uint8Array(100));
    expect(lvm.throttled).toBe(true);
    lvm.seal(1);
    expect(lvm.throttled).toBe(true);
    lvm.release(1);
    expect(lvm.throttled).toBe(false);
    for (let i = 0; i < 5; i++) lvm.send(b(i));
    expect(lvm.throttled).toBe(true);
  });
});
