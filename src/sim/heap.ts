/** Events by time; of those at the same time, the one pushed first. */
export interface Scheduled {
  readonly atUs: number;
  readonly sequence: number;
  readonly action: () => void;
}

export class EventHeap {
  readonly #heap: Scheduled[] = [];
  #sequence = 0;

  push(atUs: number, action: () => void): void {
    const heap = this.#heap;
    const item = { atUs, sequence: this.#sequence++, action };
    let i = heap.length;
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (!before(item, heap[parent]!)) break;
      heap[i] = heap[parent]!;
      i = parent;
    }
    heap[i] = item;
  }

  pop(): Scheduled | null {
    const heap = this.#heap;
    const top = heap[0];
    if (top === undefined) return null;
    const item = heap.pop()!;
    if (heap.length === 0) return top;
    let i = 0;
    for (;;) {
      let child = 2 * i + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child++;
      if (!before(heap[child]!, item)) break;
      heap[i] = heap[child]!;
      i = child;
    }
    heap[i] = item;
    return top;
  }
}

function before(a: Scheduled, b: Scheduled): boolean {
  return a.atUs < b.atUs || (a.atUs === b.atUs && a.sequence < b.sequence);
}
