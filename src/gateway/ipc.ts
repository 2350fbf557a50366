/** The gateway's process and its parent: the options, and what they say to each other over Node's IPC. */

import {
  array,
  finite,
  type InferOutput,
  integer,
  maxLength,
  maxValue,
  minLength,
  minValue,
  number,
  object,
  optional,
  parse,
  pipe,
  regex,
  string,
} from 'valibot';
import type { Publish } from '../cli/values.ts';
import type { GatewayStats } from './gateway.ts';
import type { Served } from './replica-port.ts';

const count = (min: number, max: number) => pipe(number(), integer(), finite(), minValue(min), maxValue(max));

const GATEWAY_PROCESS_OPTIONS = object({
  /** 32 hexadecimal digits. */
  cluster: pipe(string(), regex(/^[0-9a-f]{32}$/)),
  generation: count(0, 2 ** 32 - 1),
  /** Where primaries connect; at most 107 bytes (unix(7)). */
  path: pipe(string(), minLength(1), maxLength(107)),
  /** Port 0: any that is free. */
  publish: pipe(array(object({ host: string(), port: count(0, 65535), guestPort: count(1, 65535) })), maxLength(256)),
  maxConnections: optional(count(1, 65536)),
});

/** One JSON object, the first argument of main.ts. */
export type GatewayProcessOptions = InferOutput<typeof GATEWAY_PROCESS_OPTIONS>;

/** Throws what JSON.parse or valibot throws. */
export function parseGatewayOptions(json: string): GatewayProcessOptions {
  return parse(GATEWAY_PROCESS_OPTIONS, JSON.parse(json));
}

export interface GatewayProcessStats extends GatewayStats {
  /** The view served, or the last that was; 0 before the first. */
  readonly view: number;
}

export type FromGateway =
  /** Once: clients and primaries can connect. */
  | { readonly kind: 'listening'; readonly publish: readonly Publish[] }
  /** Once, instead: why not. The process ends with `exitStatus`. */
  | {
      readonly kind: 'failed';
      /** TG_PORT_IN_USE, TG_PORT_REFUSED, TG_GATEWAY_PATH, TG_GATEWAY_OPTIONS. */
      readonly code: string;
      readonly message: string;
      readonly advice: string;
      readonly exitStatus: number;
    }
  /** Another primary is served; null: the one that was served is gone. */
  | { readonly kind: 'served'; readonly served: Served | null }
  | { readonly kind: 'stats'; readonly stats: GatewayProcessStats };

export type ToGateway = { readonly kind: 'stats' };
