import { describe, expect, test } from 'vitest';
import { RegisterCell } from '../register/register.ts';
import { Member } from './member.ts';
import type { Effect, Event, MemberId, MemberOptions } from './types.ts';

/** Replicas on a perfect network, whose effects are carried out at once, in order. */
class Cluster {
  readonly cell = new RegisterCell({ generation: 1, view: 1, primary: 'a.1', members: ['a.1'] });
  readonly members = new Map<MemberId, Member>();
  /** What happened at each replica, but messages and the register. */
  readonly log: string[] = [];
  readonly #queue: (() => void)[] = [];
  readonly silent = new Set<MemberId>();
  /** Epochs sent, resent ones too. */
  epochsSent = 0;
  registerDown = false;
  /** The next chunk for the journal is its root's last. */
  rootDone = true;
  nowMs = 1000;

  add(self: MemberId, options: Partial<MemberOptions> = {}): Member {
    const member = new Member({ self, generation: 1, ...options });
    const others = [...this.members.keys()];
    this.members.set(self, member);
    this.event(self, { kind: 'start' });
    for (const other of others) {
      this.event(self, { kind: 'up', peer: other });
      this.event(other, { kind: 'up', peer: self });
    }
    return member;
  }

  event(id: MemberId, event: Event): void {
    const member = this.members.get(id);
    if (!member || this.silent.has(id)) return;
    for (const effect of member.step(event, this.nowMs)) this.#carryOut(id, effect);
  }

  settle(): void {
    for (let next = this.#queue.shift(); next; next = this.#queue.shift()) next();
  }

  /** What is on its way arrives; what that causes is on its way then. */
  hop(): void {
    for (let n = this.#queue.length; n > 0; n--) this.#queue.shift()!();
  }

  tick(ms: number): void {
    for (let at = 0; at < ms; at += 50) {
      this.nowMs += 50;
      for (const id of this.members.keys()) this.event(id, { kind: 'tick' });
      this.settle();
    }
  }

  /** The primary ends an epoch. */
  capture(id: MemberId, text = ''): number {
    const member = this.members.get(id)!;
    const epoch = member.nextEpoch;
    const chunks = member.chunksWanted.map((learner) => ({ learner, bytes: encode('chunk'), done: true }));
    const root = member.rootWanted ? { bytes: encode('root'), done: this.rootDone } : null;
    this.event(id, { kind: 'captured', epoch, delta: member.deltaNeeded ? encode(text) : null, chunks, root });
    return epoch;
  }

  kill(id: MemberId): void {
    this.members.delete(id);
    for (const other of this.members.keys()) this.event(other, { kind: 'down', peer: id, dead: true });
  }

  #carryOut(id: MemberId, effect: Effect): void {
    const later = (action: () => void): unknown => this.#queue.push(action);
    switch (effect.kind) {
      case 'send':
        if (effect.message.kind === 'epoch') this.epochsSent++;
        later(() => this.event(effect.to, { kind: 'message', from: id, message: effect.message }));
        break;
      case 'cas':
      case 'read':
        if (!this.registerDown) later(() => this.event(id, { kind: 'register', ...this.cell.handle(effect) }));
        break;
      case 'view':
        break;
      case 'apply':
        this.log.push(`${id} applies ${effect.epoch} ${new TextDecoder().decode(effect.bytes)}`);
        break;
      default: {
        const detail = 'epoch' in effect ? ` ${effect.epoch}` : 'learner' in effect ? ` ${effect.learner}` : '';
        this.log.push(`${id} ${effect.kind}${detail}${'code' in effect ? ` ${effect.code}` : ''}`);
      }
    }
  }

  takeLog(): string[] {
    return this.log.splice(0);
  }
}

const encode = (text: string): Uint8Array => new TextEncoder().encode(text);

/** A primary and one backup in step. */
function pair(options: Partial<MemberOptions> = {}): Cluster {
  const cluster = new Cluster();
  cluster.add('a.1', { bootstrap: true, ...options });
  cluster.settle();
  cluster.add('b.1', options);
  cluster.settle();
  cluster.tick(100);
  cluster.capture('a.1');
  cluster.settle();
  cluster.tick(100);
  expect(cluster.cell.value).toEqual({ generation: 1, view: 2, primary: 'a.1', members: ['a.1', 'b.1'] });
  cluster.takeLog();
  return cluster;
}

describe('a member', () => {
  test('alone releases at once and needs no deltas', () => {
    const cluster = new Cluster();
    const a = cluster.add('a.1', { bootstrap: true });
    cluster.settle();
    expect(cluster.takeLog()).toEqual(['a.1 boot']);
    expect([a.role, a.deltaNeeded, a.epochWanted, a.nextEpoch]).toEqual(['primary', false, false, 1]);
    cluster.capture('a.1');
    expect(cluster.takeLog()).toEqual(['a.1 release 1']);
  });

  test('a learner is taught while the service runs, and joins', () => {
    const cluster = new Cluster();
    const a = cluster.add('a.1', { bootstrap: true });
    cluster.settle();
    cluster.capture('a.1');
    const b = cluster.add('b.1');
    cluster.settle();
    cluster.tick(100);
    expect([a.deltaNeeded, a.epochWanted, a.chunksWanted]).toEqual([false, true, ['b.1']]);
    cluster.takeLog();
    cluster.capture('a.1', 'two');
    cluster.settle();
    expect(cluster.takeLog()).toEqual(['a.1 release 2', 'b.1 reset', 'b.1 applies 2 chunk', 'a.1 transfer-end b.1']);
    expect([b.role, cluster.cell.value.members]).toEqual(['backup', ['a.1', 'b.1']]);
  });

  test('what is on its way to a learner is not sent again and again', () => {
    const cluster = new Cluster();
    cluster.add('a.1', { bootstrap: true });
    cluster.settle();
    const b = cluster.add('b.1');
    cluster.settle();
    cluster.tick(100);
    cluster.capture('a.1');
    // For a second the learner hears only that the primary lives, and asks.
    for (let at = 0; at < 1000; at += 50) {
      cluster.nowMs += 50;
      cluster.event('a.1', { kind: 'tick' });
      const status = { kind: 'status', view: 1, complete: false, held: [] } as const;
      cluster.event('a.1', { kind: 'message', from: 'b.1', message: status });
    }
    expect(cluster.epochsSent).toBe(1);
    // It may be lost after all.
    cluster.nowMs += 2000;
    const status = { kind: 'status', view: 1, complete: false, held: [] } as const;
    cluster.event('a.1', { kind: 'message', from: 'b.1', message: status });
    expect(cluster.epochsSent).toBe(2);
    cluster.settle();
    cluster.tick(200);
    expect(b.role).toBe('backup');
  });

  test('a learner joins a primary that never pauses: output waits for it', () => {
    const cluster = new Cluster();
    const a = cluster.add('a.1', { bootstrap: true });
    cluster.settle();
    cluster.add('b.1');
    for (let i = 0; i < 3; i++) cluster.hop();
    for (let i = 0; i < 20 && cluster.cell.value.members.length === 1; i++) {
      cluster.nowMs += 10;
      cluster.event('a.1', { kind: 'tick' });
      // An acknowledgement is always of an epoch before the last.
      cluster.capture('a.1');
      cluster.hop();
    }
    expect(cluster.cell.value.members).toEqual(['a.1', 'b.1']);
    cluster.capture('a.1');
    cluster.settle();
    expect(a.committed).toBe(a.lastEpoch);
  });

  test('a learner that is proposed and then falls silent is put out again', () => {
    const cluster = new Cluster();
    const a = cluster.add('a.1', { bootstrap: true });
    cluster.settle();
    cluster.add('b.1');
    cluster.settle();
    cluster.tick(100);
    cluster.registerDown = true;
    cluster.capture('a.1');
    cluster.settle();
    cluster.silent.add('b.1');
    cluster.capture('a.1');
    expect([a.lastEpoch, a.committed]).toEqual([2, 1]);
    // The register is down: it is proposed, so it counts as a member until that is known (rule 3).
    cluster.registerDown = false;
    cluster.tick(3000);
    expect(cluster.cell.value.members).toEqual(['a.1']);
    expect(a.committed).toBe(a.lastEpoch);
  });

  test('output waits for the backup, and the backup applies what is known to be safe', () => {
    const cluster = pair();
    cluster.silent.add('b.1');
    cluster.capture('a.1', 'x');
    cluster.settle();
    expect(cluster.takeLog()).toEqual([]);
    cluster.silent.delete('b.1');
    cluster.tick(200);
    expect(cluster.takeLog()).toEqual(['a.1 release 2', 'b.1 applies 2 x']);
  });

  test('a killed primary is replaced by its backup, which applies what it holds', () => {
    const cluster = pair();
    cluster.capture('a.1', 'x');
    cluster.settle();
    cluster.takeLog();
    cluster.kill('a.1');
    cluster.settle();
    expect(cluster.takeLog()).toEqual(['b.1 applies 2 x', 'b.1 promote 2', 'b.1 release 2']);
    expect(cluster.cell.value).toMatchObject({ view: 3, primary: 'b.1', members: ['b.1'] });
    expect(cluster.capture('b.1')).toBe(3);
  });

  test('a killed backup is put out of the view at once', () => {
    const cluster = pair();
    cluster.capture('a.1', 'x');
    cluster.kill('b.1');
    cluster.settle();
    expect(cluster.takeLog()).toEqual(['a.1 release 2']);
    expect(cluster.cell.value).toMatchObject({ view: 3, members: ['a.1'] });
  });

  test('a hung primary is replaced after the time-out; when it wakes it halts and has released nothing', () => {
    const cluster = pair();
    cluster.capture('a.1', 'x');
    cluster.settle();
    cluster.takeLog();
    cluster.silent.add('a.1');
    cluster.tick(400);
    expect(cluster.cell.value.primary).toBe('a.1');
    cluster.tick(300);
    expect(cluster.cell.value).toMatchObject({ view: 3, primary: 'b.1' });
    cluster.silent.delete('a.1');
    cluster.takeLog();
    cluster.capture('a.1', 'y');
    cluster.settle();
    cluster.tick(200);
    expect(cluster.takeLog()).toEqual(['a.1 halt TG_REPLACED']);
  });

  test('while the register is down service goes on, without changes of the view', () => {
    const cluster = pair();
    cluster.registerDown = true;
    cluster.capture('a.1', 'x');
    cluster.settle();
    expect(cluster.takeLog()).toContain('a.1 release 2');
    cluster.kill('b.1');
    cluster.capture('a.1', 'y');
    cluster.tick(3000);
    expect(cluster.takeLog()).toEqual([]);
    cluster.registerDown = false;
    cluster.tick(2000);
    expect(cluster.takeLog()).toEqual(['a.1 release 3']);
  });

  test('takes over at once although it has just read the register', () => {
    const cluster = new Cluster();
    cluster.add('a.1', { bootstrap: true });
    cluster.settle();
    cluster.add('b.1');
    cluster.settle();
    // Within the time for which b.1's first read is remembered.
    cluster.nowMs += 10;
    cluster.capture('a.1');
    cluster.settle();
    expect(cluster.cell.value.members).toEqual(['a.1', 'b.1']);
    cluster.event('a.1', { kind: 'failover' });
    cluster.capture('a.1');
    cluster.settle();
    expect(cluster.cell.value.primary).toBe('b.1');
    cluster.tick(150);
    expect(cluster.takeLog().some((line) => line.startsWith('b.1 promote'))).toBe(true);
  });

  test('an orderly hand-over loses nothing and keeps both replicas', () => {
    const cluster = pair();
    cluster.event('a.1', { kind: 'failover' });
    expect(cluster.members.get('a.1')!.epochWanted).toBe(true);
    cluster.capture('a.1', 'last');
    cluster.settle();
    expect(cluster.takeLog()).toEqual([
      'a.1 pause',
      'a.1 release 2',
      'a.1 demote 2',
      'b.1 applies 2 last',
      'b.1 promote 2',
      'b.1 release 2',
    ]);
    expect(cluster.cell.value).toMatchObject({ view: 3, primary: 'b.1', members: ['a.1', 'b.1'] });
    cluster.tick(100);
    cluster.takeLog();
    cluster.capture('b.1', 'next');
    cluster.settle();
    expect(cluster.takeLog()).toContain('b.1 release 3');
    cluster.kill('b.1');
    cluster.settle();
    expect(cluster.takeLog()).toEqual(['a.1 applies 3 next', 'a.1 promote 3', 'a.1 release 3']);
  });

  test('a hand-over without a backup is refused', () => {
    const cluster = new Cluster();
    cluster.add('a.1', { bootstrap: true });
    cluster.settle();
    cluster.event('a.1', { kind: 'failover' });
    expect(cluster.takeLog()).toContain('a.1 alarm TG_NO_BACKUP');
  });

  test('with minMembers 2 nothing is released alone', () => {
    const cluster = pair({ minMembers: 2 });
    cluster.kill('b.1');
    cluster.settle();
    cluster.capture('a.1', 'x');
    cluster.tick(1000);
    expect(cluster.takeLog()).toEqual(['a.1 alarm TG_STALLED']);
    cluster.add('b.2', { minMembers: 2 });
    cluster.settle();
    cluster.tick(100);
    cluster.capture('a.1', 'y');
    cluster.settle();
    cluster.tick(100);
    expect(cluster.takeLog()).toContain('a.1 release 3');
    expect(cluster.cell.value.members).toEqual(['a.1', 'b.2']);
  });

  test('a backup that diverged is put out and stops', () => {
    const cluster = pair();
    cluster.event('b.1', { kind: 'diverged', epoch: 1, reason: 'hash' });
    cluster.settle();
    expect(cluster.takeLog()).toEqual(['b.1 halt TG_DIVERGED', 'a.1 alarm TG_DIVERGED']);
    expect(cluster.cell.value.members).toEqual(['a.1']);
  });

  test('too much on its way throttles', () => {
    const cluster = pair({ maxInFlight: 3 });
    cluster.silent.add('b.1');
    for (let i = 0; i < 3; i++) cluster.capture('a.1', 'x');
    expect(cluster.members.get('a.1')!.throttled).toBe(true);
    cluster.silent.delete('b.1');
    cluster.tick(200);
    expect(cluster.members.get('a.1')!.throttled).toBe(false);
  });

  test('what a backup holds counts in a new view only as far as it is known to be its history', () => {
    const b = new Member({ self: 'b.1', generation: 1 });
    let nowMs = 0;
    const sent = (event: Event): string[] => {
      const out: string[] = [];
      for (const effect of b.step(event, (nowMs += 60))) {
        if (effect.kind === 'send') {
          const { message } = effect;
          const held = message.kind === 'status' ? message.held.map(({ epoch, origin }) => `${epoch}/${origin}`) : [];
          out.push([message.kind, ...('epoch' in message ? [message.epoch] : held)].join(' '));
        } else if (effect.kind === 'apply') out.push(`apply ${effect.epoch} ${new TextDecoder().decode(effect.bytes)}`);
      }
      return out;
    };
    const epoch = (view: number, number: number, previous: number, origin: number, text: string): Event => ({
      kind: 'message',
      from: view === 1 ? 'a.1' : 'c.1',
      message: {
        kind: 'epoch',
        view,
        previous: { epoch: number - 1, origin: previous },
        position: { epoch: number, origin },
        commit: 0,
        start: number === 1,
        done: number === 1,
        hash: 0n,
        delta: encode(text),
        chunk: encode(number === 1 ? text : ''),
      },
    });
    const heartbeat = (view: number, last: number, origin: number, commit: number): Event => ({
      kind: 'message',
      from: view === 1 ? 'a.1' : 'c.1',
      message: { kind: 'heartbeat', view, last: { epoch: last, origin }, commit, members: ['a.1', 'b.1', 'c.1'] },
    });
    for (const peer of ['a.1', 'c.1']) sent({ kind: 'up', peer });
    expect(sent(epoch(1, 1, 0, 1, 'one'))).toEqual(['apply 1 one', 'ack 1']);
    expect(sent(epoch(1, 2, 1, 1, 'two'))).toEqual(['ack 2']);
    expect(sent(epoch(1, 3, 1, 1, 'three'))).toEqual(['ack 3']);
    // c.1 leads view 2 and has only epoch 1 of view 1.
    expect(sent(heartbeat(2, 1, 1, 1))).toEqual(['ack 1']);
    expect(sent(heartbeat(2, 2, 2, 1))).toEqual(['status 1/1 2/1 3/1']);
    expect(sent(epoch(1, 4, 1, 1, 'late'))).toEqual(['stale']);
    expect(sent(epoch(2, 3, 2, 2, 'III'))).toEqual(['status 1/1 2/1 3/1']);
    expect(sent(epoch(2, 2, 1, 2, 'II'))).toEqual(['ack 2']);
    expect(sent(epoch(2, 3, 2, 2, 'III'))).toEqual(['ack 3']);
    expect(sent(heartbeat(2, 3, 2, 3))).toEqual(['apply 2 II', 'apply 3 III', 'ack 3']);
  });

  test('with a journal, alone too, output waits until it is durable', () => {
    const cluster = new Cluster();
    const a = cluster.add('a.1', { bootstrap: true, journal: true, maxInFlight: 4, maxChunks: 2 });
    cluster.settle();
    const durable = (written: number, until: number): void =>
      cluster.event('a.1', { kind: 'journalled', written, durable: until });
    expect([a.rootWanted, a.epochWanted, a.deltaNeeded, a.durable]).toEqual([true, true, false, null]);
    cluster.rootDone = false;
    cluster.capture('a.1');
    cluster.capture('a.1');
    // Two chunks are on their way to the file: no third before one is there.
    expect([a.rootWanted, a.epochWanted, a.deltaNeeded]).toEqual([false, false, true]);
    durable(1, -1);
    cluster.rootDone = true;
    expect(a.epochWanted).toBe(true);
    cluster.capture('a.1');
    cluster.capture('a.1');
    expect(cluster.takeLog()).toEqual(['a.1 boot', 'a.1 journal', 'a.1 journal', 'a.1 journal', 'a.1 journal']);
    durable(3, 3);
    expect([cluster.takeLog(), a.committed, a.durable]).toEqual([['a.1 release 3'], 3, 3]);
    // An old word, and one about what was never captured, change nothing.
    durable(2, 2);
    durable(9, 9);
    expect([cluster.takeLog(), a.durable]).toEqual([[], 3]);
    for (let i = 0; i < 3; i++) cluster.capture('a.1');
    expect(a.throttled).toBe(true);
    durable(6, 4);
    expect(a.throttled).toBe(false);
  });

  test('an orderly hand-over with a journal waits for the root and for the disk', () => {
    const cluster = pair({ journal: true });
    cluster.rootDone = false;
    cluster.event('a.1', { kind: 'journal-grown' });
    const a = cluster.members.get('a.1')!;
    cluster.event('a.1', { kind: 'journalled', written: a.lastEpoch, durable: a.lastEpoch });
    cluster.event('a.1', { kind: 'failover' });
    const final = cluster.capture('a.1');
    cluster.settle();
    expect(cluster.takeLog()).toEqual([`a.1 release ${final - 1}`, 'a.1 journal', 'a.1 pause']);
    expect(a.epochWanted).toBe(false);
    cluster.event('a.1', { kind: 'journalled', written: final, durable: final });
    cluster.settle();
    expect(cluster.takeLog()).toEqual([
      `a.1 release ${final}`,
      `a.1 demote ${final}`,
      `b.1 applies ${final} `,
      `b.1 promote ${final}`,
    ]);
    // The new primary begins with a root of its own.
    const b = cluster.members.get('b.1')!;
    expect([b.rootWanted, b.durable]).toEqual([true, null]);
    cluster.event('b.1', { kind: 'failover' });
    cluster.capture('b.1');
    expect(cluster.takeLog()).toEqual(['b.1 journal']);
  });
});
