/**
 * The interpreter's loop, in WebAssembly: runs records (record.ts) one after another. It is called as a region is, calls
 * regions as regions call each other, and goes over into one where one begins. While it runs, the budget and rsp are in the
 * register file.
 */

import { REGISTER_FILE } from '../lvm/layout.ts';
import type { Code } from '../wasm/emitter.ts';
import {
  DEPTH_LIMIT,
  EXIT_KIND_CALL,
  EXIT_KIND_CHAIN,
  EXIT_KIND_FORWARD,
  EXIT_KIND_RETURN,
  EXIT_KIND_STOP,
  PARAM_BUDGET,
  PARAM_DEPTH,
  PARAM_RSP,
  REGION_TYPE,
  STEP_TYPE,
  TABLE_STEPS,
} from './calling.ts';
import { REC_HEAT, REC_KEPT, REC_NEXT, REC_RIP, REC_STEP, RECORD_SIZE, WAY_UNDONE } from './record.ts';
import {
  EXIT_BUDGET,
  EXIT_FETCH,
  OFF_BUDGET,
  OFF_BUDGET_FLOORS,
  OFF_EXIT,
  OFF_GPR,
  OFF_NEXT,
  OFF_RIP,
  RSP,
} from './state.ts';

/** Functions of the helpers' module that the loop calls. */
export interface LoopCallees {
  /** (rip) → a record's address (negative as i32) or the table slot of a region. */
  readonly find: number;
  /** (rip) → the table slot for a call. */
  readonly lookup: number;
  /** (rip): control has often come to a record. */
  readonly heat: number;
}

/** Pushes the budget and rsp, as a region takes and returns them. */
function pushState(f: Code): Code {
  return f
    .i32Const(REGISTER_FILE)
    .i64Load(OFF_BUDGET)
    .i32Const(REGISTER_FILE)
    .i64Load(OFF_GPR + 8 * RSP);
}

function storeState(f: Code, budget: number, rsp: number): void {
  f.i32Const(REGISTER_FILE).localGet(budget).i64Store(OFF_BUDGET);
  f.i32Const(REGISTER_FILE)
    .localGet(rsp)
    .i64Store(OFF_GPR + 8 * RSP);
}

/** Pops what a region has returned. */
function takeState(f: Code): void {
  const budget = f.local('i64');
  const rsp = f.local('i64');
  f.localSet(rsp).localSet(budget);
  storeState(f, budget, rsp);
}

function loadNext(f: Code): Code {
  return f.i32Const(REGISTER_FILE).i32Load(OFF_NEXT);
}

/** Returns to the address in a local (-1: to JavaScript). */
function returnTo(f: Code, rip: number): void {
  f.i32Const(REGISTER_FILE);
  if (rip < 0) f.i32Const(0);
  else f.localGet(rip);
  f.i32Store(OFF_NEXT);
  pushState(f).return();
}

/** Puts back what was counted for a record's instruction: it was not executed. */
function undo(f: Code, record: number): void {
  count(f, -1);
  f.i32Const(REGISTER_FILE).localGet(record).i64Load32U(REC_RIP).i64Store(OFF_RIP);
}

/** (kind) → 1 to go on at the register file's rip, 0: OFF_EXIT tells why not. */
export function leave(f: Code): Code {
  const kind = 0;
  f.localGet(kind).i32Const(EXIT_KIND_STOP).i32Eq().if();
  f.i32Const(0).return();
  f.end();
  f.i32Const(REGISTER_FILE).i64Load(OFF_BUDGET);
  f.localGet(kind)
    .i32Const(3)
    .i32Shl()
    .i64Load(REGISTER_FILE + OFF_BUDGET_FLOORS);
  f.i64LeS().if();
  f.i32Const(REGISTER_FILE).i32Const(EXIT_BUDGET).i32Store(OFF_EXIT).i32Const(0).return();
  f.end();
  // Address 0 or one above 4 GiB: there is nothing to fetch.
  f.i32Const(REGISTER_FILE).i64Load(OFF_RIP).i64Const(1).i64Sub().i64Const(0xffff_fffe).i64GtU().if();
  f.i32Const(REGISTER_FILE).i32Const(EXIT_FETCH).i32Store(OFF_EXIT).i32Const(0).return();
  f.end();
  return f.i32Const(1).end();
}

function count(f: Code, instructions: number): void {
  f.i32Const(REGISTER_FILE).i32Const(REGISTER_FILE).i64Load(OFF_BUDGET);
  f.i64Const(instructions).i64Sub().i64Store(OFF_BUDGET);
}

function loadRip(f: Code): Code {
  return f.i32Const(REGISTER_FILE).i32Load(OFF_RIP);
}

/** Control has come to the record; often: what there is for the address may be better than it. */
function warmUp(f: Code, record: number, heat: number): void {
  f.localGet(record).localGet(record).i32Load16U(REC_HEAT).i32Const(1).i32Add().i32Store16(REC_HEAT);
  f.localGet(record).i32Load16U(REC_HEAT).i32Eqz().if();
  f.localGet(record).i32Load(REC_RIP).call(heat);
  f.end();
}

/** Does `stop`, which returns, where the record's way does not lead on. */
function leaveFor(f: Code, record: number, way: number, leaveIndex: number, stop: () => void): void {
  f.localGet(way).i32Const(WAY_UNDONE).i32Eq().if();
  undo(f, record);
  stop();
  f.end();
  f.localGet(way).i32Const(1).i32Sub().call(leaveIndex).i32Eqz().if();
  stop();
  f.end();
}

/** (depth, record, step): goes on with the record, whose step function is given. Returns as a region. */
export function loop(f: Code, { find, lookup, heat }: LoopCallees, leaveIndex: number): Code {
  const [depth, record, step] = [0, 1, 2];
  const way = f.local('i32');
  const rip = f.local('i32');
  f.loop();
  f.localGet(step).i32Eqz().if();
  f.i32Const(REGISTER_FILE).localGet(record).i64Load32U(REC_RIP).i64Store(OFF_RIP);
  f.i32Const(EXIT_KIND_FORWARD + 1).localSet(way);
  f.else();
  count(f, 1);
  f.localGet(record).localGet(depth).localGet(step).callIndirect(STEP_TYPE, TABLE_STEPS).localTee(way).i32Eqz().if();
  nextRecord(f, record, step);
  f.br(2);
  f.end();
  f.end();
  leaveFor(f, record, way, leaveIndex, () => returnTo(f, -1));
  loadRip(f).localSet(rip);
  f.localGet(way)
    .i32Const(EXIT_KIND_RETURN + 1)
    .i32Eq()
    .if();
  returnTo(f, rip);
  f.end();
  f.localGet(way)
    .i32Const(EXIT_KIND_CALL + 1)
    .i32Eq()
    .if();
  f.localGet(depth).i32Const(DEPTH_LIMIT).i32GeU().if();
  returnTo(f, rip);
  f.end();
  f.i32Const(REGISTER_FILE).localGet(rip).i32Store(OFF_NEXT);
  f.localGet(depth).i32Const(1).i32Add();
  pushState(f).localGet(rip).call(lookup).callIndirect(REGION_TYPE);
  takeState(f);
  loadNext(f).localGet(record).i32Load(REC_NEXT).i32Ne().if();
  pushState(f).return();
  f.end();
  nextRecord(f, record, step);
  f.br(1);
  f.end();
  // A jump.
  f.localGet(rip).call(find).localTee(step).i32Const(0).i32GeS().if();
  f.i32Const(REGISTER_FILE).localGet(rip).i32Store(OFF_NEXT);
  f.localGet(depth);
  pushState(f).localGet(step).returnCallIndirect(REGION_TYPE);
  f.end();
  f.localGet(step).localSet(record);
  f.localGet(way)
    .i32Const(EXIT_KIND_CHAIN + 1)
    .i32Eq()
    .if();
  warmUp(f, record, heat);
  f.end();
  f.localGet(record).i32Load(REC_STEP).localSet(step);
  f.br(0);
  f.end();
  return f.unreachable().end();
}

function nextRecord(f: Code, record: number, step: number): void {
  f.localGet(record).i32Const(RECORD_SIZE).i32Add().localTee(record).i32Load(REC_STEP).localSet(step);
}

/** Of REGION_TYPE: a region that is none yet. */
export function interpret(f: Code, { find, heat }: LoopCallees, loopIndex: number): Code {
  const record = f.local('i32');
  loadNext(f).call(find).localTee(record).i32Const(0).i32GeS().if();
  f.localGet(PARAM_DEPTH).localGet(PARAM_BUDGET).localGet(PARAM_RSP);
  f.localGet(record).returnCallIndirect(REGION_TYPE);
  f.end();
  warmUp(f, record, heat);
  storeState(f, PARAM_BUDGET, PARAM_RSP);
  return f.localGet(PARAM_DEPTH).localGet(record).localGet(record).i32Load(REC_STEP).returnCall(loopIndex).end();
}

/** Of REGION_TYPE: goes on at an instruction in the middle of a region, or at one that the region could not do. */
export function resume(f: Code, record: number, loopIndex: number): Code {
  const at = f.local('i32');
  loadNext(f).call(record).localTee(at).i32Eqz().if();
  f.i32Const(REGISTER_FILE).i32Const(0).i32Store(OFF_NEXT);
  f.localGet(PARAM_BUDGET).localGet(PARAM_RSP).return();
  f.end();
  storeState(f, PARAM_BUDGET, PARAM_RSP);
  return f.localGet(PARAM_DEPTH).localGet(at).localGet(at).i32Load(REC_KEPT).returnCall(loopIndex).end();
}

/** (slot, rip) → next rip or 0: runs what is in the slot, with all state in the register file before and after. */
export function enter(f: Code): Code {
  const [slot, rip] = [0, 1];
  f.i32Const(REGISTER_FILE).localGet(rip).i32Store(OFF_NEXT);
  f.i32Const(0);
  pushState(f).localGet(slot).callIndirect(REGION_TYPE);
  takeState(f);
  return loadNext(f).end();
}

/**
 * (record, most) → next rip or 0: one instruction (of a repeated string instruction perhaps one iteration), and of those behind it
 * in line so many that there are `most` of them, unless control goes elsewhere or they are no longer there.
 */
export function singles(f: Code, leaveIndex: number): Code {
  const [record, most] = [0, 1];
  const way = f.local('i32');
  f.loop();
  count(f, 1);
  f.localGet(record)
    .i32Const(0)
    .localGet(record)
    .i32Load(REC_KEPT)
    .callIndirect(STEP_TYPE, TABLE_STEPS)
    .localTee(way)
    .i32Eqz()
    .if();
  f.localGet(most).i32Const(1).i32Sub().localTee(most).i32Const(0).i32GtS();
  f.localGet(record)
    .i32Load(RECORD_SIZE + REC_STEP)
    .i32Eqz()
    .i32Eqz()
    .i32And()
    .if();
  f.localGet(record).i32Const(RECORD_SIZE).i32Add().localSet(record);
  f.br(2);
  f.end();
  f.i32Const(REGISTER_FILE).localGet(record).i64Load32U(REC_NEXT).i64Store(OFF_RIP);
  f.i32Const(EXIT_KIND_FORWARD + 1).localSet(way);
  f.end();
  leaveFor(f, record, way, leaveIndex, () => f.i32Const(0).return());
  loadRip(f).return();
  f.end();
  return f.unreachable().end();
}
