/**
 * Is a history of concurrent operations on one object linearizable: is there an order of them, consistent with real time,
 * in which a sequential object gives the same answers?
 *
 * Wing and Gong's search with Lowe's memoization ("Testing for linearizability", 2017), as in Porcupine: operations are
 * tried in the order of their calls; a set of linearized operations together with the object's state is tried once. An
 * operation whose answer never came may have happened at any time after its call, or never.
 */

export interface Operation<Input, Output> {
  readonly client: number;
  readonly input: Input;
  /** Any clock that all clients share; `returned` is null when no answer came. */
  readonly called: number;
  readonly returned: number | null;
  readonly output?: Output;
}

export interface Model<State, Input, Output> {
  readonly initial: State;
  /** The state after the operation, or null if it cannot give `output` here. Undefined output: any. */
  step(state: State, input: Input, output: Output | undefined): State | null;
  /** Equal for equal states only. */
  key(state: State): string;
  /** Can no later state give this answer either? Cuts the search short; saying no is always right. */
  tooLate(state: State, input: Input, output: Output): boolean;
}

export type Verdict =
  | { readonly linearizable: true }
  /** How many operations could be ordered at best, and the ones of which one had to be next. */
  | { readonly linearizable: false; readonly ordered: number; readonly stuckAt: string };

/** What is linearized so far, and what is left to try from there. */
interface Frame<State> {
  readonly state: State;
  readonly candidates: readonly number[];
  /** Into `candidates`: the next to try. */
  next: number;
  /** The operation that led here. */
  readonly by: number;
}

export function checkLinearizable<State, Input, Output>(
  history: readonly Operation<Input, Output>[],
  model: Model<State, Input, Output>,
): Verdict {
  const byCall = [...history].sort((a, b) => a.called - b.called);
  const known = byCall.filter((operation) => operation.returned !== null);
  const unknown = byCall.filter((operation) => operation.returned === null);
  // Ids: the known ones in the order of their calls, then the others.
  const operations = [...known, ...unknown];
  const inputKeys = unknown.map((operation) => JSON.stringify(operation.input));
  const done = new Linearized(known.length);
  const seen = new Set<string>();
  let best = -1;
  let stuckAt = '';

  const stack: Frame<State>[] = [{ state: model.initial, candidates: candidates(), next: 0, by: -1 }];
  while (done.known < known.length) {
    const frame = stack.at(-1);
    if (frame === undefined) return { linearizable: false, ordered: best, stuckAt };
    if (frame.next === frame.candidates.length) {
      if (done.known > best) {
        best = done.known;
        stuckAt = frame.candidates.map((id) => JSON.stringify(operations[id])).join(' or ');
      }
      stack.pop();
      if (frame.by >= 0) done.delete(frame.by);
      continue;
    }
    const id = frame.candidates[frame.next++]!;
    const { input, output, returned } = operations[id]!;
    const state = model.step(frame.state, input, returned === null ? undefined : output);
    if (state === null) continue;
    done.add(id);
    const next = candidates();
    const hopeless = next.some((other) => other < known.length && isTooLate(state, operations[other]!));
    if (hopeless) {
      done.delete(id);
      continue;
    }
    const key = `${done.key()}|${model.key(state)}`;
    if (seen.has(key)) {
      done.delete(id);
      continue;
    }
    seen.add(key);
    stack.push({ state, candidates: next, next: 0, by: id });
  }
  return { linearizable: true };

  function isTooLate(state: State, { input, output }: Operation<Input, Output>): boolean {
    return output !== undefined && model.tooLate(state, input, output);
  }

  /** Those called before every operation that is left has returned. Unanswered ones last: mostly they are not needed. */
  function candidates(): number[] {
    const found: number[] = [];
    let firstReturn = Number.POSITIVE_INFINITY;
    for (let id = done.below; id < known.length && known[id]!.called <= firstReturn; id++) {
      if (done.has(id)) continue;
      found.push(id);
      firstReturn = Math.min(firstReturn, known[id]!.returned!);
    }
    const inputs = new Set<string>();
    unknown.forEach(({ called }, i) => {
      // Of equal ones the first called is as good as any.
      if (called > firstReturn || done.has(known.length + i) || inputs.has(inputKeys[i]!)) return;
      inputs.add(inputKeys[i]!);
      found.push(known.length + i);
    });
    return found.filter((id) => operations[id]!.called <= firstReturn);
  }
}

/** The set of linearized operations with a short exact key: nearly all of them are the first so many. */
class Linearized {
  readonly #knownCount: number;
  readonly #members = new Set<number>();
  /** Known operations below this index are all linearized, and not in #members. */
  below = 0;
  known = 0;

  constructor(knownCount: number) {
    this.#knownCount = knownCount;
  }

  has(id: number): boolean {
    return id < this.below || this.#members.has(id);
  }

  add(id: number): void {
    this.#members.add(id);
    if (id < this.#knownCount) this.known += 1;
    while (this.below < this.#knownCount && this.#members.delete(this.below)) this.below += 1;
  }

  delete(id: number): void {
    while (this.below > id) {
      this.below -= 1;
      this.#members.add(this.below);
    }
    this.#members.delete(id);
    if (id < this.#knownCount) this.known -= 1;
  }

  key(): string {
    return `${this.below}:${[...this.#members].sort((a, b) => a - b).join(',')}`;
  }
}

/** INCR (output: the new value) and GET (output: the value, 0 when absent). */
export type CounterInput = 'increment' | 'read';
export const counter: Model<number, CounterInput, number> = {
  initial: 0,
  step(value, input, output) {
    const next = input === 'increment' ? value + 1 : value;
    return output === undefined || output === next ? next : null;
  },
  key: String,
  tooLate: (value, input, output) => output < (input === 'increment' ? value + 1 : value),
};

/** APPEND of a token (output: the new length) and GET (output: the whole text). */
export type TextInput = { readonly append: string } | 'read';
export const text: Model<string, TextInput, number | string> = {
  initial: '',
  step(value, input, output) {
    if (input === 'read') return output === undefined || output === value ? value : null;
    const next = value + input.append;
    return output === undefined || output === next.length ? next : null;
  },
  key: (value) => value,
  tooLate: (value, _input, output) =>
    typeof output === 'number' ? output <= value.length : output.length < value.length,
};
