/**
 * Random initial states for a draft: registers, flags, MXCSR, x87 state and memory. Its pointers lie in the data, some at its
 * ends, a few nowhere, so that most instructions do something and the others fault in every way.
 */

import { ARITHMETIC_FLAGS, DF } from '../../src/x86/state.ts';
import { FORMS } from '../../src/x86/table.ts';
import { CODE, type CpuCase, DATA, EDGE, GS_BASE, TAIL_SIZE, WINDOW, WINDOW_SIZE } from './case.ts';
import type { Draft } from './generate.ts';
import { extended, x87State } from './generate-x87.ts';
import type { Random } from './random.ts';
import { integer, type Kind, mxcsr, Pool } from './values.ts';

const MEMORY = WINDOW_SIZE + TAIL_SIZE;
const ID_FLAG = 1n << 21n;
/** Around the borders of what is mapped, of 32 bits, of canonical addresses. None of them is anything in the harness. */
const WILD = [0n, 8n, 0xfff8n, 0xffff_fff8n, 0x1_0000_0000n, 0x1_2000_1f00n, 1n << 40n].concat([
  (1n << 47n) - 1n,
  1n << 47n,
  (1n << 63n) - 4n,
  1n << 63n,
  // Some processors look at an address with its segment's base, others also without.
  0xffff_7fff_ffff_f000n,
  0xffff_8000_0000_0000n,
  (1n << 64n) - 16n,
  (1n << 64n) - 1n,
]);
const KINDS: readonly [RegExp, Kind][] = [
  [/^pcmp[ei]str/, 'text'],
  [/^fbld$/, 'decimals'],
  [/^fxrstor/, 'images'],
  [/^(ld|st)mxcsr$/, 'mxcsr'],
];

/** Instructions whose operand is a selector; selectors of Linux' descriptor table, also the kernel's. */
const SELECTS = /^(mov_seg|pop_seg|l[sfg]s|lar|lsl|ver[rw])$/;
const SELECTORS = [0, 0x10, 0x18, 0x20, 0x28, 0x2c, 0x30, 0x40, 0x78];

export class InitialStates {
  readonly #random: Random;
  readonly #pools = new Map<Kind, Pool>();

  constructor(random: Random) {
    this.#random = random;
  }

  of(draft: Draft): CpuCase {
    const random = this.#random;
    const form = draft.head;
    const fx = this.#fx(draft);
    const window = this.#window(draft);
    const gpr = this.#registers(draft);
    const rflags = random.u32() & (ARITHMETIC_FLAGS | (random.oneIn(4) ? DF : 0));
    this.#aim(draft, gpr, window);
    if (form.area === 'privileged') this.#nullSelectors(draft, gpr, window);
    const { code, place, tail, boundaries, forms } = draft;
    return { gpr, rflags, fx, code, place, tail, window, boundaries, forms };
  }

  #pool(kind: Kind): Pool {
    let pool = this.#pools.get(kind);
    if (pool === undefined) {
      pool = new Pool(this.#random, kind);
      this.#pools.set(kind, pool);
    }
    return pool;
  }

  #kindOf(draft: Draft): Kind {
    if (draft.forms.some((id) => /^ldmxcsr$/.test(FORMS[id]!.op)) && !this.#random.oneIn(16)) return 'mxcsr';
    for (const [pattern, kind] of KINDS) if (pattern.test(draft.head.op) && !this.#random.oneIn(8)) return kind;
    return draft.head.area === 'x87' ? 'extended' : 'vector';
  }

  #registers({ head, pointers: [base, base2, index], counter, aligned, forms }: Draft): BigUint64Array {
    const random = this.#random;
    const gpr = new BigUint64Array(16);
    for (let r = 0; r < 16; r++) gpr[r] = integer(random);
    const images = head.operands.some(({ type }) => 'eaf'.includes(type)) && random.oneIn(2);
    const near = random.oneIn(6) ? EDGE - random.below(images ? 520 : 24) : WINDOW + 300 + random.below(600);
    gpr[base] = BigInt(near);
    gpr[base2] = BigInt(WINDOW + 200 + random.below(600)) & (random.oneIn(2) ? ~15n : ~0n);
    gpr[index] = BigInt(random.below(8));
    // Most SSE memory operands must be aligned.
    if (aligned) {
      gpr[base] &= ~15n;
      gpr[base2] &= ~15n;
      gpr[index] = BigInt(random.below(3) * 16);
    }
    if (random.oneIn(40)) gpr[random.pick([base, base2])] = random.pick(WILD);
    if (random.oneIn(100)) gpr[index] = random.pick(WILD);
    if (head.op === 'xlat' && !random.oneIn(16)) gpr[3] = BigInt(WINDOW + 100);
    gpr[4] = BigInt(WINDOW + 256 + random.below(32) * 8);
    if (random.oneIn(16)) {
      gpr[4] = random.oneIn(3) ? random.pick(WILD) : BigInt((random.oneIn(2) ? EDGE : DATA + 16) - random.below(24));
    }
    if (head.area === 'string' || random.oneIn(4) || head.op.startsWith('maskmov')) {
      gpr[6] = BigInt(WINDOW + 100 + random.below(700));
      gpr[7] = BigInt(WINDOW + 100 + random.below(700));
      gpr[1] = BigInt(random.oneIn(10) ? random.below(2000) : random.below(24));
      if (random.oneIn(4)) gpr[7] = gpr[6] + BigInt(random.below(16) - 8);
      // At the end of the data or its beginning, the way that DF goes.
      if (random.oneIn(8)) gpr[random.pick([6, 7])] = BigInt((random.oneIn(3) ? DATA + 40 : EDGE) - random.below(48));
      if (random.oneIn(48)) gpr[random.pick([6, 7])] = random.pick(WILD);
    } else if (/^(r|s)/.test(head.op) && random.oneIn(2)) {
      gpr[1] = BigInt(random.below(70));
    }
    if ((head.op === 'div' || head.op === 'idiv') && !random.oneIn(6)) {
      // Quotients that fit.
      gpr[2] = head.op === 'idiv' && random.oneIn(2) ? 0xffffffffffffffffn : BigInt(random.below(2));
      if (random.oneIn(2)) gpr[0] &= 0xffn;
    }
    if (head.op.startsWith('pcmpestr') && !random.oneIn(4)) {
      // Lengths of what fits.
      for (const r of [0, 2]) gpr[r] = BigInt.asUintN(64, BigInt(random.below(38) - 18));
    }
    if (counter >= 0) gpr[counter] = BigInt(1 + random.below(8));
    // No such system call.
    if (forms.some((id) => FORMS[id]!.op === 'syscall')) gpr[0] = 0xffff_fff0n + BigInt(random.below(8));
    return gpr;
  }

  #window(draft: Draft): Uint8Array {
    const random = this.#random;
    const window = new Uint8Array(MEMORY);
    this.#pool(this.#kindOf(draft)).take(window, 0, MEMORY);
    if (random.oneIn(4)) for (let i = 64; i < 512; i++) window[i] = window[i % 64]!;
    return window;
  }

  #fx({ head, plainMxcsr }: Draft): Uint8Array {
    const random = this.#random;
    const bytes = new Uint8Array(512);
    const view = new DataView(bytes.buffer);
    const x87 = head.area === 'x87' || head.area === 'mmx' || random.oneIn(16);
    view.setUint32(24, plainMxcsr ? 0x1f80 : mxcsr(random), true);
    view.setUint32(28, 0xffff, true);
    if (x87 && random.oneIn(2)) {
      x87State(random, view);
    } else {
      view.setUint16(0, 0x037f, true);
      const top = random.oneIn(3) ? random.below(8) : 0;
      view.setUint16(2, top << 11, true);
      view.setUint8(4, random.oneIn(4) ? random.below(256) : 0xff);
      if (x87) for (let i = 0; i < 8; i++) extended(random, view, 32 + i * 16);
      else this.#pool('extended').take(bytes, 32, 160);
      for (let at = 42; at < 160; at += 16) bytes.fill(0, at, at + 6);
    }
    const text = /^pcmp[ei]str/.test(head.op) && !random.oneIn(8);
    this.#pool(text ? 'text' : 'vector').take(bytes, 160, 416);
    return bytes;
  }

  /** A return, POPF, or indirect branch finds something sensible. */
  #aim({ last, code, place }: Draft, gpr: BigUint64Array, window: Uint8Array): void {
    if (last === null) return;
    const random = this.#random;
    const view = new DataView(window.buffer);
    const end = BigInt(CODE + place + code.length - 2);
    const store = (address: number, value: bigint): void => {
      const at = address - WINDOW;
      if (at >= 0 && at + 8 <= MEMORY) view.setBigUint64(at, value, true);
    };
    if (last.op === 'popf') {
      // No single-stepping, no alignment checks, no nested tasks.
      for (let i = 0; i < MEMORY; i += 2) {
        view.setUint16(i, random.u32() & (ARITHMETIC_FLAGS | DF), true);
      }
      if (random.oneIn(2)) store(Number(gpr[4]), (random.u64() & BigInt(ARITHMETIC_FLAGS | DF)) | ID_FLAG);
    } else if (SELECTS.test(last.op)) {
      const selector = (): number =>
        (random.oneIn(4) ? random.u32() : random.pick(SELECTORS) | random.below(4)) & 0xffff;
      for (let i = 0; i < MEMORY; i += 2) view.setUint16(i, selector(), true);
      const from = last.operands.at(-1);
      if (from?.kind === 'reg' && from.file === 'gpr')
        gpr[from.index] = (gpr[from.index]! & ~0xffffn) | BigInt(selector());
    }
    if (random.oneIn(4)) return;
    if (last.flow === 'ret') {
      store(Number(gpr[4]), end);
    } else if (last.flow === 'jump-indirect' || last.flow === 'call-indirect') {
      const operand = last.operands[0]!;
      if (operand.kind === 'reg') gpr[operand.index] = end;
      else if (operand.kind === 'mem') {
        let address = operand.disp + (operand.segment === 'gs' ? GS_BASE : 0);
        if (operand.base >= 0) address += Number(gpr[operand.base]);
        if (operand.index >= 0) address += Number(gpr[operand.index]) * operand.scale;
        store(address, end);
      }
    }
  }

  /** Far transfers to a null selector: what others exist the operating system says. */
  #nullSelectors({ head: { op }, pointers }: Draft, gpr: BigUint64Array, window: Uint8Array): void {
    if (op === 'retf' || op === 'iret') {
      gpr[4] = BigInt(WINDOW + 512);
      window.fill(0, 500, 640);
    } else if (op === 'call_far' || op === 'jmp_far') {
      window.fill(0);
      const [base, base2, index] = pointers;
      gpr[base] = gpr[base2] = BigInt(WINDOW + 512);
      gpr[index] &= 7n;
    }
  }
}
