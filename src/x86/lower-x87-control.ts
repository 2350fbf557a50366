/**
 * x87 control: control and status word, environment, FSAVE and FXSAVE images. Intel SDM vol. 1, 8.1.8 … 8.1.10, 8.3.11,
 * 10.5; vol. 2. The instructions whose mnemonic begins with FN do not report a pending exception.
 */

import { REGISTER_FILE } from '../lvm/layout.ts';
import { FXSAVE_SIZE, MXCSR_MASK, mxcsrOf, restoreImage, saveImage } from './fxsave.ts';
import { begin, memory, runX87, wait } from './lower-x87-common.ts';
import type { Lowering, LoweringContext } from './lowering.ts';
import {
  CONTEXT_SIZE,
  FCW_DEFAULT,
  OFF_FCW,
  OFF_FDP,
  OFF_FIP,
  OFF_FOP,
  OFF_FSW,
  OFF_FTW,
  OFF_ST,
  RAX,
  VECTOR_GP,
} from './state.ts';
import { type Machine, raise, registerHelper } from './support.ts';
import { FCW_ONE, FCW_WRITABLE, FSW_B, FSW_ES, FSW_FLAGS, FSW_SF, setWords, stackOffset } from './x87-words.ts';

const FCW = REGISTER_FILE + OFF_FCW;
const FSW = REGISTER_FILE + OFF_FSW;
const FTW = REGISTER_FILE + OFF_FTW;
const FOP = REGISTER_FILE + OFF_FOP;
const FIP = REGISTER_FILE + OFF_FIP;
const FDP = REGISTER_FILE + OFF_FDP;
const REGISTERS = REGISTER_FILE + OFF_ST;

// --- control and status word ---

const fldcw: Lowering = (ctx, insn) => {
  wait(ctx);
  const code = ctx.code;
  const { local, offset } = ctx.checked(memory(insn), 2, false);
  code.localGet(local).i32Load16U(offset).i32Const(FCW_WRITABLE).i32And().i32Const(FCW_ONE).i32Or();
  const control = ctx.toTemp('i32');
  code.i32Const(REGISTER_FILE).localGet(control).i32Store16(OFF_FCW);
  // Unmasking an exception that is flagged makes it pending.
  code.i32Const(REGISTER_FILE).i32Load16U(OFF_FSW);
  const status = ctx.toTemp('i32');
  code.localGet(control).i32Const(-1).i32Xor().localGet(status).i32And().i32Const(FSW_FLAGS).i32And().if();
  code
    .i32Const(REGISTER_FILE)
    .localGet(status)
    .i32Const(FSW_ES | FSW_B)
    .i32Or()
    .i32Store16(OFF_FSW);
  code.end();
};

function storeWord(offset: number): Lowering {
  return (ctx, insn) => {
    const code = ctx.code;
    const operand = insn.operands[0]!;
    if (operand.kind === 'mem') {
      const at = ctx.checked(operand, 2, true);
      code.localGet(at.local).i32Const(REGISTER_FILE).i32Load16U(offset).i32Store16(at.offset);
    } else {
      code.i32Const(REGISTER_FILE).i32Load16U(offset).i64ExtendI32U();
      ctx.setReg(RAX, 2);
    }
  };
}

function fnclex(ctx: LoweringContext): void {
  const code = ctx.code.i32Const(REGISTER_FILE).i32Const(REGISTER_FILE).i32Load16U(OFF_FSW);
  code
    .i32Const(0xffff & ~(FSW_FLAGS | FSW_SF | FSW_ES | FSW_B))
    .i32And()
    .i32Store16(OFF_FSW);
}

function initialize(view: DataView): void {
  view.setUint16(FCW, FCW_DEFAULT, true);
  view.setUint16(FSW, 0, true);
  view.setUint16(FTW, 0, true);
  view.setUint16(FOP, 0, true);
  view.setBigUint64(FIP, 0n, true);
  view.setBigUint64(FDP, 0n, true);
}

registerHelper('x87 fninit', ({ view }) => {
  initialize(view);
  return 0;
});

// --- environment: SDM vol. 1, figures 8-9 to 8-12 ---

/** Two bits a register: 0 valid, 1 zero, 2 special, 3 empty (SDM vol. 1, 8.1.7). */
function fullTags(view: DataView): number {
  const valid = view.getUint16(FTW, true);
  let tags = 0;
  for (let i = 0; i < 8; i++) tags |= (((valid >> i) & 1) === 0 ? 3 : tagOf(view, REGISTERS + i * 16)) << (2 * i);
  return tags;
}

function tagOf(view: DataView, at: number): number {
  const exponent = view.getUint16(at + 8, true) & 0x7fff;
  const high = view.getInt32(at + 4, true);
  if (exponent === 0 && high === 0 && view.getInt32(at, true) === 0) return 1;
  return exponent === 0 || exponent === 0x7fff || high >= 0 ? 2 : 0;
}

function abridged(tags: number): number {
  let valid = 0;
  for (let i = 0; i < 8; i++) if (((tags >> (2 * i)) & 3) !== 3) valid |= 1 << i;
  return valid;
}

/** Writes 14 or 28 bytes: the protected-mode formats, selectors being 0. */
function storeEnvironment(view: DataView, at: number, wide: boolean): void {
  const step = wide ? 4 : 2;
  const put = (i: number, value: number) => {
    if (wide) view.setUint32(at + i * step, value, true);
    else view.setUint16(at + i * step, value, true);
  };
  const reserved = wide ? 0xffff_0000 : 0;
  put(0, reserved | view.getUint16(FCW, true));
  put(1, reserved | view.getUint16(FSW, true));
  put(2, reserved | fullTags(view));
  put(3, view.getUint32(FIP, true));
  put(4, wide ? view.getUint16(FOP, true) << 16 : 0);
  put(5, view.getUint32(FDP, true));
  put(6, wide ? 0xffff_0000 : 0);
}

function loadEnvironment(view: DataView, at: number, wide: boolean): void {
  const step = wide ? 4 : 2;
  setWords(view, REGISTER_FILE, view.getUint16(at, true), view.getUint16(at + step, true));
  view.setUint16(FTW, abridged(view.getUint16(at + 2 * step, true)), true);
  const pointer = (i: number) => (wide ? view.getUint32(at + i * step, true) : view.getUint16(at + i * step, true));
  view.setBigUint64(FIP, BigInt(pointer(3)), true);
  view.setBigUint64(FDP, BigInt(pointer(5)), true);
  view.setUint16(FOP, wide ? view.getUint16(at + 4 * step + 2, true) & 0x7ff : 0, true);
}

function registerAt(view: DataView, i: number): number {
  return REGISTER_FILE + stackOffset(view.getUint16(FSW, true), i);
}

for (const wide of [true, false]) {
  const suffix = wide ? '' : '16';
  const environmentSize = wide ? 28 : 14;
  // FNSTENV masks all exceptions behind it.
  registerHelper(`x87 fnstenv${suffix}`, ({ view }, address) => {
    storeEnvironment(view, address >>> 0, wide);
    setWords(view, REGISTER_FILE, view.getUint16(FCW, true) | FSW_FLAGS, view.getUint16(FSW, true));
    return 0;
  });
  registerHelper(`x87 fldenv${suffix}`, ({ view }, address) => {
    loadEnvironment(view, address >>> 0, wide);
    return 0;
  });
  registerHelper(`x87 fnsave${suffix}`, ({ view, space }, address) => {
    const at = address >>> 0;
    storeEnvironment(view, at, wide);
    for (let i = 0; i < 8; i++) {
      const from = registerAt(view, i);
      space.u8.copyWithin(at + environmentSize + 10 * i, from, from + 10);
    }
    initialize(view);
    return 0;
  });
  registerHelper(`x87 frstor${suffix}`, ({ view, space }, address) => {
    const at = address >>> 0;
    loadEnvironment(view, at, wide);
    for (let i = 0; i < 8; i++) {
      const from = at + environmentSize + 10 * i;
      space.u8.copyWithin(registerAt(view, i), from, from + 10);
    }
    return 0;
  });
}

/** fnstenv, fldenv, fnsave, frstor. */
function environment(op: string, waits: boolean, write: boolean): Lowering {
  return (ctx, insn) => {
    if (waits) wait(ctx);
    const operand = memory(insn);
    const narrow = operand.size === 14 || operand.size === 94;
    const image = ctx.addressOf(ctx.checked(operand, operand.size, write));
    runX87(ctx, `x87 ${op}${narrow ? '16' : ''}`, image);
  };
}

// --- FXSAVE: SDM vol. 1, 10.5.1 ---

for (const wide of [true, false]) {
  const suffix = wide ? '64' : '';
  const registers = ({ space }: Machine) => space.u8.subarray(REGISTER_FILE, REGISTER_FILE + CONTEXT_SIZE);
  const imageAt = ({ space }: Machine, address: number) =>
    space.u8.subarray(address >>> 0, (address >>> 0) + FXSAVE_SIZE);
  registerHelper(`x87 fxsave${suffix}`, (machine, address) => {
    saveImage(registers(machine), imageAt(machine, address), wide);
    return 0;
  });
  registerHelper(`x87 fxrstor${suffix}`, (machine, address) => {
    const image = imageAt(machine, address);
    if ((mxcsrOf(image) & ~MXCSR_MASK) !== 0) return raise(machine, VECTOR_GP);
    restoreImage(registers(machine), image, wide);
    return 0;
  });
}

/** The image must be aligned to 16 bytes. All XMM registers go through the register file. */
function image(op: string, write: boolean): Lowering {
  return (ctx, insn) => {
    const code = ctx.code;
    const operand = memory(insn);
    ctx.address(operand);
    code.i32WrapI64().i32Const(15).i32And().if();
    ctx.exception(VECTOR_GP);
    code.end();
    ctx.callHelper(`x87 ${op}`, ctx.addressOf(ctx.checked(operand, FXSAVE_SIZE, write)));
  };
}

export function addControlLowerings(map: Map<string, Lowering>): void {
  map.set('fldcw', fldcw);
  map.set('fnstcw', storeWord(OFF_FCW));
  map.set('fnstsw', storeWord(OFF_FSW));
  map.set('fnclex', fnclex);
  map.set('fninit', (ctx) => runX87(ctx, 'x87 fninit'));
  map.set('fwait', wait);
  map.set('fnop', begin);
  map.set('fnstenv', environment('fnstenv', false, true));
  map.set('fldenv', environment('fldenv', true, false));
  map.set('fnsave', environment('fnsave', false, true));
  map.set('frstor', environment('frstor', true, false));
  for (const op of ['fxsave', 'fxsave64']) map.set(op, image(op, true));
  for (const op of ['fxrstor', 'fxrstor64']) map.set(op, image(op, false));
}
