/**
 * Segment registers, and what may be asked about selectors. The descriptors are those that Linux has for 64-bit user mode
 * (arch/x86/include/asm/segment.h); in 64-bit mode what is loaded tells itself only, but for the bases of FS and GS, which
 * become the descriptor's (SDM vol. 3, 3.4.4): zero in all of them.
 */

import { REGISTER_FILE } from '../lvm/layout.ts';
import { NOTHING_KNOWN } from './access.ts';
import type { Instruction, Operand } from './instruction.ts';
import { moveStack, pushSlot } from './lower-control.ts';
import { asRegister, type Lowering, type LoweringContext } from './lowering.ts';
import { CS, FS, GS, OFF_FS_BASE, OFF_GS_BASE, OFF_SELECTORS, RSP, SS, VECTOR_GP, ZF } from './state.ts';
import { FORMS } from './table.ts';

interface Descriptor {
  /** The selector, without its privilege level: any may be asked for. */
  readonly selector: number;
  /** As LAR gives them: the descriptor's second half, without the base. */
  readonly rights: number;
  /** In bytes. */
  readonly limit: number;
  readonly writable: boolean;
}

const DESCRIPTORS: readonly Descriptor[] = [
  // Code of 32-bit programs, data, code. 0xfffff pages.
  { selector: 0x20, rights: 0xcf_fb00, limit: -1, writable: false },
  { selector: 0x28, rights: 0xcf_f300, limit: -1, writable: true },
  { selector: 0x30, rights: 0xaf_fb00, limit: -1, writable: false },
  // Its limit is the processor's number and its node's: there is one, 0 (getcpu(2)).
  { selector: 0x78, rights: 0x40_f500, limit: 0, writable: false },
];
/** The selectors that CS and SS have. SS can be loaded with no other. */
const USER_CS = 0x33;
const USER_SS = 0x2b;

/** #GP for a selector that has no descriptor for user mode. A null selector is for all but SS. */
function checkSelector(ctx: LoweringContext, selector: number, segment: number): void {
  const code = ctx.code;
  if (segment === SS) {
    code.localGet(selector).i32Const(USER_SS).i32Ne();
  } else {
    code.i32Const(0);
    for (const index of [0, ...DESCRIPTORS.map((d) => d.selector)]) {
      code.localGet(selector).i32Const(0xfffc).i32And().i32Const(index).i32Eq().i32Or();
    }
    code.i32Eqz();
  }
  code.if();
  ctx.exception(VECTOR_GP);
  code.end();
}

/** Loads a segment register with a selector that has been checked. */
function loadSegment(ctx: LoweringContext, selector: number, segment: number): void {
  const code = ctx.code;
  if (segment === SS) return;
  code
    .i32Const(REGISTER_FILE)
    .localGet(selector)
    .i32Store16(OFF_SELECTORS + 2 * segment);
  if (segment !== FS && segment !== GS) return;
  code
    .i32Const(REGISTER_FILE)
    .i64Const(0)
    .i64Store(segment === FS ? OFF_FS_BASE : OFF_GS_BASE);
  // Accesses in the segment that have been checked are others now.
  ctx.accesses.meet(NOTHING_KNOWN);
}

/** Pushes a segment register's selector, an i64. */
function pushSelector(ctx: LoweringContext, segment: number): void {
  const code = ctx.code;
  if (segment === CS || segment === SS) {
    code.i64Const(segment === CS ? USER_CS : USER_SS);
    return;
  }
  code
    .i32Const(REGISTER_FILE)
    .i32Load16U(OFF_SELECTORS + 2 * segment)
    .i64ExtendI32U();
}

/** The low 16 bits of the operand, an i32 local. */
function selectorOf(ctx: LoweringContext, operand: Operand): number {
  ctx.getOperand(operand, 2);
  ctx.code.i32WrapI64().i32Const(0xffff).i32And();
  return ctx.toTemp('i32');
}

/** FS or GS, which opcodes of PUSH, POP and of loads with a pointer name in bit 3 and in bit 0. */
function fsOrGs(insn: Instruction): number {
  const { opcode } = FORMS[insn.form]!;
  return (opcode & 0xf0) === 0xa0 ? ((opcode & 8) === 0 ? FS : GS) : (opcode & 1) === 0 ? FS : GS;
}

const popSegment: Lowering = (ctx, insn) => {
  const slot = ctx.checkedAt(RSP, 0, insn.size, false);
  ctx.loadAt(slot, 2);
  ctx.code.i32WrapI64();
  const selector = ctx.toTemp('i32');
  const segment = fsOrGs(insn);
  checkSelector(ctx, selector, segment);
  loadSegment(ctx, selector, segment);
  moveStack(ctx, insn.size);
};

/** LSS, LFS, LGS: an offset for the register, and behind it a selector. */
function loadPointer(segmentOf: (insn: Instruction) => number): Lowering {
  return (ctx, insn) => {
    const code = ctx.code;
    const [to, from] = insn.operands as [Operand, Operand];
    if (from.kind !== 'mem') throw new Error(insn.op);
    const segment = segmentOf(insn);
    // Two accesses: over the border of what is canonical the offset's comes first.
    ctx.loadAt(ctx.checked(from, insn.size, false), insn.size);
    const offset = ctx.toTemp('i64');
    ctx.address(from);
    code.i64Const(insn.size).i64Add();
    ctx.loadAt(ctx.checkedAddress(2, false), 2);
    code.i32WrapI64();
    const selector = ctx.toTemp('i32');
    checkSelector(ctx, selector, segment);
    loadSegment(ctx, selector, segment);
    code.localGet(offset);
    ctx.setReg(asRegister(to).index, insn.size);
  };
}

/** ZF alone; `found` is an i32 local of 0 or 1. */
function setZero(ctx: LoweringContext, found: number): void {
  const code = ctx.code;
  ctx.getFlagsBits();
  code.i32Const(~ZF).i32And().localGet(found).i32Const(6).i32Shl().i32Or().i64ExtendI32U();
  ctx.setFlagsBits();
}

/** LAR and LSL: where there is a descriptor, the register gets what `of` says of it. */
function describe(of: (descriptor: Descriptor) => number): Lowering {
  return (ctx, insn) => {
    const code = ctx.code;
    const [to, from] = insn.operands as [Operand, Operand];
    const selector = selectorOf(ctx, from);
    const found = ctx.temp('i32');
    const value = ctx.temp('i64');
    const { index } = asRegister(to);
    ctx.getReg(index, 8);
    code.localSet(value).i32Const(0).localSet(found);
    for (const descriptor of DESCRIPTORS) {
      code.localGet(selector).i32Const(0xfffc).i32And().i32Const(descriptor.selector).i32Eq().if();
      if (insn.size === 2) code.localGet(value).i64Const(~0xffff).i64And();
      else code.i64Const(0);
      code
        .i64Const(insn.size === 2 ? of(descriptor) & 0xffff : of(descriptor) >>> 0)
        .i64Or()
        .localSet(value);
      code.i32Const(1).localSet(found).end();
    }
    code.localGet(value);
    ctx.setReg(index, 8);
    setZero(ctx, found);
  };
}

/** VERR and VERW. */
function verify(writes: boolean): Lowering {
  return (ctx, insn) => {
    const code = ctx.code;
    const selector = selectorOf(ctx, insn.operands[0]!);
    code.i32Const(0);
    for (const descriptor of DESCRIPTORS) {
      if (writes && !descriptor.writable) continue;
      code.localGet(selector).i32Const(0xfffc).i32And().i32Const(descriptor.selector).i32Eq().i32Or();
    }
    setZero(ctx, ctx.toTemp('i32'));
  };
}

/** `store` writes an i64 local of so many bytes to an operand. */
export function addSegmentLowerings(
  map: Map<string, Lowering>,
  store: (ctx: LoweringContext, operand: Operand, size: number, value: number) => void,
): void {
  map.set('mov_seg', (ctx, insn) => {
    const [to, from] = insn.operands as [Operand, Operand];
    if (to.kind === 'reg' && to.file === 'seg') {
      const selector = selectorOf(ctx, from);
      checkSelector(ctx, selector, to.index);
      loadSegment(ctx, selector, to.index);
      return;
    }
    pushSelector(ctx, asRegister(from).index);
    store(ctx, to, to.kind === 'mem' ? 2 : asRegister(to).size, ctx.toTemp('i64'));
  });
  map.set('push_seg', (ctx, insn) => {
    pushSelector(ctx, fsOrGs(insn));
    const value = ctx.toTemp('i64');
    const slot = pushSlot(ctx, insn.size);
    ctx.storeAt(slot, insn.size, value);
    moveStack(ctx, -insn.size);
  });
  map.set('pop_seg', popSegment);
  map.set(
    'lss',
    loadPointer(() => SS),
  );
  for (const op of ['lfs', 'lgs']) map.set(op, loadPointer(fsOrGs));
  map.set(
    'lar',
    describe(({ rights }) => rights),
  );
  map.set(
    'lsl',
    describe(({ limit }) => limit),
  );
  map.set('verr', verify(false));
  map.set('verw', verify(true));
}
