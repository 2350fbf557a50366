/**
 * The smallest machine that can be replicated: it copies standard input to standard output and counts the bytes, in a part
 * and in a page of memory that must agree. It ends at the end of its input, or by a signal. With `spin` as its program it
 * never waits.
 */

import { decodePart, Ledger, type Part } from '../../src/checkpoint/ledger.ts';
import { AddressSpace } from '../../src/lvm/address-space.ts';
import type { Lvm, RunResult } from '../../src/lvm/api.ts';
import { assert } from '../../src/lvm/assert.ts';
import type { VirtualCpu } from '../../src/lvm/cpu.ts';
import { PAGE_SIZE, PROT_READ, PROT_WRITE, USER_START } from '../../src/lvm/layout.ts';
import type { BootOptions, Machine, MachineDeps, MachineFactory, MachineState } from '../../src/replica/machine.ts';

export const SIGNAL_CRASH = 10;

class ProgramError extends Error {
  readonly code = 'TG_NO_SUCH_PROGRAM';
  readonly exitStatus = 127;
  readonly advice = 'give another';
}

class EchoMachine implements Machine {
  readonly ledger = new Ledger();
  readonly spaces = new Map<number, AddressSpace>();
  readonly unimplementedCalls = new Map<string, number>([['rseq', 1]]);
  readonly consoleInput = { available: 0 };
  readonly lastCrash = null;
  readonly cpu: VirtualCpu;
  instructions = 0;
  readonly #lvm: Lvm;
  readonly #part: Part & { bytes: number; spin: boolean };

  constructor({ lvm, makeCpu }: MachineDeps, bytes: number, spin: boolean) {
    this.#lvm = lvm;
    this.cpu = makeCpu({ readTsc: () => 0n });
    this.#part = { key: 'echo/1', bytes, spin, save: () => ({ bytes: this.#part.bytes, spin }) };
    this.ledger.add(this.#part);
  }

  static boot(deps: MachineDeps, { program }: BootOptions): EchoMachine {
    if (program === '/missing') throw new ProgramError('there is no /missing');
    const machine = new EchoMachine(deps, 0, program === '/spin');
    const space = new AddressSpace(1);
    space.map(USER_START, PAGE_SIZE, PROT_READ | PROT_WRITE);
    machine.spaces.set(1, space);
    return machine;
  }

  static restore(deps: MachineDeps, { spaces, parts, instructions }: MachineState): EchoMachine {
    const { bytes, spin } = decodePart(parts.get('echo/1')!) as { bytes: number; spin: boolean };
    const machine = new EchoMachine(deps, bytes, spin);
    for (const [id, space] of spaces) machine.spaces.set(id, space);
    machine.instructions = instructions;
    assert(machine.#inMemory === bytes, 'memory and parts are of one moment');
    machine.ledger.forget();
    return machine;
  }

  resync(): void {}

  run(budget: number): RunResult {
    this.instructions += budget;
    for (let input = this.#lvm.wait(); input !== null; input = this.#lvm.wait()) {
      if (input.kind === 'signal' && input.signo === SIGNAL_CRASH) throw new Error('asked to crash');
      if (input.kind === 'signal') return this.#exit({ code: null, signal: input.signo });
      if (input.kind !== 'stdin') continue;
      if (input.bytes.length === 0) return this.#exit({ code: this.#part.bytes % 100, signal: null });
      this.#lvm.console(1, input.bytes);
      this.#part.bytes += input.bytes.length;
      this.ledger.touch(this.#part);
      const word = new Uint8Array(8);
      new DataView(word.buffer).setFloat64(0, this.#part.bytes, true);
      this.spaces.get(1)!.write(USER_START, word);
    }
    if (this.#part.spin) {
      const untilMs = performance.now() + 0.5;
      while (performance.now() < untilMs);
      return { kind: 'budget' };
    }
    return { kind: 'wait', deadlineUs: null };
  }

  get #inMemory(): number {
    return this.spaces.get(1)!.view.getFloat64(USER_START, true);
  }

  #exit(status: { code: number | null; signal: number | null }): RunResult {
    this.#lvm.exit(status);
    return { kind: 'exit', status };
  }
}

export const echo: MachineFactory = { boot: EchoMachine.boot, restore: EchoMachine.restore };

/** Nothing is translated. */
export const noCpu = (): VirtualCpu => ({
  retired: 0,
  run: () => assert(false, 'there is no code') as never,
  unload: () => {},
  drop: () => {},
  takeTranslated: () => [],
  warm: () => {},
  tierAt: () => 'interpreted' as const,
});
