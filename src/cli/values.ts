/** The values of options, from text to what they mean. Each throws TG_BAD_OPTION with what would be right. */

import { TRACE_KINDS, type TraceKind } from '../trace/kinds.ts';
import { OperatorError } from './errors.ts';

export { TRACE_KINDS };

/** One published port: clients connect to host:port, the guest listens on guestPort. */
export interface Publish {
  /** The address to listen on; no name is looked up but "localhost". */
  readonly host: string;
  readonly port: number;
  readonly guestPort: number;
}

/** Only this machine's clients, unless a HOST is given. */
export const DEFAULT_PUBLISH_HOST = '127.0.0.1';

/** `[HOST:]PORT[:GUESTPORT]`; an IPv6 HOST stands in brackets. */
export function parsePublish(text: string): Publish {
  const match = /^(?:(\[[0-9a-fA-F:.]+\]|[^[\]:]*[^0-9:[\]][^[\]:]*|\d+\.\d+\.\d+\.\d+):)?(\d+)(?::(\d+))?$/.exec(text);
  if (match === null) throw bad('publish', text, 'give [HOST:]PORT[:GUESTPORT], for example 6379 or 0.0.0.0:7000:6379');
  const host = match[1]?.replace(/^\[|\]$/g, '') ?? DEFAULT_PUBLISH_HOST;
  const port = portOf(match[2]!, text);
  return { host, port, guestPort: match[3] === undefined ? port : portOf(match[3], text) };
}

function portOf(digits: string, text: string): number {
  const port = Number(digits);
  if (port < 1 || port > 65535) throw bad('publish', text, `${digits} is not a port; ports are 1 to 65535`);
  return port;
}

const MIB = 2 ** 20;
const UNITS: Readonly<Record<string, number>> = { k: 2 ** 10, m: MIB, g: 2 ** 30 };
export const MEMORY_MIN = 16 * MIB;
/** A guest process has a 4 GiB address space, less what the engine keeps at its top (lvm/layout.ts). */
export const MEMORY_MAX = 4080 * MIB;

/** Bytes: a number with K, M or G (also KiB, MB, …; powers of 1024 all), or bytes alone. */
export function parseMemory(text: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*([kmg])?(?:i?b)?$/i.exec(text.trim());
  if (match === null) throw bad('memory', text, 'give a size, for example 512M or 2G');
  const bytes = Math.floor(Number(match[1]) * (UNITS[match[2]?.toLowerCase() ?? ''] ?? 1));
  if (bytes < MEMORY_MIN || bytes > MEMORY_MAX) throw bad('memory', text, 'give 16M to 4080M');
  return bytes;
}

export interface Trace {
  readonly kinds: readonly TraceKind[];
  /** As given; null: standard error. */
  readonly file: string | null;
}

/** `KINDS[:FILE]`, KINDS separated by commas. */
export function parseTrace(text: string): Trace {
  const colon = text.indexOf(':');
  const words = (colon < 0 ? text : text.slice(0, colon)).split(',');
  const unknown = words.find((word) => !TRACE_KINDS.some((kind) => kind === word));
  if (unknown !== undefined) {
    throw bad('trace', text, `"${unknown}" is no kind of trace; there are ${TRACE_KINDS.join(', ')}`);
  }
  const file = colon < 0 ? null : text.slice(colon + 1);
  if (file === '') throw bad('trace', text, 'give a file behind the colon, or leave the colon out');
  return { kinds: [...new Set(words as TraceKind[])], file };
}

/** A whole number within [min, max]. */
export function parseInteger(option: string, text: string, min: number, max: number): number {
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (!(value >= min && value <= max)) throw bad(option, text, `give a whole number from ${min} to ${max}`);
  return value;
}

/** `K=V`, or `K` for the value it has here (nothing if it has none), as podman does. */
export function parseEnv(
  text: string,
  host: Readonly<Record<string, string | undefined>>,
): [name: string, value: string] | null {
  const equals = text.indexOf('=');
  const name = equals < 0 ? text : text.slice(0, equals);
  if (name === '' || name.includes('\0')) throw bad('env', text, 'give NAME=VALUE');
  if (equals >= 0) return [name, text.slice(equals + 1)];
  const value = host[name];
  return value === undefined ? null : [name, value];
}

export function bad(option: string, text: string, advice: string): OperatorError {
  return new OperatorError('TG_BAD_OPTION', `--${option} ${text}: ${advice}`);
}
