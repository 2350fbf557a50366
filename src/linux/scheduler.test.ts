import { describe, expect, test } from 'vitest';
import type { Process } from './process.ts';
import { Scheduler } from './scheduler.ts';
import { Thread } from './thread.ts';
import { WaitQueue } from './wait-queue.ts';

const SLICE = 200_000;

function started(count: number): { scheduler: Scheduler; threads: Thread[]; processes: { stopped: boolean }[] } {
  const scheduler = new Scheduler();
  const processes = Array.from({ length: count }, () => ({ stopped: false, name: '' }));
  const threads = processes.map((process, i) => new Thread(process as unknown as Process, i + 1, scheduler));
  for (const thread of threads) scheduler.add(thread);
  return { scheduler, threads, processes };
}

/** The threads that get `turns` slices. */
function turns(scheduler: Scheduler, count: number): number[] {
  return Array.from({ length: count }, () => {
    const thread = scheduler.next()!;
    scheduler.ran(thread, scheduler.slice === Number.POSITIVE_INFINITY ? SLICE : scheduler.slice);
    return thread.tid;
  });
}

describe('the scheduler', () => {
  test('threads take turns of equal length; one alone is not limited', () => {
    const { scheduler, threads } = started(3);
    expect(turns(scheduler, 5)).toEqual([1, 2, 3, 1, 2]);
    expect(scheduler.slice).toBe(SLICE);
    scheduler.ran(threads[2]!, 50_000);
    expect(scheduler.next()).toBe(threads[2]);
    expect(scheduler.slice).toBe(SLICE - 50_000);
    scheduler.remove(threads[0]!);
    scheduler.remove(threads[1]!);
    expect(scheduler.slice).toBe(Number.POSITIVE_INFINITY);
  });

  test('sched_yield lets the others go first', () => {
    const { scheduler, threads } = started(2);
    scheduler.ran(threads[0]!, 10);
    scheduler.yield(threads[0]!);
    expect(scheduler.next()).toBe(threads[1]);
    expect(scheduler.slice).toBe(SLICE);
  });

  test('a thread sleeps until a queue wakes it, and is in no queue then', () => {
    const { scheduler, threads } = started(2);
    const queues = [new WaitQueue(), new WaitQueue()];
    scheduler.sleep(threads[0]!, { queues });
    expect(turns(scheduler, 2)).toEqual([2, 2]);
    queues[1]!.wake();
    expect(queues.map(({ size }) => size)).toEqual([0, 0]);
    expect(threads[0]!.timedOut).toBe(false);
    expect(turns(scheduler, 2)).toEqual([2, 1]);
  });

  test('deadlines wake in the order in which they are due, equal ones in that of going to sleep', () => {
    const { scheduler, threads } = started(4);
    const [a, b, c, d] = threads as [Thread, Thread, Thread, Thread];
    scheduler.sleep(b, { deadlineUs: 20 });
    scheduler.sleep(a, { deadlineUs: 20 });
    scheduler.sleep(c, { deadlineUs: 10 });
    scheduler.sleep(d, { deadlineUs: 99 });
    expect(scheduler.deadlineUs).toBe(10);
    expect(scheduler.next()).toBeNull();
    scheduler.expire(20);
    expect([a, b, c, d].map(({ timedOut }) => timedOut)).toEqual([true, true, true, false]);
    expect(turns(scheduler, 3)).toEqual([3, 2, 1]);
    expect(scheduler.deadlineUs).toBe(99);
  });

  test('threads of a stopped process keep their place and do not run', () => {
    const { scheduler, threads, processes } = started(2);
    processes[0]!.stopped = true;
    expect(scheduler.next()).toBe(threads[1]);
    processes[1]!.stopped = true;
    expect(scheduler.next()).toBeNull();
    processes[0]!.stopped = false;
    expect(scheduler.next()).toBe(threads[0]);
  });

  test('after a restore first those that ran, then the sleepers as they went to sleep', () => {
    const { scheduler, threads } = started(4);
    const [a, b, c, d] = threads as [Thread, Thread, Thread, Thread];
    scheduler.sleep(c, {});
    scheduler.sleep(a, { deadlineUs: 5 });
    scheduler.ran(b, 7);
    const saved = scheduler.save();
    const restored = new Scheduler();
    restored.restore(saved, [a, b, c, d]);
    expect(restored.save().queue).toEqual([2, 4, 3, 1]);
    expect(restored.next()).toBe(b);
    expect(restored.slice).toBe(SLICE - 7);
  });
});
