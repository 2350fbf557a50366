/** What happens to a service, for the operator: words on stderr, or with --json an object a line. */

import { constants } from 'node:os';
import type { Writable } from 'node:stream';

export type ServiceEvent =
  | { readonly event: 'started'; readonly id: string; readonly publish: readonly string[] }
  | { readonly event: 'serving'; readonly member: string; readonly pid: number; readonly view: number }
  | { readonly event: 'protected'; readonly members: readonly string[]; readonly view: number }
  | { readonly event: 'alone'; readonly member: string; readonly view: number }
  | { readonly event: 'lost'; readonly member: string; readonly pid: number; readonly reason: string }
  | { readonly event: 'gateway-lost'; readonly pid: number; readonly reason: string }
  | { readonly event: 'alarm'; readonly member: string; readonly code: string; readonly text: string }
  /** It goes on from what an earlier run left. */
  | { readonly event: 'restarted'; readonly folder: string; readonly generation: number }
  /** It ends, its program does not: the next run goes on. */
  | { readonly event: 'kept'; readonly folder: string }
  | { readonly event: 'ended'; readonly code: number | null; readonly signal: number | null };

export type Tell = (event: ServiceEvent) => void;

export function teller(json: boolean, to: Writable): Tell {
  if (json) return (event) => to.write(`${JSON.stringify({ time: new Date().toISOString(), ...event })}\n`);
  return (event) => {
    const words = inWords(event);
    if (words !== null) to.write(`tardigrade: ${words}\n`);
  };
}

function signalName(signo: number): string {
  return Object.entries(constants.signals).find(([, number]) => number === signo)?.[0] ?? `signal ${signo}`;
}

function inWords(event: ServiceEvent): string | null {
  switch (event.event) {
    case 'started':
      return `${event.id} runs${event.publish.length === 0 ? '' : `, clients connect to ${event.publish.join(' ')}`}`;
    case 'serving':
      return `view ${event.view}: process ${event.pid} (${event.member}) serves`;
    case 'protected':
      return `view ${event.view}: protected by ${event.members.join(', ')}`;
    case 'alone':
      return `view ${event.view}: ${event.member} is alone; a failure now ends the service`;
    case 'lost':
      return `process ${event.pid} (${event.member}) is gone: ${event.reason}`;
    case 'gateway-lost':
      return `the gateway (process ${event.pid}) is gone: ${event.reason}; its clients' connections broke`;
    case 'alarm':
      return `${event.code}: ${event.member}: ${event.text}`;
    case 'restarted':
      return `generation ${event.generation}: goes on from the state in ${event.folder}`;
    case 'kept':
      return `stopped; the state is kept in ${event.folder}`;
    default:
      // Otherwise the exit status says it.
      return event.signal === null ? null : `the program was ended by ${signalName(event.signal)}`;
  }
}
