/** Runs cases on the host's CPU through harness.c (x86-64 Linux with gcc). */

import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type CpuCase, encodeCases, Results } from './case.ts';

export class NativeCpu {
  readonly #folder = mkdtempSync(join(tmpdir(), 'tardigrade-cpu-'));
  readonly #binary = join(this.#folder, 'harness');

  constructor() {
    const source = new URL('./harness.c', import.meta.url).pathname;
    execFileSync('gcc', ['-O1', '-fno-stack-protector', '-o', this.#binary, source]);
  }

  static get available(): boolean {
    return process.arch === 'x64' && process.platform === 'linux' && existsSync('/usr/bin/gcc');
  }

  run(cases: readonly CpuCase[]): Results {
    const input = join(this.#folder, 'cases');
    const output = join(this.#folder, 'results');
    writeFileSync(input, encodeCases(cases));
    execFileSync(this.#binary, [input, output]);
    return new Results(readFileSync(output));
  }

  close(): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
