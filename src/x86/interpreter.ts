/**
 * The interpreter of one address space: what the guest runs seldom is decoded into records (record.ts), which the loop
 * (interpret-loop.ts) runs, one step function for each. Where control comes often, a region is translated (space-code.ts).
 */

import type { AddressSpace } from '../lvm/address-space.ts';
import { PAGE_SHIFT, RECORDS, RECORDS_SIZE } from '../lvm/layout.ts';
import type { CodeModule } from './code-group.ts';
import type { Instruction } from './instruction.ts';
import { jumpCacheEntry } from './module.ts';
import { REC_HEAT, REC_KEPT, REC_RIP, REC_STEP, RECORD_SIZE, writeRecord } from './record.ts';
import { fetch, isFailure } from './region.ts';
import type { StepFunction, StepFunctions } from './step-functions.ts';

/** Instructions decoded one after another. */
const DECODE_MAX = 64;

/** What the interpreter needs of the space's table and modules. */
export interface StepTable {
  /** An instance's exports. */
  instantiate(module: CodeModule): WebAssembly.Exports;
  /** A new slot with the function. */
  add(run: WebAssembly.ExportValue): number;
  /** A region begins there. */
  isRegion(rip: number): boolean;
}

export class Interpreter {
  readonly #space: AddressSpace;
  readonly #steps: StepFunctions;
  readonly #table: StepTable;
  readonly #heat: number;
  /** The record of an instruction, by its address. */
  readonly #records = new Map<number, number>();
  readonly #byPage = new Map<number, number[]>();
  readonly #slots = new Map<StepFunction, number>();
  readonly #instances = new Map<CodeModule, WebAssembly.Exports>();
  #free = RECORDS;

  /** `often`: how many times control comes to a place before it is hot. */
  constructor(space: AddressSpace, steps: StepFunctions, table: StepTable, often: number) {
    this.#space = space;
    this.#steps = steps;
    this.#table = table;
    this.#heat = (0x1_0000 - often) & 0xffff;
  }

  /** No room for the records of another stretch of code: `clear` when nothing is on the wasm stack. */
  get isFull(): boolean {
    return this.#free + (DECODE_MAX + 2) * RECORD_SIZE > RECORDS + RECORDS_SIZE;
  }

  /** The record of the instruction at `rip`; 0 when it cannot be fetched or decoded. */
  record(rip: number): number {
    const known = this.#records.get(rip);
    if (known !== undefined) return known;
    if (!this.#decode(rip)) return 0;
    return this.#records.get(rip)!;
  }

  /** As `record`, for a place where no region begins: its own step function is run. */
  enter(rip: number): number {
    const record = this.record(rip);
    if (record === 0) return 0;
    const { view } = this.#space;
    view.setUint32(record + REC_STEP, view.getUint32(record + REC_KEPT, true), true);
    return record;
  }

  /** A region begins at `rip` from now on: control that comes there is looked up. */
  leaveTo(rip: number): void {
    const record = this.#records.get(rip);
    if (record !== undefined) this.#space.view.setUint32(record + REC_STEP, 0, true);
  }

  /** Decodes from `rip` to where control does not go on, or where it is decoded already. */
  #decode(rip: number): boolean {
    const insns: Instruction[] = [];
    let next = rip;
    while (insns.length < DECODE_MAX) {
      if (insns.length > 0 && (this.#records.has(next) || this.#table.isRegion(next))) break;
      const insn = fetch(this.#space, next);
      if (isFailure(insn)) break;
      insns.push(insn);
      next += insn.length;
      if (insn.flow === 'jump' || insn.flow === 'ret' || insn.flow === 'jump-indirect' || insn.flow === 'trap') break;
    }
    if (insns.length === 0) return false;
    const { view } = this.#space;
    const steps = this.#steps.of(insns);
    insns.forEach((insn, i) => {
      const { shape, step } = steps[i]!;
      const at = this.#allocate();
      writeRecord(view, at, insn, shape);
      const slot = this.#slot(step);
      view.setUint32(at + REC_STEP, slot, true);
      view.setUint32(at + REC_KEPT, slot, true);
      view.setUint16(at + REC_HEAT, this.#heat, true);
      this.#records.set(insn.rip, at);
      this.#watch(insn.rip >>> PAGE_SHIFT, insn.rip);
      const last = (insn.rip + insn.length - 1) >>> PAGE_SHIFT;
      if (last !== insn.rip >>> PAGE_SHIFT) this.#watch(last, insn.rip);
    });
    const end = this.#allocate();
    view.setUint32(end + REC_STEP, 0, true);
    view.setUint32(end + REC_RIP, next, true);
    return true;
  }

  #allocate(): number {
    const at = this.#free;
    this.#free += RECORD_SIZE;
    return at;
  }

  #watch(page: number, rip: number): void {
    const list = this.#byPage.get(page);
    if (list === undefined) {
      this.#byPage.set(page, [rip]);
      this.#space.markCode(page);
    } else list.push(rip);
  }

  #slot(step: StepFunction): number {
    let slot = this.#slots.get(step);
    if (slot === undefined) {
      let exports = this.#instances.get(step.module);
      if (exports === undefined) {
        exports = this.#table.instantiate(step.module);
        this.#instances.set(step.module, exports);
      }
      slot = this.#table.add(exports[`f${step.index}`]!);
      this.#slots.set(step, slot);
    }
    return slot;
  }

  /** Code on the pages has changed. */
  dropPages(first: number, count: number): void {
    for (const [page, list] of this.#byPage) {
      if (page < first || page >= first + count) continue;
      this.#byPage.delete(page);
      for (const rip of list) this.#drop(rip);
    }
  }

  #drop(rip: number): void {
    const record = this.#records.get(rip);
    if (record === undefined) return;
    this.#records.delete(rip);
    const { view } = this.#space;
    view.setUint32(record + REC_STEP, 0, true);
    const at = jumpCacheEntry(rip);
    if (view.getUint32(at + 4, true) === record) view.setUint32(at, 0, true);
  }

  /** Forgets everything; nothing of it is on the wasm stack. */
  clear(): void {
    for (const rip of [...this.#records.keys()]) this.#drop(rip);
    this.#byPage.clear();
    this.#free = RECORDS;
  }
}
