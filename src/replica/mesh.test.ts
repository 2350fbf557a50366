import { mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import type { Message } from '../replication/types.ts';
import { Connection } from '../transport/connection.ts';
import { FRAME_HELLO, FRAME_MESSAGE } from '../transport/frame.ts';
import { Mesh } from './mesh.ts';

const folder = mkdtempSync(join(tmpdir(), 'tg-mesh-'));
afterAll(() => rmSync(folder, { recursive: true }));

const cluster = new Uint8Array(16).fill(7);
const look: Message = { kind: 'look', view: 3 };

class Node {
  readonly member: string;
  readonly path: string;
  readonly mesh: Mesh;
  readonly log: string[] = [];
  #changed: () => void = () => {};

  constructor(member: string) {
    this.member = member;
    this.path = join(folder, member);
    const say = (text: string): void => {
      this.log.push(text);
      this.#changed();
    };
    this.mesh = new Mesh(
      { cluster, generation: 1, sender: member },
      {
        up: (peer) => say(`up ${peer}`),
        down: (peer, dead) => say(`down ${peer}${dead ? ' dead' : ''}`),
        message: (from, { kind }) => say(`${kind} from ${from}`),
        heard: () => {},
      },
    );
  }

  async until(line: string): Promise<void> {
    while (!this.log.includes(line)) await new Promise<void>((resolve) => (this.#changed = resolve));
  }
}

async function pair(a: string, b: string): Promise<[Node, Node]> {
  const nodes: [Node, Node] = [new Node(a), new Node(b)];
  for (const node of nodes) await node.mesh.listen(node.path);
  return nodes;
}

/** Somebody who calls a node by hand; resolves with what happens to the connection. */
function call(node: Node, hello: unknown, type = FRAME_HELLO): Promise<string> {
  return new Promise((resolve) => {
    const connection = new Connection(connect(node.path), {
      frame: (frame) => resolve(`frame ${frame.type}`),
      close: () => resolve('closed'),
    });
    connection.send(type, [Buffer.from(JSON.stringify(hello))]);
  });
}

describe('a mesh', () => {
  test('connects two replicas once, whichever hears first of the other', async () => {
    const [a, b] = await pair('a.1', 'b.1');
    a.mesh.setPeers([b]);
    b.mesh.setPeers([a]);
    b.mesh.setPeers([a]);
    await Promise.all([a.until('up b.1'), b.until('up a.1')]);
    a.mesh.send('b.1', look);
    b.mesh.send('a.1', look);
    await Promise.all([a.until('look from b.1'), b.until('look from a.1')]);
    expect([a.log, b.log]).toEqual([
      ['up b.1', 'look from b.1'],
      ['up a.1', 'look from a.1'],
    ]);
  });

  test('waits for a replica that does not listen yet', async () => {
    const [late, early] = [new Node('c.1'), new Node('d.1')];
    await early.mesh.listen(early.path);
    early.mesh.setPeers([late]);
    await new Promise((resolve) => setTimeout(resolve, 50));
    await late.mesh.listen(late.path);
    await Promise.all([early.until('up c.1'), late.until('up d.1')]);
    early.mesh.send('nobody.1', look);
  });

  test('refuses who is of another service, who is itself, and who says nothing sensible', async () => {
    const node = new Node('e.1');
    await node.mesh.listen(node.path);
    const hello = { cluster: Buffer.from(cluster).toString('hex'), generation: 1, member: 'x.1' };
    expect(await call(node, { ...hello, cluster: 'ff' })).toBe('closed');
    expect(await call(node, { ...hello, generation: 2 })).toBe('closed');
    expect(await call(node, { ...hello, member: 'e.1' })).toBe('closed');
    expect(await call(node, { ...hello, member: '../x' })).toBe('closed');
    expect(await call(node, hello, FRAME_MESSAGE)).toBe('closed');
    expect(await call(node, null)).toBe('closed');
    expect(node.log).toEqual([]);
    expect(await call(node, hello)).toBe(`frame ${FRAME_HELLO}`);
    expect(node.log).toEqual(['up x.1']);
  });

  test('tells a peer that calls again from one that is gone', async () => {
    const node = new Node('g.1');
    await node.mesh.listen(node.path);
    const hello = { cluster: Buffer.from(cluster).toString('hex'), generation: 1, member: 'x.1' };
    const sockets = [connect(node.path), connect(node.path)];
    for (const socket of sockets) {
      const greeted = new Promise<void>((resolve) => {
        const connection = new Connection(socket, { frame: () => resolve(), close: () => {} });
        connection.send(FRAME_HELLO, [Buffer.from(JSON.stringify(hello))]);
      });
      await greeted;
    }
    expect(node.log).toEqual(['up x.1', 'down x.1', 'up x.1']);
    sockets[1]!.destroy();
    await node.until('down x.1 dead');
    expect(node.log.length).toBe(4);
  });
});
