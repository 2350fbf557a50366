/**
 * The kernel core beside the real Linux: each program of test/linux runs natively and in the machine, and prints the same.
 * What must differ stands under a heading of its own, which names an entry of docs/limits.md; it has to differ indeed.
 */

import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, test } from 'vitest';
import { Machine } from './support/machine.ts';

/** What docs/limits.md says of the differences, by the names in the programs' headings ("# differs: name"). */
const LIMITS: Readonly<Record<string, string>> = {
  TF: 'single-stepping',
  clock_getres: 'microseconds',
  futex: 'no priority inheritance',
  mmap: 'a page that a process has mapped twice',
  sched_setscheduler: 'no real-time policies',
};

interface Program {
  readonly name: string;
  /** What it asks for that only root may have. */
  readonly root?: string;
}

const PROGRAMS: readonly Program[] = [
  { name: 'signals' },
  { name: 'interrupts' },
  { name: 'processes' },
  { name: 'threads' },
  { name: 'memory' },
  { name: 'clocks' },
  { name: 'system', root: 'ids, priorities' },
];

const folder = mkdtempSync(join(tmpdir(), 'tardigrade-linux-'));
afterAll(() => rmSync(folder, { recursive: true }));

const hasGcc = existsSync('/usr/bin/gcc');
if (!hasGcc) console.log('test/linux: skipped, /usr/bin/gcc is not there');
const isRoot = process.getuid?.() === 0;

function compiled(name: string): string {
  const path = join(folder, name);
  const source = fileURLToPath(new URL(`./linux/${name}.c`, import.meta.url));
  // Static: it starts in a tenth of the instructions.
  execFileSync('gcc', ['-O1', '-static', '-pthread', '-o', path, source]);
  return path;
}

/** Sections by heading. */
function sections(output: string): Map<string, string> {
  const parts = output.split(/^# (.*)\n/m);
  const found = new Map<string, string>();
  for (let i = 1; i < parts.length; i += 2) found.set(parts[i]!, parts[i + 1]!);
  return found;
}

const DIFFERS = 'differs: ';

describe.skipIf(!hasGcc)('beside Linux', () => {
  const limits = readFileSync(new URL('../docs/limits.md', import.meta.url), 'utf8');

  for (const { name, root } of PROGRAMS) {
    if (root !== undefined && !isRoot) console.log(`test/linux/${name}.c: skipped, only root may have ${root}`);

    test.skipIf(root !== undefined && !isRoot)(name, { timeout: 240_000 }, () => {
      const program = compiled(name);
      const native = spawnSync(program, { encoding: 'utf8', timeout: 60_000, stdio: ['ignore', 'pipe', 'inherit'] });
      const machine = new Machine({ program });
      const status = machine.finish();
      expect(status).toEqual({ code: native.status, signal: null });
      const [theirs, ours] = [sections(native.stdout), sections(machine.stdout)];
      expect([...ours.keys()]).toEqual([...theirs.keys()]);
      for (const [heading, text] of theirs) {
        if (!heading.startsWith(DIFFERS)) {
          expect(ours.get(heading), `# ${heading}`).toBe(text);
          continue;
        }
        const entry = heading.slice(DIFFERS.length);
        expect(ours.get(heading), `# ${heading}: no more`).not.toBe(text);
        expect(limits, `docs/limits.md on ${entry}`).toContain(LIMITS[entry]);
      }
    });
  }
});
