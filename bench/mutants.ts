/**
 * `npm run sim:mutants -- [--seeds N] [--only TEXT]`: breaks the protocol in each of the ways of src/sim/mutants.ts and
 * says whether the simulator notices. Exit status 1 if one goes unnoticed. The last line is JSON.
 */

import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { MUTANTS, type Mutant } from '../src/sim/mutants.ts';

const { values } = parseArgs({
  options: { seeds: { type: 'string', default: '2000' }, only: { type: 'string', default: '' } },
});
const root = join(import.meta.dirname, '..');

/** The seed that caught it and what was said, or null. */
function run(mutant: Mutant): string | null {
  const folder = mkdtempSync(join(tmpdir(), 'tardigrade-mutant-'));
  try {
    for (const part of ['sim', 'replication', 'register', 'transport', 'lvm']) {
      cpSync(join(root, 'src', part), join(folder, 'src', part), { recursive: true });
    }
    cpSync(join(root, 'bench/simulate.ts'), join(folder, 'bench/simulate.ts'));
    writeFileSync(join(folder, 'package.json'), '{"type":"module"}');
    const file = join(folder, 'src', mutant.file);
    const source = readFileSync(file, 'utf8');
    if (!source.includes(mutant.find))
      throw new Error(`'${mutant.name}': its text is not in src/${mutant.file} any more`);
    writeFileSync(
      file,
      source.replace(mutant.find, () => mutant.replace),
    );
    const child = spawnSync(process.execPath, ['bench/simulate.ts', '--seeds', values.seeds, '--quiet'], {
      cwd: folder,
      encoding: 'utf8',
    });
    if (child.status === 0) return null;
    const said = child.stderr.split('\n').find((line) => line.startsWith('seed '));
    // An exception that is no rule's is the mutant's own mistake.
    if (said === undefined || !/: (Violation|InvariantError|RegisterError): /.test(said))
      throw new Error(`'${mutant.name}' does not run:\n${child.stderr.slice(0, 2000)}`);
    return said;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const survivors: string[] = [];
const mutants = MUTANTS.filter((mutant) => mutant.name.includes(values.only));
for (const mutant of mutants) {
  const said = run(mutant);
  if (said === null) survivors.push(mutant.name);
  console.error(
    `${said === null ? 'SURVIVES' : 'caught  '}  ${mutant.name}${said ? `\n            ${said.slice(0, 150)}` : ''}`,
  );
}
console.log(JSON.stringify({ mutants: mutants.length, caught: mutants.length - survivors.length, survivors }));
process.exitCode = survivors.length > 0 ? 1 : 0;
