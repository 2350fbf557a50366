/** Broken invariants: the replica stops rather than go on with wrong state. */

export class InvariantError extends Error {
  readonly code = 'TG_INVARIANT';
  override readonly name = 'InvariantError';
}

/** Throws InvariantError when `condition` is false; `what` names the invariant. On in production. */
export function assert(condition: boolean, what: string): asserts condition {
  if (!condition) throw new InvariantError(`broken invariant: ${what}`);
}
