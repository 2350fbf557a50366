/** `tardigrade version`. */

import { readFileSync } from 'node:fs';
import { print, printJson } from './output.ts';

export function packageVersion(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}

export function version(options: { json?: boolean }): void {
  const tardigrade = packageVersion();
  if (options.json) printJson({ tardigrade, node: process.versions.node, v8: process.versions.v8 });
  else print(`tardigrade ${tardigrade}`);
}
