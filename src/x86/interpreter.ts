/**
 * The interpreter of one address space: what the guest runs seldom is decoded into records (record.ts), which the loop
 * (interpret-loop.ts) runs, one step function for each. Where control comes often, a region is translated (space-code.ts).
 */

import type { AddressSpace } from '../lvm/address-space.ts';
import { PAGE_MASK, PAGE_SHIFT, PAGE_SIZE, RECORDS, RECORDS_SIZE } from '../lvm/layout.ts';
import type { CodeModule } from './code-group.ts';
import { isLast } from './encodings.ts';
import type { Instruction } from './instruction.ts';
import { jumpCacheEntry } from './module.ts';
import {
  REC_DISP,
  REC_GPR,
  REC_HEAT,
  REC_IMM,
  REC_KEPT,
  REC_RIP,
  REC_STEP,
  RECORD_SIZE,
  writeRecord,
} from './record.ts';
import { RecordMap } from './record-map.ts';
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
  readonly #records = new RecordMap();
  /** By page of code: the first record of each stretch with instructions there, and their number, one after the other. */
  readonly #byPage = new Map<number, number[]>();
  /** By a step function's id. */
  readonly #slots: number[] = [];
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
    if (known !== 0) return known;
    return this.#decode(rip) ? this.#records.get(rip) : 0;
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
    if (record !== 0) this.#space.view.setUint32(record + REC_STEP, 0, true);
  }

  /** Decodes from `rip` to where control does not go on, or where it is decoded already. */
  #decode(rip: number): boolean {
    const { view } = this.#space;
    const { encodings } = this.#steps;
    const first = this.#free;
    /** Those of which the encoding is new, and their records. */
    const insns: Instruction[] = [];
    const places: number[] = [];
    let next = rip;
    let at = first;
    for (let ends = false; !ends && at < first + DECODE_MAX * RECORD_SIZE; at += RECORD_SIZE) {
      if (at !== first && (this.#records.get(next) !== 0 || this.#table.isRegion(next))) break;
      const encoding = this.#isWhole(next) ? encodings.find(view, next) : null;
      if (encoding !== null) {
        const { length, registers } = encoding;
        const slot = this.#slot(encodings.step!);
        view.setUint32(at + REC_STEP, slot, true);
        view.setUint32(at + REC_KEPT, slot, true);
        view.setUint32(at + REC_RIP, next, true);
        view.setInt32(at + REC_DISP, encodings.disp, true);
        view.setInt32(at + REC_IMM, encodings.immLow, true);
        view.setInt32(at + REC_IMM + 4, encodings.immHigh, true);
        view.setInt32(at + REC_GPR, registers[0], true);
        view.setInt32(at + REC_GPR + 4, registers[1], true);
        ends = encoding.ends;
        next += length;
      } else {
        const insn = fetch(this.#space, next);
        if (isFailure(insn)) break;
        insns.push(insn);
        places.push(at);
        view.setUint32(at + REC_RIP, next, true);
        ends = isLast(insn);
        next += insn.length;
      }
    }
    if (at === first) return false;
    if (insns.length > 0) this.#addNew(insns, places);
    for (let record = first; record < at; record += RECORD_SIZE) {
      view.setUint16(record + REC_HEAT, this.#heat, true);
      this.#records.set(view.getUint32(record + REC_RIP, true), record);
    }
    view.setUint32(at + REC_STEP, 0, true);
    view.setUint32(at + REC_RIP, next, true);
    this.#free = at + RECORD_SIZE;
    for (let page = rip >>> PAGE_SHIFT; page <= (next - 1) >>> PAGE_SHIFT; page++) this.#watch(page, first, at);
    return true;
  }

  /** The records of instructions of which the encoding is new. */
  #addNew(insns: readonly Instruction[], places: readonly number[]): void {
    const { view } = this.#space;
    this.#steps.of(insns).forEach(({ shape, step }, i) => {
      const insn = insns[i]!;
      const at = places[i]!;
      writeRecord(view, at, insn, shape);
      const slot = this.#slot(step);
      view.setUint32(at + REC_STEP, slot, true);
      view.setUint32(at + REC_KEPT, slot, true);
      if (this.#isWhole(insn.rip)) this.#steps.learn(view, insn, shape, step);
    });
  }

  /** The longest instruction that may be at `rip` can be fetched. */
  #isWhole(rip: number): boolean {
    return this.#space.isExecutable(rip) && ((rip & PAGE_MASK) <= PAGE_SIZE - 16 || this.#space.isExecutable(rip + 16));
  }

  #watch(page: number, first: number, end: number): void {
    const list = this.#byPage.get(page);
    if (list === undefined) {
      this.#byPage.set(page, [first, end]);
      this.#space.markCode(page);
    } else list.push(first, end);
  }

  #slot(step: StepFunction): number {
    const known = this.#slots[step.id];
    if (known !== undefined) return known;
    let exports = this.#instances.get(step.module);
    if (exports === undefined) {
      exports = this.#table.instantiate(step.module);
      this.#instances.set(step.module, exports);
    }
    const slot = this.#table.add(exports[`f${step.index}`]!);
    this.#slots[step.id] = slot;
    return slot;
  }

  /** Code on the pages has changed. */
  dropPages(first: number, count: number): void {
    const { view } = this.#space;
    for (const [page, list] of this.#byPage) {
      if (page < first || page >= first + count) continue;
      this.#byPage.delete(page);
      for (let i = 0; i < list.length; i += 2) {
        for (let at = list[i]!; at < list[i + 1]!; at += RECORD_SIZE) {
          const rip = view.getUint32(at + REC_RIP, true);
          // There may be another for it meanwhile.
          if (this.#records.get(rip) === at) this.#drop(rip, at);
        }
      }
    }
  }

  #drop(rip: number, record: number): void {
    const { view } = this.#space;
    this.#records.set(rip, 0);
    view.setUint32(record + REC_STEP, 0, true);
    const at = jumpCacheEntry(rip);
    if (view.getUint32(at, true) === rip) view.setUint32(at, 0, true);
  }

  /** Forgets everything; nothing of it is on the wasm stack. */
  clear(): void {
    this.#records.forEach((rip, record) => {
      this.#drop(rip, record);
    });
    this.#records.clear();
    this.#byPage.clear();
    this.#free = RECORDS;
  }
}
