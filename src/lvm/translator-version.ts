/** Which translator this is: translated code of one is of no use to another. */

import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { basename, dirname, extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const OWN = fileURLToPath(import.meta.url);
const SOURCE = dirname(dirname(OWN));

/**
 * Changes with every source that decides what translated code looks like. It is computed from them (2 ms), so it cannot
 * be forgotten.
 */
export function translatorVersion(source = SOURCE): Buffer {
  const sum = createHash('sha256');
  const add = (path: string): void => {
    const text = readFileSync(path);
    sum.update(`${basename(path)} ${text.length} `).update(text);
  };
  try {
    for (const folder of ['x86', 'wasm']) {
      for (const name of readdirSync(join(source, folder)).sort()) {
        if (/(?<!\.test)\.[jt]s$/.test(name)) add(join(source, folder, name));
      }
    }
    add(join(source, 'lvm', `layout${extname(OWN)}`));
  } catch {
    // Not beside its sources: everything is in one file.
    add(OWN);
  }
  return sum.digest();
}
