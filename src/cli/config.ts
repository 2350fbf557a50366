/**
 * Where an option's value comes from: flag, then TARDIGRADE_… variable, then ./tardigrade.json, then the built-in default.
 * Keys equal flag names; one schema checks all of them.
 */

import * as v from 'valibot';
import { OperatorError } from './errors.ts';

const text = v.union([v.string(), v.pipe(v.number(), v.transform(String))]);
const list = v.union([
  v.array(text),
  v.pipe(
    text,
    v.transform((one) => [one]),
  ),
]);

/** Values as the operator wrote them; values.ts makes meaning of them. */
const schema = v.strictObject({
  replicas: v.optional(text),
  publish: v.optional(list),
  rootfs: v.optional(v.string()),
  file: v.optional(list),
  env: v.optional(list),
  epoch: v.optional(text),
  memory: v.optional(text),
  'data-dir': v.optional(v.string()),
  trace: v.optional(v.string()),
  profile: v.optional(v.string()),
  json: v.optional(v.boolean()),
});

export type Config = v.InferOutput<typeof schema>;
export type ConfigKey = keyof Config;
export const CONFIG_KEYS = Object.keys(schema.entries) as ConfigKey[];
const LISTS: readonly ConfigKey[] = ['publish', 'file', 'env'];

/** Commander's camelCase names back to the flags'. */
export function fromFlags(flags: Readonly<Record<string, unknown>>): Config {
  const entries = Object.entries(flags).map(([name, value]) => [
    name.replace(/[A-Z]/g, (c) => `-${c.toLowerCase()}`),
    value,
  ]);
  return check('the command line', Object.fromEntries(entries));
}

/** TARDIGRADE_REPLICAS, TARDIGRADE_DATA_DIR, …; lists are separated by commas. Other names are nobody's business here. */
export function fromEnvironment(env: Readonly<Record<string, string | undefined>>): Config {
  const found: Record<string, unknown> = {};
  for (const key of CONFIG_KEYS) {
    const value = env[`TARDIGRADE_${key.toUpperCase().replaceAll('-', '_')}`];
    if (value === undefined || value === '') continue;
    if (LISTS.includes(key)) found[key] = value.split(',');
    else if (key === 'json') found[key] = value !== '0' && value !== 'false';
    else found[key] = value;
  }
  return check('the environment', found);
}

/** `content` is null when there is no such file. */
export function fromFile(path: string, content: string | null): Config {
  if (content === null) return {};
  let value: unknown;
  try {
    value = JSON.parse(content);
  } catch (error) {
    throw new OperatorError('TG_BAD_CONFIG', `${path} is not JSON: ${(error as Error).message}`);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new OperatorError('TG_BAD_CONFIG', `${path} is not a JSON object`, `Known keys: ${CONFIG_KEYS.join(', ')}`);
  }
  return check(path, value);
}

/** The first that has a key gives its value. */
export function merge(...layers: readonly Config[]): Config {
  return Object.assign({}, ...[...layers].reverse()) as Config;
}

function check(where: string, value: unknown): Config {
  const result = v.safeParse(schema, value);
  if (result.success) return result.output;
  const issue = result.issues[0];
  const key = v.getDotPath(issue);
  const unknown = issue.type === 'strict_object' && key !== null && issue.expected === 'never';
  throw new OperatorError(
    'TG_BAD_CONFIG',
    unknown ? `${where}: unknown key "${key}"` : `${where}: ${key ?? 'value'}: ${issue.message}`,
    `Known keys: ${CONFIG_KEYS.join(', ')}`,
  );
}
