/**
 * Which service the operator means: the id given, or the only one that runs. Ids are those of `ps`; the process id of its
 * `tardigrade run` is one too.
 */

import { OperatorError } from './errors.ts';

/** What is needed of a running service to tell it from others. */
export interface Named {
  readonly id: string;
  /** Process id of `tardigrade run`. */
  readonly pid: number;
}

/** Throws TG_NO_SUCH_RUN or TG_AMBIGUOUS_RUN. */
export function choose<Service extends Named>(services: readonly Service[], wanted: string | undefined): Service {
  if (wanted !== undefined) {
    const matches = services.filter(({ id, pid }) => id === wanted || String(pid) === wanted);
    const found = matches.length > 0 ? matches : services.filter(({ id }) => id.startsWith(wanted));
    if (found.length === 1) return found[0]!;
    if (found.length === 0)
      throw new OperatorError('TG_NO_SUCH_RUN', `no service ${wanted} runs here`, listed(services));
    throw new OperatorError('TG_AMBIGUOUS_RUN', `${wanted} may be any of ${found.length} services`, listed(found));
  }
  const [only, ...others] = services;
  if (only === undefined) {
    throw new OperatorError(
      'TG_NO_SUCH_RUN',
      'no service runs here',
      'Start one: tardigrade run --publish PORT -- PROGRAM ARGS…',
    );
  }
  if (others.length > 0) {
    throw new OperatorError('TG_AMBIGUOUS_RUN', `${services.length} services run here; say which`, listed(services));
  }
  return only;
}

function listed(services: readonly Named[]): string {
  if (services.length === 0) return 'No service runs here; tardigrade ps lists them.';
  return `Running: ${services.map(({ id }) => id).join(', ')}`;
}
