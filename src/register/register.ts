/**
 * The view register: one compare-and-swap cell, the only thing that needs consensus (replication.md).
 *
 * `Register` is asynchronous by answer: a request is made, its answer comes later by `onAnswer` — or never. The embedded
 * cell answers at once; a client of a register in another process, or of etcd, later. Only the outcome of a
 * compare-and-swap decides anything; a read is a hint.
 */

import type { MemberId, View } from '../replication/types.ts';

export type RegisterRequest =
  | { readonly kind: 'read'; readonly id: number }
  | { readonly kind: 'cas'; readonly id: number; readonly expected: View; readonly next: View };

export interface RegisterAnswer {
  readonly id: number;
  /** 'ok': read, or swapped; 'conflict': not swapped; 'unknown': nobody knows. */
  readonly answer: 'ok' | 'conflict' | 'unknown';
  /** The value after the operation; null with 'unknown'. */
  readonly value: View | null;
}

export interface Register {
  request(request: RegisterRequest): void;
  /** Set by the user; called once for every request, not inside `request`. */
  onAnswer: (answer: RegisterAnswer) => void;
}

/** The cell itself, in memory: of the embedded register and of the simulator. */
export class RegisterCell {
  #value: View;

  constructor(first: View) {
    this.#value = checkView(first);
  }

  get value(): View {
    return this.#value;
  }

  /** Carries a request out. Swaps only when the generation and the view are `expected`'s and `next` is the next view. */
  handle(request: RegisterRequest): RegisterAnswer {
    if (request.kind === 'read') return { id: request.id, answer: 'ok', value: this.#value };
    const { expected, next } = request;
    const now = this.#value;
    const fits =
      now.generation === expected.generation &&
      now.view === expected.view &&
      next.generation === now.generation &&
      next.view === now.view + 1;
    if (!fits) return { id: request.id, answer: sameView(now, next) ? 'ok' : 'conflict', value: now };
    this.#value = checkView(next);
    return { id: request.id, answer: 'ok', value: this.#value };
  }
}

export function sameView(a: View, b: View): boolean {
  return (
    a.generation === b.generation &&
    a.view === b.view &&
    a.primary === b.primary &&
    a.members.length === b.members.length &&
    a.members.every((member, i) => member === b.members[i])
  );
}

const MEMBER_ID = /^[A-Za-z0-9._-]{1,64}$/;

export function isMemberId(value: unknown): value is MemberId {
  return typeof value === 'string' && MEMBER_ID.test(value);
}

export class RegisterError extends Error {
  readonly code = 'TG_REGISTER';
  override readonly name = 'RegisterError';
}

/** Checks a view that came from outside: the shape, the bounds, that the primary is a member. Throws RegisterError. */
export function checkView(value: unknown): View {
  const v = value as Partial<View> | null;
  if (
    typeof v !== 'object' ||
    v === null ||
    !Number.isSafeInteger(v.generation) ||
    !Number.isSafeInteger(v.view) ||
    v.view! < 1 ||
    !isMemberId(v.primary) ||
    !Array.isArray(v.members) ||
    v.members.length < 1 ||
    v.members.length > 64 ||
    !v.members.every(isMemberId) ||
    new Set(v.members).size !== v.members.length ||
    !v.members.includes(v.primary)
  ) {
    throw new RegisterError('the view register holds something that is not a view');
  }
  return { generation: v.generation!, view: v.view!, primary: v.primary, members: [...v.members].sort() };
}

/** A register in this process: the cell, answering in a later microtask. */
export class EmbeddedRegister implements Register {
  readonly #cell: RegisterCell;
  onAnswer: (answer: RegisterAnswer) => void = () => {};

  constructor(cell: RegisterCell) {
    this.#cell = cell;
  }

  request(request: RegisterRequest): void {
    const answer = this.#cell.handle(request);
    queueMicrotask(() => this.onAnswer(answer));
  }
}

/** A request that came from another process as JSON. Throws RegisterError. */
export function parseRequest(value: unknown): RegisterRequest {
  const r = value as Partial<Extract<RegisterRequest, { kind: 'cas' }>> | null;
  if (typeof r === 'object' && r !== null && Number.isSafeInteger(r.id)) {
    const { id, kind } = r as { id: number; kind: unknown };
    if (kind === 'read') return { kind, id };
    if (kind === 'cas') return { kind, id, expected: checkView(r.expected), next: checkView(r.next) };
  }
  throw new RegisterError('this is no request to the view register');
}

/** An answer that came from another process as JSON. Throws RegisterError. */
export function parseAnswer(value: unknown): RegisterAnswer {
  const a = value as Partial<RegisterAnswer> | null;
  if (typeof a === 'object' && a !== null && Number.isSafeInteger(a.id)) {
    const { id, answer } = a as { id: number; answer: unknown };
    if (answer === 'unknown') return { id, answer, value: null };
    if (answer === 'ok' || answer === 'conflict') return { id, answer, value: checkView(a.value) };
  }
  throw new RegisterError('this is no answer of the view register');
}
