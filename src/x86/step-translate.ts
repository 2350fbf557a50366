/**
 * Step functions: (record, depth) → 0 to go on with the next record, else the way that control goes (EXIT_KIND_…) plus 1,
 * with the address in the register file, or WAY_UNDONE. Their semantics are the lowerings', as a region's are.
 */

import { Code, type FunctionBody } from '../wasm/code.ts';
import { EXIT_KIND_CALL, STEP_PARAMETERS } from './calling.ts';
import type { Instruction, Operand } from './instruction.ts';
import { lowerCall, lowerDeparture, lowerLoop } from './lower-control.ts';
import type { Lowering } from './lowering.ts';
import { FIRST_PARAMETER, isAbsolute, type Shape } from './shape.ts';
import { VECTOR_UD } from './state.ts';
import { addStepUsage, noStepUsage, StepContext } from './step-context.ts';

export class StepTranslator {
  readonly #code = new Code(0, STEP_PARAMETERS, 1 << 12);
  readonly #lowerings: ReadonlyMap<string, Lowering>;

  constructor(lowerings: ReadonlyMap<string, Lowering>) {
    this.#lowerings = lowerings;
  }

  /** The step function for instructions of the shape; `insn` is one. */
  translate(insn: Instruction, shape: Shape): FunctionBody {
    const code = this.#code;
    const expected = noStepUsage();
    const general = generalize(insn, shape);
    for (;;) {
      code.reset();
      const ctx = new StepContext(code, expected, general, shape.anyImmediate);
      this.#body(ctx, general);
      if (!addStepUsage(expected, ctx.seen)) return code.body();
    }
  }

  #body(ctx: StepContext, insn: Instruction): void {
    const code = ctx.code;
    ctx.reload();
    ctx.exitBlock = code.block();
    ctx.blockDepth = code.depth;
    this.#instruction(ctx, insn);
    ctx.writeBack();
    code.i32Const(0).return();
    code.end();
    ctx.exitPath();
    code.end();
  }

  #instruction(ctx: StepContext, insn: Instruction): void {
    const code = ctx.code;
    const target = insn.operands[0];
    switch (insn.flow) {
      case 'next': {
        const lower = this.#lowerings.get(insn.op);
        if (lower !== undefined) lower(ctx, insn);
        else ctx.exception(VECTOR_UD);
        return;
      }
      case 'jump':
      case 'branch': {
        if (target?.kind !== 'target') throw new Error('target');
        if (insn.flow === 'branch') {
          if (insn.op === 'jcc') ctx.condition(insn.cc);
          else lowerLoop(ctx, insn);
          code.if();
        }
        ctx.jump(target);
        if (insn.flow === 'branch') code.end();
        return;
      }
      case 'call':
      case 'call-indirect':
        lowerCall(ctx, insn);
        ctx.exitDynamic(EXIT_KIND_CALL, 0);
        return;
      default:
        lowerDeparture(ctx, insn);
    }
  }
}

/** The instruction with its parameters' numbers in the place of the registers that it is given in its record. */
function generalize(insn: Instruction, { gprs, xmms }: Shape): Instruction {
  const register = (list: readonly number[], index: number): number => {
    const at = list.indexOf(index);
    return at < 0 ? index : FIRST_PARAMETER + at;
  };
  const operand = (o: Operand): Operand => {
    if (o.kind === 'reg') {
      const list = o.file === 'gpr' ? gprs : o.file === 'xmm' ? xmms : [];
      return { ...o, index: register(list, o.index) };
    }
    if (o.kind === 'mem' && !isAbsolute(o)) {
      return { ...o, base: register(gprs, o.base), index: register(gprs, o.index) };
    }
    return o;
  };
  return { ...insn, operands: insn.operands.map(operand) };
}
