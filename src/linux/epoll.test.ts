/** epoll beside a plain model of its rules, in random sequences over pipes. */

import { expect, test } from 'vitest';
import { decodePart } from '../checkpoint/ledger.ts';
import { EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD, EPOLLET, EPOLLONESHOT, EpollFile } from './epoll.ts';
import { FakeImage, TestHost } from './fs/test-host.ts';
import { POLLIN } from './open-file.ts';
import { PipeFile } from './pipe.ts';
import { TimerFile } from './timerfd.ts';

function random(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

/** What the model knows of one watched pipe. */
interface Watch {
  flags: number;
  /** An event since the last report (edge), or the interest was set while there was data. */
  edge: boolean;
  disabled: boolean;
}

const PIPES = 5;

test.each([1, 2, 3, 4, 5, 6])('random interest and data, seed %i', (seed) => {
  const pick = random(seed * 7919);
  let host = TestHost.create(new FakeImage({}));
  const ids = Array.from({ length: PIPES }, () => PipeFile.pair(host, 0).map((end) => end.id) as [number, number]);
  const epollId = host.addFile((id) => new EpollFile(host, id, 0)).id;
  const held = new Array<number>(PIPES).fill(0);
  const watches = new Map<number, Watch>();
  for (let step = 0; step < 600; step++) {
    if (step % 97 === 96) host = host.restored(decodePart);
    const epoll = host.file(epollId) as EpollFile;
    const i = pick(PIPES);
    const [r, w] = ids[i]!.map((id) => host.file(id)) as [PipeFile, PipeFile];
    const watch = watches.get(i);
    const flags = [0, EPOLLET, EPOLLONESHOT, EPOLLET | EPOLLONESHOT][pick(4)]!;
    switch (pick(7)) {
      case 0:
        expect(epoll.control(EPOLL_CTL_ADD, i, r, POLLIN | flags, BigInt(i)) === 0).toBe(watch === undefined);
        if (watch === undefined) watches.set(i, { flags, edge: held[i]! > 0, disabled: false });
        break;
      case 1:
        expect(epoll.control(EPOLL_CTL_MOD, i, r, POLLIN | flags, BigInt(i)) === 0).toBe(watch !== undefined);
        if (watch !== undefined) watches.set(i, { flags, edge: watch.edge || held[i]! > 0, disabled: false });
        break;
      case 2:
        if (pick(3) > 0) break;
        expect(epoll.control(EPOLL_CTL_DEL, i, r, 0, 0n) === 0).toBe(watch !== undefined);
        watches.delete(i);
        break;
      case 3:
      case 4:
        w.write(new Uint8Array(1 + pick(3)));
        held[i] = r.pipe.length;
        if (watch !== undefined && !watch.disabled) watch.edge = true;
        break;
      case 5:
        r.read(1 + pick(8));
        held[i] = r.pipe.length;
        break;
      default: {
        const expected: number[] = [];
        for (const [fd, state] of watches) {
          const reports = !state.disabled && held[fd]! > 0 && ((state.flags & EPOLLET) === 0 || state.edge);
          // An edge that is looked at is used up, also when the data has been read since.
          state.edge = false;
          if (!reports) continue;
          expected.push(fd);
          if ((state.flags & EPOLLONESHOT) !== 0) state.disabled = true;
        }
        const got = epoll.collect(16).map(({ data }) => Number(data));
        expect(got.sort(), `seed ${seed}, step ${step}`).toEqual(expected.sort());
      }
    }
  }
});

test('a timer that is polled while events are collected is reported once', () => {
  const host = TestHost.create(new FakeImage({}));
  const timer = host.addFile((id) => new TimerFile(host, id, 0, 1));
  const epoll = host.addFile((id) => new EpollFile(host, id, 0));
  timer.set(1000, 0, false);
  epoll.control(EPOLL_CTL_ADD, 3, timer, POLLIN | EPOLLET, 3n);
  host.nowUs += 2000;
  // The kernel calls tick at the deadline; here epoll finds out by itself when it is asked again.
  timer.tick();
  expect(epoll.collect(4)).toHaveLength(1);
  expect(epoll.collect(4)).toHaveLength(0);
});
