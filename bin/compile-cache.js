/**
 * What Node makes of our sources before it runs them (types stripped, code compiled) is kept for the next start, beside
 * the translated guest code (src/lvm/node-code-store.ts has the same rules): this more than halves the time that loading
 * takes. Nothing here is needed; without the folder a start is slower.
 */
import { mkdirSync, statSync } from 'node:fs';
// All of it: a Node that is too old refuses a name that it does not have before we can say so.
import * as module from 'node:module';
import { homedir } from 'node:os';
import { join } from 'node:path';

/** A service runs until it is killed: what was compiled is written before that. */
const FLUSH_MS = 2000;

export function keepCompiled() {
  // With NODE_COMPILE_CACHE Node has done it already.
  const { NODE_COMPILE_CACHE, NODE_DISABLE_COMPILE_CACHE } = process.env;
  if (NODE_COMPILE_CACHE || NODE_DISABLE_COMPILE_CACHE) return;
  const folder = cacheFolder();
  if (folder === null) return;
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const { uid, mode } = statSync(folder);
    // Who can write it can make us execute anything.
    if (process.geteuid !== undefined && (uid !== process.geteuid() || (mode & 0o022) !== 0)) return;
    module.enableCompileCache(folder);
    setTimeout(module.flushCompileCache, FLUSH_MS).unref();
  } catch {
    // A read-only home, say.
  }
}

function cacheFolder() {
  const { TARDIGRADE_CACHE: own, XDG_CACHE_HOME: xdg } = process.env;
  if (own === 'off') return null;
  if (own) return join(own, 'node');
  if (xdg?.startsWith('/')) return join(xdg, 'tardigrade', 'node');
  return homedir() === '' ? null : join(homedir(), '.cache', 'tardigrade', 'node');
}
